//! `audit apply` and `audit verify`: work orders done, and looked at.

use std::{fs, path::PathBuf, sync::Mutex, time::Duration};

use anyhow::Context;
use indicatif::ProgressBar;
use maintenance::{ApplyOptions, Cluster, Order, Progress, Standing};
use tokio::signal::unix::{SignalKind, signal};

use super::{
    failure,
    make::{SUMMARY, Summary},
    show,
};
use crate::{
    cli::{AuditArgs, FilesArgs, OrdersArgs, Output},
    config::Rate,
    exit::{Exit, Failure},
    human, progress,
};

/// Does them.
pub fn apply(cluster: &Cluster, args: &OrdersArgs, all: &AuditArgs, output: Output) -> anyhow::Result<Exit> {
    let orders = maintenance::orders(&args.files.plans, args.files.rollback).map_err(failure)?;
    let options = ApplyOptions {
        throttle: args.throttle.0.map(Rate::bytes_per_second),
        patience: args.patience,
        watermark: all.watermark,
        back: back(&args.files, all),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("failed to start the runtime")?;
    let done = runtime.block_on(async {
        same_cluster(cluster, &args.files.plans).await?;
        let (mut terminate, mut hang_up) = (signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
        let stop = async {
            tokio::select! {
                _ = terminate.recv() => {}
                // The terminal is gone: whoever began it can't see any more what goes wrong.
                _ = hang_up.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        };
        let board = Board::new(&orders);
        let done =
            maintenance::apply(cluster, &orders, &options, stop, |progress| board.show(progress)).await;
        board.end();
        Ok::<_, anyhow::Error>(done.map_err(failure)?)
    });
    runtime.shutdown_background();
    let done = done?;
    super::print(&match output {
        Output::Json => serde_json::to_string_pretty(&done)?,
        Output::Table => {
            let mut out = String::new();
            if done.throttles_found > 0 {
                let topics = human::plural(done.throttles_found, "topic", "topics");
                out += &format!("a throttle was left behind on {topics}, and is taken off\n");
            }
            if done.before > 0 {
                out += &format!("{} done before\n", human::plural(done.before, "order was", "orders were"));
            }
            out + &match done.batches {
                0 => "nothing is left to do".to_owned(),
                count => format!(
                    "{} done, {} moved, {} copied, all in sync, in {}",
                    human::plural(count, "order", "orders"),
                    human::plural(done.partitions, "partition", "partitions"),
                    human::bytes(done.bytes),
                    human::duration(done.seconds)
                ),
            }
        }
    })?;
    Ok(Exit::Done)
}

/// The command that undoes it.
fn back(files: &FilesArgs, all: &AuditArgs) -> String {
    let config = all.config.config.as_ref().map(|path| format!(" {}", path.display())).unwrap_or_default();
    let plans: Vec<String> = files.plans.iter().map(|plan| plan.display().to_string()).collect();
    let flag = if files.rollback { "" } else { " --rollback" };
    format!("isomirror audit{config} apply {}{flag}", plans.join(" "))
}

/// Orders are for the cluster that they were made for.
pub async fn same_cluster(cluster: &Cluster, plans: &[PathBuf]) -> anyhow::Result<()> {
    let id = cluster
        .client
        .cluster_id()
        .await
        .map_err(|error| failure(maintenance::Error::Cluster { cluster: cluster.name.clone(), error }))?;
    for plan in plans {
        let dir: PathBuf = if plan.is_dir() { plan.clone() } else { plan.with_file_name("") };
        let Ok(text) = fs::read_to_string(dir.join(SUMMARY)) else { continue };
        let summary: Summary = serde_json::from_str(&text).map_err(|error| {
            Failure::new(Exit::Usage, format!("{}: {error}", dir.join(SUMMARY).display()))
        })?;
        if summary.cluster_id.as_deref() != id.as_deref() {
            let message = format!(
                "{} was made for cluster {} ({}), and this one is {} ({})\n  fix: --cluster names the other one",
                dir.display(),
                summary.cluster,
                summary.cluster_id.as_deref().unwrap_or(human::NONE),
                cluster.name,
                id.as_deref().unwrap_or(human::NONE)
            );
            return Err(Failure::new(Exit::Refused, message).into());
        }
    }
    Ok(())
}

/// What is seen while it runs: a bar on a terminal, elsewhere a line for each batch that is begun or done.
struct Board {
    bar: Option<ProgressBar>,
    files: Vec<String>,
    told: Mutex<Option<Progress>>,
}

impl Board {
    fn new(orders: &[Order]) -> Self {
        let name = |order: &Order| order.file.display().to_string();
        Self {
            bar: progress::is_drawn().then(progress::bar),
            files: orders.iter().map(name).collect(),
            told: Mutex::new(None),
        }
    }

    fn show(&self, now: &Progress) {
        let file = self.files.get(now.batch - 1).map_or("", String::as_str);
        let words = format!(
            "order {} of {}: {} of {}, {} of {} ({file})",
            now.batch,
            now.batches,
            human::bytes(now.bytes_done),
            human::bytes(now.bytes),
            human::count(now.partitions_done as u64),
            human::plural(now.partitions, "partition", "partitions"),
        );
        if let Some(bar) = &self.bar {
            bar.set_length(now.bytes.max(1));
            bar.set_position(now.bytes_done);
            bar.set_message(words);
            return;
        }
        let mut told = self.told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let news = told
            .as_ref()
            .is_none_or(|told| told.batch != now.batch || told.partitions_done != now.partitions_done);
        if news {
            eprintln!("{words}");
            *told = Some(now.clone());
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Looks at them.
pub async fn verify(cluster: &Cluster, args: &FilesArgs, output: Output) -> anyhow::Result<Exit> {
    let orders = maintenance::orders(&args.plans, args.rollback).map_err(failure)?;
    same_cluster(cluster, &args.plans).await?;
    let found = maintenance::verify(cluster, &orders).await.map_err(failure)?;
    super::print(&match output {
        Output::Json => serde_json::to_string_pretty(&found)?,
        Output::Table => {
            let mut out = format!(
                "{} as planned and in sync\n",
                human::plural(found.done, "partition is", "partitions are")
            );
            for (standing, what) in [
                (Standing::Moving, "on their way"),
                (Standing::NotInSync, "where they are to be, and not all in sync"),
                (Standing::Before, "where they were"),
                (Standing::Elsewhere, "NOT where they are to be, nor where they were"),
            ] {
                let of = found.not_done.iter().filter(|(_, found)| *found == standing);
                let list: Vec<_> = of.map(|(at, _)| at.clone()).collect();
                if !list.is_empty() {
                    out += &format!("{what}: {}\n", show::named(&list, false));
                }
            }
            if !found.throttles_taken_off.is_empty() {
                let topics = human::few(&found.throttles_taken_off);
                out += &format!("a throttle was left behind, and is taken off: {topics}\n");
            }
            if !found.throttled.is_empty() {
                out +=
                    &format!("throttled, as partitions are on their way: {}\n", human::few(&found.throttled));
            }
            out
        }
    })?;
    Ok(if found.is_done() { Exit::Done } else { Exit::Refused })
}

/// Done as fast as it goes: nothing is copied.
pub fn at_once(back: String) -> ApplyOptions {
    ApplyOptions { throttle: None, patience: Duration::from_secs(60), watermark: 100, back }
}
