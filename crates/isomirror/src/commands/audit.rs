//! `isomirror audit`: what is at risk when brokers are touched, work orders against it, and doing them.
//!
//! Owns which cluster is meant, what a person or a script sees, files and exit codes. What is at risk and where replicas
//! should be is `cluster-audit`'s to say, and doing it is `maintenance`'s.

mod drain;
mod elect;
mod make;
mod orders;
mod page;
mod safe;
mod show;

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use cluster_audit::{Severity, findings, predict};
use kafka_wire::{Client, Settings};
use maintenance::{Cluster, Error, gather};
use pipeline::status::{LinkStatus, Totals};
use serde::Serialize;

use super::print;
use crate::{
    cli::{Audit, AuditArgs, Common, Output, Which},
    config::{self, Clusters, Config},
    exit::{Exit, Failure},
};

/// How long a question is asked again while brokers come and go.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is known of one cluster.
#[derive(Serialize)]
struct Audited {
    /// Its name.
    cluster: String,
    /// Which of the configuration's it is.
    side: &'static str,
    /// What it is, and what of it could not be seen.
    #[serde(flatten)]
    gathered: maintenance::Gathered,
    /// What is found.
    findings: Vec<cluster_audit::Finding>,
    /// What would become of it.
    maintenance: Option<cluster_audit::Prediction>,
}

/// The link between the clusters, where the configuration is a link's.
#[derive(Serialize)]
struct Beside {
    /// Its name.
    link: String,
    /// How its daemon is, if one answers.
    daemon: Option<Daemon>,
}

#[derive(Serialize)]
struct Daemon {
    phase: String,
    ready: bool,
    not_ready: Vec<String>,
    totals: Totals,
    lag_bytes: Option<u64>,
}

impl Beside {
    fn of(path: Option<&Path>) -> Option<Self> {
        let config = Config::load_here_to_ask(path).ok()?;
        let status = config.admin.listen.and_then(super::status_at);
        let status = status.filter(|status| status.link == config.link);
        Some(Self { link: config.link, daemon: status.map(Daemon::of) })
    }
}

impl Daemon {
    fn of(status: LinkStatus) -> Self {
        let lag_bytes = status.lag_bytes();
        let LinkStatus { phase, ready, not_ready, totals, .. } = status;
        Self { phase, ready, not_ready, totals, lag_bytes }
    }
}

impl Audited {
    /// Whether nothing is critical now, and nothing would be.
    fn is_well(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity != Severity::Critical)
            && self.maintenance.as_ref().is_none_or(cluster_audit::Prediction::is_safe)
    }
}

/// Does what was asked for.
pub fn run(args: &AuditArgs, common: &Common) -> anyhow::Result<Exit> {
    let clusters = chosen(&Clusters::load_here(args.config.config.as_deref())?, args.cluster)?;
    let Some(what) = &args.what else {
        let beside = Beside::of(args.config.config.as_deref());
        return super::interruptible(look(&clusters, beside, args, common.output), "interrupted");
    };
    let (side, cluster) = match &clusters[..] {
        [one] => one,
        _ => {
            let message = "the configuration has two clusters\n  fix: --cluster source, or --cluster target";
            return Err(Failure::new(Exit::Usage, message).into());
        }
    };
    tracing::debug!(side, cluster = cluster.name, "on this cluster");
    let output = common.output;
    match what {
        Audit::Plan(make) => {
            super::interruptible(make::run(cluster, make, args.watermark, output), "interrupted")
        }
        Audit::Apply(orders) => orders::apply(cluster, orders, args, output),
        Audit::Verify(files) => super::interruptible(orders::verify(cluster, files, output), "interrupted"),
        Audit::Elect(elect) => super::interruptible(
            elect::run(cluster, elect, output),
            "interrupted; leaders that were elected stay",
        ),
        Audit::Drain(drain) => super::interruptible(drain::drain(cluster, drain, output), "interrupted"),
        Audit::Undrain(drain) => super::interruptible(drain::undrain(cluster, drain, output), "interrupted"),
        Audit::Safe(safe) => super::interruptible(safe::run(cluster, safe, output), "interrupted"),
    }
}

fn chosen(clusters: &Clusters, which: Option<Which>) -> Result<Vec<(&'static str, Cluster)>, Failure> {
    let sides = [(Which::Source, "source", &clusters.source), (Which::Target, "target", &clusters.target)];
    let mut chosen = Vec::new();
    for (one, side, cluster) in sides {
        match cluster {
            Some(cluster) if which.is_none_or(|which| which == one) => {
                chosen.push((side, client(side, cluster)?));
            }
            None if which == Some(one) => {
                let message = format!("the configuration has no [{side}]");
                return Err(Failure::new(Exit::Usage, message));
            }
            _ => {}
        }
    }
    Ok(chosen)
}

/// The client of a cluster of the configuration.
pub fn client(side: &str, cluster: &config::Cluster) -> Result<Cluster, Failure> {
    let settings = Settings::new(cluster.kafka.iter())
        .map_err(|error| Failure::new(Exit::Usage, format!("[{side}.kafka] can't be used here: {error}")))?;
    let client = Client::new(settings).with_patience(PATIENCE);
    Ok(Cluster { name: cluster.name.clone(), client })
}

async fn look(
    clusters: &[(&'static str, Cluster)],
    beside: Option<Beside>,
    args: &AuditArgs,
    output: Output,
) -> anyhow::Result<Exit> {
    let down: BTreeSet<i32> = args.maintenance.iter().copied().collect();
    let mut audited = Vec::new();
    for (side, cluster) in clusters {
        let gathered = gather(cluster).await.map_err(failure)?;
        let found = findings(&gathered.facts, args.watermark);
        let maintenance = (!down.is_empty()).then(|| predict(&gathered.facts, &down));
        audited.push(Audited { cluster: cluster.name.clone(), side, gathered, findings: found, maintenance });
    }
    if let Some(path) = &args.html {
        fs::write(path, page::render(&audited, beside.as_ref())).map_err(|error| {
            Failure::new(Exit::Failed, format!("cannot write {}: {error}", path.display()))
        })?;
    }
    print(&match output {
        Output::Json => {
            serde_json::to_string_pretty(&serde_json::json!({ "clusters": audited, "link": beside }))?
        }
        Output::Table => show::audited(&audited, beside.as_ref(), args.all),
    })?;
    // Nothing is known of a broker that there is nowhere.
    let unknown =
        |one: &Audited, id| one.maintenance.as_ref().is_some_and(|found| found.unknown.contains(id));
    let nowhere = down.iter().any(|id| audited.iter().all(|one| unknown(one, id)));
    let is_well = !nowhere && audited.iter().all(Audited::is_well);
    Ok(if is_well { Exit::Done } else { Exit::Refused })
}

/// How a command ends that could not do it.
fn failure(error: Error) -> Failure {
    let exit = match &error {
        error if error.is_unreachable() => Exit::Unreachable,
        error if error.is_usage() => Exit::Usage,
        error if error.is_refused() => Exit::Refused,
        error if error.is_stopped() => Exit::Interrupted,
        _ => Exit::Failed,
    };
    Failure::new(exit, error.to_string())
}
