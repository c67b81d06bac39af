//! What the steps do to the clusters.

use std::{cell::RefCell, collections::BTreeMap, num::NonZeroUsize, sync::Arc, time::Duration};

use kafka_wire::AclRule;
use mirror_types::{Offset, Side, TopicPartition};
use pipeline::status::LinkStatus;
use tokio::time::Instant;

use super::{
    Block, Depth, Error, Facts, Hook, Intent, LaneDigest, Request, Told, Verified, Watcher, acls,
    drive::{Trouble, World},
    groups, hook,
    lanes::{self, Lanes, Standing},
    machine::{Cause, Course, Step},
    story::Story,
};
use crate::{
    check::{self, Kind, Severity},
    sides::Clusters,
    topics::{self, Change, Done},
    verify::{self, LaneReport, Progress, Sample, Verdict},
    words::{counted, few},
};

/// Between two looks at what is waited for.
const LOOK: Duration = Duration::from_millis(300);
/// For so long the source must not have moved before its end counts.
const STILL: Duration = Duration::from_secs(1);
/// Lanes that are compared at the same time.
const COMPARED: NonZeroUsize = NonZeroUsize::new(4).expect("it is not 0");
/// How long the daemon is waited for in the last step, each time.
const FOLLOWS: Duration = Duration::from_secs(30);

/// Acts on both clusters.
pub(super) struct Acting<'r> {
    request: &'r Request,
    clusters: Clusters,
    watcher: Watcher,
    lanes: Lanes,
    id: String,
    waits: RefCell<String>,
}

impl<'r> Acting<'r> {
    pub(super) fn new(request: &'r Request, watcher: &Watcher, story: &Story) -> Result<Self, Error> {
        Ok(Self {
            request,
            clusters: Clusters::new(&request.link, request.timeout)?,
            watcher: watcher.clone(),
            lanes: Lanes::of(&story.course.plan),
            id: story.id.clone(),
            waits: RefCell::default(),
        })
    }

    pub(super) fn clusters(&self) -> &Clusters {
        &self.clusters
    }

    fn waits_because(&self, why: String) {
        if *self.waits.borrow() != why {
            let _ = self.watcher.send(Told::Waits(why.clone()));
            *self.waits.borrow_mut() = why;
        }
    }

    // === preconditions, lag ===

    pub(super) async fn preconditions(&self, course: &Course) -> Result<Facts, Trouble> {
        let request = self.request;
        let lanes = self.lanes.now(request, &self.clusters).await?;
        self.runs().await?;
        let ask = request.status.clone();
        if let Some(status) = tokio::task::spawn_blocking(move || ask()).await.ok().flatten() {
            no_stopped_lane(&status, course, &request.link.link)?;
        }
        let checked =
            check::Request { link: request.link.clone(), timeout: request.timeout, verifies: false };
        let report = check::check(&checked).await.map_err(|error| Trouble::of(error.into()))?;
        if report.is_unreachable() {
            let reason = report.findings.first().map(|finding| finding.found.clone()).unwrap_or_default();
            return Err(Trouble { cause: Cause::Unreachable, ..Trouble::failed(reason) }.passing());
        }
        let concerns = |name: &str| {
            course.plan.topics.iter().any(|route| route.topic == *name || route.target_topic == *name)
        };
        let in_the_way = report.findings.iter().find(|finding| {
            finding.severity == Severity::Error
                && (finding.subject.kind != Kind::Topic || concerns(&finding.subject.name))
        });
        if let Some(finding) = in_the_way {
            let what = format!("{}: {}", finding.subject.name, finding.found);
            let fix = finding.fix.clone().unwrap_or_else(|| "isomirror check CONFIG tells more".to_owned());
            return Err(Trouble::refused(what, &fix));
        }
        self.may_act(course).await?;
        Ok(Facts::says(format!(
            "{}, {}",
            counted(course.plan.topics.len(), "topic"),
            counted(lanes.len(), "partition")
        )))
    }

    /// Whether what later steps do to ACLs would be let through.
    async fn may_act(&self, course: &Course) -> Result<(), Trouble> {
        if let Block::Acl(_) = self.request.settings.block {
            self.block_intent(course).await?;
            acls::may_change(&self.clusters, Side::Source).await?;
        }
        if let Some((held, known)) = acls::held(self.request, &self.clusters, course).await?
            && held.iter().any(|rule| !known.contains(rule))
        {
            acls::may_change(&self.clusters, Side::Target).await?;
        }
        Ok(())
    }

    /// Whether somebody runs the link.
    async fn runs(&self) -> Result<(), Trouble> {
        let link = &self.request.link;
        let members = self.clusters.client(Side::Target).group_members(&link.group).await;
        match members.map_err(|error| Trouble::of(self.clusters.error(Side::Target, error)))? {
            0 => Err(Trouble::refused(
                format!("link {} does not run: its group {} has no member", link.link, link.group),
                "isomirror run CONFIG",
            )
            .passing()),
            _ => Ok(()),
        }
    }

    async fn lag(&self) -> Result<Facts, Trouble> {
        loop {
            let lanes = self.lanes.now(self.request, &self.clusters).await?;
            let lag = lag(&lanes);
            if lag <= self.request.settings.max_lag {
                return Ok(Facts::says(format!("{lag} records")));
            }
            let worst = lanes.iter().max_by_key(|lane| lane.lag()).map(Standing::name).unwrap_or_default();
            self.waits_because(format!(
                "{lag} records are missing on the target, {} may; most of {worst}",
                self.request.settings.max_lag
            ));
            tokio::time::sleep(LOOK).await;
        }
    }

    // === block ===

    pub(super) async fn block_intent(&self, course: &Course) -> Result<Intent, Trouble> {
        Ok(match &self.request.settings.block {
            Block::Acl(writers) => {
                let known = acls::rules(&self.clusters, Side::Source).await?.ok_or_else(no_authorizer)?;
                let bare = acls::without_any(&course.plan, &known);
                if !bare.is_empty() {
                    return Err(Trouble::refused(
                        format!(
                            "there is no ACL about {} on the source: the first one may shut out everybody who reads \
                             there, isomirror too",
                            few(bare)
                        ),
                        "make one that lets its readers read; or block = \"hook\" or \"quiet\" in [cutover]",
                    ));
                }
                let unheard_of = acls::unheard_of(&course.plan, writers, &known);
                if !unheard_of.is_empty() {
                    return Err(Trouble::refused(
                        format!(
                            "no ACL on the source says anything of {} and these topics: nobody writes there under that \
                             name, and whoever does would not be blocked",
                            few(unheard_of)
                        ),
                        "see `writers` in [cutover]: principals as the source's ACLs have them, or [\"User:*\"]",
                    ));
                }
                acls::intent(acls::denials(&course.plan, writers), &known)
            }
            Block::Hook(hook) => run(hook),
            Block::Quiet(_) => Intent::Look,
        })
    }

    async fn block(&self, intent: &Intent, course: &Course) -> Result<Facts, Trouble> {
        match (intent, &self.request.settings.block) {
            (Intent::Acls { create, there }, _) => {
                self.waits_because("until every broker of the source denies it".to_owned());
                acls::make(&self.clusters, Side::Source, create, there).await?;
                Ok(Facts::says(acls_say(create, there)))
            }
            (Intent::Run { command, .. }, _) => self.hook("block", command, course).await,
            (Intent::Look, Block::Quiet(quiet)) => self.quiet(*quiet, course).await,
            // It was begun with another configuration, and there was nothing to do.
            (Intent::Look, _) => Ok(Facts::default()),
        }
    }

    async fn quiet(&self, quiet: Duration, course: &Course) -> Result<Facts, Trouble> {
        let mut ends = lanes::log_ends(&self.clusters, &course.plan).await?;
        let mut since = Instant::now();
        while since.elapsed() < quiet {
            tokio::time::sleep(LOOK.min(quiet)).await;
            let now = lanes::log_ends(&self.clusters, &course.plan).await?;
            if now != ends {
                let moved = now.iter().filter(|(at, end)| ends.get(*at) != Some(*end));
                let names = few(moved.map(|(at, _)| format!("{}[{}]", at.topic, at.partition)));
                self.waits_because(format!("somebody writes to {names}"));
                (ends, since) = (now, Instant::now());
            }
        }
        Ok(Facts::says(format!("nobody has written for {quiet:?}")))
    }

    // === drain ===

    async fn drain(&self, course: &Course) -> Result<Facts, Trouble> {
        let mut still: Option<(BTreeMap<TopicPartition, Offset>, Instant)> = None;
        loop {
            let ends = lanes::log_ends(&self.clusters, &course.plan).await?;
            let now = self.lanes.now(self.request, &self.clusters).await?;
            match self.not_drained(&now, &ends).await {
                Some(why) => {
                    self.waits_because(why);
                    still = None;
                }
                None if still.as_ref().is_some_and(|(before, _)| *before == ends) => {
                    if still.as_ref().is_some_and(|(_, since)| since.elapsed() >= STILL) {
                        let says = format!("lag 0; {} where it has to be", counted(now.len(), "log end"));
                        let ends = now.iter().map(Standing::end).collect();
                        return Ok(Facts { says, ends, ..Facts::default() });
                    }
                }
                None => still = Some((ends, Instant::now())),
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// What is waited for until nothing is missing; none if nothing is.
    async fn not_drained(
        &self,
        lanes: &[Standing],
        ends: &BTreeMap<TopicPartition, Offset>,
    ) -> Option<String> {
        if let Some(open) = lanes.iter().find(|lane| lane.stable != lane.source) {
            let client = self.clusters.client(Side::Source);
            let producers = client.describe_producers(&open.topic, open.partition).await.unwrap_or_default();
            let ids = producers.iter().filter(|producer| producer.transaction_start.is_some());
            let ids = few(ids.map(|producer| producer.id.to_string()));
            let whose = if ids.is_empty() { String::new() } else { format!(", of producer id {ids}") };
            return Some(format!(
                "a transaction is open in {}{whose}: its end is still to come",
                open.name()
            ));
        }
        // A record that not all replicas have yet.
        let end =
            |lane: &Standing| ends.get(&TopicPartition::new(lane.topic.as_str(), lane.partition)).copied();
        if let Some(moving) = lanes.iter().find(|lane| end(lane) != Some(lane.source)) {
            return Some(format!("the source's end of {} still moves: somebody writes to it", moving.name()));
        }
        if let Some(behind) = lanes.iter().max_by_key(|lane| lane.lag()).filter(|lane| lane.lag() > 0) {
            return Some(format!(
                "{} records are missing on the target, most of {}",
                lag(lanes),
                behind.name()
            ));
        }
        let uneven = lanes.iter().find(|lane| !lane.is_even())?;
        let due = uneven.counterpart.unwrap_or(uneven.source);
        Some(format!("the target's end of {} is {}, and has to be {due}", uneven.name(), uneven.target))
    }

    // === groups, verify ===

    async fn groups(&self, course: &Course) -> Result<Facts, Trouble> {
        loop {
            let readers = groups::readers(self.request, &self.clusters, &course.plan).await?;
            if readers.is_empty() {
                return groups::carry_over(self.request, &course.plan).await;
            }
            self.is_quiet(course).await?;
            self.waits_because(format!("{}: stop it", few(readers.iter().map(ToString::to_string))));
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn verify(&self, course: &Course) -> Result<Facts, Trouble> {
        let sample = match self.request.settings.verify {
            Depth::None => return Ok(Facts::says("left out, as asked")),
            Depth::Full => None,
            Depth::Sample(part) => Some(Sample { part, seed: self.request.run.token }),
        };
        let request = verify::Request {
            link: self.request.link.clone(),
            timeout: self.request.timeout,
            topics: course.plan.sources(),
            since: None,
            sample,
            at_once: COMPARED,
            show: false,
            resume: None,
        };
        let progress = Arc::new(Progress::default());
        let report = tokio::select! {
            report = verify::verify(&request, progress.clone()) => report,
            () = self.say_how_far(&progress) => unreachable!("it is said for ever"),
        };
        let report = report.map_err(|error| match error {
            verify::Error::Sides(error) => Trouble::of(error),
            other => Trouble::failed(other.to_string()),
        })?;
        let lane = |verdict| {
            let lane = report.lanes.iter().find(|lane| lane.verdict == verdict);
            lane.map_or_else(String::new, |lane| format!("{}[{}]", lane.topic, lane.partition))
        };
        match report.verdict {
            Verdict::Equal => {
                let depth =
                    sample.map_or_else(|| "full".to_owned(), |sample| format!("{}%", sample.part * 100.0));
                let says = format!(
                    "equal: {}, {} records",
                    counted(report.lanes.len(), "lane"),
                    report.totals.equal
                );
                let digest = |lane: &LaneReport| LaneDigest {
                    topic: lane.topic.clone(),
                    partition: lane.partition,
                    records: lane.found.counts.equal,
                    digest: format!("{:016x}", lane.found.source_digest),
                };
                let verified = Verified {
                    depth,
                    lanes: report.lanes.len(),
                    records: report.totals.equal,
                    digests: report.lanes.iter().map(digest).collect(),
                };
                Ok(Facts { says, verified: Some(verified), ..Facts::default() })
            }
            Verdict::Different => Err(Trouble {
                cause: Cause::Different,
                ..Trouble::refused(
                    format!("{} differs on both sides", lane(Verdict::Different)),
                    "isomirror verify CONFIG names the first difference",
                )
            }),
            Verdict::Incomplete => {
                // A side that can't be reached, or a topic that is gone, says more.
                self.lanes.now(self.request, &self.clusters).await?;
                Err(Trouble::failed(format!(
                    "{} could not be compared: {}",
                    lane(Verdict::Incomplete),
                    report.lanes.iter().find_map(|lane| lane.trouble.clone()).unwrap_or_default()
                )))
            }
        }
    }

    async fn say_how_far(&self, progress: &Progress) {
        loop {
            let done = progress.now();
            if done.of > 0 {
                self.waits_because(format!("{} of {} offsets compared", done.offsets, done.of));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    // === rights, clients, stop ===

    pub(super) async fn rights_intent(&self, course: &Course) -> Result<Intent, Trouble> {
        Ok(match acls::held(self.request, &self.clusters, course).await? {
            Some((held, known)) => acls::intent(held, &known),
            None => Intent::Look,
        })
    }

    /// Before others may write to the target, the link writes there no more: it would take them for strangers.
    async fn rights(&self, intent: &Intent, course: &Course) -> Result<Facts, Trouble> {
        self.settle(Change::Pause, course).await?;
        match intent {
            Intent::Acls { create, there } => {
                acls::make(&self.clusters, Side::Target, create, there).await?;
                Ok(Facts::says(acls_say(create, there)))
            }
            _ => Ok(Facts::says("no ACLs: one of the clusters has no authorizer")),
        }
    }

    async fn rights_back(&self, intent: &Intent, course: &Course) -> Result<Facts, Trouble> {
        let deleted = match intent {
            Intent::Acls { create, .. } => {
                acls::unmake(&self.clusters, Side::Target, create).await?;
                create.len()
            }
            _ => 0,
        };
        self.settle(Change::Resume, course).await?;
        Ok(Facts::says(format!("{} deleted; mirrored on", counted(deleted, "ACL"))))
    }

    /// Has the topics rest, go on, or be given up, and waits until the link does so.
    async fn settle(&self, change: Change, course: &Course) -> Result<(), Trouble> {
        let asked = topics::Request {
            link: self.request.link.clone(),
            timeout: self.request.timeout,
            topics: course.plan.sources(),
            by: self.request.by.clone(),
            wait: FOLLOWS,
        };
        self.waits_because("until the link does it".to_owned());
        match topics::settle(&asked, change, &format!("cutover {}", self.id)).await.map_err(Trouble::of)? {
            Done::NotYet(slots) => Err(Trouble::failed(format!(
                "the link has not done it yet (lanes in slots {slots:?})\n  fix: see the logs of its instances"
            ))
            .passing()),
            _ => Ok(()),
        }
    }

    async fn clients(&self, intent: &Intent, course: &Course) -> Result<Facts, Trouble> {
        match intent {
            Intent::Run { command, .. } => self.hook("clients", command, course).await,
            _ => Ok(Facts::says("no clients_hook: move them now")),
        }
    }

    /// What clients have written to the target since would be on neither side's consumers' way.
    async fn clients_back(&self, back: Option<&str>, course: &Course) -> Result<Facts, Trouble> {
        let written = self.written_on_target(course).await?;
        if written > 0 && !self.request.leave_behind {
            return Err(Trouble::refused(
                format!(
                    "clients have written {written} records to the target since they were moved, which the source lacks"
                ),
                "carry them over, or leave them behind: --back --yes; either way the target's topics have to be begun \
                 anew (isomirror topics CONFIG redo) before they are mirrored again",
            ));
        }
        let mut facts = match back {
            Some(command) => self.hook("clients-back", command, course).await?,
            None => Facts::says("no clients_hook_back: move them back"),
        };
        if written > 0 {
            facts.says.push_str(&format!("; {written} records are left behind on the target"));
        }
        Ok(facts)
    }

    async fn written_on_target(&self, course: &Course) -> Result<u64, Trouble> {
        let Some(fixed) = course.facts(Step::Drain) else { return Ok(0) };
        let now = self.lanes.now(self.request, &self.clusters).await?;
        let of = |lane: &Standing| {
            let before =
                fixed.ends.iter().find(|end| (&end.topic, end.partition) == (&lane.topic, lane.partition));
            before.map_or(0, |before| u64::try_from(lane.target - before.target).unwrap_or(0))
        };
        Ok(now.iter().map(of).sum())
    }

    async fn hook(&self, step: &str, command: &str, course: &Course) -> Result<Facts, Trouble> {
        let list = |names: Vec<&str>| names.join(",");
        let topics = &course.plan.topics;
        let variables = [
            ("ISOMIRROR_LINK", self.request.link.link.clone()),
            ("ISOMIRROR_CUTOVER", self.id.clone()),
            ("ISOMIRROR_STEP", step.to_owned()),
            ("ISOMIRROR_TOPICS", list(topics.iter().map(|route| &*route.topic).collect())),
            ("ISOMIRROR_TARGET_TOPICS", list(topics.iter().map(|route| &*route.target_topic).collect())),
        ];
        self.waits_because(format!("{command:?} runs"));
        let line = |line: &str| drop(self.watcher.send(Told::Line(line.to_owned())));
        let output = hook::run(command, &variables, line).await?;
        Ok(Facts { says: format!("{command:?} is done"), output: Some(output), ..Facts::default() })
    }

    async fn stop(&self, course: &Course) -> Result<Facts, Trouble> {
        // Behind the way back it is only to be told; the source may be gone by now.
        let late = self.moved(course).await.unwrap_or_default();
        self.settle(Change::Stop, course).await?;
        let mut says = format!("given up: {}", counted(course.plan.topics.len(), "topic"));
        if !late.is_empty() {
            let said = lanes::explained(self.clusters.client(Side::Source), &late).await;
            says.push_str(&format!("; on the source alone: {said}"));
        }
        Ok(Facts::says(says))
    }

    /// The source's logs that end elsewhere than they did when all was on the target.
    async fn moved(&self, course: &Course) -> Result<Vec<lanes::Moved>, Trouble> {
        let Some(fixed) = course.facts(Step::Drain) else { return Ok(Vec::new()) };
        let now = lanes::log_ends(&self.clusters, &course.plan).await?;
        Ok(lanes::moved(&fixed.ends, &now))
    }
}

impl World for Acting<'_> {
    async fn intend(&self, step: Step, course: &Course) -> Result<Intent, Trouble> {
        match step {
            Step::Block => self.block_intent(course).await,
            Step::Rights => self.rights_intent(course).await,
            Step::Clients => Ok(self.request.settings.clients.as_ref().map_or(Intent::Look, run)),
            _ => Ok(Intent::Look),
        }
    }

    async fn act(&self, step: Step, intent: &Intent, course: &Course) -> Result<Facts, Trouble> {
        match step {
            Step::Preconditions => self.preconditions(course).await,
            Step::Lag => self.lag().await,
            Step::Block => self.block(intent, course).await,
            Step::Drain => self.drain(course).await,
            Step::Groups => self.groups(course).await,
            Step::Verify => self.verify(course).await,
            Step::Rights => self.rights(intent, course).await,
            Step::Clients => self.clients(intent, course).await,
            Step::Stop => self.stop(course).await,
        }
    }

    async fn undo(&self, step: Step, intent: &Intent, course: &Course) -> Result<Facts, Trouble> {
        match (step, intent) {
            (Step::Rights, intent) => self.rights_back(intent, course).await,
            (_, Intent::Acls { create, .. }) => {
                acls::unmake(&self.clusters, Side::Source, create).await?;
                Ok(Facts::says(format!("{} deleted", counted(create.len(), "ACL"))))
            }
            (Step::Clients, Intent::Run { back, .. }) => self.clients_back(back.as_deref(), course).await,
            (Step::Clients, _) => self.clients_back(None, course).await,
            (_, Intent::Run { back: Some(command), .. }) => self.hook("unblock", command, course).await,
            (_, Intent::Run { back: None, .. }) => Ok(Facts::says("no unblock_hook: let them write again")),
            (_, Intent::Look) => Ok(Facts::default()),
        }
    }

    async fn is_quiet(&self, course: &Course) -> Result<(), Trouble> {
        let moved = self.moved(course).await?;
        let may_stay = self.request.leave_late && course.has_moved_clients();
        if moved.is_empty() || may_stay {
            return Ok(());
        }
        let said = lanes::explained(self.clusters.client(Side::Source), &moved).await;
        let what = format!("somebody has written to the source after its writers were blocked: {said}");
        let fix = match course.has_moved_clients() {
            false => "stop that producer (ACLs do not bind super users), and begin again",
            true => {
                "stop that producer (ACLs do not bind super users); then either have those records written to the target \
                 again and go on (isomirror cutover CONFIG --leave-late), or move the clients back (--back)"
            }
        };
        Err(Trouble { cause: Cause::Written, ..Trouble::refused(what, fix) })
    }

    async fn agrees(&self, course: &Course) -> bool {
        let (agrees, topics) = (self.request.agrees.clone(), few(course.plan.sources()));
        let question = format!("Give up {topics}? There is no way back behind this step");
        tokio::task::spawn_blocking(move || agrees(&question)).await.unwrap_or(false)
    }

    fn waits_for(&self) -> String {
        self.waits.borrow().clone()
    }

    async fn reach(&self) -> Result<(), Trouble> {
        for side in [Side::Source, Side::Target] {
            match tokio::time::timeout(self.request.timeout, self.clusters.client(side).brokers()).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(Trouble::of(self.clusters.error(side, error))),
                Err(_) => {
                    let what = format!(
                        "{side} cluster {}: no answer for {:?}\n  fix: see whether its brokers run and can be reached",
                        self.clusters.name(side),
                        self.request.timeout
                    );
                    return Err(Trouble { cause: Cause::Unreachable, what, passing: true });
                }
            }
        }
        Ok(())
    }

    fn tries(&self) {
        self.waits.borrow_mut().clear();
    }

    async fn hold(&self, step: Step, moment: &str) {
        if self.request.hold.as_deref() == Some(&*format!("{step}.{moment}")) {
            let _ = self.watcher.send(Told::Line(format!("held at {step}.{moment}")));
            std::future::pending().await
        }
    }
}

fn run(hook: &Hook) -> Intent {
    Intent::Run { command: hook.run.clone(), back: hook.back.clone() }
}

pub(super) fn lag(lanes: &[Standing]) -> u64 {
    lanes.iter().map(Standing::lag).sum()
}

fn acls_say(create: &[AclRule], there: &[AclRule]) -> String {
    match there.len() {
        0 => format!("{} made", counted(create.len(), "ACL")),
        there => format!("{} made, {there} there before", counted(create.len(), "ACL")),
    }
}

fn no_authorizer() -> Trouble {
    Trouble::refused(
        "the source has no authorizer: no ACL can keep anybody from writing",
        "block = \"hook\" or block = \"quiet\" in [cutover]",
    )
}

fn no_stopped_lane(status: &LinkStatus, course: &Course, link: &str) -> Result<(), Trouble> {
    if status.link != link {
        return Ok(());
    }
    let sources = course.plan.sources();
    let stopped = status.lanes.iter().find(|lane| lane.state == "stopped" && sources.contains(&lane.topic));
    match stopped {
        Some(lane) => Err(Trouble::refused(
            format!(
                "{}[{}] is stopped: {}",
                lane.topic,
                lane.partition,
                lane.reason.as_deref().unwrap_or("isomirror status says why")
            ),
            lane.fix.as_deref().unwrap_or("isomirror status CONFIG tells what to do"),
        )),
        None => Ok(()),
    }
}
