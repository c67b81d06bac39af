//! What the benchmark's own programs have in common: a client over kafka-wire, requests on their way, the ends of a topic.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail, ensure};
use kafka_harness::Cluster;
use kafka_wire::{
    Client, Connection, FetchFrom, FetchOptions, FetchSession, Fetched, Isolation, OffsetSpec, ProduceBatch,
    ProduceOptions, Producing, Purpose, Settings, To, Topic,
    records::{Batch, Batches},
};
use tokio::runtime::Runtime;

/// Bytes an answer to a fetch, about.
const ANSWER: i32 = 16 << 20;

/// A client of one cluster.
pub fn client(cluster: &Cluster) -> Result<Client> {
    client_of(&cluster.internal_bootstrap())
}

/// The same by the cluster's address.
pub fn client_of(bootstrap: &str) -> Result<Client> {
    Ok(Client::new(Settings::new([("bootstrap.servers", bootstrap), ("request.timeout.ms", "60000")])?))
}

/// One thread, that of the caller: where cores are few, more of them only cost.
pub fn runtime() -> Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("failed to start tokio")
}

/// The present time for a record, in milliseconds since the epoch: what is older than a topic's retention its broker deletes
/// within the minute, while it is measured.
pub fn timestamp() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or_default()
}

/// All partitions of a topic that one broker leads, from their start, over one connection; the next request is on its way
/// while the last answer is worked on.
pub struct Reader {
    session: FetchSession,
    /// What is read.
    pub topic: Arc<Topic>,
    options: FetchOptions,
}

impl Reader {
    /// Connects; nothing is fetched yet.
    pub async fn open(client: &Client, topic: &str) -> Result<Self> {
        let client = client.for_purpose(Purpose::new("fetch"));
        let topic = client.topic(topic).await?;
        let connection = client.connection(To::Leader(&topic.name, 0)).await?;
        let mut session = FetchSession::new(&client, connection, "");
        for partition in topic.partitions.keys() {
            session
                .set(FetchFrom { topic_id: topic.id, ..FetchFrom::new(topic.name.clone(), *partition, 0) });
        }
        let options = FetchOptions { max_bytes: ANSWER, ..FetchOptions::default() };
        Ok(Self { session, topic, options })
    }

    /// What there is behind the last answer, once there is something, or half a second is over.
    pub async fn next(&mut self) -> Result<Vec<Fetched>> {
        let answer = self.session.fetch(&self.options).await?;
        for fetched in &answer {
            if let Some(code) = fetched.error {
                bail!("partition {} can't be read: {code}", fetched.partition);
            }
            let Some(last) = batches_of(fetched)?.pop() else { continue };
            let from = self.session.get(&fetched.topic, fetched.partition).context("nobody asked for it")?;
            self.session.set(FetchFrom { offset: last.header.next_offset(), ..from.clone() });
        }
        self.session.send(&self.options);
        Ok(answer)
    }
}

/// The whole batches of an answer.
pub fn batches_of(fetched: &Fetched) -> Result<Vec<Batch>> {
    Ok(Batches::new(fetched.records.clone()).collect::<Result<_, _>>()?)
}

/// Requests with acks=all over one connection, some of them on their way at once.
pub struct Window {
    connection: Connection,
    depth: usize,
    flying: VecDeque<Producing>,
}

impl Window {
    /// A producer with sequence numbers has at most 5 on their way: its broker remembers no more.
    pub const IDEMPOTENT: usize = 5;

    /// None are on their way yet.
    pub fn new(connection: Connection, depth: usize) -> Self {
        Self { connection, depth, flying: VecDeque::new() }
    }

    /// Sends one request, once there is room for it. An error is one of an earlier request.
    pub async fn send(&mut self, batches: &[ProduceBatch]) -> Result<()> {
        while self.flying.len() >= self.depth {
            self.oldest().await?;
        }
        self.flying.push_back(self.connection.produce(batches, &ProduceOptions::default()));
        Ok(())
    }

    /// Waits until all are answered.
    pub async fn finish(&mut self) -> Result<()> {
        while !self.flying.is_empty() {
            self.oldest().await?;
        }
        Ok(())
    }

    async fn oldest(&mut self) -> Result<()> {
        let Some(oldest) = self.flying.pop_front() else { return Ok(()) };
        let refused = oldest.await?.into_iter().find_map(Result::err);
        ensure!(refused.is_none(), "a batch was refused: {refused:?}");
        Ok(())
    }
}

/// Asks again and again how many offsets a topic has, over one connection: that costs its broker next to nothing.
pub struct Ends {
    runtime: Runtime,
    client: Client,
    topic: String,
    partitions: Vec<i32>,
}

impl Ends {
    /// Of a topic that is there.
    pub fn of(cluster: &Cluster, topic: &str) -> Result<Self> {
        let (runtime, client) = (runtime()?, client(cluster)?);
        let partitions = runtime.block_on(client.topic(topic))?.partitions.keys().copied().collect();
        Ok(Self { runtime, client, topic: topic.to_owned(), partitions })
    }

    /// The high watermarks of all partitions together.
    pub fn sum(&self) -> Result<u64> {
        self.up_to(Isolation::ReadUncommitted)
    }

    /// What of them is certain to stay: up to the first transaction that is still open.
    pub fn stable(&self) -> Result<u64> {
        self.up_to(Isolation::ReadCommitted)
    }

    fn up_to(&self, isolation: Isolation) -> Result<u64> {
        let asked: Vec<(&str, i32)> = self.partitions.iter().map(|p| (&*self.topic, *p)).collect();
        let listed = self.runtime.block_on(self.client.list_offsets(&asked, OffsetSpec::Latest, isolation));
        let offsets = listed.into_iter().map(|listed| Ok(listed?.offset.unsigned_abs()));
        offsets.sum::<Result<u64>>()
    }
}
