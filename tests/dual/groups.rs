//! A consumer that goes over to the other site, where the same records lie in another order: none is missed.

use std::{collections::BTreeSet, thread, time::Duration};

use kafka_harness::{ReadRecord, daemon::eventually, shared::unique};

use crate::{
    members::{commit, committed},
    sites::{Name, Site, link, mesh, name, produce_in_turns, sites, wait_for},
};

/// Who has read so many records here, and goes on there at this offset, misses none, and begins with one that it has not read.
#[track_caller]
fn assert_goes_on(at_here: &[ReadRecord], read: usize, at_there: &[ReadRecord], goes_on: i64) {
    let had: BTreeSet<Name> = at_here[..read].iter().map(name).collect();
    let (before, behind): (Vec<_>, Vec<_>) = at_there.iter().partition(|record| record.offset < goes_on);
    let missed: Vec<Name> = before.into_iter().map(name).filter(|name| !had.contains(name)).collect();
    assert!(missed.is_empty(), "who has read {read} records and goes on at {goes_on} misses {missed:?}");
    let next = behind.first().map(|record| name(record));
    assert!(
        next.as_ref().is_none_or(|next| !had.contains(next)),
        "who has read {read} records goes on at {goes_on}, with {next:?}, which it has read"
    );
}

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
    let mut before = None;
    for read in [60, 200, 377, 510] {
        let position = at_a[read - 1].offset + 1;
        commit(&a.cluster, &group, &[(&topic, 0, position)]);
        let goes_on = eventually("the daemon carries it over", || {
            committed(&b.cluster, &group, &topic, 1)[0].filter(|at| Some(*at) != before)
        });
        before = Some(goes_on);
        assert_goes_on(&at_a, read, &at_b, goes_on);
        let out = there.command("groups", &["list", "--group", &group]);
        assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
    }
    for daemon in daemons {
        daemon.stop().expect(0);
    }
}

#[test]
fn groups_that_begin_long_after_the_links_go_on_at_the_first_record_that_they_have_not_read() {
    let (topic, groups) = (unique("late"), unique("late-readers"));
    let of = |site: &Site| format!("{groups}-{}", site.name);
    // Each site's groups go to the two others, and no further.
    let links = mesh(&topic, |link, from| {
        link.section(&format!("[groups]\ninclude = [\"{}-.*\"]\nsync = \"1s\"", of(from)))
    });
    let daemons: Vec<_> = links.iter().map(|link| link.run()).collect();
    // What lies on a site before the link to it begins is not looked at.
    for daemon in &daemons {
        daemon.wait_ready();
    }
    let [a, b, c] = sites();
    produce_in_turns(&[a, b, c], &topic, 1, 20, 10);
    wait_for(&[a, b, c], &topic, 600);
    let logs = [a, b, c].map(|site| (site, site.read(&topic).remove(&0).unwrap()));
    let reads = [1, 311, 600];
    let group = |site: &Site, read: usize| format!("{}-{read}", of(site));
    for (site, log) in &logs {
        for read in reads {
            commit(&site.cluster, &group(site, read), &[(&topic, 0, log[read - 1].offset + 1)]);
        }
    }
    for (here, at_here) in &logs {
        for (there, at_there) in logs.iter().filter(|(there, _)| there.name != here.name) {
            for read in reads {
                let group = group(here, read);
                let goes_on = eventually(&format!("{group} is carried over to {}", there.name), || {
                    committed(&there.cluster, &group, &topic, 1)[0]
                });
                assert_goes_on(at_here, read, at_there, goes_on);
            }
        }
    }
    for daemon in daemons {
        daemon.stop().expect(0);
    }
}
