//! What the steps do. The link that ran before the failover leads from the site that is back, its source, to the active one.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    path::Path,
    sync::Arc,
    time::Duration,
};

use control_topic::ControlTopic;
use kafka_wire::{Isolation, OffsetSpec};
use mirror_types::{Offset, Side, TopicPartition};
use offset_marks::control::Keep;
use pipeline::LinkConfig;
use serde::Serialize;

use super::{Course, Error, Facts, Plan, Request, Step, Story, Watcher, export::Writing};
use crate::{
    operation::{
        Block, Intent, LaneEnd, Turn, acls,
        drive::{Trouble, World},
        ground::{Ground, acls_say},
        lanes,
    },
    sides::{Clusters, admin, source_isolation, topics},
    switchover::{self, adopt, block_intent, turn},
    topics::{self as one_by_one, Done},
    verify::{self, LaneReport, Progress, Verdict, side::Reading},
    words::{counted, few},
};

/// Lanes that are compared at the same time.
const COMPARED: NonZeroUsize = NonZeroUsize::new(4).expect("it is not 0");
/// Source offsets of each lane that are compared before the whole lane is.
const TAIL: u64 = 1000;
/// Bytes of one answer while records are exported.
const FETCH: i32 = 1 << 20;
/// For so long nobody must have written to the site that is back.
const STILL: Duration = Duration::from_secs(1);
/// How long the link is waited for each time.
const FOLLOWS: Duration = Duration::from_secs(5);
/// Between two looks whether a topic is gone.
const LOOK: Duration = Duration::from_millis(300);

/// Where a lane of the site that is back has left the active site's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fork {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// All before this offset is the same on both.
    pub fork: Offset,
    /// Where it ends on the site that is back: what lies between is there alone.
    pub end: Offset,
}

impl Fork {
    /// Offsets that the site that is back has alone.
    pub fn alone(&self) -> u64 {
        u64::try_from(self.end - self.fork).unwrap_or(0)
    }

    fn at(&self) -> TopicPartition {
        TopicPartition::new(self.topic.as_str(), self.partition)
    }
}

/// Finds the forks: by the last records before the failover, and where they differ, by all.
pub(super) async fn forks(
    link: &LinkConfig,
    timeout: Duration,
    plan: &Plan,
    failover: &Facts,
) -> Result<Vec<Fork>, Trouble> {
    let clusters = Clusters::new(link, timeout).map_err(Trouble::of)?;
    let ends = lanes::log_ends(&clusters, plan).await?;
    let until: BTreeMap<TopicPartition, Offset> = ends
        .iter()
        .map(|(at, end)| {
            let then = failover
                .ends
                .iter()
                .find(|then| (&*then.topic, then.partition) == (&*at.topic, at.partition));
            (at.clone(), then.map_or(0, |then| then.target).min(*end))
        })
        .collect();
    let compare = async |topics: Vec<String>, tail| {
        let request = verify::Request {
            link: link.clone(),
            timeout,
            topics,
            since: None,
            sample: None,
            tail,
            until: Some(until.clone()),
            at_once: COMPARED,
            show: false,
            resume: None,
        };
        verify::verify(&request, Arc::new(Progress::default())).await.map_err(|error| match error {
            verify::Error::Sides(error) => Trouble::of(error),
            other => Trouble::failed(other.to_string()),
        })
    };
    let mut report = compare(plan.sources(), Some(TAIL)).await?;
    let differ: BTreeSet<String> = report
        .lanes
        .iter()
        .filter(|lane| lane.verdict == Verdict::Different)
        .map(|lane| lane.topic.clone())
        .collect();
    if !differ.is_empty() {
        let whole = compare(differ.into_iter().collect(), None).await?;
        report.lanes.retain(|lane| !whole.lanes.iter().any(|other| other.topic == lane.topic));
        report.lanes.extend(whole.lanes);
    }
    ends.into_iter().map(|(at, end)| fork(&report.lanes, &at, until[&at], end)).collect()
}

/// The fork of a partition that ends here, and was the same on both sites up to `equal` at the most.
fn fork(compared: &[LaneReport], at: &TopicPartition, equal: Offset, end: Offset) -> Result<Fork, Trouble> {
    let lane = compared.iter().find(|lane| (&*lane.topic, lane.partition) == (&*at.topic, at.partition));
    let fork = match lane {
        Some(lane) if lane.verdict == Verdict::Incomplete => {
            let why = lane.trouble.clone().unwrap_or_default();
            return Err(Trouble::failed(format!("{at} could not be compared: {why}")));
        }
        Some(lane) => lane.found.first_difference.as_ref().map_or(equal, |found| found.place.min(equal)),
        // It had not begun to be mirrored: all of it is on the site that is back alone.
        None => 0,
    };
    Ok(Fork { topic: at.topic.to_string(), partition: at.partition, fork, end })
}

pub(super) struct Acting<'r> {
    request: &'r Request,
    turn: Turn,
    ran: &'r LinkConfig,
    back: &'r LinkConfig,
    ground: Ground<'r, Step>,
    failover: Facts,
    plan: Plan,
    id: String,
}

impl<'r> Acting<'r> {
    pub(super) fn new(
        request: &'r Request,
        watcher: &Watcher,
        story: &Story,
        failover: Facts,
    ) -> Result<Self, Error> {
        let (of, plan) = (&request.of, &story.course.plan);
        let turn = turn(plan)?.clone();
        let (ran, back) = (of.pair.link(&turn.link)?, of.pair.link(&turn.back)?);
        let ground = Ground::new(ran, of.timeout, plan, watcher, of.hold.as_deref())?;
        let (plan, id) = (plan.clone(), story.id.clone());
        Ok(Self { request, turn, ran, back, ground, failover, plan, id })
    }

    fn clusters(&self) -> &Clusters {
        &self.ground.clusters
    }

    async fn block(&self, intent: &Intent) -> Result<Facts, Trouble> {
        match (intent, &self.request.of.settings.block) {
            (Intent::Acls { create, there, .. }, _) => {
                acls::make(self.clusters(), Side::Source, create, there).await?;
                Ok(Facts::says(acls_say(create, there)))
            }
            (Intent::Run { command, .. }, _) => self.hook("block", command).await,
            (Intent::Look, Block::Quiet(quiet)) => self.ground.quiet(*quiet).await,
            (Intent::Look, _) => Ok(Facts::default()),
        }
    }

    async fn hook(&self, step: &str, command: &str) -> Result<Facts, Trouble> {
        let (of, site) = (&self.request.of, &self.turn.from);
        let variables = switchover::variables(of, &self.id, &self.plan, site, step);
        self.ground.hook(command, &variables).await
    }

    async fn fork(&self, course: &Course) -> Result<Facts, Trouble> {
        self.no_transaction(&course.plan).await?;
        self.ground.quiet(STILL).await?;
        let of = &self.request.of;
        let forks = forks(self.ran, of.timeout, &course.plan, &self.failover).await?;
        let alone: Vec<&Fork> = forks.iter().filter(|fork| fork.alone() > 0).collect();
        let says = match alone.len() {
            0 => format!("{}: none has anything that {} lacks", counted(forks.len(), "lane"), self.turn.to),
            some => format!(
                "{} of {} have offsets that {} lacks: {}",
                some,
                counted(forks.len(), "lane"),
                self.turn.to,
                few(alone.iter().map(|fork| {
                    format!("{}[{}] {} to {}", fork.topic, fork.partition, fork.fork, fork.end - 1)
                }))
            ),
        };
        let end = |fork: &Fork| LaneEnd {
            topic: fork.topic.clone(),
            partition: fork.partition,
            source: fork.end,
            target: fork.fork,
        };
        Ok(Facts { says, ends: forks.iter().map(end).collect(), ..Facts::default() })
    }

    /// Waits until transactions that were open when the site was lost are over: its coordinator ends them in time.
    async fn no_transaction(&self, plan: &Plan) -> Result<(), Trouble> {
        let client = self.clusters().client(Side::Source);
        loop {
            let ends = lanes::log_ends(self.clusters(), plan).await?;
            let at: Vec<_> = ends.keys().map(|at| (&*at.topic, at.partition)).collect();
            let stable = client.list_offsets(&at, OffsetSpec::Latest, Isolation::ReadCommitted).await;
            let mut open = None;
            for ((at, end), stable) in ends.iter().zip(stable) {
                let stable =
                    stable.map_err(|error| Trouble::of(self.clusters().error(Side::Source, error)))?;
                open = open.or((stable.offset < *end).then_some(at));
            }
            let Some(at) = open else { return Ok(()) };
            self.ground
                .waits_because(format!("a transaction is open in {at}: it is waited for until it times out"));
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The forks as they are on record.
    fn forked(course: &Course) -> Vec<Fork> {
        let ends = course.facts(Step::Fork).map(|facts| facts.ends.clone()).unwrap_or_default();
        let fork = |end: LaneEnd| Fork {
            topic: end.topic,
            partition: end.partition,
            fork: end.target,
            end: end.source,
        };
        ends.into_iter().map(fork).collect()
    }

    async fn export(&self, course: &Course) -> Result<Facts, Trouble> {
        let (mut records, mut files) = (0, 0);
        for fork in Self::forked(course).into_iter().filter(|fork| fork.alone() > 0) {
            self.ground.waits_because(format!("{} is exported", fork.at()));
            records += self.export_lane(&fork, &self.request.folder).await?;
            files += 1;
        }
        let says = match files {
            0 => "nothing to export".to_owned(),
            some => format!(
                "{} in {} in {}",
                counted(records, "record"),
                counted(some, "file"),
                self.request.folder.display()
            ),
        };
        Ok(Facts::says(says))
    }

    async fn export_lane(&self, fork: &Fork, folder: &Path) -> Result<u64, Trouble> {
        let at = fork.at();
        let io = |error: std::io::Error| {
            Trouble::failed(format!(
                "{}: {error}\n  fix: name another folder with --export",
                folder.display()
            ))
        };
        let mut file = Writing::begin(folder, &at, fork.fork).map_err(io)?;
        let mut chunks = Reading {
            client: self.clusters().client(Side::Source).clone(),
            at: at.clone(),
            from: fork.fork,
            to: fork.end,
            isolation: source_isolation(self.ran),
            fetch: FETCH,
            pace: None,
        }
        .start();
        while let Some(chunk) = chunks.recv().await {
            for record in chunk.map_err(Trouble::failed)?.records {
                file.put(&at, &record).map_err(io)?;
            }
        }
        let records = file.records;
        file.finish().map_err(io)?;
        Ok(records)
    }

    /// What somebody has written there since it was exported, whom no ACL binds, goes into files of its own.
    async fn export_late(&self, topic: &str, course: &Course) -> Result<(), Trouble> {
        if !topics(self.clusters(), Side::Source).await.map_err(Trouble::of)?.contains_key(topic) {
            return Ok(());
        }
        let plan = Plan {
            topics: course.plan.topics.iter().filter(|route| route.topic == topic).cloned().collect(),
            ..course.plan.clone()
        };
        let exported: Vec<LaneEnd> =
            course.facts(Step::Fork).map(|facts| facts.ends.clone()).unwrap_or_default();
        let now = lanes::log_ends(self.clusters(), &plan).await?;
        for moved in lanes::moved(&exported, &now) {
            // Another topic's, which was looked at alone.
            if moved.topic != topic {
                continue;
            }
            let (fork, end) = (moved.from, moved.to);
            let late = Fork { topic: moved.topic, partition: moved.partition, fork, end };
            self.ground.waits_because(format!("{} is exported, which was written to again", late.at()));
            self.export_lane(&late, &self.request.folder).await?;
        }
        Ok(())
    }

    /// The topics that have to be begun anew on the site that is back.
    fn to_clear(course: &Course) -> BTreeSet<String> {
        let alone = Self::forked(course).into_iter().filter(|fork| fork.alone() > 0);
        alone.map(|fork| fork.topic).collect()
    }

    async fn clear(&self, course: &Course) -> Result<Facts, Trouble> {
        let cleared = Self::to_clear(course);
        let ends: Vec<LaneEnd> = Self::forked(course)
            .into_iter()
            .filter(|fork| !cleared.contains(&fork.topic))
            .map(|fork| LaneEnd {
                topic: fork.topic,
                partition: fork.partition,
                source: fork.end,
                target: fork.fork,
            })
            .collect();
        adopt(self.ran, self.clusters(), self.back, &ends).await?;
        self.forget(&cleared).await?;
        let admin = admin(self.ran, Side::Source, self.request.of.timeout)
            .map_err(|error| Trouble::of(error.into()))?;
        for topic in &cleared {
            self.export_late(topic, course).await?;
            self.ground.waits_because(format!("until {topic} is gone on {}", self.turn.from));
            admin.delete_topic(topic).await.map_err(|error| Trouble::of(error.into()))?;
            while topics(self.clusters(), Side::Source).await.map_err(Trouble::of)?.contains_key(topic) {
                tokio::time::sleep(LOOK).await;
            }
        }
        let says = match cleared.len() {
            0 => format!("nothing to delete; {} go on where they are", counted(ends.len(), "lane")),
            _ => format!(
                "{} deleted on {}, to be mirrored anew; {} go on where they are",
                few(cleared),
                self.turn.from,
                counted(ends.len(), "lane")
            ),
        };
        Ok(Facts::says(says))
    }

    /// Deletes the marks of topics that begin anew.
    async fn forget(&self, cleared: &BTreeSet<String>) -> Result<(), Trouble> {
        let of = |error| Trouble::of(Error::Marks(error));
        let client = self.clusters().client(Side::Source);
        let Some(control) = ControlTopic::open(client, &self.back.link).await.map_err(of)? else {
            return Ok(());
        };
        for (slot, state) in (0..).zip(control.read_all_committed(Keep::Everything).await.map_err(of)?) {
            let lanes = state.lanes().filter(|start| cleared.contains(&start.source_topic));
            let records: Vec<_> = lanes.flat_map(|start| state.deletion(&start.lane())).collect();
            if !records.is_empty() {
                control.write(slot, records).await.map_err(of)?;
            }
        }
        Ok(())
    }

    async fn follow(&self, course: &Course) -> Result<Facts, Trouble> {
        let link = &self.back.link;
        self.ground.waits_because(format!("until link {link} runs"));
        let asked = one_by_one::Request {
            link: self.back.clone(),
            timeout: self.request.of.timeout,
            topics: course.plan.sources(),
            by: self.request.of.by.clone(),
            wait: FOLLOWS,
        };
        match one_by_one::all_followed(&asked).await.map_err(Trouble::of)? {
            Done::Yes | Done::Nothing => {
                self.have_begun(&course.plan).await?;
                Ok(Facts::says(format!("link {link} runs")))
            }
            Done::NotRunning => {
                Err(Trouble::refused(format!("nobody runs link {link}"), "isomirror run PAIR").passing())
            }
            Done::NotYet(slots) => {
                let what = format!("link {link} does not run yet (lanes in slots {slots:?})");
                Err(Trouble::refused(what, "see the logs of its instances").passing())
            }
        }
    }
}

impl Acting<'_> {
    /// Waits until the lanes have begun, those anew whose topics were deleted.
    async fn have_begun(&self, plan: &Plan) -> Result<(), Trouble> {
        let there = topics(self.clusters(), Side::Target).await.map_err(Trouble::of)?;
        let mut plan = plan.clone();
        plan.topics.retain(|route| there.contains_key(&route.topic));
        let clusters = Clusters::new(self.back, self.request.of.timeout).map_err(Trouble::of)?;
        lanes::Lanes::of(&plan).now(self.back, &clusters).await.map(drop).map_err(Trouble::passing)
    }
}

impl World<Step> for Acting<'_> {
    async fn intend(&self, step: Step, course: &Course) -> Result<Intent, Trouble> {
        match step {
            Step::Block => {
                block_intent(&self.request.of.settings.block, self.ran, self.clusters(), &course.plan).await
            }
            _ => Ok(Intent::Look),
        }
    }

    async fn act(&self, step: Step, intent: &Intent, course: &Course) -> Result<Facts, Trouble> {
        match step {
            Step::Block => self.block(intent).await,
            Step::Fork => self.fork(course).await,
            Step::Export => self.export(course).await,
            Step::Clear => self.clear(course).await,
            Step::Follow => self.follow(course).await,
        }
    }

    async fn undo(&self, _: Step, intent: &Intent, _: &Course) -> Result<Facts, Trouble> {
        match intent {
            Intent::Acls { create, .. } => {
                acls::unmake(self.clusters(), Side::Source, create).await?;
                Ok(Facts::says(format!("{} deleted", counted(create.len(), "ACL"))))
            }
            Intent::Run { back: Some(command), .. } => self.hook("unblock", command).await,
            _ => Ok(Facts::default()),
        }
    }

    async fn is_quiet(&self, course: &Course) -> Result<(), Trouble> {
        self.ground.is_quiet(course).await
    }

    async fn agrees(&self, course: &Course) -> bool {
        let cleared = Self::to_clear(course);
        if cleared.is_empty() {
            return true;
        }
        let question = format!(
            "Delete {} on {}, and mirror it anew from {}? What it alone has is in {}",
            few(cleared),
            self.turn.from,
            self.turn.to,
            self.request.folder.display()
        );
        let agrees = self.request.agrees.clone();
        tokio::task::spawn_blocking(move || agrees(&question)).await.unwrap_or(false)
    }

    fn waits_for(&self) -> String {
        self.ground.waits_for()
    }

    async fn reach(&self) -> Result<(), Trouble> {
        self.ground.reach(&[Side::Source, Side::Target]).await
    }

    fn tries(&self) {
        self.ground.waits_for_nothing();
    }

    async fn hold(&self, step: Step, moment: &str) {
        self.ground.hold(step, moment).await;
    }
}
