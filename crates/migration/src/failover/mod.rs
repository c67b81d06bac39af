//! Making a site of a pair the active one while the other is gone: what it lacks is named as far as it can be known, and it
//! goes on. No link runs then, until `reconcile` has made the other site its standby again.
//!
//! Owns the steps and what they do. Asks nothing but the site that is to be active, and the daemon; changes its ACLs and its
//! journal.

mod steps;
mod world;

use std::collections::BTreeSet;

use control_topic::ControlTopic;
use kafka_wire::Client;
use link_journal::{Journal, JournalState, Note};
use offset_marks::control::Keep;
use pipeline::LinkConfig;

pub use self::steps::Step;
use self::world::Acting;
use crate::{
    operation::{self, Ending, Journals, Plan, Route, Steps, Turn},
    sides::Error,
    switchover::{self, GONE, Request, client, turn, who},
};

/// Something that has happened in a failover.
pub type Event = operation::Event<Step>;
/// What came of it.
pub type Report = switchover::Report<Step>;
/// Whoever watches.
pub type Watcher = operation::Watcher<Step>;
type Story = operation::Story<Step>;
type Notes = operation::Notes<Step>;
type Course = operation::Course<Step>;

/// Begins a failover, or goes on with the one that is under way; to its end.
pub async fn failover(request: &Request, watcher: &Watcher) -> Result<Report, Error> {
    let pair = &request.pair;
    // Without a word for it, it is the site that answers.
    let to = match &request.to {
        Some(to) => to.clone(),
        None => the_one_that_answers(request).await?,
    };
    if !pair.sites.contains(&to) {
        return Err(Error::Refused {
            what: format!("{} has no site {to:?}", pair.name()),
            fix: format!("--to {} or --to {}", pair.sites[0], pair.sites[1]),
        });
    }
    let ran = pair.link_to(&to);
    let target = client(ran, request.timeout)?;
    let journal = Journal::ensure(&target, &ran.link).await?;
    let state = journal.read().await?;
    let stories = Story::all(&state)?;
    let journals = Journals::new(journal, Vec::new());
    let mut turning = operation::Story::<switchover::Step>::all(&state)?;
    turning.retain(|story| story.course.ended.is_none());
    let notes = match stories.into_iter().find(|story| story.course.ended.is_none()) {
        Some(story) => Notes::resume(journals, story, &[], who(request), watcher).await?,
        None => {
            // Once writers were released, it is as good as done.
            let (open, released): (Vec<_>, Vec<_>) =
                turning.iter().partition(|story| story.course.may_go_back());
            if let Some(story) = released.first() {
                led_there(turn(&story.course.plan)?, &to)?;
            }
            let open = open.first().copied();
            let plan = plan(request, ran, &target, &to, &state, open).await?;
            abandon(request, &journals, turning).await?;
            Notes::begin(journals, plan, who(request), watcher).await?
        }
    };
    run(request, notes, &[state], watcher).await
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

/// A switchover that was under way ends where it is: it can't go on without the other site.
async fn abandon(
    request: &Request,
    journals: &Journals,
    turning: Vec<operation::Story<switchover::Step>>,
) -> Result<(), Error> {
    for open in turning {
        let (watcher, _nobody) = tokio::sync::mpsc::unbounded_channel();
        let mut notes = operation::Notes::resume(journals.clone(), open, &[], who(request), &watcher).await?;
        notes.put(operation::Event::Ended { how: Ending::Abandoned }).await?;
    }
    Ok(())
}

/// Whether a switchover that has released writers has made this site active; what is left to do then.
fn led_there(turn: &Turn, to: &str) -> Result<(), Error> {
    if turn.to != to {
        return Ok(());
    }
    Err(Error::Refused {
        what: format!("{to} is the active site already: a switchover has let writers go there"),
        fix: format!(
            "have clients go there, as clients_hook may not have run; once {} is back, isomirror switchover PAIR finishes it",
            turn.from
        ),
    })
}

async fn the_one_that_answers(request: &Request) -> Result<String, Error> {
    let pair = &request.pair;
    let mut answering = Vec::new();
    for (site, link) in pair.sites.iter().map(|site| (site, pair.link_to(site))) {
        if client(link, GONE)?.cluster_id().await.is_ok() {
            answering.push(site.clone());
        }
    }
    match <[String; 1]>::try_from(answering) {
        Ok([one]) => Ok(one),
        Err(several) if several.is_empty() => Err(Error::Refused {
            what: format!("neither of {} answers", pair.name()),
            fix: "name the one that is to be active: --to SITE".to_owned(),
        }),
        Err(_) => Err(both_answer(pair)),
    }
}

fn both_answer(pair: &switchover::Pair) -> Error {
    Error::Refused {
        what: format!("both of {} answer: without --force nothing is lost", pair.name()),
        fix: "leave --force out; where one answers and does nothing else, name the other: --to SITE --regardless"
            .to_owned(),
    }
}

async fn plan(
    request: &Request,
    ran: &LinkConfig,
    target: &Client,
    to: &str,
    state: &JournalState,
    turning: Option<&operation::Story<switchover::Step>>,
) -> Result<Plan, Error> {
    let pair = &request.pair;
    let (from, back) = (pair.other(to), pair.link_to(pair.other(to)));
    if !request.regardless && client(back, GONE)?.cluster_id().await.is_ok() {
        return Err(both_answer(pair));
    }
    let turning = turning.map(|story| turn(&story.course.plan)).transpose()?;
    if turning.is_some_and(|turn| turn.from == to) {
        return Err(Error::Refused {
            what: format!("a switchover from {to} to {from} is under way, and {from} is gone"),
            fix: "undo it without that site: isomirror switchover PAIR --back --force".to_owned(),
        });
    }
    let runs = state.runs().map(|runs| runs.link.clone());
    let runs = runs.unwrap_or(Some(pair.link_to(pair.other(&pair.active)).link.clone()));
    // A switchover that has turned the mirror, and not released writers yet, has made no site active.
    if turning.is_none() && runs.as_ref() == Some(&back.link) {
        return Err(Error::Refused {
            what: format!("{to} is the active site already"),
            fix: format!("its standby {from} is gone: nothing has to be done until it is back"),
        });
    }
    let unrun = || Error::Refused {
        what: format!("link {} has not run yet: {to} is no copy of {from}", ran.link),
        fix: "see that the names of the sites, and `pair`, are those it runs with".to_owned(),
    };
    let control = ControlTopic::open(target, &ran.link).await?.ok_or_else(unrun)?;
    let mut topics = BTreeSet::new();
    let mut clusters = (None, None);
    for state in control.read_all_committed(Keep::Tails).await? {
        for start in state.lanes().filter(|start| ran.rules.includes(&start.source_topic)) {
            topics.insert(start.source_topic.clone());
            clusters = (start.source_cluster.clone(), start.target_cluster.clone());
        }
    }
    if topics.is_empty() {
        return Err(unrun());
    }
    let (source_cluster, target_cluster) = clusters;
    Ok(Plan {
        topics: topics.into_iter().map(|topic| Route { target_topic: topic.clone(), topic }).collect(),
        source_cluster,
        target_cluster,
        turn: Some(Turn {
            from: from.to_owned(),
            to: to.to_owned(),
            link: ran.link.clone(),
            back: back.link.clone(),
        }),
    })
}

/// Whether a site is active alone, by what was said last: the one that a failover has led to.
pub(crate) fn alone(states: &[JournalState]) -> Result<Option<Turn>, Error> {
    let last = states.iter().filter_map(JournalState::runs).max_by_key(|runs| runs.turn);
    let mut notes = states.iter().flat_map(|state| state.notes(Step::KIND));
    // A switchover at its flip, too, says that neither runs.
    let said =
        |note: &&Note| note.runs.as_ref().is_some_and(|runs| runs.link.is_none() && Some(runs) == last);
    let Some(said) = notes.find(said) else { return Ok(None) };
    let stories = Story::of_all(states)?;
    let is_it = |story: &&Story| story.id == said.id && matches!(story.course.ended, Some((_, Ending::Done)));
    stories.iter().find(is_it).map(|story| turn(&story.course.plan).cloned()).transpose()
}
