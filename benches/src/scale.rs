//! What the commands of a large link take: 200 topics of 10 partitions with an ACL each, and 500 consumer groups.

use std::{
    collections::HashSet,
    fmt::Write as _,
    fs::{self, File},
    net::TcpListener,
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use kafka_harness::{
    Cluster, Security,
    client::{self, Load},
    daemon::{self, Config},
    process::status_bytes,
};
use kafka_wire::{
    AclOperation, AclPattern, AclPermission, AclResource, AclRule, Client, Commit, Committed, ProduceBatch,
    ProduceOptions, ProducerIdentity, Settings, To,
    kafka_protocol::{
        messages::{CreateTopicsRequest, TopicName, create_topics_request::CreatableTopic},
        protocol::StrBytes,
    },
    records::{BatchBuilder, Compression, Stamp},
};

use crate::{
    clusters::ensure_room,
    mirrors::{Running, binary},
    stats::shown,
    wire::{runtime, timestamp},
};

/// The heading of its section in RESULTS.md.
pub const HEADING: &str = "Large links";

const TOPICS: usize = 200;
const PARTITIONS: i32 = 10;
const RECORDS: usize = 10;
const GROUPS: usize = 500;
/// For how many topics each group has committed offsets, and which: for some, then for all.
const FOR: [(usize, i64); 2] = [(10, 4), (TOPICS, 8)];
/// Records to mirror and to compare,
const BULK: u64 = 2_000_000;
/// and the bytes of each.
const VALUE: usize = 1024;
/// Sets where the daemon listens, and where `status` asks.
const ADMIN: &str = "ISOMIRROR__ADMIN__LISTEN";
/// No command may take longer.
const LIMIT: Duration = Duration::from_secs(60);

/// A command that was measured.
struct Measured {
    command: String,
    /// Its exit code.
    code: i32,
    seconds: f64,
    /// The most memory that it had, in bytes.
    peak: u64,
    /// The last line of what it printed.
    said: String,
}

/// The two clusters, and what is on the source.
struct Scene {
    source: Cluster,
    target: Cluster,
    topics: Vec<String>,
    groups: Vec<String>,
    /// Where the daemon listens.
    admin: String,
}

/// Measures all; returns the section for RESULTS.md.
pub fn run(command: &str) -> Result<String> {
    let binary = binary()?;
    let scene = Scene::start()?;
    let config = scene.config();
    let with_groups = config.clone().section("[groups]\ninclude = [\"large-.*\"]");
    let by = |config: &Config, args: &[&str]| measured(&binary, config, &scene.admin, args);
    let mut rows = Vec::new();
    for args in [&["check"][..], &["plan"], &["apply"], &["run", "--until-caught-up"], &["check"], &["plan"]]
    {
        rows.push(by(&config, args)?);
    }
    let process = scene.daemon(&binary, &config)?;
    for args in [&["status"][..], &["topics", "list"], &["marks", "list"]] {
        rows.push(by(&config, args)?);
    }
    let mut text = format!(
        "\n## {HEADING}\n\nMade by `{command}` ({}): {TOPICS} topics of {PARTITIONS} partitions, each with an ACL, and {GROUPS} \
         consumer groups, on one broker a side; one run of each command, with its start and all that it prints.\n\n",
        built(&binary),
    );
    text += "| command | s | peak RSS, MB | its last line |\n|---|---:|---:|---|\n";
    add(&mut text, "", &rows)?;
    for (topics, offset) in FOR {
        scene.commit(topics, offset)?;
        let offsets = topics * usize::try_from(PARTITIONS)?;
        let mut rows = vec![by(&with_groups, &["check"])?];
        for what in ["list", "plan", "sync", "sync"] {
            rows.push(by(&with_groups, &["groups", what])?);
        }
        rows.push(by(&with_groups, &["plan"])?);
        add(&mut text, &format!(", {offsets} offsets a group"), &rows)?;
    }
    process.stop();
    text += &bulk(&binary, &scene)?;
    Ok(text)
}

/// `verify` beside the mirror itself, over as many bytes.
fn bulk(binary: &Path, scene: &Scene) -> Result<String> {
    let (topic, bytes) = ("bulk", BULK * VALUE as u64);
    ensure_room(bytes)?;
    scene.source.create_topic(topic, PARTITIONS, 1, &[])?;
    let load = Load {
        partitions: PARTITIONS,
        count: BULK,
        value_size: VALUE,
        compressible: false,
        ..Load::default()
    };
    client::load(&scene.source.props(), topic, &load)?;
    let config = Config::new(&scene.source, &scene.target, topic);
    let rates = [&["run", "--until-caught-up"][..], &["verify"]].map(|args| {
        let measured = measured(binary, &config, &scene.admin, args)?;
        ensure!(measured.code == 0, "{} ended with {}: {}", measured.command, measured.code, measured.said);
        anyhow::Ok(bytes as f64 / 1e6 / measured.seconds)
    });
    let [mirrored, verified] = rates;
    Ok(format!(
        "\n{BULK} records of {VALUE} bytes are mirrored at {} MB/s, and then compared by `verify` at {} MB/s, which both sides \
         are read at; each with its start.\n",
        shown(mirrored?),
        shown(verified?)
    ))
}

/// Rows of the table; an error where a command took too long or failed.
fn add(text: &mut String, with: &str, rows: &[Measured]) -> Result<()> {
    for Measured { command, code, seconds, peak, said } in rows {
        let took = Duration::from_secs_f64(*seconds);
        ensure!(*code == 0, "{command}{with} ended with {code}: {said}");
        ensure!(took < LIMIT, "{command}{with} took {took:.0?}: {said}");
        let said = said.replace('|', "\\|");
        writeln!(text, "| {command}{with} | {} | {} | {said} |", shown(*seconds), peak / 1_000_000)?;
    }
    Ok(())
}

fn measured(binary: &Path, config: &Config, admin: &str, args: &[&str]) -> Result<Measured> {
    let (dir, path) = config.write();
    let out = dir.path().join("out");
    let mut command: Command = daemon::isomirror_at(binary);
    command.arg(args[0]).arg(path).args(&args[1..]).env(ADMIN, admin);
    command.stdout(File::create(&out)?).stderr(File::create(dir.path().join("err"))?);
    let began = Instant::now();
    let mut child = command.spawn()?;
    let mut peak = 0;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        // It may end at any moment, and has none then.
        peak = status_bytes(child.id(), "VmHWM:").unwrap_or(peak).max(peak);
        std::thread::sleep(Duration::from_millis(10));
    };
    let seconds = began.elapsed().as_secs_f64();
    let printed = fs::read_to_string(out)?;
    let last = printed.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let errors = fs::read_to_string(dir.path().join("err"))?;
    let said = if status.success() { last } else { &errors };
    let measured = Measured {
        command: format!("`{}`", args.join(" ")),
        code: status.code().unwrap_or(-1),
        seconds,
        peak,
        said: said.to_owned(),
    };
    eprintln!("{}: {} s, {} MB: {said}", measured.command, shown(seconds), peak / 1_000_000);
    Ok(measured)
}

fn built(binary: &Path) -> String {
    let profile = binary.parent().and_then(Path::file_name).unwrap_or_default().display();
    format!("isomirror is a {profile} build")
}

// === impl Scene ===

impl Scene {
    fn start() -> Result<Self> {
        let start = || Cluster::builder().full_jit().heap("1g").security(Security::plain(&[])).start();
        let (source, target) = (start().context("source cluster")?, start().context("target cluster")?);
        let topics: Vec<String> = (0..TOPICS).map(|n| format!("large.{n}")).collect();
        let groups = (0..GROUPS).map(|n| format!("large-{n}")).collect();
        let admin = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let scene = Self { source, target, topics, groups, admin };
        let client = scene.client()?;
        runtime()?.block_on(async {
            scene.make_topics(&client).await?;
            scene.make_acls(&client).await?;
            scene.produce(&client).await
        })?;
        Ok(scene)
    }

    fn config(&self) -> Config {
        Config::new(&self.source, &self.target, "large\\..*")
            .section("[acls]\nprincipals = { \"User:app\" = \"User:application\" }")
    }

    /// One that has all lanes running.
    fn daemon(&self, binary: &Path, config: &Config) -> Result<Running> {
        let (dir, mut command) = config.run_by(daemon::isomirror_at(binary));
        command.env(ADMIN, &self.admin);
        let mut process = Running::spawn(command, dir)?;
        let running = format!("{} running", TOPICS * usize::try_from(PARTITIONS)?);
        let (_dir, path) = config.write();
        let mut status = daemon::isomirror_at(binary);
        status.arg("status").arg(path).env(ADMIN, &self.admin);
        let began = Instant::now();
        while !String::from_utf8_lossy(&status.output()?.stdout).replace(',', "").contains(&running) {
            process.check()?;
            ensure!(began.elapsed() < LIMIT, "its lanes do not run after {LIMIT:?}:\n{}", process.log());
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(process)
    }

    fn client(&self) -> Result<Client> {
        let props = self.source.props();
        let settings = Settings::new(props.iter().map(|(key, value)| (&**key, &**value)))?;
        Ok(Client::new(settings).with_patience(Duration::from_secs(60)))
    }

    async fn make_topics(&self, client: &Client) -> Result<()> {
        let one = |topic: &String| {
            CreatableTopic::default()
                .with_name(TopicName(StrBytes::from_string(topic.clone())))
                .with_num_partitions(PARTITIONS)
                .with_replication_factor(1)
        };
        let request = CreateTopicsRequest::default()
            .with_topics(self.topics.iter().map(one).collect())
            .with_timeout_ms(60_000);
        let answer = client.call(To::Controller, &request, 5).await?;
        let refused = answer.topics.iter().find(|topic| topic.error_code != 0);
        ensure!(refused.is_none(), "{refused:?}");
        Ok(())
    }

    async fn make_acls(&self, client: &Client) -> Result<()> {
        let rule = |topic: &String| AclRule {
            resource: AclResource::Topic,
            name: topic.clone(),
            pattern: AclPattern::Literal,
            principal: "User:app".to_owned(),
            permission: AclPermission::Allow,
            operation: AclOperation::Read,
            host: "*".to_owned(),
        };
        let rules: Vec<AclRule> = self.topics.iter().map(rule).collect();
        client.create_acls(&rules).await.into_iter().collect::<Result<(), _>>()?;
        Ok(())
    }

    /// A batch for each partition, all in one request.
    async fn produce(&self, client: &Client) -> Result<()> {
        let stamp = Stamp { producer: ProducerIdentity { id: -1, epoch: -1 }, sequence: -1 };
        let mut builder = BatchBuilder::new(RECORDS * 20);
        (0..RECORDS).for_each(|_| builder.push(timestamp(), None, Some(b"value"), [].into_iter()));
        let batch = builder.finish(stamp, Compression::None, None);
        let of = |topic: &String| {
            let (topic, batch) = (topic.clone(), batch.clone());
            (0..PARTITIONS).map(move |partition| ProduceBatch::new(&*topic, partition, batch.clone()))
        };
        let mut left: Vec<ProduceBatch> = self.topics.iter().flat_map(of).collect();
        let began = Instant::now();
        // A topic is there a moment after it was made, and its leaders another.
        while !left.is_empty() {
            ensure!(began.elapsed() < LIMIT, "{} batches are refused", left.len());
            let connection = client.connection(To::Controller).await?;
            let answered = connection.produce(&left, &ProduceOptions::default()).await?;
            let refused: HashSet<_> =
                answered.into_iter().filter_map(Result::err).map(|one| (one.topic, one.partition)).collect();
            left.retain(|batch| refused.contains(&(batch.topic.clone(), batch.partition)));
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }

    /// Commits this offset for every partition of so many topics, in every group's name.
    fn commit(&self, topics: usize, offset: i64) -> Result<()> {
        let of = |topic: &String| {
            let topic: Arc<str> = topic.as_str().into();
            (0..PARTITIONS).map(move |partition| Commit {
                topic: topic.clone(),
                partition,
                committed: Committed { offset, leader_epoch: -1, metadata: String::new() },
            })
        };
        let commits: Vec<Commit> = self.topics[..topics].iter().flat_map(of).collect();
        let client = self.client()?;
        runtime()?.block_on(async {
            for group in &self.groups {
                let done = client.commit_offsets(group, &commits).await?;
                done.into_iter().collect::<Result<(), _>>()?;
            }
            Ok(())
        })
    }
}
