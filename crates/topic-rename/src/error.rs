//! What can be wrong with rules, and with the topics they meet.

use std::{collections::BTreeMap, fmt};

use crate::{name::NameError, pattern::PatternError};

/// Which rule, by its place in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleRef {
    /// The include list itself.
    IncludeList,
    /// The include pattern at this index.
    Include(usize),
    /// The exclude pattern at this index.
    Exclude(usize),
    /// The rename rule at this index.
    Rename(usize),
}

/// A rule that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {problem}", Named(.rule, .text))]
pub struct Error {
    /// Which rule.
    pub rule: RuleRef,
    /// The rule as it was written (a rename rule: its left side).
    pub text: String,
    /// What is wrong with it.
    pub problem: Problem,
}

struct Named<'a>(&'a RuleRef, &'a str);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            RuleRef::IncludeList => f.write_str("include"),
            RuleRef::Include(_) => write!(f, "include pattern {:?}", self.1),
            RuleRef::Exclude(_) => write!(f, "exclude pattern {:?}", self.1),
            RuleRef::Rename(_) => write!(f, "rename rule {:?}", self.1),
        }
    }
}

/// What is wrong with a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// No pattern at all: nothing would be mirrored.
    #[error("no topics are included, so nothing would be mirrored")]
    NothingIncluded,
    /// Not a regular expression.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// The pattern asks for internal topics.
    #[error("topics that begin with `__` or `isomirror.` are internal and never mirrored")]
    Internal,
    /// The left side of a rename is neither a topic's name nor a pattern.
    #[error("neither a topic's name ({0}) nor a pattern (a pattern begins with `^`)")]
    Key(NameError),
    /// The right side of a rename makes no topic's name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The right side names a group that the pattern does not have.
    #[error("the pattern has no group `{group}` (it has {groups})")]
    NoSuchGroup {
        /// The group's name or number.
        group: String,
        /// How many groups the pattern has.
        groups: usize,
    },
    /// A `$` in the right side that means nothing.
    #[error("a `$` must be followed by a group's number or name, as in `$1` or `${{name}}`")]
    Dollar,
    /// An exact name on the left, a group on the right.
    #[error("{0:?} has groups, but the left side is an exact name; a pattern begins with `^`")]
    GroupWithoutPattern(String),
    /// The same left side twice.
    #[error("is there twice")]
    Twice,
}

/// Several source topics that are renamed to one target topic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("source topics {} would all become target topic {target}", .sources.join(", "))]
pub struct Clash {
    /// The target topic.
    pub target: String,
    /// The source topics, sorted.
    pub sources: Vec<String>,
}

/// A source topic that a rename pattern leads to a name that can't be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("source topic {topic}: rename rule {rule:?} makes it {target:?}: {problem}")]
pub struct IllegalTarget {
    /// The source topic.
    pub topic: String,
    /// The rule's left side.
    pub rule: String,
    /// What the rule makes of it.
    pub target: String,
    /// Why that can't be.
    pub problem: NameError,
}

/// Topics that can't be routed. The others can: see `rest`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteError {
    /// Every target topic that more than one source topic would become.
    pub clashes: Vec<Clash>,
    /// Every source topic that would get an impossible name.
    pub illegal: Vec<IllegalTarget>,
    /// Source to target topic of all the mirrored topics that nothing is wrong with.
    pub rest: BTreeMap<String, String>,
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clashes = self.clashes.iter().map(ToString::to_string);
        let all: Vec<_> = clashes.chain(self.illegal.iter().map(ToString::to_string)).collect();
        f.write_str(&all.join("; "))
    }
}

impl std::error::Error for RouteError {}
