//! How fast one lane writes to a real broker, by itself:
//! `cargo test --release -p pinned-producer --test brokers rates -- --ignored --nocapture`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use kafka_harness::{Cluster, shared::unique};
use mirror_types::{Mark, Offset, Stop};
use pinned_producer::{BoxFuture, Configs, Marks, Note, Offsets, Opening, Standing, Writing};
use tokio::runtime::Runtime;

use crate::support::{self, Dice, Ended, Source, Told};

/// Takes as long as a write to the control topic does, and writes notes as large as the ledger's are.
struct Usual(Arc<str>);

impl Marks for Usual {
    fn declare(&self, _: Vec<Mark>) -> BoxFuture<'_, Result<(), Stop>> {
        Box::pin(async {
            tokio::time::sleep(Duration::from_millis(3)).await;
            Ok(())
        })
    }

    fn keep_configs(&self, _: Option<Configs>) -> BoxFuture<'_, Result<(), Stop>> {
        unreachable!("nothing is padded")
    }

    fn within(&self, marks: &[Mark], _: Offset) -> Note {
        let value = vec![b'x'; 100 + marks.len() * 3];
        Note { topic: self.0.clone(), partition: 0, records: vec![(b"lane".to_vec(), Some(value))] }
    }
}

fn rate(cluster: &Cluster, what: &str, shared: bool, source: &Source) {
    let (topic, control) = (unique("rate"), unique("control"));
    cluster.create_topic(&topic, 1, 1, &[]).unwrap();
    cluster.create_topic(&control, 1, 1, &[]).unwrap();
    let runtime = Runtime::new().unwrap();
    let client = support::client(cluster);
    let lane = support::lane(1, &topic, 0);
    let id = format!("isomirror.{topic}");
    let producer = runtime.block_on(client.init_producer_id(Some(&id), Duration::from_secs(60))).unwrap();
    let writing = match shared {
        true => Writing::Shared { transactional_id: id, producer, origins: None },
        false => Writing::Exclusive,
    };
    let standing = runtime.block_on(Standing::of(&client, &lane.target, true)).unwrap();
    let pieces = source.pieces(&lane, 0, &mut Dice::new(1));
    let opening = Opening {
        lane,
        standing,
        offsets: Offsets::Translated,
        start: None,
        padded: -1,
        configs: None,
        adopted: None,
        position: 0,
        check: None,
        strict: None,
        writing,
        marks: Arc::new(Usual(control.into())),
    };
    let started = Instant::now();
    let told = Told::default();
    let ended = support::live(&runtime, cluster, vec![(opening, pieces)], &told, Duration::from_secs(600));
    let took = started.elapsed();
    assert_eq!(ended, Ended::Done);
    let rate = source.offsets.len() as f64 / took.as_secs_f64();
    println!("{what}, {} records of {} bytes: {rate:.0} a second", source.offsets.len(), source.size);
}

#[test]
#[ignore = "it measures"]
fn rates() {
    let cluster = Cluster::builder().full_jit().start().expect("a broker");
    let source = |records: Offset, gaps: Offset, size| Source {
        offsets: (0..records).filter(|offset| offset % gaps != gaps - 1).collect(),
        end: records,
        size,
        keyless: None,
        pause: Duration::ZERO,
    };
    let cases = [
        (Offset::MAX, 100, 2_000_000),
        (Offset::MAX, 1024, 400_000),
        (10, 100, 1_000_000),
        (2, 100, 500_000),
    ];
    for (gaps, size, records) in cases {
        let source = source(records, gaps, size);
        for (kind, shared) in [("exclusive", false), ("shared", true)] {
            let gaps =
                if gaps < Offset::MAX { format!("a gap every {gaps} offsets") } else { "no gaps".to_owned() };
            rate(&cluster, &format!("{kind}, {gaps}"), shared, &source);
        }
    }
}
