//! The story of an operation, as it stands in journals; and going on with it there. What is written is refused where another
//! process has gone on with it meanwhile.
//!
//! A cutover has one journal, its link's. A switchover has two, one on each site: what happens is written to the first of them
//! first, and that decides between two who would write at the same time; the other is a copy, which may lack the end.

use std::{collections::BTreeMap, iter::once};

use link_journal::{Author, Journal, JournalState, Note, Process, Runs};
use offset_marks::now_ms;

use super::{
    Error, Plan, Told, Watcher,
    drive::Log,
    machine::{Course, Event, Running, Steps},
    process::is_gone,
};

/// An operation.
#[derive(Debug, Clone)]
pub(crate) struct Story<S> {
    pub(crate) id: String,
    /// Who has begun it.
    pub(crate) by: Author,
    /// Who runs it, or has run it last; since when.
    pub(crate) runner: Runner,
    pub(crate) course: Course<S>,
    /// The number of what comes next.
    next: u32,
}

/// Who runs an operation.
#[derive(Debug, Clone)]
pub(crate) struct Runner {
    pub(crate) by: Author,
    pub(crate) run: Process,
    pub(crate) since: i64,
}

/// Who wants to run one.
#[derive(Debug, Clone)]
pub(crate) struct Who {
    pub(crate) by: Author,
    pub(crate) run: Process,
    /// Whether to go on with what a process has begun that is not known to be gone.
    pub(crate) take_over: bool,
    /// What it is about, as in "link dc1-dc2".
    pub(crate) of: String,
}

/// Where operations are on record: the journal that decides, and copies of it.
#[derive(Debug, Clone)]
pub(crate) struct Journals {
    first: Journal,
    copies: Vec<Journal>,
}

/// An operation that this process goes on with.
pub(crate) struct Notes<S> {
    journals: Journals,
    pub(crate) story: Story<S>,
    who: Who,
    watcher: Watcher<S>,
}

// === impl Story ===

impl<S: Steps> Story<S> {
    /// All that a journal tells of, in their order.
    pub(crate) fn all(state: &JournalState) -> Result<Vec<Self>, Error> {
        Self::of_all([state])
    }

    /// All that several journals tell of together.
    pub(crate) fn of_all<'s>(states: impl IntoIterator<Item = &'s JournalState>) -> Result<Vec<Self>, Error> {
        let notes = together::<S>(states)?;
        let stories = notes.into_iter().map(|(id, notes)| Self::read(id, notes.values().copied()));
        let mut stories = stories.collect::<Result<Vec<_>, _>>()?;
        stories.sort_by_key(|story| story.course.began);
        Ok(stories)
    }

    fn read<'n>(id: &str, notes: impl Iterator<Item = &'n Note>) -> Result<Self, Error> {
        let event = |note: &Note| {
            serde_json::from_value::<Event<S>>(note.what.clone())
                .map_err(|error| unclear::<S>(id, format!("{}: {error}", note.what)))
        };
        let mut story: Option<Self> = None;
        for note in notes {
            let event = event(note)?;
            let runner = Runner { by: note.by.clone(), run: note.run, since: note.when };
            match (&mut story, event) {
                (None, Event::Began { plan }) => {
                    story = Some(Self {
                        id: id.to_owned(),
                        by: note.by.clone(),
                        runner,
                        course: Course::new(plan, note.when),
                        next: 1,
                    });
                }
                (Some(story), event) if note.number == story.next => {
                    story
                        .course
                        .take(&event, note.when)
                        .map_err(|error| unclear::<S>(id, error.to_string()))?;
                    story.next += 1;
                    if event == Event::Resumed {
                        story.runner = runner;
                    }
                }
                (_, event) => return Err(unclear::<S>(id, format!("number {} is {event:?}", note.number))),
            }
        }
        story.ok_or_else(|| unclear::<S>(id, "it has no beginning".to_owned()))
    }

    /// One that has not begun.
    pub(crate) fn imagined(plan: Plan, who: &Who) -> Self {
        let runner = Runner { by: who.by.clone(), run: who.run, since: now_ms() };
        let course = Course::new(plan, runner.since);
        Self { id: String::new(), by: who.by.clone(), runner, course, next: 0 }
    }

    fn find(state: &JournalState, id: &str) -> Result<Option<Self>, Error> {
        Ok(Self::all(state)?.into_iter().find(|story| story.id == id))
    }

    /// Why another process must not go on with it; none if it may.
    fn in_the_way(&self, who: &Who) -> Option<Error> {
        let Runner { by, run, since } = &self.runner;
        let here = by.host == who.by.host;
        if here && is_gone(run) {
            return None;
        }
        let known = if here { "which runs" } else { "and whether it still runs can't be seen from here" };
        Some(Error::Refused {
            what: format!(
                "a {} of {} is under way: {by} runs it (process {}, since {}), {known}",
                S::KIND,
                who.of,
                run.pid,
                time(*since)
            ),
            fix: "wait for it, or end it there; if it is gone for certain, --take-over goes on with it"
                .to_owned(),
        })
    }
}

/// The notes of an operation, by their numbers.
type Numbered<'n> = BTreeMap<u32, &'n Note>;

/// What journals tell together, by operation.
fn together<'n, S: Steps>(
    states: impl IntoIterator<Item = &'n JournalState>,
) -> Result<BTreeMap<&'n str, Numbered<'n>>, Error> {
    let mut all: BTreeMap<&str, Numbered<'_>> = BTreeMap::new();
    for state in states {
        let mut here: BTreeMap<&str, Numbered<'_>> = BTreeMap::new();
        for note in state.notes(S::KIND) {
            here.entry(&note.id).or_default().insert(note.number, note);
        }
        for (id, notes) in here {
            let known = all.remove(id).unwrap_or_default();
            let both = united(known, notes)
                .ok_or_else(|| unclear::<S>(id, "two journals tell different stories".to_owned()))?;
            all.insert(id, both);
        }
    }
    Ok(all)
}

/// What two journals tell of an operation. A note that came to one of them when its site was about to be gone, and not to the
/// other one any more, is the last one there, and nothing was done because of it: that comes after both. Whoever has resumed the
/// operation without that site had not heard of it, and counts.
fn united<'n>(one: Numbered<'n>, mut other: Numbered<'n>) -> Option<Numbered<'n>> {
    let differ = |(number, note): (&u32, &&Note)| {
        other.get(number).is_some_and(|there| !is_same(there, note)).then_some(*number)
    };
    let Some(fork) = one.iter().find_map(differ) else {
        other.extend(one);
        return Some(other);
    };
    let gives_way = |notes: &Numbered<'_>, to: &Numbered<'_>| {
        notes.keys().max() == Some(&fork) && to[&fork].what["event"] == "resumed"
    };
    let written = |notes: &Numbered<'_>| (notes[&fork].when, notes[&fork].run.token);
    match (gives_way(&one, &other), gives_way(&other, &one)) {
        (true, true) if written(&one) > written(&other) => Some(one),
        (true, _) => Some(other),
        (false, true) => Some(one),
        (false, false) => None,
    }
}

fn is_same(one: &Note, other: &Note) -> bool {
    (one.run, one.when) == (other.run, other.when)
}

fn unclear<S: Steps>(id: &str, what: String) -> Error {
    Error::Refused {
        what: format!("what is on record of {} {id} makes no sense: {what}", S::KIND),
        fix: "use the version of isomirror that has begun it; if somebody has changed the journal, undo by hand what its \
              records say, and delete them"
            .to_owned(),
    }
}

// === impl Journals ===

impl Journals {
    /// One that decides, and its copies.
    pub(crate) fn new(first: Journal, copies: Vec<Journal>) -> Self {
        Self { first, copies }
    }

    /// What each says, the one that decides first.
    pub(crate) async fn read(&self) -> Result<Vec<JournalState>, Error> {
        let mut states = Vec::new();
        for journal in self.all() {
            states.push(journal.read().await?);
        }
        Ok(states)
    }

    /// Writes to each what only others have: whoever wrote it may not have come that far.
    pub(crate) async fn complete<S: Steps>(&self) -> Result<(), Error> {
        let states = self.read().await?;
        // What makes no sense together is not spread.
        Story::<S>::of_all(&states)?;
        let told = together::<S>(&states)?;
        let all = || told.values().flat_map(|notes| notes.values().copied());
        for (journal, before) in self.all().zip(&states) {
            let due = |state: &JournalState| {
                [missing::<S>(state, all()), wrong::<S>(state, before, all())].concat()
            };
            journal.note::<Error>(|state| Ok(due(state))).await?;
        }
        Ok(())
    }

    /// Writes to the copies what the journal that decides says of an operation.
    async fn copy<S: Steps>(&self, state: &JournalState, id: &str) -> Result<(), Error> {
        let notes = || state.notes(S::KIND).filter(|note| note.id == id);
        for journal in &self.copies {
            journal.note::<Error>(|there| Ok(missing::<S>(there, notes()))).await?;
        }
        Ok(())
    }

    fn all(&self) -> impl Iterator<Item = &Journal> {
        once(&self.first).chain(&self.copies)
    }
}

fn missing<'n, S: Steps>(state: &JournalState, notes: impl Iterator<Item = &'n Note>) -> Vec<Note> {
    let is_there =
        |note: &&Note| state.notes(S::KIND).any(|there| (&there.id, there.number) == (&note.id, note.number));
    notes.filter(|note| !is_there(note)).cloned().collect()
}

/// What has to stand in the place of notes that came to nothing: those that stood there before.
fn wrong<'n, S: Steps>(
    state: &JournalState,
    before: &JournalState,
    notes: impl Iterator<Item = &'n Note>,
) -> Vec<Note> {
    let stands = |note: &&Note| {
        let there = |of: &JournalState| {
            of.notes(S::KIND).find(|there| (&there.id, there.number) == (&note.id, note.number)).cloned()
        };
        there(state).is_some_and(|now| !is_same(&now, note) && there(before) == Some(now))
    };
    notes.filter(stands).map(|note| Note { instead: true, ..note.clone() }).collect()
}

// === impl Running ===

impl Running {
    /// As it is on record.
    fn on_record(self, turn: u64) -> Runs {
        match self {
            Self::Neither => Runs { turn, link: None, waits: false },
            Self::Link(link) => Runs { turn, link: Some(link), waits: false },
            Self::Waits(link) => Runs { turn, link: Some(link), waits: true },
        }
    }
}

// === impl Notes ===

impl<S: Steps> Notes<S> {
    /// Begins one.
    pub(crate) async fn begin(
        journals: Journals,
        plan: Plan,
        who: Who,
        watcher: &Watcher<S>,
    ) -> Result<Self, Error> {
        let when = now_ms();
        let id = when.to_string();
        let began = Event::Began { plan };
        let state = journals
            .first
            .note::<Error>(|state| {
                let open = Story::<S>::all(state)?.into_iter().find(|story| story.course.ended.is_none());
                match open {
                    None => Ok(vec![note(&id, 0, when, &who, &began, None)]),
                    // What was sent before has arrived after all.
                    Some(story) if story.id == id && story.runner.run == who.run => Ok(Vec::new()),
                    Some(story) => Err(story.in_the_way(&who).unwrap_or_else(|| Error::Refused {
                        what: format!("somebody else has begun a {} this moment", S::KIND),
                        fix: "run it again: it goes on with that one".to_owned(),
                    })),
                }
            })
            .await?;
        let story = Story::find(&state, &id)?.expect("it was written");
        journals.copy::<S>(&state, &id).await?;
        let _ = watcher.send(Told::Event(began, when));
        Ok(Self { journals, story, who, watcher: watcher.clone() })
    }

    /// Goes on with one. `topics`: those that are asked for, if any are.
    pub(crate) async fn resume(
        journals: Journals,
        story: Story<S>,
        topics: &[String],
        who: Who,
        watcher: &Watcher<S>,
    ) -> Result<Self, Error> {
        if let Some(error) = story.in_the_way(&who).filter(|_| !who.take_over) {
            return Err(error);
        }
        let sources = story.course.plan.sources();
        if let Some(other) = topics.iter().find(|topic| !sources.contains(topic)) {
            return Err(Error::Refused {
                what: format!(
                    "a {} of {} is under way, and {other} is none of its topics: {}",
                    S::KIND,
                    who.of,
                    sources.join(", ")
                ),
                fix: "finish it first, without --topic; or undo it: --back".to_owned(),
            });
        }
        let _ = watcher.send(Told::GoesOn(story.course.stands_in()));
        let mut notes = Self { journals, story, who, watcher: watcher.clone() };
        notes.put(Event::Resumed).await?;
        Ok(notes)
    }

    /// Puts something on record, unless another process has gone on with it.
    pub(crate) async fn put(&mut self, event: Event<S>) -> Result<(), Error> {
        let when = now_ms();
        let (id, number, who) = (self.story.id.clone(), self.story.next, &self.who);
        let runs = S::runs(&event, &self.story.course);
        let state = self
            .journals
            .first
            .note::<Error>(|state| {
                let there = Story::<S>::find(state, &id)?;
                let sent = |note: &Note| {
                    (&note.id, note.number, note.when, note.run) == (&id, number, when, who.run)
                };
                let turn = state.runs().map_or(0, |runs| runs.turn) + 1;
                let runs = runs.clone().map(|runs| runs.on_record(turn));
                match there {
                    Some(story) if story.next == number => {
                        Ok(vec![note(&id, number, when, who, &event, runs)])
                    }
                    // What was sent before has arrived after all.
                    Some(_) if state.notes(S::KIND).any(sent) => Ok(Vec::new()),
                    Some(Story { runner: Runner { by, run, since }, .. }) => Err(Error::Refused {
                        what: format!(
                            "{by} has taken this {} over (process {}, since {})",
                            S::KIND,
                            run.pid,
                            time(since)
                        ),
                        fix: "leave it to them".to_owned(),
                    }),
                    None => Err(Error::Refused {
                        what: format!("{} {id} is not in the journal any more", S::KIND),
                        fix: "see who has deleted it".to_owned(),
                    }),
                }
            })
            .await?;
        self.story = Story::find(&state, &id)?.expect("it was there");
        self.journals.copy::<S>(&state, &id).await?;
        let _ = self.watcher.send(Told::Event(event, when));
        Ok(())
    }
}

impl<S: Steps> Log<S> for Notes<S> {
    type Error = Error;

    fn course(&self) -> &Course<S> {
        &self.story.course
    }

    async fn note(&mut self, event: Event<S>) -> Result<(), Error> {
        self.put(event).await
    }
}

fn note<S: Steps>(id: &str, number: u32, when: i64, who: &Who, event: &Event<S>, runs: Option<Runs>) -> Note {
    let what = serde_json::to_value(event).expect("text and numbers");
    Note {
        kind: S::KIND.to_owned(),
        id: id.to_owned(),
        number,
        when,
        by: who.by.clone(),
        run: who.run,
        what,
        runs,
        instead: false,
    }
}

/// A time for people.
fn time(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |time| format!("{time:.0}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note_of(run: u64, number: u32, event: &str) -> Note {
        Note {
            kind: "switchover".to_owned(),
            id: "1".to_owned(),
            number,
            when: i64::from(number),
            by: Author { host: "h".to_owned(), user: None },
            run: Process { pid: 1, started: 1, token: run },
            what: serde_json::json!({ "event": event }),
            runs: None,
            instead: false,
        }
    }

    fn numbered(notes: &[Note]) -> Numbered<'_> {
        notes.iter().map(|note| (note.number, note)).collect()
    }

    /// What is told together by journals that tell this: what happened, as it was written by which process.
    fn told(one: &[(u64, &str)], other: &[(u64, &str)]) -> Option<Vec<u64>> {
        let notes = |told: &[(u64, &str)]| -> Vec<Note> {
            (0..).zip(told).map(|(number, (run, event))| note_of(*run, number, event)).collect()
        };
        let (one, other) = (notes(one), notes(other));
        let both = united(numbered(&one), numbered(&other));
        assert_eq!(both, united(numbered(&other), numbered(&one)), "whichever comes first");
        Some(both?.values().map(|note| note.run.token).collect())
    }

    #[test]
    fn a_note_that_did_not_come_to_the_other_journal_gives_way_to_what_went_on_there_without_it() {
        let begun = [(1, "began"), (1, "entered")];
        let with = |more: &[(u64, &'static str)]| [&begun[..], more].concat();
        // One may lack the end.
        assert_eq!(told(&begun, &with(&[(1, "left")])), Some(vec![1, 1, 1]));
        assert_eq!(told(&[], &begun), Some(vec![1, 1]));
        // Written when its site was about to be gone: the other one has gone on.
        let back = with(&[(2, "resumed"), (2, "back"), (2, "ended")]);
        assert_eq!(told(&with(&[(1, "left")]), &back), Some(vec![1, 1, 2, 2, 2]));
        assert_eq!(told(&with(&[(1, "left")]), &with(&[(2, "resumed")])), Some(vec![1, 1, 2]));
        // Both have only been resumed: the same counts for everybody.
        assert_eq!(told(&with(&[(3, "resumed")]), &with(&[(2, "resumed")])), Some(vec![1, 1, 3]));
        // Both have gone on, or nobody has resumed it: that is for somebody to see.
        assert_eq!(told(&with(&[(3, "resumed"), (3, "ended")]), &back), None);
        assert_eq!(told(&with(&[(1, "left")]), &with(&[(2, "left"), (2, "entered")])), None);
    }
}
