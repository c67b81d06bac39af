//! MirrorMaker 2's own file (`connect-mirror-maker.sh`): clusters, and the flows between them.
//!
//! Owns which flows there are, and which keys are one flow's: `keys` knows which of several counts, `topics` what the
//! connector's become.

mod keys;
mod topics;

use std::collections::BTreeSet;

use mirror_types::Side;

use super::{
    Request, client,
    client::Given,
    common::{before_it_runs, consumers},
    connect,
    draft::{Draft, Section},
    is_link,
    note::{ImportError, Place},
    properties::{Entry, Properties},
    value::Providers,
};
use crate::check::Severity;

/// Whether this is MirrorMaker 2's file, or that of its connector.
pub(super) fn is(file: &Properties) -> bool {
    connect::is_source(file)
        || file.get("clusters").is_some()
        || file.entries.iter().any(|entry| entry.key.contains("->"))
}

/// The links of a file: one for each flow that is asked for.
pub(super) fn drafts(file: &Properties, request: &Request) -> Result<Vec<Draft>, ImportError> {
    let refuse = |message: String, fix: String| Err(ImportError::new(Place::file(&file.name), message, fix));
    let blacklist = request.flags.blacklist.as_ref().map(|_| "--blacklist");
    if let Some(flag) = request.flags.topics.as_ref().map(|(flag, _)| *flag).or(blacklist) {
        return refuse(
            format!("a MirrorMaker 2 file, and {flag} is MirrorMaker 1's"),
            format!("leave {flag} out"),
        );
    }
    if connect::is_source(file) {
        let alias = |key, usual| file.get(key).map_or(usual, |entry: &Entry| entry.value.as_str());
        let pair = (alias("source.cluster.alias", "source"), alias("target.cluster.alias", "target"));
        return match &request.flow {
            Some(name) if name_of(pair) != name.replace(' ', "") => refuse(
                "there is no such flow".to_owned(),
                format!("leave --flow out, or name {}", name_of(pair)),
            ),
            _ => Ok(vec![Flow::of_connector(file, pair).draft(request)?]),
        };
    }
    let Some(entry) = file.get("clusters") else {
        return refuse(
            "flows, but no `clusters`".to_owned(),
            "name the clusters, as in clusters = A, B".to_owned(),
        );
    };
    let clusters: BTreeSet<&str> = entry.value.split(',').map(str::trim).filter(|c| !c.is_empty()).collect();
    let pairs = clusters.iter().flat_map(|source| clusters.iter().map(move |target| (*source, *target)));
    let all: Vec<Pair<'_>> = pairs.filter(|(source, target)| source != target).collect();
    let is_chosen = |pair: &&Pair<'_>| match &request.flow {
        Some(name) => name_of(**pair) == name.replace(' ', ""),
        None => is_enabled(file, **pair),
    };
    let chosen: Vec<Pair<'_>> = all.iter().filter(is_chosen).copied().collect();
    let names = |pairs: &[Pair<'_>]| pairs.iter().map(|pair| name_of(*pair)).collect::<Vec<_>>().join(", ");
    let (possible, several) = (names(&all), format!("there are several flows: {}", names(&chosen)));
    let choose = "choose one with --flow 'A->B'";
    match chosen.len() {
        0 if request.flow.is_some() => {
            refuse("there is no such flow".to_owned(), format!("--flow takes one of {possible}"))
        }
        0 => {
            let fix = format!(
                "set A->B.enabled = true for the one that is meant, or name it with --flow: {possible}"
            );
            refuse("no flow is enabled".to_owned(), fix)
        }
        2.. if !request.several => {
            refuse(several, format!("{choose}, or have a file for each with --into DIR"))
        }
        2.. if request.link.is_some() => refuse(several, format!("{choose}, or leave --link out")),
        _ => {
            let draft = |pair| Flow::of(file, &clusters, pair).draft(request);
            let drafts = chosen.into_iter().map(draft).collect::<Result<Vec<_>, _>>()?;
            // `A-B->C` and `A->B-C`, say.
            let mut names: Vec<&str> = drafts.iter().map(|draft| draft.link.as_str()).collect();
            names.sort_unstable();
            match names.windows(2).find(|pair| pair[0] == pair[1]) {
                Some(twice) => {
                    let message = format!("two flows would be named {:?}", twice[0]);
                    refuse(message, format!("{choose} and name it with --link"))
                }
                None => Ok(drafts),
            }
        }
    }
}

/// Source and target.
type Pair<'f> = (&'f str, &'f str);

fn name_of((source, target): Pair<'_>) -> String {
    format!("{source}->{target}")
}

/// By its own key, or by that of all flows.
fn is_enabled(file: &Properties, pair: Pair<'_>) -> bool {
    let own = file.get(&format!("{}.enabled", name_of(pair)));
    own.or_else(|| file.get("enabled")).is_some_and(|entry| entry.value.eq_ignore_ascii_case("true"))
}

/// Whose a key is, for one flow, and what is left of it.
#[derive(Clone, Copy)]
enum Scope<'f> {
    Top(&'f str),
    Source(&'f str),
    Target(&'f str),
    Flow(&'f str),
    /// Of another cluster, or of another flow.
    Other,
    /// Of a flow between clusters that there are not.
    Nobody,
}

/// One flow of the file.
struct Flow<'f> {
    file: &'f Properties,
    source: &'f str,
    target: &'f str,
    keys: Vec<(Scope<'f>, &'f Entry)>,
    providers: Providers,
    /// Whether it is a connector's: all of its keys are the flow's.
    is_connector: bool,
}

impl<'f> Flow<'f> {
    fn of(file: &'f Properties, clusters: &BTreeSet<&str>, (source, target): Pair<'f>) -> Self {
        let beginning = |key: &'f str| {
            let stands_there =
                |name: &&&str| key.strip_prefix(**name).is_some_and(|rest| rest.starts_with('.'));
            let name = *clusters.iter().filter(stands_there).max_by_key(|name| name.len())?;
            Some((name, &key[name.len() + 1..]))
        };
        let scope = |key: &'f str| match key.split_once("->") {
            Some((from, rest)) => match beginning(rest) {
                Some((to, rest)) if (from, to) == (source, target) => Scope::Flow(rest),
                Some(_) if clusters.contains(from) => Scope::Other,
                _ => Scope::Nobody,
            },
            None => match beginning(key) {
                Some((name, rest)) if name == source => Scope::Source(rest),
                Some((name, rest)) if name == target => Scope::Target(rest),
                Some(_) => Scope::Other,
                None => Scope::Top(key),
            },
        };
        let keys = file.entries.iter().map(|entry| (scope(&entry.key), entry)).collect();
        Self { file, source, target, keys, providers: Providers::of(file), is_connector: false }
    }

    fn of_connector(file: &'f Properties, (source, target): Pair<'f>) -> Self {
        let keys = file.entries.iter().map(|entry| (Scope::Flow(entry.key.as_str()), entry)).collect();
        Self { file, source, target, keys, providers: Providers::of(file), is_connector: true }
    }

    fn given(&self, entry: &Entry) -> Given {
        Given::of(self.file, entry, &self.providers)
    }

    /// A connector's setting, by its name and older ones: the flow's own, or that of all flows.
    fn option(&self, names: &[&str]) -> Option<Given> {
        let of = |name: &str| {
            let own = self.keys.iter().find(|(scope, _)| matches!(scope, Scope::Flow(key) if *key == name));
            own.map(|(_, entry)| *entry).or_else(|| self.file.get(name))
        };
        names.iter().find_map(|name| of(name)).map(|entry| self.given(entry))
    }

    fn is_true(&self, name: &str, default: bool) -> bool {
        self.option(&[name])
            .map_or(default, |given| given.text().is_ok_and(|text| text.eq_ignore_ascii_case("true")))
    }

    fn number(&self, name: &str) -> Result<Option<(i64, Place)>, ImportError> {
        let Some(given) = self.option(&[name]) else { return Ok(None) };
        match given.text()?.parse::<i64>() {
            Ok(number) if (1..=1_000_000).contains(&number) || number == -1 => {
                Ok(Some((number, given.place)))
            }
            _ => Err(ImportError::new(given.place, "it is no number that can be meant", "write 1 or more")),
        }
    }

    fn draft(&self, request: &Request) -> Result<Draft, ImportError> {
        let usual = Some(format!("{}-{}", self.source, self.target)).filter(|name| is_link(name));
        let link = request.link.clone().or(usual).unwrap_or_else(|| "mirror".to_owned());
        let mut draft = Draft::new(&link, request.into);
        self.file.remarks(|place, message| draft.note(Section::Top, Severity::Warning, place, message));
        if !self.is_connector && !is_enabled(self.file, (self.source, self.target)) {
            let message = format!("{}->{} is not enabled there", self.source, self.target);
            draft.note(Section::Top, Severity::Warning, Place::file(&self.file.name), message);
        }
        draft.set(Section::Source, "name", self.source);
        draft.set(Section::Target, "name", self.target);
        self.topics(&mut draft)?;
        for (side, cluster) in [(Side::Source, self.source), (Side::Target, self.target)] {
            let client = self.client(&mut draft, side);
            if !client.contains_key("bootstrap.servers") {
                let key = if self.is_connector { format!("{side}.cluster") } else { cluster.to_owned() };
                let fix = format!("name its brokers: {key}.bootstrap.servers = host:9092");
                let message = format!("cluster {cluster} has no bootstrap.servers");
                return Err(ImportError::new(Place::file(&self.file.name), message, fix));
            }
            client::convert(&mut draft, side, client, &self.providers)?;
        }
        if !draft.has(Section::Topics, "start") {
            draft.set(Section::Topics, "start", "earliest");
        }
        before_it_runs(&mut draft, &format!("mm2-offsets.{}.internal on the target", self.source));
        self.groups(&mut draft)?;
        if let Some((number, place)) = self.number("tasks.max")? {
            consumers(&mut draft, number, place);
        }
        self.rest(&mut draft);
        Ok(draft)
    }
}
