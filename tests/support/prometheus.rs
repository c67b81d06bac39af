//! A real Prometheus (Debian's package) on a free loopback port, that scrapes one endpoint every second.
//!
//! Owns its process, its configuration and its data in a temporary directory; gone when dropped or when the test
//! process ends, however it ends. A missing program is an error that names the package.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use kafka_harness::process::Process;
use serde_json::Value;

#[path = "tools.rs"]
mod tools;

/// What a query found: one series.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The series' labels, `__name__` among them if the expression kept it.
    pub labels: std::collections::BTreeMap<String, String>,
    /// Its value at the moment of the query.
    pub value: f64,
}

/// The running server.
#[derive(Debug)]
pub struct PrometheusServer {
    process: Process,
    url: String,
    agent: ureq::Agent,
    _dir: tempfile::TempDir,
}

// === impl PrometheusServer ===

impl PrometheusServer {
    /// Starts a Prometheus that scrapes `127.0.0.1:scrape_port` as job `isomirror`, and waits until it is up.
    pub fn start(scrape_port: u16) -> Result<Self> {
        let program = tools::find("prometheus", "prometheus")?;
        let dir = tempfile::tempdir().context("failed to make a temporary directory")?;
        let config = dir.path().join("prometheus.yml");
        std::fs::write(
            &config,
            format!(
                "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n\
                 scrape_configs:\n  - job_name: isomirror\n    static_configs:\n      \
                 - targets: [\"127.0.0.1:{scrape_port}\"]\n"
            ),
        )
        .context("failed to write Prometheus' configuration")?;
        // Another process may take the port before Prometheus does: then it ends at once, and another is tried.
        let mut last = None;
        for _ in 0..3 {
            match Self::launch(&program, &config, dir.path()) {
                Ok((process, url, agent)) => return Ok(Self { process, url, agent, _dir: dir }),
                Err(error) => last = Some(error),
            }
        }
        Err(last.expect("three attempts failed"))
    }

    fn launch(program: &Path, config: &Path, dir: &Path) -> Result<(Process, String, ureq::Agent)> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let mut command = Command::new(program);
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", dir.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let mut process = Process::spawn(command, &dir.join("prometheus.log"))?;
        let url = format!("http://127.0.0.1:{port}");
        let agent = agent();
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if agent.get(format!("{url}/-/ready")).call().is_ok() {
                return Ok((process, url, agent));
            }
            if let Some(status) = process.ended() {
                bail!("prometheus ended with {status}; its output ends:\n{}", process.log_tail());
            }
            ensure!(
                Instant::now() < deadline,
                "prometheus was not ready within 60 s; its output ends:\n{}",
                process.log_tail()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Answers one PromQL expression at this moment.
    pub fn query(&self, expr: &str) -> Result<Vec<Sample>> {
        let mut response = self
            .agent
            .get(format!("{}/api/v1/query", self.url))
            .query("query", expr)
            .call()
            .with_context(|| format!("failed to query {expr}"))?;
        let answer: Value = response.body_mut().read_json().context("prometheus answered with no JSON")?;
        ensure!(answer["status"] == "success", "prometheus refused {expr}: {answer}");
        let series =
            answer["data"]["result"].as_array().with_context(|| format!("{expr} gives no vector"))?;
        series.iter().map(sample).collect()
    }

    /// Asks until the answer pleases, and gives it; past the deadline the error tells the last answer.
    pub fn wait_for(
        &self,
        expr: &str,
        within: Duration,
        enough: impl Fn(&[Sample]) -> bool,
    ) -> Result<Vec<Sample>> {
        let deadline = Instant::now() + within;
        loop {
            let samples = self.query(expr)?;
            if enough(&samples) {
                return Ok(samples);
            }
            ensure!(
                Instant::now() < deadline,
                "{expr} did not become what was expected within {within:?}; it is {samples:?}; the scrape said: {}; \
                 prometheus' output ends:\n{}",
                self.scrape_error(),
                self.process.log_tail()
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn scrape_error(&self) -> String {
        let targets = self.agent.get(format!("{}/api/v1/targets", self.url)).call();
        let answer = targets.and_then(|mut response| response.body_mut().read_json::<Value>());
        answer.map_or_else(|e| e.to_string(), |v| v["data"]["activeTargets"][0]["lastError"].to_string())
    }
}

fn sample(series: &Value) -> Result<Sample> {
    let labels = series["metric"].as_object().context("a series has no labels object")?;
    let labels = labels.iter().map(|(k, v)| (k.clone(), v.as_str().unwrap_or_default().to_owned())).collect();
    let value = series["value"][1].as_str().context("a series has no value")?;
    Ok(Sample { labels, value: value.parse().context("a value is no number")? })
}

fn agent() -> ureq::Agent {
    // A proxy from the environment has no business between two loopback ports.
    ureq::Agent::config_builder().proxy(None).timeout_global(Some(Duration::from_secs(10))).build().into()
}
