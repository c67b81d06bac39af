//! Clusters that all tests of one binary share: each costs a JVM, so there are two.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::cluster::Cluster;

/// A source and a target cluster of one plaintext broker each, started at the first call. They
/// live as long as the test process; use [`unique`] topic names, and don't stop them.
///
/// # Panics
/// With the reason, if they cannot be started.
pub fn pair() -> (&'static Cluster, &'static Cluster) {
    static PAIR: OnceLock<Result<(Cluster, Cluster), String>> = OnceLock::new();
    let started = PAIR.get_or_init(|| {
        let start = || Cluster::builder().start().map_err(|error| format!("{error:?}"));
        std::thread::scope(|scope| {
            let source = scope.spawn(start);
            let target = start();
            let source = source.join().expect("a start reports its failure");
            Ok((source?, target?))
        })
    });
    match started {
        Ok((source, target)) => (source, target),
        Err(error) => panic!("the shared clusters did not start: {error}"),
    }
}

/// A topic (or group) name that no other test of this process uses.
pub fn unique(name: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{name}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}
