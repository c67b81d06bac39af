//! Include, exclude and rename, from a source topic's name to a target topic's.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use crate::{
    error::{Clash, Error, IllegalTarget, Problem, RouteError, RuleRef},
    name::{check_name, is_internal},
    pattern::Pattern,
    template::Template,
};

/// The rules as they stand in the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RulesConfig {
    /// Whole-name regular expressions of the topics to mirror.
    pub include: Vec<String>,
    /// Whole-name regular expressions of the topics to leave out all the same.
    pub exclude: Vec<String>,
    /// Source to target, in file order: an exact name, or a pattern if it begins with `^`.
    pub rename: Vec<(String, String)>,
}

impl RulesConfig {
    /// The topics that the rules name without a pattern, included or not.
    pub fn named(&self) -> Vec<String> {
        let exact = |pattern: &String| {
            let name = pattern.replace("\\.", "\u{0}").replace("\\-", "-");
            (!name.contains('.')).then(|| name.replace('\u{0}', "."))
        };
        let renamed = self.rename.iter().map(|(from, _)| from.clone());
        self.include.iter().filter_map(exact).chain(renamed).filter(|n| check_name(n).is_ok()).collect()
    }
}

/// The rules, compiled.
#[derive(Debug, Clone)]
pub struct Rules {
    config: RulesConfig,
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
    exact: HashMap<String, String>,
    patterns: Vec<(Pattern, Template)>,
}

impl Rules {
    /// Compiles the rules; the error names the first that can't be used.
    pub fn new(config: &RulesConfig) -> Result<Self, Error> {
        let bad = |rule, text: &str, problem| Error { rule, text: text.to_owned(), problem };
        if config.include.is_empty() {
            return Err(bad(RuleRef::IncludeList, "", Problem::NothingIncluded));
        }
        if let Some(index) = config.include.iter().position(|text| asks_for_internal(text)) {
            return Err(bad(RuleRef::Include(index), &config.include[index], Problem::Internal));
        }
        let include = compile(&config.include, RuleRef::Include)?;
        let exclude = compile(&config.exclude, RuleRef::Exclude)?;
        let (mut exact, mut patterns) = (HashMap::new(), Vec::new());
        for (index, (from, to)) in config.rename.iter().enumerate() {
            if config.rename[..index].iter().any(|(earlier, _)| earlier == from) {
                return Err(bad(RuleRef::Rename(index), from, Problem::Twice));
            }
            let done = match from.strip_prefix('^') {
                Some(_) => rename_pattern(from, to).map(|rule| patterns.push(rule)),
                None => rename_exact(from, to).map(|()| drop(exact.insert(from.clone(), to.clone()))),
            };
            done.map_err(|problem| bad(RuleRef::Rename(index), from, problem))?;
        }
        Ok(Self { config: config.clone(), include, exclude, exact, patterns })
    }

    /// The rules as they were given.
    pub fn config(&self) -> &RulesConfig {
        &self.config
    }

    /// Whether the source topic is mirrored. Internal topics never are.
    pub fn includes(&self, topic: &str) -> bool {
        let any = |patterns: &[Pattern]| patterns.iter().any(|p| p.matches(topic));
        !is_internal(topic) && any(&self.include) && !any(&self.exclude)
    }

    /// The topics that are to be mirrored by their very names, and so are missed where they are not there.
    pub fn named(&self) -> BTreeSet<String> {
        self.config.named().into_iter().filter(|topic| self.includes(topic)).collect()
    }

    /// The target topic of a source topic; none if it is not mirrored.
    ///
    /// Also none where a rename pattern makes an impossible name of it: [`Rules::resolve`] and
    /// [`Rules::route`] tell the two apart, and are what decides whether a topic may be mirrored.
    pub fn target(&self, source_topic: &str) -> Option<String> {
        self.resolve(source_topic).ok().flatten()
    }

    /// The target topic of a source topic, none if it is not mirrored, an error if the name that a rename
    /// pattern makes of it can't be a topic's.
    pub fn resolve(&self, source_topic: &str) -> Result<Option<String>, IllegalTarget> {
        if !self.includes(source_topic) {
            return Ok(None);
        }
        if let Some(target) = self.exact.get(source_topic) {
            return Ok(Some(target.clone()));
        }
        let first =
            self.patterns.iter().find_map(|(p, template)| Some((p, template, p.captures(source_topic)?)));
        let Some((pattern, template, captures)) = first else {
            return Ok(Some(source_topic.to_owned()));
        };
        let target = template.expand(&captures);
        match check_name(&target) {
            Ok(()) => Ok(Some(target)),
            Err(problem) => Err(IllegalTarget {
                topic: source_topic.into(),
                rule: pattern.as_str().into(),
                target,
                problem,
            }),
        }
    }

    /// Source to target topic of every mirrored one of `topics`. Refused, all of them named: target topics
    /// that several source topics would become, and names that can't be.
    pub fn route<'a>(
        &self,
        topics: impl IntoIterator<Item = &'a str>,
    ) -> Result<BTreeMap<String, String>, RouteError> {
        let mut illegal = BTreeMap::new();
        let mut routes = BTreeMap::new();
        for topic in topics {
            match self.resolve(topic) {
                Ok(Some(target)) => drop(routes.insert(topic.to_owned(), target)),
                Ok(None) => {}
                Err(error) => drop(illegal.insert(topic, error)),
            }
        }
        let mut sources: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (source, target) in &routes {
            sources.entry(target).or_default().push(source);
        }
        let clashes: Vec<Clash> = sources
            .into_iter()
            .filter(|(_, sources)| sources.len() > 1)
            .map(|(target, sources)| Clash {
                target: target.to_owned(),
                sources: sources.into_iter().map(str::to_owned).collect(),
            })
            .collect();
        if clashes.is_empty() && illegal.is_empty() {
            return Ok(routes);
        }
        routes.retain(|_, target| clashes.iter().all(|clash| clash.target != *target));
        Err(RouteError { clashes, illegal: illegal.into_values().collect(), rest: routes })
    }

    /// Whether every topic whose name begins so, whenever it comes, is mirrored under its own name: as far as the rules
    /// plainly say it.
    pub fn keep_all_from(&self, prefix: &str) -> bool {
        let may_be_internal =
            ["__", "isomirror."].iter().any(|own| own.starts_with(prefix) || prefix.starts_with(own));
        let renamed = !self.patterns.is_empty() || self.exact.keys().any(|topic| topic.starts_with(prefix));
        let taken = self.include.iter().any(|pattern| pattern.takes_all_from(prefix));
        taken && self.exclude.is_empty() && !renamed && !may_be_internal
    }

    /// Whether, with source and target on one cluster, mirroring this topic would feed the mirror its own
    /// records: the name of its target, if that is a mirrored topic again.
    pub fn feeds_itself(&self, source_topic: &str) -> Option<String> {
        self.target(source_topic).filter(|target| self.includes(target))
    }
}

/// Whether a pattern plainly asks for internal topics, which it would never get.
fn asks_for_internal(pattern: &str) -> bool {
    let text = pattern.trim_start_matches('^');
    text.starts_with("__") || text.starts_with("isomirror.") || text.starts_with("isomirror\\.")
}

fn compile(texts: &[String], rule: impl Fn(usize) -> RuleRef) -> Result<Vec<Pattern>, Error> {
    let one = |(index, text): (usize, &String)| {
        Pattern::new(text).map_err(|e| Error { rule: rule(index), text: text.clone(), problem: e.into() })
    };
    texts.iter().enumerate().map(one).collect()
}

fn rename_pattern(from: &str, to: &str) -> Result<(Pattern, Template), Problem> {
    let pattern = Pattern::new(from)?;
    let template = Template::new(to, &pattern)?;
    if !to.contains('$') {
        check_name(to)?;
    }
    if is_internal(to) {
        return Err(Problem::Internal);
    }
    Ok((pattern, template))
}

fn rename_exact(from: &str, to: &str) -> Result<(), Problem> {
    check_name(from).map_err(Problem::Key)?;
    if to.contains('$') {
        return Err(Problem::GroupWithoutPattern(to.to_owned()));
    }
    Ok(check_name(to)?)
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
