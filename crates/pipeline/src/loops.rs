//! One cluster as source and target: topics that would feed the mirror its own records. Pure.

use std::fmt;

use topic_rename::Rules;

/// What to do about a loop.
pub const LOOP_FIX: &str =
    "name another cluster in [target.kafka], or rename every topic to a name that is not included";

/// A topic that would be mirrored for ever, source and target being one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loop {
    /// The topic.
    pub topic: String,
    /// What it would be mirrored to: itself, or another topic that is mirrored.
    pub feeds: String,
}

impl fmt::Display for Loop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.feeds == self.topic {
            f.write_str("it would be mirrored onto itself")
        } else {
            write!(f, "it would be mirrored to {}, which is mirrored again", self.feeds)
        }
    }
}

/// Why a link between a cluster and itself is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("source and target are one cluster ({id}){}: each record would be copied for ever; fix: {LOOP_FIX}", Topics(.loops))]
pub struct LoopError {
    /// The id of the one cluster.
    pub id: String,
    /// The topics that are there; none if there are none yet, and every one would be.
    pub loops: Vec<Loop>,
}

struct Topics<'a>(&'a [Loop]);

impl fmt::Display for Topics<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 10;
        match self.0 {
            [] => f.write_str(", and no topic is renamed")?,
            some => some
                .iter()
                .take(SHOWN)
                .try_for_each(|one| write!(f, "; source topic {}: {one}", one.topic))?,
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "; and {more} topics more"),
        }
    }
}

/// The topics among `topics` that would feed themselves.
pub fn loops<'a>(rules: &Rules, topics: impl IntoIterator<Item = &'a str>) -> Vec<Loop> {
    let one = |topic: &str| Some(Loop { topic: topic.to_owned(), feeds: rules.feeds_itself(topic)? });
    topics.into_iter().filter_map(one).collect()
}

/// Whether the rules leave every topic its name: on one cluster that can only be a loop, whatever topics there are.
pub fn nothing_renamed(rules: &Rules) -> bool {
    rules.config().rename.iter().all(|(from, to)| from == to)
}

#[cfg(test)]
mod tests {
    use topic_rename::RulesConfig;

    use super::*;

    fn rules(include: &[&str], rename: &[(&str, &str)]) -> Rules {
        let texts = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect();
        let rename = rename.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        Rules::new(&RulesConfig { include: texts(include), exclude: Vec::new(), rename }).unwrap()
    }

    #[test]
    fn a_loop_is_told_in_one_sentence_with_its_fix() {
        let rules = rules(&["a", "b.*"], &[("a", "b2")]);
        let found = loops(&rules, ["a", "b", "other"]);
        let error = LoopError { id: "X".to_owned(), loops: found }.to_string();
        assert_eq!(
            error,
            format!(
                "source and target are one cluster (X); source topic a: it would be mirrored to b2, which is mirrored \
                 again; source topic b: it would be mirrored onto itself: each record would be copied for ever; fix: \
                 {LOOP_FIX}"
            )
        );
    }

    #[test]
    fn copies_under_names_that_are_not_read_are_no_loop() {
        let rules = rules(&["a"], &[("a", "copy.a")]);
        assert!(loops(&rules, ["a", "copy.a"]).is_empty() && !nothing_renamed(&rules));
    }
}
