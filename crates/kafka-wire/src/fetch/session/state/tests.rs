//! The state against a broker that does what KIP-227 says, and only that.

use bytes::Bytes;
use proptest::{collection::vec, prelude::*};

use super::*;
use crate::fetch::{Aborted, request::LAST};

/// A broker's side of one session: what it would read for us.
#[derive(Default)]
struct Broker {
    session: Option<(i32, i32)>,
    partitions: BTreeMap<(Id, Arc<str>, i32), i64>,
    /// Whether there is room for a session.
    is_full: bool,
    made: i32,
    /// How many partitions the last request named.
    named: usize,
}

/// What goes by ids goes by ids alone, and by names by names.
fn key(by_ids: bool, name: &Arc<str>, id: Id, partition: i32) -> (Id, Arc<str>, i32) {
    if by_ids { (id, "".into(), partition) } else { ([0; 16], name.clone(), partition) }
}

impl Broker {
    /// Answers with all partitions that are even and have been asked for from an offset below 10.
    fn answer(&mut self, by_ids: bool, next: Next<'_>) -> FetchAnswer {
        let (id, epoch) = next.session;
        assert_ne!(epoch, LAST);
        self.named = next.from.len() + next.forgotten.len();
        let mut error = None;
        if epoch == FULL {
            self.partitions.clear();
            self.made += 1;
            self.session = (!self.is_full).then_some((self.made, 1));
        } else if self.session.map(|(id, _)| id) != Some(id) {
            error = Some(Code::FetchSessionIdNotFound);
        } else if self.session != Some((id, epoch)) {
            error = Some(Code::InvalidFetchSessionEpoch);
        } else {
            self.session = Some((id, epoch + 1));
        }
        let mut answer = empty(error);
        if error.is_some() {
            return answer;
        }
        answer.session = self.session.map_or(NO_SESSION, |(id, _)| id);
        for from in next.from {
            let key = key(by_ids, &from.topic, from.topic_id, from.partition);
            self.partitions.insert(key, from.offset);
        }
        // As brokers do: what is listed in both is forgotten.
        for (name, id, partition) in &next.forgotten {
            assert!(self.partitions.remove(&key(by_ids, name, *id, *partition)).is_some(), "never told");
        }
        for ((id, name, partition), offset) in &self.partitions {
            if epoch == FULL || (partition % 2 == 0 && *offset < 10) {
                answer.topics.push(TopicAnswer {
                    name: Bytes::copy_from_slice(name.as_bytes()),
                    id: *id,
                    partitions: 1,
                });
                answer.partitions.push(fetched(*partition, *offset));
            }
        }
        answer
    }
}

fn empty(error: Option<Code>) -> FetchAnswer {
    FetchAnswer::of(error, NO_SESSION, Vec::new(), Vec::new())
}

/// Its high watermark is the offset that was asked for.
fn fetched(partition: i32, offset: i64) -> Fetched {
    Fetched {
        topic: "".into(),
        partition,
        asked: -1,
        error: None,
        high_watermark: offset,
        last_stable_offset: 0,
        log_start_offset: 0,
        aborted: Vec::<Aborted>::new(),
        preferred_replica: None,
        diverging: None,
        leader: None,
        records: Bytes::from_static(b"x"),
    }
}

fn from(topic: &str, id: u8, partition: i32, offset: i64) -> FetchFrom {
    FetchFrom { topic_id: [id; 16], ..FetchFrom::new(topic, partition, offset) }
}

fn round(state: &mut State, broker: &mut Broker) -> Result<Vec<Fetched>, Code> {
    let by_ids = state.all_have_ids();
    let answer = broker.answer(by_ids, state.next(by_ids));
    match state.take(answer) {
        Taken::Fetched(fetched) => Ok(fetched),
        Taken::Failed(code) => Err(code),
        Taken::Senseless(what) => panic!("{what}"),
    }
}

fn ours(state: &State) -> BTreeMap<(Id, Arc<str>, i32), i64> {
    let key = |from: &FetchFrom| key(state.by_ids, &from.topic, from.topic_id, from.partition);
    state.partitions.values().map(|entry| (key(&entry.from), entry.from.offset)).collect()
}

#[derive(Debug, Clone)]
enum Step {
    Set(u8, u8, i32, i64),
    Remove(u8, i32),
    Fetch,
    /// Changes come while a request is on its way.
    FetchWhile(Vec<Step>),
    /// The answer does not come.
    Lose,
    /// The broker forgets the session, or starts again.
    Evict,
    HasRoom(bool),
    Throttle,
}

fn change() -> impl Strategy<Value = Step> {
    prop_oneof![
        // The last id is none.
        (0..3u8, prop_oneof![9 => 1..3u8, 1 => Just(0u8)], 0..4i32, 0..20i64)
            .prop_map(|(topic, id, partition, offset)| Step::Set(topic, id, partition, offset)),
        (0..3u8, 0..4i32).prop_map(|(topic, partition)| Step::Remove(topic, partition)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => change(),
        4 => Just(Step::Fetch),
        3 => vec(change(), 0..4).prop_map(Step::FetchWhile),
        1 => Just(Step::Lose),
        1 => Just(Step::Evict),
        1 => any::<bool>().prop_map(Step::HasRoom),
        1 => Just(Step::Throttle),
    ]
}

fn apply(state: &mut State, change: Step) {
    // Topics have ids of their own.
    let id = |topic: u8, id: u8| if id == 0 { 0 } else { 10 * topic + id };
    match change {
        Step::Set(topic, generation, partition, offset) => {
            state.set(from(&format!("t{topic}"), id(topic, generation), partition, offset));
        }
        Step::Remove(topic, partition) => {
            state.remove(&format!("t{topic}"), partition);
        }
        _ => unreachable!("no change"),
    }
}

proptest! {
    #[test]
    fn the_broker_reads_what_is_set(steps in vec(step(), 1..60)) {
        let (mut state, mut broker) = (State::default(), Broker::default());
        for step in steps {
            match step {
                Step::Fetch => {
                    // It begins anew at most once.
                    let answer = round(&mut state, &mut broker).or_else(|_| round(&mut state, &mut broker));
                    let answer = answer.expect("the session began anew");
                    prop_assert_eq!(&broker.partitions, &ours(&state));
                    for fetched in &answer {
                        let set = &state.get(&fetched.topic, fetched.partition).expect("it is set");
                        prop_assert_eq!((fetched.asked, fetched.high_watermark), (set.offset, set.offset));
                    }
                    let named_again = state.is_established() && round(&mut state, &mut broker).is_ok();
                    prop_assert!(!named_again || broker.named == 0, "nothing has changed");
                }
                Step::FetchWhile(changes) => {
                    let by_ids = state.all_have_ids();
                    let answer = broker.answer(by_ids, state.next(by_ids));
                    changes.into_iter().for_each(|change| apply(&mut state, change));
                    if let Taken::Fetched(fetched) = state.take(answer) {
                        for fetched in fetched {
                            let set = state.get(&fetched.topic, fetched.partition);
                            prop_assert!(set.is_some());
                            prop_assert_eq!(fetched.asked, fetched.high_watermark, "what was asked");
                        }
                    }
                }
                Step::Lose => {
                    let by_ids = state.all_have_ids();
                    let _ = broker.answer(by_ids, state.next(by_ids));
                    state.begin_anew(true);
                }
                Step::Evict => broker.session = None,
                Step::HasRoom(room) => broker.is_full = !room,
                Step::Throttle => {
                    let by_ids = state.all_have_ids();
                    let is_full = !state.is_established();
                    let mut answer = broker.answer(by_ids, state.next(by_ids));
                    answer.topics.clear();
                    answer.partitions.clear();
                    if is_full {
                        // A throttled broker makes no session.
                        (answer.session, broker.session) = (NO_SESSION, None);
                    }
                    let _ = state.take(answer);
                }
                change => apply(&mut state, change),
            }
        }
    }
}

#[test]
fn without_a_session_each_partition_gets_its_turn() {
    let (mut state, mut broker) = (State::default(), Broker { is_full: true, ..Broker::default() });
    for partition in 0..3 {
        state.set(from("t", 1, partition, 0));
    }
    let mut firsts = Vec::new();
    for _ in 0..4 {
        let next = state.next(true);
        firsts.push(next.from[0].partition);
        assert_eq!(next.from.len(), 3);
        let first = next.from[0].partition;
        let mut answer = broker.answer(true, next);
        // There is room for the first one's records only.
        for fetched in &mut answer.partitions {
            if fetched.partition != first {
                fetched.records = Bytes::new();
            }
        }
        assert!(matches!(state.take(answer), Taken::Fetched(fetched) if fetched.len() == 3));
        assert!(!state.is_established());
    }
    assert_eq!(firsts, [0, 1, 2, 0]);
}

#[test]
fn a_topic_that_was_made_again_is_another() {
    let (mut state, mut broker) = (State::default(), Broker::default());
    state.set(from("t", 1, 0, 5));
    round(&mut state, &mut broker).unwrap();
    // An answer for the old one comes when the new one is set.
    let late = broker.answer(true, state.next(true));
    state.set(from("t", 2, 0, 0));
    assert!(matches!(state.take(late), Taken::Fetched(fetched) if fetched.is_empty()));
    let fetched = round(&mut state, &mut broker).unwrap();
    assert_eq!((fetched.len(), fetched[0].asked), (1, 0));
    assert_eq!(broker.partitions.len(), 1, "the old one is forgotten");
}

#[test]
fn epochs_wrap_to_1_and_errors_end_the_session() {
    let (mut state, mut broker) = (State::default(), Broker::default());
    state.set(from("t", 1, 0, 0));
    round(&mut state, &mut broker).unwrap();
    state.epoch = i32::MAX;
    assert_eq!(state.next(true).session, (1, i32::MAX));
    let mut answer = empty(None);
    answer.session = 1;
    let _ = state.take(answer);
    assert_eq!(state.next(true).session, (1, 1));
    // The session is there, but not where we are: a request that lists all ends it.
    let _ = state.take(empty(Some(Code::InvalidFetchSessionEpoch)));
    assert_eq!(state.next(true).session, (1, FULL));
    let _ = state.take(empty(Some(Code::FetchSessionIdNotFound)));
    assert_eq!(state.next(true).session, (NO_SESSION, FULL));
}
