//! Lanes that are written to a link's control topic by hand; and commands that read them.

use std::{process::Output, time::Duration};

use control_topic::{Claim, ControlTopic};
use kafka_harness::{Cluster, daemon::Config};
use mirror_types::TopicPartition;
use offset_marks::{
    LaneStart, LedgerWriter, OffsetsMode, Point, WritersMode, control::ControlRecord, slot_of,
};

/// The name of its link.
pub fn link_of(config: &Config) -> String {
    let text = config.text();
    let name = text.lines().find_map(|line| line.strip_prefix("link = ")).expect("it has a name");
    name.trim_matches('"').to_owned()
}

/// How a lane with translated offsets began; nothing is known of clusters and ids.
pub fn start(source: &str, target: &str, partition: i32, at: Point) -> LaneStart {
    LaneStart {
        incarnation: 1,
        since: 1_763_800_000_000,
        source_topic: source.to_owned(),
        target_topic: target.to_owned(),
        partition,
        at,
        source_cluster: None,
        target_cluster: None,
        source_topic_id: None,
        target_topic_id: None,
        offsets: OffsetsMode::Translated,
        writers: WritersMode::Exclusive,
        source_end: None,
        configs: None,
        adopted: None,
    }
}

/// Writes the lanes to the link's control topic, each where it belongs.
pub fn write(target: &Cluster, link: &str, lanes: &[LedgerWriter]) {
    let records = |lane: &LedgerWriter| {
        let start = lane.start();
        (TopicPartition::new(&*start.source_topic, start.partition), lane.unwritten().records)
    };
    write_records(target, link, lanes.iter().map(records).collect());
}

/// The same with records of lanes.
pub fn write_records(target: &Cluster, link: &str, records: Vec<(TopicPartition, Vec<ControlRecord>)>) {
    let props = target.props();
    let settings = kafka_wire::Settings::new(props.iter().map(|(k, v)| (&**k, &**v))).unwrap();
    let client = kafka_wire::Client::new(settings).with_patience(Duration::from_secs(30));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let topic = ControlTopic::ensure(&client, link, 5, -1).await.unwrap();
        let claim = Claim { version: "0".to_owned(), source_cluster: None, target_cluster: None };
        let slots = topic.claim(claim).await.unwrap().slots;
        for (at, records) in records {
            topic.write(slot_of(&at, slots), records).await.unwrap();
        }
    });
}

/// What a command wrote to its standard output and error; it ended with this code.
#[track_caller]
pub fn ended(output: Output, code: i32) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}\n{err}");
    (out, err)
}
