//! Reads from one broker: all its lanes in one fetch session, and hands on what comes as the buffer allows.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use kafka_wire::{Code, Error, FetchOptions, FetchSession, Fetched, Isolation, To, words};
use mirror_types::{Fetched as Handed, LaneId, SourceChange};
use tokio::sync::mpsc;
use tokio_util::sync::DropGuard;
use tracing::debug;

use super::{
    Back, Shared,
    cut::{Place, cut},
    lane::ReadLane,
    place::Why,
};
use crate::stops;

/// How long a broker may wait until there is something: also how soon a new lane is read.
const WAIT: Duration = Duration::from_millis(250);
/// How soon a lane is looked at again that waits for the buffer; doubles, up to [`SELDOM`], while none has room.
const AGAIN: Duration = Duration::from_millis(5);
const SELDOM: Duration = Duration::from_millis(40);
/// How often it is looked whether there is room for half a lane's share, before less than that is asked for: each batch in an
/// answer of its own costs a broker ten times as much. (Measured by benches/, `--shapes wide`.)
const PATIENCE: u32 = 8;
/// Bytes that are asked for at once of a broker that is near. Fewer cost more: the brokers are busy with requests. (Measured
/// by benches/, with 2, 4, 8 and 16 MiB.)
const ASK: u64 = 8 * 1024 * 1024;
/// Lanes that have a part in each answer where so many have more than fits: then a request to the target has a batch of
/// each.
const SHARES: u64 = 8;
/// Lanes with a backlog that are in the session at a time, at least; the others wait for their turn. A broker reads in every
/// partition of the session for each request, also where the answer is full without it. (Measured by benches/, `--shapes
/// wide`.)
const LEAST_PLACES: usize = 2 * SHARES as usize;
/// The least that a part has room for: a batch as large as brokers take (`message.max.bytes`), or each answer would bring
/// one such batch, whoever has them.
const WHOLE_BATCH: u64 = 1024 * 1024 + 12;
/// Bytes of records in an answer that lies in a buffer of its own.
const SMALL_ANSWER: usize = 64 * 1024;
/// Where more lanes than this are in an answer each has a small part of it, and the slowest of them would keep all of it.
const MANY: usize = 64;
/// The least that is asked for at once.
const LEAST: u64 = 64 * 1024;
/// Bytes a second that one answer after the other is to bring, however far away the broker is.
const RATE: f64 = 200e6;

type Key = (Arc<str>, i32);

/// What a reader is told.
#[derive(Debug)]
pub(super) enum Order {
    Read(Box<ReadLane>),
    /// Read it no more; what is given along is let go of once nothing more of it is handed on.
    Stop(LaneId, Option<DropGuard>),
}

/// One broker's reader.
pub(super) struct BrokerReader {
    shared: Arc<Shared>,
    broker: i32,
    orders: mpsc::UnboundedReceiver<Order>,
    back: mpsc::UnboundedSender<Back>,
    lanes: HashMap<Key, Box<ReadLane>>,
    session: Option<FetchSession>,
    /// Lanes that are not in the session: they wait for their turn, or for the buffer.
    waiting: VecDeque<Key>,
    /// Lanes with a backlog that the session has places for.
    places: usize,
    /// How soon they are looked at again.
    again: Duration,
    /// How often it has been looked in vain for room.
    looked: u32,
    /// Whether what comes is copied, so that it does not keep its whole answer in memory.
    copying: bool,
}

impl BrokerReader {
    pub(super) fn new(
        shared: Arc<Shared>,
        broker: i32,
        orders: mpsc::UnboundedReceiver<Order>,
        back: mpsc::UnboundedSender<Back>,
    ) -> Self {
        Self {
            shared,
            broker,
            orders,
            back,
            lanes: HashMap::new(),
            session: None,
            waiting: VecDeque::new(),
            places: LEAST_PLACES,
            again: AGAIN,
            looked: 0,
            copying: false,
        }
    }

    /// Runs until nobody gives orders any more.
    pub(super) async fn run(mut self) {
        loop {
            while let Ok(order) = self.orders.try_recv() {
                self.obey(order);
            }
            if self.lanes.is_empty() {
                if let Some(session) = self.session.take() {
                    session.close();
                }
                match self.orders.recv().await {
                    Some(order) => self.obey(order),
                    None => return,
                }
                continue;
            }
            if let Err(error) = self.connect().await {
                self.send_all_away(&error);
                continue;
            }
            self.see_to_waiting();
            let options = self.options();
            let Some(session) = self.session.as_mut().filter(|session| !session.is_empty()) else {
                tokio::time::sleep(self.again).await;
                continue;
            };
            let fetched = tokio::select! {
                biased;
                order = self.orders.recv() => match order {
                    Some(order) => {
                        self.obey(order);
                        continue;
                    }
                    None => return,
                },
                fetched = session.fetch(&options) => fetched,
            };
            match fetched {
                Ok(fetched) => self.took(fetched).await,
                Err(error) => self.send_all_away(&error),
            }
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Read(mut lane) => {
                lane.has_place = false;
                debug!(lane = %lane.at(), broker = self.broker, from = lane.from, "reading");
                let key = (lane.at().topic.clone(), lane.at().partition);
                self.waiting.push_back(key.clone());
                self.lanes.insert(key, lane);
            }
            Order::Stop(id, guard) => {
                let key = self.lanes.iter().find(|(_, lane)| lane.lane.id == id).map(|(key, _)| key.clone());
                if let Some(key) = key {
                    self.let_go(&key);
                }
                drop(guard);
            }
        }
    }

    /// Reads a lane no more.
    fn let_go(&mut self, key: &Key) -> Option<Box<ReadLane>> {
        if let Some(session) = &mut self.session {
            session.remove(&key.0, key.1);
        }
        self.waiting.retain(|waiting| waiting != key);
        self.lanes.remove(key)
    }

    fn send_away(&mut self, key: &Key, why: Why) {
        if let Some(lane) = self.let_go(key) {
            let _ = self.back.send(Back { lane, why });
        }
    }

    /// The broker is not there, or makes no sense.
    fn send_all_away(&mut self, error: &Error) {
        debug!(broker = self.broker, %error, "can't be read from");
        self.session = None;
        self.waiting.clear();
        for (key, lane) in self.lanes.drain() {
            self.shared.client.forget(&key.0);
            self.shared.client.forget_reader(&key.0, key.1);
            let _ = self.back.send(Back { lane, why: Why::Moved });
        }
    }

    async fn connect(&mut self) -> Result<(), Error> {
        if self.session.as_ref().is_some_and(|session| !session.connection().is_closed()) {
            return Ok(());
        }
        let client = &self.shared.client;
        let connection = client.connection(To::Broker(self.broker)).await?;
        self.session = Some(FetchSession::new(client, connection, &client.settings().rack));
        // None of them is in the new session.
        self.waiting = self.lanes.keys().cloned().collect();
        for lane in self.lanes.values_mut() {
            lane.has_place = false;
        }
        Ok(())
    }

    fn options(&self) -> FetchOptions {
        let max_wait = if self.waiting.is_empty() { WAIT } else { self.again };
        let max_bytes = i32::try_from(self.room()).unwrap_or(i32::MAX);
        FetchOptions { isolation: self.shared.isolation, max_wait, min_bytes: 1, max_bytes }
    }

    /// Bytes to ask for now: what comes counts as in use when it has come, so all brokers together must not bring more
    /// than there is room for.
    fn room(&self) -> u64 {
        let lane = self.lanes.values().next();
        let free = lane.map_or(0, |lane| lane.lane.credit.budget().free());
        self.ask().min(free / self.brokers()).max(LEAST)
    }

    /// Brokers that share the buffer.
    fn brokers(&self) -> u64 {
        self.shared.readers.load(Relaxed).max(1)
    }

    /// Bytes to ask for at once, where there is room: what fills the way to the broker and back.
    fn ask(&self) -> u64 {
        let session = self.session.as_ref();
        let round_trip = session.map_or(Duration::ZERO, |session| session.connection().round_trip());
        let fills = (round_trip.as_secs_f64() * RATE) as u64;
        fills.max(ASK).min(self.shared.prefetch.max(LEAST))
    }

    /// Reads on where there is room, and where there is a place. Lanes that are caught up need none: they stay in the session.
    fn see_to_waiting(&mut self) {
        let waited = self.waiting.len();
        let share = self.share();
        let mut free = self.places.saturating_sub(self.taken_places());
        for _ in 0..waited {
            let Some(key) = self.waiting.pop_front() else { break };
            let is_behind = self.lanes.get(&key).is_some_and(|lane| lane.is_behind);
            if is_behind && free == 0 {
                self.waiting.push_back(key);
            } else if self.read_on(key, share) {
                // What is asked for out of impatience is little: one after the other, until there is room.
                free = if self.looked < PATIENCE { free - 1 } else { 0 };
            }
        }
        if waited > 0 && self.taken_places() == 0 {
            self.looked = (self.looked + 1).min(PATIENCE);
        }
        let none_reads_on = waited > 0 && self.waiting.len() == waited;
        self.again = if none_reads_on { (self.again * 2).min(SELDOM) } else { AGAIN };
    }

    /// The lane's next records are asked for with the next request, if there is room for them. Whether it takes a place.
    fn read_on(&mut self, key: Key, most: u64) -> bool {
        let (Some(lane), Some(session)) = (self.lanes.get_mut(&key), &mut self.session) else { return false };
        let has_room = lane.room() >= most / 2;
        if lane.is_behind && has_room {
            self.looked = 0;
        }
        let waits = lane.is_behind && !has_room && self.looked < PATIENCE;
        let next = if waits { None } else { lane.next_fetch(most) };
        let takes_place = lane.is_behind && next.is_some();
        lane.has_place = takes_place;
        match next {
            Some(from) => session.set(from),
            None => self.wait(key),
        }
        takes_place
    }

    /// Bytes to ask for of each lane: those with a backlog share the answer.
    fn share(&self) -> u64 {
        let behind = self.lanes.values().filter(|lane| lane.is_behind).take(SHARES as usize).count() as u64;
        (self.ask() / behind.max(1)).max(WHOLE_BATCH)
    }

    /// The lane leaves the session until it has a place in it, and room.
    fn wait(&mut self, key: Key) {
        if let Some(lane) = self.lanes.get_mut(&key) {
            lane.has_place = false;
        }
        if let Some(session) = &mut self.session {
            session.remove(&key.0, key.1);
        }
        self.waiting.push_back(key);
    }

    /// As many places as fill an answer, and as many again; more, where an answer had room for all that had one.
    fn count_places(&mut self, fetched: &[Fetched]) {
        let lane = |fetched: &Fetched| self.lanes.get(&(fetched.topic.clone(), fetched.partition));
        let was_served =
            |fetched: &&Fetched| !fetched.records.is_empty() || self.end_of(fetched) <= fetched.asked;
        let served = fetched.iter().filter(was_served).filter_map(lane).filter(|lane| lane.has_place).count();
        let taken = self.taken_places();
        let wanted = match served < taken {
            true => 2 * served,
            false if taken == self.places => 2 * taken,
            false => self.places,
        };
        self.places = wanted.min(self.lanes.len()).max(LEAST_PLACES);
    }

    /// The end that it can be read to.
    fn end_of(&self, fetched: &Fetched) -> i64 {
        match self.shared.isolation {
            Isolation::ReadCommitted => fetched.last_stable_offset,
            Isolation::ReadUncommitted => fetched.high_watermark,
        }
    }

    fn taken_places(&self) -> usize {
        self.lanes.values().filter(|lane| lane.has_place).count()
    }

    async fn took(&mut self, fetched: Vec<Fetched>) {
        if let Some(lane) = self.lanes.values().next() {
            let held = self.session.as_ref().map_or(0, |session| session.connection().held() as u64);
            self.copying = held > lane.lane.credit.budget().used() + self.shared.prefetch;
        }
        // A small answer lies in a buffer with others, which a single batch of it would keep.
        self.copying |= fetched.len() > MANY
            || fetched.iter().map(|fetched| fetched.records.len()).sum::<usize>() < SMALL_ANSWER;
        self.count_places(&fetched);
        let mut keys = Vec::with_capacity(fetched.len());
        for fetched in fetched {
            let key = (fetched.topic.clone(), fetched.partition);
            let brought = !fetched.records.is_empty();
            if self.take(&key, fetched).await {
                keys.push((key, brought));
            }
        }
        // More is asked for before this is handed on.
        let share = self.share();
        for (key, brought) in &keys {
            match self.lanes.get(key).is_some_and(|lane| lane.is_behind) {
                true if *brought => self.wait(key.clone()),
                // The answer was full before it was reached: its turn is still to come.
                true => {}
                false => _ = self.read_on(key.clone(), share),
            }
        }
        self.see_to_waiting();
        if self.waiting.is_empty() || self.taken_places() > 0 {
            let options = self.options();
            if let Some(session) = self.session.as_mut().filter(|session| !session.is_empty()) {
                session.send(&options);
            }
        }
        for (key, _) in &keys {
            self.hand_on(key).await;
        }
    }

    /// Takes what was fetched of a lane. False: the lane is not read here any more.
    async fn take(&mut self, key: &Key, fetched: Fetched) -> bool {
        let end = self.end_of(&fetched);
        let Some(lane) = self.lanes.get_mut(key).filter(|lane| lane.from == fetched.asked) else {
            return false;
        };
        if let Some(code) = fetched.error {
            self.failed(key, code).await;
            return false;
        }
        if let Some(end) = fetched.diverging {
            let (at, next) = (lane.at().clone(), lane.from);
            let point = lane.epochs.agree_to(end.epoch, end.end_offset);
            let to = point.map(|end| format!(" to offset {end}")).unwrap_or_default();
            let reason = format!("{at}: the source was truncated{to}, but the lane stands at {next}");
            let stop = stops::truncated(&at, reason);
            if let Some(lane) = self.let_go(key) {
                match point.filter(|end| *end < next) {
                    Some(end) => self.shared.changed(&lane, SourceChange::Truncated(end), stop).await,
                    None => self.shared.stopped(&lane, stop).await,
                }
            }
            return false;
        }
        if fetched.preferred_replica.is_some_and(|replica| replica != self.broker) {
            self.send_away(key, Why::Sent);
            return false;
        }
        lane.tries = 0;
        let records = match self.copying {
            true => Bytes::copy_from_slice(&fetched.records),
            false => fetched.records,
        };
        let cut = cut(records, fetched.aborted, Place { next: lane.from, position: lane.position });
        for (cause, offsets) in cut.gaps() {
            self.shared.metrics.gap(lane.at(), cause, offsets);
        }
        lane.needs = lane.needs.max(cut.needs.unwrap_or(0) as u64);
        lane.from = cut.pieces.last().map_or(lane.from, |last| last.next);
        lane.epochs.extend(cut.epochs);
        lane.is_behind = lane.from < end;
        for piece in cut.pieces {
            let credit = lane.lane.credit.take_what_came(piece.content.cost());
            lane.pieces.push_back((piece, credit));
        }
        if let Some((offset, error)) = cut.corrupt {
            // What is before it goes on first.
            self.hand_on(key).await;
            if let Some(lane) = self.let_go(key) {
                self.shared.stopped(&lane, stops::corrupt(lane.at(), offset, &error.to_string())).await;
            }
            return false;
        }
        true
    }

    /// What it means that a lane can't be read here.
    async fn failed(&mut self, key: &Key, code: Code) {
        debug!(topic = %key.0, partition = key.1, broker = self.broker, %code, "can't be read");
        let client = &self.shared.client;
        client.forget(&key.0);
        client.forget_reader(&key.0, key.1);
        let stop = match code {
            Code::OffsetOutOfRange => return self.send_away(key, Why::OutOfRange),
            Code::TopicAuthorizationFailed => stops::unreadable,
            Code::CorruptMessage => stops::corrupt,
            _ => return self.send_away(key, Why::Moved),
        };
        if let Some(lane) = self.let_go(key) {
            self.shared.stopped(&lane, stop(lane.at(), lane.from, &words(code))).await;
        }
    }

    /// Hands on what was read of a lane, as the throttle lets it.
    async fn hand_on(&mut self, key: &Key) {
        let Some(lane) = self.lanes.get_mut(key) else { return };
        while let Some((piece, credit)) = lane.pieces.pop_front() {
            let delay = self.shared.throttle.delay(piece.content.bytes());
            // Even a sleep of nothing takes a tick of the timer.
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            let (first, next) = (lane.handed, piece.next);
            lane.handed = next;
            let handed = Handed { lane: lane.lane.clone(), first, content: piece.content, next, credit };
            if self.shared.output.send(handed).await.is_err() {
                return;
            }
        }
    }
}
