//! Making the other site of a pair the active one, and back: writers are blocked, nothing is missing on the standby, consumers'
//! offsets are there, the mirror turns around, and clients go over. Nothing is copied again, as offsets are the same on both.
//!
//! ```text
//! both journals ─► the course ─► operation::drive ─► world: block, stragglers, even, groups, flip, follow, release, clients, leave
//!       │                                                                              │
//!       └──── what runs (Runs) ◄── written at the flip, on the standby first           └─► adopt: marks of the other link
//!                 ▲
//!                 └──── read by each link on the cluster that it writes to
//! ```
//! Owns what each step does to a site. Changes ACLs on both (its own rules only), groups' offsets on the standby, the marks of
//! the link that is to run, and both journals.

mod adopt;
mod consumers;
mod preview;
mod report;
mod steps;
#[cfg(test)]
mod tests;
mod world;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use kafka_wire::{AclRule, Client, Settings as ClientSettings};
use link_journal::{Author, Journal, JournalState, Process};
use mirror_types::Side;
use pipeline::{LinkConfig, TopicPlan, status::LinkStatus};

use self::world::Acting;
pub(crate) use self::{adopt::adopt, world::block_intent};
pub use self::{
    preview::{Preview, StepPreview, preview},
    report::Report,
    steps::Step,
};
use crate::{
    failover,
    operation::{self, Journals, Steps, Who, ground::list},
    sides::cluster_id,
    topics::{self, Scene},
    words::few,
};
pub use crate::{
    operation::{
        Block, Cause, Depth, Ending, Facts, Halted, Hook, Intent, Plan, Route, StepState, Turn, this_process,
    },
    sides::Error,
};

/// Something that has happened in a switchover.
pub type Event = operation::Event<Step>;
/// Why it goes back.
pub type Why = operation::Why<Step>;
/// What became of a step.
pub type StepReport = operation::StepReport<Step>;
/// What happens, for whoever watches.
pub type Told = operation::Told<Step>;
/// Whoever watches.
pub type Watcher = operation::Watcher<Step>;
type Story = operation::Story<Step>;
type Notes = operation::Notes<Step>;
type Course = operation::Course<Step>;

/// What a running daemon says of itself, if it can be asked.
pub type Status = Arc<dyn Fn() -> Option<LinkStatus> + Send + Sync>;

/// Two sites, and the links between them.
#[derive(Clone)]
pub struct Pair {
    /// The sites' names.
    pub sites: [String; 2],
    /// From the first to the second, and back.
    pub links: [LinkConfig; 2],
    /// The site that is active as long as the journals say nothing of it.
    pub active: String,
}

/// For so long a site is asked that may be gone.
pub(crate) const GONE: Duration = Duration::from_secs(3);

/// What is asked for.
#[derive(Clone)]
pub struct Request {
    /// The sites, and the links between them.
    pub pair: Pair,
    /// The site that is to be active; the other one, if none is named.
    pub to: Option<String>,
    /// What each question to a cluster is given.
    pub timeout: Duration,
    /// Who asks.
    pub by: Author,
    /// Their process.
    pub run: Process,
    /// How it is done.
    pub settings: Settings,
    /// Whether to go on with what a process has begun that is not known to be gone.
    pub take_over: bool,
    /// Whether to go back although the site that was to be active is gone.
    pub alone: bool,
    /// Whether to fail over although both sites answer.
    pub regardless: bool,
    /// Asks the daemon.
    pub status: Status,
    /// For tests: to stay here for ever, as `flip.entered` says, so that it can be killed there.
    pub hold: Option<String>,
}

/// How it is done.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// How many records the standby may lack when writers are blocked.
    pub max_lag: u64,
    /// How they are; with no principal named, all are that some rule lets write, but the mirror.
    pub block: Block,
    /// What is waited for of consumers.
    pub consumers: Consumers,
    /// How much is compared.
    pub verify: Depth,
    /// The command that moves clients, if one does.
    pub clients: Option<String>,
    /// For how long consumers are waited for, once clients may move, to leave the site that was active.
    pub leave_limit: Duration,
    /// How long a step may take.
    pub step_limit: Duration,
}

/// What is waited for of consumers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consumers {
    /// Until each has committed all there is, or has left.
    CaughtUp,
    /// For nothing.
    Any,
}

/// Which site is active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Active<'a> {
    /// This one.
    Site(&'a str),
    /// A switchover is at its flip.
    Turning,
}

/// Begins a switchover, or goes on with the one that is under way; to its end.
pub async fn switchover(request: &Request, watcher: &Watcher) -> Result<Report, Error> {
    let journals = request.journals().await?;
    let states = [journals[0].read().await?, journals[1].read().await?];
    let stories = Story::of_all(&states)?;
    let open = stories.iter().find(|story| story.course.ended.is_none());
    if let Some(story) = open {
        let turn = turn(&story.course.plan)?;
        if let Some(other) = request.to.as_ref().filter(|to| **to != turn.to) {
            return Err(Error::Refused {
                what: format!(
                    "a switchover from {} to {} is under way, not one to {other}",
                    turn.from, turn.to
                ),
                fix: "finish it first, without --to; or undo it: --back".to_owned(),
            });
        }
        return go_on(request, &journals, story.clone(), &states, watcher).await;
    }
    let mut states = states;
    if let Some(last) = stories.last() {
        request.ordered(&journals, turn(&last.course.plan)?).complete::<Step>().await?;
        states = [journals[0].read().await?, journals[1].read().await?];
    }
    let plan = choose(request, &states).await?;
    let journals = request.ordered(&journals, turn(&plan)?);
    let notes = Notes::begin(journals, plan, who(request), watcher).await?;
    run(request, notes, &states, watcher).await
}

/// Goes back from the switchover that is under way; where writers are released already, by another one.
pub async fn back(request: &Request, watcher: &Watcher) -> Result<Report, Error> {
    if request.alone {
        return back_alone(request, watcher).await;
    }
    let journals = request.journals().await?;
    let states = [journals[0].read().await?, journals[1].read().await?];
    let stories = Story::of_all(&states)?;
    let last = stories.last().ok_or_else(|| Error::Refused {
        what: format!(
            "no switchover of {} is on record: there is nothing to go back from",
            request.pair.name()
        ),
        fix: "isomirror status PAIR shows which site is active".to_owned(),
    })?;
    let turn = turn(&last.course.plan)?.clone();
    match last.course.ended {
        Some((_, Ending::Back | Ending::Abandoned)) => {
            // A site that was gone knows it from now on.
            request.ordered(&journals, &turn).complete::<Step>().await?;
            return Ok(Report::new(request, last, None));
        }
        Some((_, Ending::Done)) => {}
        None if last.course.may_go_back() => {
            let mut notes = resume(request, &journals, last.clone(), watcher).await?;
            ask_back(request, &mut notes).await?;
            return run(request, notes, &states, watcher).await;
        }
        None => {
            let report = go_on(request, &journals, last.clone(), &states, watcher).await?;
            if report.ended != Some(Ending::Done) {
                return Ok(report);
            }
        }
    }
    let again = Request { to: Some(turn.from), ..request.clone() };
    Box::pin(switchover(&again, watcher)).await
}

/// The same while the site that was to be active is gone: as long as writers were not released there, all that has to be undone
/// is on the other one.
async fn back_alone(request: &Request, watcher: &Watcher) -> Result<Report, Error> {
    let mut there = Vec::new();
    for link in &request.pair.links {
        let client = client(link, GONE)?;
        if client.cluster_id().await.is_ok() {
            let journal = Journal::ensure(&client.with_patience(request.timeout), &link.link).await?;
            there.push((link.link.clone(), journal));
        }
    }
    let refused = |what: String, fix: &str| Error::Refused { what, fix: fix.to_owned() };
    let Ok([(link, journal)]) = <[_; 1]>::try_from(there) else {
        let what = format!("not one of {} answers, and the other does not", request.pair.name());
        return Err(refused(what, "where both do: --back without --force"));
    };
    let state = journal.read().await?;
    let open = Story::all(&state)?.into_iter().find(|story| story.course.ended.is_none());
    let story = open.ok_or_else(|| {
        refused("no switchover is under way".to_owned(), "isomirror status PAIR shows which site is active")
    })?;
    let turn = turn(&story.course.plan)?;
    if turn.back != link {
        let what = format!("{} is gone, which was active: there is nothing to go back to", turn.from);
        return Err(refused(what, "isomirror switchover PAIR --force makes the other site active"));
    }
    if !story.course.may_go_back() {
        let what = format!("writers were released on {} already, which is gone", turn.to);
        return Err(refused(what, "isomirror switchover PAIR --force makes the other site active"));
    }
    let mut notes =
        Notes::resume(Journals::new(journal, Vec::new()), story, &[], who(request), watcher).await?;
    ask_back(request, &mut notes).await?;
    run(request, notes, &[state], watcher).await
}

async fn ask_back(request: &Request, notes: &mut Notes) -> Result<(), Error> {
    let course = &notes.story.course;
    if course.back.is_some() {
        return Ok(());
    }
    let step = course.steps.last().map_or(Step::Preconditions, |passed| passed.step);
    let what = format!("{} has asked for it", request.by);
    notes.put(Event::Back { why: Why { step, cause: Cause::Asked, what } }).await
}

async fn go_on(
    request: &Request,
    journals: &[Journal; 2],
    story: Story,
    states: &[JournalState],
    watcher: &Watcher,
) -> Result<Report, Error> {
    let notes = resume(request, journals, story, watcher).await?;
    run(request, notes, states, watcher).await
}

async fn resume(
    request: &Request,
    journals: &[Journal; 2],
    story: Story,
    watcher: &Watcher,
) -> Result<Notes, Error> {
    let journals = request.ordered(journals, turn(&story.course.plan)?);
    journals.complete::<Step>().await?;
    Notes::resume(journals, story, &[], who(request), watcher).await
}

async fn run(
    request: &Request,
    mut notes: Notes,
    states: &[JournalState],
    watcher: &Watcher,
) -> Result<Report, Error> {
    let world = Acting::new(request, watcher, &notes.story, states)?;
    let halted = operation::go_on(&mut notes, &world, request.settings.step_limit, "").await?;
    Ok(Report::new(request, &notes.story, halted))
}

/// The rules that block writers on a site, by what is on record: made by switchovers away from it, or when it was made a
/// standby again.
pub(crate) fn blocked(states: &[JournalState], site: &str) -> Result<BTreeSet<AclRule>, Error> {
    let mut rules = blocks_of(&Story::of_all(states)?, site);
    rules.extend(blocks_of(&operation::Story::<crate::reconcile::Step>::of_all(states)?, site));
    Ok(rules)
}

fn blocks_of<S: Steps>(stories: &[operation::Story<S>], site: &str) -> BTreeSet<AclRule> {
    let away = stories.iter().filter(|story| turn(&story.course.plan).is_ok_and(|turn| turn.from == site));
    let made = away.filter_map(|story| match &story.course.step(S::BLOCKS)?.intent {
        Intent::Acls { create, .. } => Some(create.clone()),
        _ => None,
    });
    made.flatten().collect()
}

/// Which way a plan turns the pair.
pub(crate) fn turn(plan: &Plan) -> Result<&Turn, Error> {
    plan.turn.as_ref().ok_or_else(|| Error::Refused {
        what: "what is on record of a switchover does not say which way it goes".to_owned(),
        fix: "use the version of isomirror that has begun it".to_owned(),
    })
}

pub(crate) fn who(request: &Request) -> Who {
    Who { by: request.by.clone(), run: request.run, take_over: request.take_over, of: request.pair.name() }
}

/// What is to be switched over, and which way.
async fn choose(request: &Request, states: &[JournalState]) -> Result<Plan, Error> {
    let pair = &request.pair;
    let Active::Site(from) = pair.active_by(states)? else {
        if let Some(turn) = failover::alone(states)? {
            return Err(Error::Refused {
                what: format!(
                    "{} is active alone since a failover, and {} is no copy of it",
                    turn.to, turn.from
                ),
                fix: "isomirror reconcile PAIR makes it one".to_owned(),
            });
        }
        return Err(Error::Refused {
            what: format!(
                "neither link of {} runs, by what is on record, and no switchover is under way",
                pair.name()
            ),
            fix: "see who has changed the journals".to_owned(),
        });
    };
    let to = pair.other(from);
    match request.to.as_deref() {
        Some(wanted) if wanted == from => {
            return Err(Error::Refused {
                what: format!("{from} is the active site already"),
                fix: format!("there is nothing to do; --to {to} makes {to} active"),
            });
        }
        Some(wanted) if wanted != to => {
            return Err(Error::Refused {
                what: format!("{} has no site {wanted:?}", pair.name()),
                fix: format!("--to {to}"),
            });
        }
        _ => {}
    }
    let (link, back) = (pair.link_to(to), pair.link_to(from));
    let asked = topics::Request {
        link: link.clone(),
        timeout: request.timeout,
        topics: Vec::new(),
        by: request.by.clone(),
        wait: Duration::ZERO,
    };
    let scene = Scene::of(&asked).await?;
    let decided = scene.journal().await?;
    let there = |topic: &String| scene.sources.contains_key(topic) && link.rules.includes(topic);
    let (mut routes, mut held) = (Vec::new(), Vec::new());
    for topic in scene.known(decided.as_ref()).into_iter().filter(there) {
        match scene.plan(&topic, decided.as_ref()) {
            TopicPlan::Run => routes.push(Route { target_topic: topic.clone(), topic }),
            plan => held.push(format!("{topic} is {}", plan.as_str())),
        }
    }
    if !held.is_empty() {
        return Err(Error::Refused {
            what: format!(
                "{}: what is not mirrored would be missing on {to}; nothing was changed",
                few(held)
            ),
            fix: format!(
                "isomirror topics PAIR --direction {} resume or start it; or leave it out of topics.include",
                link.link
            ),
        });
    }
    if routes.is_empty() {
        return Err(Error::Refused {
            what: format!("link {} mirrors no topic that is on {from}", link.link),
            fix: "see topics.include".to_owned(),
        });
    }
    Ok(Plan {
        topics: routes,
        source_cluster: cluster_id(&scene.clusters, Side::Source).await?,
        target_cluster: cluster_id(&scene.clusters, Side::Target).await?,
        turn: Some(Turn {
            from: from.to_owned(),
            to: to.to_owned(),
            link: link.link.clone(),
            back: back.link.clone(),
        }),
    })
}

/// What a command of the operator's is told: about which site, and for which step.
pub(crate) fn variables(
    request: &Request,
    id: &str,
    plan: &Plan,
    site: &str,
    step: &str,
) -> Vec<(&'static str, String)> {
    let (from, to) =
        plan.turn.as_ref().map_or_else(Default::default, |turn| (turn.from.clone(), turn.to.clone()));
    vec![
        ("ISOMIRROR_PAIR", request.pair.name()),
        ("ISOMIRROR_SWITCHOVER", id.to_owned()),
        ("ISOMIRROR_FROM", from),
        ("ISOMIRROR_TO", to),
        ("ISOMIRROR_SITE", site.to_owned()),
        ("ISOMIRROR_STEP", step.to_owned()),
        ("ISOMIRROR_TOPICS", list(plan.topics.iter().map(|route| &*route.topic))),
    ]
}

// === impl Pair ===

impl Pair {
    /// What people call it.
    pub fn name(&self) -> String {
        format!("{} and {}", self.sites[0], self.sites[1])
    }

    /// The link that leads to a site.
    pub(crate) fn link_to(&self, site: &str) -> &LinkConfig {
        &self.links[usize::from(self.sites[0] == site)]
    }

    pub(crate) fn other(&self, site: &str) -> &str {
        &self.sites[usize::from(self.sites[0] == site)]
    }

    pub(crate) fn link(&self, name: &str) -> Result<&LinkConfig, Error> {
        self.links.iter().find(|link| link.link == name).ok_or_else(|| Error::Refused {
            what: format!(
                "a switchover is on record that is about link {name}, which is none of this pair's"
            ),
            fix: "see the names of the sites, and `pair`: they must stay what they were".to_owned(),
        })
    }

    /// Which site is active, by what was said last in either journal.
    fn active_by(&self, states: &[JournalState]) -> Result<Active<'_>, Error> {
        let last = states.iter().filter_map(JournalState::runs).max_by_key(|runs| runs.turn);
        let link = match last {
            None => return Ok(Active::Site(self.site(&self.active))),
            Some(runs) => match &runs.link {
                None => return Ok(Active::Turning),
                Some(link) => self.link(link)?,
            },
        };
        // The link that runs leads away from it.
        let from = usize::from(link.link == self.links[1].link);
        Ok(Active::Site(&self.sites[from]))
    }

    fn site(&self, name: &str) -> &str {
        self.sites.iter().find(|site| *site == name).unwrap_or(&self.sites[0])
    }
}

// === impl Request ===

impl Request {
    /// The journal of each link, which is on the site that it leads to; made where there is none.
    pub(crate) async fn journals(&self) -> Result<[Journal; 2], Error> {
        let mut all = Vec::new();
        for link in &self.pair.links {
            all.push(Journal::ensure(&client(link, self.timeout)?, &link.link).await?);
        }
        Ok(all.try_into().expect("two links, two journals"))
    }

    /// The journal on the site that is to be active decides: it is there whatever becomes of the other one, and the link that
    /// is to end reads it.
    pub(crate) fn ordered(&self, journals: &[Journal; 2], turn: &Turn) -> Journals {
        let first = usize::from(self.pair.links[1].link == turn.link);
        Journals::new(journals[first].clone(), vec![journals[1 - first].clone()])
    }
}

/// A client of the cluster that a link writes to.
pub(crate) fn client(link: &LinkConfig, timeout: Duration) -> Result<Client, Error> {
    let settings = ClientSettings::new(link.target.properties.iter())
        .map_err(|error| Error::Properties { side: Side::Target, reason: error.to_string() })?;
    Ok(Client::new(settings).with_patience(timeout))
}
