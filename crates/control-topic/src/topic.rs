//! Which topic, on which cluster.

use std::{sync::Arc, time::Duration};

use kafka_wire::{Client, Code, Purpose};

use crate::{Error, Right, SlotWriter};

/// How often to look before a topic is not there: a broker that has just started may know none.
const LOOKS: usize = 3;
const BETWEEN_LOOKS: Duration = Duration::from_millis(150);

/// What all names begin with.
const PREFIX: &str = "isomirror.";

/// The name of a link's control topic.
pub fn name_of(link: &str) -> String {
    format!("{PREFIX}{link}")
}

/// The link whose control topic is called so, if a link may be named so.
pub fn link_of(topic: &str) -> Option<&str> {
    topic.strip_prefix(PREFIX).filter(|link| is_link(link))
}

/// The end of the name of a link's journal.
const JOURNAL: &str = ".journal";

/// The name of a link's journal: what operators have decided about it.
pub fn journal_of(link: &str) -> String {
    name_of(link) + JOURNAL
}

/// Whether a link may be named so: its name becomes a part of topics' names, which have at most 249 characters, and no
/// link's control topic may be another's journal.
pub fn is_link(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !name.is_empty() && name.len() <= 200 && name.chars().all(legal) && !name.ends_with(JOURNAL)
}

/// A control topic that is there. Clones share connections.
#[derive(Debug, Clone)]
pub struct ControlTopic {
    pub(crate) client: Client,
    pub(crate) topic: Arc<str>,
    pub(crate) partitions: i32,
}

impl ControlTopic {
    /// The control topic of a link; none if there is none. `client` is the target's.
    pub async fn open(client: &Client, link: &str) -> Result<Option<Self>, Error> {
        Self::open_named(client, &name_of(link)).await
    }

    /// The same by the topic's name.
    pub async fn open_named(client: &Client, topic: &str) -> Result<Option<Self>, Error> {
        let client = own(client);
        let mut attempts = client.attempts();
        let mut absent = 0;
        loop {
            match client.fresh_topic(topic).await {
                Ok(found) => return Ok(Some(Self::of(client, &found))),
                Err(error) if error.code() == Some(Code::UnknownTopicOrPartition) => {
                    absent += 1;
                    if absent == LOOKS {
                        return Ok(None);
                    }
                    tokio::time::sleep(BETWEEN_LOOKS).await;
                }
                Err(error) if attempts.again(kafka_wire::To::Any, &error).await => {}
                Err(error) => return Err(Error::of(error, topic, Right::Read)),
            }
        }
    }

    pub(crate) fn of(client: Client, topic: &kafka_wire::Topic) -> Self {
        let partitions = i32::try_from(topic.partitions.len()).expect("partitions have numbers of this size");
        Self { client, topic: topic.name.clone(), partitions }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.topic
    }

    /// How many partitions it has: one for each slot. Somebody may have added more to a topic that is in use: the
    /// slots of a link are those that its [`Link`](offset_marks::control::Link) says.
    pub fn partitions(&self) -> i32 {
        self.partitions
    }

    /// For writing to a partition again and again, under a producer id of its own.
    pub fn writer(&self, partition: i32) -> SlotWriter {
        SlotWriter::new(self.client.clone(), self.topic.clone(), partition, None, 0)
    }

    /// For writing to a partition under this producer id, which must not have been used there. If it comes with a
    /// transactional id, the first write shuts out whoever wrote with an earlier epoch of it.
    pub fn writer_as(&self, partition: i32, producer: kafka_wire::ProducerIdentity) -> SlotWriter {
        self.writer_at(partition, producer, 0)
    }

    /// For going on under a producer id with the number that follows its last record there.
    pub fn writer_at(
        &self,
        partition: i32,
        producer: kafka_wire::ProducerIdentity,
        sequence: i32,
    ) -> SlotWriter {
        SlotWriter::new(self.client.clone(), self.topic.clone(), partition, Some(producer), sequence)
    }

    /// The client that it is asked by.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// What an error of the client means for somebody who needs this right.
    pub fn error(&self, cause: kafka_wire::Error, right: Right) -> Error {
        Error::of(cause, &self.topic, right)
    }
}

/// The client over connections of its own: a large ledger on its way must not hold up what others ask.
pub(crate) fn own(client: &Client) -> Client {
    client.for_purpose(Purpose::new("control"))
}
