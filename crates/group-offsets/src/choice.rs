//! Which groups: by patterns of their names, without those that have no offsets to be carried over.

use std::collections::BTreeSet;

use kafka_wire::ListedGroup;
use topic_rename::Pattern;

/// What isomirror's own groups begin with, of whatever link.
const OURS: &str = "isomirror.";

/// The groups that are meant.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// Those whose whole name one of these matches,
    pub include: Vec<Pattern>,
    /// but for those that one of these matches.
    pub exclude: Vec<Pattern>,
    /// The group that shares out the link's lanes to its instances.
    pub own: String,
}

/// Whether a group is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chosen {
    /// It is.
    Yes,
    /// Nobody asked for it.
    No,
    /// It was asked for, and is left out for this reason.
    LeftOut(&'static str),
}

impl Choice {
    /// Whether any group can be meant.
    pub fn is_empty(&self) -> bool {
        self.include.is_empty()
    }

    /// Whether a group of this name is, whatever its kind.
    pub fn has(&self, name: &str) -> bool {
        any(&self.include, name) && !self.is_ours(name) && !any(&self.exclude, name)
    }

    /// Whether every group whose name begins so, whenever it comes, is: as far as the patterns plainly say it.
    pub fn has_all_from(&self, prefix: &str) -> bool {
        let may_be_ours =
            [OURS, &self.own].iter().any(|own| own.starts_with(prefix) || prefix.starts_with(OURS));
        let taken = self.include.iter().any(|pattern| pattern.takes_all_from(prefix));
        taken && self.exclude.is_empty() && !may_be_ours
    }

    fn is_ours(&self, name: &str) -> bool {
        name == self.own || name.starts_with(OURS)
    }

    /// Whether this group of the source is.
    pub fn of(&self, group: &ListedGroup) -> Chosen {
        if !any(&self.include, &group.name) {
            return Chosen::No;
        }
        if self.is_ours(&group.name) {
            return Chosen::LeftOut(
                "isomirror's own, which shares out lanes to instances and commits nothing",
            );
        }
        if any(&self.exclude, &group.name) {
            return Chosen::LeftOut("groups.exclude names it");
        }
        match (group.kind.as_deref(), &*group.protocol_type) {
            (Some("share"), _) => {
                Chosen::LeftOut("a share group, whose progress is no offset for each partition")
            }
            (Some("streams"), _) => Chosen::LeftOut(
                "a group of the streams protocol, which keeps more than offsets of its topics",
            ),
            (None | Some("classic" | "consumer"), "" | "consumer") => Chosen::Yes,
            (None | Some("classic" | "consumer"), _) => {
                Chosen::LeftOut("its members are no consumers, and it commits nothing for topics")
            }
            _ => Chosen::LeftOut("of a kind that this version does not know"),
        }
    }

    /// The names of those that are, of the source's groups.
    pub fn names(&self, listed: impl IntoIterator<Item = ListedGroup>) -> BTreeSet<String> {
        let chosen = listed.into_iter().filter(|group| self.of(group) == Chosen::Yes);
        chosen.map(|group| group.name).collect()
    }
}

fn any(patterns: &[Pattern], name: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(name))
}
