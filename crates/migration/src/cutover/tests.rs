//! A cutover in a world of a few flags, killed anywhere and begun again: it ends in done or back, and the world is then as
//! that says.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    time::Duration,
};

use futures::FutureExt;
use kafka_wire::{AclOperation, AclPattern, AclPermission, AclResource, AclRule};
use proptest::prelude::*;

use super::{Cause, Course, Ending, Event, Facts, Intent, Plan, Route, Step, Why};
use crate::operation::{
    Next, Steps,
    drive::{Halt, Log, Trouble, World, drive},
};

fn rule(principal: &str) -> AclRule {
    AclRule {
        resource: AclResource::Topic,
        name: "orders".to_owned(),
        pattern: AclPattern::Literal,
        principal: principal.to_owned(),
        permission: AclPermission::Deny,
        operation: AclOperation::Write,
        host: "*".to_owned(),
    }
}

fn plan() -> Plan {
    let route = Route { topic: "orders".to_owned(), target_topic: "orders".to_owned() };
    Plan { topics: vec![route], source_cluster: None, target_cluster: None, turn: None }
}

/// What there is beside the process: it stays when that is killed.
struct Outside {
    events: RefCell<Vec<Event>>,
    rules: RefCell<BTreeSet<AclRule>>,
    allowed: Cell<bool>,
    moved: Cell<bool>,
    stopped: Cell<bool>,
    /// Something that only somebody else writes.
    late: Cell<bool>,
    /// Things done, in their order; a process that is killed does no more.
    done: RefCell<Vec<(Step, bool)>>,
    fuel: Cell<u32>,
    /// Whether a command moves clients, or somebody by hand.
    hook: bool,
    /// What goes wrong, and at which moment.
    wrong: Option<(u32, Step, Cause)>,
    late_at: Option<u32>,
    moments: Cell<u32>,
}

impl Outside {
    fn new() -> Self {
        Self {
            events: RefCell::default(),
            // Somebody has denied it long before.
            rules: RefCell::new([rule("User:old")].into()),
            allowed: Cell::new(false),
            moved: Cell::new(false),
            stopped: Cell::new(false),
            late: Cell::new(false),
            done: RefCell::default(),
            fuel: Cell::new(u32::MAX),
            hook: true,
            wrong: None,
            late_at: None,
            moments: Cell::new(0),
        }
    }

    /// A moment at which the process may be killed.
    async fn moment(&self) {
        let moments = self.moments.get() + 1;
        self.moments.set(moments);
        if self.late_at.is_some_and(|at| moments >= at) && !self.stopped.get() {
            self.late.set(true);
        }
        match self.fuel.get() {
            0 => std::future::pending().await,
            fuel => self.fuel.set(fuel - 1),
        }
    }

    fn goes_wrong(&self, step: Step) -> Result<(), Trouble> {
        match self.wrong {
            Some((from, at, cause)) if at == step && self.moments.get() >= from => {
                Err(Trouble { cause, what: "it went wrong".to_owned(), passing: false })
            }
            _ => Ok(()),
        }
    }

    fn course(&self) -> Course {
        let events = self.events.borrow();
        let mut course = Course::new(plan(), 0);
        for (when, event) in (1..).zip(events.iter()) {
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
                let wanted = [rule("User:old"), rule("User:app")];
                let (there, create) = wanted.into_iter().partition(|rule| self.rules.borrow().contains(rule));
                Intent::Acls { create, there, delete: Vec::new() }
            }
            Step::Rights => {
                Intent::Acls { create: vec![rule("User:new")], there: Vec::new(), delete: Vec::new() }
            }
            Step::Clients if self.hook => Intent::Run { command: "go".to_owned(), back: None },
            _ => Intent::Look,
        })
    }

    async fn act(&self, step: Step, intent: &Intent, course: &Course) -> Result<Facts, Trouble> {
        self.moment().await;
        assert_eq!(course.step(step).map(|passed| &passed.intent), Some(intent), "it is on record first");
        self.done.borrow_mut().push((step, true));
        match (step, intent) {
            (Step::Block, Intent::Acls { create, .. }) => {
                self.rules.borrow_mut().extend(create.iter().cloned())
            }
            (Step::Rights, _) => self.allowed.set(true),
            (Step::Clients, _) => self.moved.set(true),
            (Step::Stop, _) => self.stopped.set(true),
            _ => {}
        }
        self.moment().await;
        self.goes_wrong(step)?;
        Ok(Facts::says(step.as_str()))
    }

    async fn undo(&self, step: Step, intent: &Intent, _: &Course) -> Result<Facts, Trouble> {
        self.moment().await;
        self.done.borrow_mut().push((step, false));
        match (step, intent) {
            (Step::Block, Intent::Acls { create, .. }) => {
                self.rules.borrow_mut().retain(|rule| !create.contains(rule));
            }
            (Step::Rights, _) => self.allowed.set(false),
            (Step::Clients, _) => self.moved.set(false),
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
        let why = Why { step: Step::Stop, cause: Cause::Asked, what: String::new() };
        outside.events.borrow_mut().push(Event::Back { why });
    }
}

fn check_end(outside: &Outside, ending: Ending) {
    let old_only: BTreeSet<_> = [rule("User:old")].into();
    assert!(outside.rules.borrow().contains(&rule("User:old")), "a rule of somebody else's was taken away");
    let flags = (outside.allowed.get(), outside.moved.get(), outside.stopped.get());
    match ending {
        Ending::Abandoned => panic!("nobody gives it up"),
        Ending::Back => {
            assert_eq!(*outside.rules.borrow(), old_only);
            assert_eq!(flags, (false, false, false));
        }
        Ending::Done => {
            assert!(outside.rules.borrow().contains(&rule("User:app")));
            assert_eq!(flags, (true, true, true));
        }
    }
    // Each step was done after those before it, and undone before them.
    let done = outside.done.borrow();
    let (there, back): (Vec<_>, Vec<_>) = done.iter().partition(|(_, on)| *on);
    assert!(there.is_sorted_by_key(|(step, _)| *step), "{done:?}");
    assert!(back.is_sorted_by(|a, b| a.0 >= b.0), "{done:?}");
}

#[test]
fn without_trouble_all_steps_are_passed_in_their_order() {
    let outside = Outside::new();
    assert!(matches!(run(&outside, u32::MAX), Some(Ok(Ending::Done))));
    check_end(&outside, Ending::Done);
    let done: Vec<_> = outside.done.borrow().iter().map(|(step, _)| *step).collect();
    assert_eq!(done, Step::ALL);
    let course = outside.course();
    assert_eq!(course.next(), Next::Nothing);
    assert!(!course.may_go_back());
    let (blocked, moved) = course.without_writes().unwrap();
    assert!(blocked < moved.unwrap());
}

#[test]
fn what_can_not_follow_is_no_story() {
    let mut course = Course::new(plan(), 0);
    let entered = |step| Event::Entered { step, intent: Intent::Look };
    let left = |step| Event::Left { step, facts: Facts::default() };
    for wrong in [entered(Step::Lag), left(Step::Preconditions), Event::Ended { how: Ending::Done }] {
        assert!(course.take(&wrong, 1).is_err(), "{wrong:?}");
    }
    course.take(&entered(Step::Preconditions), 1).unwrap();
    course.take(&Event::Resumed, 2).unwrap();
    assert_eq!(course.next(), Next::Act(Step::Preconditions));
    assert!(course.take(&Event::Undoing { step: Step::Preconditions }, 3).is_err(), "it does not go back");
    let why = Why { step: Step::Preconditions, cause: Cause::Asked, what: String::new() };
    course.take(&Event::Back { why: why.clone() }, 4).unwrap();
    assert!(course.take(&Event::Back { why }, 5).is_err(), "it does already");
    assert_eq!(course.next(), Next::End(Ending::Back), "a look has nothing to be undone");
}

#[test]
fn clients_that_are_to_be_moved_by_hand_may_have_moved_once_that_is_asked_for() {
    let mut course = Course::new(plan(), 0);
    for step in Step::ALL.iter().copied().filter(|step| *step <= Step::Clients) {
        course.take(&Event::Entered { step, intent: Intent::Look }, 1).unwrap();
        assert!(!course.has_moved_clients(), "{step}");
        course.take(&Event::Left { step, facts: Facts::default() }, 2).unwrap();
    }
    assert!(course.has_moved_clients());
    let why = Why { step: Step::Clients, cause: Cause::Asked, what: String::new() };
    course.take(&Event::Back { why }, 3).unwrap();
    assert_eq!(course.next(), Next::Undo(Step::Clients), "whether they have written is looked at first");
}

#[test]
fn behind_the_last_step_there_is_no_way_back() {
    let outside = Outside { wrong: Some((0, Step::Stop, Cause::Failed)), ..Outside::new() };
    outside.fuel.set(u32::MAX);
    // Its intent can't be made, and clients have moved: it stays.
    assert!(matches!(run(&outside, u32::MAX), Some(Err(Halt::Trouble(Step::Stop, _)))));
    ask_back(&outside);
    let again = Outside { wrong: None, ..outside };
    assert!(matches!(run(&again, u32::MAX), Some(Ok(Ending::Back))));
    check_end(&again, Ending::Back);
}

#[test]
fn what_goes_wrong_before_clients_have_moved_goes_back_by_itself() {
    for step in Step::ALL.iter().copied().filter(|step| *step < Step::Clients) {
        let outside = Outside { wrong: Some((0, step, Cause::TooLong)), ..Outside::new() };
        assert!(matches!(run(&outside, u32::MAX), Some(Ok(Ending::Back))), "{step}");
        check_end(&outside, Ending::Back);
        let why = outside.course().back.unwrap().1;
        assert_eq!((why.step, why.cause), (step, Cause::TooLong));
    }
}

#[test]
fn clients_that_were_moved_by_hand_have_moved_too() {
    let outside = Outside { wrong: Some((0, Step::Stop, Cause::Written)), hook: false, ..Outside::new() };
    assert!(matches!(run(&outside, u32::MAX), Some(Err(Halt::Trouble(Step::Stop, _)))));
    ask_back(&outside);
    let again = Outside { wrong: None, ..outside };
    assert!(matches!(run(&again, u32::MAX), Some(Ok(Ending::Back))));
    assert!(again.done.borrow().contains(&(Step::Clients, false)), "they are moved back first");
    check_end(&again, Ending::Back);
}

fn step() -> impl Strategy<Value = Step> {
    (0..Step::ALL.len()).prop_map(|n| Step::ALL[n])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Killed at any moments, troubled at any step, written to late, asked back at any time.
    #[test]
    fn from_any_crash_it_ends_in_done_or_back(
        kills in prop::collection::vec(0_u32..60, 0..12),
        wrong in prop::option::of((0_u32..80, step())),
        late_at in prop::option::of(0_u32..120),
        back_after in prop::option::of(0_usize..12),
        hook: bool,
    ) {
        let wrong = wrong.map(|(from, step)| (from, step, Cause::Failed));
        let mut outside = Outside { wrong, late_at, hook, ..Outside::new() };
        for (n, fuel) in kills.into_iter().enumerate() {
            if back_after == Some(n) {
                ask_back(&outside);
            }
            run(&outside, fuel);
        }
        let mut ended = run(&outside, u32::MAX).expect("nobody kills it any more");
        if let Err(Halt::Trouble(step, _)) = ended {
            // Only where clients may have moved, or there is no way back.
            let course = outside.course();
            prop_assert!(course.has_moved_clients() || step == Step::Stop);
            // Somebody decides: back if that is still possible, else it is mended.
            ask_back(&outside);
            (outside.wrong, outside.late_at) = (None, None);
            ended = run(&outside, u32::MAX).expect("nobody kills it any more");
        }
        let Ok(ending) = ended else { panic!("{ended:?}") };
        check_end(&outside, ending);
        prop_assert_eq!(outside.course().next(), Next::Nothing);
        // Whoever begins it again finds that it is over.
        let done = outside.done.borrow().len();
        prop_assert!(matches!(run(&outside, u32::MAX), Some(Ok(again)) if again == ending));
        prop_assert_eq!(outside.done.borrow().len(), done);
        // What is written late before clients move never ends in done.
        if ending == Ending::Done && outside.late.get() {
            prop_assert!(outside.course().has_moved_clients());
        }
    }

    #[test]
    fn events_are_read_back_as_they_were_written(step in step(), text in ".{0,40}") {
        let events = [
            Event::Began { plan: plan() },
            Event::Entered { step, intent: Intent::Acls { create: vec![rule(&text)], there: vec![], delete: vec![] } },
            Event::Entered { step, intent: Intent::Run { command: text.clone(), back: None } },
            Event::Left { step, facts: Facts::says(text.clone()) },
            Event::Back { why: Why { step, cause: Cause::Written, what: text } },
            Event::Ended { how: Ending::Back },
        ];
        for event in events {
            let json = serde_json::to_value(&event).unwrap();
            prop_assert_eq!(serde_json::from_value::<Event>(json).unwrap(), event);
        }
    }
}
