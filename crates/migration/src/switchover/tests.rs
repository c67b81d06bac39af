//! A switchover in a world of a few flags, killed anywhere and begun again: it ends in done or back, one link runs then, and at
//! no moment could both sites be written to.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    time::Duration,
};

use futures::FutureExt;
use kafka_wire::AclRule;
use proptest::prelude::*;

use super::{Cause, Course, Ending, Event, Facts, Intent, Plan, Route, Step, Turn, Why};
use crate::operation::{
    GroupMoved, Next, Running, Steps, acls,
    drive::{Halt, Log, Trouble, World, drive},
};

fn plan() -> Plan {
    let route = Route { topic: "orders".to_owned(), target_topic: "orders".to_owned() };
    let turn =
        Turn { from: "a".to_owned(), to: "b".to_owned(), link: "a-b".to_owned(), back: "b-a".to_owned() };
    Plan { topics: vec![route], source_cluster: None, target_cluster: None, turn: Some(turn) }
}

fn denial(writer: &str) -> AclRule {
    acls::denials(&plan(), &[writer.to_owned()]).pop_first().expect("one topic, one writer")
}

fn link(name: &str) -> Running {
    Running::Link(name.to_owned())
}

/// What there is beside the process: it stays when that is killed.
struct Outside {
    events: RefCell<Vec<Event>>,
    /// The site that was active, and the other one.
    denied: [RefCell<BTreeSet<AclRule>>; 2],
    /// Which link runs.
    runs: RefCell<Running>,
    /// Whether there are consumers, who have to leave the site that was active.
    consumers: bool,
    left: Cell<bool>,
    marked: Cell<bool>,
    moved: Cell<bool>,
    /// Somebody writes behind the block.
    late: Cell<bool>,
    fuel: Cell<u32>,
    /// What goes wrong, and from which moment on.
    wrong: Option<(u32, Step)>,
    late_at: Option<u32>,
    moments: Cell<u32>,
}

impl Outside {
    /// The site that is to be active was blocked by an earlier switchover.
    fn new() -> Self {
        Self {
            events: RefCell::default(),
            denied: [RefCell::new([denial("User:old")].into()), RefCell::new([denial("User:app")].into())],
            runs: RefCell::new(link("a-b")),
            consumers: true,
            left: Cell::new(false),
            marked: Cell::new(false),
            moved: Cell::new(false),
            late: Cell::new(false),
            fuel: Cell::new(u32::MAX),
            wrong: None,
            late_at: None,
            moments: Cell::new(0),
        }
    }

    /// A moment at which the process may be killed.
    async fn moment(&self) {
        let may_write = |site: usize| !self.denied[site].borrow().contains(&denial("User:app"));
        assert!(!(may_write(0) && may_write(1)), "both sites can be written to");
        let moments = self.moments.get() + 1;
        self.moments.set(moments);
        if self.late_at.is_some_and(|at| moments >= at) && self.course().step(Step::Release).is_none() {
            self.late.set(true);
        }
        match self.fuel.get() {
            0 => std::future::pending().await,
            fuel => self.fuel.set(fuel - 1),
        }
    }

    fn goes_wrong(&self, step: Step) -> Result<(), Trouble> {
        match self.wrong {
            Some((from, at)) if at == step && self.moments.get() >= from => {
                Err(Trouble::failed("it went wrong"))
            }
            _ => Ok(()),
        }
    }

    /// The link back, once it has turned and writers are released.
    fn turned(&self) -> Running {
        match self.consumers {
            true => Running::Waits("b-a".to_owned()),
            false => link("b-a"),
        }
    }

    fn course(&self) -> Course {
        let mut course = Course::new(plan(), 0);
        for (when, event) in (1..).zip(self.events.borrow().iter()) {
            course.take(event, when).expect("what is on record is possible");
        }
        course
    }
}

struct Record<'o>(&'o Outside, Course);

impl Log<Step> for Record<'_> {
    type Error = std::convert::Infallible;

    fn course(&self) -> &Course {
        &self.1
    }

    async fn note(&mut self, event: Event) -> Result<(), Self::Error> {
        self.0.moment().await;
        if let Some(runs) = Step::runs(&event, &self.1) {
            self.0.runs.replace(runs);
        }
        self.0.events.borrow_mut().push(event);
        self.0.moment().await;
        self.1 = self.0.course();
        Ok(())
    }
}

impl World<Step> for Outside {
    async fn intend(&self, step: Step, _: &Course) -> Result<Intent, Trouble> {
        self.moment().await;
        self.goes_wrong(step)?;
        Ok(match step {
            Step::Block => {
                acls::intent([denial("User:old"), denial("User:app")].into(), &self.denied[0].borrow())
            }
            Step::Release => {
                Intent::Acls { create: Vec::new(), there: Vec::new(), delete: vec![denial("User:app")] }
            }
            Step::Clients => Intent::Run { command: "go".to_owned(), back: None },
            _ => Intent::Look,
        })
    }

    async fn act(&self, step: Step, intent: &Intent, _: &Course) -> Result<Facts, Trouble> {
        self.moment().await;
        match (step, intent) {
            (Step::Block, Intent::Acls { create, .. }) => {
                self.denied[0].borrow_mut().extend(create.iter().cloned());
            }
            (Step::Flip, _) => {
                assert_eq!(*self.runs.borrow(), Running::Neither, "neither runs while it turns");
                self.marked.set(true);
            }
            (Step::Follow, _) => assert_eq!(*self.runs.borrow(), link("b-a")),
            (Step::Release, Intent::Acls { delete, .. }) => {
                assert_eq!(*self.runs.borrow(), self.turned(), "the mirror has turned first");
                self.denied[1].borrow_mut().retain(|rule| !delete.contains(rule));
            }
            (Step::Clients, _) => {
                assert_eq!(
                    *self.runs.borrow(),
                    self.turned(),
                    "nothing comes back before consumers have left"
                );
                self.moved.set(true);
            }
            (Step::Leave, _) => {
                assert!(self.moved.get(), "they have been told to");
                self.left.set(true);
            }
            _ => {}
        }
        self.moment().await;
        self.goes_wrong(step)?;
        let groups = match step {
            Step::Flip if self.consumers => vec![GroupMoved { group: "billing".to_owned(), partitions: 1 }],
            _ => Vec::new(),
        };
        Ok(Facts { groups, ..Facts::says(step.as_str()) })
    }

    async fn undo(&self, step: Step, intent: &Intent, _: &Course) -> Result<Facts, Trouble> {
        self.moment().await;
        match (step, intent) {
            (Step::Block, Intent::Acls { create, .. }) => {
                assert_ne!(*self.runs.borrow(), link("b-a"), "the mirror has turned back first");
                self.denied[0].borrow_mut().retain(|rule| !create.contains(rule));
            }
            (Step::Flip, _) => assert_eq!(*self.runs.borrow(), Running::Neither),
            _ => panic!("{step} has nothing to undo"),
        }
        self.moment().await;
        Ok(Facts::default())
    }

    async fn is_quiet(&self, _: &Course) -> Result<(), Trouble> {
        self.moment().await;
        match self.late.get() {
            true => Err(Trouble { cause: Cause::Written, ..Trouble::failed("somebody has written") }),
            false => Ok(()),
        }
    }

    async fn agrees(&self, _: &Course) -> bool {
        true
    }

    fn waits_for(&self) -> String {
        String::new()
    }

    async fn reach(&self) -> Result<(), Trouble> {
        Ok(())
    }

    fn tries(&self) {}

    async fn hold(&self, _: Step, _: &str) {}
}

/// A process, to its end or until it is killed; what it ended with.
fn run(outside: &Outside, fuel: u32) -> Option<Result<Ending, Halt<Step, std::convert::Infallible>>> {
    outside.fuel.set(fuel);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let mut log = Record(outside, outside.course());
        drive(&mut log, outside, Duration::from_secs(3600)).now_or_never()
    })
}

/// Somebody asks for it to go back.
fn ask_back(outside: &Outside) {
    let course = outside.course();
    if course.ended.is_none() && course.back.is_none() && course.may_go_back() {
        let why = Why { step: Step::Block, cause: Cause::Asked, what: String::new() };
        outside.events.borrow_mut().push(Event::Back { why });
    }
}

fn check_end(outside: &Outside, ending: Ending) {
    assert!(
        outside.denied[0].borrow().contains(&denial("User:old")),
        "a rule of somebody else's was taken away"
    );
    let denied = |site: usize| outside.denied[site].borrow().contains(&denial("User:app"));
    let now = (denied(0), denied(1), outside.runs.borrow().clone(), outside.moved.get(), outside.left.get());
    match ending {
        Ending::Abandoned => panic!("nobody gives it up"),
        Ending::Back => assert_eq!(now, (false, true, link("a-b"), false, false)),
        Ending::Done => assert_eq!(now, (true, false, link("b-a"), true, true)),
    }
}

#[test]
fn without_trouble_the_mirror_turns_once_and_each_step_is_passed() {
    for consumers in [false, true] {
        let outside = Outside { consumers, ..Outside::new() };
        assert!(matches!(run(&outside, u32::MAX), Some(Ok(Ending::Done))));
        check_end(&outside, Ending::Done);
        assert!(outside.marked.get());
        let course = outside.course();
        assert_eq!(course.steps.iter().map(|passed| passed.step).collect::<Vec<_>>(), Step::ALL);
        let events = outside.events.borrow();
        let runs: Vec<_> = events.iter().filter_map(|event| Step::runs(event, &course)).collect();
        let waits = [outside.turned(), link("b-a")];
        let expected =
            [Running::Neither, link("b-a")].into_iter().chain(waits.into_iter().filter(|_| consumers));
        assert_eq!(runs, expected.collect::<Vec<_>>());
    }
}

#[test]
fn what_goes_wrong_before_writers_are_released_goes_back_by_itself() {
    for step in Step::ALL.iter().copied().filter(|step| *step < Step::Release) {
        let outside = Outside { wrong: Some((0, step)), ..Outside::new() };
        assert!(matches!(run(&outside, u32::MAX), Some(Ok(Ending::Back))), "{step}");
        check_end(&outside, Ending::Back);
    }
}

#[test]
fn once_writers_are_released_it_stays_and_goes_on() {
    let outside = Outside { wrong: Some((0, Step::Clients)), ..Outside::new() };
    assert!(matches!(run(&outside, u32::MAX), Some(Err(Halt::Trouble(Step::Clients, _)))));
    assert!(!outside.course().may_go_back());
    let again = Outside { wrong: None, ..outside };
    assert!(matches!(run(&again, u32::MAX), Some(Ok(Ending::Done))));
    check_end(&again, Ending::Done);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Killed at any moments, troubled at any step, written to late, asked back at any time.
    #[test]
    fn from_any_crash_it_ends_in_done_or_back(
        kills in prop::collection::vec(0_u32..60, 0..12),
        wrong in prop::option::of((0_u32..80, (0..Step::ALL.len()).prop_map(|n| Step::ALL[n]))),
        late_at in prop::option::of(0_u32..120),
        back_after in prop::option::of(0_usize..12),
        consumers: bool,
    ) {
        let mut outside = Outside { wrong, late_at, consumers, ..Outside::new() };
        for (n, fuel) in kills.into_iter().enumerate() {
            if back_after == Some(n) {
                ask_back(&outside);
            }
            run(&outside, fuel);
        }
        let mut ended = run(&outside, u32::MAX).expect("nobody kills it any more");
        if let Err(Halt::Trouble(..)) = ended {
            prop_assert!(!outside.course().may_go_back());
            (outside.wrong, outside.late_at) = (None, None);
            ended = run(&outside, u32::MAX).expect("nobody kills it any more");
        }
        let Ok(ending) = ended else { panic!("{ended:?}") };
        check_end(&outside, ending);
        prop_assert_eq!(outside.course().next(), Next::Nothing);
        // What is written late never ends in done, unless writers were released.
        if ending == Ending::Done && outside.late.get() {
            prop_assert!(outside.course().step(Step::Release).is_some());
        }
    }
}
