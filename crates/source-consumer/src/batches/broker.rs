//! Reads from one broker: all its lanes in one fetch session, and hands on what comes as the buffer allows.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use kafka_wire::{Code, Error, FetchOptions, FetchSession, Fetched, To};
use mirror_types::{Fetched as Handed, LaneId, SourceChange};
use tokio::{sync::mpsc, time::Instant};
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
/// How soon a lane is looked at again that waits for the buffer.
const AGAIN: Duration = Duration::from_millis(5);
/// An answer that took this long, and was full, was too small.
const LONG: Duration = Duration::from_millis(30);

type Key = (Arc<str>, i32);

/// What a reader is told.
#[derive(Debug)]
pub(super) enum Order {
    Read(Box<ReadLane>),
    Stop(LaneId),
}

/// One broker's reader.
pub(super) struct BrokerReader {
    shared: Arc<Shared>,
    broker: i32,
    orders: mpsc::UnboundedReceiver<Order>,
    back: mpsc::UnboundedSender<Back>,
    lanes: HashMap<Key, Box<ReadLane>>,
    session: Option<FetchSession>,
    /// Lanes that are not in the session: they wait for the buffer.
    waiting: VecDeque<Key>,
    /// When the request on its way was sent.
    asked: Instant,
}

impl BrokerReader {
    pub(super) fn new(
        shared: Arc<Shared>,
        broker: i32,
        orders: mpsc::UnboundedReceiver<Order>,
        back: mpsc::UnboundedSender<Back>,
    ) -> Self {
        let (lanes, waiting) = (HashMap::new(), VecDeque::new());
        Self { shared, broker, orders, back, lanes, session: None, waiting, asked: Instant::now() }
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
            self.see_to_waiting().await;
            let options = self.options();
            let Some(session) = self.session.as_mut().filter(|session| !session.is_empty()) else {
                tokio::time::sleep(AGAIN).await;
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
                () = tokio::time::sleep(AGAIN), if !self.waiting.is_empty() => continue,
            };
            match fetched {
                Ok(fetched) => self.took(fetched).await,
                Err(error) => self.send_all_away(&error),
            }
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Read(lane) => {
                debug!(lane = %lane.at(), broker = self.broker, from = lane.from, "reading");
                let key = (lane.at().topic.clone(), lane.at().partition);
                self.waiting.push_back(key.clone());
                self.lanes.insert(key, lane);
            }
            Order::Stop(id) => {
                let key = self.lanes.iter().find(|(_, lane)| lane.lane.id == id).map(|(key, _)| key.clone());
                if let Some(key) = key {
                    self.let_go(&key);
                }
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
        Ok(())
    }

    fn options(&self) -> FetchOptions {
        let max_bytes = i32::try_from(self.shared.prefetch).unwrap_or(i32::MAX);
        let max_wait = if self.waiting.is_empty() { WAIT } else { AGAIN };
        FetchOptions { isolation: self.shared.isolation, max_wait, min_bytes: 1, max_bytes }
    }

    /// Hands on what waits, and reads on where there is room.
    async fn see_to_waiting(&mut self) {
        for _ in 0..self.waiting.len() {
            let Some(key) = self.waiting.pop_front() else { break };
            self.hand_on(&key).await;
            self.read_on(key);
        }
    }

    /// The lane's next records are asked for with the next request, if there is room for them.
    fn read_on(&mut self, key: Key) {
        let (Some(lane), Some(session)) = (self.lanes.get(&key), &mut self.session) else { return };
        match lane.next_fetch().filter(|_| lane.pieces.is_empty()) {
            Some(from) => session.set(from),
            None => {
                session.remove(&key.0, key.1);
                self.waiting.push_back(key);
            }
        }
    }

    async fn took(&mut self, fetched: Vec<Fetched>) {
        let was_long = self.asked.elapsed() >= LONG;
        let mut keys = Vec::with_capacity(fetched.len());
        for fetched in fetched {
            let key = (fetched.topic.clone(), fetched.partition);
            if self.take(&key, fetched, was_long).await {
                keys.push(key);
            }
        }
        // Where there is room for more already, that is asked for before this is handed on.
        let mut later = Vec::new();
        for key in keys {
            let (Some(lane), Some(session)) = (self.lanes.get(&key), &mut self.session) else { continue };
            match lane.next_fetch() {
                Some(from) => session.set(from),
                None => _ = session.remove(&key.0, key.1),
            }
            later.push(key);
        }
        let options = self.options();
        if let Some(session) = self.session.as_mut().filter(|session| !session.is_empty()) {
            self.asked = Instant::now();
            session.send(&options);
        }
        for key in later {
            self.hand_on(&key).await;
            self.read_on(key);
        }
    }

    /// Takes what was fetched of a lane. False: the lane is not read here any more.
    async fn take(&mut self, key: &Key, fetched: Fetched, was_long: bool) -> bool {
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
        let bytes = fetched.records.len();
        if was_long && bytes >= lane.max_bytes as usize / 4 * 3 {
            let most = i32::try_from(self.shared.prefetch).unwrap_or(i32::MAX);
            lane.max_bytes = lane.max_bytes.saturating_mul(2).min(most);
        }
        let cut = cut(fetched.records, fetched.aborted, Place { next: lane.from, position: lane.position });
        for (cause, offsets) in cut.gaps() {
            self.shared.metrics.gap(lane.at(), cause, offsets);
        }
        if let Some(needed) = cut.needs.and_then(|needed| i32::try_from(needed).ok()) {
            lane.max_bytes = lane.max_bytes.max(needed);
        }
        lane.from = cut.pieces.last().map_or(lane.from, |last| last.next);
        lane.epochs.extend(cut.epochs);
        lane.pieces.extend(cut.pieces);
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
            self.shared.stopped(&lane, stop(lane.at(), lane.from, &code.to_string())).await;
        }
    }

    /// Hands on what was read of a lane, as far as throttle and buffer let it.
    async fn hand_on(&mut self, key: &Key) {
        let Some(lane) = self.lanes.get_mut(key) else { return };
        while let Some(piece) = lane.pieces.front() {
            let Ok(credit) = lane.lane.credit.take(piece.content.cost()) else { return };
            let Some(piece) = lane.pieces.pop_front() else { return };
            if let Some(throttle) = &self.shared.throttle {
                tokio::time::sleep(throttle.delay(piece.content.bytes())).await;
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
