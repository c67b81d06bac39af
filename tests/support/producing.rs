//! A producer that goes on while something else happens.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::Duration,
};

use kafka_harness::{
    Cluster,
    client::{Load, load},
};

/// Writes numbered records to all partitions of a topic until it is told to stop.
pub struct Producing {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Producing {
    /// Starts it: some hundred records at a time, with a short pause.
    pub fn start(cluster: &Cluster, topic: &str, partitions: i32) -> Self {
        let (stop, written) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (props, topic) = (cluster.props(), topic.to_owned());
        let (stopped, count) = (stop.clone(), written.clone());
        let thread = std::thread::spawn(move || {
            while !stopped.load(Relaxed) {
                let first = count.load(Relaxed);
                let part =
                    Load { partitions, count: 500, first, value_size: 300, keys: true, ..Load::default() };
                load(&props, &topic, &part).expect("the broker takes them");
                count.fetch_add(part.count, Relaxed);
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        Self { stop, written, thread }
    }

    /// How many it has written.
    pub fn written(&self) -> u64 {
        self.written.load(Relaxed)
    }

    /// Stops it; says how many records it has written.
    pub fn stop(self) -> u64 {
        self.stop.store(true, Relaxed);
        self.thread.join().expect("the producer works");
        self.written.load(Relaxed)
    }
}
