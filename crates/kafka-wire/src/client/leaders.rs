//! What other answers than Metadata's say of who is to be asked: new leaders (KIP-951), nearer replicas
//! (KIP-392).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Instant,
};

use super::{Broker, Client, Leader};
use crate::{Error, Fetched, lock};

/// The brokers that leaders have said are nearer, and when.
#[derive(Default)]
pub(super) struct Nearer(Mutex<HashMap<At, (i32, Instant)>>);

type At = (Arc<str>, i32);

impl Client {
    /// The id of the broker to read a partition from: a nearer replica that its leader has named, for
    /// `metadata.max.age.ms` after it has (KIP-392); else the leader, as far as is known.
    pub async fn reader(&self, topic: &str, partition: i32) -> Result<i32, Error> {
        let max_age = self.inner.settings.metadata_max_age;
        let at = (Arc::from(topic), partition);
        let nearer = lock(&self.inner.nearer.0).get(&at).copied();
        match nearer {
            Some((broker, since)) if since.elapsed() < max_age => Ok(broker),
            _ => Ok(self.leader(topic, partition).await?.broker),
        }
    }

    /// Goes back to the leader: the replica that it has named has not the offset, or is not there.
    pub fn forget_reader(&self, topic: &str, partition: i32) {
        lock(&self.inner.nearer.0).remove(&(Arc::from(topic), partition));
    }

    /// Keeps what the answer to a Fetch says of brokers, leaders and replicas.
    pub(crate) fn learn_from_fetch(&self, brokers: Vec<Broker>, fetched: &[Fetched]) {
        for broker in brokers {
            self.learn_broker(broker);
        }
        for fetched in fetched {
            if let Some(leader) = fetched.leader {
                self.learn_leader(&fetched.topic, fetched.partition, leader);
            }
            if let Some(replica) = fetched.preferred_replica {
                let at = (fetched.topic.clone(), fetched.partition);
                lock(&self.inner.nearer.0).insert(at, (replica, Instant::now()));
            }
        }
    }

    /// Keeps who leads a partition of a topic that is known, unless something newer is.
    fn learn_leader(&self, topic: &str, partition: i32, leader: Leader) {
        self.forget_reader(topic, partition);
        let mut known = lock(&self.inner.cache.known);
        let Some(Ok(topic)) = known.topics.get_mut(topic).map(|known| &mut known.topic) else { return };
        let is_news = |known: &super::Partition| known.leader_epoch < leader.epoch;
        if !topic.partitions.get(&partition).is_some_and(is_news) {
            return;
        }
        // Copied once for all partitions of an answer, if someone holds it.
        if let Some(known) = Arc::make_mut(topic).partitions.get_mut(&partition) {
            (known.leader, known.leader_epoch) = (Some(leader.broker), leader.epoch);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use super::*;
    use crate::{Partition, Settings, Topic};

    fn client() -> Client {
        let client = Client::new(Settings::new([("bootstrap.servers", "127.0.0.1:1")]).unwrap());
        let partition =
            Partition { leader: Some(1), leader_epoch: 5, replicas: vec![1, 2], in_sync: vec![1, 2] };
        let topic = Topic {
            name: "t".into(),
            id: [1; 16],
            internal: false,
            partitions: BTreeMap::from([(0, partition)]),
        };
        lock(&client.inner.cache.known).put(topic);
        client
    }

    #[tokio::test]
    async fn a_newer_leader_is_believed_and_an_older_one_not() {
        let client = client();
        let held = client.topic("t").await.unwrap();
        for (epoch, expected) in [(4, 1), (5, 1), (6, 2), (5, 2)] {
            client.learn_leader("t", 0, Leader { broker: 2, epoch });
            assert_eq!(client.leader("t", 0).await.unwrap().broker, expected, "epoch {epoch}");
        }
        assert_eq!(held.partitions[&0].leader, Some(1), "what was given stays as it was");
    }

    #[tokio::test]
    async fn a_nearer_replica_is_for_a_while_only() {
        let client = client();
        let max_age = client.inner.settings.metadata_max_age;
        let named = |ago| {
            let at = Instant::now().checked_sub(ago).unwrap();
            lock(&client.inner.nearer.0).insert((Arc::from("t"), 0), (7, at));
        };
        named(max_age + Duration::from_secs(1));
        assert_eq!(client.reader("t", 0).await.unwrap(), 1);
        named(max_age / 2);
        assert_eq!(client.reader("t", 0).await.unwrap(), 7);
        client.learn_leader("t", 0, Leader { broker: 2, epoch: 9 });
        assert_eq!(client.reader("t", 0).await.unwrap(), 2, "a new leader may know better");
        named(Duration::ZERO);
        client.forget_reader("t", 0);
        assert_eq!(client.reader("t", 0).await.unwrap(), 2);
    }
}
