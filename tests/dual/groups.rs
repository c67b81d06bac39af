//! A consumer that goes over to the other site, where the same records lie in another order: none is missed.

use std::{collections::BTreeSet, thread, time::Duration};

use kafka_harness::{daemon::eventually, shared::unique};

use crate::{
    members::{commit, committed},
    sites::{Name, link, name, sites, wait_for},
};

#[test]
fn a_group_goes_on_at_the_first_record_that_it_has_not_read() {
    let [a, b, _] = sites();
    let topic = unique("group");
    a.create(&topic, 1);
    b.create(&topic, 1);
    let group = unique("readers");
    let groups = format!("[groups]\ninclude = [\"{group}\"]\nsync = \"1s\"");
    let there = link(a, b, &topic).section(&groups);
    let daemons = [there.run(), link(b, a, &topic).run()];
    for round in 0..30 {
        a.produce(&topic, 0, round * 10..(round + 1) * 10);
        b.produce(&topic, 0, round * 7..(round + 1) * 7);
        thread::sleep(Duration::from_millis(20));
    }
    wait_for(&[a, b], &topic, 510);
    let (at_a, at_b) = (a.read(&topic).remove(&0).unwrap(), b.read(&topic).remove(&0).unwrap());
    let all: BTreeSet<Name> = at_a.iter().map(name).collect();
    let mut before = None;
    for read in [60, 200, 377, 510] {
        let position = at_a[read - 1].offset + 1;
        commit(&a.cluster, &group, &[(&topic, 0, position)]);
        let goes_on = eventually("the daemon carries it over", || {
            committed(&b.cluster, &group, &topic, 1)[0].filter(|at| Some(*at) != before)
        });
        before = Some(goes_on);
        let mut had: BTreeSet<Name> = at_a[..read].iter().map(name).collect();
        had.extend(at_b.iter().filter(|record| record.offset >= goes_on).map(name));
        let missed: Vec<_> = all.difference(&had).collect();
        assert!(
            missed.is_empty(),
            "who has read up to {position} and goes on at {goes_on} misses {missed:?}"
        );
        // And not from further back than it has to: what lies just before was read.
        let last = at_b.iter().rev().find(|record| record.offset < goes_on).map(name);
        let was_read = |last: Name| at_a[..read].iter().any(|record| name(record) == last);
        assert!(last.is_none_or(was_read), "the record before {goes_on} was not read");
        if read == at_a.len() {
            assert!(
                at_b.iter().all(|record| record.offset < goes_on),
                "it has read all, and reads some again"
            );
        }
        let out = there.command("groups", &["list", "--group", &group]);
        assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
    }
    for daemon in daemons {
        daemon.stop().expect(0);
    }
}
