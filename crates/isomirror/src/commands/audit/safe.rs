//! `audit safe`: whether a broker may go down now, or why not; waits until it may.

use std::{
    collections::BTreeMap,
    io::{Write, stderr},
    time::{Duration, Instant},
};

use cluster_audit::unsafe_now;
use maintenance::{Cluster, gather};

use super::failure;
use crate::{
    cli::{Output, SafeArgs},
    exit::{Exit, Failure},
    human,
};

/// How often it looks.
const LOOK: Duration = Duration::from_secs(1);

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
        let safe = found.values().all(Vec::is_empty);
        if safe || args.wait.is_none_or(|wait| began.elapsed() >= wait) {
            break found;
        }
        if told.as_ref() != Some(&found) {
            writeln!(stderr(), "waiting: {}", shown(&found).replace('\n', "; "))?;
            told = Some(found);
        }
        tokio::time::sleep(LOOK).await;
    };
    super::print(&match output {
        Output::Json => serde_json::to_string_pretty(&found)?,
        Output::Table => shown(&found),
    })?;
    Ok(if found.values().all(Vec::is_empty) { Exit::Done } else { Exit::Refused })
}

async fn look(cluster: &Cluster, args: &SafeArgs) -> anyhow::Result<BTreeMap<i32, Vec<String>>> {
    let facts = gather(cluster).await.map_err(failure)?.facts;
    let brokers: Vec<i32> =
        if args.brokers.is_empty() { facts.brokers.keys().copied().collect() } else { args.brokers.clone() };
    if let Some(unknown) = brokers.iter().find(|id| !facts.brokers.contains_key(id)) {
        return Err(Failure::new(Exit::Refused, format!("there is no broker {unknown}")).into());
    }
    Ok(brokers.into_iter().map(|id| (id, unsafe_now(&facts, id))).collect())
}

fn shown(found: &BTreeMap<i32, Vec<String>>) -> String {
    let line = |(id, why): (&i32, &Vec<String>)| match why.is_empty() {
        true => format!("broker {id}: safe now"),
        false => format!("broker {id}: NOT safe: {}", human::plain(&why.join("; "))),
    };
    found.iter().map(line).collect::<Vec<_>>().join("\n")
}
