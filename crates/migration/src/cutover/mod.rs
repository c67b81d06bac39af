//! Finishing a migration: writers are blocked on the source, what they wrote is on the target, consumer groups stand where
//! they have to, clients go over, and the link gives the topics up.
//!
//! Owns what each step does to a cluster; what it has in common with other operations is `operation`'s. Changes ACLs on both
//! clusters (its own rules only), groups' offsets on the target, and the journal.

mod preview;
mod report;
mod steps;
#[cfg(test)]
mod tests;
mod world;

use std::{sync::Arc, time::Duration};

use link_journal::{Author, Journal, JournalState, Process};
use mirror_types::Side;
use pipeline::{LinkConfig, TopicPlan, status::LinkStatus};

use self::world::Acting;
pub use self::{
    preview::{Preview, StepPreview, preview},
    report::Report,
    steps::Step,
};
use crate::{
    operation::{self, Journals, Who},
    sides::cluster_id,
    topics::{self, Scene},
};
pub use crate::{
    operation::{
        Block, Cause, Depth, Ending, Facts, GroupMoved, Halted, Hook, Intent, LaneDigest, LaneEnd, Plan,
        Route, StepState, Verified, this_process,
    },
    sides::Error,
};

/// Something that has happened in a cutover.
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

/// Whether somebody agrees to what is asked.
pub type Agrees = Arc<dyn Fn(&str) -> bool + Send + Sync>;
/// What a running daemon says of itself, if it can be asked.
pub type Status = Arc<dyn Fn() -> Option<LinkStatus> + Send + Sync>;

/// What is asked for.
#[derive(Clone)]
pub struct Request {
    /// The link.
    pub link: LinkConfig,
    /// What each question to a cluster is given.
    pub timeout: Duration,
    /// The topics, by their names on the source; all that the link mirrors if there are none.
    pub topics: Vec<String>,
    /// Who asks.
    pub by: Author,
    /// Their process.
    pub run: Process,
    /// How it is done.
    pub settings: Settings,
    /// Whether to go on with what a process has begun that is not known to be gone.
    pub take_over: bool,
    /// Whether to go back over what clients have written to the target.
    pub leave_behind: bool,
    /// Whether to go on, once clients are moved, over what was written to the source after the block.
    pub leave_late: bool,
    /// Before the last step.
    pub agrees: Agrees,
    /// Asks the daemon.
    pub status: Status,
    /// For tests: to stay here for ever, as `drain.entered` says, so that it can be killed there.
    pub hold: Option<String>,
}

/// How it is done.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// How many records the target may lack when writers are blocked.
    pub max_lag: u64,
    /// How they are.
    pub block: Block,
    /// How much is compared.
    pub verify: Depth,
    /// How clients are moved, if by a command.
    pub clients: Option<Hook>,
    /// How long a step may take.
    pub step_limit: Duration,
}

/// Begins a cutover, or goes on with the one that is under way; to its end.
pub async fn cutover(request: &Request, watcher: &Watcher) -> Result<Report, Error> {
    let scene = Scene::of(&of_topics(request)).await?;
    let journal = Journal::ensure(scene.clusters.client(Side::Target), &scene.link.link).await?;
    let journals = Journals::new(journal.clone(), Vec::new());
    let notes = match open(&journal).await? {
        Some(story) => Notes::resume(journals, story, &request.topics, who(request), watcher).await?,
        None => match choose(request, &scene, &journal).await? {
            Chosen::Plan(plan) => Notes::begin(journals, plan, who(request), watcher).await?,
            Chosen::Done(story) => return Ok(Report::new(&request.link, &story, None)),
        },
    };
    run(request, notes, watcher).await
}

/// Goes back from the cutover that is under way.
pub async fn back(request: &Request, watcher: &Watcher) -> Result<Report, Error> {
    let scene = Scene::of(&of_topics(request)).await?;
    let journal = Journal::open(scene.clusters.client(Side::Target), &scene.link.link).await?;
    let link = &request.link.link;
    let nothing = || Error::Refused {
        what: format!("no cutover of link {link} is under way: there is nothing to go back from"),
        fix: "isomirror topics CONFIG list shows which topics are cut over".to_owned(),
    };
    let journal = journal.ok_or_else(nothing)?;
    let Some(story) = open(&journal).await? else {
        let last = Story::all(&journal.read().await?)?.pop().ok_or_else(nothing)?;
        return match last.course.ended {
            Some((_, Ending::Back)) => Ok(Report::new(&request.link, &last, None)),
            _ => Err(Error::Refused {
                what: format!(
                    "the last cutover of link {link} is done: behind its last step there is no way back"
                ),
                fix: "set up a link the other way round, from what is the source now".to_owned(),
            }),
        };
    };
    if !story.course.may_go_back() {
        return Err(Error::Refused {
            what: format!("the cutover of link {link} is in its last step: there is no way back"),
            fix: "isomirror cutover CONFIG finishes it".to_owned(),
        });
    }
    let step = story.course.steps.last().map_or(Step::Preconditions, |passed| passed.step);
    let journals = Journals::new(journal, Vec::new());
    let mut notes = Notes::resume(journals, story, &request.topics, who(request), watcher).await?;
    if notes.story.course.back.is_none() {
        let what = format!("{} has asked for it", request.by);
        notes.put(Event::Back { why: Why { step, cause: Cause::Asked, what } }).await?;
    }
    run(request, notes, watcher).await
}

/// What a journal tells of all cutovers, in their order.
pub(crate) fn reports(link: &LinkConfig, decided: &JournalState) -> Result<Vec<Report>, Error> {
    Ok(Story::all(decided)?.iter().map(|story| Report::new(link, story, None)).collect())
}

async fn run(request: &Request, mut notes: Notes, watcher: &Watcher) -> Result<Report, Error> {
    let world = Acting::new(request, watcher, &notes.story)?;
    let halted =
        operation::go_on(&mut notes, &world, request.settings.step_limit, report::NOT_AGREED).await?;
    Ok(Report::new(&request.link, &notes.story, halted))
}

/// The cutover that is under way.
async fn open(journal: &Journal) -> Result<Option<Story>, Error> {
    Ok(Story::all(&journal.read().await?)?.into_iter().find(|story| story.course.ended.is_none()))
}

fn who(request: &Request) -> Who {
    Who {
        by: request.by.clone(),
        run: request.run,
        take_over: request.take_over,
        of: format!("link {}", request.link.link),
    }
}

fn of_topics(request: &Request) -> topics::Request {
    topics::Request {
        link: request.link.clone(),
        timeout: request.timeout,
        topics: request.topics.clone(),
        by: request.by.clone(),
        wait: Duration::ZERO,
    }
}

/// What is to be cut over.
enum Chosen {
    /// This.
    Plan(Plan),
    /// All of it is, by this cutover.
    Done(Box<Story>),
}

async fn choose(request: &Request, scene: &Scene, journal: &Journal) -> Result<Chosen, Error> {
    let decided = journal.read().await?;
    let mut done = Story::all(&decided)?;
    done.retain(|story| matches!(story.course.ended, Some((_, Ending::Done))));
    chosen(request, scene, Some(&decided), done).await
}

async fn chosen(
    request: &Request,
    scene: &Scene,
    decided: Option<&JournalState>,
    mut done: Vec<Story>,
) -> Result<Chosen, Error> {
    let link = &request.link;
    scene.check_known(&request.topics, decided)?;
    let named = |topic: &String| request.topics.is_empty() || request.topics.contains(topic);
    let there = |topic: &String| scene.sources.contains_key(topic) && link.rules.includes(topic);
    let is_done =
        |topic: &str| done.iter().any(|story| story.course.plan.topics.iter().any(|r| r.topic == topic));
    let (mut routes, mut held) = (Vec::new(), Vec::new());
    for topic in scene.known(decided).into_iter().filter(named).filter(there) {
        match scene.plan(&topic, decided) {
            TopicPlan::Run => {
                let target_topic = link.rules.target(&topic).unwrap_or_else(|| topic.clone());
                routes.push(Route { topic, target_topic });
            }
            TopicPlan::Stop if is_done(&topic) => {
                if !request.topics.is_empty() {
                    held.push(format!("{topic} is cut over already"));
                }
            }
            plan => held.push(format!("{topic} is {}", plan.as_str())),
        }
    }
    let all_done = routes.is_empty() && held.iter().all(|held| held.ends_with("already"));
    if all_done && !done.is_empty() {
        let covers = |story: &Story| {
            request.topics.is_empty() || story.course.plan.sources().contains(&request.topics[0])
        };
        let last = done.iter().rposition(covers).unwrap_or(done.len() - 1);
        return Ok(Chosen::Done(Box::new(done.swap_remove(last))));
    }
    if let Some(first) = held.first() {
        let more = match held.len() {
            1 => String::new(),
            more => format!(" (and {} more)", more - 1),
        };
        return Err(Error::Refused {
            what: format!(
                "{first}{more}: only topics that are mirrored can be cut over; nothing was changed"
            ),
            fix: "isomirror topics CONFIG resume or start it; or name those to cut over: --topic NAME"
                .to_owned(),
        });
    }
    if routes.is_empty() {
        return Err(Error::Refused {
            what: format!("link {} mirrors no topic that is on the source", link.link),
            fix: "see topics.include".to_owned(),
        });
    }
    Ok(Chosen::Plan(Plan {
        topics: routes,
        source_cluster: cluster_id(&scene.clusters, Side::Source).await?,
        target_cluster: cluster_id(&scene.clusters, Side::Target).await?,
        turn: None,
    }))
}
