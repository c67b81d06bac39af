//! Where the story plays: two clusters with an authorizer, the link's folder, the service that mirrors. What differs here
//! from what the document says is in [`Stage::environment`] and [`Stage::gateway`], and that `systemctl` starts the daemon as a
//! process of the test; nowhere else.

use std::{
    env, fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::Command,
    sync::Mutex,
    thread::sleep,
    time::{Duration, UNIX_EPOCH},
};

use kafka_harness::{
    Cluster, TestRecord,
    client::{self, Load, ProduceOptions, Transaction},
    daemon::{eventually, isomirror},
    process::Process,
};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::{
    acls,
    document::{Document, End, Step},
    members,
};

/// The topic, and what its writers and readers have in common.
pub const TOPIC: &str = "orders";
pub const PARTITIONS: i32 = 4;
/// How many numbers are there before the story begins.
pub const HISTORY: u64 = 40_040;

/// Where it plays.
pub struct Stage<'c> {
    pub source: &'c Cluster,
    pub target: &'c Cluster,
    folder: TempDir,
    admin: String,
    service: Mutex<Option<Process>>,
}

impl<'c> Stage<'c> {
    /// Makes the topic on the source, with some history, and the link's folder.
    pub fn set(source: &'c Cluster, target: &'c Cluster, document: &Document) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|port| port.local_addr()).expect("a port");
        let stage = Self {
            source,
            target,
            folder: TempDir::new().expect("a folder"),
            admin: free.to_string(),
            service: Mutex::default(),
        };
        fs::write(stage.path("link.toml"), document.link()).expect("a file");
        stage.gateway();
        stage.history();
        stage
    }

    /// A file of the link's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The document's clusters are elsewhere, and have a login; several daemons run on this machine. A killed one is missed
    /// sooner than after 20 s.
    fn environment(&self) -> Vec<(String, String)> {
        let mut variables = vec![
            ("ISOMIRROR__ADMIN__LISTEN".to_owned(), self.admin.clone()),
            ("ISOMIRROR__TARGET__KAFKA__SESSION_TIMEOUT_MS".to_owned(), "10000".to_owned()),
            (
                "PATH".to_owned(),
                format!("{}:{}", self.path("bin").display(), env::var("PATH").unwrap_or_default()),
            ),
        ];
        for (side, cluster) in [("SOURCE", self.source), ("TARGET", self.target)] {
            for (key, value) in cluster.client_properties("admin") {
                variables.push((
                    format!("ISOMIRROR__{side}__KAFKA__{}", key.replace('.', "_").to_uppercase()),
                    value,
                ));
            }
        }
        variables
    }

    /// The command of the operator's that moves clients: they find their servers in a file.
    fn gateway(&self) {
        let script = "#!/bin/sh\nset -e\ncd \"$(dirname \"$0\")/..\"\ncp \"servers.$2\" servers.next\nmv servers.next servers\n\
                      echo \"clients use $2\"\n";
        fs::create_dir(self.path("bin")).expect("a folder");
        fs::write(self.path("bin/gateway"), script).expect("a file");
        fs::set_permissions(self.path("bin/gateway"), fs::Permissions::from_mode(0o755)).expect("a mode");
        for (file, cluster) in
            [("servers", self.source), ("servers.dc1", self.source), ("servers.dc2", self.target)]
        {
            fs::write(self.path(file), cluster.bootstrap()).expect("a file");
        }
    }

    /// Numbers in all partitions, among them some of a transaction, and of one that was aborted: the target has markers in
    /// their place.
    fn history(&self) {
        let source = self.source;
        let replicas = source.broker_ids().len().min(3).try_into().expect("few");
        source.create_topic(TOPIC, PARTITIONS, replicas, &[]).expect("a topic");
        let rules = [
            "Allow User:app Write Topic orders",
            "Allow User:billing Read Topic orders",
            "Allow User:billing Read Group billing",
        ];
        acls::allow(source, &rules);
        let now = UNIX_EPOCH.elapsed().expect("after 1970").as_millis();
        let hours_ago = |hours: i64| Some(i64::try_from(now).expect("no time soon") - hours * 3_600_000);
        let load = Load {
            partitions: PARTITIONS,
            count: 40_000,
            value_size: 200,
            keys: true,
            timestamp: hours_ago(2),
            ..Load::default()
        };
        client::load(&source.props(), TOPIC, &load).expect("it is written");
        for (numbers, transaction) in
            [(1 << 40..(1 << 40) + 8, Transaction::Abort), (40_000..HISTORY, Transaction::Commit)]
        {
            let record = |number: u64| TestRecord {
                partition: i32::try_from(number % 4).expect("one of four"),
                key: Some(number.to_be_bytes().into()),
                value: Some(format!("{number:016x} of a transaction").into_bytes()),
                timestamp: hours_ago(1),
                ..TestRecord::default()
            };
            let options = ProduceOptions { transaction: Some(transaction), ..ProduceOptions::default() };
            let records: Vec<_> = numbers.map(record).collect();
            client::produce_with(&source.props(), TOPIC, &records, &options).expect("it is written");
        }
        let begins: Vec<_> = (0..PARTITIONS).map(|partition| (TOPIC, partition, 0)).collect();
        members::commit(source, "billing", &begins);
    }

    /// Does what the document says there; all that it said. `seen` is told what that is so far, again and again, and answers
    /// whether it is to be interrupted.
    #[track_caller]
    pub fn act(&self, step: &Step, seen: impl FnMut(&str) -> bool) -> String {
        let words: Vec<&str> = step.words.iter().map(String::as_str).collect();
        match words[..] {
            ["isomirror", ref args @ ..] => {
                let (code, said) = self.run(args, &format!("line-{}.log", step.line), seen);
                let wanted = match step.end {
                    End::Exits(code) => code,
                    End::Interrupted => 130,
                };
                let (line, command, log) = (step.line, step.command(), self.log());
                let told = format!("{said}\n--- the link's log ---\n{log}");
                assert_eq!(code, Some(wanted), "docs/migration.md:{line}: `{command}` has said:\n{told}");
                said
            }
            ["systemctl", "enable", "--now", "isomirror@dc1-dc2"] => {
                self.start();
                self.wait_until_caught_up();
                String::new()
            }
            _ => panic!("docs/migration.md:{}: this test can't do `{}`", step.line, step.command()),
        }
    }

    fn run(&self, args: &[&str], log: &str, mut seen: impl FnMut(&str) -> bool) -> (Option<i32>, String) {
        let log = self.path(log);
        let mut process = Process::spawn(self.isomirror(args), &log).expect("isomirror runs");
        let said = || fs::read_to_string(&log).unwrap_or_default();
        let mut interrupted = false;
        loop {
            let ended = process.ended();
            if seen(&said()) && !interrupted && ended.is_none() {
                process.signal(Signal::INT).expect("it is there");
                interrupted = true;
            }
            match ended {
                Some(status) => return (status.code(), said()),
                None => sleep(Duration::from_millis(20)),
            }
        }
    }

    fn isomirror(&self, args: &[&str]) -> Command {
        let mut command = isomirror();
        command.args(args).current_dir(self.folder.path()).envs(self.environment());
        command
    }

    // === the service ===

    /// Starts it.
    fn start(&self) {
        let process = Process::spawn(self.isomirror(&["run", "link.toml"]), &self.path("service.log"));
        *self.service.lock().expect("no panic while locked") = Some(process.expect("isomirror runs"));
    }

    /// Kills it with kill -9; it is started again as the unit has it, if sooner than after its 10 s.
    pub fn kill(&self, away: Duration) {
        let service = self.service.lock().expect("no panic while locked").take();
        service.expect("it was started").kill();
        sleep(away);
        self.start();
    }

    /// Stops it, as its operator would.
    pub fn stop(&self) {
        let service = self.service.lock().expect("no panic while locked").take();
        service.expect("it was started").stop(Duration::from_secs(90)).expect("it ends");
    }

    /// What it has logged.
    fn log(&self) -> String {
        fs::read_to_string(self.path("service.log")).unwrap_or_default()
    }

    /// As one does before one goes on.
    fn wait_until_caught_up(&self) {
        let url = format!("http://{}/status", self.admin);
        eventually(&format!("it has caught up; its log:\n{}", self.log()), || {
            let text = ureq::get(&url).call().ok()?.body_mut().read_to_string().ok()?;
            let status: serde_json::Value = serde_json::from_str(&text).ok()?;
            let done = status["totals"]["records"].as_u64() >= Some(HISTORY);
            (done && status["ready"] == true && status["totals"]["lag_records"].as_u64() < Some(500))
                .then_some(())
        });
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the link's log ---\n{}", self.log());
        }
    }
}
