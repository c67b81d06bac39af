//! The stage: one thread that polls one source client.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use kafka_rd::{FetchQueue, LogContext, Message, Polled, Properties};
use mirror_types::{
    Budget, Content, Credit, Denied, Fetched, GapCause, Header, LaneEvent, LaneId, Offset, RecordBatch,
    SourceChange, SourceLane, Stop, TopicPartition,
};
use rdkafka::{
    TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer},
    topic_partition_list,
    types::RDKafkaErrorCode as Code,
};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{debug, info, warn};

use crate::{
    Error, Metrics, Throttle,
    lanes::{LaneState, Lanes, Reading},
    properties, stops,
};

/// How long a poll waits for a first record: also how soon a command or a shutdown is heard.
const POLL: Duration = Duration::from_millis(100);
/// Records a poll takes at the most.
const POLL_RECORDS: usize = 2000;
/// A piece is handed on when it has cost this much of the buffer, or the lane's part of it if that is less.
const PIECE: u64 = 256 * 1024;
/// How long an answer of the source may take, where the reader waits for it.
const ANSWER: Duration = Duration::from_secs(5);
/// How soon to ask again where a partition begins and ends.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// What to do when records are gone before they were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LossPolicy {
    /// Stop the lane.
    Stop,
    /// Record the loss and go on behind it.
    Skip,
}

/// How to read.
pub struct Config {
    /// The source's librdkafka properties, as the user gave them, with a `group.id`.
    pub properties: Properties,
    /// Where the client's logs go.
    pub context: LogContext,
    /// Bytes this consumer may prefetch, beside the link's budget.
    pub prefetch: u64,
    /// What to do about lost records.
    pub loss: LossPolicy,
}

/// What the supervisor tells the consumer.
#[derive(Debug)]
pub enum Command {
    /// Read this lane from this offset on.
    Start {
        /// The lane.
        lane: Arc<SourceLane>,
        /// Where to read from.
        from: Offset,
        /// Its position: what is before it is on the target, and read again only to be compared.
        position: Offset,
        /// What gaps in this topic are put down to.
        gap_cause: GapCause,
        /// The id of the topic that the lane is of, where it is known: no record of another is handed on.
        topic_id: Option<String>,
    },
    /// Read this lane no more.
    Stop(LaneId),
    /// The same, and let go of the guard once nothing more of it is handed on.
    End(LaneId, DropGuard),
}

/// The stage.
pub struct SourceConsumer {
    queue: FetchQueue,
    reader: Reader,
    commands: mpsc::UnboundedReceiver<Command>,
}

/// Everything but the queue, so that it can be lent to the poll.
struct Reader {
    consumer: Arc<BaseConsumer<LogContext>>,
    context: LogContext,
    /// The ids of the topics that the client reads.
    topic_ids: HashMap<String, String>,
    lanes: Lanes,
    piece: Option<Piece>,
    /// Records and bytes of the last piece.
    last_piece: (usize, usize),
    budget: Arc<Budget>,
    throttle: Arc<Throttle>,
    loss: LossPolicy,
    output: mpsc::Sender<Fetched>,
    events: mpsc::Sender<LaneEvent>,
    metrics: Metrics,
    shutdown: CancellationToken,
}

/// Records of one lane, on their way to be handed on.
struct Piece {
    lane: Arc<SourceLane>,
    first: Offset,
    next: Offset,
    batch: RecordBatch,
    limit: u64,
    /// The leader's epoch of all of its records.
    epoch: i32,
}

impl SourceConsumer {
    /// Makes the client; no I/O is done before `run`.
    pub fn new(
        config: Config,
        budget: Arc<Budget>,
        throttle: Arc<Throttle>,
        commands: mpsc::UnboundedReceiver<Command>,
        output: mpsc::Sender<Fetched>,
        events: mpsc::Sender<LaneEvent>,
        metrics: Metrics,
    ) -> Result<Self, Error> {
        let properties = properties::complete(config.properties, config.prefetch)?;
        let context = config.context;
        let mut client = properties.client_config();
        client.set_log_level(RDKafkaLogLevel::Debug);
        let consumer: BaseConsumer<LogContext> =
            client.create_with_context(context.clone()).map_err(Error::Client)?;
        let consumer = Arc::new(consumer);
        let reader = Reader {
            consumer: consumer.clone(),
            context,
            topic_ids: HashMap::new(),
            lanes: Lanes::default(),
            piece: None,
            last_piece: (0, 0),
            budget,
            throttle,
            loss: config.loss,
            output,
            events,
            metrics,
            shutdown: CancellationToken::new(),
        };
        Ok(Self { queue: FetchQueue::new(consumer), reader, commands })
    }

    /// Reads until `shutdown`, then lets go of the output, which ends the stages behind it in turn.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Error> {
        let (done, ended) = tokio::sync::oneshot::channel();
        std::thread::Builder::new()
            .name("source-consumer".into())
            .spawn(move || {
                self.read(shutdown);
                let _ = done.send(());
            })
            .map_err(Error::Thread)?;
        ended.await.map_err(|_| Error::Panicked)
    }

    fn read(mut self, shutdown: CancellationToken) {
        self.reader.shutdown = shutdown;
        while !self.reader.shutdown.is_cancelled() && !self.reader.output.is_closed() {
            self.reader.obey(std::iter::from_fn(|| self.commands.try_recv().ok()));
            self.reader.take_up_again();
            let reader = &mut self.reader;
            self.queue.poll(POLL, POLL_RECORDS, |polled| match polled {
                Polled::Message(message) => reader.on_message(&message),
                Polled::End { topic, partition, offset } => reader.on_end(topic, partition, offset),
                Polled::Error { topic, partition, code, text, .. } => {
                    reader.on_error(topic, partition, code, text)
                }
            });
            self.reader.hand_on();
            self.reader.learn_topic_ids();
        }
    }
}

// === impl Reader ===

impl Reader {
    fn obey(&mut self, commands: impl Iterator<Item = Command>) {
        let mut assign = Vec::new();
        let mut new_topics = HashSet::new();
        for command in commands {
            match command {
                Command::Start { lane, from, position, gap_cause, topic_id } => {
                    debug!(lane = %lane.at, from, "reading");
                    if !self.lanes.know(&lane.at.topic) {
                        new_topics.insert(lane.at.topic.clone());
                    } else if !new_topics.contains(&lane.at.topic) {
                        self.learn_partitions(&lane.at);
                    }
                    let state = LaneState::new(lane.clone(), from, position, gap_cause, topic_id);
                    if self.reads_another(&state) {
                        // Perhaps this client knows less than whoever has started the lane.
                        self.learn_partitions(&lane.at);
                    }
                    self.metrics.lane_started(&lane.at);
                    assign.push((lane, from));
                    self.lanes.insert(state);
                }
                // Nothing is handed on but in this thread, and before the next commands.
                Command::Stop(id) | Command::End(id, _) => {
                    self.assign(std::mem::take(&mut assign));
                    if let Some(state) = self.lanes.remove(id) {
                        self.unassign(&state.lane);
                    }
                }
            }
        }
        self.assign(assign);
    }

    /// A topic that is being read may have a partition that this client does not know of yet; it would look
    /// again only after `topic.metadata.refresh.interval.ms`.
    fn learn_partitions(&self, at: &TopicPartition) {
        if let Err(error) = self.consumer.fetch_metadata(Some(&at.topic), ANSWER) {
            debug!(lane = %at, %error, "asking which partitions there are");
        }
    }

    /// Whether the topic that the client reads is not the one that the lane is of.
    fn reads_another(&self, state: &LaneState) -> bool {
        self.topic_ids.get(&*state.lane.at.topic).is_some_and(|id| state.is_of_another(id))
    }

    /// Learns the ids of topics. Where one has changed, librdkafka would read the new topic on from the old one's offset:
    /// lanes of the old one are read no more.
    fn learn_topic_ids(&mut self) {
        for (topic, id) in self.context.topic_ids() {
            let others = self.lanes.iter_mut().filter(|state| *state.lane.at.topic == *topic);
            let others = others.filter(|state| state.is_of_another(&id)).map(|state| state.lane.clone());
            for lane in others.collect::<Vec<_>>() {
                self.recreated(&lane, &id);
            }
            self.topic_ids.insert(topic, id);
        }
    }

    fn recreated(&mut self, lane: &Arc<SourceLane>, id: &str) {
        let stop = stops::recreated(&lane.at, id);
        self.changed(lane, SourceChange::Recreated, stop);
    }

    fn changed(&mut self, lane: &Arc<SourceLane>, change: SourceChange, stop: Stop) {
        self.lanes.remove(lane.id);
        self.unassign(lane);
        let _ = self.events.blocking_send(LaneEvent::Changed { lane: lane.id, change, stop });
    }

    /// Reads lanes again whose credit has come back, or about which the source has to be asked.
    fn take_up_again(&mut self) {
        let mut assign = Vec::new();
        let mut ask = Vec::new();
        let now = Instant::now();
        for state in self.lanes.iter_mut() {
            match state.reading {
                Reading::PutAside if state.lane.credit.used() == 0 => {
                    state.reading = Reading::Assigned;
                    assign.push((state.lane.clone(), state.next));
                }
                Reading::Asking { again } if again <= now => ask.push(state.lane.clone()),
                _ => {}
            }
        }
        self.assign(assign);
        for lane in ask {
            self.ask_where_it_stands(&lane);
        }
    }

    fn on_message(&mut self, message: &Message<'_>) {
        let (topic, partition) = (message.topic(), message.partition());
        let epoch = message.leader_epoch();
        let same =
            |p: &Piece| p.lane.at.partition == partition && *p.lane.at.topic == *topic && p.epoch == epoch;
        if !self.piece.as_ref().is_some_and(|p| same(p) && p.batch.cost() < p.limit) {
            self.hand_on();
            let Some(state) = self.lanes.get(topic, partition) else { return };
            if state.reading != Reading::Assigned {
                return;
            }
            let limit = PIECE.min(self.budget.part()).max(4096);
            // As much as the last piece came to: growing an arena copies it.
            let (records, bytes) = self.last_piece;
            let batch = RecordBatch::with_capacity(records, bytes);
            let (lane, first) = (state.lane.clone(), state.next);
            self.piece = Some(Piece { lane, first, next: first, batch, limit, epoch });
        }
        let piece = self.piece.as_mut().expect("made above");
        let offset = message.offset();
        if offset != piece.next {
            if offset < piece.next {
                // Left over from before a seek; librdkafka drops these itself, as a rule.
                return;
            }
            let from = piece.next;
            if let Some(state) = self.lanes.get(topic, partition) {
                self.metrics.gap(&state.lane.at, state.gap_cause, state.uncounted(from, offset));
            }
        }
        let headers = message.headers().map(|(name, value)| Header { name, value });
        piece.batch.push(offset, message.timestamp(), message.key(), message.value(), headers);
        piece.next = offset + 1;
    }

    fn on_end(&mut self, topic: &str, partition: i32, end: Offset) {
        self.hand_on();
        let Some(state) = self.lanes.get(topic, partition) else { return };
        if state.reading != Reading::Assigned || end <= state.next {
            return;
        }
        // Nothing visible up to the end: only the position moves.
        let (lane, first, cause) = (state.lane.clone(), state.next, state.gap_cause);
        let uncounted = state.uncounted(first, end);
        self.metrics.gap(&lane.at, cause, uncounted);
        self.nothing_up_to(&lane, first, end);
    }

    /// Only the position moves.
    fn nothing_up_to(&mut self, lane: &Arc<SourceLane>, first: Offset, next: Offset) {
        let lane = lane.clone();
        self.piece = Some(Piece { lane, first, next, batch: RecordBatch::default(), limit: 0, epoch: -1 });
        self.hand_on();
    }

    fn on_error(&mut self, topic: &str, partition: i32, code: Code, text: &str) {
        self.hand_on();
        let Some(state) = self.lanes.get(topic, partition) else {
            debug!(topic, partition, %code, text, "source client");
            return;
        };
        let lane = state.lane.clone();
        let next = state.next;
        match code {
            Code::AutoOffsetReset if text.contains("log truncation") => {
                let to = truncation(text).and_then(|(epoch, end)| state.epochs.agree_to(epoch, end));
                // All that was handed on is there still.
                if to.is_some_and(|to| to >= next) {
                    return self.ask_where_it_stands(&lane);
                }
                let point = to.map(|end| format!(" to offset {end}")).unwrap_or_default();
                let at = &lane.at;
                let reason =
                    format!("{at}: the source was truncated{point}, but the lane stands at {next} ({text})");
                self.truncated(&lane, to, reason);
            }
            Code::AutoOffsetReset | Code::OffsetOutOfRange => self.ask_where_it_stands(&lane),
            Code::TopicAuthorizationFailed => self.stop(&lane, stops::unreadable(&lane.at, next, text)),
            Code::BadMessage | Code::InvalidMessage => {
                self.stop(&lane, stops::corrupt(&lane.at, next, text));
            }
            // A topic that is gone is the supervisor's to notice; everything else librdkafka tries again.
            _ => debug!(lane = %lane.at, %code, text, "source partition"),
        }
    }

    /// The position is outside of the partition: find out which end was overrun.
    fn ask_where_it_stands(&mut self, lane: &Arc<SourceLane>) {
        let at = &lane.at;
        let Some(next) = self.lanes.get(&at.topic, at.partition).map(|s| s.next) else { return };
        let (low, high) = match self.consumer.fetch_watermarks(&at.topic, at.partition, ANSWER) {
            Ok(range) => range,
            Err(error) => {
                debug!(lane = %at, %error, "asking where the partition stands");
                self.unassign(lane);
                if let Some(state) = self.lanes.get(&at.topic, at.partition) {
                    state.reading = Reading::Asking { again: Instant::now() + ASK_AGAIN };
                }
                return;
            }
        };
        if next < low {
            self.lost(lane, low);
        } else if next > high {
            self.truncated(lane, Some(high), stops::ends_before(at, high, next));
        } else {
            self.unassign(lane);
            self.assign(vec![(lane.clone(), next)]);
            if let Some(state) = self.lanes.get(&at.topic, at.partition) {
                state.reading = Reading::Assigned;
            }
        }
    }

    fn truncated(&mut self, lane: &Arc<SourceLane>, end: Option<Offset>, reason: String) {
        let stop = stops::truncated(&lane.at, reason);
        match end {
            Some(end) => self.changed(lane, SourceChange::Truncated(end), stop),
            None => self.stop(lane, stop),
        }
    }

    fn lost(&mut self, lane: &Arc<SourceLane>, low: Offset) {
        let at = &lane.at;
        let Some(state) = self.lanes.get(&at.topic, at.partition) else { return };
        let first = state.next;
        let Some(gap) = state.lost_before(low) else {
            return self.stop(lane, stops::not_to_be_compared(at, low));
        };
        self.metrics.gap(at, gap.cause, (gap.to - gap.from) as u64);
        if self.loss == LossPolicy::Stop {
            return self.stop(lane, stops::lost(at, gap));
        }
        let _ = self.events.blocking_send(LaneEvent::Lost { lane: lane.id, gap });
        self.nothing_up_to(lane, first, low);
        self.unassign(lane);
        self.assign(vec![(lane.clone(), low)]);
        if let Some(state) = self.lanes.get(&at.topic, at.partition) {
            state.reading = Reading::Assigned;
        }
    }

    fn stop(&mut self, lane: &Arc<SourceLane>, stop: Stop) {
        self.lanes.remove(lane.id);
        self.unassign(lane);
        let _ = self.events.blocking_send(LaneEvent::Stopped { lane: lane.id, stop });
    }

    /// Hands the piece on, as soon as the throttle and the buffer let it.
    fn hand_on(&mut self) {
        let Some(piece) = self.piece.take() else { return };
        if piece.first == piece.next {
            return;
        }
        self.learn_topic_ids();
        let at = &piece.lane.at;
        let Some(state) = self.lanes.get(&at.topic, at.partition) else { return };
        if let Some(id) = self.topic_ids.get(&*at.topic).filter(|id| state.is_of_another(id)).cloned() {
            return self.recreated(&piece.lane, &id);
        }
        let Some(credit) = self.allowed(&piece) else { return };
        let Piece { lane, first, next, batch, epoch, .. } = piece;
        self.last_piece = (batch.len(), batch.bytes() as usize);
        if let Some(state) = self.lanes.get(&lane.at.topic, lane.at.partition) {
            state.next = next;
            state.epochs.read(epoch, next);
        }
        // The channel is bounded in pieces; what they hold is bounded by the credit.
        let _ = self.output.blocking_send(Fetched {
            lane,
            first,
            content: Content::Records(batch),
            next,
            credit,
        });
    }

    /// Waits for throttle and credit. `None`: the piece must be dropped, and will be read again.
    fn allowed(&mut self, piece: &Piece) -> Option<Credit> {
        let until = Instant::now() + self.throttle.delay(piece.batch.bytes());
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            if self.shutdown.is_cancelled() {
                return None;
            }
            std::thread::sleep(left.min(POLL));
        }
        let since = Instant::now();
        loop {
            let denied = match piece.lane.credit.take(piece.batch.cost()) {
                Ok(credit) => return Some(credit),
                Err(denied) => denied,
            };
            if self.shutdown.is_cancelled() || self.output.is_closed() {
                return None;
            }
            if denied == Denied::LaneFull && self.put_aside_if_impatient(piece, since) {
                return None;
            }
            self.budget.wait(POLL);
        }
    }

    /// A lane that holds its share and gets none of it acknowledged must not keep the others waiting.
    fn put_aside_if_impatient(&mut self, piece: &Piece, since: Instant) -> bool {
        let at = &piece.lane.at;
        let Some(state) = self.lanes.get(&at.topic, at.partition) else { return true };
        if since.elapsed() < state.patience() {
            return false;
        }
        debug!(lane = %at, next = piece.first, "put aside: the target does not take its records");
        state.put_aside(piece.first);
        self.unassign(&piece.lane);
        true
    }

    fn assign(&self, lanes: Vec<(Arc<SourceLane>, Offset)>) {
        if lanes.is_empty() {
            return;
        }
        let mut list = TopicPartitionList::with_capacity(lanes.len());
        for (lane, from) in &lanes {
            let offset = topic_partition_list::Offset::Offset(*from);
            list.add_partition_offset(&lane.at.topic, lane.at.partition, offset).expect("never negative");
        }
        if let Err(error) = self.consumer.incremental_assign(&list) {
            warn!(lanes = lanes.len(), first = %lanes[0].0.at, %error, "can't be assigned to the source client");
        }
    }

    fn unassign(&self, lane: &SourceLane) {
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition(&lane.at.topic, lane.at.partition);
        if let Err(error) = self.consumer.incremental_unassign(&list) {
            info!(lane = %lane.at, %error, "was not assigned to the source client");
        }
    }
}

/// What librdkafka says of a truncated log (KIP-320): the last epoch that its leader has of those up to ours, and where that
/// ends.
///
/// 2.12: "Partition log truncation detected at offset 150 (leader epoch 5): broker end offset is 120 (offset leader epoch
/// 5). …", "No epoch found less or equal to offset …" (of which it says -1); both end with the error's name.
fn truncation(text: &str) -> Option<(i32, Offset)> {
    fn after<T: std::str::FromStr>(text: &str, words: &str) -> Option<T> {
        text.split_once(words)?.1.split([' ', ')']).next()?.parse().ok()
    }
    let (epoch, end) = (after(text, "(offset leader epoch ")?, after(text, "broker end offset is ")?);
    (end >= 0).then_some((epoch, end))
}

#[cfg(test)]
mod tests {
    use super::truncation;

    #[test]
    fn the_words_of_a_truncation_are_understood() {
        let text = "Partition log truncation detected at offset 150 (leader epoch 5): broker end offset is 120 (offset leader \
                    epoch 4). Reset to INVALID.: Local: Partition log truncation detected (broker 2)";
        assert_eq!(truncation(text), Some((4, 120)));
        let none = "No epoch found less or equal to offset 150 (leader epoch 5): broker end offset is -1 (offset leader \
                    epoch -1). Reset using configured policy.: Local: Partition log truncation detected";
        assert_eq!(truncation(none), None);
        assert_eq!(truncation("fetch failed due to requested offset not available on the broker"), None);
    }
}
