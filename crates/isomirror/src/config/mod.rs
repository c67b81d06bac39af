//! The effective configuration: from a TOML file or a container's variables, with `ISOMIRROR__…` laid over it.
//!
//! ```text
//! file ─► tree ─┐
//!               ├─► flatten properties ─► env (overlay) ─► section (typed reading) ─► Config ─► show
//! container ────┘                                             └─► error (every problem: file, line, fix)
//! ```
//! Owns reading and checking. Never touches the process's environment or a cluster: `load` is given both.

mod audit;
mod build;
mod changes;
mod clients;
mod container;
mod cutover;
mod env;
mod error;
mod groups;
mod in_step;
mod kafka;
mod mask;
mod pair;
mod schema;
mod section;
mod servers;
mod show;
mod switchover;
#[cfg(test)]
mod tests;
mod topics;
mod tree;
pub mod units;
mod values;
mod verify;

use std::{
    cell::RefCell, collections::BTreeMap, net::SocketAddr, num::NonZeroUsize, path::Path, time::Duration,
};

use kafka_rd::Properties;

pub use audit::Audit;
pub use changes::{may_change, why_fixed};
pub use cutover::{Cutover, Depth};
pub use error::ConfigError;
pub use groups::Groups;
pub use in_step::{Acls, Configs};
pub use pair::Pair;
pub use switchover::Switchover;
pub use topics::Topics;
pub use units::{ByteSize, Rate};
pub use values::{Begin, Block, Consumers, Engine, Offsets, OnTrouble, Origins, Start, Words, Writers};
pub use verify::Verify;

use error::{Problems, SourceFile};

/// What `run` and every other command works by.
#[derive(Debug, Clone)]
pub struct Config {
    /// The link's name.
    pub link: String,
    /// Whether it rests until the journal says that it runs: the link of a pair that leads to the site which is active first.
    pub rests: bool,
    /// Of a pair, the link the other way round.
    pub reverse: Option<String>,
    /// Which engine carries the records.
    pub engine: Engine,
    /// The cluster that is read.
    pub source: Cluster,
    /// The cluster that is written.
    pub target: Cluster,
    /// Which topics, under which names, with which settings.
    pub topics: Topics,
    /// Which consumer groups are kept in step.
    pub groups: Groups,
    /// Whether topic configs are kept in step.
    pub configs: Configs,
    /// How ACLs are carried over, and whether they are kept in step.
    pub acls: Acls,
    /// How a migration is finished.
    pub cutover: Cutover,
    /// Whether both sides are compared meanwhile.
    pub verify: Verify,
    /// Whether both clusters are audited meanwhile.
    pub audit: Audit,
    /// Bounds.
    pub limits: Limits,
    /// What costs records, and what then.
    pub policy: Policy,
    /// The HTTP server.
    pub admin: Admin,
}

/// One of the two clusters.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Its name for people.
    pub name: String,
    /// librdkafka's properties for it.
    pub kafka: Properties,
    /// Properties whose value came from a file or a variable.
    references: BTreeMap<String, kafka::Reference>,
}

/// The clusters of a configuration, whatever else is in it: a link needs both, an audit one.
#[derive(Debug, Clone)]
pub struct Clusters {
    /// The cluster that is read, if there is one.
    pub source: Option<Cluster>,
    /// The cluster that is written, if there is one.
    pub target: Option<Cluster>,
}

/// The `[limits]` section.
#[derive(Debug, Clone)]
pub struct Limits {
    /// What the link may hold in memory between source and target.
    pub buffer: ByteSize,
    /// How fast it may go.
    pub throttle: Option<Rate>,
    /// How many clients read the source in parallel.
    pub consumers: NonZeroUsize,
    /// How long a stop waits for what is in flight.
    pub drain: Duration,
}

/// The `[policy]` section.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// Source records that were gone before they could be read.
    pub loss: OnTrouble,
    /// Records that the target refuses.
    pub refused: OnTrouble,
}

/// The `[admin]` section.
#[derive(Debug, Clone)]
pub struct Admin {
    /// Where the HTTP server listens; none: it is switched off.
    pub listen: Option<SocketAddr>,
    /// What the daemon logs, unless its command line says it.
    pub log: String,
}

/// Which link of a pair's file is meant.
#[derive(Clone, Copy)]
enum Which<'a> {
    /// That of this name; without one there must be but one.
    Named(Option<&'a str>),
    /// Whichever.
    Any,
}

impl Config {
    /// Reads the file, or without one the container's variables, and lays `ISOMIRROR__…` variables over it.
    pub fn load(
        path: Option<&Path>,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        Self::read(path, variables, true, Which::Named(None))
    }

    fn read(
        path: Option<&Path>,
        variables: impl IntoIterator<Item = (String, String)>,
        clients: bool,
        which: Which<'_>,
    ) -> Result<Self, ConfigError> {
        read(path, variables, |tree, variables, problems| match path {
            Some(path) if pair::is_pair(&tree) => {
                let pair = pair::read(tree, path, variables, problems, clients);
                pair.and_then(|pair| of_pair(pair, which, problems))
            }
            Some(_) if matches!(which, Which::Named(Some(_))) => {
                let fix = "leave it out; a file with [sites] has two links";
                let message = "--direction is for a pair's file, and this is one link's";
                problems.borrow_mut().add_missing(message, fix);
                None
            }
            _ => build::config(tree, path, variables, problems, clients),
        })
    }

    /// Reads it as this process was started: see [`Config::load`]. Of a pair's file, the link of this name.
    pub fn load_here(path: Option<&Path>, direction: Option<&str>) -> Result<Self, ConfigError> {
        Self::read(path, variables_here(), true, Which::Named(direction))
    }

    /// The same for who only asks a running daemon: whoever that is may not be allowed to read its certificates. A pair's links
    /// have one daemon.
    pub fn load_here_to_ask(path: Option<&Path>) -> Result<Self, ConfigError> {
        Self::read(path, variables_here(), false, Which::Any)
    }

    /// The source's consumer group.
    pub fn group(&self) -> &str {
        self.source.kafka.get("group.id").expect("it is set while the configuration is read")
    }
}

impl Clusters {
    /// The clusters of a configuration as this process was started; of a pair's file the sites, in its order.
    pub fn load_here(path: Option<&Path>) -> Result<Self, ConfigError> {
        Self::load(path, variables_here())
    }

    fn load(
        path: Option<&Path>,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        read(path, variables, |tree, variables, problems| match path {
            Some(path) if pair::is_pair(&tree) => {
                let [there, _] = pair::read(tree, path, variables, problems, false)?.links;
                Some(Self { source: Some(there.source), target: Some(there.target) })
            }
            _ => build::clusters(tree, path, variables, problems),
        })
    }
}

/// Reads the file, or without one the container's variables, and makes something of it.
fn read<T>(
    path: Option<&Path>,
    variables: impl IntoIterator<Item = (String, String)>,
    build: impl FnOnce(tree::Table, &BTreeMap<String, String>, &RefCell<Problems>) -> Option<T>,
) -> Result<T, ConfigError> {
    let variables: BTreeMap<String, String> = variables.into_iter().collect();
    let problems = RefCell::new(Problems::default());
    let Some(path) = path else {
        let tree = container::tree(&variables, &mut problems.borrow_mut());
        let built = build(tree, &variables, &problems);
        return built.ok_or_else(|| problems.into_inner().into_error(None));
    };
    let text = text(path)?;
    let name = path.display().to_string();
    let built = match tree::parse(&text) {
        Ok(tree) => build(tree, &variables, &problems),
        Err(error) => {
            problems.borrow_mut().add_syntax(&error);
            None
        }
    };
    built.ok_or_else(|| problems.into_inner().into_error(Some(SourceFile { name: &name, text: &text })))
}

/// Whether a file describes a pair of sites; what can't be read or is no TOML describes nothing.
pub fn is_pair(path: Option<&Path>) -> bool {
    let text = path.and_then(|path| std::fs::read_to_string(path).ok());
    text.and_then(|text| tree::parse(&text).ok()).is_some_and(|tree| pair::is_pair(&tree))
}

/// The link of a pair that is asked for.
fn of_pair(pair: Pair, which: Which<'_>, problems: &RefCell<Problems>) -> Option<Config> {
    let names = pair.links.each_ref().map(|link| link.link.clone());
    let Which::Named(direction) = which else { return pair.links.into_iter().next() };
    let found = pair.links.into_iter().find(|link| Some(link.link.as_str()) == direction);
    if found.is_none() {
        let message = match direction {
            Some(direction) => format!("the pair has no link {direction:?}"),
            None => "it describes a pair of sites, and this is about one link".to_owned(),
        };
        let fix = format!("--direction {} or --direction {}", names[0], names[1]);
        problems.borrow_mut().add_missing(message, fix);
    }
    found
}

fn text(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|error| {
        let title = format!("cannot read the configuration {}: {error}", path.display());
        ConfigError::unreadable(
            title,
            "name a TOML file that is there and readable, as in `isomirror check link.toml`",
        )
    })
}

fn variables_here() -> impl Iterator<Item = (String, String)> {
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    std::env::vars_os().map(move |(name, value)| (text(name), text(value)))
}
