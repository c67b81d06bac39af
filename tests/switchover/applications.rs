//! Java's own clients through a planned switchover there and back, an unplanned failover, and the planned way back: a producer, a
//! group that commits to Kafka, one that keeps its offsets by itself, and one that writes what it reads, in transactions. What
//! they wrote and saw is counted: 0 lost, 0 repeated, 0 misplaced where it is planned; where it is not, the tail that the
//! failover has named and `reconcile` has exported, and nothing else.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    thread,
    time::Duration,
};

use kafka_harness::{
    Cluster, Security, client,
    daemon::{Daemon, eventually},
    shared::unique,
};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    acls_by_name::allow,
    apps::App,
    count::{Counts, Seen, by_consumer, on_target},
    ledgers::ended,
    members,
    support::{Pair, clusters_of, exported, found, seen_of},
};

const PARTITIONS: i32 = 4;
/// What the mirror may carry a second while it is to fall behind.
const SLOW: &str = "[limits]\nthrottle = \"1KB/s\"\n";

/// Two sites, their applications, and the file that tells those where to go.
struct Sites {
    clusters: [Cluster; 2],
    folder: TempDir,
    /// The topic that is written to, and the one that the transactional application writes.
    topics: [String; 2],
    groups: [String; 2],
}

/// What reads.
struct Readers {
    group: App,
    own: App,
    transform: App,
}

impl Sites {
    fn new() -> Self {
        let clusters = clusters_of(Security::plain(&["app", "billing"]));
        let folder = TempDir::new().unwrap();
        for (file, cluster) in [("servers", 0), ("servers.dc1", 0), ("servers.dc2", 1)] {
            fs::write(folder.path().join(file), clusters[cluster].bootstrap()).unwrap();
        }
        let topics = ["orders", "invoices"].map(unique);
        let groups = ["billing", "invoicing"].map(unique);
        let [orders, invoices] = &topics;
        for topic in &topics {
            clusters[0].create_topic(topic, PARTITIONS, 1, &[]).unwrap();
        }
        let rules = [
            format!("Allow User:app Write Topic {orders}"),
            format!("Allow User:billing Read Topic {orders}"),
            format!("Allow User:billing Write Topic {invoices}"),
            format!("Allow User:billing Read Group {}", groups[0]),
            format!("Allow User:billing Read Group {}", groups[1]),
            format!("Allow User:billing Write TransactionalId {}-writes", groups[1]),
        ];
        allow(&clusters[0], &rules);
        let begins: Vec<_> = (0..PARTITIONS).map(|partition| (&**orders, partition, 0)).collect();
        for group in &groups {
            members::commit(&clusters[0], group, &begins);
        }
        Self { clusters, folder, topics, groups }
    }

    fn pair(&self) -> Pair {
        let [a, b] = &self.clusters;
        let groups = format!("{}|{}", self.groups[0], self.groups[1]);
        let folder = self.folder.path().display();
        let hook = format!("cd {folder} && cp servers.$ISOMIRROR_TO servers.next && mv servers.next servers");
        let sections = format!(
            "[groups]\ninclude = [\"{groups}\"]\nsync = \"1s\"\n[acls]\nsync = \"1s\"\n[switchover]\nclients_hook = \"{hook}\"\n"
        );
        Pair::between([a, b], &self.topics.join("|"), &sections)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn app(&self, role: &str, name: &str, rest: &[&str]) -> App {
        App::start(self.clusters[0].dist(), self.folder.path(), &self.topics[0], role, name, rest)
    }

    fn producer(&self, name: &str, first: usize) -> App {
        self.app("producer", name, &[&first.to_string()])
    }

    fn keeper(&self, name: &str) -> App {
        self.app("own", name, &[&self.path("own.state").display().to_string(), "0"])
    }

    fn readers(&self) -> Readers {
        Readers {
            // It takes its time to go over, and reads on where it is.
            group: self.app("group", "group", &[&self.groups[0], "0", "3000"]),
            own: self.keeper("own"),
            transform: self.app("transform", "transform", &[&self.groups[1], &self.topics[1]]),
        }
    }

    /// What a consumer sees there.
    fn there(&self, site: usize, topic: &str) -> Vec<Seen> {
        seen_of(&self.clusters[site], topic)
    }

    /// Waits until both sites end alike, and claims that they have the same; what the topics hold.
    fn same(&self, daemon: &Daemon) -> [Vec<Seen>; 2] {
        self.topics.each_ref().map(|topic| {
            let ends = |site: usize| client::end_offsets(&self.clusters[site].props(), topic).ok();
            eventually(&format!("both end alike; {}", daemon.log()), || {
                (ends(0).is_some() && ends(0) == ends(1)).then_some(())
            });
            let [one, two] = [0, 1].map(|site| self.there(site, topic));
            assert_eq!(one, two, "{topic}");
            one
        })
    }

    /// Records in the files that `reconcile` has written, of a topic.
    fn exported(&self, topic: &str) -> BTreeSet<u64> {
        let all = exported(&self.path("orphaned")).into_iter();
        all.filter(|(of, _)| of == topic).map(|(_, seen)| seen.number).collect()
    }
}

impl Readers {
    fn check(&mut self) {
        [&mut self.group, &mut self.own, &mut self.transform].into_iter().for_each(App::check);
    }

    /// Waits until each has had these numbers; some who keeps its own offsets had before it was started again, and some that
    /// were invoiced are in the tail.
    fn wait_for(&mut self, sites: &Sites, all: &BTreeSet<u64>, had: &[Seen]) {
        let invoices = &sites.topics[1];
        eventually(&format!("all are read; {}", self.transform.log()), || {
            self.check();
            let group = numbers(&self.group.seen());
            let own = &numbers(&self.own.seen()) | &numbers(had);
            let invoiced = || &numbers(&sites.there(0, invoices)) | &sites.exported(invoices);
            (all.is_subset(&group) && all.is_subset(&own) && all.is_subset(&invoiced())).then_some(())
        });
        // Time for what would come twice.
        thread::sleep(Duration::from_secs(1));
    }
}

pub fn numbers(seen: &[Seen]) -> BTreeSet<u64> {
    seen.iter().map(|seen| seen.number).collect()
}

fn go(pair: &Pair, daemon: &Daemon, args: &[&str]) -> Value {
    let (report, told) = pair.switchover(&[&["--yes"][..], args].concat(), 0);
    assert_eq!(report["ended"], "done", "{report}\n{told}\n{}", daemon.log());
    if let Some(step) = report["steps"].as_array().unwrap().iter().find(|step| step["step"] == "leave") {
        let since = &step["since_turn"];
        assert_eq!((&since["lost"], &since["repeated"]), (&0.into(), &0.into()), "{report}");
        assert!(since["written"].as_u64() > Some(0), "writers did not wait: {report}");
    }
    eprintln!("{args:?}: nobody could write for {} ms", report["without_writes_ms"]);
    report
}

/// Of each partition's records, how many times each was written too often.
pub fn repeated(seen: &[Seen]) -> usize {
    seen.len() - numbers(seen).len()
}

#[test]
fn planned_nothing_is_lost_repeated_or_misplaced_and_unplanned_exactly_the_tail_that_is_named() {
    let sites = Sites::new();
    let [orders, invoices] = &sites.topics;
    let pair = sites.pair();
    let daemon = pair.config.run();
    daemon.wait_ready();

    // Planned, there and back, with all of them at work.
    let producer = sites.producer("planned", 0);
    let mut readers = sites.readers();
    for to in ["dc2", "dc1"] {
        let before = readers.transform.seen().len();
        eventually(&format!("all are at work; {}", readers.transform.log()), || {
            readers.check();
            (readers.transform.seen().len() > before + 100).then_some(())
        });
        go(&pair, &daemon, &["--to", to]);
    }
    thread::sleep(Duration::from_secs(2));
    assert!(producer.log().contains("refused: "), "it has written all the while");
    let mut written = producer.stop();
    readers.wait_for(&sites, &numbers(&written), &[]);
    let [ordered, invoiced] = sites.same(&daemon);
    assert_eq!(
        numbers(&written),
        (0..written.len() as u64).collect::<BTreeSet<u64>>(),
        "each number was written once"
    );
    let exact = Counts::default();
    assert_eq!(on_target(&written, &ordered), exact, "both sites");
    assert_eq!(by_consumer(&ordered, &[], &readers.group.seen()), exact, "the group");
    assert_eq!(by_consumer(&ordered, &[], &readers.own.seen()), exact, "who keeps its own offsets");
    assert_eq!(on_target(&readers.transform.seen(), &invoiced), exact, "the transactions");
    assert_eq!((numbers(&invoiced), repeated(&invoiced)), (numbers(&written), 0), "each was invoiced once");
    eprintln!("planned: {} records: {exact}", written.len());

    // Unplanned: the mirror is behind when the active site is lost.
    daemon.rewrite(&format!("{}{SLOW}", pair.config.text()));
    daemon.signal("HUP");
    daemon.wait_for_log("the configuration is taken over: limits.throttle");
    let producer = sites.producer("unplanned", written.len());
    let behind = |daemon: &Daemon| daemon.status()["totals"]["lag_records"].as_u64().unwrap_or(0);
    eventually(&format!("the mirror is behind; {}", daemon.log()), || (behind(&daemon) > 1500).then_some(()));
    let tail = producer.stop();
    let ends = |site: usize, topic: &str| client::end_offsets(&sites.clusters[site].props(), topic).unwrap();
    eventually("the daemon has seen the last of them", || {
        let seen = |partition: i32| {
            let (link, partition) = (pair.link(0), partition.to_string());
            let labels = [("link", &*link), ("topic", &**orders), ("partition", &*partition)];
            daemon.metric("isomirror_source_end_offset", &labels).map(|end| end as i64)
        };
        ends(0, orders).into_iter().all(|(partition, end)| seen(partition) == Some(end)).then_some(())
    });
    let broker = sites.clusters[0].broker_ids()[0];
    sites.clusters[0].kill(broker).unwrap();
    let own_before = readers.own.stop();
    let report = go(&pair, &daemon, &["--force", "--to", "dc2"]);
    let forks: BTreeMap<i32, i64> = ends(1, orders);
    let lost: BTreeSet<u64> = numbers(
        &tail.iter().filter(|seen| seen.offset >= forks[&seen.partition]).copied().collect::<Vec<_>>(),
    );
    let of_orders = |lane: &&Value| lane["topic"] == **orders;
    let lacking = found(&report, "assess")["lacking"].as_array().unwrap();
    let named: i64 = lacking
        .iter()
        .filter(of_orders)
        .map(|lane| lane["seen"].as_i64().unwrap() - lane["end"].as_i64().unwrap())
        .sum();
    assert!(lost.len() > 50, "there is a tail: {report}");
    assert_eq!(named, i64::try_from(lost.len()).unwrap(), "exactly the tail is named: {report}");

    // Who keeps its own offsets goes on at the fork at most: behind it, other records will lie.
    let state = fs::read_to_string(sites.path("own.state")).unwrap();
    let clamped = state.lines().map(|line| {
        let words: Vec<i64> = line.split(' ').map(|word| word.parse().unwrap()).collect();
        format!("{} {} 0\n", words[0], words[1].min(forks[&i32::try_from(words[0]).unwrap()]))
    });
    fs::write(sites.path("own.state"), clamped.collect::<String>()).unwrap();
    readers.own = sites.keeper("own.again");
    let producer = sites.producer("alone", written.len() + tail.len());
    thread::sleep(Duration::from_secs(4));

    // The site is back, and becomes a standby; what it alone had is in files.
    sites.clusters[0].start(broker).unwrap();
    daemon.rewrite(&pair.config.text());
    daemon.signal("HUP");
    let folder = sites.path("orphaned").display().to_string();
    let args = ["--yes", "--export", &folder, "--output", "json"];
    let (reconciled, told) = ended(pair.config.command("reconcile", &args), 0);
    let reconciled: Value = serde_json::from_str(&reconciled).unwrap();
    assert_eq!(reconciled["ended"], "done", "{reconciled} {told}");
    assert_eq!(sites.exported(orders), lost, "exactly the tail is exported");

    // And back, planned.
    go(&pair, &daemon, &["--to", "dc1"]);
    thread::sleep(Duration::from_secs(2));
    let later = producer.stop();
    written.extend(tail.into_iter().filter(|seen| !lost.contains(&seen.number)));
    written.extend(later);
    let kept: BTreeSet<u64> = numbers(&written);
    readers.wait_for(&sites, &kept, &own_before);
    let [ordered, invoiced] = sites.same(&daemon);
    assert_eq!(
        on_target(&written, &ordered),
        exact,
        "both sites have all but the tail, where its writers were told"
    );

    let but_lost = |seen: Vec<Seen>| -> Vec<Seen> {
        seen.into_iter().filter(|seen| !lost.contains(&seen.number)).collect()
    };
    let group = by_consumer(&ordered, &[], &but_lost(readers.group.stop()));
    assert_eq!((group.lost, group.misplaced), (0, 0), "the group");
    let own = by_consumer(&ordered, &but_lost(own_before), &readers.own.stop());
    assert_eq!(own, exact, "who keeps its own offsets");
    readers.transform.stop();
    let missing: BTreeSet<u64> = kept.difference(&numbers(&invoiced)).copied().collect();
    assert!(
        missing.is_subset(&sites.exported(invoices)),
        "an invoice that is missing is in the tail: {missing:?}"
    );
    eprintln!(
        "unplanned: {} records, {named} named, {} lost; the group read {} again; {} invoices in the tail, {} twice",
        kept.len(),
        lost.len(),
        group.repeated,
        missing.len(),
        repeated(&invoiced)
    );
}
