//! `audit elect`: preferred leaders.

use std::{fs, path::PathBuf};

use cluster_audit::{PartitionId, not_preferred, read_election};
use maintenance::{Cluster, ElectOptions, Elected, elect, gather};

use super::{failure, orders::same_cluster};
use crate::{
    cli::{ElectArgs, Output},
    exit::{Exit, Failure},
    human, progress,
};

/// Has them elected.
pub async fn run(cluster: &Cluster, args: &ElectArgs, output: Output) -> anyhow::Result<Exit> {
    same_cluster(cluster, &args.plans).await?;
    let partitions = match args.plans.is_empty() {
        true => not_preferred(&gather(cluster).await.map_err(failure)?.facts),
        false => from_files(&args.plans)?,
    };
    let options = ElectOptions { batch: args.batch, pause: args.pause };
    let bar = progress::is_drawn().then(progress::bar);
    if let Some(bar) = &bar {
        bar.set_length(partitions.len() as u64);
    }
    let show = |done: usize| bar.iter().for_each(|bar| bar.set_position(done as u64));
    let done = elect(cluster, &partitions, &options, show).await.map_err(failure)?;
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    super::print(&match output {
        Output::Json => serde_json::to_string_pretty(&done)?,
        Output::Table => shown(&done),
    })?;
    Ok(if done.failed.is_empty() { Exit::Done } else { Exit::Failed })
}

/// What came of it, in words.
pub fn shown(done: &Elected) -> String {
    let mut out = format!(
        "{} led by their preferred replica",
        human::plural(done.elected, "partition is", "partitions are")
    );
    if !done.failed.is_empty() {
        out += &format!(
            "; {} not:\n  {}",
            human::plural(done.failed.len(), "is", "are"),
            done.failed.iter().take(10).map(|why| human::plain(why)).collect::<Vec<_>>().join("\n  ")
        );
    }
    out
}

/// The partitions in these files, and in the elections of these directories.
pub fn from_files(plans: &[PathBuf]) -> Result<Vec<PartitionId>, Failure> {
    let bad = |path: &PathBuf, why: String| {
        Failure::new(
            Exit::Usage,
            format!("{}: {why}\n  fix: it has to be as kafka-leader-election takes it", path.display()),
        )
    };
    let mut files = Vec::new();
    for plan in plans {
        if !plan.is_dir() {
            files.push(plan.clone());
            continue;
        }
        let entries = fs::read_dir(plan).map_err(|error| bad(plan, error.to_string()))?;
        let is_election = |path: &PathBuf| {
            path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("election-"))
        };
        let mut found: Vec<PathBuf> =
            entries.flatten().map(|entry| entry.path()).filter(is_election).collect();
        found.sort();
        files.extend(found);
    }
    let mut partitions = Vec::new();
    for file in &files {
        let text = fs::read_to_string(file).map_err(|error| bad(file, error.to_string()))?;
        partitions.extend(read_election(&text).map_err(|error| bad(file, error.to_string()))?);
    }
    Ok(partitions)
}
