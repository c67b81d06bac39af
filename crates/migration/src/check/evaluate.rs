//! From facts to the report. Pure: everything it says follows from the facts it is given.

use mirror_types::Side;
use pipeline::{Decision, decide};

use super::{
    ClusterFacts, ClusterSummary, Facts, Report, Severity, Summary, TargetFacts, TopicFacts, configs,
    control, groups, journal, link, others, pace, rights, topics,
};

/// Judges the facts.
pub fn evaluate(facts: &Facts) -> Report {
    let mut findings = link::findings(facts);
    control::findings(facts, &mut findings);
    others::findings(facts, &mut findings);
    journal::findings(facts, &mut findings);
    groups::findings(facts, &mut findings);
    rights::of_target_cluster(facts, &mut findings);
    for topic in &facts.topics {
        let decision = decision(topic);
        topics::findings(facts, topic, decision.as_ref(), &mut findings);
        configs::findings(facts, topic, &mut findings);
        pace::findings(facts, topic, &mut findings);
        rights::of_topic(facts, topic, decision.as_ref(), &mut findings);
    }
    // Stable: what is about one thing stays together, in the order it was looked at.
    findings.sort_by(|a, b| (a.severity, &a.subject).cmp(&(b.severity, &b.subject)));
    Report {
        link: facts.link.clone(),
        ok: findings.iter().all(|finding| finding.severity != Severity::Error),
        source: cluster(&facts.source),
        target: cluster(&facts.target),
        summary: summary(facts),
        findings,
    }
}

/// What the running link would do about the target topic; none where it would not get that far.
pub(crate) fn decision(topic: &TopicFacts) -> Option<Decision> {
    let source = topic.info.as_ref().ok()?;
    let target = match &topic.target {
        TargetFacts::There { info, .. } => Some(info),
        TargetFacts::Missing { .. } => None,
        TargetFacts::Hidden(_) => return None,
    };
    let mirrored = topic.is_mirrored();
    Some(decide(&topic.topic, source, &topic.target_topic, target, &topic.settings, mirrored))
}

fn cluster(facts: &ClusterFacts) -> ClusterSummary {
    ClusterSummary {
        name: facts.name.clone(),
        id: facts.id.clone(),
        brokers: facts.brokers.len(),
        reachable: true,
    }
}

fn summary(facts: &Facts) -> Summary {
    let partitions = |topic: &TopicFacts| {
        topic.info.as_ref().map_or(0, |info| usize::try_from(info.partitions).unwrap_or(0))
    };
    let decided =
        |wanted: &Decision| facts.topics.iter().filter(|t| decision(t).as_ref() == Some(wanted)).count();
    let (bytes, seconds) = pace::estimate(facts).unzip();
    Summary {
        topics: facts.topics.len(),
        partitions: facts.topics.iter().map(partitions).sum(),
        records: facts.topics.iter().map(|topic| topic.records).sum(),
        bytes,
        seconds,
        takes: pace::said(facts),
        create: decided(&Decision::Create),
        grow: decided(&Decision::Grow),
    }
}

impl Facts {
    /// The cluster on a side.
    pub(crate) fn cluster(&self, side: Side) -> &ClusterFacts {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }
}
