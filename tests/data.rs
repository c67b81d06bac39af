//! Every record arrives as it was, in its place and in order.

use kafka_harness::{
    TestRecord,
    client::{self, Isolation},
    daemon::Config,
    shared::{pair, unique},
};

fn record(
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: &[(&str, Option<&[u8]>)],
    timestamp: i64,
) -> TestRecord {
    TestRecord {
        partition: 0,
        key: key.map(<[u8]>::to_vec),
        value: value.map(<[u8]>::to_vec),
        headers: headers.iter().map(|(n, v)| ((*n).to_owned(), v.map(<[u8]>::to_vec))).collect(),
        timestamp: Some(timestamp),
    }
}

#[test]
fn odd_records_arrive_as_they_were() {
    let (source, target) = pair();
    let topic = unique("odd");
    source.create_topic(&topic, 2, 1, &[]).unwrap();
    let t = 1_700_000_000_000;
    let records = [
        record(None, None, &[], t),
        record(Some(b""), Some(b""), &[], t),
        record(None, Some(b"no key"), &[], t),
        record(Some(b"tombstone"), None, &[], t),
        record(
            Some(b"k"),
            Some(b"v"),
            &[("a", None), ("a", Some(b"")), ("b", Some(b"x")), ("a", Some(b"2"))],
            t,
        ),
        record(
            Some(b"k"),
            Some(b"v"),
            &[("", Some(b"empty name")), ("z\u{e4}\u{1f600}", Some(&[0, 255, 1]))],
            t,
        ),
        record(Some(&[0, 1, 255]), Some(&[0; 1000]), &[], 1),
        record(Some(b"later"), Some(b"earlier"), &[], t - 1_000_000),
    ];
    client::produce(&source.props(), &topic, &records).unwrap();

    Config::new(source, target, &topic).run_until_caught_up().expect(0);

    let before = client::read_all(&source.props(), &topic, Isolation::Uncommitted).unwrap();
    let after = client::read_all(&target.props(), &topic, Isolation::Uncommitted).unwrap();
    assert_eq!(before, after);
    assert_eq!(before[&0].len(), records.len());
}
