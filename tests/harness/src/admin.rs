//! Topics, configurations, ACLs and cluster state, through the internal listener.

use std::process::Output;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use futures::executor::block_on;
use rdkafka::ClientConfig;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigSource, NewPartitions, NewTopic, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::metadata::{Metadata, MetadataTopic};
use rdkafka::{Offset, TopicPartitionList};

use crate::broker::DEADLINE;
use crate::client::config;
use crate::cluster::{Cluster, POLL};
use crate::dist::{missing, text};

const TIMEOUT: Duration = Duration::from_secs(30);

impl Cluster {
    /// Creates a topic and waits until every partition serves.
    pub fn create_topic(
        &self,
        name: &str,
        partitions: i32,
        replication: i32,
        configs: &[(&str, &str)],
    ) -> Result<()> {
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(replication));
        for (key, value) in configs {
            topic = topic.set(key, value);
        }
        let results = block_on(self.admin()?.create_topics([&topic], &options()))?;
        check(results).with_context(|| format!("failed to create topic {name}"))?;
        self.wait_partitions(name, partitions)
    }

    /// Grows a topic to `total` partitions and waits until they serve.
    pub fn add_partitions(&self, name: &str, total: i32) -> Result<()> {
        let new = NewPartitions::new(name, usize::try_from(total)?);
        let results = block_on(self.admin()?.create_partitions([&new], &options()))?;
        check(results).with_context(|| format!("failed to add partitions to {name}"))?;
        self.wait_partitions(name, total)
    }

    /// Changes some configurations of a topic and leaves its others as they are.
    pub fn alter_topic_config(&self, name: &str, configs: &[(&str, &str)]) -> Result<()> {
        let admin = self.admin()?;
        let resource = ResourceSpecifier::Topic(name);
        // This call replaces all of a topic's own configurations, so they are all given again.
        let mut all = self.topic_config(name)?;
        for (key, value) in configs {
            all.retain(|(k, _)| k != key);
            all.push(((*key).to_owned(), (*value).to_owned()));
        }
        let mut alter = AlterConfig::new(resource);
        for (key, value) in &all {
            alter = alter.set(key, value);
        }
        for result in block_on(admin.alter_configs([&alter], &options()))? {
            result.map_err(|(_, code)| anyhow!("failed to alter the configuration of {name}: {code}"))?;
        }
        Ok(())
    }

    /// The configurations that a topic has of its own.
    pub fn topic_config(&self, name: &str) -> Result<Vec<(String, String)>> {
        let admin = self.admin()?;
        let mut found = Vec::new();
        for result in block_on(admin.describe_configs([&ResourceSpecifier::Topic(name)], &options()))? {
            let resource =
                result.map_err(|code| anyhow!("failed to read the configuration of {name}: {code}"))?;
            let own = resource.entries.into_iter().filter(|e| e.source == ConfigSource::DynamicTopic);
            found.extend(own.map(|e| (e.name, e.value.unwrap_or_default())));
        }
        Ok(found)
    }

    /// Deletes a topic and waits until it is gone.
    pub fn delete_topic(&self, name: &str) -> Result<()> {
        let results = block_on(self.admin()?.delete_topics(&[name], &options()))?;
        check(results).with_context(|| format!("failed to delete topic {name}"))?;
        self.wait(&format!("topic {name} to be gone"), |metadata| find(metadata, name).is_none())
    }

    /// Deletes the records of a partition before `offset`.
    pub fn delete_records(&self, name: &str, partition: i32, offset: i64) -> Result<()> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(name, partition, Offset::Offset(offset))?;
        let result = block_on(self.admin()?.delete_records(&list, &options()))?;
        for element in result.elements() {
            element.error().with_context(|| format!("failed to delete records of {name}-{partition}"))?;
        }
        Ok(())
    }

    /// Allows `user` what `rights` say, in the words of Kafka's ACL tool, as in
    /// `["--operation", "Read", "--topic", "orders"]`, and waits until every broker knows it. Costs a
    /// JVM start, and one a broker.
    pub fn acl_add(&self, user: &str, rights: &[&str]) -> Result<()> {
        let mut add = vec!["--force", "--add", "--allow-principal"];
        let principal = format!("User:{user}");
        add.push(&principal);
        self.acl(&self.internal_bootstrap(), &[&add, rights].concat())?;

        // A broker learns of it a moment after the controller took it.
        let (mut operations, mut resources, mut words) = (Vec::new(), Vec::new(), rights.iter());
        while let Some(word) = words.next() {
            if *word == "--operation" {
                let operation = words.next().context("an operation")?.to_lowercase();
                operations.push(format!("operation={operation},"));
            } else {
                resources.push(*word);
            }
        }
        let count =
            resources.iter().filter(|r| r.starts_with("--") && **r != "--resource-pattern-type").count();
        let principal = format!("principal={principal},").to_lowercase();
        let list = [&["--list"], &resources[..]].concat();
        for broker in self.internal_bootstrap().split(',') {
            let end = Instant::now() + DEADLINE;
            loop {
                let listed = self.acl(broker, &list)?.to_lowercase().replace('_', "");
                let all = |op: &String| {
                    let ours = listed.lines().filter(|l| l.contains(&principal) && l.contains(op));
                    ours.count() >= count
                };
                if operations.iter().all(all) {
                    break;
                }
                if Instant::now() > end {
                    bail!("{broker} did not learn in time of {rights:?} for {user}; it knows:\n{listed}");
                }
                std::thread::sleep(POLL);
            }
        }
        Ok(())
    }

    fn acl(&self, bootstrap: &str, args: &[&str]) -> Result<String> {
        let old = self.dist().version().starts_with('3');
        let class = if old { "kafka.admin.AclCommand" } else { "org.apache.kafka.tools.AclCommand" };
        let output = self.run_tool(class, &[&["--bootstrap-server", bootstrap], args].concat())?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() || printed.contains("Error") {
            bail!("the ACL tool failed on {args:?}: {}", text(&output));
        }
        Ok(printed)
    }

    /// Runs one of Kafka's tools by its main class, as `org.apache.kafka.tools.TopicCommand`; give
    /// it [`Cluster::internal_bootstrap`].
    pub fn run_tool(&self, class: &str, args: &[&str]) -> Result<Output> {
        self.dist().tool_command(class).args(args).output().map_err(|error| missing("java", &error))
    }

    /// The broker that leads a partition now, if one does.
    pub fn leader(&self, topic: &str, partition: i32) -> Result<Option<u32>> {
        let metadata = self.metadata_client()?.fetch_metadata(Some(topic), TIMEOUT)?;
        let topic = find(&metadata, topic).with_context(|| format!("no topic {topic}"))?;
        let leader = topic.partitions().iter().find(|p| p.id() == partition);
        let leader =
            leader.with_context(|| format!("{} has no partition {partition}", topic.name()))?.leader();
        Ok(u32::try_from(leader).ok())
    }

    /// Waits until a partition is led by another broker than `old`, and returns it.
    pub fn wait_leader_other_than(&self, topic: &str, partition: i32, old: u32) -> Result<u32> {
        let mut new = None;
        self.wait(&format!("{topic}-{partition} to have another leader than {old}"), |metadata| {
            let partitions = find(metadata, topic).map(MetadataTopic::partitions).unwrap_or_default();
            let leader = partitions.iter().find(|p| p.id() == partition).map(|p| p.leader());
            new = leader.and_then(|l| u32::try_from(l).ok()).filter(|l| *l != old);
            new.is_some()
        })?;
        new.context("no leader")
    }

    /// Waits until every partition of a topic has at least `n` in-sync replicas.
    pub fn wait_isr(&self, topic: &str, n: usize) -> Result<()> {
        self.wait(&format!("{topic} to have {n} in-sync replicas"), |metadata| {
            find(metadata, topic).is_some_and(|t| t.partitions().iter().all(|p| p.isr().len() >= n))
        })
    }

    /// How many partitions a topic has; `None` if there is no such topic.
    pub fn partitions(&self, topic: &str) -> Result<Option<usize>> {
        let metadata = self.metadata_client()?.fetch_metadata(None, TIMEOUT)?;
        Ok(find(&metadata, topic).map(|t| t.partitions().len()))
    }

    /// Waits until `n` brokers are known.
    pub(crate) fn wait_brokers(&self, n: usize) -> Result<()> {
        self.wait(&format!("{n} brokers"), |metadata| metadata.brokers().len() >= n)
    }

    /// Waits until a broker is one of the cluster's again.
    pub(crate) fn wait_listed(&self, broker: u32) -> Result<()> {
        self.wait(&format!("broker {broker} to be back"), |metadata| {
            metadata.brokers().iter().any(|b| u32::try_from(b.id()) == Ok(broker))
        })
    }

    /// Waits until a topic has leaders.
    pub(crate) fn wait_known(&self, topic: &str) -> Result<()> {
        self.wait(&format!("{topic} to be known"), |metadata| {
            find(metadata, topic).is_some_and(|t| t.partitions().iter().all(|p| p.leader() >= 0))
        })
    }

    fn wait_partitions(&self, topic: &str, n: i32) -> Result<()> {
        self.wait(&format!("{topic} to have {n} partitions with leaders"), |metadata| {
            find(metadata, topic).is_some_and(|t| {
                let led = t.partitions().iter().filter(|p| p.leader() >= 0 && p.error().is_none()).count();
                i32::try_from(led) == Ok(n)
            })
        })?;
        // The metadata runs ahead of the brokers' logs; this waits for them, too. And of several brokers one may know the
        // topic before another does.
        let end = Instant::now() + DEADLINE;
        loop {
            match crate::client::end_offsets(&self.props(), topic) {
                Err(_) if Instant::now() < end => std::thread::sleep(POLL),
                known => return known.map(drop),
            }
        }
    }

    fn wait(&self, what: &str, mut done: impl FnMut(&Metadata) -> bool) -> Result<()> {
        let client = self.metadata_client()?;
        let end = Instant::now() + DEADLINE;
        loop {
            let metadata = client.fetch_metadata(None, Duration::from_secs(5));
            if metadata.as_ref().is_ok_and(&mut done) {
                return Ok(());
            }
            self.check_alive()?;
            if Instant::now() > end {
                let last = metadata.err().map(|e| format!(" ({e})")).unwrap_or_default();
                bail!("waited {DEADLINE:?} in vain for {what}{last}\n{}", self.log_tails());
            }
            std::thread::sleep(POLL);
        }
    }

    fn admin(&self) -> Result<AdminClient<DefaultClientContext>> {
        client_config(self).create().context("failed to make an admin client")
    }

    fn metadata_client(&self) -> Result<BaseConsumer> {
        client_config(self).create().context("failed to make a metadata client")
    }
}

fn client_config(cluster: &Cluster) -> ClientConfig {
    let mut config = config(&cluster.props());
    config.set("reconnect.backoff.ms", "20").set("reconnect.backoff.max.ms", "200");
    // Brokers come and go here; that is not worth a line on the terminal.
    config.set_log_level(rdkafka::config::RDKafkaLogLevel::Emerg);
    config
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(TIMEOUT)).request_timeout(Some(TIMEOUT))
}

fn check(results: Vec<rdkafka::admin::TopicResult>) -> Result<()> {
    for result in results {
        result.map_err(|(name, code)| anyhow!("{name}: {code}"))?;
    }
    Ok(())
}

fn find<'a>(metadata: &'a Metadata, topic: &str) -> Option<&'a MetadataTopic> {
    metadata.topics().iter().find(|t| t.name() == topic && t.error().is_none())
}
