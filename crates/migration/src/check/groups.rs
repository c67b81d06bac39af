//! The consumer groups that `[groups]` names: seen on the source, and allowed to be set on the target.

use std::collections::BTreeSet;

use cluster_admin::Error;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use group_offsets::Choice;
use kafka_wire::Client;
use mirror_types::Side;

use super::{
    Facts, Finding, Severity, Subject,
    trials::{Trials, unanswered},
};

/// Groups that are asked about at a time.
const AT_ONCE: usize = 16;

/// What both clusters show of the groups that are to be kept in step.
#[derive(Debug, Clone, Default)]
pub struct GroupFacts {
    /// Groups that are named and may not be seen on the source.
    pub hidden: BTreeSet<String>,
    /// Patterns that no group on the source matches, as far as may be seen.
    pub unmatched: Vec<String>,
    /// Groups that may not be set on the target.
    pub refused: BTreeSet<String>,
}

/// Looks at all of them.
pub(crate) async fn look(
    source: &Client,
    source_name: &str,
    target: &Trials,
    choice: &Choice,
) -> Result<GroupFacts, Error> {
    let listed = source.list_groups().await.map_err(|error| unanswered(Side::Source, source_name, &error))?;
    let on_source = Trials::new(source.clone(), Side::Source, source_name);
    let mut names = choice.names(listed.values().cloned());
    let mut found = GroupFacts::default();
    for pattern in &choice.include {
        if listed.keys().any(|group| pattern.matches(group)) {
            continue;
        }
        match pattern.plain() {
            Some(name) if on_source.describes_group(&name).await? == Some(false) => {
                found.hidden.insert(name);
            }
            Some(name) => {
                found.unmatched.push(pattern.as_str().to_owned());
                names.insert(name);
            }
            None => found.unmatched.push(pattern.as_str().to_owned()),
        }
    }
    let all = names.iter().chain(&found.hidden).cloned().collect::<Vec<_>>();
    let refused = stream::iter(all).map(|group| async move {
        let may = target.group(&group).await?;
        Ok::<_, Error>((may == Some(false)).then_some(group))
    });
    found.refused = refused.buffered(AT_ONCE).try_filter_map(async |group| Ok(group)).try_collect().await?;
    Ok(found)
}

pub(crate) fn findings(facts: &Facts, found: &mut Vec<Finding>) {
    let Some(groups) = &facts.groups else { return };
    let rights = [
        (
            Side::Source,
            &groups.hidden,
            ("group-describe-right", "DESCRIBE", "Describe"),
            "[groups] names it, and it can't be seen: its offsets would not be carried over",
        ),
        (
            Side::Target,
            &groups.refused,
            ("group-commit-right", "READ", "Read"),
            "its offsets can't be committed there: they would not be carried over",
        ),
    ];
    for (side, lacking, (code, right, operation), why) in rights {
        for group in lacking {
            let subject = Subject::group_on(side, group);
            let finding =
                Finding::new(Severity::Error, code, subject, format!("no {right} right on it"), why);
            let grant = facts.cluster(side).grant(&[operation], &format!("--group {group}"));
            found.push(finding.fix(grant));
        }
    }
    for pattern in &groups.unmatched {
        let finding = Finding::new(
            Severity::Warning,
            "groups-unmatched",
            Subject::link(&facts.link),
            format!("groups.include {pattern:?} matches no group on the source, as far as may be seen"),
            "what it means would be carried over once it is there; a group is seen by who may DESCRIBE it",
        );
        found.push(finding.fix(facts.source.grant(&["Describe"], "--group …")));
    }
}
