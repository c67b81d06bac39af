//! A running `isomirror`, as its operator has it: a process, a configuration file, an HTTP address, a log.

use std::{
    fmt::Write as _,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{Cluster, reaper, shared::unique};

/// How long anything may take before a test gives up on it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The lines of a configuration.
#[derive(Clone)]
pub struct Config {
    link: String,
    engine: Option<&'static str>,
    source: Vec<(String, String)>,
    target: Vec<(String, String)>,
    topics: Vec<String>,
    rest: Vec<String>,
    /// All of it, in the place of the above.
    whole: Option<String>,
}

impl Config {
    /// A link between two clusters, as a super user, with `include` as its only topic rule.
    pub fn new(source: &Cluster, target: &Cluster, include: &str) -> Self {
        let include = serde_json::to_string(include).expect("a string");
        Self {
            link: unique("link"),
            engine: None,
            source: source.client_properties("admin"),
            target: target.client_properties("admin"),
            topics: vec![format!("include = [{include}]"), "refresh = \"1s\"".to_owned()],
            rest: Vec::new(),
            whole: None,
        }
    }

    /// A file with this text: a pair's, say.
    pub fn of(text: String) -> Self {
        let none = Vec::new;
        let (link, engine, whole) = (String::new(), None, Some(text));
        Self { link, engine, source: none(), target: none(), topics: Vec::new(), rest: Vec::new(), whole }
    }

    /// This name, in the place of one of its own.
    pub fn link_name(mut self, name: &str) -> Self {
        self.link = name.to_owned();
        self
    }

    /// Librdkafka properties of the source, in the place of the super user's.
    pub fn source(mut self, properties: Vec<(String, String)>) -> Self {
        self.source = properties;
        self
    }

    /// Librdkafka properties of the target, in the place of the super user's.
    pub fn target(mut self, properties: Vec<(String, String)>) -> Self {
        self.target = properties;
        self
    }

    /// One more librdkafka property of the target.
    pub fn target_property(mut self, key: &str, value: &str) -> Self {
        self.target.push((key.to_owned(), value.to_owned()));
        self
    }

    /// A line of the `[topics]` section.
    pub fn topics(mut self, line: &str) -> Self {
        let key = |line: &str| line.split('=').next().unwrap_or_default().trim().to_owned();
        self.topics.retain(|other| key(other) != key(line));
        self.topics.push(line.to_owned());
        self
    }

    /// This engine, whatever the environment says.
    pub fn engine(mut self, engine: &'static str) -> Self {
        self.engine = Some(engine);
        self
    }

    /// A section of its own, such as "[limits]\nbuffer = …".
    pub fn section(mut self, text: &str) -> Self {
        self.rest.push(text.to_owned());
        self
    }

    /// The file's text.
    pub fn text(&self) -> String {
        if let Some(whole) = &self.whole {
            return whole.clone();
        }
        let mut text = format!("link = \"{}\"\n", self.link);
        // One that was killed is missed soon; one on a busy machine is not taken for dead.
        let mut target = self.target.clone();
        if !target.iter().any(|(key, _)| key == "session.timeout.ms") {
            target.push(("session.timeout.ms".to_owned(), "10000".to_owned()));
        }
        for (side, properties) in [("source", &self.source), ("target", &target)] {
            writeln!(text, "[{side}]\nname = \"{side}\"\n[{side}.kafka]").expect("to a string");
            for (key, value) in properties {
                let value = serde_json::to_string(value).expect("a string");
                writeln!(text, "\"{key}\" = {value}").expect("to a string");
            }
        }
        write!(text, "[topics]\n{}\n{}\n", self.topics.join("\n"), self.rest.join("\n"))
            .expect("to a string");
        text + "[admin]\nlisten = \"127.0.0.1:0\"\n"
    }

    /// What runs it with this binary, and the folder that it is in.
    pub fn run_by(&self, mut isomirror: Command) -> (TempDir, Command) {
        let (dir, path) = self.write();
        isomirror.arg("run").arg(path);
        if let Some(engine) = self.engine {
            isomirror.env("ISOMIRROR__ENGINE", engine);
        }
        (dir, isomirror)
    }

    /// Writes the file into a folder of its own.
    pub fn write(&self) -> (TempDir, PathBuf) {
        let dir = TempDir::new().expect("a temporary folder");
        let path = dir.path().join("link.toml");
        fs::write(&path, self.text()).expect("a configuration file");
        (dir, path)
    }

    /// Starts the daemon.
    pub fn run(&self) -> Daemon {
        Daemon::start(self, &[])
    }

    /// Starts the daemon with more arguments.
    pub fn run_with(&self, args: &[&str]) -> Daemon {
        Daemon::start(self, args)
    }

    /// Runs until caught up, to its end.
    pub fn run_until_caught_up(&self) -> Ended {
        Daemon::start(self, &["--until-caught-up"]).wait()
    }

    /// Runs another command with this configuration, to its end.
    pub fn command(&self, command: &str, args: &[&str]) -> std::process::Output {
        let (_dir, path) = self.write();
        isomirror().arg(command).arg(path).args(args).output().expect("isomirror runs")
    }
}

/// The binary under test: `ISOMIRROR_BIN`, or the one that cargo built beside this test's.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("ISOMIRROR_BIN") {
        return path.into();
    }
    let test = std::env::current_exe().expect("a test has a path");
    let beside = test.ancestors().nth(2).expect("tests are in target/<profile>/deps").join("isomirror");
    assert!(beside.exists(), "{} is not built: cargo build -p isomirror", beside.display());
    beside
}

/// A command line of the binary under test, with nothing of this test's environment that it would listen to.
pub fn isomirror() -> Command {
    isomirror_at(&binary())
}

/// The same, of the binary at `path`.
pub fn isomirror_at(path: &Path) -> Command {
    let mut command = Command::new(path);
    command.stdin(Stdio::null());
    for name in ["SOURCE", "DESTINATION", "GROUP_ID", "USERNAME", "PASSWORD", "NOTIFY_SOCKET"] {
        command.env_remove(name);
    }
    command
}

/// A daemon that runs.
pub struct Daemon {
    child: Child,
    dir: TempDir,
}

/// A daemon that has ended.
pub struct Ended {
    /// How.
    pub status: ExitStatus,
    /// What it logged.
    pub log: String,
}

impl Ended {
    /// Its exit code.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Passes on a daemon that ended with this code; shows the log of another.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code(), Some(code), "{:?}; its log:\n{}", self.status, self.log);
        self
    }
}

impl Daemon {
    fn start(config: &Config, args: &[&str]) -> Self {
        let (dir, mut command) = config.run_by(isomirror());
        let log = File::create(dir.path().join("log")).expect("a log file");
        command.args(args).stdout(log.try_clone().expect("a log file")).stderr(log);
        let child = reaper::spawn(command).expect("isomirror starts");
        Self { child, dir }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_some()
    }

    /// Writes another configuration over its file; it goes on by the old one until it reads it.
    pub fn rewrite(&self, config: &str) {
        fs::write(self.dir.path().join("link.toml"), config).expect("a configuration file");
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        read(&self.dir.path().join("log"))
    }

    /// Sends it a signal, as `kill` does: "TERM", "KILL", "STOP", "CONT", "HUP".
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill").arg(format!("-{signal}")).arg(self.pid().to_string()).status();
        assert!(sent.expect("kill runs").success());
    }

    /// The address of its HTTP server, as its log tells it.
    pub fn url(&self) -> String {
        eventually("the daemon says where it listens", || {
            let log = self.log();
            let at = log.split("status at ").nth(1)?;
            // In a line of text, or within a string of JSON.
            Some(at.split(|c: char| c == '"' || c.is_whitespace()).next()?.trim_end_matches('/').to_owned())
        })
    }

    /// What one of its pages answers: status code and body.
    pub fn get(&self, path: &str) -> (u16, String) {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(5)))
            .build()
            .new_agent();
        let mut response = agent.get(format!("{}{path}", self.url())).call().expect("the daemon answers");
        (response.status().as_u16(), response.body_mut().read_to_string().expect("a body"))
    }

    /// Its status.
    pub fn status(&self) -> Value {
        serde_json::from_str(&self.get("/status").1).expect("JSON")
    }

    /// The value of a metric's series that has all these labels.
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let (_, text) = self.get("/metrics");
        let has = |line: &str| labels.iter().all(|(k, v)| line.contains(&format!("{k}=\"{v}\"")));
        let line = text.lines().find(|line| line.split(['{', ' ']).next() == Some(name) && has(line))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    /// Waits until it is ready and the target has so many more records from it.
    #[track_caller]
    pub fn wait_for_records(&self, records: u64) -> Value {
        eventually(&format!("{records} records are mirrored; its log:\n{}", self.log()), || {
            let status = self.status();
            let done = status["totals"]["records"].as_u64() >= Some(records);
            (done && status["totals"]["lag_records"] == 0).then_some(status)
        })
    }

    /// Waits until it is ready.
    #[track_caller]
    pub fn wait_ready(&self) {
        eventually(&format!("it is ready; its log:\n{}", self.log()), || {
            (self.get("/readyz").0 == 200).then_some(())
        });
    }

    /// Waits until its log has this text.
    #[track_caller]
    pub fn wait_for_log(&self, text: &str) {
        eventually(&format!("its log says {text:?}; it says:\n{}", self.log()), || {
            self.log().contains(text).then_some(())
        });
    }

    /// Stops it as an operator does, and waits. In the first moments of a process a signal just ends it: so not before it
    /// has said something.
    pub fn stop(mut self) -> Ended {
        while self.log().is_empty() && !self.has_ended() {
            std::thread::sleep(Duration::from_millis(10));
        }
        self.signal("TERM");
        self.wait()
    }

    /// Kills it with kill -9.
    pub fn kill(self) -> Ended {
        self.signal("KILL");
        self.wait()
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Ended {
        let deadline = Instant::now() + 5 * PATIENCE;
        let status = loop {
            match self.child.try_wait().expect("a child") {
                Some(status) => break status,
                None if Instant::now() > deadline => panic!("it does not end; its log:\n{}", self.log()),
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        Ended { status, log: self.log() }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // One that has ended by itself has something to tell.
            eprintln!("--- the daemon: {:?} ---", self.child.try_wait());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the daemon's log ---\n{}", self.log());
        }
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

/// Tries until there is an answer.
#[track_caller]
pub fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = attempt() {
            return answer;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
