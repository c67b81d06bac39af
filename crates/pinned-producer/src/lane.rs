//! One lane on the way out: what was sent and not yet acknowledged, in order.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
};

use kafka_rd::TopicHandle;
use mirror_types::{Acked, Credit, Lane, LaneEvent, Mark, Offset, Stop, StopKind};
use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::sync::mpsc;

use crate::{
    client::Client,
    metrics::Metrics,
    refusal::{self, Refusal},
    stage::RefusedPolicy,
};

/// Where a lane reports to.
#[derive(Clone)]
pub(crate) struct Reports {
    pub(crate) acks: mpsc::Sender<Acked>,
    pub(crate) events: mpsc::Sender<LaneEvent>,
    pub(crate) metrics: Metrics,
    pub(crate) refused: RefusedPolicy,
}

/// One lane's run, from its first piece on.
pub(crate) struct LaneOut {
    pub(crate) lane: Lane,
    pub(crate) client: Arc<Client>,
    pub(crate) topic: TopicHandle,
    pub(crate) slot: u32,
    reports: Reports,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    pieces: VecDeque<InFlight>,
    /// Number of the next record to be sent, over the lane's run; wraps.
    next_number: u32,
    /// The lane takes no more; reported when nothing is in flight any more.
    stop: Option<Stop>,
    /// A record in flight failed: what is behind it counts no longer, even if the target took it.
    failed: bool,
    reported: bool,
}

/// A record that was handed to librdkafka.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    pub(crate) offset: Offset,
    pub(crate) timestamp: i64,
    pub(crate) bytes: u64,
}

/// A piece that was handed to librdkafka.
struct InFlight {
    first_number: u32,
    sent: Vec<Sent>,
    /// How many of them have been reported on.
    reported: usize,
    /// What the target has acknowledged of it.
    acked: Acked,
    _credit: Credit,
}

impl LaneOut {
    pub(crate) fn new(
        lane: Lane,
        client: Arc<Client>,
        topic: TopicHandle,
        slot: u32,
        reports: Reports,
    ) -> Arc<Self> {
        Arc::new(Self { lane, client, topic, slot, reports, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics under this lock")
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.state().stop.is_some()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.state().pieces.is_empty()
    }

    /// Notes a piece that is about to be sent; returns the number of its first record.
    pub(crate) fn sending(&self, sent: Vec<Sent>, next: Offset, credit: Credit) -> u32 {
        let mut state = self.state();
        let first_number = state.next_number;
        state.next_number = first_number.wrapping_add(sent.len() as u32);
        let acked = Acked {
            lane: self.lane.clone(),
            marks: Vec::new(),
            next,
            records: 0,
            bytes: 0,
            timestamps: Vec::with_capacity(sent.len()),
        };
        state.pieces.push_back(InFlight { first_number, sent, reported: 0, acked, _credit: credit });
        // A piece without records, behind nothing, is acknowledged by itself.
        self.settle(&mut state);
        first_number
    }

    /// librdkafka would not even queue record `index` of the piece being sent: the lane stops before it, once
    /// what was queued earlier is through.
    pub(crate) fn cut(&self, index: usize, code: Code) {
        let mut state = self.state();
        let piece = state.pieces.back_mut().expect("the piece being sent is the last, and not settled");
        let offset = piece.sent[index].offset;
        piece.sent.truncate(index);
        piece.acked.next = offset;
        self.stop_before(&mut state, refusal::of(&self.lane, offset, code, ""));
    }

    /// A record that must not be sent at all: the lane stops before it, once what was sent earlier is through.
    pub(crate) fn stop(&self, refusal: Refusal) {
        self.stop_before(&mut self.state(), refusal);
    }

    fn stop_before(&self, state: &mut State, refusal: Refusal) {
        if state.stop.is_none() {
            self.count(&refusal);
            state.stop = Some(refusal.stop);
        }
        self.settle(state);
    }

    fn count(&self, refusal: &Refusal) {
        if refusal.stop.kind == StopKind::Refused {
            self.reports.metrics.refused(&self.lane).inc();
        }
    }

    /// A record that is left out, as the policy says.
    pub(crate) fn skipped(&self, offset: Offset, refusal: Refusal) {
        self.reports.metrics.refused(&self.lane).inc();
        let event = LaneEvent::Skipped { lane: self.lane.id(), offset, stop: refusal.stop };
        let _ = self.reports.events.blocking_send(event);
    }

    /// Delivery reports, in the order of the partition.
    pub(crate) fn delivered(&self, reports: impl Iterator<Item = (u32, Result<Offset, (Code, String)>)>) {
        let mut state = self.state();
        for (number, result) in reports {
            // Pieces in front that are complete have been settled, so the report is of the first piece.
            let Some(piece) = state.pieces.front_mut() else { break };
            debug_assert_eq!(number.wrapping_sub(piece.first_number) as usize, piece.reported, "in order");
            let sent = piece.sent[piece.reported];
            piece.reported += 1;
            match result {
                Ok(target) => piece.took(sent, target),
                Err((code, text)) => {
                    let refusal = refusal::of(&self.lane, sent.offset, code, &text);
                    if refusal.of_this_record && self.reports.refused == RefusedPolicy::Skip && !state.failed
                    {
                        self.skipped(sent.offset, refusal);
                    } else {
                        self.stop_at(&mut state, sent.offset, refusal);
                    }
                }
            }
            self.settle(&mut state);
        }
    }

    /// Stops the lane at a record that was sent and not taken; what was acknowledged before it counts.
    fn stop_at(&self, state: &mut State, offset: Offset, refusal: Refusal) {
        if !state.failed {
            state.failed = true;
            self.count(&refusal);
            state.stop = Some(refusal.stop);
            let piece = state.pieces.front_mut().expect("the record is of the first piece");
            piece.acked.next = offset;
            self.acknowledge(&piece.acked);
        } else if let Some(stop) = state.stop.as_mut().filter(|stop| stop.kind == StopKind::Interrupted) {
            // librdkafka may report the innocent records of a refused batch before the guilty one.
            *stop = refusal.stop;
        }
    }

    /// Passes on the pieces in front that are complete; and, when the last is, why the lane stopped.
    fn settle(&self, state: &mut State) {
        while state.pieces.front().is_some_and(|piece| piece.reported == piece.sent.len()) {
            let piece = state.pieces.pop_front().expect("seen above");
            if !state.failed {
                self.acknowledge(&piece.acked);
            }
        }
        if state.pieces.is_empty()
            && !state.reported
            && let Some(stop) = &state.stop
        {
            state.reported = true;
            let event = LaneEvent::Stopped { lane: self.lane.id(), stop: stop.clone() };
            let _ = self.reports.events.blocking_send(event);
        }
    }

    /// The lane's lock is held while this waits for the channel, so that a lane's acknowledgements stay in
    /// order whichever thread sends them; the reader of the channel never asks for the lock.
    fn acknowledge(&self, acked: &Acked) {
        let _ = self.reports.acks.blocking_send(acked.clone());
    }
}

impl InFlight {
    fn took(&mut self, sent: Sent, target: Offset) {
        if !self.acked.marks.last_mut().is_some_and(|mark| mark.extend(sent.offset, target)) {
            self.acked.marks.push(Mark { source: sent.offset, target, count: 1 });
        }
        self.acked.records += 1;
        self.acked.bytes += sent.bytes;
        self.acked.timestamps.push(sent.timestamp);
    }
}
