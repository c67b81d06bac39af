//! Control records for many partitions in one request: two tasks for each target broker, each with one order on its
//! way at a time; what is asked for meanwhile goes with the next. (Two: while the broker carries out one, the lanes of the
//! other make up theirs. More share less.)
//!
//! A batch can go ahead of its lane's markers in the same order, with `acks=0`: the broker closes the connection where it
//! does not take the batch, and so never reads the markers ([`Connection::produce_ahead`]); and as markers are answered
//! only when all replicas in sync have them, their answer is the batch's, too. So the many small transactions of a source
//! cost a lane one round trip each, and the broker one request and one answer for all lanes.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex},
};

use kafka_wire::{Client, Code, Connection, Error, ProduceBatch, Purpose, To, TxnMarker};
use tokio::sync::{mpsc, oneshot};

use crate::{Marks, batch_bytes::BatchBytes};

/// Markers of one order.
pub(crate) const MARKERS: usize = 1000;
/// Bytes of an order's batches, but for the last.
const BYTES: usize = 1024 * 1024;

/// Connections to a broker, shared by its partitions.
const CONNECTIONS: u32 = 2;

/// Writes markers, by broker and connection.
pub(crate) struct Markers {
    client: Client,
    tasks: Mutex<HashMap<(i32, u32), mpsc::UnboundedSender<Wanted>>>,
}

/// So many of this marker, for a lane with these marks.
struct Wanted {
    /// What goes ahead of them, if it does.
    batch: Option<BatchBytes>,
    marker: TxnMarker,
    count: usize,
    marks: Arc<dyn Marks>,
    /// Dropped where the lane is not ours any more.
    answer: oneshot::Sender<Result<(), Error>>,
}

impl Markers {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, tasks: Mutex::default() }
    }

    /// Writes a marker so many times, [`MARKERS`] at the most, at the broker that leads its partition; behind a batch, if
    /// there is one. `None`: the lane is not ours any more.
    pub(crate) async fn write(
        &self,
        batch: Option<BatchBytes>,
        marker: TxnMarker,
        count: usize,
        marks: &Arc<dyn Marks>,
    ) -> Option<Result<(), Error>> {
        let broker = match self.client.leader(&marker.topic, marker.partition).await {
            Ok(leader) => leader.broker,
            Err(error) => return Some(Err(error)),
        };
        let (answer, outcome) = oneshot::channel();
        self.to(broker, Wanted { batch, marker, count, marks: marks.clone(), answer });
        outcome.await.ok()
    }

    fn to(&self, broker: i32, wanted: Wanted) {
        let connection = wanted.marker.partition.unsigned_abs() % CONNECTIONS;
        let mut tasks = self.tasks.lock().expect("nothing panics under this lock");
        let sender = tasks.entry((broker, connection)).or_insert_with(|| {
            let (sender, queue) = mpsc::unbounded_channel();
            let client = self.client.for_purpose(Purpose::numbered("fill", connection));
            tokio::spawn(write(client, broker, queue));
            sender
        });
        // Its task ends with the runtime; then nobody is answered.
        let _ = sender.send(wanted);
    }
}

/// Writes what is asked for, as much at a time as there is.
async fn write(client: Client, broker: i32, mut queue: mpsc::UnboundedReceiver<Wanted>) {
    let mut waiting = VecDeque::new();
    loop {
        if waiting.is_empty() {
            match queue.recv().await {
                Some(wanted) => waiting.push_back(wanted),
                None => return,
            }
        }
        // This may take longer than a lane is ours.
        let found = client.connection(To::Broker(broker)).await;
        // The lanes that one answer has set going ask together.
        tokio::task::yield_now().await;
        while let Ok(wanted) = queue.try_recv() {
            waiting.push_back(wanted);
        }
        // Who asked may have been ended meanwhile, or the lane be another's: then it must not be written any more.
        waiting.retain(|wanted: &Wanted| !wanted.answer.is_closed() && wanted.marks.may_write());
        let connection = match found {
            Ok(connection) => connection,
            // Whoever waits need not wait to find that, too: its partition may have another leader by now.
            Err(error) => {
                for wanted in waiting.drain(..) {
                    let _ = wanted.answer.send(Err(error.clone()));
                }
                continue;
            }
        };
        // What comes first is never too much. A partition can be in an order once.
        let (mut room, mut bytes, mut partitions) = (MARKERS, 0, HashSet::new());
        let fits = |wanted: &&Wanted| {
            let fits = wanted.count <= room && bytes < BYTES;
            room = room.saturating_sub(wanted.count);
            bytes += wanted.batch.as_ref().map_or(0, BatchBytes::len);
            fits && partitions.insert((wanted.marker.topic.clone(), wanted.marker.partition))
        };
        let now = waiting.iter().take_while(fits).count();
        let order: Vec<Wanted> = waiting.drain(..now).collect();
        if order.is_empty() {
            continue;
        }
        match send(&connection, &order).await {
            Ok(outcomes) => {
                // Those of one partition have one outcome.
                let mut outcomes = outcomes.into_iter();
                for Wanted { marker, count, answer, .. } in order {
                    let outcome = outcomes.by_ref().take(count).last().expect("one for each");
                    let doing = || format!("fill {}/{}", marker.topic, marker.partition);
                    let _ =
                        answer.send(outcome.map_err(|code| Error::answered(&"target".into(), doing(), code)));
                }
            }
            Err(error) => order.into_iter().for_each(|wanted| {
                let _ = wanted.answer.send(Err(error.clone()));
            }),
        }
    }
}

/// One order: the batches, then the markers.
async fn send(connection: &Connection, order: &[Wanted]) -> Result<Vec<Result<(), Code>>, Error> {
    let batch = |wanted: &Wanted| {
        let TxnMarker { topic, partition, .. } = &wanted.marker;
        let records = wanted.batch.as_ref()?.chunks();
        Some(ProduceBatch { topic: topic.clone(), partition: *partition, records })
    };
    let batches: Vec<ProduceBatch> = order.iter().filter_map(batch).collect();
    let markers: Vec<TxnMarker> = order.iter().flat_map(|w| vec![w.marker.clone(); w.count]).collect();
    if !batches.is_empty() {
        connection.produce_ahead(&batches)?;
    }
    connection.write_txn_markers(&markers).await
}
