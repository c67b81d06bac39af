//! What the steps do to the clusters.

use std::{collections::BTreeSet, time::Duration};

use group_offsets::Rule;
use mirror_types::Side;

use super::{Block, Course, Error, Facts, Hook, Intent, Request, Step, Story, Watcher};
use crate::{
    operation::{
        acls,
        drive::{Trouble, World},
        ground::{Ground, LOOK, STOP_IT, acls_say, list, no_authorizer},
        groups,
        lanes::{self, Standing},
    },
    sides::Clusters,
    topics::{self, Change, Done},
    words::{counted, few},
};

/// How long the daemon is waited for in the last step, each time.
const FOLLOWS: Duration = Duration::from_secs(30);

/// Acts on both clusters.
pub(super) struct Acting<'r> {
    request: &'r Request,
    ground: Ground<'r, Step>,
    id: String,
}

impl<'r> Acting<'r> {
    pub(super) fn new(request: &'r Request, watcher: &Watcher, story: &Story) -> Result<Self, Error> {
        let (plan, hold) = (&story.course.plan, request.hold.as_deref());
        let ground = Ground::new(&request.link, request.timeout, plan, watcher, hold)?;
        Ok(Self { request, ground, id: story.id.clone() })
    }

    pub(super) fn clusters(&self) -> &Clusters {
        &self.ground.clusters
    }

    pub(super) async fn standing(&self) -> Result<Vec<Standing>, Trouble> {
        self.ground.standing().await
    }

    // === preconditions ===

    pub(super) async fn preconditions(&self, course: &Course) -> Result<Facts, Trouble> {
        let lanes = self.ground.standing().await?;
        let status = self.request.status.clone();
        let facts = self.ground.sound(&lanes, &move || status()).await?;
        self.may_act(course).await?;
        Ok(facts)
    }

    /// Whether what later steps do to ACLs would be let through.
    async fn may_act(&self, course: &Course) -> Result<(), Trouble> {
        if let Block::Acl(_) = self.request.settings.block {
            self.block_intent(course).await?;
            acls::may_change(self.clusters(), Side::Source).await?;
        }
        if let Some((held, known)) = acls::held(&self.request.link, self.clusters(), course).await?
            && held.iter().any(|rule| !known.contains(rule))
        {
            acls::may_change(self.clusters(), Side::Target).await?;
        }
        Ok(())
    }

    // === block ===

    pub(super) async fn block_intent(&self, course: &Course) -> Result<Intent, Trouble> {
        Ok(match &self.request.settings.block {
            Block::Acl(writers) => {
                let known = acls::rules(self.clusters(), Side::Source)
                    .await?
                    .ok_or_else(|| no_authorizer("cutover"))?;
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
            Block::Hook(hook) => hook.intent(),
            Block::Quiet(_) => Intent::Look,
        })
    }

    async fn block(&self, intent: &Intent, course: &Course) -> Result<Facts, Trouble> {
        match (intent, &self.request.settings.block) {
            (Intent::Acls { create, there, .. }, _) => {
                self.ground.waits_because("until every broker of the source denies it".to_owned());
                acls::make(self.clusters(), Side::Source, create, there).await?;
                Ok(Facts::says(acls_say(create, there)))
            }
            (Intent::Run { command, .. }, _) => self.hook("block", command, course).await,
            (Intent::Look, Block::Quiet(quiet)) => self.ground.quiet(*quiet).await,
            // It was begun with another configuration, and there was nothing to do.
            (Intent::Look, _) => Ok(Facts::default()),
        }
    }

    // === groups ===

    async fn groups(&self, course: &Course) -> Result<Facts, Trouble> {
        let Request { link, timeout, .. } = self.request;
        loop {
            let readers = groups::readers(link, self.clusters(), &course.plan).await?;
            if readers.is_empty() {
                let rule = Rule { backwards: false };
                return groups::carry_over(link, *timeout, &course.plan, rule, &BTreeSet::new()).await;
            }
            self.is_quiet(course).await?;
            self.ground.waits_because(format!("{}: stop it", few(readers.iter().map(ToString::to_string))));
            tokio::time::sleep(LOOK).await;
        }
    }

    // === rights, clients, stop ===

    pub(super) async fn rights_intent(&self, course: &Course) -> Result<Intent, Trouble> {
        Ok(match acls::held(&self.request.link, self.clusters(), course).await? {
            Some((held, known)) => acls::intent(held, &known),
            None => Intent::Look,
        })
    }

    /// Before others may write to the target, the link writes there no more: it would take them for strangers.
    async fn rights(&self, intent: &Intent, course: &Course) -> Result<Facts, Trouble> {
        self.settle(Change::Pause, course).await?;
        match intent {
            Intent::Acls { create, there, .. } => {
                acls::make(self.clusters(), Side::Target, create, there).await?;
                Ok(Facts::says(acls_say(create, there)))
            }
            _ => Ok(Facts::says("no ACLs: one of the clusters has no authorizer")),
        }
    }

    async fn rights_back(&self, intent: &Intent, course: &Course) -> Result<Facts, Trouble> {
        let deleted = match intent {
            Intent::Acls { create, .. } => {
                acls::unmake(self.clusters(), Side::Target, create).await?;
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
        self.ground.waits_because("until the link does it".to_owned());
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
        let now = self.ground.standing().await?;
        let of = |lane: &Standing| {
            let before =
                fixed.ends.iter().find(|end| (&end.topic, end.partition) == (&lane.topic, lane.partition));
            before.map_or(0, |before| u64::try_from(lane.target - before.target).unwrap_or(0))
        };
        Ok(now.iter().map(of).sum())
    }

    async fn hook(&self, step: &str, command: &str, course: &Course) -> Result<Facts, Trouble> {
        let topics = &course.plan.topics;
        let variables = [
            ("ISOMIRROR_LINK", self.request.link.link.clone()),
            ("ISOMIRROR_CUTOVER", self.id.clone()),
            ("ISOMIRROR_STEP", step.to_owned()),
            ("ISOMIRROR_TOPICS", list(topics.iter().map(|route| &*route.topic))),
            ("ISOMIRROR_TARGET_TOPICS", list(topics.iter().map(|route| &*route.target_topic))),
        ];
        self.ground.hook(command, &variables).await
    }

    async fn stop(&self, course: &Course) -> Result<Facts, Trouble> {
        // Behind the way back it is only to be told; the source may be gone by now.
        let late = self.ground.moved(course).await.unwrap_or_default();
        self.settle(Change::Stop, course).await?;
        let mut says = format!("given up: {}", counted(course.plan.topics.len(), "topic"));
        if !late.is_empty() {
            let said = lanes::explained(self.clusters().client(Side::Source), &late).await;
            says.push_str(&format!("; on the source alone: {said}"));
        }
        Ok(Facts::says(says))
    }
}

impl World<Step> for Acting<'_> {
    async fn intend(&self, step: Step, course: &Course) -> Result<Intent, Trouble> {
        match step {
            Step::Block => self.block_intent(course).await,
            Step::Rights => self.rights_intent(course).await,
            Step::Clients => Ok(self.request.settings.clients.as_ref().map_or(Intent::Look, Hook::intent)),
            _ => Ok(Intent::Look),
        }
    }

    async fn act(&self, step: Step, intent: &Intent, course: &Course) -> Result<Facts, Trouble> {
        match step {
            Step::Preconditions => self.preconditions(course).await,
            Step::Lag => self.ground.near(self.request.settings.max_lag).await,
            Step::Block => self.block(intent, course).await,
            Step::Drain => self.ground.drain().await,
            Step::Groups => self.groups(course).await,
            Step::Verify => self.ground.verify(self.request.settings.verify, self.request.run.token).await,
            Step::Rights => self.rights(intent, course).await,
            Step::Clients => self.clients(intent, course).await,
            Step::Stop => self.stop(course).await,
        }
    }

    async fn undo(&self, step: Step, intent: &Intent, course: &Course) -> Result<Facts, Trouble> {
        match (step, intent) {
            (Step::Rights, intent) => self.rights_back(intent, course).await,
            (_, Intent::Acls { create, .. }) => {
                acls::unmake(self.clusters(), Side::Source, create).await?;
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
        let moved = self.ground.moved(course).await?;
        let may_stay = self.request.leave_late && course.has_moved_clients();
        if moved.is_empty() || may_stay {
            return Ok(());
        }
        let fix = match course.has_moved_clients() {
            false => STOP_IT,
            true => {
                "stop that producer (ACLs do not bind super users); then either have those records written to the target \
                 again and go on (isomirror cutover CONFIG --leave-late), or move the clients back (--back)"
            }
        };
        Err(self.ground.written(&moved, fix).await)
    }

    async fn agrees(&self, course: &Course) -> bool {
        let (agrees, topics) = (self.request.agrees.clone(), few(course.plan.sources()));
        let question = format!("Give up {topics}? There is no way back behind this step");
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
