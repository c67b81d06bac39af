//! What to do about a topic, from what both clusters show of it; and how a target topic is made.

use cluster_admin::{Cluster, Error, TopicConfigs, TopicInfo};
use link_journal::TopicState;
use mirror_types::{Stop, StopKind};
use target_diff::topic_configs_for_target;

use crate::{Begin, TopicSettings};

/// Whether a topic that the rules name is mirrored now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TopicPlan {
    /// It is.
    Run,
    /// It has not begun, and waits until somebody asks for it.
    Wait,
    /// Its lanes stay where they are, and their lag is measured.
    Pause,
    /// The link has given it up.
    Stop,
    /// The link rests: its pair's other one runs, or neither does.
    Rest,
}

/// Says it, by what operators have decided about the topic, if anything, and by its settings. `begun`: the link has begun
/// to mirror it.
pub fn plan(decided: Option<TopicState>, begin: Begin, begun: bool) -> TopicPlan {
    match (decided, begin) {
        (Some(TopicState::Running), _) => TopicPlan::Run,
        (Some(TopicState::Paused), _) => TopicPlan::Pause,
        (Some(TopicState::Stopped), _) => TopicPlan::Stop,
        (None, Begin::Asked) if !begun => TopicPlan::Wait,
        (None, _) => TopicPlan::Run,
    }
}

impl TopicPlan {
    /// Its name in `/status` and in `topics list`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Run => "running",
            Self::Wait => "waiting",
            Self::Pause => "paused",
            Self::Stop => "stopped",
            Self::Rest => "resting",
        }
    }
}

/// What has to be done before a topic's lanes can run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Nothing: the target has a partition for each of the source's.
    Ready,
    /// Create the target topic.
    Create,
    /// Add partitions to the target topic.
    Grow,
    /// Don't mirror it; the words say why, and what mends it.
    Refuse(Stop),
}

/// Decides for one topic. `mirrored`: this link has mirrored it before, so that the target topic is its own
/// work, and growing it with the source is part of the job.
pub fn decide(
    topic: &str,
    source: &TopicInfo,
    target_topic: &str,
    target: Option<&TopicInfo>,
    settings: &TopicSettings,
    mirrored: bool,
) -> Decision {
    let refuse = |reason, fix| Decision::Refuse(Stop::new(StopKind::Precondition, reason, fix));
    let partitions = source.partitions;
    match target {
        None if mirrored => refuse(
            format!(
                "{topic}: target topic {target_topic} is not there, but this link has mirrored {topic} before: the target \
                 topic is gone, or was another before topics.rename was changed"
            ),
            format!(
                "to go on where it stopped, create {target_topic} with {partitions} partitions on the target; to \
                 mirror {topic} again from its start, stop isomirror, forget its marks (isomirror marks CONFIG forget --topic \
                 {topic}) and start it again"
            ),
        ),
        None if settings.create => Decision::Create,
        None => refuse(
            format!("{topic}: target topic {target_topic} does not exist, and topics.create = false"),
            format!(
                "kafka-topics.sh --create --topic {target_topic} --partitions {partitions} on the target, or \
                 topics.create = true"
            ),
        ),
        Some(target) if target.partitions >= partitions => Decision::Ready,
        Some(_) if mirrored && settings.create => Decision::Grow,
        Some(target) => refuse(
            format!(
                "{topic}: target topic {target_topic} has {} partitions, the source has {partitions}",
                target.partitions
            ),
            format!("kafka-topics.sh --alter --topic {target_topic} --partitions {partitions} on the target"),
        ),
    }
}

/// A target topic as it is made: by the daemon and by `apply` alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// As many as its source topic has.
    pub partitions: i32,
    /// −1 for the brokers' default.
    pub replication: i32,
    /// What is set on it.
    pub configs: Vec<(String, String)>,
}

impl NewTopic {
    /// For a source topic of so many partitions; where its configs are not known, with the target brokers' defaults.
    pub fn of(
        partitions: i32,
        configs: Option<&TopicConfigs>,
        target_topic: &str,
        settings: &TopicSettings,
    ) -> Self {
        let replication = settings.replication;
        let unknown = TopicConfigs::default();
        Self {
            name: target_topic.to_owned(),
            partitions,
            replication,
            configs: topic_configs_for_target(configs.unwrap_or(&unknown), replication),
        }
    }

    /// Makes it, and waits until it has its leaders. False where there is one already.
    pub async fn make(&self, target: &Cluster) -> Result<bool, Error> {
        target.create_topic(&self.name, self.partitions, self.replication, &self.configs).await
    }

    /// Asks the cluster whether it could be made; makes nothing.
    pub async fn validate(&self, target: &Cluster) -> Result<(), Error> {
        target.validate_topic(&self.name, self.partitions, self.replication, &self.configs).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Offsets, Start};

    fn info(partitions: i32) -> TopicInfo {
        TopicInfo { partitions, replication: 1, leaderless: Vec::new() }
    }

    fn decision(source: i32, target: Option<i32>, create: bool, mirrored: bool) -> Decision {
        let settings = TopicSettings {
            create,
            replication: -1,
            begin: Begin::AtOnce,
            start: Start::Earliest,
            offsets: Offsets::Identical,
            shared: false,
        };
        decide("a", &info(source), "b", target.map(info).as_ref(), &settings, mirrored)
    }

    #[test]
    fn what_somebody_decided_counts_before_what_is_configured() {
        for (begin, begun) in [(Begin::AtOnce, false), (Begin::Asked, false), (Begin::Asked, true)] {
            assert_eq!(plan(Some(TopicState::Running), begin, begun), TopicPlan::Run);
            assert_eq!(plan(Some(TopicState::Paused), begin, begun), TopicPlan::Pause);
            assert_eq!(plan(Some(TopicState::Stopped), begin, begun), TopicPlan::Stop);
        }
        assert_eq!(plan(None, Begin::AtOnce, false), TopicPlan::Run);
        assert_eq!(plan(None, Begin::Asked, false), TopicPlan::Wait);
        assert_eq!(plan(None, Begin::Asked, true), TopicPlan::Run, "it has begun, and goes on");
    }

    #[test]
    fn a_missing_topic_is_created_unless_it_must_not_or_was_there_before() {
        assert_eq!(decision(3, None, true, false), Decision::Create);
        for (create, mirrored) in [(false, false), (true, true)] {
            assert!(matches!(decision(3, None, create, mirrored), Decision::Refuse(_)));
        }
    }

    #[test]
    fn a_target_that_may_never_have_been_there_is_not_said_to_be_gone() {
        let Decision::Refuse(stop) = decision(3, None, true, true) else { panic!("must be refused") };
        assert!(stop.reason.starts_with("a: target topic b is not there, but"), "{}", stop.reason);
        assert!(stop.reason.contains("or was another before topics.rename was changed"), "{}", stop.reason);
        assert!(stop.fix.contains("create b with 3 partitions"), "{}", stop.fix);
    }

    #[test]
    fn only_a_topic_of_our_own_making_is_grown() {
        assert_eq!(decision(3, Some(3), true, false), Decision::Ready);
        assert_eq!(decision(3, Some(5), true, false), Decision::Ready);
        assert_eq!(decision(3, Some(2), true, true), Decision::Grow);
        let Decision::Refuse(stop) = decision(3, Some(2), true, false) else { panic!("must be refused") };
        assert!(stop.fix.contains("kafka-topics.sh --alter --topic b --partitions 3"), "{}", stop.fix);
    }
}
