//! ACLs: which of the source's rules are about what is mirrored, what they become on the target, and which of those the
//! target lacks.
//!
//! Who may write is not carried over before the cutover: until then the mirror alone writes. So rules about WRITE, CREATE,
//! DELETE, ALTER and ALTER_CONFIGS of topics, whether they allow or deny, are held; and with them IDEMPOTENT_WRITE and
//! transactional ids of those who may write a mirrored topic. `All` becomes the operations that it is made of.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use group_offsets::Choice;
use kafka_wire::{AclOperation, AclPattern, AclPermission, AclResource, AclRule};
use serde::Serialize;
use topic_rename::Rules;

/// Of a topic: what readers need.
const READING: [AclOperation; 3] =
    [AclOperation::Read, AclOperation::Describe, AclOperation::DescribeConfigs];
/// Of a topic: what changes it.
const WRITING: [AclOperation; 5] = [
    AclOperation::Write,
    AclOperation::Create,
    AclOperation::Delete,
    AclOperation::Alter,
    AclOperation::AlterConfigs,
];
const EVERYBODY: &str = "User:*";
const ALL_NAMES: &str = "*";

/// By what it is told whether a rule is the link's, and what becomes of it.
#[derive(Clone, Copy)]
pub struct AclScope<'a> {
    /// Source topic to target topic, of those that there are.
    pub routes: &'a BTreeMap<String, String>,
    /// By which they were found.
    pub rules: &'a Rules,
    /// Which consumer groups are carried over.
    pub choice: &'a Choice,
    /// Those of them that there are on the source.
    pub groups: &'a BTreeSet<String>,
    /// All topics on the target.
    pub target_topics: &'a BTreeSet<String>,
    /// Principals that are called otherwise on the target.
    pub principals: &'a BTreeMap<String, String>,
    /// Isomirror's own principal on the target, where it is known.
    pub own: Option<&'a str>,
    /// The same on the source.
    pub own_on_source: Option<&'a str>,
}

/// A rule of the source that waits for the cutover, as it is to be on the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Held {
    /// It.
    #[serde(flatten)]
    pub rule: AclRule,
    /// Whether the target has it all the same.
    pub there: bool,
}

/// A rule of the source that is not carried over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// It, as it is on the source.
    #[serde(flatten)]
    pub rule: AclRule,
    /// Why.
    pub reason: &'static str,
}

/// A rule of the source about more names than are mirrored: it becomes one for each that is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Narrowed {
    /// It, as it is on the source.
    #[serde(flatten)]
    pub rule: AclRule,
    /// How many names there are now.
    pub to: usize,
}

/// How the target's rules differ from the source's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AclDiff {
    /// Rules that the target lacks.
    pub create: Vec<AclRule>,
    /// How many it has already.
    pub same: usize,
    /// Rules that wait for the cutover.
    pub held: Vec<Held>,
    /// Rules of the source that became one for each name.
    pub narrowed: Vec<Narrowed>,
    /// Rules of the source that are not carried over.
    pub left_out: Vec<LeftOut>,
    /// How many rules of the source are about other things than what is mirrored.
    pub elsewhere: usize,
    /// Rules of the target about what is mirrored, that the source has nothing of. They stay.
    pub excess: Vec<AclRule>,
}

/// Compares. Nothing is ever taken away from the target: whose rule it is can't be told from it.
pub fn acl_diff(source: &BTreeSet<AclRule>, target: &BTreeSet<AclRule>, scope: AclScope<'_>) -> AclDiff {
    let mut sorted = Sorted::new(scope);
    source.iter().for_each(|rule| sorted.take(rule));
    sorted.take_those_of_writers();
    sorted.against(target)
}

/// The source's rules, by what becomes of them.
struct Sorted<'a> {
    scope: AclScope<'a>,
    topics: Names<'a>,
    groups: Names<'a>,
    /// As they are to be on the target.
    wanted: BTreeSet<AclRule>,
    /// The same at the cutover.
    held: BTreeSet<AclRule>,
    /// Who may write a mirrored topic.
    writers: BTreeSet<&'a str>,
    /// Rules that are the link's if they are those of such.
    of_writers: Vec<&'a AclRule>,
    diff: AclDiff,
}

impl<'a> Sorted<'a> {
    fn new(scope: AclScope<'a>) -> Self {
        let topics = scope.routes.iter().map(|(from, to)| (from.as_str(), to.as_str()));
        let groups = scope.groups.iter().map(|group| (group.as_str(), group.as_str()));
        Self {
            scope,
            topics: Names::new(topics),
            groups: Names::new(groups),
            wanted: BTreeSet::new(),
            held: BTreeSet::new(),
            writers: BTreeSet::new(),
            of_writers: Vec::new(),
            diff: AclDiff::default(),
        }
    }

    fn take(&mut self, rule: &'a AclRule) {
        let about = match (rule.resource, rule.operation) {
            (AclResource::Topic, _) => self.scope.topics(rule, &self.topics),
            (AclResource::Group, _) => self.scope.groups(rule, &self.groups),
            (AclResource::TransactionalId, _) | (AclResource::Cluster, AclOperation::IdempotentWrite) => {
                return self.of_writers.push(rule);
            }
            _ => About::None,
        };
        let reason = self.scope.not_for_target(rule);
        match (about, reason) {
            (About::None, _) => self.diff.elsewhere += 1,
            (_, Some(reason)) => self.diff.left_out.push(LeftOut { rule: rule.clone(), reason }),
            (About::As(name, pattern), None) => self.carry(rule, name, pattern),
            (About::Each(names), None) => {
                self.diff.narrowed.push(Narrowed { rule: rule.clone(), to: names.len() });
                names.into_iter().for_each(|name| self.carry(rule, name, AclPattern::Literal));
            }
        }
    }

    /// Puts a rule under its name on the target, by its parts.
    fn carry(&mut self, rule: &'a AclRule, name: &str, pattern: AclPattern) {
        let (reading, writing) = parts(rule);
        if rule.permission == AclPermission::Allow && writing.contains(&AclOperation::Write) {
            self.writers.insert(rule.principal.as_str());
        }
        let principal = self.scope.principal(rule);
        let part = |operation: AclOperation| AclRule {
            name: name.to_owned(),
            pattern,
            operation,
            principal: principal.clone(),
            ..rule.clone()
        };
        self.wanted.extend(reading.into_iter().map(part));
        self.held.extend(writing.into_iter().map(part));
    }

    fn take_those_of_writers(&mut self) {
        for rule in std::mem::take(&mut self.of_writers) {
            let everybody = rule.principal == EVERYBODY && !self.writers.is_empty();
            if everybody || self.writers.contains(rule.principal.as_str()) {
                let principal = self.scope.principal(rule);
                self.held.insert(AclRule { principal, ..rule.clone() });
            } else {
                self.diff.elsewhere += 1;
            }
        }
    }

    fn against(self, target: &BTreeSet<AclRule>) -> AclDiff {
        let Self { scope, topics, wanted, held, mut diff, .. } = self;
        let is_excess = |rule: &&AclRule| {
            let ours = scope.own == Some(&*rule.principal) || wanted.contains(*rule) || held.contains(*rule);
            !ours && scope.concerns(rule, &topics)
        };
        diff.excess = target.iter().filter(is_excess).cloned().collect();
        diff.same = wanted.intersection(target).count();
        diff.create = wanted.difference(target).cloned().collect();
        // Nobody is to be let in for a moment whom another rule denies.
        diff.create.sort_by_key(|rule| rule.permission);
        diff.held = held.into_iter().map(|rule| Held { there: target.contains(&rule), rule }).collect();
        diff
    }
}

/// What a rule is made of: what is carried over now, and what waits.
fn parts(rule: &AclRule) -> (Vec<AclOperation>, Vec<AclOperation>) {
    match (rule.resource, rule.operation) {
        (AclResource::Topic, AclOperation::All) => (READING.to_vec(), WRITING.to_vec()),
        (AclResource::Topic, writing) if WRITING.contains(&writing) => (Vec::new(), vec![writing]),
        (_, other) => (vec![other], Vec::new()),
    }
}

/// The names on the target that a rule is about.
enum About<'a> {
    /// None that is mirrored.
    None,
    /// What it says.
    As(&'a str, AclPattern),
    /// Each of these; it says more.
    Each(Vec<&'a str>),
}

/// Names on the source, in their order, and what they are on the target.
struct Names<'a> {
    of_source: BTreeMap<&'a str, &'a str>,
    of_target: BTreeSet<&'a str>,
}

impl<'a> Names<'a> {
    fn new(pairs: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> Self {
        Self { of_source: pairs.clone().collect(), of_target: pairs.map(|(_, to)| to).collect() }
    }

    fn from(&self, prefix: &str) -> Vec<&'a str> {
        let from = self.of_source.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        from.take_while(|(name, _)| name.starts_with(prefix)).map(|(_, to)| *to).collect()
    }
}

// === impl AclScope ===

impl<'a> AclScope<'a> {
    fn principal(&self, rule: &AclRule) -> String {
        self.principals.get(&rule.principal).unwrap_or(&rule.principal).clone()
    }

    fn topics(&self, rule: &'a AclRule, topics: &Names<'a>) -> About<'a> {
        match rule.pattern {
            AclPattern::Literal if rule.name != ALL_NAMES => match topics.of_source.get(rule.name.as_str()) {
                Some(name) => About::As(name, AclPattern::Literal),
                None => About::None,
            },
            AclPattern::Prefixed if self.keeps(&rule.name, topics) => {
                About::As(&rule.name, AclPattern::Prefixed)
            }
            _ => About::each(rule, topics),
        }
    }

    /// Whether a prefix means on the target what it means on the source, and nothing else.
    fn keeps(&self, prefix: &str, topics: &Names<'_>) -> bool {
        let others = self
            .target_topics
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(|topic| topic.starts_with(prefix))
            .any(|topic| !topics.of_target.contains(topic.as_str()));
        self.rules.keep_all_from(prefix) && !others
    }

    fn groups(&self, rule: &'a AclRule, groups: &Names<'a>) -> About<'a> {
        match rule.pattern {
            // Who may use a group may do so before there is any.
            AclPattern::Literal if rule.name != ALL_NAMES => match self.choice.has(&rule.name) {
                true => About::As(&rule.name, AclPattern::Literal),
                false => About::None,
            },
            AclPattern::Prefixed if self.choice.has_all_from(&rule.name) => {
                About::As(&rule.name, AclPattern::Prefixed)
            }
            _ => About::each(rule, groups),
        }
    }

    /// Why a rule is not for the target.
    fn not_for_target(&self, rule: &AclRule) -> Option<&'static str> {
        if self.own_on_source == Some(&*rule.principal) {
            return Some("isomirror's own, for what it does on the source");
        }
        let principal = self.principal(rule);
        let denies_us = rule.permission == AclPermission::Deny
            && rule.resource == AclResource::Topic
            && (principal == EVERYBODY || self.own == Some(&*principal));
        denies_us.then_some("it would deny isomirror what it does there")
    }

    /// Whether a rule of the target is about something that is mirrored, and nothing else.
    fn concerns(&self, rule: &AclRule, topics: &Names<'_>) -> bool {
        match (rule.resource, rule.pattern) {
            (AclResource::Topic, AclPattern::Literal) => topics.of_target.contains(rule.name.as_str()),
            (AclResource::Topic, AclPattern::Prefixed) => self.keeps(&rule.name, topics),
            (AclResource::Group, AclPattern::Literal) => self.choice.has(&rule.name),
            (AclResource::Group, AclPattern::Prefixed) => self.choice.has_all_from(&rule.name),
            _ => false,
        }
    }
}

impl<'a> About<'a> {
    fn each(rule: &AclRule, names: &Names<'a>) -> Self {
        let prefix = if rule.pattern == AclPattern::Literal { "" } else { &*rule.name };
        match names.from(prefix) {
            none if none.is_empty() => Self::None,
            names => Self::Each(names),
        }
    }
}

#[cfg(test)]
#[path = "acls_tests.rs"]
mod tests;
