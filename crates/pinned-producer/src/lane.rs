//! One lane on the way out: a task that makes batches of its pieces, has them sent, and takes their answers in order.
//!
//! ```text
//! Routed ──► queue ──► batch ──► in flight (at most 5) ──► answer ──► Acked
//!                                    └── sent again, as it is, until the target has answered for it
//! ```
//! A batch that was sent may or may not have been written until it is answered. It is sent again with the same
//! producer id and sequence number, so that the broker writes it once (KIP-98); and batches behind one that failed
//! are refused by the broker, because their sequence numbers do not follow: nothing overtakes.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

use bytes::Bytes;
use kafka_wire::{Client, ProducerIdentity, records::Stamp};
use mirror_types::{Acked, Lane, LaneEvent, Offset, Routed, Stop, StopKind};
use tokio::sync::mpsc;
use tracing::{debug, info, warn};

use crate::{
    Metrics, Offsets, Opening, RefusedPolicy, Takes,
    broker::{Answer, Brokers, Failure, Outgoing, Way},
    drafts::{Draft, Drafts, Step},
    fill::{Filler, Unfilled},
    memory::Memory,
    padding,
    producer_id::ProducerIds,
    properties::Options,
    refusal::{self, Refusal},
};

/// Batches of a partition that a broker can tell to be repetitions: KIP-98's `max.in.flight` of 5.
const IN_FLIGHT: usize = 5;
/// How long the target may answer with passing trouble before the operator is told.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a partition may be unknown to the target before it counts as gone.
const GONE: Duration = Duration::from_secs(5);

/// What all lanes' writers share.
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) client: Client,
    pub(crate) producer_ids: ProducerIds,
    pub(crate) brokers: Brokers,
    pub(crate) filler: Filler,
    pub(crate) refused: RefusedPolicy,
    pub(crate) acks: mpsc::Sender<Acked>,
    pub(crate) events: mpsc::Sender<LaneEvent>,
    pub(crate) metrics: Metrics,
}

/// One lane's run.
pub(crate) struct LaneWriter {
    shared: Arc<Shared>,
    lane: Lane,
    opening: Opening,
    takes: Takes,
    drafts: Drafts,
    memory: Memory,
    producer: ProducerIdentity,
    leader: Option<i32>,
    pieces: mpsc::UnboundedReceiver<Routed>,
    answers: mpsc::UnboundedReceiver<Answer>,
    answer_to: mpsc::UnboundedSender<Answer>,
    in_flight: VecDeque<InFlight>,
    next_batch: u64,
    sequence: i32,
    /// Where the next acknowledged batch must lie on the target.
    expected: Offset,
    /// What is to be done before more is sent, once all that was sent is acknowledged.
    before: Option<Before>,
    /// Which connection of the leader: lanes that are slow to replicate have one of their own.
    way: Way,
    /// Set when this run is over, so that what still waits to be sent is not.
    over: Arc<AtomicBool>,
    trouble: Option<Trouble>,
}

/// What must not be done while a batch is in flight.
#[derive(Clone, Copy)]
enum Before {
    /// Control records up to this offset.
    Fill(Offset),
    /// The padding before this offset is deleted.
    Unpad(Offset),
}

/// A batch that was handed to a broker's sender.
struct InFlight {
    number: u64,
    draft: Draft,
    answer: Option<Result<Offset, Failure>>,
}

/// Trouble that passes, and since when it has lasted.
struct Trouble {
    since: Instant,
    tries: u32,
    told: bool,
}

impl LaneWriter {
    pub(crate) fn new(
        shared: Arc<Shared>,
        opening: Opening,
        takes: Takes,
        memory: Memory,
        pieces: mpsc::UnboundedReceiver<Routed>,
    ) -> Self {
        let (answer_to, answers) = mpsc::unbounded_channel();
        let lane = opening.lane.clone();
        let mut drafts = Drafts::new(lane.clone(), shared.options, shared.refused, takes, memory.clone());
        let end = opening.standing.end;
        if opening.offsets == Offsets::Identical {
            drafts.identical_from(opening.start.unwrap_or(end));
            if let (None, Some(last)) = (opening.start, opening.standing.last) {
                drafts.check(last.offset, last.digest);
            }
        }
        Self {
            shared,
            lane,
            opening,
            takes,
            drafts,
            memory,
            producer: ProducerIdentity { id: -1, epoch: -1 },
            leader: None,
            pieces,
            answers,
            answer_to,
            in_flight: VecDeque::new(),
            next_batch: 0,
            sequence: 0,
            expected: end,
            before: None,
            way: Way::Usual,
            over: Arc::default(),
            trouble: None,
        }
    }

    /// Runs until the pieces end and all of them are acknowledged, or until the lane stops.
    pub(crate) async fn run(mut self) {
        if let Some(stop) = self.write().await {
            let event = LaneEvent::Stopped { lane: self.lane.id(), stop };
            let _ = self.shared.events.send(event).await;
        }
    }

    async fn write(&mut self) -> Option<Stop> {
        self.take_over().await;
        if let Some(start) = self.opening.start
            && let Some(stop) = self.pad(start).await
        {
            return Some(stop);
        }
        let mut closed = false;
        let mut stop = None;
        loop {
            if let (Some(before), true) = (self.before, self.in_flight.is_empty()) {
                if let Some(stop) = self.just_now(before).await {
                    return Some(stop);
                }
                self.before = None;
            }
            while let Ok(piece) = self.pieces.try_recv() {
                self.drafts.add(piece);
            }
            while stop.is_none() && self.before.is_none() && self.may_send() {
                match self.drafts.step(self.stamp()) {
                    Step::Batch(draft) => self.send(draft).await,
                    Step::Moved(draft) => self.moved(draft).await,
                    Step::Skipped(offset, refusal) => self.skipped(offset, refusal).await,
                    Step::End(offset, refusal) => {
                        self.moved_to(offset).await;
                        self.count(&refusal);
                        stop = Some(refusal.stop);
                    }
                    Step::Fill(to) => self.before = Some(Before::Fill(to)),
                    Step::Nothing => break,
                }
            }
            if self.before.is_some() && self.in_flight.is_empty() {
                continue;
            }
            if self.in_flight.is_empty() && (stop.is_some() || closed && self.drafts.is_empty()) {
                return stop;
            }
            tokio::select! {
                biased;
                Some(answer) = self.answers.recv() => {
                    if let Some(stop) = self.answered(answer).await {
                        return Some(stop);
                    }
                }
                piece = self.pieces.recv(), if !closed => match piece {
                    Some(piece) => self.drafts.add(piece),
                    None => closed = true,
                },
            }
        }
    }

    /// Goes on where the last writer's sequence numbers end. Whoever wrote last may still have something on its way: with
    /// the same producer id and the numbers that follow, the target takes from the two of us each record once, or
    /// refuses and so tells that this run has to look again.
    async fn take_over(&mut self) {
        let standing = &self.opening.standing;
        let followed = standing.last.and_then(|last| last.writer);
        (self.producer, self.sequence) = match followed {
            Some((producer, next)) if !self.memory.is_refused(producer, standing.end) => (producer, next),
            Some((producer, _)) => (self.shared.producer_ids.get(Some(producer)).await, 0),
            None => (self.shared.producer_ids.get(self.memory.written_under()).await, 0),
        };
        self.memory.writing_under(self.producer, standing.end);
    }

    /// Pads an empty partition up to where the lane starts, and deletes the padding.
    async fn pad(&mut self, start: Offset) -> Option<Stop> {
        let limit = self.shared.options.batch_for(self.takes.max_message_bytes);
        let mut end = self.opening.standing.end;
        if end < start {
            info!(lane = %self.lane, from = end, to = start, "padding the target up to where the lane starts");
        }
        while end < start || !self.in_flight.is_empty() {
            while end < start && self.may_send() {
                let stamp = self.stamp();
                let (bytes, count) =
                    tokio::task::block_in_place(|| padding::batch(start - end, limit, stamp));
                end += Offset::from(count);
                self.send(Draft { bytes, count, ..Draft::new(&self.lane) }).await;
            }
            let answer = self.answers.recv().await.expect("we hold a sender");
            if let Some(stop) = self.answered(answer).await {
                return Some(stop);
            }
        }
        self.just_now(Before::Unpad(start)).await
    }

    async fn just_now(&mut self, what: Before) -> Option<Stop> {
        let shared = &self.shared;
        let at = &self.lane.target;
        match what {
            Before::Fill(to) => match shared.filler.fill(self.producer, at, self.expected, to).await {
                Ok(()) => self.expected = to,
                Err(Unfilled::Moved(end)) => {
                    return Some(refusal::end_moved(&self.lane, self.expected, end));
                }
                Err(Unfilled::Refused(error)) => return Some(refusal::unfilled(&self.lane, &error)),
            },
            Before::Unpad(start) => {
                if let Err(error) = padding::delete(&shared.client, at, start).await {
                    return Some(refusal::not_unpadded(&self.lane, start, &error));
                }
            }
        }
        None
    }

    fn stamp(&self) -> Stamp {
        Stamp { producer: self.producer, sequence: self.sequence }
    }

    fn may_send(&self) -> bool {
        self.in_flight.len() < IN_FLIGHT && !self.in_flight.iter().any(InFlight::has_failed)
    }

    async fn send(&mut self, draft: Draft) {
        let number = self.next_batch;
        self.next_batch += 1;
        self.sequence = self.stamp().behind(draft.count);
        self.hand_over(number, draft.bytes.clone()).await;
        self.in_flight.push_back(InFlight { number, draft, answer: None });
    }

    async fn hand_over(&mut self, number: u64, records: Bytes) {
        let to = self.lane.target.clone();
        let leader = match self.leader {
            Some(leader) => Ok(leader),
            None => self.shared.client.leader(&to.topic, to.partition).await.map(|leader| leader.broker),
        };
        match leader {
            Ok(leader) => {
                self.leader = Some(leader);
                let (over, answer_to) = (self.over.clone(), self.answer_to.clone());
                let outgoing = Outgoing { to, number, records, over, answer_to };
                self.shared.brokers.send(leader, self.way, outgoing);
            }
            Err(error) => {
                let result = Err(Failure::NoAnswer(error.into()));
                let _ = self.answer_to.send(Answer { number, result });
            }
        }
    }

    /// Notes an answer. Some: the lane can't go on.
    async fn answered(&mut self, answer: Answer) -> Option<Stop> {
        let batch = self.in_flight.iter_mut().find(|batch| batch.number == answer.number)?;
        batch.answer = Some(answer.result);
        while let Some(Ok(base)) = self.in_flight.front().and_then(|batch| batch.answer.as_ref()) {
            let base = *base;
            let draft = self.in_flight.pop_front().expect("seen above").draft;
            if self.expected != base {
                return Some(refusal::moved(&self.lane, self.expected, base));
            }
            self.expected = base + i64::from(draft.count);
            self.over_it();
            // Only now: on two connections at once, batches could overtake each other.
            if self.in_flight.is_empty() {
                self.way = Way::Usual;
            }
            self.acknowledge(draft, base).await;
        }
        // What is behind a batch that failed is refused by the broker; once that is said too, all are sent again.
        if self.in_flight.iter().all(|batch| batch.answer.is_some())
            && let Some(InFlight { answer: Some(Err(failure)), .. }) = self.in_flight.front()
        {
            let failure = failure.clone();
            return self.recover(failure).await;
        }
        None
    }

    /// What to do about the first batch in flight, which was not written, or about which nothing is known.
    async fn recover(&mut self, failure: Failure) -> Option<Stop> {
        let first = &self.in_flight.front().expect("the one that failed").draft;
        // Padding has no records.
        let record = first.offsets.first().copied();
        let offset = record.unwrap_or(self.expected);
        let guilty = failure.guilty(first.offsets.len());
        for (index, words) in &guilty {
            let offset = first.offsets[*index];
            let refusal = refusal::of(&self.lane, offset, &failure.saying(words));
            self.memory.refuse(offset, refusal);
        }
        if !guilty.is_empty() {
            return Some(refusal::read_again(&self.lane, offset));
        }
        if failure.is_too_large() && first.count > 1 {
            self.memory.lower_batch_limit(first.bytes.len() / 2);
            return Some(refusal::read_again(&self.lane, offset));
        }
        let trouble = self.trouble.get_or_insert_with(Trouble::new);
        let lasting = trouble.since.elapsed();
        if !failure.passes() || failure.is_unknown_topic() && lasting > GONE {
            if failure.is_out_of_sequence() {
                self.memory.refused_sequence();
            }
            let refusal = refusal::of(&self.lane, offset, &failure);
            self.count(&refusal);
            if let Some(offset) = record {
                self.in_flight.clear();
                self.moved_to(offset).await;
            }
            return Some(refusal.stop);
        }
        if lasting > PATIENCE && !trouble.told {
            trouble.told = true;
            warn!(lane = %self.lane, offset, "the target does not take its records, trying on: {failure}");
        }
        let pause = trouble.pause();
        debug!(lane = %self.lane, offset, %failure, ?pause, "sent again");
        if failure.is_slow() {
            self.way = Way::Slow;
        }
        tokio::time::sleep(pause).await;
        self.leader = None;
        self.shared.client.forget(&self.lane.target.topic);
        let failed = self.in_flight.iter_mut().filter(|batch| batch.has_failed());
        let again: Vec<_> = failed
            .map(|batch| {
                batch.answer = None;
                (batch.number, batch.draft.bytes.clone())
            })
            .collect();
        for (number, records) in again {
            self.hand_over(number, records).await;
        }
        None
    }

    fn over_it(&mut self) {
        if let Some(trouble) = self.trouble.take().filter(|trouble| trouble.told) {
            info!(lane = %self.lane, "the target takes its records again, after {:.0?}", trouble.since.elapsed());
        }
    }

    async fn acknowledge(&mut self, draft: Draft, base: Offset) {
        let Draft { mut acked, credits, .. } = draft;
        for mark in &mut acked.marks {
            mark.target += base;
        }
        acked.end = self.expected;
        // Padding moves nothing.
        if acked.next >= 0 {
            let _ = self.shared.acks.send(acked).await;
        }
        drop(credits);
    }

    /// Only the position moves: behind what is in flight, or at once.
    async fn moved(&mut self, nothing: Draft) {
        match self.in_flight.back_mut() {
            Some(InFlight { draft: last, .. }) => {
                last.acked.next = last.acked.next.max(nothing.acked.next);
                last.credits.extend(nothing.credits);
            }
            None => {
                let acked = Acked { end: self.expected, ..nothing.acked };
                let _ = self.shared.acks.send(acked).await;
            }
        }
    }

    async fn moved_to(&mut self, next: Offset) {
        let mut nothing = Draft::new(&self.lane);
        nothing.acked.next = next;
        self.moved(nothing).await;
    }

    fn count(&self, refusal: &Refusal) {
        if refusal.stop.kind == StopKind::Refused {
            self.shared.metrics.refused(&self.lane).inc();
        }
    }

    async fn skipped(&self, offset: Offset, refusal: Refusal) {
        self.shared.metrics.refused(&self.lane).inc();
        let event = LaneEvent::Skipped { lane: self.lane.id(), offset, stop: refusal.stop };
        let _ = self.shared.events.send(event).await;
    }
}

impl Drop for LaneWriter {
    fn drop(&mut self) {
        self.over.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

// === impl InFlight ===

impl InFlight {
    fn has_failed(&self) -> bool {
        matches!(self.answer, Some(Err(_)))
    }
}

impl Trouble {
    fn new() -> Self {
        Self { since: Instant::now(), tries: 0, told: false }
    }

    fn pause(&mut self) -> Duration {
        self.tries += 1;
        Duration::from_millis(50 << self.tries.min(6)).min(Duration::from_secs(2))
    }
}
