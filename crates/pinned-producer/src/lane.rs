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

use kafka_wire::{Code, Error, ProducerIdentity, records::Stamp};
use mirror_types::{Lane, LaneEvent, Mark, Offset, Routed, Stop};
use tokio::{sync::mpsc, task::JoinSet};
use tracing::{debug, info};

use crate::{
    Offsets, Opening, Takes,
    ahead::Ahead,
    batch_bytes::BatchBytes,
    broker::{Answer, Failure, Outgoing, Way},
    cleanup::Undone,
    common::{Common, GONE, Trouble},
    drafts::{Draft, Drafts, Step},
    fill::Unfilled,
    memory::Memory,
    padding::{PADDING_RATE, Padding},
    refusal,
};

/// Batches of a partition that a broker can tell to be repetitions: KIP-98's `max.in.flight` of 5.
const IN_FLIGHT: usize = 5;
/// How often the log tells how far padding is.
const TOLD: Duration = Duration::from_secs(10);
/// For how long a broker surely knows a producer id that it has heard nothing from (`producer.id.expiration.ms`, a day).
const REMEMBERED: Duration = Duration::from_secs(60);
/// For how long a lane that was slow to replicate is taken to be so.
const SLOW: Duration = Duration::from_secs(60);

/// One lane's run.
pub(crate) struct LaneWriter {
    common: Arc<Common>,
    lane: Lane,
    opening: Opening,
    takes: Takes,
    drafts: Drafts,
    memory: Memory,
    producer: ProducerIdentity,
    /// What an earlier run wrote, it wrote under another epoch, or id, and the broker takes it no more, or can't confuse it.
    own_epoch: bool,
    leader: Option<i32>,
    pieces: mpsc::UnboundedReceiver<Routed>,
    answers: mpsc::UnboundedReceiver<Answer>,
    answer_to: mpsc::UnboundedSender<Answer>,
    in_flight: VecDeque<InFlight>,
    next_batch: u64,
    sequence: i32,
    /// The broker knows our producer id in this partition, as of then: before it has taken a batch, it takes any for the
    /// first.
    known: Option<Instant>,
    /// Where the next acknowledged batch must lie on the target.
    expected: Offset,
    /// The task that declares runs of source offsets: nothing more is sent until it is done. It must not wait for this one,
    /// which may wait for what it holds.
    declaring: JoinSet<Result<(), Stop>>,
    /// What is to be done before more is sent, once all that was sent is acknowledged.
    before: Option<Before>,
    /// How the lane's batches have gone ahead of fills.
    ahead: Ahead,
    /// Which connection of the leader: lanes that are slow to replicate have one of their own.
    way: Way,
    /// When it last was.
    slow: Option<Instant>,
    /// Set when this run is over, so that what still waits to be sent is not.
    over: Arc<AtomicBool>,
    trouble: Option<Trouble>,
}

/// What must not be done while a batch is in flight.
enum Before {
    /// Control records up to this offset, after an order that failed with this error.
    Fill(Offset, Option<Error>),
    /// This batch, and the control records behind it up to this offset.
    Both(Draft, Offset),
    /// The padding before this offset is deleted.
    Unpad(Offset),
}

/// A batch that was handed to a broker's sender.
struct InFlight {
    number: u64,
    draft: Draft,
    answer: Option<Result<Offset, Failure>>,
}

impl LaneWriter {
    pub(crate) fn new(
        common: Arc<Common>,
        opening: Opening,
        takes: Takes,
        memory: Memory,
        pieces: mpsc::UnboundedReceiver<Routed>,
    ) -> Self {
        let (answer_to, answers) = mpsc::unbounded_channel();
        let lane = opening.lane.clone();
        memory.forget_before(match opening.offsets {
            Offsets::Identical => opening.standing.end,
            Offsets::Translated => opening.position,
        });
        let drafts = Drafts::new(&opening, common.options, common.refused, takes, memory.clone());
        Self {
            common,
            lane,
            takes,
            drafts,
            memory,
            producer: ProducerIdentity { id: -1, epoch: -1 },
            own_epoch: false,
            leader: None,
            pieces,
            answers,
            answer_to,
            in_flight: VecDeque::new(),
            next_batch: 0,
            sequence: 0,
            known: None,
            expected: opening.standing.end,
            declaring: JoinSet::new(),
            before: None,
            ahead: Ahead::default(),
            way: Way::Usual,
            slow: None,
            over: Arc::default(),
            trouble: None,
            opening,
        }
    }

    /// Runs until the pieces end and all of them are acknowledged, or until the lane stops.
    pub(crate) async fn run(mut self) {
        if let Some(stop) = self.write().await {
            let event = LaneEvent::Stopped { lane: self.lane.id(), stop };
            let _ = self.common.events.send(event).await;
        }
    }

    async fn write(&mut self) -> Option<Stop> {
        self.common.filler.lane_begins();
        self.take_over().await;
        let prepared = match self.opening.start {
            Some(start) => self.pad(start).await,
            None => self.give_back().await,
        };
        if prepared.is_some() {
            return prepared;
        }
        let mut closed = false;
        let (mut stop, mut looked_ahead) = (None, None);
        loop {
            if self.in_flight.is_empty()
                && let Some(before) = self.before.take()
                && let Some(stop) = self.just_now(before).await
            {
                return Some(stop);
            }
            while let Ok(piece) = self.pieces.try_recv() {
                self.drafts.add(piece);
            }
            if self.in_flight.is_empty() {
                self.known = self.known.filter(|heard| heard.elapsed() < REMEMBERED);
            }
            while stop.is_none() && self.before.is_none() && self.may_send() {
                if !self.opening.marks.may_write() {
                    return Some(refusal::not_ours(&self.lane));
                }
                let step = looked_ahead.take().unwrap_or_else(|| self.drafts.step(self.stamp()));
                match step {
                    Step::Batch(draft) if self.may_go_ahead(&draft) => {
                        match self.drafts.step(self.stamp_behind(&draft)) {
                            Step::Fill(to) if self.can_fill_behind(&draft, to) => {
                                self.before = Some(Before::Both(draft, to));
                            }
                            step => {
                                self.send(draft).await;
                                looked_ahead = Some(step);
                            }
                        }
                    }
                    Step::Batch(draft) => self.send(draft).await,
                    Step::Moved(draft) => self.moved(draft).await,
                    Step::Skipped(offset, refusal) => {
                        self.common.skipped(&self.lane, offset, refusal).await;
                    }
                    Step::End(offset, refusal) => {
                        self.moved_to(offset).await;
                        self.common.count(&self.lane, &refusal);
                        stop = Some(refusal.stop);
                    }
                    Step::Diverged(diverged) => stop = Some(diverged),
                    Step::Declare(runs) => self.declare(runs),
                    Step::Fill(to) => self.before = Some(Before::Fill(to, None)),
                    Step::Nothing => break,
                }
            }
            if self.before.is_some() && self.in_flight.is_empty() {
                continue;
            }
            let nothing_waits = self.drafts.is_empty() && looked_ahead.is_none() && self.declaring.is_empty();
            let all_sent = stop.is_some() || closed && nothing_waits;
            if all_sent && self.in_flight.is_empty() {
                return stop;
            }
            tokio::select! {
                biased;
                Some(answer) = self.answers.recv() => {
                    if let Some(stop) = self.answered(answer).await {
                        return Some(stop);
                    }
                }
                Some(declared) = self.declaring.join_next() => {
                    stop = stop.or(declared.expect("it does not panic, nor is ended").err());
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
        // With translated offsets others may have written before the lane's time, and their ids are theirs; with identical ones
        // others have where the lane's topic was the active one of a pair.
        let ours = self.opening.offsets == Offsets::Identical || self.opening.check.is_some();
        let adopted = self.opening.adopted.unwrap_or(0);
        let followed =
            standing.last.filter(|last| ours && last.offset >= adopted).and_then(|last| last.writer);
        match followed.filter(|(producer, _)| !self.memory.is_refused(*producer, standing.end)) {
            Some(goes_on) => (self.producer, self.sequence) = goes_on,
            None => {
                (self.producer, self.own_epoch) = (self.common.producer_ids.new_to(&self.memory).await, true)
            }
        }
        self.memory.writing_under(self.producer, standing.end);
    }

    /// What the run's first markers carry, and what it writes under from then on. Behind a gap its numbers need not be those
    /// that an earlier run gave to the same records: the source may have deleted some since, and a late batch of that run
    /// could pass for one of this, or the other way round. Under the next epoch (KIP-360) the broker takes nothing more that
    /// was sent under the one before, once it has a marker of it.
    fn next_epoch(&self) -> ProducerIdentity {
        let ProducerIdentity { id, epoch } = self.producer;
        // At the last one it stays: 32,000 runs on there may be a late batch again.
        ProducerIdentity { id, epoch: if epoch < i16::MAX - 1 { epoch + 1 } else { epoch } }
    }

    /// Pads an empty partition up to where the lane starts, and deletes the padding.
    async fn pad(&mut self, start: Offset) -> Option<Stop> {
        let limit = self.memory.batch_limit(self.common.options.batch_for(self.takes.max_message_bytes));
        let from = self.opening.standing.end;
        let (mut end, mut padding, mut told) = (from, Padding::default(), Instant::now());
        if end < start {
            let about = (start - from).unsigned_abs() / PADDING_RATE + 1;
            info!(lane = %self.lane, from, to = start, "padding the target up to where the lane starts: about {about} s");
        }
        while end < start || !self.in_flight.is_empty() {
            if told.elapsed() >= TOLD {
                let percent = (self.expected - from) * 100 / (start - from);
                info!(lane = %self.lane, at = self.expected, to = start, "padding the target: {percent} %");
                told = Instant::now();
            }
            while end < start && self.may_send() {
                if !self.opening.marks.may_write() {
                    return Some(refusal::not_ours(&self.lane));
                }
                let stamp = self.stamp();
                let (bytes, count) = tokio::task::block_in_place(|| padding.batch(start - end, limit, stamp));
                self.send(Draft { bytes: bytes.into(), count, ..Draft::new(&self.lane, end) }).await;
                end += Offset::from(count);
            }
            let answer = self.answers.recv().await.expect("we hold a sender");
            if let Some(stop) = self.answered(answer).await {
                return Some(stop);
            }
        }
        self.just_now(Before::Unpad(start)).await
    }

    async fn just_now(&mut self, what: Before) -> Option<Stop> {
        let common = &self.common;
        let at = &self.lane.target;
        let marks = &self.opening.marks;
        match what {
            Before::Fill(to, unknown) => {
                let is_first = !self.own_epoch && common.filler.writes_markers();
                let producer = if is_first { self.next_epoch() } else { self.producer };
                let mut filled = common.filler.fill(producer, marks, at, (self.expected, to), unknown).await;
                // Empty transactions are another producer's, and leave no trace of an epoch of ours.
                let is_first = is_first && common.filler.writes_markers();
                // What an earlier run had sent, and came before the first of them, pushed them on; from now on it is refused.
                if is_first && filled.is_ok() {
                    filled = common.filler.ends_at(at, to).await;
                }
                if let Err(unfilled) = filled {
                    return Some(self.unfilled(unfilled));
                }
                self.expected = to;
                if is_first {
                    (self.producer, self.sequence, self.own_epoch) = (producer, 0, true);
                    self.known = None;
                }
            }
            Before::Both(draft, to) => {
                let (batch, count) = (draft.bytes.clone(), to - self.expected_behind(&draft));
                match common.filler.order(Some(batch), self.producer, marks, at, count).await {
                    Ok(Ok(())) => {
                        self.sequence = self.stamp_behind(&draft).sequence;
                        self.expected = to;
                        self.ahead.went();
                        self.acknowledge(draft).await;
                    }
                    // The usual way tells what is wrong with it; if the target has it, it is not written twice.
                    Ok(Err(error)) => {
                        debug!(lane = %self.lane, %error, "a batch and a fill failed together");
                        self.ahead.failed();
                        self.send(draft).await;
                        self.before = Some(Before::Fill(to, Some(error)));
                    }
                    Err(unfilled) => return Some(self.unfilled(unfilled)),
                }
            }
            Before::Unpad(start) => {
                let noted = self.opening.configs.clone();
                match common.cleanups.delete(at, start, noted, &*self.opening.marks).await {
                    Ok(()) => {}
                    Err(Undone::Refused(error)) => {
                        return Some(refusal::not_unpadded(&self.lane, start, &error));
                    }
                    Err(Undone::Stop(stop)) => return Some(stop),
                }
            }
        }
        None
    }

    fn unfilled(&self, unfilled: Unfilled) -> Stop {
        match unfilled {
            Unfilled::Moved(end) => refusal::end_moved(&self.lane, self.expected, end),
            Unfilled::NotOurs => refusal::not_ours(&self.lane),
            // Somebody has written under a later epoch, since this run looked.
            Unfilled::Refused(error) if error.code() == Some(Code::InvalidProducerEpoch) => {
                self.memory.refused_sequence();
                refusal::epoch_over(&self.lane, self.expected)
            }
            Unfilled::Refused(error) => refusal::unfilled(&self.lane, &error),
        }
    }

    /// An earlier run was killed between changing the target topic's configs and giving them back.
    async fn give_back(&mut self) -> Option<Stop> {
        let was = self.opening.configs.as_ref()?;
        let marks = &*self.opening.marks;
        match self.common.cleanups.give_back(&self.lane.target.topic, was, marks).await {
            Ok(()) => None,
            Err(Undone::Refused(error)) => Some(refusal::not_given_back(&self.lane, was, &error)),
            Err(Undone::Stop(stop)) => Some(stop),
        }
    }

    fn declare(&mut self, runs: Vec<Mark>) {
        debug!(lane = %self.lane, runs = runs.len(), first = ?runs.first(), "declaring where records will lie");
        let marks = self.opening.marks.clone();
        self.declaring.spawn(async move { marks.declare(runs).await });
    }

    fn stamp(&self) -> Stamp {
        Stamp { producer: self.producer, sequence: self.sequence }
    }

    /// As it is once this batch is sent.
    fn stamp_behind(&self, draft: &Draft) -> Stamp {
        Stamp { sequence: self.stamp().behind(draft.count), ..self.stamp() }
    }

    /// Whether a batch may be sent together with the fill behind it, if there is one.
    fn may_go_ahead(&self, draft: &Draft) -> bool {
        self.opening.offsets == Offsets::Identical
            && self.own_epoch
            && self.in_flight.is_empty()
            && self.known.is_some()
            && self.way == Way::Usual
            && self.ahead.may_go(draft.bytes.len())
    }

    fn can_fill_behind(&self, draft: &Draft, to: Offset) -> bool {
        self.common.filler.can_fill_behind(to - self.expected_behind(draft))
    }

    /// Where the target ends once this batch is on it, and nothing else is in flight.
    fn expected_behind(&self, draft: &Draft) -> Offset {
        self.expected + Offset::from(draft.count)
    }

    fn may_send(&self) -> bool {
        let most = if self.known.is_some() { IN_FLIGHT } else { 1 };
        self.declaring.is_empty()
            && self.in_flight.len() < most
            && !self.in_flight.iter().any(InFlight::has_failed)
    }

    async fn send(&mut self, draft: Draft) {
        let number = self.next_batch;
        self.next_batch += 1;
        self.sequence = self.stamp_behind(&draft).sequence;
        self.hand_over(number, draft.bytes.clone()).await;
        self.in_flight.push_back(InFlight { number, draft, answer: None });
    }

    async fn hand_over(&mut self, number: u64, records: BatchBytes) {
        let to = self.lane.target.clone();
        let leader = match self.leader {
            Some(leader) => Ok(leader),
            None => self.common.client.leader(&to.topic, to.partition).await.map(|leader| leader.broker),
        };
        match leader {
            Ok(leader) => {
                self.leader = Some(leader);
                let (over, answer_to) = (self.over.clone(), self.answer_to.clone());
                let outgoing = Outgoing { to, number, records, over, answer_to };
                self.common.brokers.send(leader, self.way, outgoing);
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
            self.known = Some(Instant::now());
            self.ahead.checked();
            self.over_it();
            // Only now: on two connections at once, batches could overtake each other.
            if self.in_flight.is_empty() && self.slow.is_none_or(|last| last.elapsed() >= SLOW) {
                self.way = Way::Usual;
            }
            self.acknowledge(draft).await;
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
        let record = first.offsets.first();
        let offset = record.unwrap_or(self.expected);
        let guilty = failure.guilty(first.offsets.len());
        for (index, words) in &guilty {
            let offset = first.offsets.get(*index).expect("guilty of this batch");
            let refusal = refusal::of(&self.lane, offset, &failure.saying(words));
            self.memory.refuse(offset, refusal);
        }
        if !guilty.is_empty() {
            // What was sent behind it may arrive yet, and other records will have its sequence numbers.
            self.memory.give_up(self.producer);
            return Some(refusal::read_again(&self.lane, offset));
        }
        if failure.is_too_large() && first.count > 1 {
            self.memory.lower_batch_limit(first.bytes.len() / 2);
            return Some(refusal::read_again(&self.lane, offset));
        }
        let trouble = self.trouble.get_or_insert_with(Trouble::new);
        if !failure.passes() || failure.is_unknown_topic() && trouble.lasting() > GONE {
            if failure.is_out_of_sequence() {
                self.memory.refused_sequence();
            }
            let refusal = refusal::of(&self.lane, offset, &failure);
            self.common.count(&self.lane, &refusal);
            if let Some(offset) = record {
                self.in_flight.clear();
                self.moved_to(offset).await;
            }
            return Some(refusal.stop);
        }
        let pause = trouble.goes_on(&self.lane, &failure);
        debug!(lane = %self.lane, offset, %failure, ?pause, "sent again");
        if failure.is_slow() {
            (self.way, self.slow) = (Way::Slow, Some(Instant::now()));
        }
        tokio::time::sleep(pause).await;
        self.leader = None;
        self.common.client.forget(&self.lane.target.topic);
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
        if let Some(trouble) = self.trouble.take() {
            trouble.is_over(&self.lane);
        }
    }

    async fn acknowledge(&mut self, draft: Draft) {
        // Padding moves nothing.
        if draft.acked.next >= 0 {
            let _ = self.common.acks.send(draft.acked).await;
        }
        drop(draft.credits);
    }

    /// Only the position moves: behind what is in flight, or at once.
    async fn moved(&mut self, nothing: Draft) {
        let Some(InFlight { draft: last, .. }) = self.in_flight.back_mut() else {
            return self.acknowledge(nothing).await;
        };
        last.acked.marks.extend(nothing.acked.marks);
        last.acked.next = last.acked.next.max(nothing.acked.next);
        last.acked.end = last.acked.end.max(nothing.acked.end);
        last.credits.extend(nothing.credits);
    }

    async fn moved_to(&mut self, next: Offset) {
        self.moved(Draft::moved(&self.lane, next, self.expected)).await;
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
