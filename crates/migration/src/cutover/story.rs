//! The story of a cutover, as it stands in the link's journal; and going on with it there. What is written is refused where
//! another process has gone on with it meanwhile.

use std::collections::BTreeMap;

use link_journal::{Author, Journal, JournalState, Note, Process};
use offset_marks::now_ms;

use super::{
    Error, Plan, Request, Told, Watcher,
    drive::Log,
    machine::{Course, Event},
    process::is_gone,
};

/// Cutovers among the operations of a journal.
const KIND: &str = "cutover";

/// A cutover.
#[derive(Debug, Clone)]
pub(super) struct Story {
    pub(super) id: String,
    /// Who has begun it.
    pub(super) by: Author,
    /// Who runs it, or has run it last; since when.
    pub(super) runner: Runner,
    pub(super) course: Course,
    /// The number of what comes next.
    next: u32,
}

/// Who runs a cutover.
#[derive(Debug, Clone)]
pub(super) struct Runner {
    pub(super) by: Author,
    pub(super) run: Process,
    pub(super) since: i64,
}

/// A cutover that this process goes on with.
pub(super) struct Notes {
    journal: Journal,
    pub(super) story: Story,
    by: Author,
    run: Process,
    watcher: Watcher,
}

// === impl Story ===

impl Story {
    /// All that a journal tells of, in their order.
    pub(super) fn all(state: &JournalState) -> Result<Vec<Self>, Error> {
        let mut notes: BTreeMap<&str, Vec<&Note>> = BTreeMap::new();
        let mut order = Vec::new();
        for note in state.notes(KIND) {
            let of = notes.entry(&note.id).or_default();
            if of.is_empty() {
                order.push(&*note.id);
            }
            of.push(note);
        }
        order.into_iter().map(|id| Self::read(id, &notes[id])).collect()
    }

    fn read(id: &str, notes: &[&Note]) -> Result<Self, Error> {
        let unclear = |what: String| {
            Error::Refused {
            what: format!("what is on record of cutover {id} makes no sense: {what}"),
            fix: "use the version of isomirror that has begun it; if somebody has changed the journal, undo by hand what \
                  its records say, and delete them"
                .to_owned(),
        }
        };
        let event = |note: &Note| {
            serde_json::from_value::<Event>(note.what.clone())
                .map_err(|error| unclear(format!("{}: {error}", note.what)))
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
                    story.course.take(&event, note.when).map_err(|error| unclear(error.to_string()))?;
                    story.next += 1;
                    if event == Event::Resumed {
                        story.runner = runner;
                    }
                }
                (_, event) => return Err(unclear(format!("number {} is {event:?}", note.number))),
            }
        }
        story.ok_or_else(|| unclear("it has no beginning".to_owned()))
    }

    /// One that has not begun.
    pub(super) fn imagined(plan: Plan, request: &Request) -> Self {
        let runner = Runner { by: request.by.clone(), run: request.run, since: now_ms() };
        let course = Course::new(plan, runner.since);
        Self { id: String::new(), by: request.by.clone(), runner, course, next: 0 }
    }

    fn find(state: &JournalState, id: &str) -> Result<Option<Self>, Error> {
        Ok(Self::all(state)?.into_iter().find(|story| story.id == id))
    }

    /// Why another process must not go on with it; none if it may.
    fn in_the_way(&self, link: &str, host: &str) -> Option<Error> {
        let Runner { by, run, since } = &self.runner;
        let here = by.host == host;
        if here && is_gone(run) {
            return None;
        }
        let known = if here { "which runs" } else { "and whether it still runs can't be seen from here" };
        Some(Error::Refused {
            what: format!(
                "a cutover of link {link} is under way: {by} runs it (process {}, since {}), {known}",
                run.pid,
                time(*since)
            ),
            fix: "wait for it, or end it there; if it is gone for certain, --take-over goes on with it"
                .to_owned(),
        })
    }
}

// === impl Notes ===

impl Notes {
    /// Begins one.
    pub(super) async fn begin(
        journal: Journal,
        plan: Plan,
        request: &Request,
        watcher: &Watcher,
    ) -> Result<Self, Error> {
        let when = now_ms();
        let id = when.to_string();
        let began = Event::Began { plan };
        let state = journal
            .note::<Error>(|state| {
                let open = Story::all(state)?.into_iter().find(|story| story.course.ended.is_none());
                match open {
                    None => Ok(vec![note(&id, 0, when, request.by.clone(), request.run, &began)]),
                    // What was sent before has arrived after all.
                    Some(story) if story.id == id && story.runner.run == request.run => Ok(Vec::new()),
                    Some(story) => {
                        let runs = story.in_the_way(&request.link.link, &request.by.host);
                        Err(runs.unwrap_or_else(|| Error::Refused {
                            what: "somebody else has begun a cutover this moment".to_owned(),
                            fix: "run it again: it goes on with that one".to_owned(),
                        }))
                    }
                }
            })
            .await?;
        let story = Story::find(&state, &id)?.expect("it was written");
        let _ = watcher.send(Told::Event(began, when));
        Ok(Self::of(journal, story, request, watcher))
    }

    /// Goes on with one.
    pub(super) async fn resume(
        journal: Journal,
        story: Story,
        request: &Request,
        watcher: &Watcher,
    ) -> Result<Self, Error> {
        let link = &request.link.link;
        if let Some(error) = story.in_the_way(link, &request.by.host).filter(|_| !request.take_over) {
            return Err(error);
        }
        let sources = story.course.plan.sources();
        if let Some(other) = request.topics.iter().find(|topic| !sources.contains(topic)) {
            return Err(Error::Refused {
                what: format!(
                    "a cutover of link {link} is under way, and {other} is none of its topics: {}",
                    sources.join(", ")
                ),
                fix: "finish it first, without --topic; or undo it: --back".to_owned(),
            });
        }
        let _ = watcher.send(Told::GoesOn(story.course.stands_in()));
        let mut notes = Self::of(journal, story, request, watcher);
        notes.put(Event::Resumed).await?;
        Ok(notes)
    }

    fn of(journal: Journal, story: Story, request: &Request, watcher: &Watcher) -> Self {
        Self { journal, story, by: request.by.clone(), run: request.run, watcher: watcher.clone() }
    }

    /// Puts something on record, unless another process has gone on with it.
    pub(super) async fn put(&mut self, event: Event) -> Result<(), Error> {
        let when = now_ms();
        let (id, number) = (self.story.id.clone(), self.story.next);
        let noted = note(&id, number, when, self.by.clone(), self.run, &event);
        let state = self
            .journal
            .note::<Error>(|state| {
                let there = Story::find(state, &id)?;
                match there {
                    Some(story) if story.next == number => Ok(vec![noted.clone()]),
                    // What was sent before has arrived after all.
                    Some(_) if state.notes(KIND).any(|there| *there == noted) => Ok(Vec::new()),
                    Some(Story { runner: Runner { by, run, since }, .. }) => Err(Error::Refused {
                        what: format!(
                            "{by} has taken this cutover over (process {}, since {})",
                            run.pid,
                            time(since)
                        ),
                        fix: "leave it to them".to_owned(),
                    }),
                    None => Err(Error::Refused {
                        what: format!("cutover {id} is not in the journal any more"),
                        fix: "see who has deleted it".to_owned(),
                    }),
                }
            })
            .await?;
        self.story = Story::find(&state, &id)?.expect("it was there");
        let _ = self.watcher.send(Told::Event(event, when));
        Ok(())
    }
}

impl Log for Notes {
    type Error = Error;

    fn course(&self) -> &Course {
        &self.story.course
    }

    async fn note(&mut self, event: Event) -> Result<(), Error> {
        self.put(event).await
    }
}

fn note(id: &str, number: u32, when: i64, by: Author, run: Process, event: &Event) -> Note {
    let what = serde_json::to_value(event).expect("text and numbers");
    Note { kind: KIND.to_owned(), id: id.to_owned(), number, when, by, run, what }
}

/// A time for people.
fn time(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |time| format!("{time:.0}"))
}
