//! The two clusters that most tests here share: cleaners that work at once, and groups that notice a death soon.

use std::sync::OnceLock;

use kafka_harness::{Builder, Cluster};

/// How soon a dead instance's lanes go to another, in milliseconds.
pub const SESSION: u64 = 2000;

/// A cluster for exactness tests, of one broker unless told otherwise.
pub fn builder() -> Builder {
    Cluster::builder()
        .broker_config("group.min.session.timeout.ms", "500")
        .broker_config("log.cleaner.backoff.ms", "200")
        // Aborted transactions of a writer that was killed must not hold up a reader for a minute.
        .broker_config("transaction.abort.timed.out.transaction.cleanup.interval.ms", "500")
}

/// A source and a target; they live as long as the test process.
pub fn pair() -> (&'static Cluster, &'static Cluster) {
    static PAIR: OnceLock<(Cluster, Cluster)> = OnceLock::new();
    let (source, target) = PAIR.get_or_init(|| {
        std::thread::scope(|scope| {
            let source = scope.spawn(|| builder().start().expect("a source cluster"));
            let target = builder().start().expect("a target cluster");
            (source.join().expect("started"), target)
        })
    });
    (source, target)
}
