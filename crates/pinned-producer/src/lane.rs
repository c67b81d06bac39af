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
use kafka_wire::{Client, ProducerIdentity};
use mirror_types::{Acked, Credit, Lane, LaneEvent, Mark, Offset, Record, Routed, Stop, StopKind};
use tokio::sync::mpsc;
use tracing::{debug, info, warn};

use crate::{
    Metrics, RefusedPolicy, Takes,
    broker::{Answer, Brokers, Failure, Outgoing, Way},
    encode::{BatchBuilder, Stamp},
    memory::Memory,
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
    pub(crate) refused: RefusedPolicy,
    pub(crate) acks: mpsc::Sender<Acked>,
    pub(crate) events: mpsc::Sender<LaneEvent>,
    pub(crate) metrics: Metrics,
}

/// One lane's run, from its first piece on.
pub(crate) struct LaneWriter {
    shared: Arc<Shared>,
    lane: Lane,
    takes: Takes,
    memory: Memory,
    producer: ProducerIdentity,
    leader: Option<i32>,
    pieces: mpsc::UnboundedReceiver<Routed>,
    answers: mpsc::UnboundedReceiver<Answer>,
    answer_to: mpsc::UnboundedSender<Answer>,
    /// Pieces not yet in a batch, and how many records of the first are.
    queue: VecDeque<Routed>,
    taken: usize,
    in_flight: VecDeque<InFlight>,
    next_batch: u64,
    sequence: i32,
    /// Where the next acknowledged batch must lie on the target; known from the first on.
    expected: Option<Offset>,
    /// Which connection of the leader: lanes that are slow to replicate have one of their own.
    way: Way,
    /// Set when this run is over, so that what still waits to be sent is not.
    over: Arc<AtomicBool>,
    trouble: Option<Trouble>,
}

/// A batch that was handed to a broker's sender.
struct InFlight {
    number: u64,
    bytes: Bytes,
    count: i32,
    /// What to say once it is acknowledged; its marks are relative to the batch until then.
    acked: Acked,
    /// Source offset of each record.
    offsets: Vec<Offset>,
    /// Of the pieces that end in it.
    credits: Vec<Credit>,
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
        lane: Lane,
        takes: Takes,
        memory: Memory,
        pieces: mpsc::UnboundedReceiver<Routed>,
    ) -> Self {
        let (answer_to, answers) = mpsc::unbounded_channel();
        Self {
            shared,
            lane,
            takes,
            memory,
            producer: ProducerIdentity { id: -1, epoch: -1 },
            leader: None,
            pieces,
            answers,
            answer_to,
            queue: VecDeque::new(),
            taken: 0,
            in_flight: VecDeque::new(),
            next_batch: 0,
            sequence: 0,
            expected: None,
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
        self.producer = self.shared.producer_ids.get(self.memory.written_under()).await;
        self.memory.writing_under(self.producer);
        let mut closed = false;
        let mut stop = None;
        loop {
            while stop.is_none() && self.may_send() {
                match self.make_batch().await {
                    Made::Batch(batch) => self.send(batch).await,
                    Made::Nothing => break,
                    Made::End(end) => stop = Some(end),
                }
            }
            if self.in_flight.is_empty() && (stop.is_some() || closed && self.queue.is_empty()) {
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
                    Some(piece) => self.queue.push_back(piece),
                    None => closed = true,
                },
            }
        }
    }

    fn may_send(&self) -> bool {
        self.in_flight.len() < IN_FLIGHT && !self.in_flight.iter().any(InFlight::has_failed)
    }

    /// A batch of what waits. Pieces without records only move the position.
    async fn make_batch(&mut self) -> Made {
        while let Ok(piece) = self.pieces.try_recv() {
            self.queue.push_back(piece);
        }
        let limit = self.memory.batch_limit(self.shared.options.batch_for(self.takes.max_message_bytes));
        let waiting: u64 = self.queue.iter().map(|piece| piece.batch.cost()).sum();
        let mut builder = BatchBuilder::new(limit.min(usize::try_from(waiting).unwrap_or(limit)));
        let mut batch = InFlight::new(&self.lane);
        let mut end = None;
        while let Some(piece) = self.queue.front() {
            let mut full = false;
            for record in piece.batch.iter().skip(self.taken) {
                let verdict = self.verdict(&record);
                let fits = builder.size() + record.batch_size() as usize <= limit;
                full = !builder.is_empty() && (!fits || verdict.is_some());
                if full {
                    break;
                }
                self.taken += 1;
                match verdict {
                    None => {
                        builder.push(&record);
                        batch.push(&record);
                    }
                    Some(refusal) if self.shared.refused == RefusedPolicy::Skip && refusal.of_this_record => {
                        self.skipped(record.offset(), refusal).await;
                        batch.acked.next = record.offset() + 1;
                    }
                    Some(refusal) => {
                        batch.acked.next = record.offset();
                        self.memory.forget(record.offset());
                        self.count(&refusal);
                        end = Some(refusal.stop);
                        break;
                    }
                }
            }
            if full || end.is_some() {
                break;
            }
            let Routed { next, credit, .. } = self.queue.pop_front().expect("seen above");
            self.taken = 0;
            batch.acked.next = next;
            batch.credits.push(credit);
        }
        if builder.is_empty() {
            self.moved(batch).await;
            return end.map_or(Made::Nothing, Made::End);
        }
        let stamp = Stamp { producer: self.producer, sequence: self.sequence };
        self.sequence = next_sequence(self.sequence, builder.count());
        batch.count = builder.count();
        batch.bytes = builder.finish(stamp, self.shared.options.compression);
        batch.number = self.next_batch;
        self.next_batch += 1;
        Made::Batch(batch)
    }

    /// Why a record must not be sent at all.
    fn verdict(&self, record: &Record<'_>) -> Option<Refusal> {
        if self.takes.only_keyed && record.key().is_none() {
            return Some(refusal::without_key(&self.lane, record.offset()));
        }
        // With compression a record's size on the target can't be known before it is sent.
        if let Some(limit) = self.takes.max_message_bytes.filter(|_| !self.shared.options.compresses())
            && record.batch_size() > limit
        {
            return Some(refusal::too_large(&self.lane, record.offset(), record.batch_size(), limit));
        }
        self.memory.verdict(record.offset())
    }

    async fn send(&mut self, batch: InFlight) {
        self.hand_over(batch.number, batch.bytes.clone()).await;
        self.in_flight.push_back(batch);
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
            let batch = self.in_flight.pop_front().expect("seen above");
            if let Some(expected) = self.expected.filter(|expected| *expected != base) {
                return Some(refusal::moved(&self.lane, batch.offsets[0], expected, base));
            }
            self.expected = Some(base + i64::from(batch.count));
            self.over_it();
            self.acknowledge(batch, base).await;
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
        let first = self.in_flight.front().expect("the one that failed");
        let offset = first.offsets[0];
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
            let refusal = refusal::of(&self.lane, offset, &failure);
            self.count(&refusal);
            self.moved_to(offset).await;
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
                (batch.number, batch.bytes.clone())
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

    async fn acknowledge(&mut self, batch: InFlight, base: Offset) {
        let InFlight { mut acked, credits, .. } = batch;
        for mark in &mut acked.marks {
            mark.target += base;
        }
        let _ = self.shared.acks.send(acked).await;
        drop(credits);
    }

    /// Only the position moves: behind what is in flight, or at once.
    async fn moved(&mut self, nothing: InFlight) {
        if nothing.acked.next < 0 {
            return;
        }
        match self.in_flight.back_mut() {
            Some(last) => {
                last.acked.next = nothing.acked.next;
                last.credits.extend(nothing.credits);
            }
            None => drop(self.shared.acks.send(nothing.acked).await),
        }
    }

    async fn moved_to(&mut self, next: Offset) {
        let mut acked = InFlight::new(&self.lane).acked;
        acked.next = next;
        let _ = self.shared.acks.send(acked).await;
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

/// What came of making a batch.
enum Made {
    Batch(InFlight),
    Nothing,
    /// The lane stops here, once all before it is through.
    End(Stop),
}

// === impl InFlight ===

impl InFlight {
    fn new(lane: &Lane) -> Self {
        let acked = Acked {
            lane: lane.clone(),
            marks: Vec::new(),
            next: -1,
            records: 0,
            bytes: 0,
            timestamps: Vec::new(),
        };
        Self {
            number: 0,
            bytes: Bytes::new(),
            count: 0,
            acked,
            offsets: Vec::new(),
            credits: Vec::new(),
            answer: None,
        }
    }

    fn push(&mut self, record: &Record<'_>) {
        let (source, target) = (record.offset(), self.offsets.len() as Offset);
        if !self.acked.marks.last_mut().is_some_and(|mark| mark.extend(source, target)) {
            self.acked.marks.push(Mark { source, target, count: 1 });
        }
        self.offsets.push(source);
        self.acked.records += 1;
        self.acked.bytes += record.bytes();
        self.acked.timestamps.push(record.timestamp());
        self.acked.next = source + 1;
    }

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

/// Sequence numbers wrap to 0 behind `i32::MAX`.
fn next_sequence(sequence: i32, count: i32) -> i32 {
    ((i64::from(sequence) + i64::from(count)) % (i64::from(i32::MAX) + 1)) as i32
}
