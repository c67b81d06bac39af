//! What the source connector's keys become: which topics, under which names, and what is not done with them.

use super::{
    super::{
        client::Given,
        common::include,
        draft::{Draft, Section},
        note::{ImportError, Place},
        patterns::{self, Patterns},
    },
    Flow, is_enabled,
    keys::{ACLS, CONFIGS},
};
use crate::check::Severity;

impl Flow<'_> {
    pub(super) fn topics(&self, draft: &mut Draft) -> Result<(), ImportError> {
        let (chosen, place) = self.list(&["topics", "topics.whitelist"], ".*")?;
        let heartbeats = chosen.include.iter().any(|pattern| patterns::matches(pattern, "heartbeats"));
        include(draft, &place, chosen.include)?;
        let (refused, place) =
            self.list(&["topics.exclude", "topics.blacklist"], r".*[-.]internal|.*\.replica")?;
        if !refused.exclude.is_empty() {
            let fix = "write what is to be left out without it";
            return Err(ImportError::new(place, "(?!…) in what is excluded can't be expressed", fix));
        }
        // Whatever is excluded, MirrorMaker 2 leaves internal topics out; isomirror itself those that begin with __.
        let internal = [r".*[-.]internal".to_owned(), r"\..*".to_owned()];
        let mut exclude: Vec<String> = Vec::new();
        for pattern in [chosen.exclude, refused.include, internal.to_vec()].concat() {
            if pattern != "__.*" && !exclude.contains(&pattern) {
                exclude.push(pattern);
            }
        }
        let message = "MirrorMaker 2 leaves internal topics out: before Kafka 4, all that end in .internal or -internal";
        draft.note(Section::Topics, Severity::Info, place, message);
        self.rename(draft, heartbeats, &mut exclude)?;
        draft.set_list(Section::Topics, "exclude", &exclude);
        match self.number("replication.factor")? {
            Some((number, _)) => draft.set_number(Section::Topics, "replication_factor", number),
            None => {
                let message = "MirrorMaker 2 creates topics with 2 replicas unless it is told otherwise; isomirror with the \
                               target brokers' default, or with replication_factor";
                draft.note(Section::Topics, Severity::Info, Place::default(), message);
            }
        }
        if let Some((seconds, _)) =
            self.number("refresh.topics.interval.seconds")?.filter(|(number, _)| *number > 0)
        {
            draft.set(Section::Topics, "refresh", &format!("{seconds}s"));
        }
        if let Some(given) = self.option(&["refresh.topics.enabled"])
            && !self.is_true("refresh.topics.enabled", true)
        {
            let message = "isomirror always takes up new topics that are included: if that is not wanted, name the topics";
            draft.note(Section::Topics, Severity::Warning, given.place, message);
        }
        for (key, message) in [("sync.topic.configs.enabled", CONFIGS), ("sync.topic.acls.enabled", ACLS)] {
            let place = self.option(&[key]).map(|given| given.place);
            if self.is_true(key, true) {
                let default = || Place { key: Some(key.to_owned()), ..Place::default() };
                draft.note(Section::Topics, Severity::Warning, place.unwrap_or_else(default), message);
            }
        }
        Ok(())
    }

    /// A list of patterns; the place is that of the key, or would be.
    fn list(&self, names: &[&str], default: &str) -> Result<(Patterns, Place), ImportError> {
        let (place, joined) = match self.option(names) {
            Some(given) => {
                let joined = given.text()?.split(',').map(str::trim).collect::<Vec<_>>().join("|");
                (given.place, joined)
            }
            None => {
                (Place { key: Some(names[0].to_owned()), ..Place::file(&self.file.name) }, default.to_owned())
            }
        };
        match patterns::translate(&joined) {
            Ok(found) => Ok((found, place)),
            Err((message, fix)) => Err(ImportError::new(place, message, fix)),
        }
    }

    /// The names of topics on the target, by the replication policy; and what must not come back from there.
    fn rename(
        &self,
        draft: &mut Draft,
        heartbeats: bool,
        exclude: &mut Vec<String>,
    ) -> Result<(), ImportError> {
        let policy = self.option(&["replication.policy.class"]);
        let class = policy.as_ref().map(Given::text).transpose()?.unwrap_or("DefaultReplicationPolicy");
        let separator = self.option(&["replication.policy.separator"]);
        let separator = separator.as_ref().map(Given::text).transpose()?.unwrap_or(".");
        let (mark, target) = (patterns::exactly(separator), patterns::exactly(self.target));
        let from_target = format!("(?:.*{mark})?{target}{mark}");
        let name = format!("{}{separator}$1", self.source);
        let place = policy.as_ref().map(|given| given.place.clone()).unwrap_or_default();
        if class.ends_with("DefaultReplicationPolicy") {
            let message =
                format!("{} came from {}: MirrorMaker 2 does not mirror it back", from_target, self.target);
            draft.note(Section::Topics, Severity::Info, Place::default(), message);
            exclude.push(format!("{from_target}.+"));
            draft.set(Section::Rename, "^(.*)$", &name);
        } else if class.ends_with("IdentityReplicationPolicy") {
            if is_enabled(self.file, (self.target, self.source)) {
                let message = format!(
                    "{}->{} is enabled too, and topics keep their names: see that the two have no topic in common, or its \
                     records go round for ever",
                    self.target, self.source
                );
                draft.note(Section::Topics, Severity::Warning, place, message);
            }
            if heartbeats {
                // They get a prefix even so.
                exclude.push(format!("{from_target}.*heartbeats"));
                draft.set(Section::Rename, "^(.*heartbeats)$", &name);
            }
        } else {
            let message = "a replication policy of its own is code, and can't be carried over: if it renames topics, write \
                           [topics.rename]";
            draft.note(Section::Topics, Severity::Error, place, message);
        }
        Ok(())
    }

    /// Groups whose offsets are kept in step.
    pub(super) fn groups(&self, draft: &mut Draft) -> Result<(), ImportError> {
        let (chosen, refused) = (["groups", "groups.whitelist"], ["groups.exclude", "groups.blacklist"]);
        if !self.is_true("sync.group.offsets.enabled", false) {
            for given in [&chosen, &refused].into_iter().filter_map(|names| self.option(names)) {
                let message = "it chooses the groups of checkpoints, which isomirror does not need: `isomirror groups` \
                               carries offsets over, and include in [groups] while the link runs";
                draft.note(Section::Groups, Severity::Info, given.place, message);
            }
            return Ok(());
        }
        let (include, _) = self.list(&chosen, ".*")?;
        let (exclude, place) = self.list(&refused, r"console-consumer-.*|connect-.*|__.*")?;
        if !exclude.exclude.is_empty() {
            let fix = "write what is to be left out without it";
            return Err(ImportError::new(place, "(?!…) in what is excluded can't be expressed", fix));
        }
        draft.set_list(Section::Groups, "include", &include.include);
        draft.set_list(Section::Groups, "exclude", &[include.exclude, exclude.include].concat());
        let seconds = self.number("sync.group.offsets.interval.seconds")?;
        let seconds = seconds.map_or(60, |(seconds, _)| seconds.max(1));
        draft.set(Section::Groups, "sync", &format!("{seconds}s"));
        Ok(())
    }
}
