//! What concerns the link as a whole: which topics, and loops.

use mirror_types::Side;
use pipeline::{LOOP_FIX, Loop};

use super::{Facts, Finding, Severity, Subject};

pub(crate) fn findings(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    one_cluster(facts, &mut found);
    routes(facts, &mut found);
    unmatched(facts, &mut found);
    found
}

fn one_cluster(facts: &Facts, found: &mut Vec<Finding>) {
    let Some(id) = facts.source.id.as_ref().filter(|id| facts.target.id.as_ref() == Some(*id)) else {
        return;
    };
    let mut loops = 0;
    for topic in &facts.topics {
        let Some(feeds) = topic.feeds.clone() else { continue };
        loops += 1;
        let what = Loop { topic: topic.topic.clone(), feeds };
        let finding = Finding::new(
            Severity::Error,
            "loop",
            Subject::topic(Side::Source, &topic.topic),
            format!("source and target are one cluster ({id}), and {what}"),
            "each record would be copied for ever",
        );
        found.push(finding.fix(LOOP_FIX));
    }
    if loops == 0 {
        found.push(Finding::new(
            Severity::Warning,
            "one-cluster",
            Subject::link(&facts.link),
            format!("source and target are one cluster ({id})"),
            "no topic would feed itself, but is it meant?",
        ));
    }
}

fn routes(facts: &Facts, found: &mut Vec<Finding>) {
    for clash in &facts.clashes {
        let finding = Finding::new(
            Severity::Error,
            "rename-clash",
            Subject::topic(Side::Target, &clash.target),
            clash.to_string(),
            "their records would be mixed; the link does not start",
        );
        found.push(
            finding.fix("give each a target topic of its own in topics.rename, or exclude all but one"),
        );
    }
    for illegal in &facts.illegal {
        let finding = Finding::new(
            Severity::Error,
            "rename-illegal",
            Subject::topic(Side::Source, &illegal.topic),
            illegal.to_string(),
            "there can be no such topic; the link does not start",
        );
        found.push(finding.fix("change that rule of topics.rename, or exclude the topic"));
    }
}

fn unmatched(facts: &Facts, found: &mut Vec<Finding>) {
    let nothing = facts.topics.is_empty() && facts.clashes.is_empty() && facts.illegal.is_empty();
    let link = Subject::link(&facts.link);
    if nothing && facts.unmatched.iter().all(|unmatched| !unmatched.hidden && !unmatched.named) {
        let finding = Finding::new(
            Severity::Error,
            "no-topics",
            link.clone(),
            "no topic on the source matches topics.include",
            "nothing would be mirrored until there is one",
        );
        found.push(finding.fix(format!(
            "see topics.include and topics.exclude; a topic that this principal may not describe is not shown \
             to it: {}",
            facts.source.grant(&["Read", "Describe", "DescribeConfigs"], "--topic …")
        )));
    }
    for unmatched in &facts.unmatched {
        if unmatched.hidden {
            let name = unmatched.pattern.replace('\\', "");
            let finding = Finding::new(
                Severity::Error,
                "source-read-right",
                Subject::topic(Side::Source, &name),
                "this principal may not describe it",
                "it can't be read, and the source does not even say whether it is there",
            );
            let resource = format!("--topic {name}");
            found.push(finding.fix(facts.source.grant(&["Read", "Describe", "DescribeConfigs"], &resource)));
        } else if unmatched.named {
            let name = &unmatched.pattern;
            let finding = Finding::new(
                Severity::Error,
                "topic-missing",
                Subject::topic(Side::Source, name),
                "the configuration names it, but there is no such topic on the source",
                "the daemon would wait for it; run --until-caught-up mirrors the others and ends with 3",
            );
            let fix =
                format!("create {name} on the source, or take it out of topics.include and topics.rename");
            found.push(finding.fix(fix));
        } else if !nothing {
            found.push(Finding::new(
                Severity::Warning,
                "include-unmatched",
                link.clone(),
                format!("topics.include {:?} matches no topic on the source", unmatched.pattern),
                "what it means would be mirrored once it is there",
            ));
        }
    }
}
