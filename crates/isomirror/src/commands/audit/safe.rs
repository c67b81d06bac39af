//! `audit safe`: whether a broker may go down now, or why not; waits until it may.

use std::{
    collections::BTreeMap,
    io::{Write, stderr},
    time::{Duration, Instant},
};

use cluster_audit::{never_safe, unsafe_now};
use maintenance::{Cluster, gather_without_disks};

use super::failure;
use crate::{
    cli::{Output, SafeArgs},
    exit::{Exit, Failure},
    human,
};

/// How often it looks.
const LOOK: Duration = Duration::from_secs(1);

type Reasons = BTreeMap<i32, Vec<String>>;

/// Why not, of each broker; and whether that stays so whatever comes back or catches up.
struct Found {
    reasons: Reasons,
    in_vain: bool,
}

/// Looks, and waits if that is asked for.
pub async fn run(cluster: &Cluster, args: &SafeArgs, output: Output) -> anyhow::Result<Exit> {
    let began = Instant::now();
    let mut told = None;
    let found = loop {
        // A broker that is going down or coming up may not answer.
        let found = match look(cluster, args).await {
            Ok(found) => found,
            Err(error) if args.wait.is_none_or(|wait| began.elapsed() >= wait) => return Err(error),
            Err(error) => {
                tracing::debug!("{error}");
                tokio::time::sleep(LOOK).await;
                continue;
            }
        };
        let Found { reasons, in_vain } = found;
        let safe = reasons.values().all(Vec::is_empty);
        if safe || in_vain || args.wait.is_none_or(|wait| began.elapsed() >= wait) {
            if !safe && in_vain && args.wait.is_some() {
                writeln!(stderr(), "waiting mends nothing here: `audit plan --replication` does")?;
            }
            break reasons;
        }
        if told.as_ref() != Some(&reasons) {
            writeln!(stderr(), "waiting: {}", shown(&reasons).replace('\n', "; "))?;
            told = Some(reasons);
        }
        tokio::time::sleep(LOOK).await;
    };
    super::print(&match output {
        Output::Json => serde_json::to_string_pretty(&found)?,
        Output::Table => shown(&found),
    })?;
    Ok(if found.values().all(Vec::is_empty) { Exit::Done } else { Exit::Refused })
}

async fn look(cluster: &Cluster, args: &SafeArgs) -> anyhow::Result<Found> {
    let facts = gather_without_disks(cluster).await.map_err(failure)?.facts;
    let brokers: Vec<i32> =
        if args.brokers.is_empty() { facts.brokers.keys().copied().collect() } else { args.brokers.clone() };
    if let Some(unknown) = brokers.iter().find(|id| !facts.brokers.contains_key(id)) {
        return Err(Failure::new(Exit::Refused, format!("there is no broker {unknown}")).into());
    }
    let in_vain = brokers.iter().any(|id| never_safe(&facts, *id));
    Ok(Found { reasons: brokers.into_iter().map(|id| (id, unsafe_now(&facts, id))).collect(), in_vain })
}

fn shown(found: &Reasons) -> String {
    let line = |(id, why): (&i32, &Vec<String>)| match why.is_empty() {
        true => format!("broker {id}: safe now"),
        false => format!("broker {id}: NOT safe: {}", human::plain(&why.join("; "))),
    };
    found.iter().map(line).collect::<Vec<_>>().join("\n")
}
