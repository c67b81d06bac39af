//! What the steps do to the two sites. The link that ran leads from the active site, its source, to the standby, its target.

use std::{collections::BTreeSet, time::Duration};

use group_offsets::Rule;
use kafka_wire::{AclOperation, AclPattern, AclPermission, AclResource, AclRule, Topic};
use link_journal::JournalState;
use mirror_types::{Offset, Side};
use offset_marks::now_ms;
use pipeline::LinkConfig;
use tokio::time::Instant;

use super::{
    Block, Consumers, Course, Error, Facts, Intent, Plan, Request, Step, Story, Watcher, adopt::adopt,
    consumers::Ends, steps::waits_for_consumers,
};
use crate::{
    operation::{
        Cause, SinceTurn, Turn, acls,
        drive::{Trouble, World},
        ground::{Ground, LOOK, acls_say, no_authorizer},
        groups::{self, Reader},
        lanes::{self, Standing},
    },
    sides::{Clusters, topics as topics_of},
    topics::{self, Done},
    words::{counted, few},
};

/// How long links are waited for each time that they are asked whether they rest.
const FOLLOWS: Duration = Duration::from_secs(5);
/// For so long the active site must not have moved before its end counts.
const STILL: Duration = Duration::from_secs(1);
/// What is on the active site counts, further back or not: who went back there has its reasons.
const RULE: Rule = Rule { backwards: true };
/// Groups' offsets that are so much older than three rounds are not in step.
const LATE: Duration = Duration::from_secs(10);
/// What `check` finds of the link that is to run, and that the flip mends: it has no marks yet, or old ones.
const MENDED_BY_MARKS: [&str; 2] = ["marks-diverged", "target-emptied"];

/// Acts on both sites.
pub(super) struct Acting<'r> {
    request: &'r Request,
    turn: Turn,
    ran: &'r LinkConfig,
    back: &'r LinkConfig,
    ground: Ground<'r, Step>,
    /// Of the site that writers are released on: the rules of earlier switchovers that block them there.
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
        let turn = super::turn(plan)?;
        let (ran, back) = (request.pair.link(&turn.link)?, request.pair.link(&turn.back)?);
        let ground = Ground::new(ran, request.timeout, plan, watcher, hold)?;
        Ok(Self {
            request,
            ran,
            back,
            ground,
            blocked: super::blocked(states, &turn.to)?,
            id: story.id.clone(),
            turn: turn.clone(),
        })
    }

    pub(super) fn clusters(&self) -> &Clusters {
        &self.ground.clusters
    }

    pub(super) async fn standing(&self) -> Result<Vec<Standing>, Trouble> {
        self.ground.standing().await
    }

    // === preconditions ===

    pub(super) async fn preconditions(&self, course: &Course) -> Result<Facts, Trouble> {
        let lanes = self.standing().await?;
        let status = self.request.status.clone();
        let facts = self.ground.sound(&lanes, &move || status()).await?;
        self.back_is_ready().await?;
        self.may_act(course).await?;
        let fewer = self.has_its_replicas(&course.plan).await?;
        let fresh = self.groups_are_fresh(&course.plan).await?;
        Ok(Facts::says(format!("{}{fewer}{fresh}", facts.says)))
    }

    /// Whether the standby's brokers carry all that the topics have there. In words, which have fewer replicas there than on the
    /// active site: that is somebody's choice.
    async fn has_its_replicas(&self, plan: &Plan) -> Result<String, Trouble> {
        let sites = [
            topics_of(self.clusters(), Side::Source).await.map_err(Trouble::of)?,
            topics_of(self.clusters(), Side::Target).await.map_err(Trouble::of)?,
        ];
        let replicas = |topic: &Topic| topic.partitions.values().map(|p| p.replicas.len()).max().unwrap_or(0);
        let mut fewer = Vec::new();
        for topic in plan.sources() {
            let [Some(here), Some(there)] = sites.each_ref().map(|topics| topics.get(&topic)) else {
                continue;
            };
            let lacks = there
                .partitions
                .iter()
                .find(|(_, p)| p.leader.is_none() || p.in_sync.len() < p.replicas.len());
            if let Some((partition, found)) = lacks {
                let what = format!(
                    "{topic}[{partition}] has {} of its {} replicas in sync on {}",
                    found.in_sync.len(),
                    found.replicas.len(),
                    self.turn.to
                );
                return Err(Trouble::refused(
                    what,
                    "see which of its brokers is down, or wait until it has caught up",
                )
                .passing());
            }
            if replicas(there) < replicas(here) {
                fewer.push(format!(
                    "{topic} ({}, {} on {})",
                    replicas(there),
                    replicas(here),
                    self.turn.from
                ));
            }
        }
        Ok(match fewer.is_empty() {
            true => String::new(),
            false => format!("; fewer replicas on {}: {}", self.turn.to, few(fewer)),
        })
    }

    /// Whether groups' offsets come to the standby; in words, how old they are there. The final ones come later: but where that
    /// does not work now, it would not then.
    async fn groups_are_fresh(&self, plan: &Plan) -> Result<String, Trouble> {
        let early = early(&groups::readers(self.ran, self.clusters(), plan).await?);
        if self.request.settings.consumers == Consumers::CaughtUp
            && let Some(behind) =
                groups::behind_there(self.ran, self.request.timeout, plan, RULE, &early).await?
        {
            self.ground.waits_because(behind.clone());
            return Err(Trouble::refused(behind, "or write consumers = \"any\" in [switchover]").passing());
        }
        let ask = self.request.status.clone();
        let status = tokio::task::spawn_blocking(move || ask()).await.ok().flatten();
        let age = status.and_then(|status| status.pair?.group_staleness_seconds);
        let Some(age) = age.map(Duration::from_secs_f64) else { return Ok(String::new()) };
        if age > self.ran.groups.every * 3 + LATE && early.is_empty() {
            let what = format!("groups' offsets on {} are up to {age:.0?} old", self.turn.to);
            let fix = "isomirror groups PAIR --direction LINK plan shows which are not in step, and why";
            return Err(Trouble::refused(what, fix).passing());
        }
        Ok(format!("; groups' offsets up to {age:.0?} old"))
    }

    /// Whether the link that is to run could: it is there, at rest, and nothing is in its way.
    async fn back_is_ready(&self) -> Result<(), Trouble> {
        let members = self.clusters().client(Side::Source).group_members(&self.back.group).await;
        let members = members.map_err(|error| Trouble::of(self.clusters().error(Side::Source, error)))?;
        if members == 0 {
            let what = format!(
                "nobody would run link {} afterwards: its group {} has no member on {}",
                self.back.link, self.back.group, self.turn.from
            );
            return Err(Trouble::refused(what, "isomirror run PAIR, which runs both links").passing());
        }
        self.ground.checked(self.back, &MENDED_BY_MARKS).await
    }

    /// Whether what later steps do to ACLs would be let through.
    async fn may_act(&self, course: &Course) -> Result<(), Trouble> {
        if let Block::Acl(_) = self.request.settings.block {
            self.block_intent(course).await?;
            acls::may_change(self.clusters(), Side::Source).await?;
        }
        if self.release_intent(course).await?.changes() {
            acls::may_change(self.clusters(), Side::Target).await?;
        }
        Ok(())
    }

    // === block ===

    pub(super) async fn block_intent(&self, course: &Course) -> Result<Intent, Trouble> {
        block_intent(&self.request.settings.block, self.ran, self.clusters(), &course.plan).await
    }

    async fn block(&self, intent: &Intent, course: &Course) -> Result<Facts, Trouble> {
        match (intent, &self.request.settings.block) {
            (Intent::Acls { create, there, .. }, _) => {
                self.ground.waits_because(format!("until every broker of {} denies it", self.turn.from));
                acls::make(self.clusters(), Side::Source, create, there).await?;
                Ok(Facts::says(acls_say(create, there)))
            }
            (Intent::Run { command, .. }, _) => self.hook("block", command, &self.turn.from, course).await,
            (Intent::Look, Block::Quiet(quiet)) => self.ground.quiet(*quiet).await,
            // It was begun with another configuration, and there was nothing to do.
            (Intent::Look, _) => Ok(Facts::default()),
        }
    }

    // === stragglers, even ===

    /// Waits until the log ends stand still and no transaction is open; tells who moves them.
    async fn stragglers(&self, course: &Course) -> Result<Facts, Trouble> {
        let mut ends = lanes::log_ends(self.clusters(), &course.plan).await?;
        let mut since = Instant::now();
        loop {
            tokio::time::sleep(LOOK).await;
            let now = lanes::log_ends(self.clusters(), &course.plan).await?;
            let standing = self.standing().await?;
            if now != ends {
                let before: Vec<_> = standing
                    .iter()
                    .filter_map(|lane| Some((lane, *ends.get(&lane.at())?)))
                    .map(|(lane, end)| crate::operation::LaneEnd { source: end, ..lane.end() })
                    .collect();
                let moved = lanes::moved(&before, &now);
                let said = lanes::explained(self.clusters().client(Side::Source), &moved).await;
                self.ground.waits_because(format!("somebody still writes to {}: {said}", self.turn.from));
                (ends, since) = (now, Instant::now());
            } else if let Some(open) = self.ground.open_transaction(&standing).await {
                self.ground.waits_because(open);
                since = Instant::now();
            } else if since.elapsed() >= STILL {
                let fixed = standing.iter().map(|lane| crate::operation::LaneEnd {
                    source: ends.get(&lane.at()).copied().unwrap_or(lane.source),
                    ..lane.end()
                });
                let says = format!("{} stand still", counted(standing.len(), "log end"));
                return Ok(Facts { says, ends: fixed.collect(), ..Facts::default() });
            }
        }
    }

    async fn even(&self) -> Result<Facts, Trouble> {
        let even = self.ground.drain().await?;
        let settings = &self.request.settings;
        let verified = self.ground.verify(settings.verify, self.request.run.token).await?;
        Ok(Facts { says: format!("{}; {}", even.says, verified.says), ends: even.ends, ..verified })
    }

    // === groups ===

    async fn groups(&self, course: &Course) -> Result<Facts, Trouble> {
        let mut ends = Ends::new();
        loop {
            let readers = groups::readers(self.ran, self.clusters(), &course.plan).await?;
            let early = early(&readers);
            let (timeout, plan) = (self.request.timeout, &course.plan);
            let waits = match self.request.settings.consumers {
                Consumers::Any => None,
                Consumers::CaughtUp => {
                    let lanes = self.standing().await?;
                    match ends.behind(self.clusters(), plan, &readers, &lanes).await? {
                        Some(behind) => Some(behind.to_string()),
                        None => groups::behind_there(self.ran, timeout, plan, RULE, &early).await?,
                    }
                }
            };
            let Some(behind) = waits else {
                return groups::carry_over(self.ran, timeout, plan, RULE, &early).await;
            };
            self.ground.waits_because(behind);
            self.ground.is_quiet(course).await?;
            tokio::time::sleep(LOOK).await;
        }
    }

    // === flip, follow ===

    /// Once the link that ran rests, marks say that the other one goes on where both logs end.
    async fn flip(&self, course: &Course) -> Result<Facts, Trouble> {
        self.rests(self.ran, course).await?;
        let lanes = self.standing().await?;
        self.are_even(&lanes)?;
        // The link that ran may have committed what it had found a moment before.
        let early = early(&groups::readers(self.ran, self.clusters(), &course.plan).await?);
        let timeout = self.request.timeout;
        let carried = groups::carry_over(self.ran, timeout, &course.plan, RULE, &early).await?;
        let ends: Vec<_> = lanes.iter().map(Standing::end).collect();
        let turned = adopt(self.ran, self.clusters(), self.back, &ends).await?;
        Ok(Facts { groups: carried.groups, ..turned })
    }

    /// Once the other one rests, the link that ran may go on, unless somebody has written to its target. What somebody has
    /// written to its source it mirrors.
    async fn flip_back(&self, course: &Course) -> Result<Facts, Trouble> {
        if self.request.alone {
            return self.flip_back_alone().await;
        }
        self.rests(self.back, course).await?;
        let mut lanes = self.standing().await?;
        lanes.retain(|lane| lane.target > lane.source);
        self.are_even(&lanes)?;
        Ok(Facts::says(format!("link {} runs on", self.ran.link)))
    }

    /// The other site is gone: nobody was to write there yet, and the link from there, which writes here, has to rest.
    async fn flip_back_alone(&self) -> Result<Facts, Trouble> {
        let here = self.clusters().client(Side::Source);
        let done = topics::target_followed(self.back, here, FOLLOWS).await.map_err(Trouble::of)?;
        self.has_followed(self.back, &done)?;
        Ok(Facts::says(format!("link {} runs on once {} is back", self.ran.link, self.turn.to)))
    }

    fn are_even(&self, lanes: &[Standing]) -> Result<(), Trouble> {
        let Some(uneven) = lanes.iter().find(|lane| !lane.is_even()) else { return Ok(()) };
        let what = format!(
            "{} ends at {} on {} and at {} on {}: somebody has written to it meanwhile",
            uneven.name(),
            uneven.source,
            self.turn.from,
            uneven.target,
            self.turn.to
        );
        Err(Trouble {
            cause: Cause::Written,
            ..Trouble::refused(what, "stop that producer, and begin again")
        })
    }

    /// Waits until all instances of a link have put on record that they do what its journal says.
    async fn rests(&self, link: &LinkConfig, course: &Course) -> Result<(), Trouble> {
        self.ground.waits_because(format!("until link {} rests", link.link));
        let done = self.followed(link, course).await?;
        self.has_followed(link, &done)
    }

    fn has_followed(&self, link: &LinkConfig, done: &Done) -> Result<(), Trouble> {
        match done {
            Done::NotYet(slots) => Err(Trouble::failed(format!(
                "link {} does not rest yet (lanes in slots {slots:?})\n  fix: see the logs of its instances",
                link.link
            ))
            .passing()),
            _ => Ok(()),
        }
    }

    async fn followed(&self, link: &LinkConfig, course: &Course) -> Result<Done, Trouble> {
        let asked = topics::Request {
            link: link.clone(),
            timeout: self.request.timeout,
            topics: course.plan.sources(),
            by: self.request.by.clone(),
            wait: FOLLOWS,
        };
        topics::all_followed(&asked).await.map_err(Trouble::of)
    }

    /// Waits until the other link runs: its instances know that they have to, and none of their lanes has stopped.
    async fn follow(&self, course: &Course) -> Result<Facts, Trouble> {
        let link = &self.back.link;
        self.ground.waits_because(format!("until link {link} runs"));
        match self.followed(self.back, course).await? {
            Done::Yes | Done::Nothing => {}
            Done::NotRunning => {
                let what = format!("nobody runs link {link}");
                return Err(Trouble::refused(what, "isomirror run PAIR").passing());
            }
            Done::NotYet(slots) => {
                let what = format!("link {link} does not run yet (lanes in slots {slots:?})");
                return Err(Trouble::refused(what, "see the logs of its instances").passing());
            }
        }
        let ask = self.request.status.clone();
        let status = tokio::task::spawn_blocking(move || ask()).await.ok().flatten();
        let Some(status) = status.filter(|status| status.link == *link) else {
            return Ok(Facts::says(format!("link {link} runs")));
        };
        let sources = course.plan.sources();
        let lanes = || status.lanes.iter().filter(|lane| sources.contains(&lane.topic));
        if let Some(stopped) = lanes().find(|lane| lane.state == "stopped") {
            let reason = stopped.reason.clone().unwrap_or_default();
            let fix = stopped.fix.clone().unwrap_or_else(|| "isomirror status PAIR tells more".to_owned());
            return Err(Trouble::refused(format!("link {link} can't run: {reason}"), &fix).passing());
        }
        let partitions = course.facts(Step::Stragglers).map_or(0, |facts| facts.ends.len());
        let running = lanes().filter(|lane| lane.state == "running").count();
        if running < partitions {
            let what = format!("{running} of {partitions} lanes of link {link} run");
            return Err(Trouble::failed(what).passing());
        }
        Ok(Facts::says(format!("link {link} runs: {}", counted(running, "lane"))))
    }

    // === release, clients ===

    pub(super) async fn release_intent(&self, course: &Course) -> Result<Intent, Trouble> {
        if let Block::Hook(hook) = &self.request.settings.block
            && let Some(command) = &hook.back
        {
            return Ok(Intent::Run { command: command.clone(), back: None });
        }
        let Some(known) = acls::rules(self.clusters(), Side::Target).await? else { return Ok(Intent::Look) };
        let delete = self.blocked.iter().filter(|rule| known.contains(*rule)).cloned().collect();
        let held =
            acls::held(self.ran, self.clusters(), course).await?.map(|(held, _)| held).unwrap_or_default();
        // What blocked writers on either site is no right of theirs.
        let wanted = held.into_iter().filter(|rule| rule.permission == AclPermission::Allow).collect();
        Ok(match acls::intent(wanted, &known) {
            Intent::Acls { create, there, .. } => Intent::Acls { create, there, delete },
            other => other,
        })
    }

    async fn release(&self, intent: &Intent, course: &Course) -> Result<Facts, Trouble> {
        if waits_for_consumers(course) {
            self.rests(self.back, course).await?;
        }
        match intent {
            Intent::Acls { create, there, delete } => {
                self.ground.waits_because(format!("until every broker of {} allows it", self.turn.to));
                acls::make(self.clusters(), Side::Target, create, there).await?;
                acls::unmake(self.clusters(), Side::Target, delete).await?;
                let deleted = match delete.len() {
                    0 => String::new(),
                    some => format!(", {} deleted that had blocked them", counted(some, "ACL")),
                };
                Ok(Facts::says(format!("{}{deleted}", acls_say(create, there))))
            }
            Intent::Run { command, .. } => self.hook("release", command, &self.turn.to, course).await,
            Intent::Look => Ok(Facts::says(format!("nothing kept them from {}", self.turn.to))),
        }
    }

    async fn clients(&self, intent: &Intent, course: &Course) -> Result<Facts, Trouble> {
        match intent {
            Intent::Run { command, .. } => self.hook("clients", command, &self.turn.to, course).await,
            _ => Ok(Facts::says(format!("no clients_hook: move them to {} now", self.turn.to))),
        }
    }

    /// Waits until consumers have left the site that was active, not for long; then looks once more whether both sites have all.
    async fn leave(&self, course: &Course) -> Result<Facts, Trouble> {
        let says = self.consumers_leave(course).await?;
        // What can't be told now is no reason to stay here.
        let since_turn = self.since_turn(course).await.ok();
        Ok(Facts { since_turn, ..Facts::says(says) })
    }

    /// Waits until nobody is left there of the groups that have gone over. The link back rests meanwhile.
    async fn consumers_leave(&self, course: &Course) -> Result<String, Trouble> {
        let moved: BTreeSet<&str> = course
            .facts(Step::Flip)
            .map_or_else(BTreeSet::new, |flip| flip.groups.iter().map(|moved| &*moved.group).collect());
        let settings = &self.request.settings;
        if moved.is_empty() || settings.consumers == Consumers::Any {
            return Ok("no consumers are waited for".to_owned());
        }
        let entered = course.step(Step::Leave).map_or_else(now_ms, |passed| passed.entered);
        let until = entered.saturating_add(i64::try_from(self.leave_limit().as_millis()).unwrap_or(i64::MAX));
        loop {
            let readers = groups::readers(self.ran, self.clusters(), &course.plan).await?;
            let stays = |reader: &&Reader| reader.side == Side::Source && moved.contains(&*reader.group);
            let staying: BTreeSet<&str> = readers.iter().filter(stays).map(|reader| &*reader.group).collect();
            if staying.is_empty() {
                return Ok(format!(
                    "nobody of {} is left on {}",
                    counted(moved.len(), "group"),
                    self.turn.from
                ));
            }
            if now_ms() >= until {
                return Ok(format!(
                    "{} not left {}: what is read there from now on is read again on {}",
                    have(&staying),
                    self.turn.from,
                    self.turn.to
                ));
            }
            self.ground.waits_because(format!("until {} left {}", have(&staying), self.turn.from));
            tokio::time::sleep(LOOK).await;
        }
    }

    /// By where the logs ended when nothing was missing, and where they end now.
    async fn since_turn(&self, course: &Course) -> Result<SinceTurn, Trouble> {
        let ends = &course.facts(Step::Even).ok_or_else(|| Trouble::failed("it was never even"))?.ends;
        let now = self.standing().await?;
        let offsets = |more: Offset| u64::try_from(more).unwrap_or(0);
        let mut since = SinceTurn::default();
        for lane in &now {
            let then = ends.iter().find(|end| (&end.topic, end.partition) == (&lane.topic, lane.partition));
            let Some(then) = then else { continue };
            since.written += offsets(lane.target - then.target);
            since.lost += offsets(then.target - lane.target.min(lane.source));
            since.repeated += offsets(lane.source - lane.target);
        }
        Ok(since)
    }

    /// Before the step's own limit, at which nothing would go on.
    fn leave_limit(&self) -> Duration {
        let settings = &self.request.settings;
        settings.leave_limit.min(settings.step_limit.mul_f64(0.8))
    }

    async fn hook(&self, step: &str, command: &str, site: &str, course: &Course) -> Result<Facts, Trouble> {
        let variables = super::variables(self.request, &self.id, &course.plan, site, step);
        self.ground.hook(command, &variables).await
    }
}

/// Groups, and the verb that they need.
fn have(groups: &BTreeSet<&str>) -> String {
    let (what, have) = if groups.len() == 1 { ("group", "has") } else { ("groups", "have") };
    format!("{what} {} {have}", few(groups.iter().map(|group| (*group).to_owned())))
}

/// The groups that have members on the standby.
fn early(readers: &[Reader]) -> BTreeSet<String> {
    let early = readers.iter().filter(|reader| reader.side == Side::Target);
    early.map(|reader| reader.group.clone()).collect()
}

/// What would keep writers from the site that a link reads.
pub(crate) async fn block_intent(
    block: &Block,
    link: &LinkConfig,
    clusters: &Clusters,
    plan: &Plan,
) -> Result<Intent, Trouble> {
    let writers = match block {
        Block::Acl(writers) => writers,
        Block::Hook(hook) => return Ok(hook.intent()),
        Block::Quiet(_) => return Ok(Intent::Look),
    };
    let known = acls::rules(clusters, Side::Source).await?.ok_or_else(|| no_authorizer("switchover"))?;
    let bare = acls::without_any(plan, &known);
    if !bare.is_empty() {
        return Err(Trouble::refused(
            format!(
                "there is no ACL about {} on {}: the first one may shut out everybody who reads there, isomirror too",
                few(bare),
                link.source.name
            ),
            "make one that lets its readers read; or block = \"hook\" or \"quiet\" in [switchover]",
        ));
    }
    let unheard_of = acls::unheard_of(plan, writers, &known);
    if !unheard_of.is_empty() {
        let what = format!(
            "no ACL on {} says anything of {} and these topics: nobody writes there under that name, and whoever does would \
             not be blocked",
            link.source.name,
            few(unheard_of)
        );
        return Err(Trouble::refused(
            what,
            "see `writers` in [switchover]: principals as the ACLs have them",
        ));
    }
    let denials = match writers.is_empty() {
        true => all_but_ours(link, plan, &known)?,
        false => acls::denials(plan, writers),
    };
    Ok(acls::intent(denials, &known))
}

/// The rules that deny everybody to write whom some rule lets, but the mirror, which is to write there.
fn all_but_ours(
    link: &LinkConfig,
    plan: &Plan,
    known: &BTreeSet<AclRule>,
) -> Result<BTreeSet<AclRule>, Trouble> {
    let name_them = "name the writers, as in writers = [\"User:app\"], in [switchover]";
    let site = &link.source.name;
    let Some(ours) = link.source.principal() else {
        let what = format!(
            "which principal the mirror has on {site} is not known from its properties: it could be denied with the others"
        );
        return Err(Trouble::refused(what, name_them));
    };
    let mut denials = BTreeSet::new();
    for topic in plan.sources() {
        let lets = known.iter().filter(|rule| lets_write(rule, &topic));
        let writers: BTreeSet<&str> = lets.map(|rule| &*rule.principal).collect();
        if writers.contains("User:*") {
            let what = format!(
                "{topic}: an ACL on {site} lets User:* write, and one that denies everybody would deny the mirror, too"
            );
            return Err(Trouble::refused(what, name_them));
        }
        let others = writers.into_iter().filter(|writer| *writer != ours);
        let others: Vec<String> = others.map(str::to_owned).collect();
        denials.extend(acls::denials_of(&topic, &others));
    }
    Ok(denials)
}

/// Whether a rule lets somebody write a topic.
fn lets_write(rule: &AclRule, topic: &str) -> bool {
    rule.permission == AclPermission::Allow
        && rule.resource == AclResource::Topic
        && matches!(rule.operation, AclOperation::Write | AclOperation::All)
        && match rule.pattern {
            AclPattern::Literal => rule.name == topic || rule.name == "*",
            AclPattern::Prefixed => topic.starts_with(&rule.name),
        }
}

impl World<Step> for Acting<'_> {
    async fn intend(&self, step: Step, course: &Course) -> Result<Intent, Trouble> {
        match step {
            Step::Block => self.block_intent(course).await,
            Step::Release => self.release_intent(course).await,
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
        match step {
            Step::Preconditions => {
                let facts = self.preconditions(course).await?;
                let near = self.ground.near(self.request.settings.max_lag).await?;
                Ok(Facts::says(format!("{}; {} to drain", facts.says, near.says)))
            }
            Step::Block => self.block(intent, course).await,
            Step::Stragglers => self.stragglers(course).await,
            Step::Even => self.even().await,
            Step::Groups => self.groups(course).await,
            Step::Flip => self.flip(course).await,
            Step::Follow => self.follow(course).await,
            Step::Release => self.release(intent, course).await,
            Step::Clients => self.clients(intent, course).await,
            Step::Leave => self.leave(course).await,
        }
    }

    async fn undo(&self, step: Step, intent: &Intent, course: &Course) -> Result<Facts, Trouble> {
        match (step, intent) {
            (Step::Flip, _) => self.flip_back(course).await,
            (_, Intent::Acls { create, .. }) => {
                acls::unmake(self.clusters(), Side::Source, create).await?;
                Ok(Facts::says(format!("{} deleted", counted(create.len(), "ACL"))))
            }
            (_, Intent::Run { back: Some(command), .. }) => {
                self.hook("unblock", command, &self.turn.from, course).await
            }
            (_, Intent::Run { back: None, .. }) => Ok(Facts::says("no unblock_hook: let them write again")),
            (_, Intent::Look) => Ok(Facts::default()),
        }
    }

    async fn is_quiet(&self, course: &Course) -> Result<(), Trouble> {
        self.ground.is_quiet(course).await
    }

    /// That it is wanted was asked before it began.
    async fn agrees(&self, _: &Course) -> bool {
        true
    }

    fn waits_for(&self) -> String {
        self.ground.waits_for()
    }

    async fn reach(&self) -> Result<(), Trouble> {
        let gone = self.request.alone.then_some(Side::Target);
        let sides = [Side::Source, Side::Target].into_iter().filter(|side| Some(*side) != gone);
        self.ground.reach(&sides.collect::<Vec<_>>()).await
    }

    fn tries(&self) {
        self.ground.waits_for_nothing();
    }

    async fn hold(&self, step: Step, moment: &str) {
        self.ground.hold(step, moment).await;
    }
}
