//! A running link's configuration, read again: of what may change, all or nothing.
//!
//! Owns which keys those are for (`config::may_change` says), what the log says of it, and the metrics. What has to be so
//! that a running link can take it over is `pipeline`'s to say.

use std::path::PathBuf;

use pipeline::{Link, ReloadHandle};
use prometheus::{IntCounterVec, IntGauge, Opts, Registry};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info};

use crate::{
    cli::Common,
    config::{Config, is_pair, may_change, why_fixed},
    link, logging, systemd,
};

/// Reads the configuration again when it is told to.
pub struct Reloader {
    config: Config,
    path: Option<PathBuf>,
    common: Common,
    link: ReloadHandle,
    reloads: IntCounterVec,
    last: IntGauge,
}

impl Reloader {
    /// For a link that runs with this configuration.
    pub fn new(
        config: &Config,
        path: Option<PathBuf>,
        common: &Common,
        link: &Link,
        registry: &Registry,
    ) -> prometheus::Result<Self> {
        let reloads = Opts::new(
            "isomirror_config_reloads_total",
            "Times that the configuration was read again, by what came of it.",
        );
        let reloads = IntCounterVec::new(reloads, &["result"])?;
        let last = IntGauge::new(
            "isomirror_config_last_reload_success",
            "1 if the configuration as it was last read is the one that runs, 0 if it was refused.",
        )?;
        registry.register(Box::new(reloads.clone()))?;
        registry.register(Box::new(last.clone()))?;
        for result in ["applied", "refused"] {
            reloads.with_label_values(&[result]).reset();
        }
        last.set(1);
        Ok(Self { config: config.clone(), path, common: common.clone(), link: link.reload(), reloads, last })
    }

    /// Reads it again, and takes it over or says why not.
    fn read_again(&mut self) {
        // It reads files, and tries whether clients can be made of it: the data path goes on meanwhile.
        let done = tokio::task::block_in_place(|| self.reload());
        self.last.set(i64::from(done.is_ok()));
        let result = if done.is_ok() { "applied" } else { "refused" };
        self.reloads.with_label_values(&[result]).inc();
        let link = &self.config.link;
        match done {
            Ok(changed) if changed.is_empty() => info!(link, "nothing has changed in the configuration"),
            Ok(changed) => info!(link, "the configuration is taken over: {}", changed.join(", ")),
            Err(reason) => error!(link, "the configuration is refused, the link goes on as it was: {reason}"),
        }
    }

    /// The keys that have changed, or why none of them is taken over.
    fn reload(&mut self) -> Result<Vec<String>, String> {
        let path = self.path.as_deref();
        let direction = is_pair(path).then_some(self.config.link.as_str());
        let new = Config::load_here(path, direction).map_err(|error| error.to_string())?;
        let changed: Vec<String> = self.config.changes(&new).into_iter().collect();
        let fixed: Vec<&str> = changed.iter().map(String::as_str).filter(|key| !may_change(key)).collect();
        if !fixed.is_empty() {
            let keys: Vec<String> = fixed.iter().map(|key| format!("{key} ({})", why_fixed(key))).collect();
            return Err(format!(
                "{} can't change while the link runs; fix: take the change back, or restart isomirror",
                keys.join(", ")
            ));
        }
        if !changed.is_empty() {
            let fix = "take the change back, or restart isomirror";
            self.link.apply(link::config(&new, None)).map_err(|unfit| format!("{unfit}; fix: {fix}"))?;
            logging::follow(&self.common, &new.admin.log);
            self.config = new;
        }
        Ok(changed)
    }
}

/// Reads the configuration again at each signal; for ever.
pub async fn keep_reloading(mut reloaders: Vec<Reloader>, mut signal: Signal) {
    while signal.recv().await.is_some() {
        info!("SIGHUP: reading the configuration again");
        systemd::reloading();
        reloaders.iter_mut().for_each(Reloader::read_again);
        systemd::ready();
    }
    std::future::pending().await
}

/// Listens to the signal. Until then it ends the process, as it does to other commands.
pub fn on_signal() -> std::io::Result<Signal> {
    signal(SignalKind::hangup())
}
