//! What the steps do: on the site that is to be active, which the link that ran has written to.

use std::{collections::BTreeSet, time::Duration};

use kafka_wire::{AclRule, Isolation, OffsetSpec};
use link_journal::JournalState;
use mirror_types::Side;
use offset_marks::now_ms;
use pipeline::LinkConfig;

use super::{Course, Request, Step, Story, Watcher};
use crate::{
    operation::{
        Block, Facts, Intent, Lacking, LaneEnd, Turn, acls,
        drive::{Trouble, World},
        ground::Ground,
    },
    sides::Error,
    switchover::{self, turn},
    topics::{self, Done},
    words::counted,
};

/// How long the link is waited for each time that it is asked whether it rests.
const FOLLOWS: Duration = Duration::from_secs(5);
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
        match topics::target_followed(self.ran, target, FOLLOWS).await.map_err(Trouble::of)? {
            Done::NotYet(slots) => {
                let what = format!("link {} does not rest yet (lanes in slots {slots:?})", self.ran.link);
                Err(Trouble::refused(what, "stop its instances, or see their logs").passing())
            }
            Done::NotRunning => Ok(Facts::says(format!("nobody runs link {}", self.ran.link))),
            Done::Yes | Done::Nothing => Ok(Facts::says(format!("link {} rests", self.ran.link))),
        }
    }

    /// How far the site that is gone was, by what the daemon has seen of it last: once the link rests, it says nothing of it.
    async fn seen(&self, course: &Course) -> Result<Facts, Trouble> {
        let ask = self.request.status.clone();
        let status = tokio::task::spawn_blocking(move || ask()).await.ok().flatten();
        let Some(status) = status.filter(|status| status.link == self.ran.link) else {
            return Ok(Facts::says(format!("no daemon tells how far {} was", self.turn.from)));
        };
        let (sources, now) = (course.plan.sources(), now_ms());
        let of_plan = status.lanes.iter().filter(|lane| sources.contains(&lane.topic));
        let seen = of_plan.filter_map(|lane| {
            Some(Lacking {
                topic: lane.topic.clone(),
                partition: lane.partition,
                seen: lane.source_end?,
                end: lane.target_end?,
                since: now - (lane.lag_seconds * 1000.0) as i64,
            })
        });
        let lacking: Vec<Lacking> = seen.collect();
        let says = format!("the log ends of {} on {}", counted(lacking.len(), "lane"), self.turn.from);
        Ok(Facts { says, lacking, ..Facts::default() })
    }

    /// What the site that is gone had, as far as was seen, and this one has not.
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
        let mut ends = Vec::new();
        for ((topic, partition), listed) in at.into_iter().zip(listed) {
            let target = listed.map_err(of)?.offset;
            ends.push(LaneEnd { topic: topic.to_owned(), partition, source: -1, target });
        }
        let seen = course.facts(Step::Seen).map_or(&[][..], |facts| &facts.lacking);
        let (lacking, unseen) = missing(&mut ends, seen);
        let records: u64 = lacking.iter().map(Lacking::records).sum();
        let mut says = match records {
            0 => format!("nothing that was seen of {} is missing", self.turn.from),
            some => format!(
                "{} of {} that were seen are missing, in {}",
                counted(some, "record"),
                self.turn.from,
                counted(lacking.len(), "lane")
            ),
        };
        if unseen > 0 {
            says.push_str(&format!("; how far {} was there was not seen", counted(unseen, "lane")));
        }
        Ok(Facts { says, ends, lacking, ..Facts::default() })
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

/// What is missing before each log end that was seen, which is noted in `ends`, too; and of how many lanes none was. The most
/// first.
fn missing(ends: &mut [LaneEnd], seen: &[Lacking]) -> (Vec<Lacking>, usize) {
    let (mut lacking, mut unseen) = (Vec::new(), 0);
    for end in ends {
        let is_it = |seen: &&Lacking| (&seen.topic, seen.partition) == (&end.topic, end.partition);
        let Some(seen) = seen.iter().find(is_it) else {
            unseen += 1;
            continue;
        };
        end.source = seen.seen;
        let now = Lacking { end: end.target, ..seen.clone() };
        if now.records() > 0 {
            lacking.push(now);
        }
    }
    lacking.sort_by_key(|lacking| std::cmp::Reverse(lacking.records()));
    (lacking, unseen)
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
            (Step::Seen, _) => self.seen(course).await,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_there_and_is_not_here_is_missing_and_what_was_not_seen_is_told() {
        let end = |partition, target| LaneEnd { topic: "t".to_owned(), partition, source: -1, target };
        let seen = |partition, seen| Lacking { topic: "t".to_owned(), partition, seen, end: 0, since: 7 };
        let mut ends = [end(0, 10), end(1, 10), end(2, 10), end(3, 10)];
        let (lacking, unseen) = missing(&mut ends, &[seen(0, 12), seen(1, 10), seen(3, 90)]);
        let found: Vec<_> = lacking.iter().map(|l| (l.partition, l.records(), l.end, l.since)).collect();
        assert_eq!(found, [(3, 80, 10, 7), (0, 2, 10, 7)]);
        assert_eq!((unseen, ends.map(|end| end.source)), (1, [12, 10, -1, 90]));
    }
}
