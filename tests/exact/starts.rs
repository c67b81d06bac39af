//! Lanes whose source does not begin at 0: the target begins where the source does, whatever cleans it.

use std::time::{Duration, Instant};

use kafka_harness::{client, daemon::eventually, shared::unique};

use crate::{
    chaos, clusters,
    dice::Run,
    modes::{Link, Mode},
    network::proxied,
    sources::{Kind, Source},
    view::Reader,
};

fn begins_late(name: &str, kind: Kind) {
    let run = Run::of(&format!("starts::{name}"));
    let mut dice = run.dice();
    let (from, to) = clusters::pair();
    let link = Link::new(Mode::Identical, Source::new(kind, &unique("late")), from, to);
    let topic = &link.source.topic;
    let history = link.source.write_for(from, &dice.of(1), Duration::from_secs(3));
    let compacts = link.source.kind.topic_config().contains(&("cleanup.policy", "compact"));
    if compacts {
        from.alter_topic_config(topic, &[("cleanup.policy", "compact,delete"), ("retention.ms", "-1")])
            .unwrap();
    }
    for (partition, end) in client::end_offsets(&from.props(), topic).unwrap() {
        // One begins at its end: there is nothing but where to begin.
        let start = if partition == 3 { end } else { end / 2 };
        from.delete_records(topic, partition, start).unwrap();
    }
    if compacts {
        from.alter_topic_config(topic, &[("cleanup.policy", "compact")]).unwrap();
    }
    let starts = client::start_offsets(&from.props(), topic).unwrap();
    let writing = link.source.start(from, &dice.of(2));
    chaos::kills(&link, &mut dice, 3);
    let history = history.and(writing.stop());
    link.config.run_until_caught_up().expect(0);
    link.assert_exact(Some(&history), &[Reader::Librdkafka, Reader::Java]);
    assert_eq!(client::start_offsets(&to.props(), topic).unwrap(), starts);
    let policy = |c: &kafka_harness::Cluster| {
        c.topic_config(topic).unwrap().into_iter().find(|(key, _)| key == "cleanup.policy")
    };
    assert_eq!(policy(to), policy(from), "the cleanup policy is what it was");
}

/// Between the two changes of its configs the daemon is killed: nothing must stay as it was for the moment, and what was
/// not set on the topic must not be set.
#[test]
fn configs_that_were_changed_for_the_moment_are_given_back_after_a_kill() {
    let clusters = proxied();
    let (from, to) = &*clusters;
    for (before, kills) in [(vec![], 3), (vec![("retention.ms", "86400000")], 2)] {
        let source = Source { partitions: 12, ..Source::new(Kind::Compacted, &unique("moment")) };
        let link = Link::new(Mode::Identical, source, from, to);
        let topic = &link.source.topic;
        to.alter_topic_config(topic, &before).unwrap();
        let configs = || {
            let mut all = to.topic_config(topic).unwrap();
            all.sort();
            all
        };
        let was = configs();
        let run = Run::of("starts::configs_that_were_changed_for_the_moment");
        let mut dice = run.dice();
        let history = link.source.write_for(from, &dice.of(1), Duration::from_secs(2));
        from.alter_topic_config(topic, &[("cleanup.policy", "compact,delete"), ("retention.ms", "-1")])
            .unwrap();
        for (partition, end) in client::end_offsets(&from.props(), topic).unwrap() {
            from.delete_records(topic, partition, end / 2).unwrap();
        }
        let starts = client::start_offsets(&from.props(), topic).unwrap();
        let mut changed = 0;
        // The moment lasts as long as some round trips do, so that a kill can fall into it.
        to.proxy(1).set_latency(Duration::from_millis(50));
        for kill in 0.. {
            let daemon = link.config.run();
            if kill == 0 {
                eventually("the configs are changed for the moment", || (configs() != was).then_some(()));
            } else if configs() == was {
                // If all lanes have begun already, nothing is changed any more.
                let begun = Instant::now();
                while configs() == was && begun.elapsed() < Duration::from_secs(10) {}
                if changed > 0 && configs() == was {
                    break;
                }
            } else {
                std::thread::sleep(dice.millis(500..4000));
            }
            drop(daemon.kill());
            let now = configs();
            eprintln!("killed with {now:?}");
            let kept = |key: &str| now.contains(&(key.to_owned(), "-1".to_owned()));
            assert!(now == was || kept("retention.bytes") && kept("retention.ms"), "{now:?}");
            changed += i32::from(now != was);
            if changed == kills || kill == 9 {
                break;
            }
        }
        to.proxy(1).set_latency(Duration::ZERO);
        assert!(changed > 0, "no kill fell between the changes");
        link.config.run_until_caught_up().expect(0);
        assert_eq!(configs(), was);
        assert_eq!(client::start_offsets(&to.props(), topic).unwrap(), starts);
        link.assert_exact(Some(&history), &[Reader::Librdkafka]);
    }
}

#[test]
fn a_deleted_source_begins_late() {
    begins_late("a_deleted_source_begins_late", Kind::Transactional);
}

#[test]
fn a_compacted_source_begins_late() {
    begins_late("a_compacted_source_begins_late", Kind::CompactedTransactional);
}
