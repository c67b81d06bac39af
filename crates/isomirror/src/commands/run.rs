//! `isomirror run`: the daemon.

use std::{num::NonZero, process, sync::Arc, time::Duration};

use anyhow::Context;
use futures::{FutureExt, StreamExt, future::join_all, stream::FuturesUnordered};
use migration::verify::Watch;
use mirror_types::StopKind;
use pipeline::{
    Error, Link, Outcome, StatusHandle,
    status::{ClusterHealth, LinkStatus},
};
use prometheus::Registry;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    admin::{self, StatusSource},
    cli::{Common, Output, RunArgs},
    config::{Config, Pair, is_pair},
    exit::{Exit, Failure},
    human, link, logging,
    pair::{Sites, that_runs},
    progress,
    reload::{self, Reloader},
    systemd,
};

/// Of a pair's links, the one that the journal says, now and later.
const FOLLOW: &str = "follow";

/// Mirrors until a signal, or until caught up.
pub fn run(args: &RunArgs, common: &Common) -> anyhow::Result<Exit> {
    end_on_panic();
    let configs = configs(args)?;
    logging::follow(common, &configs[0].admin.log);
    // librdkafka's threads do their part beside these; on few cores, one wakes nobody.
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads((cores / 2).clamp(1, 4))
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    let exit = runtime.block_on(mirror(configs, args, common));
    // A request to a cluster that is down may still be waiting for its timeout.
    runtime.shutdown_timeout(Duration::from_millis(200));
    exit
}

/// The links to run: one, or both of a pair, of which each does what the journal on its target says.
fn configs(args: &RunArgs) -> anyhow::Result<Vec<Config>> {
    let path = args.config.config.as_deref();
    let direction = args.config.direction.as_deref();
    let Some(pair) = path.filter(|_| is_pair(path) && matches!(direction, None | Some(FOLLOW))) else {
        return Ok(vec![Config::load_here(path, direction)?]);
    };
    let pair = Pair::load_here(pair)?;
    if args.until_caught_up {
        let names = pair.links.each_ref().map(|link| link.link.clone());
        let message = format!(
            "a pair is never done: --until-caught-up is about one of its links\n  fix: add --direction {} or --direction {}",
            names[0], names[1]
        );
        return Err(Failure::new(Exit::Usage, message).into());
    }
    Ok(pair.links.into())
}

/// A panic in any thread ends the process: half a daemon is worse than none, what it had acknowledged is
/// recorded, and systemd or the container's restart policy starts it again.
fn end_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        process::abort();
    }));
}

/// A link, and what belongs to it.
struct Running {
    config: Config,
    registry: Registry,
    link: Link,
    status: StatusHandle,
    reloader: Reloader,
    watch: Option<Watch>,
    audits: Option<maintenance::Watch>,
}

impl Running {
    fn new(config: Config, args: &RunArgs, common: &Common) -> anyhow::Result<Self> {
        let labels = [("link".to_owned(), config.link.clone())].into();
        let registry =
            Registry::new_custom(None, Some(labels)).context("failed to make the metrics registry")?;
        let patience = args.until_caught_up.then_some(args.give_up_after);
        let link_config = link::config(&config, patience);
        let link = Link::new(link_config.clone(), &registry).map_err(failure)?;
        let status = link.status();
        let path = args.config.config.clone();
        let reloader =
            Reloader::new(&config, path, common, &link, &registry).context("failed to register metrics")?;
        let watch = match link::watch(&config).filter(|_| !args.until_caught_up) {
            Some(watch) => Some(Watch::new(watch, link_config, &link, &registry)?),
            None => None,
        };
        let audits = audits(&config, args.until_caught_up, &registry)?;
        Ok(Self { config, registry, link, status, reloader, watch, audits })
    }

    /// Its status, with what was compared, and how both clusters are.
    fn answer(&self) -> impl Fn() -> LinkStatus + Send + Sync + use<> {
        let (status, verified) = (self.status.clone(), self.watch.as_ref().map(Watch::verified));
        let health = self.audits.as_ref().map(maintenance::Watch::seen);
        move || {
            let mut report = status.report();
            if let Some(health) = &health {
                show_health(&mut report, health);
            }
            if let Some(verified) = &verified {
                verified.show_in(&mut report);
            }
            report
        }
    }
}

async fn mirror(configs: Vec<Config>, args: &RunArgs, common: &Common) -> anyhow::Result<Exit> {
    // First of all: until then, a signal just ends the process.
    let shutdown = CancellationToken::new();
    let interrupted = on_signals(shutdown.clone())?;
    // A run with an end belongs to whoever started it: with that terminal it ends.
    let hangup = match args.until_caught_up {
        true => None,
        false => Some(reload::on_signal().context("failed to listen to SIGHUP")?),
    };
    let mut running = Vec::new();
    for config in configs {
        running.push(Running::new(config, args, common)?);
    }
    let statuses: Vec<StatusHandle> = running.iter().map(|running| running.status.clone()).collect();
    let answers: Vec<_> = running.iter().map(Running::answer).collect();
    let mut registries: Vec<Registry> = running.iter().map(|running| running.registry.clone()).collect();
    let answer: StatusSource = match <[_; 2]>::try_from(answers) {
        Err(mut one) => Arc::new(one.pop().expect("there is a link")),
        Ok(both) => {
            let sites = Arc::new(Sites::new(both, registries.clone().try_into().expect("as many")));
            registries.push(sites.metrics().context("failed to register metrics")?);
            Arc::new(move || sites.status())
        }
    };
    let server = running[0]
        .config
        .admin
        .listen
        .map(|listen| admin::Server::start(listen, registries, answer))
        .transpose()
        .map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    say_what_runs(running.iter().map(|running| &running.config), server.as_ref());
    systemd::ready();
    let (mut links, mut reloaders, mut watches) = (Vec::new(), Vec::new(), Vec::new());
    for Running { link, reloader, watch, audits, .. } in running {
        if let Some(audits) = audits {
            // It only looks: whatever it is at when the link ends is of no use any more.
            tokio::spawn(audits.run());
        }
        links.push(link);
        reloaders.push(reloader);
        watches.extend(watch);
    }
    let stop = match watches.is_empty() {
        true => shutdown.clone(),
        false => {
            let shutdown = shutdown.clone();
            after(join_all(watches.into_iter().map(move |watch| watch.run(shutdown.clone()))).map(drop))
        }
    };

    let outcome = tokio::select! {
        outcome = run_all(links, &shutdown, stop) => outcome,
        () = systemd::keep_alive(&statuses) => unreachable!("it goes on for ever"),
        () = keep_reloading(reloaders, hangup) => unreachable!("it goes on for ever"),
        () = progress::draw(statuses[0].clone()), if args.until_caught_up => unreachable!("it goes on for ever"),
    };
    let report = that_runs(statuses.iter().map(StatusHandle::report).collect());
    if let Some(server) = server {
        server.shutdown();
    }
    let outcome = outcome.map_err(failure)?;
    info!(
        "stopped: {} records, {} mirrored; {}",
        human::count(report.totals.records),
        human::bytes(report.totals.bytes),
        if outcome.drained {
            "all that was in flight is on the target"
        } else {
            "some in flight will be sent again"
        },
    );
    if args.until_caught_up && !outcome.held.is_empty() {
        let held =
            outcome.held.iter().map(|(topic, plan)| (topic.clone(), plan.as_str().to_owned())).collect();
        warn!("left out, as asked for: {}", human::held(&held));
    }
    if args.until_caught_up && common.output == Output::Json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    }
    Ok(if !args.until_caught_up {
        Exit::Done
    } else if interrupted.is_cancelled() {
        Exit::Interrupted
    } else {
        caught_up(&outcome)
    })
}

/// What looks at both clusters meanwhile, if that is asked for.
fn audits(
    config: &Config,
    until_caught_up: bool,
    registry: &Registry,
) -> anyhow::Result<Option<maintenance::Watch>> {
    let Some(every) = config.audit.every.filter(|_| !until_caught_up) else { return Ok(None) };
    let clusters = [("source", &config.source), ("target", &config.target)];
    let clusters = clusters.map(|(side, cluster)| Ok((side, super::audit::client(side, cluster)?)));
    let clusters = clusters.into_iter().collect::<Result<_, Failure>>()?;
    Ok(Some(maintenance::Watch::new(clusters, every, registry).context("failed to register metrics")?))
}

fn show_health(report: &mut LinkStatus, seen: &maintenance::Seen) {
    for (side, status) in [("source", &mut report.source), ("target", &mut report.target)] {
        let shown = |look: maintenance::Look| ClusterHealth {
            age_seconds: look.at.map(|at| at.elapsed().as_secs_f64()),
            seen: look.health,
            trouble: look.trouble,
        };
        status.health = Some(seen.of(side).map(shown).unwrap_or_default());
    }
}

/// Runs links until `stop`; if one ends before, all do.
async fn run_all(
    links: Vec<Link>,
    shutdown: &CancellationToken,
    stop: CancellationToken,
) -> Result<Outcome, Error> {
    let mut running: FuturesUnordered<_> = links.into_iter().map(|link| link.run(stop.clone())).collect();
    let mut all: Option<Result<Outcome, Error>> = None;
    while let Some(ended) = running.next().await {
        shutdown.cancel();
        stop.cancel();
        all = Some(match (all, ended) {
            (Some(Err(error)), _) | (_, Err(error)) => Err(error),
            (Some(Ok(before)), Ok(outcome)) => Ok(before.and(outcome)),
            (None, Ok(outcome)) => Ok(outcome),
        });
    }
    all.expect("there is a link")
}

async fn keep_reloading(reloaders: Vec<Reloader>, hangup: Option<Signal>) {
    match hangup {
        Some(hangup) => reload::keep_reloading(reloaders, hangup).await,
        None => std::future::pending().await,
    }
}

/// Cancelled once this is through, which runs by itself.
fn after(work: impl Future<Output = ()> + Send + 'static) -> CancellationToken {
    let token = CancellationToken::new();
    let over = token.clone();
    tokio::spawn(async move {
        work.await;
        over.cancel();
    });
    token
}

fn say_what_runs<'a>(configs: impl Iterator<Item = &'a Config>, server: Option<&admin::Server>) {
    for config in configs {
        let (engine, why) = link::engine(config);
        info!(
            link = config.link,
            source = config.source.name,
            target = config.target.name,
            group = config.group(),
            %engine,
            "mirroring",
        );
        if let Some(why) = why {
            info!("engine = \"auto\" is records here: {why}");
        }
    }
    if let Some(server) = server {
        info!("status at http://{}/", server.local_addr());
    }
}

/// How a run that was to catch up ended: the worst of what stopped lanes.
fn caught_up(outcome: &Outcome) -> Exit {
    let worst = outcome.stopped.iter().map(|(_, stop)| match stop.kind {
        StopKind::Lost | StopKind::Diverged | StopKind::Foreign => (3, Exit::Diverged),
        StopKind::Precondition => (1, Exit::Refused),
        StopKind::Refused | StopKind::Unreadable | StopKind::Interrupted => (2, Exit::Failed),
    });
    let lost = (outcome.lost > 0).then_some((3, Exit::Diverged));
    worst.chain(lost).max_by_key(|(rank, _)| *rank).map_or(Exit::Done, |(_, exit)| exit)
}

fn failure(error: Error) -> Failure {
    let exit = match &error {
        Error::Cluster(_)
        | Error::Source(_)
        | Error::Target(_)
        | Error::Group(_)
        | Error::Groups(_)
        | Error::Acls(_) => Exit::Usage,
        Error::Routes(_) | Error::Loop(_) | Error::Chain(_) | Error::Swapped { .. } | Error::NoTopics => {
            Exit::Refused
        }
        Error::Unreachable { .. } => Exit::Unreachable,
        Error::Metrics(_) | Error::Panicked(_) => Exit::Failed,
    };
    Failure::new(exit, error.to_string())
}

/// The first SIGTERM or SIGINT stops the link, the second the process. The token that is returned says
/// whether there was a first.
fn on_signals(shutdown: CancellationToken) -> anyhow::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate()).context("failed to listen to SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to listen to SIGINT")?;
    let heard = CancellationToken::new();
    let first = heard.clone();
    tokio::spawn(async move {
        let name = next(&mut terminate, &mut interrupt).await;
        info!("{name}: stopping; a second signal stops at once");
        systemd::stopping();
        first.cancel();
        shutdown.cancel();
        let name = next(&mut terminate, &mut interrupt).await;
        warn!("{name} again: stopping at once; what is in flight will be sent again");
        process::exit(Exit::Interrupted as i32);
    });
    Ok(heard)
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}
