//! Writing and reading while connections break: each record is there once, and in order.

#[expect(dead_code, reason = "this test does not use all of it")]
mod support;

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use kafka_harness::Cluster;
use offset_marks::{
    ChunkLimits, LedgerWriter,
    control::{ControlRecord, Keep},
};

use self::support::{chunk_key, client, ensured, keys, ledger, mark, start};

/// Sets the flag also where the test fails.
struct AtTheEnd<'a>(&'a AtomicBool);

impl Drop for AtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_are_lost_cost_nothing() {
    let cluster = Cluster::builder().proxied().start().expect("a broker");
    let mut props = cluster.props();
    props.push(("reconnect.backoff.max.ms".to_owned(), "100".to_owned()));
    let topic = ensured(&client(&props), "cut", 2).await;
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0.. {
                std::thread::sleep(Duration::from_millis(20 + n * 7 % 50));
                if over.load(Relaxed) {
                    return;
                }
                cluster.proxy(1).cut();
            }
        });
        let work = async {
            let _over = AtTheEnd(&over);
            let mut writer = topic.writer(0);
            for n in 0..300u32 {
                let record = ControlRecord { key: chunk_key(n), value: Some(vec![0; 20_000]) };
                let end = writer.write(vec![record]).await.unwrap_or_else(|error| panic!("{error}"));
                assert_eq!(end, i64::from(n) + 1);
            }
            let mut marks = LedgerWriter::begin(start()).with_limits(ChunkLimits { runs: 4, bytes: 1 << 20 });
            mark(&mut marks, 50_000);
            let mut writer = topic.writer(1);
            writer.write(marks.unwritten().records).await.unwrap_or_else(|error| panic!("{error}"));
            for _ in 0..10 {
                let state = topic.read(1, Keep::Everything).await.unwrap_or_else(|error| panic!("{error}"));
                let read = ledger(&state);
                assert_eq!((read.runs().count(), read.position()), (50_000, marks.position()));
            }
        };
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(work));
    });
    let expected: Vec<_> = (0..300).map(|n| String::from_utf8(chunk_key(n)).unwrap()).collect();
    assert_eq!(keys(&cluster.props(), topic.name(), 0), expected);
}
