//! What the steps do: on the site that is to be active, which the link that ran has written to.

use std::{collections::BTreeSet, time::Duration};

use kafka_wire::{AclRule, Isolation, OffsetSpec};
use link_journal::{Journal, JournalState};
use mirror_types::Side;
use pipeline::{LinkConfig, status::LaneStatus};

use super::{Course, Request, Step, Story, Watcher};
use crate::{
    operation::{
        Block, Facts, Intent, LaneEnd, Turn, acls,
        drive::{Trouble, World},
        ground::Ground,
    },
    sides::Error,
    switchover::{self, turn},
    topics::{self, Done},
    words::{counted, few},
};

/// How long the link is waited for each time that it is asked whether it rests.
const FOLLOWS: Duration = Duration::from_secs(5);
/// Lanes of which is said what they lack, at most.
const NAMED: usize = 10;

pub(super) struct Acting<'r> {
    request: &'r Request,
    turn: Turn,
    ran: &'r LinkConfig,
    ground: Ground<'r, Step>,
    /// The rules of earlier switchovers that block writers here.
    blocked: BTreeSet<AclRule>,
    id: String,
}

impl<'r> Acting<'r> {
    pub(super) fn new(
        request: &'r Request,
        watcher: &Watcher,
        story: &Story,
        states: &[JournalState],
    ) -> Result<Self, Error> {
        let (plan, hold) = (&story.course.plan, request.hold.as_deref());
        let turn = turn(plan)?.clone();
        let ran = request.pair.link(&turn.link)?;
        Ok(Self {
            request,
            ran,
            ground: Ground::new(ran, request.timeout, plan, watcher, hold)?,
            blocked: switchover::blocked(states, &turn.to)?,
            id: story.id.clone(),
            turn,
        })
    }

    /// Waits until all instances of the link have put on record that they write no more.
    async fn rest(&self) -> Result<Facts, Trouble> {
        let target = self.ground.clusters.client(Side::Target);
        self.ground.waits_because(format!("until link {} rests", self.ran.link));
        let journal = async {
            let journal = Journal::ensure(target, &self.ran.link).await?;
            Ok::<_, Error>(journal.read().await?.next())
        };
        let end = journal.await.map_err(Trouble::of)?;
        match topics::target_followed(self.ran, target, end, FOLLOWS).await.map_err(Trouble::of)? {
            Done::NotYet(slots) => {
                let what = format!("link {} does not rest yet (lanes in slots {slots:?})", self.ran.link);
                Err(Trouble::refused(what, "stop its instances, or see their logs").passing())
            }
            Done::NotRunning => Ok(Facts::says(format!("nobody runs link {}", self.ran.link))),
            Done::Yes | Done::Nothing => Ok(Facts::says(format!("link {} rests", self.ran.link))),
        }
    }

    /// What the site that is gone had, by what the daemon has seen of it last, and this one has not.
    async fn assess(&self, course: &Course) -> Result<Facts, Trouble> {
        let client = self.ground.clusters.client(Side::Target);
        let of = |error| Trouble::of(self.ground.clusters.error(Side::Target, error));
        let there = client.topics().await.map_err(of)?;
        let sources = course.plan.sources();
        let mut at = Vec::new();
        for topic in there.iter().filter(|topic| sources.iter().any(|source| **source == *topic.name)) {
            at.extend(topic.partitions.keys().map(|partition| (&*topic.name, *partition)));
        }
        let listed = client.list_offsets(&at, OffsetSpec::Latest, Isolation::ReadUncommitted).await;
        let ask = self.request.status.clone();
        let status = tokio::task::spawn_blocking(move || ask()).await.ok().flatten();
        let seen = status.map(|status| status.lanes).unwrap_or_default();
        let seen = |topic: &str, partition: i32| -> Option<&LaneStatus> {
            seen.iter().find(|lane| lane.topic == topic && lane.partition == partition)
        };
        let (mut ends, mut lacking, mut missing, mut unknown) = (Vec::new(), Vec::new(), 0_u64, 0_usize);
        let mut seconds = 0.0_f64;
        for ((topic, partition), listed) in at.into_iter().zip(listed) {
            let target = listed.map_err(of)?.offset;
            let last = seen(topic, partition).and_then(|lane| Some((lane.source_end?, lane.lag_seconds)));
            let Some((source, behind)) = last else {
                unknown += 1;
                ends.push(LaneEnd { topic: topic.to_owned(), partition, source: -1, target });
                continue;
            };
            let lacks = u64::try_from(source - target).unwrap_or(0);
            if lacks > 0 {
                missing += lacks;
                seconds = seconds.max(behind);
                lacking.push((lacks, format!("{topic}[{partition}]: {}", counted(lacks, "record"))));
            }
            ends.push(LaneEnd { topic: topic.to_owned(), partition, source, target });
        }
        lacking.sort_by(|a, b| b.0.cmp(&a.0));
        let named = few(lacking.into_iter().take(NAMED).map(|(_, said)| said));
        let mut says = match missing {
            0 => format!("nothing that was seen of {} is missing", self.turn.from),
            some => format!(
                "{} of {} are missing, as far as was seen, the oldest {seconds:.0} s old: {named}",
                counted(some, "record"),
                self.turn.from
            ),
        };
        if unknown > 0 {
            says.push_str(&format!("; of {} nothing was seen: no daemon tells", counted(unknown, "lane")));
        }
        Ok(Facts { says, ends, ..Facts::default() })
    }

    async fn release_intent(&self) -> Result<Intent, Trouble> {
        if let Block::Hook(hook) = &self.request.settings.block
            && let Some(command) = &hook.back
        {
            return Ok(Intent::Run { command: command.clone(), back: None });
        }
        let Some(known) = acls::rules(&self.ground.clusters, Side::Target).await? else {
            return Ok(Intent::Look);
        };
        let delete = self.blocked.iter().filter(|rule| known.contains(*rule)).cloned().collect();
        Ok(Intent::Acls { create: Vec::new(), there: Vec::new(), delete })
    }

    async fn hook(&self, step: &str, command: &str, course: &Course) -> Result<Facts, Trouble> {
        let to = &self.turn.to;
        let variables = switchover::variables(self.request, &self.id, &course.plan, to, step);
        self.ground.hook(command, &variables).await
    }
}

impl World<Step> for Acting<'_> {
    async fn intend(&self, step: Step, _: &Course) -> Result<Intent, Trouble> {
        match step {
            Step::Release => self.release_intent().await,
            Step::Clients => Ok(self
                .request
                .settings
                .clients
                .as_ref()
                .map_or(Intent::Look, |command| Intent::Run { command: command.clone(), back: None })),
            _ => Ok(Intent::Look),
        }
    }

    async fn act(&self, step: Step, intent: &Intent, course: &Course) -> Result<Facts, Trouble> {
        match (step, intent) {
            (Step::Rest, _) => self.rest().await,
            (Step::Assess, _) => self.assess(course).await,
            (Step::Release, Intent::Acls { delete, .. }) => {
                acls::unmake(&self.ground.clusters, Side::Target, delete).await?;
                let says = match delete.len() {
                    0 => {
                        format!("nothing of ours kept writers from {}; see who may write there", self.turn.to)
                    }
                    some => format!("{} deleted that had blocked writers", counted(some, "ACL")),
                };
                Ok(Facts::says(says))
            }
            (Step::Release, Intent::Run { command, .. }) => self.hook("release", command, course).await,
            (Step::Release, Intent::Look) => {
                Ok(Facts::says(format!("nothing kept writers from {}", self.turn.to)))
            }
            (Step::Clients, Intent::Run { command, .. }) => self.hook("clients", command, course).await,
            (Step::Clients, _) => {
                Ok(Facts::says(format!("no clients_hook: move them to {} now", self.turn.to)))
            }
        }
    }

    async fn undo(&self, _: Step, _: &Intent, _: &Course) -> Result<Facts, Trouble> {
        Ok(Facts::says(format!("link {} runs on", self.ran.link)))
    }

    async fn is_quiet(&self, _: &Course) -> Result<(), Trouble> {
        Ok(())
    }

    async fn agrees(&self, _: &Course) -> bool {
        true
    }

    fn waits_for(&self) -> String {
        self.ground.waits_for()
    }

    async fn reach(&self) -> Result<(), Trouble> {
        self.ground.reach(&[Side::Target]).await
    }

    fn tries(&self) {
        self.ground.waits_for_nothing();
    }

    async fn hold(&self, step: Step, moment: &str) {
        self.ground.hold(step, moment).await;
    }
}
