//! `audit plan`: work orders, written into a directory as Kafka's own tools take them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use cluster_audit::{
    Aim, Batch, Estimate, Facts, Limits, Move, PartitionId, batches, election_json, estimate, plan,
    preferred_after, reassignment_json,
};
use maintenance::{Cluster, gather};
use serde::{Deserialize, Serialize};

use super::failure;
use crate::{
    cli::{MakeArgs, Output},
    exit::{Exit, Failure},
    human::{self, plain},
    table,
};

/// What the plan is about, beside its orders.
pub const SUMMARY: &str = "plan.json";

/// The summary.
#[derive(Debug, Serialize, Deserialize)]
pub struct Summary {
    /// The cluster's name.
    pub cluster: String,
    /// Its id: orders are for no other one.
    pub cluster_id: Option<String>,
    /// When it was made.
    pub made: String,
}

#[derive(Serialize)]
struct Made<'a> {
    #[serde(flatten)]
    summary: &'a Summary,
    /// The file of each batch, and what it costs.
    batches: Vec<(String, Estimate)>,
    total: Estimate,
    elections: usize,
}

/// Makes a plan, and writes it.
pub async fn run(cluster: &Cluster, args: &MakeArgs, watermark: u64, output: Output) -> anyhow::Result<Exit> {
    if args.replication.is_none() && !args.spread_racks && args.empty.is_empty() {
        let message =
            "nothing is asked for\n  fix: --replication N, --spread-racks or --empty IDS say what is wanted";
        return Err(Failure::new(Exit::Usage, message).into());
    }
    vacant(&args.into)?;
    let gathered = gather(cluster).await.map_err(failure)?;
    if !gathered.hidden.is_empty() {
        // Where disks and reassignments can't be seen, a plan would be a guess.
        let hidden = gathered.hidden.iter().map(|hidden| format!("not seen: {hidden}")).collect();
        return Err(failure(maintenance::Error::Refused(hidden)).into());
    }
    let facts = &gathered.facts;
    let moves = plan(facts, &aim(facts, args, watermark)?).map_err(|refused| {
        failure(maintenance::Error::Refused(refused.iter().map(ToString::to_string).collect()))
    })?;
    let limits = Limits { partitions: args.batch.max(1), bytes: args.batch_bytes.as_u64() };
    let batches = batches(&moves, limits);
    let elections = preferred_after(facts, &moves);
    let summary = summary(cluster, facts);
    let files = write(&args.into, &summary, &batches, &elections, args.batch.max(1))?;
    let rate = Some(args.throttle.bytes_per_second());
    let made = Made {
        summary: &summary,
        batches: files.into_iter().zip(batches.iter().map(|batch| estimate(&batch.moves, rate))).collect(),
        // Batches are done one after the other.
        total: total(&moves, &batches, rate),
        elections: elections.len(),
    };
    super::print(&match output {
        Output::Json => serde_json::to_string_pretty(&made)?,
        Output::Table => shown(&made, args),
    })?;
    Ok(Exit::Done)
}

/// The plan's directory must not have another plan in it.
fn vacant(dir: &Path) -> Result<(), Failure> {
    match files_of_plan(dir).first() {
        Some(file) => Err(Failure::new(
            Exit::Refused,
            format!(
                "there is a plan: {}\n  fix: name another directory, or remove it once it is done",
                file.display()
            ),
        )),
        None => Ok(()),
    }
}

/// What a plan has put into a directory.
pub fn files_of_plan(dir: &Path) -> Vec<PathBuf> {
    let is_order = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name == SUMMARY || ["reassign-", "rollback-", "election-"].iter().any(|begin| name.starts_with(begin))
    };
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(is_order).collect()
}

pub fn summary(cluster: &Cluster, facts: &Facts) -> Summary {
    Summary {
        cluster: cluster.name.clone(),
        cluster_id: facts.cluster_id.clone(),
        made: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    }
}

fn aim(facts: &Facts, args: &MakeArgs, watermark: u64) -> Result<Aim, Failure> {
    let matches = |name: &&String| args.topic.iter().any(|pattern| pattern.matches(name));
    let topics: BTreeSet<String> = facts.topics.keys().filter(matches).cloned().collect();
    if !args.topic.is_empty() && topics.is_empty() {
        return Err(Failure::new(Exit::Refused, "no topic of the cluster matches --topic"));
    }
    Ok(Aim {
        replicas: args.replication.map(usize::from),
        spread_racks: args.spread_racks,
        empty: args.empty.iter().copied().collect(),
        topics: (!args.topic.is_empty()).then_some(topics),
        watermark: Some(watermark),
    })
}

/// Writes it all; gives the names of the orders.
pub fn write(
    dir: &Path,
    summary: &Summary,
    batches: &[Batch],
    elections: &[PartitionId],
    elected_at_once: usize,
) -> anyhow::Result<Vec<String>> {
    let failed = |path: &Path, error: std::io::Error| {
        Failure::new(Exit::Failed, format!("cannot write {}: {error}", path.display()))
    };
    fs::create_dir_all(dir).map_err(|error| failed(dir, error))?;
    let put = |name: &str, text: &str| {
        let path = dir.join(name);
        fs::write(&path, text).map_err(|error| failed(&path, error))
    };
    put(SUMMARY, &(serde_json::to_string_pretty(summary)? + "\n"))?;
    let mut names = Vec::new();
    for (at, batch) in batches.iter().enumerate() {
        let number = format!("{:03}.json", at + 1);
        let placed = |after: bool| {
            let one = move |one: &'_ Move| if after { one.after.clone() } else { one.before.clone() };
            let places: BTreeMap<&PartitionId, Vec<i32>> =
                batch.moves.iter().map(|found| (&found.at, one(found))).collect();
            reassignment_json(places.iter().map(|(at, replicas)| (*at, &replicas[..])))
        };
        // What undoes it is there before it is.
        put(&format!("rollback-{number}"), &placed(false))?;
        put(&format!("reassign-{number}"), &placed(true))?;
        names.push(format!("reassign-{number}"));
    }
    for (at, part) in elections.chunks(elected_at_once).enumerate() {
        put(&format!("election-{:03}.json", at + 1), &election_json(part))?;
    }
    Ok(names)
}

fn total(moves: &[Move], batches: &[Batch], rate: Option<u64>) -> Estimate {
    let seconds = batches.iter().map(|batch| estimate(&batch.moves, rate).seconds).sum();
    Estimate { seconds, ..estimate(moves, rate) }
}

fn shown(made: &Made<'_>, args: &MakeArgs) -> String {
    let dir = args.into.display();
    if made.batches.is_empty() {
        let elections = match made.elections {
            0 => String::new(),
            count => format!(
                "; {} to be elected: `audit elect {dir}`",
                human::plural(count, "leader is", "leaders are")
            ),
        };
        return format!("{}: nothing to move{elections}", plain(&made.summary.cluster));
    }
    let mut table = table::with(&["order", "partitions", "new replicas", "to copy", "time"], &[1, 2, 3, 4]);
    let time = |estimate: &Estimate| human::eta(estimate.seconds.map(|seconds| seconds as f64));
    let all = [("all".to_owned(), made.total)];
    let several = made.batches.len() > 1;
    for (name, estimate) in made.batches.iter().chain(all.iter().filter(|_| several)) {
        table.add_row([
            name.clone(),
            human::count(estimate.partitions as u64),
            human::count(estimate.replicas as u64),
            human::bytes(estimate.bytes),
            time(estimate),
        ]);
    }
    let elections = match made.elections {
        0 => String::new(),
        count => format!(
            "{} to be elected afterwards: `audit elect {dir}`\n",
            human::plural(count, "leader is", "leaders are")
        ),
    };
    format!(
        "{}\n{dir} has it, each order with its rollback; times are those at {} a broker.\n{elections}\
         next: `isomirror audit CONFIG apply {dir}`; back: the same with --rollback",
        table::trimmed(&table),
        args.throttle
    )
}
