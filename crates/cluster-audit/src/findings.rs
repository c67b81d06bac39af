//! What is at risk, and what that means. Owns the rules and the sentences.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{Facts, Partition, PartitionId, Topic};

/// A broker has so many per cent more than the mean before that is worth a word.
const SKEW: u64 = 20;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something can't be used now, or one broken disk loses records.
    Critical,
    /// One broker that goes down does harm.
    Warning,
    /// To know.
    Info,
}

/// What is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// No leader.
    Offline,
    /// Fewer replicas in sync than `acks=all` takes.
    UnderMinIsr,
    /// A broker that replicas are assigned to is down.
    BrokerDown,
    /// A log directory does not work.
    BadDir,
    /// One replica.
    SingleReplica,
    /// One of Kafka's own topics can't do without one of its brokers.
    InternalAtRisk,
    /// A replica is not in sync.
    UnderReplicated,
    /// As many replicas have to be in sync as there are.
    MinIsrIsReplicas,
    /// Unclean elections are allowed.
    Unclean,
    /// All replicas in one rack, and there are more.
    OneRack,
    /// A disk is nearly full.
    DiskFull,
    /// Replication is throttled, and nothing moves.
    ThrottleLeft,
    /// A reassignment goes on.
    Moving,
    /// Another than the preferred leader leads.
    NotPreferred,
    /// A broker leads more than its share.
    LeaderSkew,
    /// A broker has more than its share of replicas.
    ReplicaSkew,
    /// Configs that decide may not be seen.
    ConfigsHidden,
}

/// Something that is found, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What.
    pub kind: Kind,
    /// How bad.
    pub severity: Severity,
    /// What that means.
    pub meaning: &'static str,
    /// What to do.
    pub fix: &'static str,
    /// The partitions that it is about.
    pub partitions: Vec<PartitionId>,
    /// The brokers or topics that it is about, in words.
    pub about: Vec<String>,
}

impl Kind {
    /// How bad it is.
    pub fn severity(self) -> Severity {
        match self {
            Self::Offline | Self::UnderMinIsr | Self::BrokerDown | Self::BadDir | Self::SingleReplica => {
                Severity::Critical
            }
            Self::InternalAtRisk
            | Self::UnderReplicated
            | Self::MinIsrIsReplicas
            | Self::Unclean
            | Self::OneRack
            | Self::DiskFull
            | Self::ThrottleLeft => Severity::Warning,
            Self::Moving
            | Self::NotPreferred
            | Self::LeaderSkew
            | Self::ReplicaSkew
            | Self::ConfigsHidden => Severity::Info,
        }
    }

    /// In a few words.
    pub fn title(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::UnderMinIsr => "under min.insync.replicas",
            Self::BrokerDown => "broker down",
            Self::BadDir => "log directory fails",
            Self::SingleReplica => "one replica",
            Self::InternalAtRisk => "internal topic at risk",
            Self::UnderReplicated => "under-replicated",
            Self::MinIsrIsReplicas => "min.insync.replicas = replicas",
            Self::Unclean => "unclean election allowed",
            Self::OneRack => "all in one rack",
            Self::DiskFull => "disk nearly full",
            Self::ThrottleLeft => "throttle left over",
            Self::Moving => "reassignment goes on",
            Self::NotPreferred => "leader not preferred",
            Self::LeaderSkew => "leaders uneven",
            Self::ReplicaSkew => "replicas uneven",
            Self::ConfigsHidden => "configs not shown",
        }
    }

    /// In one sentence.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Offline => "Nobody leads these partitions: they can be neither read nor written.",
            Self::UnderMinIsr => "Producers with acks=all are refused until more replicas are in sync.",
            Self::BrokerDown => "What is assigned to this broker has one copy less until it is back.",
            Self::BadDir => "The replicas in this directory are offline until its disk works.",
            Self::SingleReplica => {
                "While their one broker is down they can be neither read nor written, and if its disk breaks, all is lost."
            }
            Self::InternalAtRisk => {
                "When one broker is down, groups can't commit their offsets, or transactions can't go on."
            }
            Self::UnderReplicated => {
                "A replica is down or too slow: one more failure than planned for costs more."
            }
            Self::MinIsrIsReplicas => "Each broker that goes down stops producers with acks=all.",
            Self::Unclean => {
                "When all replicas in sync are down, one that lags behind leads, and acknowledged records are lost."
            }
            Self::OneRack => "When that rack goes down, all their replicas do.",
            Self::DiskFull => "A broker whose disk is full stops.",
            Self::ThrottleLeft => {
                "Replicas that have fallen behind catch up at the throttle's rate only, and may never."
            }
            Self::Moving => "Replicas are being copied: brokers have more to do, and plans have to wait.",
            Self::NotPreferred => "Leaders are not where the assignment wants them, so load is not either.",
            Self::LeaderSkew => "This broker serves more clients than others do.",
            Self::ReplicaSkew => "This broker stores and copies more than others do.",
            Self::ConfigsHidden => {
                "min.insync.replicas and unclean elections are unknown, so risks that come of them are not shown."
            }
        }
    }

    /// What to do about it.
    pub fn fix(self) -> &'static str {
        match self {
            Self::Offline | Self::BrokerDown => {
                "start the broker; if it is gone for good: `audit plan --empty ID`"
            }
            Self::BadDir => "replace the disk, then start the broker again",
            Self::UnderMinIsr | Self::UnderReplicated => {
                "see that all its brokers are up and not throttled; what lags catches up by itself"
            }
            Self::SingleReplica | Self::InternalAtRisk => "`audit plan --replication 3`",
            Self::MinIsrIsReplicas => "`audit plan --replication` with one more than min.insync.replicas",
            Self::Unclean => "set unclean.leader.election.enable=false unless losing records is wanted",
            Self::OneRack => "`audit plan --spread-racks`",
            Self::DiskFull => "shorten retention, or move replicas: `audit plan --empty ID`",
            Self::ThrottleLeft => {
                "`audit verify PLAN` takes it off, and so does kafka-reassign-partitions --verify"
            }
            Self::Moving => "wait for it; `audit verify PLAN` says how far it is",
            Self::NotPreferred => "`audit elect`",
            Self::LeaderSkew | Self::ReplicaSkew => "to know, when replicas are placed",
            Self::ConfigsHidden => "allow DESCRIBE_CONFIGS on the topics",
        }
    }
}

/// Everything that is found, the worst first. `full` is the part of a disk, in per cent, from which on it is nearly full.
pub fn findings(facts: &Facts, full: u64) -> Vec<Finding> {
    let mut found = Found::default();
    let racks = facts.racks(&facts.live());
    let nothing_moves = facts.moving().next().is_none();
    for (name, topic, number, partition) in facts.partitions() {
        for kind in of_partition(facts, topic, partition, racks) {
            found.partition(kind, name, number);
        }
    }
    for (name, topic) in &facts.topics {
        if topic.min_in_sync.is_none() {
            found.about(Kind::ConfigsHidden, name.clone());
        }
        if topic.throttled && nothing_moves {
            found.about(Kind::ThrottleLeft, name.clone());
        }
    }
    of_brokers(facts, full, &mut found);
    found.into_list()
}

/// What is to be said of a partition.
fn of_partition(facts: &Facts, topic: &Topic, partition: &Partition, racks: usize) -> Vec<Kind> {
    let (replicas, min) = (&partition.replicas, topic.min_in_sync());
    let in_sync = partition.in_sync.iter().filter(|broker| facts.is_live(**broker)).count();
    let mut kinds = Vec::new();
    let mut when = |holds: bool, kind| {
        if holds {
            kinds.push(kind);
        }
    };
    // While it is moved it has replicas that are not in sync yet.
    let settled = partition.settled();
    when(partition.leader.is_none(), Kind::Offline);
    when(partition.leader.is_some() && in_sync < min, Kind::UnderMinIsr);
    when(in_sync < settled, Kind::UnderReplicated);
    when(settled == 1, Kind::SingleReplica);
    when(settled > 1 && min >= settled, Kind::MinIsrIsReplicas);
    when(topic.internal && (settled < 2 || min >= settled), Kind::InternalAtRisk);
    when(topic.unclean == Some(true), Kind::Unclean);
    when(settled > 1 && racks > 1 && facts.racks(replicas) == 1, Kind::OneRack);
    when(partition.moving.is_some(), Kind::Moving);
    let preferred = replicas.first().filter(|first| facts.is_live(**first));
    when(
        partition.leader.is_some() && preferred.is_some_and(|first| partition.leader != Some(*first)),
        Kind::NotPreferred,
    );
    kinds
}

fn of_brokers(facts: &Facts, full: u64, found: &mut Found) {
    let (mut leaders, mut replicas) = (BTreeMap::new(), BTreeMap::new());
    for (_, _, _, partition) in facts.partitions() {
        if let Some(leader) = partition.leader {
            *leaders.entry(leader).or_insert(0) += 1;
        }
        for replica in &partition.replicas {
            *replicas.entry(*replica).or_insert(0) += 1;
        }
    }
    for (id, broker) in &facts.brokers {
        if !broker.live {
            let has = replicas.get(id).copied().unwrap_or(0u64);
            found.about(Kind::BrokerDown, format!("broker {id} ({has} replicas)"));
        }
        for dir in broker.dirs.iter().flatten() {
            if let Some(error) = &dir.error {
                found.about(Kind::BadDir, format!("broker {id}, {}: {error}", dir.path));
            }
        }
        if let Some((total, used)) = broker.disk()
            && u128::from(used) * 100 >= u128::from(total) * u128::from(full)
        {
            let percent = u128::from(used) * 100 / u128::from(total);
            found.about(Kind::DiskFull, format!("broker {id} ({percent} % used)"));
        }
    }
    let live = facts.live();
    for (kind, has, what) in
        [(Kind::LeaderSkew, &leaders, "leads"), (Kind::ReplicaSkew, &replicas, "has replicas of")]
    {
        let sum: u64 = live.iter().filter_map(|id| has.get(id)).sum();
        let count = live.len().max(1) as u64;
        for id in &live {
            let own = has.get(id).copied().unwrap_or(0u64);
            // A few more or less are nothing.
            if own * count * 100 > sum * (100 + SKEW) && own > sum / count + 2 {
                found.about(kind, format!("broker {id} {what} {own} partitions, {} on average", sum / count));
            }
        }
    }
}

#[derive(Default)]
struct Found(BTreeMap<Kind, (Vec<PartitionId>, Vec<String>)>);

impl Found {
    fn partition(&mut self, kind: Kind, topic: &str, partition: i32) {
        self.0.entry(kind).or_default().0.push(PartitionId::new(topic, partition));
    }

    fn about(&mut self, kind: Kind, what: String) {
        self.0.entry(kind).or_default().1.push(what);
    }

    fn into_list(self) -> Vec<Finding> {
        let finding = |(kind, (partitions, about)): (Kind, (Vec<PartitionId>, Vec<String>))| Finding {
            kind,
            severity: kind.severity(),
            meaning: kind.meaning(),
            fix: kind.fix(),
            partitions,
            about,
        };
        let mut list: Vec<_> = self.0.into_iter().map(finding).collect();
        list.sort_by_key(|finding| (finding.severity, finding.kind));
        list
    }
}
