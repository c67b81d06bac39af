//! Does what comes next until it is over: puts each step on record before and after it acts, watches the source, and turns
//! back where that is right.
//!
//! Knows no cluster and no journal: those are [`World`] and [`Log`], so that all of it is tested without either.

use std::{fmt::Display, time::Duration};

use tokio::time::{Instant, timeout_at};

use super::{
    Error,
    facts::{Facts, Intent},
    machine::{Cause, Course, Ending, Event, Next, Steps, Why},
};

/// Between two attempts at what may come right by itself.
const PAUSE: Duration = Duration::from_secs(1);

/// Why a step can't be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) cause: Cause,
    /// What, and what to do.
    pub(crate) what: String,
    /// Whether it may come right by itself: it is tried again while there is time.
    pub(crate) passing: bool,
}

/// Where everything is put on record.
pub(crate) trait Log<S: Steps> {
    type Error;

    /// What is on record.
    fn course(&self) -> &Course<S>;

    /// Puts something on record, behind what is there; an error where somebody else has meanwhile.
    async fn note(&mut self, event: Event<S>) -> Result<(), Self::Error>;
}

/// What steps do. Whatever it is, it may be done twice.
pub(crate) trait World<S: Steps> {
    /// What a step would do now. Changes nothing.
    async fn intend(&self, step: S, course: &Course<S>) -> Result<Intent, Trouble>;

    /// Does it, and looks whether it is done.
    async fn act(&self, step: S, intent: &Intent, course: &Course<S>) -> Result<Facts, Trouble>;

    /// Undoes it, and looks whether it is undone.
    async fn undo(&self, step: S, intent: &Intent, course: &Course<S>) -> Result<Facts, Trouble>;

    /// Whether the source ends where it ended when all was on the target.
    async fn is_quiet(&self, course: &Course<S>) -> Result<(), Trouble>;

    /// Whether somebody agrees that the last step is done.
    async fn agrees(&self, course: &Course<S>) -> bool;

    /// What is being waited for.
    fn waits_for(&self) -> String;

    /// Whether both sides answer.
    async fn reach(&self) -> Result<(), Trouble>;

    /// Nothing is being waited for yet: something is tried, or tried again.
    fn tries(&self);

    /// For tests: it stays here for ever, if it is to.
    async fn hold(&self, step: S, moment: &str);
}

/// Why it stays where it is. What is on record says how to go on.
#[derive(Debug)]
pub(crate) enum Halt<S, E> {
    /// Nothing can be put on record.
    Log(E),
    /// Neither on nor back without somebody's decision.
    Trouble(S, Trouble),
    /// Nobody agreed to the last step.
    NotAgreed,
}

impl<S, E> From<E> for Halt<S, E> {
    fn from(error: E) -> Self {
        Self::Log(error)
    }
}

/// Goes on until it is over. `limit`: how long a step may take.
pub(crate) async fn drive<S: Steps, L: Log<S>, W: World<S>>(
    log: &mut L,
    world: &W,
    limit: Duration,
) -> Result<Ending, Halt<S, L::Error>> {
    loop {
        match log.course().next() {
            Next::Nothing => return Ok(log.course().ended.map_or(Ending::Done, |(_, how)| how)),
            Next::End(how) => log.note(Event::Ended { how }).await?,
            Next::Undo(step) => undo(log, world, step, limit).await?,
            Next::Enter(step) => {
                if step == S::LAST && !world.agrees(log.course()).await {
                    return Err(Halt::NotAgreed);
                }
                let intent = within(limit, world, step, async || {
                    watch(world, log.course()).await?;
                    world.intend(step, log.course()).await
                })
                .await;
                match intent {
                    Ok(intent) => log.note(Event::Entered { step, intent }).await?,
                    Err(trouble) => turn(log, step, trouble).await?,
                }
                world.hold(step, "entered").await;
            }
            Next::Act(step) => {
                let intent = log.course().step(step).expect("it was entered").intent.clone();
                let facts = within(limit, world, step, async || {
                    watch(world, log.course()).await?;
                    let facts = world.act(step, &intent, log.course()).await?;
                    watch(world, log.course()).await?;
                    Ok(facts)
                })
                .await;
                match facts {
                    Ok(facts) => {
                        world.hold(step, "acted").await;
                        log.note(Event::Left { step, facts }).await?;
                    }
                    Err(trouble) => turn(log, step, trouble).await?,
                }
            }
        }
    }
}

/// Since all was on the target, nobody must write to the source.
async fn watch<S: Steps, W: World<S>>(world: &W, course: &Course<S>) -> Result<(), Trouble> {
    match course.facts(S::FIXES) {
        // Behind the last step nothing can be done about it here.
        Some(_) if course.may_go_back() => world.is_quiet(course).await,
        _ => Ok(()),
    }
}

/// Back, where that takes nobody's decision.
async fn turn<S: Steps, L: Log<S>>(log: &mut L, step: S, trouble: Trouble) -> Result<(), Halt<S, L::Error>> {
    let course = log.course();
    if !course.may_go_back() || course.has_moved_clients() {
        return Err(Halt::Trouble(step, trouble));
    }
    let why = Why { step, cause: trouble.cause, what: trouble.what };
    Ok(log.note(Event::Back { why }).await?)
}

async fn undo<S: Steps, L: Log<S>, W: World<S>>(
    log: &mut L,
    world: &W,
    step: S,
    limit: Duration,
) -> Result<(), Halt<S, L::Error>> {
    log.note(Event::Undoing { step }).await?;
    world.hold(step, "undoing").await;
    let intent = log.course().step(step).expect("it was entered").intent.clone();
    let facts = within(limit, world, step, async || world.undo(step, &intent, log.course()).await).await;
    match facts {
        Ok(facts) => Ok(log.note(Event::Undone { step, facts }).await?),
        Err(trouble) => Err(Halt::Trouble(step, trouble)),
    }
}

/// Tries for as long as there is time.
async fn within<T, S: Steps, W: World<S>>(
    limit: Duration,
    world: &W,
    step: S,
    mut attempt: impl AsyncFnMut() -> Result<T, Trouble>,
) -> Result<T, Trouble> {
    let end = Instant::now() + limit;
    let mut last = None;
    loop {
        world.tries();
        match timeout_at(end, attempt()).await {
            Ok(Err(trouble)) if trouble.passing && Instant::now() + PAUSE < end => {
                last = Some(trouble);
                tokio::time::sleep(PAUSE).await;
            }
            Ok(outcome) => return outcome,
            Err(_) => {
                // A side that is gone says more than what was waited for when it was there.
                world.reach().await.map_err(|trouble| Trouble { passing: false, ..trouble })?;
                let waits_for = world.waits_for();
                // What went wrong says more than that there is no time left.
                let wrong = last.filter(|_| waits_for.is_empty());
                return Err(wrong.unwrap_or_else(|| Trouble::too_long(step, limit, &waits_for)));
            }
        }
    }
}

// === impl Trouble ===

impl Trouble {
    /// Something is not as it has to be.
    pub(crate) fn refused(what: impl Into<String>, fix: &str) -> Self {
        Self { cause: Cause::Refused, what: format!("{}\n  fix: {fix}", what.into()), passing: false }
    }

    /// Something failed.
    pub(crate) fn failed(what: impl Into<String>) -> Self {
        Self { cause: Cause::Failed, what: what.into(), passing: false }
    }

    /// A cluster has not answered, or not as it should.
    pub(crate) fn of(error: Error) -> Self {
        let cause = match &error {
            error if error.is_unreachable() => Cause::Unreachable,
            error if error.is_refused() => Cause::Refused,
            _ => Cause::Failed,
        };
        Self { cause, what: error.to_string(), passing: error.is_passing() }
    }

    /// It may come right by itself.
    pub(crate) fn passing(self) -> Self {
        Self { passing: true, ..self }
    }

    fn too_long(step: impl Display, limit: Duration, waits_for: &str) -> Self {
        let waits_for = if waits_for.is_empty() { String::new() } else { format!(": {waits_for}") };
        let what = format!(
            "{step} was not done within {limit:?}{waits_for}\n  fix: mend that, and begin again; --step-limit gives it \
             more time"
        );
        Self { cause: Cause::TooLong, what, passing: false }
    }
}
