//! Links that would feed a topic into itself are refused at their start, and name each other.

use kafka_harness::{
    daemon::{Config, eventually, isomirror},
    shared::unique,
};

use crate::sites::{Site, link, sites, wait_for};

/// A link whose target it alone writes; around the network between the sites, which other tests cut.
pub fn plain(from: &Site, to: &Site, include: &str) -> Config {
    Config::new(&from.cluster, &to.cluster, include)
        .source(from.cluster.props())
        .target(to.cluster.props())
        .target_property("session.timeout.ms", "2000")
}

/// Starts it, which must be refused; what it says.
#[track_caller]
pub fn refused(link: &Config) -> String {
    link.run().wait().expect(3).log
}

#[test]
fn a_link_that_leads_back_is_refused_until_the_other_does_so_no_more() {
    let [a, b, _] = sites();
    let topic = unique("back");
    a.create(&topic, 1);
    b.create(&topic, 1);
    let (there, back) = (plain(a, b, &topic), plain(b, a, &topic));
    let daemon = there.run();
    daemon.wait_ready();
    let said = refused(&back);
    assert!(said.contains(&format!("{topic} → {topic} (link ")), "{said}");
    assert!(said.contains("what it mirrors would come back to it"), "{said}");
    let checked = back.command("check", &["--output", "json"]);
    assert_eq!(checked.status.code(), Some(3));
    let text = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(text.contains("loop-of-links"), "{text}");
    // One that says where records come from does not help where the other does not.
    assert!(refused(&link(b, a, &topic)).contains("would come back"));
    // Who was refused is in nobody's way.
    daemon.stop().expect(0);
    let daemon = there.run();
    daemon.wait_ready();
    // A topic that is stopped there may go the other way.
    let (_dir, path) = there.write();
    let stopped = isomirror().arg("topics").arg(path).args(["stop", &topic]).output().unwrap();
    assert_eq!(stopped.status.code(), Some(0), "{}", String::from_utf8_lossy(&stopped.stderr));
    a.cluster.delete_topic(&topic).unwrap();
    let back = back.run();
    back.wait_ready();
    back.stop().expect(0);
    daemon.stop().expect(0);
}

#[test]
fn a_ring_is_seen_by_whoever_closes_it_though_it_sees_only_two_of_the_clusters() {
    let [a, b, c] = sites();
    let topic = unique("closed");
    for site in [a, b, c] {
        site.create(&topic, 1);
    }
    let first = plain(a, b, &topic).run();
    first.wait_ready();
    let second = plain(b, c, &topic).run();
    second.wait_ready();
    let said = refused(&plain(c, a, &topic));
    assert_eq!(said.matches(&format!("→ {topic} (link ")).count(), 3, "{said}");
    // Another name on one of the ways, and it is none.
    let other = plain(c, a, &topic).section(&format!("[topics.rename]\n\"{topic}\" = \"{topic}.c\"")).run();
    other.wait_ready();
    for daemon in [first, second, other] {
        daemon.stop().expect(0);
    }
}

#[test]
fn topics_of_each_sites_own_may_have_any_names_but_patterns_that_match_what_the_other_makes_are_refused() {
    let [a, b, _] = sites();
    let name = unique("own");
    let (at_a, at_b) = (format!("{name}.x"), format!("{name}.y"));
    a.create(&at_a, 1);
    b.create(&at_b, 1);
    a.produce(&at_a, 0, 0..50);
    b.produce(&at_b, 0, 0..70);
    let rename = |link: Config, to: &str| {
        link.section(&format!("[topics.rename]\n\"^(.*)$\" = \"{to}.$1\"")).topics("refresh = \"200ms\"")
    };
    let there = rename(plain(a, b, &format!("{name}\\..*")), "from-a").run();
    let back = rename(plain(b, a, &format!("{name}\\..*")), "from-b").run();
    for (site, topic, records) in [(b, format!("from-a.{at_a}"), 50), (a, format!("from-b.{at_b}"), 70)] {
        eventually("it is there", || (site.count(&topic) == records).then_some(()));
    }
    back.stop().expect(0);
    there.stop().expect(0);
    let there = rename(plain(a, b, &format!(".*{name}\\..*")), "x").run();
    there.wait_ready();
    let said = refused(&rename(plain(b, a, &format!(".*{name}\\..*")), "y"));
    assert!(said.contains("each time round another topic"), "{said}");
    there.stop().expect(0);
}

#[test]
fn within_one_cluster_a_shared_topic_is_refused_whatever_the_cluster_is_called() {
    let [a, ..] = sites();
    let (topic, copy) = (unique("same"), unique("same-copy"));
    a.create(&topic, 1);
    a.create(&copy, 1);
    let alias = [("bootstrap.servers".to_owned(), a.cluster.bootstrap().replace("127.0.0.1", "localhost"))];
    let within = |topic: &str| link(a, a, topic).target(alias.to_vec());
    let same = within(&topic);
    let said = refused(&same);
    assert!(said.contains("source and target are one cluster"), "{said}");
    let checked = same.command("check", &["--output", "json"]);
    let text = String::from_utf8_lossy(&checked.stdout);
    assert_eq!(checked.status.code(), Some(3), "{text}");
    assert!(text.contains("it would be mirrored onto itself"), "{text}");
    // Under another name it is a copy, and no loop; nor do records say where they come from, so that one back is one.
    let rename =
        |from: &str, to: &str| within(from).section(&format!("[topics.rename]\n\"{from}\" = \"{to}\""));
    let there = rename(&topic, &copy).run();
    there.wait_ready();
    let said = refused(&rename(&copy, &topic));
    assert!(said.contains(&format!("{copy} → {topic} (link ")), "{said}");
    a.produce(&topic, 0, 0..10);
    wait_for(&[a], &copy, 10);
    assert_eq!(a.count(&topic), 10);
    there.stop().expect(0);
}
