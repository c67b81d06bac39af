//! From the tree to the [`Config`]: defaults, ranges, and what must hold between keys.

use std::{
    cell::RefCell, collections::BTreeMap, net::SocketAddr, num::NonZeroUsize, path::Path, time::Duration,
};

use mirror_types::Side;

use super::{
    Admin, Cluster, Clusters, Config, Limits, Policy, audit, clients, container, cutover, env,
    error::Problems,
    groups, in_step,
    kafka::{self, Kafka, Lookup},
    schema,
    section::{LogLevel, Section},
    topics::{self, Topics},
    tree::{self, Located, Table},
    units::ByteSize,
    values::{Engine, OnTrouble},
    verify,
};

/// More than any link needs, and than most machines have.
const MOST_BUFFER: ByteSize = ByteSize::gib(64);
/// Fewer bytes hold too few records for any speed.
const LEAST_BUFFER: ByteSize = ByteSize::mib(1);
/// More clients than that only cost: each has its threads and its connections.
const MOST_CONSUMERS: usize = 64;

/// What is missing is asked for in the words of where the configuration comes from.
struct Asks {
    link: &'static str,
    source: &'static str,
    target: &'static str,
    topics: &'static str,
}

const ASK_FOR_KEYS: Asks = Asks {
    link: "name the link, as in link = \"dc1-dc2\"",
    source: "add \"bootstrap.servers\" = \"host:9092\" to [source.kafka]",
    target: "add \"bootstrap.servers\" = \"host:9092\" to [target.kafka]",
    topics: "name topics in [topics], as in include = [\"orders\", \"payments\\\\..*\"]",
};

const ASK_FOR_SITES: Asks = Asks {
    link: "name the sites, as in [sites.dc1.kafka] and [sites.dc2.kafka]",
    source: "add \"bootstrap.servers\" = \"host:9092\" to the site's kafka section, as in [sites.dc1.kafka]",
    target: "add \"bootstrap.servers\" = \"host:9092\" to the site's kafka section, as in [sites.dc2.kafka]",
    topics: ASK_FOR_KEYS.topics,
};

const ASK_FOR_VARIABLES: Asks = Asks {
    link: "set GROUP_ID (or LINK), or name a configuration file",
    source: "set SOURCE to the source's servers, as in SOURCE=host:9092, or name a configuration file",
    target: "set DESTINATION to the target's servers, as in DESTINATION=host:9092, or name a configuration file",
    topics: "set FROM_TOPIC_TO_TOPIC (as in \"a,b;c,d\") or WHITE_LIST (as in \"orders|payments\")",
};

/// The configuration that a tree describes; none if anything is wrong with it, which `problems` then says. With
/// `clients`, also whether the link's clients can be made of it.
pub fn config(
    mut tree: Table,
    file: Option<&Path>,
    variables: &BTreeMap<String, String>,
    problems: &RefCell<Problems>,
    clients: bool,
) -> Option<Config> {
    let asks = if file.is_some() { ASK_FOR_KEYS } else { ASK_FOR_VARIABLES };
    complete(&mut tree, variables, problems);
    link(tree, file, variables, problems, clients, &asks)
}

/// The same of a pair's link, over which variables are laid already.
pub fn of_pair(
    mut tree: Table,
    file: &Path,
    variables: &BTreeMap<String, String>,
    problems: &RefCell<Problems>,
    clients: bool,
) -> Option<Config> {
    // What is said of one link alone has come since.
    flatten(&mut tree, problems);
    link(tree, Some(file), variables, problems, clients, &ASK_FOR_SITES)
}

fn link(
    tree: Table,
    file: Option<&Path>,
    variables: &BTreeMap<String, String>,
    problems: &RefCell<Problems>,
    clients: bool,
    asks: &Asks,
) -> Option<Config> {
    let lookup = lookup(file, variables);

    let mut top = Section::top(tree, problems);
    let link = read_link(&mut top, asks.link, problems);
    let engine = top.get("engine").map_or(Engine::Auto, |found| found.value);
    let source = read_cluster(top.section("source", "source"), "source", asks.source, lookup, problems);
    let target = read_cluster(top.section("target", "target"), "target", asks.target, lookup, problems);
    let topics = topics::read(top.section("topics", "topics"), asks.topics, problems);
    let groups = groups::read(top.section("groups", "groups"), problems);
    let configs = in_step::read_configs(top.section("configs", "configs"), problems);
    let acls = in_step::read_acls(top.section("acls", "acls"), problems);
    let cutover = cutover::read(top.section("cutover", "cutover"), problems);
    let verify = verify::read(top.section("verify", "verify"), problems);
    let audit = audit::read(top.section("audit", "audit"), problems);
    let limits = read_limits(top.section("limits", "limits"), problems);
    let mut policy = top.section("policy", "policy");
    let policy_read = Policy {
        loss: policy.get_or("loss", OnTrouble::Stop),
        refused: policy.get_or("refused", OnTrouble::Stop),
    };
    policy.finish();
    let default = if file.is_some() { "127.0.0.1:9464" } else { container::LISTEN };
    let default: Option<SocketAddr> = Some(default.parse().expect("an address"));
    let mut admin = top.section("admin", "admin");
    let listen = admin.get_or("listen", default);
    let log = admin.get::<LogLevel>("log").map_or_else(|| "info".to_owned(), |found| found.value.0);
    admin.finish();
    top.finish();
    if let Some(topics) = &topics {
        refuse_loops(&source.1, &target.1, topics, problems);
    }
    if clients && problems.borrow().is_empty() {
        let prefetch = limits.buffer.as_u64() / 4 / limits.consumers.get() as u64;
        clients::check(Side::Source, &source.1, prefetch, &mut problems.borrow_mut());
        clients::check(Side::Target, &target.1, prefetch, &mut problems.borrow_mut());
        for (what, origin) in [("groups", &groups.origin), ("acls", &acls.origin)] {
            groups::check(what, origin.as_ref(), &source.1.properties, &mut problems.borrow_mut());
        }
        let both = [(Side::Source, &source.1.properties), (Side::Target, &target.1.properties)];
        verify::check(&verify, both, &mut problems.borrow_mut());
        audit::check(&audit, both, &mut problems.borrow_mut());
    }
    if !problems.borrow().is_empty() {
        return None;
    }
    let link = link?;
    let (mut source, target) = (cluster(source), cluster(target));
    source.kafka.set_default("group.id", format!("isomirror.{link}"));
    Some(Config {
        link,
        rests: false,
        reverse: None,
        engine,
        source,
        target,
        topics: topics?,
        groups: groups.settings,
        cutover,
        configs,
        acls: acls.settings,
        verify: verify.settings,
        audit: audit.settings,
        limits,
        policy: policy_read,
        admin: Admin { listen, log },
    })
}

/// The clusters that a tree describes, one at least; what else is in it is not looked at, as long as there is such a key.
pub fn clusters(
    mut tree: Table,
    file: Option<&Path>,
    variables: &BTreeMap<String, String>,
    problems: &RefCell<Problems>,
) -> Option<Clusters> {
    let asks = if file.is_some() { ASK_FOR_KEYS } else { ASK_FOR_VARIABLES };
    complete(&mut tree, variables, problems);
    let lookup = lookup(file, variables);
    let there: Vec<String> = tree.iter().map(|(key, _)| key.name.clone()).collect();
    let mut top = Section::top(tree, problems);
    let mut side = |side: &'static str, ask| {
        let section = top.section(side, side);
        there.iter().any(|key| key == side).then(|| read_cluster(section, side, ask, lookup, problems))
    };
    let (source, target) = (side("source", asks.source), side("target", asks.target));
    if source.is_none() && target.is_none() {
        problems.borrow_mut().add_missing("there is no cluster", asks.source);
    }
    for (key, _) in schema::keys("") {
        top.take(key);
    }
    top.finish();
    problems
        .borrow()
        .is_empty()
        .then(|| Clusters { source: source.map(cluster), target: target.map(cluster) })
}

/// Properties as they are called, and what variables lay over them.
fn complete(tree: &mut Table, variables: &BTreeMap<String, String>, problems: &RefCell<Problems>) {
    flatten(tree, problems);
    env::overlay(tree, variables, &mut problems.borrow_mut());
}

fn flatten(tree: &mut Table, problems: &RefCell<Problems>) {
    for side in ["source", "target"] {
        if let Some(table) = tree::at(tree, &[side, "kafka"]) {
            *table = kafka::flatten(std::mem::take(table), &mut problems.borrow_mut());
        }
    }
}

fn lookup<'a>(file: Option<&'a Path>, variables: &'a BTreeMap<String, String>) -> Lookup<'a> {
    Lookup { folder: file.and_then(Path::parent).unwrap_or(Path::new("")), variables }
}

fn cluster((name, kafka): (String, Kafka)) -> Cluster {
    Cluster { name, kafka: kafka.properties, references: kafka.references }
}

fn read_link(top: &mut Section<'_>, ask: &str, problems: &RefCell<Problems>) -> Option<String> {
    let Some((key, node)) = top.take("link") else {
        problems.borrow_mut().add_missing("the link has no name", ask);
        return None;
    };
    let tree::Value::String(name) = node.value else {
        let message = format!("`{}` must be a string, not {}", key.name, node.value.kind());
        problems.borrow_mut().hide(&node.origin);
        problems.borrow_mut().add(&node.origin, message, ask);
        return None;
    };
    if !control_topic::is_link(&name) {
        let message = format!("{name:?} can't be the name of a link");
        let fix = "write 1 to 200 letters, digits, '.', '_' or '-', and not .journal at the end; with GROUP_ID of other characters, set LINK too";
        problems.borrow_mut().add(&node.origin, message, fix);
        return None;
    }
    Some(name)
}

fn read_cluster(
    mut section: Section<'_>,
    side: &'static str,
    ask: &str,
    lookup: Lookup<'_>,
    problems: &RefCell<Problems>,
) -> (String, Kafka) {
    let name = section.get::<String>("name");
    let properties = section.table("kafka");
    let origin = properties.as_ref().map(|p| p.origin.clone()).or_else(|| section.origin().cloned());
    section.finish();
    let mut problems = problems.borrow_mut();
    if let Some(Located { origin, .. }) = name.as_ref().filter(|name| name.value.trim().is_empty()) {
        problems.add(origin, "a cluster's name can't be empty", "name it, or leave `name` out");
    }
    let properties = properties.map(|p| p.value).unwrap_or_default();
    let given = properties.iter().any(|(key, _)| key.name == "bootstrap.servers");
    let kafka = kafka::read(side, properties, lookup, &mut problems);
    if !given
        || kafka.properties.get("bootstrap.servers").is_some() && kafka::servers(&kafka.properties).is_empty()
    {
        let message = format!("the {side} has no \"bootstrap.servers\"");
        match kafka.origins.get("bootstrap.servers").or(origin.as_ref()) {
            Some(origin) => problems.add(origin, message, ask),
            None => problems.add_missing(message, ask),
        }
    }
    (name.map_or_else(|| side.to_owned(), |name| name.value), kafka)
}

fn read_limits(mut section: Section<'_>, problems: &RefCell<Problems>) -> Limits {
    let default = ByteSize::mib(64);
    let buffer = section.get::<ByteSize>("buffer").map_or(default, |found| {
        if found.value < LEAST_BUFFER {
            let message = "`buffer`: too small for any speed";
            problems.borrow_mut().add(
                &found.origin,
                message,
                "write \"1MiB\" or more; the default is \"64MiB\"",
            );
        }
        if found.value > MOST_BUFFER {
            let message = "`buffer`: more memory than any link needs";
            problems.borrow_mut().add(
                &found.origin,
                message,
                "write \"64GiB\" or less; the default is \"64MiB\"",
            );
        }
        found.value
    });
    let consumers = section.get::<NonZeroUsize>("consumers").map_or(NonZeroUsize::MIN, |found| {
        if found.value.get() > MOST_CONSUMERS {
            let message = format!("`consumers`: {} clients are more than any link needs", found.value);
            problems.borrow_mut().add(&found.origin, message, format!("write {MOST_CONSUMERS} or less"));
        }
        found.value
    });
    let limits = Limits {
        buffer,
        throttle: section.get("throttle").map(|found| found.value),
        consumers,
        drain: section.get_or("drain", Duration::from_secs(20)),
    };
    section.finish();
    limits
}

/// One cluster as source and target: a topic must not be mirrored onto itself or onto a mirrored one.
fn refuse_loops(source: &Kafka, target: &Kafka, topics: &Topics, problems: &RefCell<Problems>) {
    let servers = kafka::servers(&source.properties);
    let Some(shared) = kafka::servers(&target.properties).into_iter().find(|s| servers.contains(s)) else {
        return;
    };
    let rules = topics.rules.config();
    let nothing_renamed = rules.rename.iter().all(|(from, to)| from == to);
    let named = rules.named();
    let looping = named.iter().find_map(|topic| Some((topic, topics.rules.feeds_itself(topic)?)));
    let message = match looping {
        Some((topic, target)) if topic != &target => {
            format!(
                "source and target are one cluster ({shared}), and {topic} would become {target}, which is mirrored again: a loop"
            )
        }
        Some((topic, _)) => {
            format!(
                "source and target are one cluster ({shared}), and {topic} would be mirrored onto itself: a loop"
            )
        }
        None if nothing_renamed => {
            format!("source and target are one cluster ({shared}), and no topic is renamed: a loop")
        }
        None => return,
    };
    let fix = "name another cluster, or rename every topic to a name that is not included";
    if let Some(origin) = target.origins.get("bootstrap.servers") {
        problems.borrow_mut().add(origin, message, fix);
    }
}
