//! Producer ids and transactions, as their coordinators keep them; and control records without either.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, EndTxnRequest, InitProducerIdRequest, TransactionalId, WriteTxnMarkersRequest,
    add_partitions_to_txn_request::AddPartitionsToTxnTopic,
    write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic},
};

use crate::{
    Client, Code, Connection, Error, To,
    client::{Coordinator, repeat},
    names,
};

/// v5 and later belong to KIP-890's and KIP-939's transactions.
const INIT_VERSION: i16 = 4;
/// v4 and later are for brokers.
const ADD_VERSION: i16 = 3;
/// v5 gives a new epoch with each end.
const END_VERSION: i16 = 4;
const MARKERS_VERSION: i16 = 1;

/// A producer's id and epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProducerIdentity {
    /// The id.
    pub id: i64,
    /// The epoch.
    pub epoch: i16,
}

/// The end of a transaction in one partition, to be written there as a control record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TxnMarker {
    /// Whose transaction. There need not be one.
    pub producer: ProducerIdentity,
    /// The epoch of the coordinator that orders it; a broker refuses a smaller one than it has seen.
    pub coordinator_epoch: i32,
    /// Whether it is committed, or aborted.
    pub commit: bool,
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
}

impl Connection {
    /// Orders the partitions' leader, at the other end, to write one control record for each marker, in
    /// this order within a partition. Gives what became of each. Not repeated: each order writes another
    /// record. Needs ClusterAction on the cluster.
    ///
    /// The answer tells markers apart by producer id, topic and partition: those that have all three in
    /// common share one outcome, the last of theirs. A broker that refuses the whole order names only the
    /// last marker of each producer id (`WriteTxnMarkersRequest.getErrorResponse`): it speaks for all.
    pub fn write_txn_markers(
        &self,
        markers: &[TxnMarker],
    ) -> impl Future<Output = Result<Vec<Result<(), Code>>, Error>> + Send + 'static + use<> {
        let one = |marker: &TxnMarker| {
            let topic = WritableTxnMarkerTopic::default()
                .with_name(names::topic(&marker.topic))
                .with_partition_indexes(vec![marker.partition]);
            WritableTxnMarker::default()
                .with_producer_id(marker.producer.id.into())
                .with_producer_epoch(marker.producer.epoch)
                .with_transaction_result(marker.commit)
                .with_coordinator_epoch(marker.coordinator_epoch)
                .with_topics(vec![topic])
        };
        let request = WriteTxnMarkersRequest::default().with_markers(markers.iter().map(one).collect());
        let answer = self.send(&request, MARKERS_VERSION);
        let key = |marker: &TxnMarker| (marker.producer.id, marker.topic.clone(), marker.partition);
        let asked: Vec<_> = markers.iter().map(key).collect();
        let address = self.address().clone();
        async move {
            let mut codes: BTreeMap<(i64, Arc<str>, i32), Option<Code>> = BTreeMap::new();
            for marker in answer.await?.markers {
                for topic in marker.topics {
                    let name: Arc<str> = Arc::from(&**topic.name);
                    for partition in topic.partitions {
                        let key = (marker.producer_id.0, name.clone(), partition.partition_index);
                        codes.insert(key, Code::try_from_code(partition.error_code));
                    }
                }
            }
            let whole = refused_as_one(codes.values());
            let outcome = |key: &(i64, Arc<str>, i32)| match (codes.get(key), whole) {
                (Some(code), _) => Ok(code.map_or(Ok(()), Err)),
                (None, Some(code)) => Ok(Err(code)),
                (None, None) => {
                    Err(Error::senseless(&address, "WriteTxnMarkers", "a marker is not in the answer"))
                }
            };
            asked.iter().map(outcome).collect()
        }
    }
}

impl Client {
    /// The same at the broker of this id: the leader of the markers' partitions. Not repeated.
    pub async fn write_txn_markers(
        &self,
        broker: i32,
        markers: &[TxnMarker],
    ) -> Result<Vec<Result<(), Code>>, Error> {
        self.connection(To::Broker(broker)).await?.write_txn_markers(markers).await
    }

    /// A new producer id; with a transactional id that one's, with a new epoch, so that whoever had the
    /// last one is fenced, and its open transaction aborted. `timeout` is how long a transaction of it may
    /// be open. Tried again while the coordinator is not there, or busy ending a transaction; an attempt
    /// too many costs an epoch.
    pub async fn init_producer_id(
        &self,
        transactional_id: Option<&str>,
        timeout: Duration,
    ) -> Result<ProducerIdentity, Error> {
        let to = transactional_id.map_or(To::Any, |id| To::Coordinator(Coordinator::Transaction(id)));
        repeat!(self, to, self.init_once(to, transactional_id, timeout))
    }

    async fn init_once(
        &self,
        to: To<'_>,
        transactional_id: Option<&str>,
        timeout: Duration,
    ) -> Result<ProducerIdentity, Error> {
        let connection = self.connection(to).await?;
        let request = InitProducerIdRequest::default()
            .with_transactional_id(transactional_id.map(id_of))
            .with_transaction_timeout_ms(i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX))
            .with_producer_id((-1).into())
            .with_producer_epoch(-1);
        let answer = connection.send(&request, INIT_VERSION).await?;
        match Code::try_from_code(answer.error_code) {
            None => Ok(ProducerIdentity { id: answer.producer_id.0, epoch: answer.producer_epoch }),
            Some(code) => Err(Error::answered(connection.address(), "InitProducerId", code)),
        }
    }

    /// Makes partitions part of the transactional id's transaction, which begins with the first. Tried
    /// again while the coordinator is not there, or busy with the end of the last one.
    pub async fn add_partitions_to_txn(
        &self,
        transactional_id: &str,
        producer: ProducerIdentity,
        partitions: &[(&str, i32)],
    ) -> Result<(), Error> {
        let to = To::Coordinator(Coordinator::Transaction(transactional_id));
        repeat!(self, to, self.add_once(to, transactional_id, producer, partitions))
    }

    async fn add_once(
        &self,
        to: To<'_>,
        transactional_id: &str,
        producer: ProducerIdentity,
        partitions: &[(&str, i32)],
    ) -> Result<(), Error> {
        let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for (topic, partition) in partitions {
            topics.entry(topic).or_default().push(*partition);
        }
        let topics = topics.into_iter().map(|(topic, partitions)| {
            AddPartitionsToTxnTopic::default().with_name(names::topic(topic)).with_partitions(partitions)
        });
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(id_of(transactional_id))
            .with_v3_and_below_producer_id(producer.id.into())
            .with_v3_and_below_producer_epoch(producer.epoch)
            .with_v3_and_below_topics(topics.collect());
        let connection = self.connection(to).await?;
        let answer = connection.send(&request, ADD_VERSION).await?;
        for topic in answer.results_by_topic_v3_and_below {
            for found in topic.results_by_partition {
                // Where one fails, the others say that they were not tried.
                match Code::try_from_code(found.partition_error_code) {
                    None | Some(Code::OperationNotAttempted) => {}
                    Some(code) => {
                        let at = format!("add {}/{} to a transaction", &**topic.name, found.partition_index);
                        return Err(Error::answered(connection.address(), at, code));
                    }
                }
            }
        }
        Ok(())
    }

    /// Commits or aborts the transactional id's transaction: the coordinator then writes a control record
    /// to each of its partitions, soon. Tried again while the coordinator is not there; ending it twice the
    /// same way is no error.
    pub async fn end_txn(
        &self,
        transactional_id: &str,
        producer: ProducerIdentity,
        commit: bool,
    ) -> Result<(), Error> {
        let to = To::Coordinator(Coordinator::Transaction(transactional_id));
        repeat!(self, to, self.end_once(to, transactional_id, producer, commit))
    }

    async fn end_once(
        &self,
        to: To<'_>,
        transactional_id: &str,
        producer: ProducerIdentity,
        commit: bool,
    ) -> Result<(), Error> {
        let request = EndTxnRequest::default()
            .with_transactional_id(id_of(transactional_id))
            .with_producer_id(producer.id.into())
            .with_producer_epoch(producer.epoch)
            .with_committed(commit);
        let connection = self.connection(to).await?;
        let answer = connection.send(&request, END_VERSION).await?;
        match Code::try_from_code(answer.error_code) {
            None => Ok(()),
            Some(code) => Err(Error::answered(connection.address(), "EndTxn", code)),
        }
    }
}

/// The error that all of an answer has.
fn refused_as_one<'a>(mut codes: impl Iterator<Item = &'a Option<Code>>) -> Option<Code> {
    let first = (*codes.next()?)?;
    codes.all(|code| *code == Some(first)).then_some(first)
}

fn id_of(id: &str) -> TransactionalId {
    TransactionalId(names::text(id))
}
