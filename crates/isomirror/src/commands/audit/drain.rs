//! `audit drain` and `undrain`: a broker's leaders away before its restart, and back after it.
//!
//! What `undrain` needs is a plan like any other, in a directory: the rollback of what `drain` did.

use std::{
    fs, future,
    path::{Path, PathBuf},
};

use cluster_audit::{Limits, PartitionId, batches, drain as drained};
use maintenance::{Cluster, ElectOptions, apply, elect, gather};
use serde_json::json;

use super::{elect::from_files, failure, make, orders, show};
use crate::{
    cli::{DrainArgs, Output},
    exit::{Exit, Failure},
    human,
};

/// Partitions at once: only their order of preference changes.
const AT_ONCE: usize = 1_000;

/// Moves leaders off the broker.
pub async fn drain(cluster: &Cluster, args: &DrainArgs, output: Output) -> anyhow::Result<Exit> {
    let dir = dir(args);
    if !make::files_of_plan(&dir).is_empty() {
        let message = format!(
            "{} is what a drain has left that was not undone\n  fix: `audit undrain {}` first",
            dir.display(),
            args.broker
        );
        return Err(Failure::new(Exit::Refused, message).into());
    }
    let facts = gather(cluster).await.map_err(failure)?.facts;
    if !facts.brokers.contains_key(&args.broker) {
        return Err(Failure::new(Exit::Refused, format!("there is no broker {}", args.broker)).into());
    }
    let found = drained(&facts, args.broker);
    let moved: Vec<PartitionId> = found.moves.iter().map(|one| one.at.clone()).collect();
    let batches = batches(&found.moves, Limits { partitions: AT_ONCE, bytes: u64::MAX });
    make::write(&dir, &make::summary(cluster, &facts), &batches, &moved, AT_ONCE)?;
    let elected = match moved.is_empty() {
        true => Ok(maintenance::Elected::default()),
        false => run(cluster, &dir, false, &moved).await,
    };
    let elected = elected.inspect_err(|error| {
        if Exit::of(error) == Exit::Refused {
            // Nothing was begun, so there is nothing to undo.
            let _ = remove(&dir);
        }
    })?;
    super::print(&match output {
        Output::Json => serde_json::to_string_pretty(
            &json!({ "moved": moved, "elected": elected, "stay": found.undrainable }),
        )?,
        Output::Table => {
            let mut out = format!(
                "broker {}: {} led by another broker now\n",
                args.broker,
                human::plural(elected.elected, "partition is", "partitions are")
            );
            for failed in &elected.failed {
                out += &format!("FAILED: {}\n", human::plain(failed));
            }
            if !found.undrainable.is_empty() {
                let stay: Vec<_> = found.undrainable.iter().map(|one| one.at.clone()).collect();
                out += &format!("they stay, as no other replica is in sync: {}\n", show::named(&stay, false));
            }
            out +=
                &format!("{} has what `isomirror audit CONFIG undrain {}` needs", dir.display(), args.broker);
            out
        }
    })?;
    Ok(match (elected.failed.is_empty(), found.undrainable.is_empty()) {
        (false, _) => Exit::Failed,
        (true, false) => Exit::Refused,
        (true, true) => Exit::Done,
    })
}

/// Gives the broker its leaders back, and removes what `drain` has left for that.
pub async fn undrain(cluster: &Cluster, args: &DrainArgs, output: Output) -> anyhow::Result<Exit> {
    let dir = dir(args);
    if !dir.is_dir() {
        let message = format!(
            "there is no {}\n  fix: --dir names the directory that `audit drain` has written to",
            dir.display()
        );
        return Err(Failure::new(Exit::Usage, message).into());
    }
    orders::same_cluster(cluster, std::slice::from_ref(&dir)).await?;
    let moved = from_files(std::slice::from_ref(&dir))?;
    let elected = match moved.is_empty() {
        true => maintenance::Elected::default(),
        false => run(cluster, &dir, true, &moved).await?,
    };
    if elected.failed.is_empty() {
        remove(&dir)?;
    }
    super::print(&match output {
        Output::Json => serde_json::to_string_pretty(&json!({ "moved": moved, "elected": elected }))?,
        Output::Table => format!("broker {}: {}", args.broker, super::elect::shown(&elected)),
    })?;
    Ok(if elected.failed.is_empty() { Exit::Done } else { Exit::Failed })
}

/// Removes what `drain` has left, and the directory if nothing else is in it.
fn remove(dir: &Path) -> std::io::Result<()> {
    for file in make::files_of_plan(dir) {
        fs::remove_file(file)?;
    }
    let _ = fs::remove_dir(dir);
    Ok(())
}

/// Changes the order of preference, and has the first elected.
async fn run(
    cluster: &Cluster,
    dir: &PathBuf,
    back: bool,
    moved: &[PartitionId],
) -> anyhow::Result<maintenance::Elected> {
    let orders = maintenance::orders(std::slice::from_ref(dir), back).map_err(failure)?;
    let options = orders::at_once(format!("isomirror audit CONFIG apply {} --rollback", dir.display()));
    apply(cluster, &orders, &options, future::pending(), |_| {}).await.map_err(failure)?;
    let options = ElectOptions { batch: AT_ONCE, pause: std::time::Duration::ZERO };
    Ok(elect(cluster, moved, &options, |_| {}).await.map_err(failure)?)
}

fn dir(args: &DrainArgs) -> PathBuf {
    args.dir.clone().unwrap_or_else(|| PathBuf::from(format!("drain-{}", args.broker)))
}
