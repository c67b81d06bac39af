//! The control topic on librdkafka's mock cluster, which the demo runs on: it makes no topics, so one is there.

#[expect(dead_code, reason = "this test does not use all of it")]
mod support;

use control_topic::ControlTopic;
use offset_marks::{LedgerWriter, control::Keep};
use rdkafka::mocking::MockCluster;

use self::support::{claim, client, ensured, lane, ledger, mark, start};

#[tokio::test]
async fn a_topic_of_the_mock_cluster_will_do() {
    let mock = MockCluster::new(3).expect("a mock cluster needs nothing");
    mock.create_topic("isomirror.demo", 4, 3).unwrap();
    let client = client(&vec![("bootstrap.servers".to_owned(), mock.bootstrap_servers())]);
    assert_eq!(ControlTopic::open(&client, "demo").await.unwrap().expect("it is there").partitions(), 4);
    let topic = ensured(&client, "demo", 16).await;
    assert_eq!(topic.partitions(), 4, "as many as it has");

    let link = topic.claim(claim()).await.unwrap();
    assert_eq!(link.slots, 4);
    assert_eq!(topic.claim(claim()).await.unwrap(), link);

    let mut marks = LedgerWriter::begin(start());
    let mut writer = topic.writer(2);
    for _ in 0..3 {
        mark(&mut marks, 10);
        let unwritten = marks.unwritten();
        writer.write(unwritten.records).await.unwrap();
        marks.written(unwritten.revision);
    }
    for keep in [Keep::Everything, Keep::Tails] {
        let state = topic.read(2, keep).await.unwrap();
        assert_eq!(state.writer(&lane()).expect("it has begun").position(), marks.position());
    }
    let all = topic.read_all_committed(Keep::Everything).await.unwrap();
    assert_eq!((ledger(&all[2]).runs().count(), all[0].link()), (30, Some(&link)));
}
