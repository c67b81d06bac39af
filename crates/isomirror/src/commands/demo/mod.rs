//! `isomirror demo`: two clusters in this process, the real pipeline between them, and a comparison of both sides.
//!
//! ```text
//! records ─► load ─► cluster dc1 ─► pipeline::Link, as `run --until-caught-up` ─► cluster dc2
//!    │                   └──────────────► read_back ◄─────────────────────────────────┘
//!    └────────────── what was loaded ──────► compare ─► show
//! ```
//! Owns the story. The clusters are librdkafka's own mock brokers on loopback ports: they speak Kafka's protocol,
//! keep their records in memory, and are gone with the process. They create no topics when asked over the
//! network, so the demo makes them on both sides.

mod compare;
mod load;
mod read_back;
mod records;
mod show;

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use pipeline::{Link, LinkConfig, StatusHandle};
use prometheus::Registry;
use rdkafka::mocking::MockCluster;
use tokio_util::sync::CancellationToken;

use crate::{
    cli::{Common, Output},
    config::Config,
    exit::Exit,
    human, link, progress,
};
use compare::compare;
use records::TOPICS;
use show::{Outcome, Story};

const BROKERS: i32 = 3;
/// Partitions of the link's control topic.
const SLOTS: i32 = 4;
/// Nothing here takes longer, unless something hangs.
const PATIENCE: Duration = Duration::from_secs(60);
/// The topic rules of the demo, as the configuration has them.
const INCLUDE: &str = r#"["orders", "payments\\..*", "audit"]"#;
const RENAME: &str = r#"{ "^payments\\.(.*)$" = "$1.payments" }"#;

/// Loads, mirrors, reads back, compares; done only if every partition is equal.
pub fn run(common: &Common) -> anyhow::Result<Exit> {
    let story = Story::new(common.output == Output::Table);
    let start = || MockCluster::new(BROKERS).context("failed to start a cluster in this process");
    let (source, target) = (start()?, start()?);
    for topic in &TOPICS {
        for (cluster, name) in [(&source, topic.name), (&target, topic.target)] {
            let created = cluster.create_topic(name, topic.partitions, BROKERS);
            created.with_context(|| format!("failed to create topic {name}"))?;
        }
    }
    let control = control_topic::name_of("demo");
    target
        .create_topic(&control, SLOTS, BROKERS)
        .with_context(|| format!("failed to create topic {control}"))?;
    let (dc1, dc2) = (source.bootstrap_servers(), target.bootstrap_servers());
    story.begin(&dc1, &dc2)?;

    let began = Instant::now();
    let loaded = load::load(&dc1).context("failed to load records")?;
    let total = loaded.values().map(|content| content.records() as u64).sum();
    story.loaded(total, began.elapsed())?;

    let mirrored = mirror(&dc1, &dc2, total)?;
    story.mirrored(&mirrored)?;

    let began = Instant::now();
    let on_source = read_back::read(&dc1, TOPICS.iter().map(|t| (t.name, t.partitions)))?;
    let on_target = read_back::read(&dc2, TOPICS.iter().map(|t| (t.target, t.partitions)))?;
    story.read_back(began.elapsed())?;
    ensure!(on_source == loaded, "the cluster dc1 does not hold what was loaded: the demo proves nothing");

    let rows = TOPICS.iter().flat_map(|topic| (0..topic.partitions).map(move |p| (topic, p)));
    let rows = rows.map(|(topic, p)| compare(topic, p, &on_source, &on_target)).collect();
    let outcome = Outcome::new(rows, &mirrored);
    match common.output {
        Output::Table => story.end(&outcome)?,
        Output::Json => show::line(&serde_json::to_string_pretty(&outcome)?)?,
    }
    Ok(exit(&outcome))
}

fn exit(outcome: &Outcome) -> Exit {
    if outcome.equal { Exit::Done } else { Exit::Failed }
}

/// What the mirror did.
struct Mirrored {
    records: u64,
    bytes: u64,
    took: Duration,
}

/// The configuration of the demo's link, read the same way as that of `run`; nothing of this process'
/// environment reaches it.
fn config(source: &str, target: &str) -> anyhow::Result<Config> {
    let variables = [
        ("ISOMIRROR__LINK", "demo"),
        ("ISOMIRROR__SOURCE__NAME", "dc1"),
        ("ISOMIRROR__SOURCE__KAFKA__BOOTSTRAP_SERVERS", source),
        ("ISOMIRROR__TARGET__NAME", "dc2"),
        ("ISOMIRROR__TARGET__KAFKA__BOOTSTRAP_SERVERS", target),
        ("ISOMIRROR__TOPICS__INCLUDE", INCLUDE),
        ("ISOMIRROR__TOPICS__RENAME", RENAME),
        ("ISOMIRROR__TOPICS__CREATE", "false"),
        ("ISOMIRROR__ADMIN__LISTEN", "none"),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Config::load(None, variables).context("the demo's own configuration")
}

fn mirror(source: &str, target: &str, total: u64) -> anyhow::Result<Mirrored> {
    let config = config(source, target)?;
    let config = LinkConfig { alone: true, ..link::config(&config, Some(PATIENCE)) };
    let link = Link::new(config, &Registry::new())?;
    let status = link.status();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.context("failed to start the runtime")?;
    let began = Instant::now();
    let outcome = runtime.block_on(async {
        tokio::select! {
            outcome = link.run(CancellationToken::new()) => outcome.map_err(anyhow::Error::from),
            () = progress(status.clone(), total) => unreachable!("it goes on for ever"),
            () = tokio::time::sleep(PATIENCE) => {
                Err(anyhow::anyhow!("not caught up after {PATIENCE:?}: {}", status.report().not_ready.join("; ")))
            }
        }
    });
    let took = began.elapsed();
    runtime.shutdown_timeout(Duration::from_millis(200));
    let outcome = outcome.context("failed to mirror")?;
    if let Some((lane, stop)) = outcome.stopped.first() {
        bail!("{lane} stopped: {stop}");
    }
    ensure!(outcome.caught_up && outcome.drained, "the mirror ended before all was on the target");
    let totals = status.report().totals;
    Ok(Mirrored { records: totals.records, bytes: totals.bytes, took })
}

/// A bar on a terminal; elsewhere a line a second.
async fn progress(status: StatusHandle, total: u64) {
    let lines = async {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let done = status.report().totals.records;
            eprintln!("  … {} of {} records mirrored", human::count(done), human::count(total));
        }
    };
    tokio::select! {
        () = progress::draw(status.clone()) => {}
        () = lines, if !progress::is_drawn() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_take_every_topic_to_the_name_the_table_tells() {
        let config = config("a:1", "b:1").unwrap();
        let routes = config.topics.rules.route(TOPICS.iter().map(|topic| topic.name)).unwrap();
        for topic in &TOPICS {
            assert_eq!(routes[topic.name], topic.target);
        }
        assert!(TOPICS.iter().any(|topic| topic.name != topic.target), "one is renamed");
        assert!(config.admin.listen.is_none() && !config.topics.defaults.create);
    }

    #[test]
    fn a_difference_ends_the_demo_with_1() {
        let mirrored = Mirrored { records: 1, bytes: 1, took: PATIENCE };
        let row = |equal| compare::tests::row("orders", 0, equal);
        assert_eq!(exit(&Outcome::new(vec![row(true), row(true)], &mirrored)), Exit::Done);
        assert_eq!(exit(&Outcome::new(vec![row(true), row(false)], &mirrored)), Exit::Failed);
        assert_eq!(exit(&Outcome::new(vec![], &mirrored)), Exit::Failed, "nothing compared is nothing shown");
    }
}
