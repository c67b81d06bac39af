//! The stage: one thread that sends, and one a client that takes the delivery reports.

use std::{
    collections::HashMap,
    sync::Arc,
    thread::{Builder, JoinHandle},
    time::{Duration, Instant},
};

use kafka_rd::{LogContext, Outgoing, Properties};
use mirror_types::{Acked, LaneEvent, Record, Routed, TopicPartition};
use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::{
    Error, Limits, Metrics,
    client::{self, Client},
    deliveries::{self, Slots, token},
    lane::{LaneOut, Reports, Sent},
    refusal,
};

/// How long an answer of the target may take, where sending waits for it.
const ANSWER: Duration = Duration::from_secs(5);

/// What to do with a record that the target will never take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusedPolicy {
    /// Stop the lane before it.
    Stop,
    /// Leave it out, count it, and go on.
    Skip,
}

/// How to write.
pub struct Config {
    /// The target's librdkafka properties, as the user gave them.
    pub properties: Properties,
    /// Where the client's logs go.
    pub context: LogContext,
    /// What to do with a record that the target will never take.
    pub refused: RefusedPolicy,
}

/// The stage.
pub struct PinnedProducer {
    config: Config,
    limits: Limits,
    input: mpsc::Receiver<Routed>,
    reports: Reports,
    lanes: HashMap<TopicPartition, Arc<LaneOut>>,
    slots: Arc<Slots>,
    clients: HashMap<u64, (Arc<Client>, JoinHandle<()>)>,
    /// Delivery threads end when this is cancelled, once everything is acknowledged.
    done: CancellationToken,
}

impl PinnedProducer {
    /// Makes the usual client; no I/O is done before `run`.
    pub fn new(
        config: Config,
        limits: Limits,
        input: mpsc::Receiver<Routed>,
        acks: mpsc::Sender<Acked>,
        events: mpsc::Sender<LaneEvent>,
        metrics: Metrics,
    ) -> Result<Self, Error> {
        let reports = Reports { acks, events, metrics, refused: config.refused };
        let mut stage = Self {
            config,
            limits,
            input,
            reports,
            lanes: HashMap::new(),
            slots: Arc::default(),
            clients: HashMap::new(),
            done: CancellationToken::new(),
        };
        stage.client(client::batch_size(None))?;
        Ok(stage)
    }

    /// Runs until the input ends and all of it is acknowledged, or until `give_up`.
    pub async fn run(self, give_up: CancellationToken) -> Result<(), Error> {
        let (done, ended) = oneshot::channel();
        Builder::new()
            .name("pinned-producer".into())
            .spawn(move || {
                let _ = done.send(self.send_all(&give_up));
            })
            .map_err(Error::Thread)?;
        ended.await.map_err(|_| Error::Panicked)?
    }

    fn send_all(mut self, give_up: &CancellationToken) -> Result<(), Error> {
        while let Some(piece) = self.input.blocking_recv() {
            if give_up.is_cancelled() {
                break;
            }
            self.send(piece, give_up)?;
        }
        while !self.slots.all_idle() && !give_up.is_cancelled() {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.done.cancel();
        for (_, (_, thread)) in self.clients.drain() {
            thread.join().map_err(|_| Error::Panicked)?;
        }
        Ok(())
    }

    fn send(&mut self, piece: Routed, give_up: &CancellationToken) -> Result<(), Error> {
        let Some(lane) = self.lane(&piece)? else { return Ok(()) };
        let Routed { batch, next, credit, .. } = piece;
        let takes = self.limits.get(&lane.lane.target.topic);
        let limit = takes.max_message_bytes.filter(|_| !self.compresses());
        // One record that the target refuses takes its whole batch with it, and those behind it get through:
        // so what is known to be refused is not sent.
        let refused = |record: &Record<'_>| match limit {
            _ if takes.only_keyed && record.key().is_none() => {
                Some(refusal::without_key(&lane.lane, record.offset()))
            }
            Some(limit) if record.batch_size() > limit => {
                Some(refusal::too_large(&lane.lane, record.offset(), record.batch_size(), limit))
            }
            _ => None,
        };
        let mut outgoing: Vec<Record<'_>> = Vec::with_capacity(batch.len());
        let mut end = (next, None);
        for record in batch.iter() {
            if let Some(refusal) = refused(&record) {
                if self.config.refused == RefusedPolicy::Stop {
                    end = (record.offset(), Some(refusal));
                    break;
                }
                lane.skipped(record.offset(), refusal);
                continue;
            }
            outgoing.push(record);
        }
        let sent = |r: &Record<'_>| Sent { offset: r.offset(), timestamp: r.timestamp(), bytes: r.bytes() };
        let mut number = lane.sending(outgoing.iter().map(sent).collect(), end.0, credit);
        for (index, record) in outgoing.into_iter().enumerate() {
            if let Err(code) = queue(&lane, &record, number, give_up) {
                lane.cut(index, code);
                return Ok(());
            }
            number = number.wrapping_add(1);
        }
        if let Some(refusal) = end.1 {
            lane.stop(refusal);
        }
        Ok(())
    }

    /// The lane of a piece; none if the piece is left over from a run of the lane that is over.
    fn lane(&mut self, piece: &Routed) -> Result<Option<Arc<LaneOut>>, Error> {
        let lane = &piece.lane;
        if let Some(known) = self.lanes.get(&lane.target) {
            if known.lane.id() == lane.id() && known.client.is_dead() && !known.is_stopped() {
                known.stop(refusal::of(lane, piece.next, Code::Fatal, "the producer client failed"));
            }
            if known.lane.id() > lane.id() || (known.lane.id() == lane.id() && known.is_stopped()) {
                return Ok(None);
            }
            if known.lane.id() == lane.id() {
                return Ok(Some(known.clone()));
            }
        }
        let client =
            self.client(client::batch_size(self.limits.get(&lane.target.topic).max_message_bytes))?;
        let lanes = &self.lanes;
        self.slots.sweep(|out| lanes.get(&out.lane.target).is_some_and(|l| l.lane.id() == out.lane.id()));
        let topic = client.sender.topic(&lane.target.topic).ok_or(Error::Panicked)?;
        let reports = self.reports.clone();
        let out = self.slots.add(|slot| Some(LaneOut::new(lane.clone(), client, topic, slot, reports)));
        if let Some(out) = &out {
            debug!(lane = %out.lane, slot = out.slot, "writing");
            self.lanes.insert(lane.target.clone(), out.clone());
        }
        Ok(out)
    }

    fn client(&mut self, batch: u64) -> Result<Arc<Client>, Error> {
        if let Some((client, _)) = self.clients.get(&batch).filter(|(client, _)| !client.is_dead()) {
            return Ok(client.clone());
        }
        let client = Client::new(&self.config.properties, self.config.context.clone(), batch)?;
        let (reporter, slots, done) = (client.clone(), self.slots.clone(), self.done.clone());
        let thread = Builder::new()
            .name("deliveries".into())
            .spawn(move || deliveries::run(&reporter, &slots, &done))
            .map_err(Error::Thread)?;
        self.clients.insert(batch, (client.clone(), thread));
        Ok(client)
    }

    /// With compression a record's size on the target can't be known before it is sent.
    fn compresses(&self) -> bool {
        let codec = |name| self.config.properties.get(name).is_some_and(|codec| codec != "none");
        codec("compression.type") || codec("compression.codec")
    }
}

/// Hands a record to librdkafka, which has room as long as the link's buffer is the tighter bound.
fn queue(lane: &LaneOut, record: &Record<'_>, number: u32, give_up: &CancellationToken) -> Result<(), Code> {
    let since = Instant::now();
    let mut asked = false;
    loop {
        let sent = lane.client.sender.send(
            &lane.topic,
            Outgoing {
                partition: lane.lane.target.partition,
                timestamp: record.timestamp(),
                key: record.key(),
                value: record.value(),
                headers: record.headers().map(|h| (h.name, h.value)),
                token: token(lane.slot, number),
            },
        );
        match sent {
            Err(Code::QueueFull) if !give_up.is_cancelled() => {
                debug!(lane = %lane.lane, waited = ?since.elapsed(), "librdkafka's queue is full");
                std::thread::sleep(Duration::from_millis(5));
            }
            // The topic was grown or made again, and the client has not noticed yet.
            Err(Code::UnknownPartition | Code::UnknownTopic) if !asked => {
                asked = true;
                let _ = lane.client.sender.learn_partitions(&lane.lane.target.topic, ANSWER);
            }
            result => return result,
        }
    }
}
