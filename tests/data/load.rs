//! Order and placement under load.

use kafka_harness::{
    client::{self, Isolation, Load},
    daemon::Config,
    shared::{pair, unique},
};
use rdkafka::Message;

use crate::support::{alone, create};

const PARTITIONS: i32 = 64;
const RECORDS: u64 = 640_000;

/// Record n was written to partition n mod 64 as its record n / 64, with n as its key: its hash would lead
/// elsewhere.
#[test]
fn under_load_each_record_is_in_its_partition_once_and_in_order() {
    let _alone = alone();
    let (source, target) = pair();
    let topic = unique("wide");
    create(source, &topic, PARTITIONS, &[]);
    let load = Load { partitions: PARTITIONS, count: RECORDS, value_size: 32, keys: true, ..Load::default() };
    client::load(&source.props(), &topic, &load).unwrap();

    Config::new(source, target, &topic).run_until_caught_up().expect(0);

    let mut read = 0;
    client::read_each(&target.props(), &topic, Isolation::Uncommitted, |message| {
        let number = message.offset() as u64 * PARTITIONS as u64 + message.partition() as u64;
        assert_eq!(client::value_number(message.payload().unwrap()), Some(number), "{message:?}");
        assert_eq!(message.key(), Some(number.to_be_bytes().as_slice()), "{message:?}");
        read += 1;
    })
    .unwrap();
    assert_eq!(read, RECORDS);
    let ends = client::end_offsets(&target.props(), &topic).unwrap();
    assert!(ends.len() == 64 && ends.values().all(|end| *end == (RECORDS / 64) as i64), "{ends:?}");
}
