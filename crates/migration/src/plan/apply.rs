//! Does what the plan says, step by step, and keeps what came of each. What is refused holds up nothing else; a cluster that
//! is not reached ends it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use futures::future::join_all;
use kafka_wire::{AclRule, Client, TopicChanges};
use mirror_types::Side;
use pipeline::NewTopic;

use super::{ConfigStep, NotDone, Outcome, Prepared, Progress, Step, TopicStep};

/// Topics that are made at the same time.
const AT_ONCE: usize = 8;
/// How long other brokers may take to hear of what was done, and how often to look.
const HEARD: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(100);

impl Prepared {
    /// Does it.
    pub async fn apply(&mut self) {
        self.progress.start(self.report.totals.planned);
        self.report.unreachable = false;
        self.topics().await;
        if !self.report.unreachable {
            self.configs().await;
        }
        if !self.report.unreachable {
            self.acls().await;
        }
        if !self.report.unreachable
            && let Some(groups) = &mut self.groups
        {
            groups.apply().await;
            self.report.unreachable = groups.is_unreachable();
            if let Some(part) = &mut self.report.groups {
                part.totals = groups.totals();
            }
        }
        self.report.applied = true;
        self.report.count();
    }

    async fn topics(&mut self) {
        let target = &self.target;
        let make = |step: TopicStep| async move { topic(target, &step).await };
        for part in self.report.topics.chunks_mut(AT_ONCE) {
            let done = join_all(part.iter().map(|step| make(step.what.clone()))).await;
            for (step, done) in part.iter_mut().zip(done) {
                self.report.unreachable |= !step.note(done);
            }
            self.progress.add(part.len());
            if self.report.unreachable {
                return;
            }
        }
    }

    async fn configs(&mut self) {
        let client = self.clusters.client(Side::Target);
        let mut to_set: BTreeMap<String, TopicChanges> = BTreeMap::new();
        for ConfigStep { target_topic, change, .. } in self.report.configs.iter().map(|step| &step.what) {
            let changes = to_set.entry(target_topic.clone()).or_default();
            changes.insert(change.key.clone(), Some(change.then.clone()));
        }
        let done = client.set_topic_configs(&to_set).await;
        for step in &mut self.report.configs {
            let topic = &step.what.target_topic;
            let fix = format!("grant ALTER_CONFIGS on topic {topic} on the target");
            let done = done[topic].clone().map_err(|error| not_done(&error, &fix));
            self.report.unreachable |= !step.note(done);
        }
        self.progress.add(self.report.configs.len());
        self.wait_for_configs().await;
    }

    /// A plan that is made right after this one finds what was done.
    async fn wait_for_configs(&self) {
        let done =
            || self.report.configs.iter().filter(|step| step.outcome == Outcome::Done).map(|step| &step.what);
        let names: BTreeSet<String> = done().map(|step| step.target_topic.clone()).collect();
        let names: Vec<String> = names.into_iter().collect();
        let began = Instant::now();
        while !names.is_empty() && began.elapsed() < HEARD {
            let Ok(found) = self.target.topic_configs(&names).await else { return };
            let is_so = |step: &ConfigStep| {
                let configs = found.get(&step.target_topic).and_then(|configs| configs.as_ref().ok());
                configs.is_none_or(|configs| configs.text(&step.change.key) == Some(&*step.change.then))
            };
            if done().all(is_so) {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn acls(&mut self) {
        let client = self.clusters.client(Side::Target);
        let Some(part) = &mut self.report.acls else { return };
        self.report.unreachable |= !make_acls(client, &mut part.create, &self.progress).await;
    }
}

async fn topic(target: &cluster_admin::Cluster, step: &TopicStep) -> Result<(), NotDone> {
    let done = match step {
        TopicStep::Create { target_topic, partitions, replication, configs, .. } => {
            let new = NewTopic {
                name: target_topic.clone(),
                partitions: *partitions,
                replication: replication.unwrap_or(-1),
                configs: configs.clone().into_iter().collect(),
            };
            match new.make(target).await {
                Ok(true) => Ok(()),
                Ok(false) => {
                    let reason = format!("topic {target_topic} is there by now\n  fix: plan again");
                    return Err(NotDone::Refused(reason));
                }
                Err(error) => Err((error, "CREATE")),
            }
        }
        TopicStep::Grow { target_topic, partitions, .. } => {
            target.grow_topic(target_topic, *partitions).await.map_err(|error| (error, "ALTER"))
        }
    };
    done.map_err(|(error, right)| {
        if error.is_unreachable() {
            return NotDone::Unreachable(error.to_string());
        }
        if error.is_retriable() {
            return NotDone::Failed(error.to_string());
        }
        let topic = step.target_topic();
        let grant = format!("\n  fix: grant {right} on topic {topic} on the target, or do it by hand");
        NotDone::Refused(format!("{error}{}", if error.is_not_authorized() { &*grant } else { "" }))
    })
}

/// Makes the rules, and waits until they are there. Whether the cluster was reached.
async fn make_acls(client: &Client, steps: &mut [Step<AclRule>], progress: &Progress) -> bool {
    const PART: usize = 500;
    for part in steps.chunks_mut(PART) {
        let rules: Vec<AclRule> = part.iter().map(|step| step.what.clone()).collect();
        let done = client.create_acls(&rules).await;
        let fix = "grant ALTER on the cluster on the target; or leave ACLs out, by --only";
        let mut reached = true;
        for (step, done) in part.iter_mut().zip(done) {
            reached &= step.note(done.map_err(|error| not_done(&error, fix)));
        }
        progress.add(part.len());
        if !reached {
            return false;
        }
    }
    let made = || steps.iter().filter(|step| step.outcome == Outcome::Done).map(|step| &step.what);
    let began = Instant::now();
    while made().next().is_some() && began.elapsed() < HEARD {
        match client.list_acls().await {
            Ok(there) if !made().all(|rule| there.contains(rule)) => tokio::time::sleep(LOOK).await,
            _ => break,
        }
    }
    true
}

fn not_done(error: &kafka_wire::Error, fix: &str) -> NotDone {
    if error.is_unreachable() || error.is_authentication() {
        NotDone::Unreachable(error.to_string())
    } else if error.is_retriable() {
        NotDone::Failed(error.to_string())
    } else if error.is_not_authorized() {
        NotDone::Refused(format!("{error}\n  fix: {fix}"))
    } else {
        NotDone::Refused(error.to_string())
    }
}
