//! The senders: a task for each connection to a target broker, which puts batches of many partitions into one request.
//!
//! A request is sent as soon as none is on its way; while one is, batches gather for the next (Nagle's rule), up to a
//! size at which waiting saves nothing, or for a moment. So a slow link gets large requests, and a near one short delays.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use kafka_wire::{Client, Code, Error, Outcomes, ProduceBatch, ProduceOptions, Purpose, Refused, Sent, To};
use mirror_types::{Offset, TopicPartition};
use tokio::sync::{Notify, mpsc};

use crate::batch_bytes::BatchBytes;

/// Requests on their way on one connection.
const REQUESTS: usize = 5;
/// Bytes for which a request is sent at once although others are on their way.
const LARGE: usize = 4 * 1024 * 1024;
/// Bytes for which it is once they have waited for more: few large requests cost the broker less than many.
const WORTH_IT: usize = 256 * 1024;
/// For so long they wait: less than what a far broker needs to answer.
const LINGER: Duration = Duration::from_millis(2);
/// Bytes of a request, at the most, unless one batch alone is larger; brokers take 100 MB (`socket.request.max.bytes`).
const REQUEST: usize = 8 * 1024 * 1024;

/// A batch on its way to its partition's leader.
pub(crate) struct Outgoing {
    pub(crate) to: TopicPartition,
    /// The lane's own number of it.
    pub(crate) number: u64,
    pub(crate) records: BatchBytes,
    /// Nobody waits for the answer any more: it need not be sent.
    pub(crate) over: Arc<AtomicBool>,
    pub(crate) answer_to: mpsc::UnboundedSender<Answer>,
}

/// What became of a batch: its base offset on the target, or why it has none.
pub(crate) struct Answer {
    pub(crate) number: u64,
    pub(crate) result: Result<Offset, Failure>,
}

/// Which of a broker's connections. A broker answers a connection's requests one after the other, and keeps one that
/// waits for replicas; so lanes that are slow to replicate must not share one with the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Way {
    Usual,
    Slow,
}

/// Why a batch has no offset.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    /// The broker's answer.
    Refused(Arc<Refused>),
    /// The broker's answer to the request says nothing of this batch.
    Missing,
    /// There is none, or there was no broker to ask: it may or may not have been written.
    NoAnswer(Arc<Error>),
}

/// The target's brokers, as far as they have been written to.
pub(crate) struct Brokers {
    client: Client,
    /// How long a broker may wait for replicas.
    replication: Duration,
    senders: Mutex<HashMap<(i32, Way), mpsc::UnboundedSender<Outgoing>>>,
}

impl Brokers {
    pub(crate) fn new(client: Client, replication: Duration) -> Self {
        Self { client, replication, senders: Mutex::default() }
    }

    /// Sends a batch to a broker, behind what was sent there the same way before.
    pub(crate) fn send(&self, broker: i32, way: Way, outgoing: Outgoing) {
        let mut senders = self.senders.lock().expect("nothing panics under this lock");
        let sender = senders.entry((broker, way)).or_insert_with(|| {
            let (sender, queue) = mpsc::unbounded_channel();
            let client = self.client.clone();
            tokio::spawn(Sender { client, broker, way, replication: self.replication, queue }.run());
            sender
        });
        let _ = sender.send(outgoing);
    }
}

/// What writes to one connection.
struct Sender {
    client: Client,
    broker: i32,
    way: Way,
    replication: Duration,
    queue: mpsc::UnboundedReceiver<Outgoing>,
}

/// What the sender and its requests on the way share.
#[derive(Default)]
struct OnTheWay {
    requests: AtomicUsize,
    answered: Notify,
}

impl Sender {
    async fn run(mut self) {
        let on_the_way = Arc::new(OnTheWay::default());
        let mut waiting = VecDeque::new();
        loop {
            if waiting.is_empty() {
                match self.queue.recv().await {
                    Some(outgoing) => waiting.push_back(outgoing),
                    None => return,
                }
            }
            self.gather(&mut waiting, &on_the_way).await;
            let batches = take_request(&mut waiting);
            if !batches.is_empty() {
                self.request(batches, &mut waiting, &on_the_way).await;
            }
        }
    }

    /// Waits until it is worth a request.
    async fn gather(&mut self, waiting: &mut VecDeque<Outgoing>, on_the_way: &OnTheWay) {
        // The lanes that one answer has set going do their part first, so that their next batches go together, too.
        tokio::task::yield_now().await;
        let mut bytes = waiting.iter().map(|outgoing| outgoing.records.len()).sum::<usize>();
        let mut worth_it = LARGE;
        let linger = tokio::time::sleep(LINGER);
        tokio::pin!(linger);
        let mut came = None;
        loop {
            while let Some(outgoing) = came.take().or_else(|| self.queue.try_recv().ok()) {
                bytes += outgoing.records.len();
                waiting.push_back(outgoing);
            }
            let requests = on_the_way.requests.load(Relaxed);
            if requests == 0 || requests < REQUESTS && bytes >= worth_it {
                return;
            }
            tokio::select! {
                () = on_the_way.answered.notified() => {}
                Some(outgoing) = self.queue.recv() => came = Some(outgoing),
                () = &mut linger, if worth_it == LARGE => worth_it = WORTH_IT,
            }
        }
    }

    /// Puts a request on its way; a task of its own waits for the answer. Where the broker can't be reached, what waits for
    /// the next request need not wait to find that, too: its partitions may have other leaders by now.
    async fn request(
        &mut self,
        batches: Vec<Outgoing>,
        waiting: &mut VecDeque<Outgoing>,
        on_the_way: &Arc<OnTheWay>,
    ) {
        let client = self.client.for_purpose(self.way.purpose());
        let connection = match client.connection(To::Broker(self.broker)).await {
            Ok(connection) => connection,
            Err(error) => {
                waiting.extend(std::iter::from_fn(|| self.queue.try_recv().ok()));
                let all = batches.into_iter().chain(waiting.drain(..));
                return fail(all, &Failure::NoAnswer(error.into()));
            }
        };
        let of = |batch: &Outgoing| ProduceBatch {
            topic: batch.to.topic.clone(),
            partition: batch.to.partition,
            records: batch.records.chunks(),
        };
        let request: Vec<_> = batches.iter().map(of).collect();
        let options = ProduceOptions { timeout: self.replication, ..ProduceOptions::default() };
        let answer = connection.produce(&request, &options);
        on_the_way.requests.fetch_add(1, Relaxed);
        let on_the_way = on_the_way.clone();
        tokio::spawn(async move {
            let answer = answer.await;
            on_the_way.requests.fetch_sub(1, Relaxed);
            on_the_way.answered.notify_one();
            match answer {
                Ok(answers) => give_out(batches, answers),
                Err(error) => fail(batches, &Failure::NoAnswer(error.into())),
            }
        });
    }
}

/// The batches of the next request: each partition's in order, and one of each (a broker drops a second one silently).
fn take_request(waiting: &mut VecDeque<Outgoing>) -> Vec<Outgoing> {
    let mut partitions = HashSet::new();
    let (mut batches, mut stay) = (Vec::new(), VecDeque::new());
    let mut bytes = 0;
    while let Some(next) = waiting.pop_front() {
        if next.over.load(Relaxed) {
            continue;
        }
        if partitions.contains(&next.to) {
            stay.push_back(next);
            continue;
        }
        bytes += next.records.len();
        if !batches.is_empty() && bytes > REQUEST {
            stay.push_back(next);
            break;
        }
        partitions.insert(next.to.clone());
        batches.push(next);
    }
    stay.append(waiting);
    *waiting = stay;
    batches
}

fn give_out(batches: Vec<Outgoing>, outcomes: Outcomes) {
    let of = |outcome: Result<kafka_wire::Produced, Refused>| match outcome {
        Ok(done) => (TopicPartition::new(done.topic, done.partition), Ok(done.base_offset)),
        Err(refused) => {
            let at = TopicPartition::new(refused.topic.clone(), refused.partition);
            (at, Err(Failure::Refused(refused.into())))
        }
    };
    let mut outcomes: HashMap<_, _> = outcomes.into_iter().map(of).collect();
    for batch in batches {
        let missing = || Err(Failure::Missing);
        let result = outcomes.remove(&batch.to).unwrap_or_else(missing);
        batch.answer(result);
    }
}

fn fail(batches: impl IntoIterator<Item = Outgoing>, failure: &Failure) {
    for batch in batches {
        batch.answer(Err(failure.clone()));
    }
}

impl Way {
    fn purpose(self) -> Purpose {
        match self {
            Self::Usual => Purpose::new("produce"),
            Self::Slow => Purpose::new("produce to slow partitions"),
        }
    }
}

impl Outgoing {
    fn answer(self, result: Result<Offset, Failure>) {
        let _ = self.answer_to.send(Answer { number: self.number, result });
    }
}

// === impl Failure ===

impl Failure {
    pub(crate) fn code(&self) -> Option<Code> {
        match self {
            Self::Refused(refused) => Some(refused.code),
            Self::NoAnswer(error) => error.code(),
            Self::Missing => None,
        }
    }

    /// Whether the same batch may be taken later, with nothing changed by anyone.
    pub(crate) fn passes(&self) -> bool {
        match self {
            Self::Missing => true,
            Self::NoAnswer(error) => !error.is_not_authorized(),
            Self::Refused(refused) => matches!(
                refused.code,
                Code::NotLeaderOrFollower
                    | Code::LeaderNotAvailable
                    | Code::UnknownTopicOrPartition
                    | Code::FencedLeaderEpoch
                    | Code::UnknownLeaderEpoch
                    | Code::BrokerNotAvailable
                    | Code::ReplicaNotAvailable
                    | Code::KafkaStorageError
                    | Code::NotEnoughReplicas
                    | Code::NotEnoughReplicasAfterAppend
                    | Code::RequestTimedOut
                    | Code::NetworkException
                    | Code::CorruptMessage
                    | Code::ThrottlingQuotaExceeded
            ),
        }
    }

    /// Whether the batch may be written yet, by a broker that has it and has not said so.
    pub(crate) fn may_arrive(&self) -> bool {
        match self {
            Self::NoAnswer(error) => error.sent != Sent::NotSent,
            Self::Missing => true,
            Self::Refused(_) => false,
        }
    }

    /// Whether its answer was, or may be, long in coming.
    pub(crate) fn is_slow(&self) -> bool {
        matches!(
            self.code(),
            Some(Code::NotEnoughReplicas | Code::NotEnoughReplicasAfterAppend | Code::RequestTimedOut)
        )
    }

    pub(crate) fn is_unknown_topic(&self) -> bool {
        self.code() == Some(Code::UnknownTopicOrPartition)
    }

    /// Whether the broker remembers other sequence numbers of our producer id than those that were sent.
    pub(crate) fn is_out_of_sequence(&self) -> bool {
        matches!(self.code(), Some(Code::OutOfOrderSequenceNumber | Code::InvalidProducerEpoch))
    }

    pub(crate) fn is_too_large(&self) -> bool {
        matches!(self.code(), Some(Code::MessageTooLarge | Code::RecordListTooLarge))
    }

    /// The records that the broker finds fault with, by their index in a batch of `count`, and its words for each.
    pub(crate) fn guilty(&self, count: usize) -> Vec<(usize, Arc<str>)> {
        let Self::Refused(refused) = self else { return Vec::new() };
        let known = |(index, words): &(i32, Arc<str>)| {
            let index = usize::try_from(*index).ok().filter(|index| *index < count)?;
            Some((index, words.clone()))
        };
        refused.records.iter().filter_map(known).collect()
    }

    /// The same, said of one record in these words.
    pub(crate) fn saying(&self, words: &Arc<str>) -> Self {
        match self {
            Self::Refused(refused) if !words.is_empty() => {
                Self::Refused(Refused { message: words.clone(), ..Refused::clone(refused) }.into())
            }
            other => other.clone(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refused) if refused.message.is_empty() => {
                f.write_str(&kafka_wire::words(refused.code))
            }
            Self::Refused(refused) => write!(f, "{}: {}", kafka_wire::words(refused.code), refused.message),
            Self::Missing => f.write_str("the broker's answer leaves the batch out"),
            Self::NoAnswer(error) => write!(f, "{error}"),
        }
    }
}
