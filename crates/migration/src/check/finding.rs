//! A finding, and the report that all findings make.
//!
//! Owns the words and the JSON of the result. Never decides what is found.

use std::fmt;

use cluster_admin::Error;
use mirror_types::Side;
use serde::Serialize;

use super::Request;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The link would not run as asked.
    Error,
    /// It would run, but somebody should look.
    Warning,
    /// Worth knowing.
    Info,
}

/// What a finding is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Subject {
    /// What kind of thing.
    pub kind: Kind,
    /// On which side of the link; none for the link itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub side: Option<Side>,
    /// Its name.
    pub name: String,
}

/// What kind of thing a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The link and its rules.
    Link,
    /// One of the clusters.
    Cluster,
    /// A consumer group.
    Group,
    /// A topic.
    Topic,
    /// Transactional ids, by how they begin.
    TransactionalIds,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// A name for this kind of finding that does not change from version to version.
    pub code: &'static str,
    /// What it is about.
    pub subject: Subject,
    /// What was found.
    pub found: String,
    /// Why that matters.
    pub why: String,
    /// What mends it: a command line where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// A cluster, as far as it was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ClusterSummary {
    /// Its name in the configuration.
    pub name: String,
    /// The cluster's id.
    pub id: Option<String>,
    /// How many brokers are up.
    pub brokers: usize,
    /// Whether it answered.
    pub reachable: bool,
}

/// What the link would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Source topics that are mirrored.
    pub topics: usize,
    /// Their partitions.
    pub partitions: usize,
    /// Records to mirror until caught up, by the offsets; none where they could not be seen.
    pub records: Option<u64>,
    /// Their bytes as they are stored, by a sample; none where that can't be told.
    pub bytes: Option<u64>,
    /// How many seconds they take, by that sample and `limits.throttle`.
    pub seconds: Option<u64>,
    /// The same in words, where it is long enough to be worth saying.
    pub takes: Option<String>,
    /// Target topics that would be created.
    pub create: usize,
    /// Target topics that would be grown.
    pub grow: usize,
}

/// All that was found about a link.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The link's name.
    pub link: String,
    /// Whether it would run as asked: there is no error.
    pub ok: bool,
    /// The cluster that is read.
    pub source: ClusterSummary,
    /// The cluster that is written.
    pub target: ClusterSummary,
    /// What it would do.
    pub summary: Summary,
    /// What was found, the worst first.
    pub findings: Vec<Finding>,
}

// === impl Subject ===

impl Subject {
    /// The link itself.
    pub fn link(name: &str) -> Self {
        Self { kind: Kind::Link, side: None, name: name.to_owned() }
    }

    /// One of the clusters.
    pub fn cluster(side: Side, name: &str) -> Self {
        Self { kind: Kind::Cluster, side: Some(side), name: name.to_owned() }
    }

    /// A consumer group on the target.
    pub fn group(name: &str) -> Self {
        Self::group_on(Side::Target, name)
    }

    /// A consumer group.
    pub fn group_on(side: Side, name: &str) -> Self {
        Self { kind: Kind::Group, side: Some(side), name: name.to_owned() }
    }

    /// The transactional ids on the target that begin so.
    pub fn transactional_ids(begin: &str) -> Self {
        Self { kind: Kind::TransactionalIds, side: Some(Side::Target), name: begin.to_owned() }
    }

    /// A topic.
    pub fn topic(side: Side, name: &str) -> Self {
        Self { kind: Kind::Topic, side: Some(side), name: name.to_owned() }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(side) = self.side {
            write!(f, "{side} ")?;
        }
        let kind = match self.kind {
            Kind::Link => "link",
            Kind::Cluster => "cluster",
            Kind::Group => "group",
            Kind::Topic => "topic",
            Kind::TransactionalIds => "transactional ids",
        };
        write!(f, "{kind} {}", self.name)
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "info",
        })
    }
}

// === impl Finding ===

impl Finding {
    /// Something found, with nothing to be done about it yet.
    pub(crate) fn new(
        severity: Severity,
        code: &'static str,
        subject: Subject,
        found: impl Into<String>,
        why: impl Into<String>,
    ) -> Self {
        Self { severity, code, subject, found: found.into(), why: why.into(), fix: None }
    }

    /// With what mends it.
    pub(crate) fn fix(self, fix: impl Into<String>) -> Self {
        Self { fix: Some(fix.into()), ..self }
    }
}

// === impl Report ===

impl Report {
    /// How many findings are this bad.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// Whether a cluster could not be reached, so that little was looked at.
    pub fn is_unreachable(&self) -> bool {
        !(self.source.reachable && self.target.reachable)
    }

    /// The report where clusters could not be reached, or did not answer a question in time.
    pub(crate) fn unreachable(request: &Request, errors: &[Error]) -> Self {
        let of = |error: &Error| {
            let finding = Finding::new(
                Severity::Error,
                "unreachable",
                Subject::cluster(error.side, &error.cluster),
                format!("it can't be reached: {}: {}", error.doing, error.reason),
                "nothing else could be looked at",
            );
            finding.fix(fix_unreachable(error))
        };
        let reachable = |side| errors.iter().all(|error| error.side != side);
        let cluster = |side, name: &str| ClusterSummary {
            name: name.to_owned(),
            reachable: reachable(side),
            ..ClusterSummary::default()
        };
        Self {
            link: request.link.link.clone(),
            ok: false,
            source: cluster(Side::Source, &request.link.source.name),
            target: cluster(Side::Target, &request.link.target.name),
            summary: Summary::default(),
            findings: errors.iter().map(of).collect(),
        }
    }
}

fn fix_unreachable(error: &Error) -> String {
    let side = error.side;
    if error.is_authentication() && error.reason.to_ascii_lowercase().contains("certificate") {
        format!(
            "see ssl.ca.location, ssl.certificate.location and ssl.key.location in [{side}.kafka]: each end must \
             trust the authority that signed the other's certificate"
        )
    } else if error.is_authentication() {
        format!("see sasl.mechanism, sasl.username and sasl.password in [{side}.kafka]")
    } else {
        format!(
            "see that the brokers run, and bootstrap.servers and security.protocol in [{side}.kafka]; `isomirror \
             run` would wait for them"
        )
    }
}
