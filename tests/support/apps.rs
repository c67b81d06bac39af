//! Applications: Java's own clients, as processes beside a test. Each writes a line for each record that it has written or seen.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use kafka_harness::{dist::Dist, java, process::Process};

use crate::count::Seen;

/// How long an application may take to end.
const DEADLINE: Duration = Duration::from_secs(90);

/// One that runs.
pub struct App {
    process: Process,
    log: PathBuf,
    seen: PathBuf,
}

impl App {
    /// One of `Clients.java`, by its role, for a topic. In this folder are the file `servers`, which it goes by, and its own
    /// files, of this name.
    pub fn start(dist: &Dist, folder: &Path, topic: &str, role: &str, name: &str, rest: &[&str]) -> Self {
        let (log, seen) = (folder.join(format!("{name}.log")), folder.join(format!("{name}.seen")));
        let mut command = java::command(dist, "Clients", include_str!("Clients.java"))
            .unwrap_or_else(|error| panic!("{error:#}"));
        command.arg(role).arg(folder.join("servers")).arg(topic).arg(&seen).args(rest);
        let process = Process::spawn(command, &log).expect("Java runs");
        Self { process, log, seen }
    }

    /// What it says.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// What it has seen so far.
    pub fn seen(&self) -> Vec<Seen> {
        read(&self.seen)
    }

    /// Fails the test if it has ended by itself.
    #[track_caller]
    pub fn check(&mut self) {
        let ended = self.process.ended();
        assert!(ended.is_none(), "{} has ended ({ended:?}): {}", self.seen.display(), self.log());
    }

    /// Stops it, as its operator would; all that it has seen.
    #[track_caller]
    pub fn stop(self) -> Vec<Seen> {
        let Self { process, log, seen } = self;
        process.stop(DEADLINE).expect("it ends");
        let log = fs::read_to_string(log).unwrap_or_default();
        assert!(log.ends_with("complete\n"), "{}: {log}", seen.display());
        read(&seen)
    }
}

/// A line that is being written has no end yet.
fn read(path: &Path) -> Vec<Seen> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let one = |line: &str| {
        let mut words = line.split(' ').map(|word| word.parse::<i64>().expect("numbers"));
        let mut next = || words.next().expect("three of them");
        let (partition, offset) = (next().try_into().expect("a partition"), next());
        Seen { partition, offset, number: next().try_into().expect("not negative") }
    };
    whole.lines().map(one).collect()
}
