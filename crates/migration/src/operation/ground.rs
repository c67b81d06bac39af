//! What the steps of operations have in common: looking at the lanes and waiting for them, comparing, commands.

use std::{cell::RefCell, collections::BTreeMap, num::NonZeroUsize, sync::Arc, time::Duration};

use kafka_wire::AclRule;
use mirror_types::{Offset, Side, TopicPartition};
use pipeline::{LinkConfig, status::LinkStatus};
use tokio::time::Instant;

use super::{
    Facts, Intent, LaneDigest, Plan, Told, Verified, Watcher,
    drive::Trouble,
    hook,
    lanes::{self, Lanes, Moved, Standing, lag},
    machine::{Cause, Course, Steps},
};
use crate::{
    check::{self, Kind, Severity},
    sides::{Clusters, Error},
    verify::{self, LaneReport, Progress, Sample, Verdict},
    words::{counted, few},
};

/// What to do about somebody who writes behind the block.
pub(crate) const STOP_IT: &str = "stop that producer (ACLs do not bind super users), and begin again";
/// Between two looks at what is waited for.
pub(crate) const LOOK: Duration = Duration::from_millis(300);
/// For so long the source must not have moved before its end counts.
const STILL: Duration = Duration::from_secs(1);
/// Lanes that are compared at the same time.
const COMPARED: NonZeroUsize = NonZeroUsize::new(4).expect("it is not 0");
/// Source offsets of each lane that are compared, where only the last are to be.
const TAIL: u64 = 1000;

/// How writers are blocked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Block {
    /// By ACLs on the source that deny these principals to write the topics.
    Acl(Vec<String>),
    /// By a command.
    Hook(Hook),
    /// They stop by themselves: nobody has written for so long.
    Quiet(Duration),
}

/// A command of the operator's, and the one that undoes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// It, for `sh -c`.
    pub run: String,
    /// The other.
    pub back: Option<String>,
}

/// How much is compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Depth {
    /// Nothing.
    None,
    /// The last records of each lane.
    Tail,
    /// A part of each lane, up to 1.
    Sample(f64),
    /// All.
    Full,
}

/// A link between two clusters, some topics of it, and whoever watches.
pub(crate) struct Ground<'r, S> {
    pub(crate) link: &'r LinkConfig,
    pub(crate) timeout: Duration,
    pub(crate) clusters: Clusters,
    pub(crate) lanes: Lanes,
    plan: Plan,
    watcher: Watcher<S>,
    waits: RefCell<String>,
    /// For tests: to stay here for ever, as `drain.entered` says, so that it can be killed there.
    hold: Option<&'r str>,
}

impl<'r, S: Steps> Ground<'r, S> {
    pub(crate) fn new(
        link: &'r LinkConfig,
        timeout: Duration,
        plan: &Plan,
        watcher: &Watcher<S>,
        hold: Option<&'r str>,
    ) -> Result<Self, Error> {
        Ok(Self {
            link,
            timeout,
            clusters: Clusters::new(link, timeout)?,
            lanes: Lanes::of(plan),
            plan: plan.clone(),
            watcher: watcher.clone(),
            waits: RefCell::default(),
            hold,
        })
    }

    pub(crate) fn waits_because(&self, why: String) {
        if *self.waits.borrow() != why {
            let _ = self.watcher.send(Told::Waits(why.clone()));
            *self.waits.borrow_mut() = why;
        }
    }

    pub(crate) fn waits_for(&self) -> String {
        self.waits.borrow().clone()
    }

    pub(crate) fn waits_for_nothing(&self) {
        self.waits.borrow_mut().clear();
    }

    /// Whether these sides answer.
    pub(crate) async fn reach(&self, sides: &[Side]) -> Result<(), Trouble> {
        for side in sides {
            match tokio::time::timeout(self.timeout, self.clusters.client(*side).brokers()).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(Trouble::of(self.clusters.error(*side, error))),
                Err(_) => {
                    let what = format!(
                        "{side} cluster {}: no answer for {:?}\n  fix: see whether its brokers run and can be reached",
                        self.clusters.name(*side),
                        self.timeout
                    );
                    return Err(Trouble { cause: Cause::Unreachable, what, passing: true });
                }
            }
        }
        Ok(())
    }

    pub(crate) async fn hold(&self, step: S, moment: &str) {
        if self.hold == Some(&*format!("{step}.{moment}")) {
            let _ = self.watcher.send(Told::Line(format!("held at {step}.{moment}")));
            std::future::pending().await
        }
    }

    /// How the lanes stand now.
    pub(crate) async fn standing(&self) -> Result<Vec<Standing>, Trouble> {
        self.lanes.now(self.link, &self.clusters).await
    }

    // === preconditions, lag ===

    /// Whether the link runs, and nothing that `check` knows is in its way.
    pub(crate) async fn sound(
        &self,
        lanes: &[Standing],
        status: &(impl Fn() -> Option<LinkStatus> + Clone + Send + 'static),
    ) -> Result<Facts, Trouble> {
        self.runs().await?;
        let ask = status.clone();
        if let Some(status) = tokio::task::spawn_blocking(ask).await.ok().flatten() {
            no_stopped_lane(&status, &self.plan, &self.link.link)?;
        }
        self.checked(self.link, &[]).await?;
        Ok(Facts::says(format!(
            "{}, {}",
            counted(self.plan.topics.len(), "topic"),
            counted(lanes.len(), "partition")
        )))
    }

    /// Whether `check` finds nothing in a link's way, but for findings of these codes.
    pub(crate) async fn checked(&self, link: &LinkConfig, but_for: &[&str]) -> Result<(), Trouble> {
        let checked = check::Request { link: link.clone(), timeout: self.timeout, verifies: false };
        let report = check::check(&checked).await.map_err(|error| Trouble::of(error.into()))?;
        if report.is_unreachable() {
            let reason = report.findings.first().map(|finding| finding.found.clone()).unwrap_or_default();
            return Err(Trouble { cause: Cause::Unreachable, ..Trouble::failed(reason) }.passing());
        }
        let concerns = |name: &str| {
            self.plan.topics.iter().any(|route| route.topic == *name || route.target_topic == *name)
        };
        let in_the_way = report.findings.iter().find(|finding| {
            finding.severity == Severity::Error
                && !but_for.contains(&finding.code)
                && (finding.subject.kind != Kind::Topic || concerns(&finding.subject.name))
        });
        let Some(finding) = in_the_way else { return Ok(()) };
        let what = format!("{}: {}", finding.subject.name, finding.found);
        let fix = finding.fix.clone().unwrap_or_else(|| "isomirror check CONFIG tells more".to_owned());
        Err(Trouble::refused(what, &fix))
    }

    /// Whether somebody runs the link.
    pub(crate) async fn runs(&self) -> Result<(), Trouble> {
        let link = self.link;
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

    /// Waits until no more than so many records are missing.
    pub(crate) async fn near(&self, max_lag: u64) -> Result<Facts, Trouble> {
        loop {
            let lanes = self.standing().await?;
            let lag = lag(&lanes);
            if lag <= max_lag {
                return Ok(Facts::says(format!("{lag} records")));
            }
            let worst = lanes.iter().max_by_key(|lane| lane.lag()).map(Standing::name).unwrap_or_default();
            self.waits_because(format!(
                "{lag} records are missing on the target, {} may; most of {worst}",
                max_lag
            ));
            tokio::time::sleep(LOOK).await;
        }
    }

    // === writers ===

    /// Waits until nobody has written for so long.
    pub(crate) async fn quiet(&self, quiet: Duration) -> Result<Facts, Trouble> {
        let mut ends = lanes::log_ends(&self.clusters, &self.plan).await?;
        let mut since = Instant::now();
        while since.elapsed() < quiet {
            tokio::time::sleep(LOOK.min(quiet)).await;
            let now = lanes::log_ends(&self.clusters, &self.plan).await?;
            if now != ends {
                let moved = now.iter().filter(|(at, end)| ends.get(*at) != Some(*end));
                let names = few(moved.map(|(at, _)| format!("{}[{}]", at.topic, at.partition)));
                self.waits_because(format!("somebody writes to {names}"));
                (ends, since) = (now, Instant::now());
            }
        }
        Ok(Facts::says(format!("nobody has written for {quiet:?}")))
    }

    /// Whether the source ends where it ended when its ends were fixed.
    pub(crate) async fn is_quiet(&self, course: &Course<S>) -> Result<(), Trouble> {
        let moved = self.moved(course).await?;
        if moved.is_empty() {
            return Ok(());
        }
        Err(self.written(&moved, STOP_IT).await)
    }

    /// The source's logs that end elsewhere than they did when its ends were fixed.
    pub(crate) async fn moved(&self, course: &Course<S>) -> Result<Vec<Moved>, Trouble> {
        let Some(fixed) = course.facts(S::FIXES) else { return Ok(Vec::new()) };
        let now = lanes::log_ends(&self.clusters, &self.plan).await?;
        Ok(lanes::moved(&fixed.ends, &now))
    }

    /// Somebody has, to these.
    pub(crate) async fn written(&self, moved: &[Moved], fix: &str) -> Trouble {
        let said = lanes::explained(self.clusters.client(Side::Source), moved).await;
        let what = format!("somebody has written to the source after its writers were blocked: {said}");
        Trouble { cause: Cause::Written, ..Trouble::refused(what, fix) }
    }

    /// Waits until nothing is missing, and both logs of each lane end where they have to.
    pub(crate) async fn drain(&self) -> Result<Facts, Trouble> {
        let mut still: Option<(BTreeMap<TopicPartition, Offset>, Instant)> = None;
        loop {
            let ends = lanes::log_ends(&self.clusters, &self.plan).await?;
            let now = self.standing().await?;
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

    /// Whose transaction is open, and where; none if none is.
    pub(crate) async fn open_transaction(&self, lanes: &[Standing]) -> Option<String> {
        let open = lanes.iter().find(|lane| lane.stable != lane.source)?;
        let client = self.clusters.client(Side::Source);
        let producers = client.describe_producers(&open.topic, open.partition).await.unwrap_or_default();
        let ids = producers.iter().filter(|producer| producer.transaction_start.is_some());
        let ids = few(ids.map(|producer| producer.id.to_string()));
        let whose = if ids.is_empty() { String::new() } else { format!(", of producer id {ids}") };
        Some(format!("a transaction is open in {}{whose}: its end is still to come", open.name()))
    }

    /// What is waited for until nothing is missing; none if nothing is.
    async fn not_drained(
        &self,
        lanes: &[Standing],
        ends: &BTreeMap<TopicPartition, Offset>,
    ) -> Option<String> {
        if let Some(open) = self.open_transaction(lanes).await {
            return Some(open);
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

    // === verify ===

    /// Compares both sides. `seed`: where the pieces of a sample lie.
    pub(crate) async fn verify(&self, depth: Depth, seed: u64) -> Result<Facts, Trouble> {
        let (sample, tail) = match depth {
            Depth::None => return Ok(Facts::says("left out, as asked")),
            Depth::Tail => (None, Some(TAIL)),
            Depth::Full => (None, None),
            Depth::Sample(part) => (Some(Sample { part, seed }), None),
        };
        let request = verify::Request {
            link: self.link.clone(),
            timeout: self.timeout,
            topics: self.plan.sources(),
            since: None,
            sample,
            tail,
            until: None,
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
                let depth = match depth {
                    Depth::Sample(part) => format!("{}%", part * 100.0),
                    Depth::Tail => "tail".to_owned(),
                    Depth::Full | Depth::None => "full".to_owned(),
                };
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
                self.standing().await?;
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

    // === commands ===

    /// Runs a command of the operator's.
    pub(crate) async fn hook(&self, command: &str, variables: &[(&str, String)]) -> Result<Facts, Trouble> {
        self.waits_because(format!("{command:?} runs"));
        let line = |line: &str| drop(self.watcher.send(Told::Line(line.to_owned())));
        let output = hook::run(command, variables, line).await?;
        Ok(Facts { says: format!("{command:?} is done"), output: Some(output), ..Facts::default() })
    }
}

// === impl Hook ===

impl Hook {
    /// To run it.
    pub(crate) fn intent(&self) -> Intent {
        Intent::Run { command: self.run.clone(), back: self.back.clone() }
    }
}

/// The topics' names, by commas.
pub(crate) fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(",")
}

pub(crate) fn acls_say(create: &[AclRule], there: &[AclRule]) -> String {
    match there.len() {
        0 => format!("{} made", counted(create.len(), "ACL")),
        there => format!("{} made, {there} there before", counted(create.len(), "ACL")),
    }
}

pub(crate) fn no_authorizer(section: &str) -> Trouble {
    let fix = format!("block = \"hook\" or block = \"quiet\" in [{section}]");
    Trouble::refused("the source has no authorizer: no ACL can keep anybody from writing", &fix)
}

fn no_stopped_lane(status: &LinkStatus, plan: &Plan, link: &str) -> Result<(), Trouble> {
    if status.link != link {
        return Ok(());
    }
    let sources = plan.sources();
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
