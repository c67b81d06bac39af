//! What errors mean to an operator, and that each is said once.

use kafka_wire::{Code, Error};
use tracing::info;

use crate::Config;

/// What is in the way of being a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The coordinator can't be asked now. Passes by itself.
    Silent { reason: String },
    /// Somebody has to do something.
    Refused { code: Option<Code>, reason: String, fix: String },
}

impl Trouble {
    pub fn of(error: &Error, config: &Config) -> Self {
        let group = &config.group;
        let refused = |reason: String, fix: String| Self::Refused { code: error.code(), reason, fix };
        match error.code() {
            _ if error.is_not_authorized() => refused(
                format!("not allowed to READ group {group}, which this instance has to join: {error}"),
                format!(
                    "grant it on the target (kafka-acls.sh --add --allow-principal User:… --operation Read --group \
                     {group})"
                ),
            ),
            _ if error.is_authentication() => refused(
                format!("the target does not let this instance in: {error}"),
                "see security.protocol and the sasl.* and ssl.* properties in [target.kafka]".to_owned(),
            ),
            Some(Code::InvalidSessionTimeout) => refused(
                format!("the target's brokers do not take a session of {:?}: {error}", config.session_timeout),
                "set session.timeout.ms in [target.kafka] to what lies between their group.min.session.timeout.ms \
                 and group.max.session.timeout.ms"
                    .to_owned(),
            ),
            Some(Code::InconsistentGroupProtocol) => refused(
                format!("group {group} on the target has members that are no instances of this link: {error}"),
                format!(
                    "see who they are (kafka-consumer-groups.sh --describe --members --group {group}), and give \
                     them another group"
                ),
            ),
            Some(Code::GroupMaxSizeReached) => refused(
                format!("group {group} has as many members as the target's brokers allow: {error}"),
                "run fewer instances, or raise group.max.size".to_owned(),
            ),
            Some(Code::InvalidGroupId | Code::UnsupportedVersion | Code::UnsupportedForMessageFormat) => refused(
                format!("the target does not take group {group}: {error}"),
                "see the broker's log".to_owned(),
            ),
            _ => Self::Silent { reason: error.to_string() },
        }
    }

    /// The leader has sent something that is not an assignment.
    pub fn unreadable(reason: &str, config: &Config) -> Self {
        let reason =
            format!("the leader of group {} has sent what is not an assignment: {reason}", config.group);
        let fix = "see that all instances of the link are of the same version".to_owned();
        Self::Refused { code: None, reason, fix }
    }

    /// Somebody else is the member of this instance's name.
    pub fn fenced(config: &Config) -> Self {
        let name = config.instance.as_deref().unwrap_or_default();
        Self::Refused {
            code: Some(Code::FencedInstanceId),
            reason: format!("another instance runs under the same name, {name}"),
            fix: "give each instance a group.instance.id of its own, or none, in [target.kafka]".to_owned(),
        }
    }

    pub fn reason(&self) -> &str {
        match self {
            Self::Silent { reason } | Self::Refused { reason, .. } => reason,
        }
    }

    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Silent { .. })
    }

    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Silent { .. }, Self::Silent { .. }) => true,
            (Self::Refused { code: one, fix, .. }, Self::Refused { code: other, fix: as_well, .. }) => {
                one == other && fix == as_well
            }
            _ => false,
        }
    }
}

/// Who has met with trouble: it is over when the same succeeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Heartbeat,
    Join,
}

/// Says what changes, and nothing twice. A refusal is the caller's to say.
#[derive(Debug)]
pub(crate) struct Teller {
    group: String,
    now: Option<(What, Trouble)>,
}

impl Teller {
    pub fn new(group: &str) -> Self {
        Self { group: group.to_owned(), now: None }
    }

    /// Whether it is news.
    pub fn trouble(&mut self, what: What, trouble: &Trouble) -> bool {
        if self.now.as_ref().is_some_and(|(_, now)| now.is_same(trouble)) {
            return false;
        }
        self.now = Some((what, trouble.clone()));
        if let Trouble::Silent { reason } = trouble {
            let group = &self.group;
            info!(group, "the coordinator of the instances' group can't be asked; trying again: {reason}");
        }
        true
    }

    /// What is in the way now.
    pub fn reason(&self) -> Option<&str> {
        self.now.as_ref().map(|(_, trouble)| trouble.reason())
    }

    pub fn fine(&mut self, what: What) {
        if self.now.take_if(|(whose, _)| *whose == what).is_some() {
            info!(group = self.group, "the coordinator of the instances' group answers");
        }
    }
}
