//! Three sites, a cluster each; what is written there, and what is found.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::OnceLock,
    thread,
    time::Duration,
};

use kafka_harness::{
    Cluster, TestRecord,
    client::{self, Isolation, ReadRecord},
    daemon::{Config, eventually},
};

/// The header that is written on records.
pub const ORIGIN: &str = "isomirror.origin";

/// A site.
pub struct Site {
    pub name: &'static str,
    pub cluster: Cluster,
}

/// The sites; they live as long as the test process, and nobody stops them.
pub fn sites() -> &'static [Site; 3] {
    static SITES: OnceLock<[Site; 3]> = OnceLock::new();
    SITES.get_or_init(|| ["a", "b", "c"].map(Site::start))
}

/// Two more, whose brokers go down and whose network is cut while they are used.
pub fn rough_sites() -> &'static [Site; 2] {
    static SITES: OnceLock<[Site; 2]> = OnceLock::new();
    SITES.get_or_init(|| ["a", "b"].map(Site::start))
}

/// A record, by what its value says: the site that it was produced at, and its number among those of its partition there.
pub type Name = (String, u64);

impl Site {
    fn start(name: &'static str) -> Self {
        let cluster = Cluster::builder()
            .proxied()
            .broker_config("group.min.session.timeout.ms", "500")
            // A transaction of a mirror that was killed must not hold up readers for a minute.
            .broker_config("transaction.abort.timed.out.transaction.cleanup.interval.ms", "500")
            .start();
        Self { name, cluster: cluster.expect("a cluster") }
    }

    /// The id of its cluster.
    pub fn id(&self) -> String {
        let settings = self.cluster.props();
        let settings = kafka_wire::Settings::new(settings.iter().map(|(k, v)| (&**k, &**v))).unwrap();
        let client = kafka_wire::Client::new(settings);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(client.cluster_id()).unwrap().expect("it has an id").to_string()
    }

    /// Makes a topic.
    pub fn create(&self, topic: &str, partitions: i32) {
        self.cluster.create_topic(topic, partitions, 1, &[("retention.ms", "-1")]).unwrap();
    }

    /// Produces the records of these numbers to a partition.
    pub fn produce(&self, topic: &str, partition: i32, numbers: std::ops::Range<u64>) {
        let record = |n| TestRecord {
            partition,
            key: Some(format!("key {}", n % 7).into_bytes()),
            value: Some(format!("{} {n}", self.name).into_bytes()),
            headers: vec![("mine".to_owned(), None), ("mine".to_owned(), Some(Vec::new()))],
            timestamp: None,
        };
        let records: Vec<_> = numbers.map(record).collect();
        client::produce(&self.cluster.props(), topic, &records).unwrap();
    }

    /// All of a topic that is committed.
    pub fn read(&self, topic: &str) -> BTreeMap<i32, Vec<ReadRecord>> {
        client::read_all(&self.cluster.props(), topic, Isolation::Committed).unwrap()
    }

    /// How many records of a topic are committed.
    pub fn count(&self, topic: &str) -> u64 {
        client::count(&self.cluster.props(), topic, Isolation::Committed).map_or(0, |all| all.values().sum())
    }
}

/// A link of shared topics between two sites, under one name in each direction.
pub fn link(from: &Site, to: &Site, include: &str) -> Config {
    Config::new(&from.cluster, &to.cluster, include)
        .target_property("session.timeout.ms", "2000")
        .target_property("heartbeat.interval.ms", "400")
        .topics("offsets = \"translated\"")
        .topics("writers = \"shared\"")
}

/// A topic that all three sites write, of two partitions, and a link from each site to each other that brings what was
/// produced on its source, the first from a to b; with what `more` does to each, by its source.
pub fn mesh(topic: &str, more: impl Fn(Config, &Site) -> Config) -> [Config; 6] {
    let [a, b, c] = sites();
    for site in [a, b, c] {
        site.create(topic, 2);
    }
    [(a, b), (b, a), (b, c), (c, b), (c, a), (a, c)].map(|(from, to)| {
        let link = link(from, to, topic).topics("origins = \"own\"");
        more(link, from)
    })
}

/// Produces at sites in turns, some records at a time.
pub fn produce_in_turns(sites: &[&'static Site], topic: &str, partitions: i32, rounds: u64, each: u64) {
    thread::scope(|scope| {
        for site in sites {
            scope.spawn(move || {
                for round in 0..rounds {
                    for partition in 0..partitions {
                        site.produce(topic, partition, round * each..(round + 1) * each);
                    }
                    thread::sleep(Duration::from_millis(30));
                }
            });
        }
    });
}

/// What a record is called.
pub fn name(record: &ReadRecord) -> Name {
    let value = String::from_utf8(record.value.clone().expect("a value")).expect("text");
    let (site, number) = value.split_once(' ').expect("two words");
    (site.to_owned(), number.parse().expect("a number"))
}

/// A header's value.
pub fn header(record: &ReadRecord, name: &str) -> Option<String> {
    let found = record.headers.iter().find(|(other, _)| other == name)?;
    Some(String::from_utf8(found.1.clone().expect("a value")).expect("text"))
}

/// Waits until each of these sites has so many records of the topic.
#[track_caller]
pub fn wait_for(sites: &[&Site], topic: &str, records: u64) {
    for site in sites {
        eventually(&format!("site {} has {records} records of {topic}", site.name), || {
            let there = site.count(topic);
            assert!(there <= records, "site {} has {there} records of {topic}: some twice", site.name);
            (there == records).then_some(())
        });
    }
}

/// Waits until a site has so many records of the topic, or more.
#[track_caller]
pub fn wait_for_some(site: &Site, topic: &str, records: u64) {
    eventually(&format!("site {} has {records} records of {topic}", site.name), || {
        (site.count(topic) >= records).then_some(())
    });
}

/// Every site has every record once, those of one origin in their order, and each says truly where it comes from; `produced`:
/// how many of each site and partition.
#[track_caller]
pub fn assert_exact(sites: &[&Site], topic: &str, produced: &BTreeMap<(&str, i32), u64>) {
    let all: Vec<_> = sites.iter().map(|site| site.read(topic)).collect();
    let ids: BTreeMap<&str, String> = sites.iter().map(|site| (site.name, site.id())).collect();
    // Where each record lies on the site that it was produced at.
    let mut places: BTreeMap<(String, i32, u64), i64> = BTreeMap::new();
    for (site, logs) in sites.iter().zip(&all) {
        for (partition, records) in logs {
            for record in records.iter().filter(|record| header(record, ORIGIN).is_none()) {
                let (origin, number) = name(record);
                assert_eq!(origin, site.name, "{record:?} does not say where it comes from");
                places.insert((origin, *partition, number), record.offset);
            }
        }
    }
    for (site, logs) in sites.iter().zip(&all) {
        for (partition, records) in logs {
            let mut seen: BTreeMap<String, Vec<u64>> = BTreeMap::new();
            for record in records {
                let (origin, number) = name(record);
                let what = format!(
                    "{origin} {number} at offset {} of {topic}[{partition}], {}",
                    record.offset, site.name
                );
                assert_eq!(
                    &record.headers[..2],
                    [("mine".to_owned(), None), ("mine".to_owned(), Some(Vec::new()))]
                );
                if origin != site.name {
                    let at = places[&(origin.clone(), *partition, number)];
                    assert_eq!(header(record, ORIGIN).as_ref(), Some(&ids[&*origin]), "{what}");
                    let expected = format!("{topic}/{partition}/{at}");
                    assert_eq!(header(record, &format!("{ORIGIN}.at")), Some(expected), "{what}");
                }
                seen.entry(origin).or_default().push(number);
            }
            for other in sites {
                let numbers = seen.remove(other.name).unwrap_or_default();
                let expected = produced.get(&(other.name, *partition)).copied().unwrap_or(0);
                let lost = (0..expected).collect::<BTreeSet<_>>();
                let lost: Vec<_> = lost.difference(&numbers.iter().copied().collect()).copied().collect();
                assert!(
                    lost.is_empty(),
                    "{topic}[{partition}] at {}: {lost:?} of {} lost",
                    site.name,
                    other.name
                );
                assert!(
                    numbers.iter().copied().eq(0..expected),
                    "{topic}[{partition}] at {}: those of {} are not in their order, or twice",
                    site.name,
                    other.name
                );
            }
            assert!(seen.is_empty(), "{seen:?}");
        }
    }
}

/// A topic of a site has each of these sites' records once a partition, in their order.
#[track_caller]
pub fn assert_exact_values(site: &Site, topic: &str, origins: &[&str], each: u64) {
    for (partition, records) in site.read(topic) {
        for origin in origins {
            let numbers = records.iter().map(name).filter(|(of, _)| of == origin).map(|(_, number)| number);
            assert!(numbers.eq(0..each), "{topic}[{partition}] at {}: those of {origin}", site.name);
        }
    }
}
