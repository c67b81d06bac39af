//! A pair of sites and the two links between them, from one file: what they share is said once.
//!
//! ```text
//! pair.toml ─► tree ─┬─ [sites.A] [sites.B] [switchover] ──► Pair
//!                    └─ the rest, and [links.A-B] laid over it ─► a link's tree, each way ─► build ─► Config
//! ```
//! Owns the derivation of the links. What a link's keys mean is `build`'s.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde::Serialize;

use super::{
    Config, ConfigError, Offsets, Switchover, Writers, build, env,
    error::Problems,
    kafka,
    section::Section,
    show::{Shown, ShownSwitchover},
    switchover,
    tree::{self, Key, Located, Node, Origin, Table, Value},
};

/// Keys of a pair's file that are not a link's.
const OWN: [&str; 4] = ["pair", "sites", "links", "switchover"];
/// Keys of a link's file that follow from the sites.
const DERIVED: [&str; 3] = ["link", "source", "target"];
const SITES: &str = "write two of them, as in [sites.dc1.kafka] and [sites.dc2.kafka]";

/// Two sites, and the links between them.
#[derive(Debug, Clone)]
pub struct Pair {
    /// Their names, in the file's order.
    pub sites: [String; 2],
    /// From the first to the second, and back.
    pub links: [Config; 2],
    /// How the active site changes.
    pub switchover: Switchover,
}

/// A pair as it is shown.
#[derive(Serialize)]
struct ShownPair<'a> {
    switchover: ShownSwitchover<'a>,
    links: BTreeMap<&'a str, Shown<'a>>,
}

/// Whether the file describes a pair.
pub fn is_pair(tree: &Table) -> bool {
    tree.iter().any(|(key, _)| key.name == "sites")
}

impl Pair {
    /// Reads the file, and lays `ISOMIRROR__…` variables over it.
    pub fn load(
        path: &Path,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        super::read(Some(path), variables, |tree, variables, problems| match is_pair(&tree) {
            true => read(tree, path, variables, problems, true),
            false => {
                let fix = format!("{SITES}; a file with [source] and [target] describes one link only");
                problems.borrow_mut().add_missing("it describes no pair of sites", fix);
                None
            }
        })
    }

    /// Reads it as this process was started.
    pub fn load_here(path: &Path) -> Result<Self, ConfigError> {
        Self::load(path, super::variables_here())
    }

    /// The link that leads to a site.
    pub fn link_to(&self, site: &str) -> &Config {
        &self.links[usize::from(self.sites[0] == site)]
    }

    /// It as TOML: both links in full.
    pub fn to_toml(&self) -> String {
        toml::to_string(&self.shown()).expect("strings, numbers and tables are TOML")
    }

    /// It as JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(&self.shown()).expect("strings, numbers and tables are JSON")
    }

    fn shown(&self) -> ShownPair<'_> {
        let links = self.links.iter().map(|link| (link.link.as_str(), link.shown())).collect();
        ShownPair { switchover: self.switchover.shown(), links }
    }
}

/// The pair that a tree describes; none if anything is wrong with it, which `problems` then says.
pub fn read(
    mut tree: Table,
    path: &Path,
    variables: &BTreeMap<String, String>,
    problems: &RefCell<Problems>,
    clients: bool,
) -> Option<Pair> {
    let names = site_names(&tree);
    for name in &names {
        if let Some(table) = tree::at(&mut tree, &["sites", name, "kafka"]) {
            *table = kafka::flatten(std::mem::take(table), &mut problems.borrow_mut());
        }
    }
    env::overlay_pair(&mut tree, &names, variables, &mut problems.borrow_mut());
    let mut own = Table::new();
    let mut shared = Table::new();
    for entry in tree {
        let name = entry.0.name.as_str();
        if OWN.contains(&name) || DERIVED.contains(&name) { own.push(entry) } else { shared.push(entry) }
    }
    let mut top = Section::pair(own, problems);
    let prefix = top.get::<String>("pair");
    let sites = read_sites(top.table("sites"), problems);
    let exceptions = top.table("links").map(|table| table.value).unwrap_or_default();
    let section = top.section("switchover", "switchover");
    let sites = sites?;
    let names = sites.each_ref().map(|site| site.name.clone());
    let switchover = switchover::read(section, &names, problems);
    top.finish();
    let prefix = prefix.map_or_else(String::new, |prefix| format!("{}.", prefix.value));
    let link = |from: &Site, to: &Site| format!("{prefix}{}-{}", from.name, to.name);
    let [a, b] = &sites;
    if link(a, b) == link(b, a) {
        let message = format!("both links would be called {}", link(a, b));
        problems.borrow_mut().add(&b.key.origin, message, "give one of the sites another name");
    }
    let mut exceptions = Exceptions::read(exceptions, [link(a, b), link(b, a)], problems);
    let both = [(a, b), (b, a)].map(|(from, to)| {
        let name = link(from, to);
        let tree = derived(&name, from, to, &shared, exceptions.of(&name));
        // What is wrong with the one is wrong with the other.
        let fine = problems.borrow().is_empty();
        fine.then(|| build::of_pair(tree, path, variables, problems, clients)).flatten()
    });
    let [Some(mut there), Some(mut back)] = both else { return None };
    (there.rests, back.rests) = (switchover.active == names[1], switchover.active == names[0]);
    (there.reverse, back.reverse) = (Some(back.link.clone()), Some(there.link.clone()));
    let pair = Pair { sites: names, links: [there, back], switchover };
    refuse_unlike(&pair, &shared, problems);
    problems.borrow().is_empty().then_some(pair)
}

/// A site as it was written.
struct Site {
    name: String,
    key: Key,
    node: Node,
}

fn site_names(tree: &Table) -> Vec<String> {
    let sites = tree.iter().find(|(key, _)| key.name == "sites");
    match sites.map(|(_, node)| &node.value) {
        Some(Value::Table(sites)) => sites.iter().map(|(key, _)| key.name.clone()).collect(),
        _ => Vec::new(),
    }
}

fn read_sites(sites: Option<Located<Table>>, problems: &RefCell<Problems>) -> Option<[Site; 2]> {
    let Located { value, origin } = sites?;
    let mut problems = problems.borrow_mut();
    let mut found = Vec::new();
    for (key, node) in value {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        if key.name.is_empty() || key.name.len() > 90 || !key.name.chars().all(legal) {
            let message = format!("{:?} can't be the name of a site", key.name);
            problems.add(&key.origin, message, "write letters, digits, '.', '_' or '-'");
        } else if !matches!(node.value, Value::Table(_)) {
            problems.hide(&node.origin);
            problems.add(&key.origin, format!("site {} must be a table", key.name), SITES);
        } else {
            found.push(Site { name: key.name.clone(), key, node });
        }
    }
    let count = found.len();
    if let Ok(two) = <[Site; 2]>::try_from(found) {
        return Some(two);
    }
    if problems.is_empty() {
        problems.add(&origin, format!("a pair has two sites, not {count}"), SITES);
    }
    None
}

/// What is said of one of the links alone.
struct Exceptions(BTreeMap<String, Table>);

impl Exceptions {
    fn read(tables: Table, links: [String; 2], problems: &RefCell<Problems>) -> Self {
        let mut found = BTreeMap::new();
        for (key, node) in tables {
            match node.value {
                Value::Table(table) if links.contains(&key.name) => drop(found.insert(key.name, table)),
                other => {
                    let mut problems = problems.borrow_mut();
                    if other.has_parts() {
                        problems.hide(&node.origin);
                    }
                    let message = format!("the pair has no link {:?}", key.name);
                    let fix = format!("its links are [links.{:?}] and [links.{:?}]", links[0], links[1]);
                    problems.add(&key.origin, message, fix);
                }
            }
        }
        Self(found)
    }

    fn of(&mut self, link: &str) -> Table {
        self.0.remove(link).unwrap_or_default()
    }
}

/// A link's tree: the sites as its source and its target, what is shared, and over it what is said of it alone.
fn derived(name: &str, from: &Site, to: &Site, shared: &Table, own: Table) -> Table {
    let mut tree = shared.clone();
    for (side, site) in [("source", from), ("target", to)] {
        let key = Key { name: side.to_owned(), origin: site.key.origin.clone() };
        let mut node = site.node.clone();
        if let Value::Table(table) = &mut node.value {
            let origin = site.key.origin.clone();
            let value = Node { value: Value::String(site.name.clone()), origin: origin.clone() };
            if !table.iter().any(|(key, _)| key.name == "name") {
                table.push((Key { name: "name".to_owned(), origin }, value));
            }
        }
        tree.push((key, node));
    }
    lay_over(&mut tree, own);
    let origin = from.key.origin.clone();
    let value = Node { value: Value::String(name.to_owned()), origin: origin.clone() };
    tree.push((Key { name: "link".to_owned(), origin }, value));
    tree
}

/// Puts each value of a table over the one that stands at its place.
fn lay_over(under: &mut Table, over: Table) {
    for (key, node) in over {
        let found = under.iter_mut().find(|(known, _)| known.name == key.name);
        match (found, node) {
            (Some((_, Node { value: Value::Table(under), .. })), Node { value: Value::Table(over), .. }) => {
                lay_over(under, over)
            }
            (Some((_, there)), node) => *there = node,
            (None, node) => under.push((key, node)),
        }
    }
}

/// What would keep one side from being the copy of the other, offset for offset and name for name.
fn refuse_unlike(pair: &Pair, shared: &Table, problems: &RefCell<Problems>) {
    let origin = |path: &[&str]| -> Option<Origin> {
        let (last, before) = path.split_last()?;
        let mut at = shared.clone();
        let table = if before.is_empty() { &mut at } else { tree::at(&mut at, before)? };
        table.iter().find(|(key, _)| key.name == *last).map(|(key, _)| key.origin.clone())
    };
    let mut told = BTreeSet::new();
    let mut add = |path: &[&str], message: &str, fix: &str| {
        if told.insert(message.to_owned()) {
            match origin(path) {
                Some(origin) => problems.borrow_mut().add(&origin, message, fix),
                None => problems.borrow_mut().add_missing(message, fix),
            }
        }
    };
    for link in &pair.links {
        let topics = &link.topics;
        if topics.rules.config().rename.iter().any(|(from, to)| from != to) {
            let message =
                "a pair's topics have the same names on both sites: who goes over looks for them there";
            add(&["topics", "rename"], message, "leave `rename` out; a link of its own can rename");
        }
        let all = topics.overrides.iter().map(|o| (o.settings.offsets, o.settings.writers));
        let all = all.chain([(Some(topics.defaults.offsets), Some(topics.defaults.writers))]);
        for (offsets, writers) in all {
            if offsets == Some(Offsets::Translated) || writers == Some(Writers::Shared) {
                let message = "a pair's topics have the same offsets on both sites, and one writer each";
                let fix =
                    "leave `offsets` and `writers` out; topics that need them belong to a link of their own";
                add(&["topics", "offsets"], message, fix);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::*;

    const PAIR: &str = "[sites.dc1.kafka]\n\"bootstrap.servers\" = \"a:9092\"\n[sites.dc2]\nname = \"Frankfurt\"\n\
                        [sites.dc2.kafka]\nbootstrap.servers = \"b:9092\"\n[topics]\ninclude = [\"orders\"]\n";

    fn load_with(text: &str, variables: &[(&str, &str)]) -> Result<Pair, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pair.toml");
        fs::write(&path, text).unwrap();
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Pair::load(&path, variables).map_err(|error| error.to_string())
    }

    fn load(text: &str) -> Result<Pair, String> {
        load_with(text, &[])
    }

    fn refused(text: &str) -> String {
        load(text).map(|_| ()).expect_err("it can't be used")
    }

    fn servers(config: &Config) -> [Option<&str>; 2] {
        [&config.source, &config.target].map(|cluster| cluster.kafka.get("bootstrap.servers"))
    }

    #[test]
    fn the_links_follow_from_the_sites_and_one_of_them_rests_at_first() {
        let pair = load(PAIR).unwrap();
        let [there, back] = &pair.links;
        assert_eq!((there.link.as_str(), back.link.as_str()), ("dc1-dc2", "dc2-dc1"));
        assert_eq!(servers(there), [Some("a:9092"), Some("b:9092")]);
        assert_eq!(servers(back), [Some("b:9092"), Some("a:9092")]);
        assert_eq!((there.source.name.as_str(), there.target.name.as_str()), ("dc1", "Frankfurt"));
        assert_eq!((there.group(), back.group()), ("isomirror.dc1-dc2", "isomirror.dc2-dc1"));
        assert_eq!((pair.switchover.active.as_str(), there.rests, back.rests), ("dc1", false, true));
        assert_eq!(pair.link_to("dc2").link, "dc1-dc2");
        assert_eq!((there.reverse.as_deref(), back.reverse.as_deref()), (Some("dc2-dc1"), Some("dc1-dc2")));
        let second = load(&format!("pair = \"billing\"\n{PAIR}[switchover]\nactive = \"dc2\"\n")).unwrap();
        assert_eq!((second.links[0].link.as_str(), second.links[0].rests), ("billing.dc1-dc2", true));
    }

    #[test]
    fn what_is_said_of_one_link_counts_for_it_alone() {
        let exception = "[limits]\nbuffer = \"8MiB\"\ndrain = \"3s\"\n[links.dc2-dc1.limits]\nbuffer = \"2MiB\"\n\
                         [links.dc2-dc1.source.kafka]\nclient.rack = \"r1\"\n";
        let pair = load(&format!("{PAIR}{exception}")).unwrap();
        let limits = pair
            .links
            .each_ref()
            .map(|link| (link.limits.buffer.as_u64() >> 20, link.limits.drain.as_secs()));
        assert_eq!(limits, [(8, 3), (2, 3)]);
        let rack = pair.links.each_ref().map(|link| link.source.kafka.get("client.rack"));
        assert_eq!(rack, [None, Some("r1")]);
        let error = refused(&format!("{PAIR}[links.dc3-dc1.limits]\nbuffer = \"2MiB\"\n"));
        assert!(error.contains("pair.toml:9:8: the pair has no link \"dc3-dc1\""), "{error}");
    }

    #[test]
    fn unknown_keys_are_refused_with_their_line() {
        for (text, expected) in [
            ("[limits]\nbufer = \"1MiB\"\n", "pair.toml:10:1: unknown key `bufer` in [limits]"),
            ("[switchover]\nactiv = \"dc1\"\n", "pair.toml:10:1: unknown key `activ` in [switchover]"),
            ("[sites.dc1.kafak]\n", "unknown key `kafak` in [source]"),
            ("[switchover]\nactive = \"dc3\"\n", "`active`: there is no site \"dc3\""),
            (
                "[switchover]\nleave_limit = \"2m\"\n",
                "`leave_limit`: a step takes no longer than `step_limit`",
            ),
            ("[switchover]\nwriters = [\"User:*\"]\n", "\"User:*\" is everybody, the mirror too"),
            ("[sites.dc3.kafka]\n", "a pair has two sites, not 3"),
            ("[topics.rename]\n\"orders\" = \"o\"\n", "the same names on both sites"),
            ("[topics.override.\"x.*\"]\noffsets = \"translated\"\n", "the same offsets on both sites"),
        ] {
            let error = refused(&format!("{PAIR}{text}"));
            assert!(error.contains(expected), "{error}");
        }
        let error = refused(&format!("link = \"a-b\"\n{PAIR}"));
        assert!(error.contains("pair.toml:1:1: unknown key `link` at the top level"), "{error}");
        let error = refused(&PAIR.replace("\"bootstrap.servers\" = \"a:9092\"", ""));
        assert!(error.contains("no \"bootstrap.servers\"") && error.contains("[sites.dc1.kafka]"), "{error}");
    }

    #[test]
    fn variables_are_laid_over_sites_and_over_what_is_shared() {
        let variables = [
            ("ISOMIRROR__SITES__DC2__KAFKA__BOOTSTRAP_SERVERS", "c:9092"),
            ("ISOMIRROR__LIMITS__BUFFER", "4MiB"),
            ("ISOMIRROR__SWITCHOVER__STEP_LIMIT", "7s"),
        ];
        let pair = load_with(PAIR, &variables).unwrap();
        assert_eq!(servers(&pair.links[1]), [Some("c:9092"), Some("a:9092")]);
        assert_eq!(pair.links[0].limits.buffer.as_u64(), 4 << 20);
        assert_eq!(pair.switchover.step_limit.as_secs(), 7);
        let error = load_with(PAIR, &[("ISOMIRROR__SOURCE__NAME", "x")]).unwrap_err();
        assert!(error.contains("ISOMIRROR__SOURCE__NAME: unknown variable"), "{error}");
    }

    #[test]
    fn one_link_is_taken_out_of_it_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pair.toml");
        fs::write(&path, PAIR).unwrap();
        let named = |direction| Config::load_here(Some(&path), direction).map_err(|error| error.to_string());
        assert_eq!(named(Some("dc2-dc1")).unwrap().link, "dc2-dc1");
        let error = named(None).unwrap_err();
        assert!(error.contains("--direction dc1-dc2 or --direction dc2-dc1"), "{error}");
        assert!(named(Some("dc1-dc3")).unwrap_err().contains("no link \"dc1-dc3\""));
        assert!(Config::load_here_to_ask(Some(&path)).is_ok());
    }

    #[test]
    fn the_example_loads_and_names_every_key() {
        let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/pair.toml"));
        let pair = Pair::load(&path, []).unwrap_or_else(|error| panic!("{error}"));
        let text = fs::read_to_string(&path).unwrap();
        for (section, keys) in super::super::schema::PAIR_SECTIONS {
            for (key, _) in keys {
                let line = |l: &str| {
                    let l = l.trim_start_matches(['#', ' ']);
                    l.starts_with(&format!("{key} =")) || (l.starts_with('[') && l.contains(key))
                };
                assert!(text.lines().any(line), "{key} of {section}");
            }
        }
        let shown: toml::Table = pair.to_toml().parse().unwrap();
        assert_eq!(shown["switchover"]["active"].as_str(), Some("dc1"));
        assert!(shown["links"]["dc2-dc1"]["source"]["kafka"].is_table());
    }
}
