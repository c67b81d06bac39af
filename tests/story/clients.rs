//! The applications that move: Java's own clients, as processes beside the story.

use crate::{
    apps::App,
    count::Seen,
    stage::{Stage, TOPIC},
};

/// A producer of numbers from this one on.
pub fn producer(stage: &Stage<'_>, first: u64) -> App {
    start(stage, "producer", "producer", &[&first.to_string()])
}

fn start(stage: &Stage<'_>, role: &str, name: &str, rest: &[&str]) -> App {
    App::start(stage.source.dist(), &stage.path(""), TOPIC, role, name, rest)
}

/// A consumer, which is stopped on the source and goes on on the target.
pub struct Consumer {
    kind: &'static str,
    running: Option<App>,
    first: Vec<Seen>,
}

impl Consumer {
    /// How it knows where to go on, and how slowly it reads while it is on the source: one of them is far behind there.
    pub const KINDS: [(&'static str, u64); 3] = [("group", 100), ("own", 0), ("time", 0)];

    /// Starts it on the source.
    pub fn start(stage: &Stage<'_>, kind: &'static str, pause: u64) -> Self {
        let mut new = Self { kind, running: None, first: Vec::new() };
        new.run(stage, pause);
        new
    }

    fn run(&mut self, stage: &Stage<'_>, pause: u64) {
        let state = stage.path(&format!("{}.state", self.kind)).display().to_string();
        let state = if self.kind == "group" { "billing" } else { &state };
        let name = if self.first.is_empty() { "first" } else { "then" };
        let app = start(stage, self.kind, &format!("{}.{name}", self.kind), &[state, &pause.to_string()]);
        self.running = Some(app);
    }

    /// How it knows where to go on.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// How many it saw on the source.
    pub fn first(&self) -> usize {
        self.first.len()
    }

    /// What it has seen so far where it runs now.
    pub fn seen(&self) -> Vec<Seen> {
        self.running.as_ref().expect("it runs").seen()
    }

    /// Fails the story if it has ended by itself.
    #[track_caller]
    pub fn check(&mut self) {
        if let Some(app) = &mut self.running {
            app.check();
        }
    }

    /// Stops it on the source, if it still runs there.
    pub fn stop(&mut self) {
        if let Some(app) = self.running.take() {
            self.first = app.stop();
        }
    }

    /// Starts it again, where clients go now.
    pub fn go_on(&mut self, stage: &Stage<'_>) {
        assert!(self.running.is_none(), "{} was not stopped", self.kind);
        self.run(stage, 0);
    }

    /// What it saw on the source, and what on the target.
    #[track_caller]
    pub fn end(mut self) -> (Vec<Seen>, Vec<Seen>) {
        let then = self.running.take().expect("it runs").stop();
        (self.first, then)
    }
}
