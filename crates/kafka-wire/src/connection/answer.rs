//! What every answer has: a way to read it, and how long the broker wants to be left alone after it.

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::{
    messages::*,
    protocol::{Decodable, HeaderVersion},
};

use crate::fields::guard::{Guarded, old_array};

/// An answer to a request.
pub trait Answer: Sized {
    /// Reads it from a frame, without the frame's length; what it has of records is slices of `frame`. The
    /// error says what is wrong with the bytes.
    fn read(frame: Bytes, version: i16) -> Result<Self, String>;

    /// How long the broker wants no request of this client (KIP-219), for a quota that was exceeded.
    fn throttle(&self) -> Duration;
}

/// Reads an answer that the library knows.
fn decode<T: Decodable + HeaderVersion>(frame: Bytes, version: i16) -> Result<T, String> {
    let mut fields = Guarded::new(frame);
    ResponseHeader::decode(&mut fields, T::header_version(version)).map_err(|reason| reason.to_string())?;
    // What is left over is passed over, as Kafka's own client does.
    T::decode(&mut fields, version).map_err(|reason| reason.to_string())
}

fn millis(time: i32) -> Duration {
    Duration::from_millis(u64::try_from(time).unwrap_or(0))
}

macro_rules! answers {
    ($($name:ident),* $(,)?) => {$(
        impl Answer for $name {
            fn read(frame: Bytes, version: i16) -> Result<Self, String> {
                decode(frame, version)
            }

            fn throttle(&self) -> Duration {
                millis(self.throttle_time_ms)
            }
        }
    )*};
}

macro_rules! answers_without_throttle {
    ($($name:ident),* $(,)?) => {$(
        impl Answer for $name {
            fn read(frame: Bytes, version: i16) -> Result<Self, String> {
                decode(frame, version)
            }

            fn throttle(&self) -> Duration {
                Duration::ZERO
            }
        }
    )*};
}

/// Where the array is in the first two answers: behind the correlation id and an error.
const FIRST_ARRAY: usize = 6;
const TOO_MANY: &str = "it promises more elements than there is room for";

// The answers of a peer that may be anyone: their old forms are looked at too.

impl Answer for ApiVersionsResponse {
    fn read(frame: Bytes, version: i16) -> Result<Self, String> {
        if version < 3 && !old_array(&frame, FIRST_ARRAY) {
            return Err(TOO_MANY.to_owned());
        }
        decode(frame, version)
    }

    fn throttle(&self) -> Duration {
        millis(self.throttle_time_ms)
    }
}

impl Answer for SaslHandshakeResponse {
    fn read(frame: Bytes, version: i16) -> Result<Self, String> {
        if !old_array(&frame, FIRST_ARRAY) {
            return Err(TOO_MANY.to_owned());
        }
        decode(frame, version)
    }

    fn throttle(&self) -> Duration {
        Duration::ZERO
    }
}

answers!(
    AddOffsetsToTxnResponse,
    AddPartitionsToTxnResponse,
    AddRaftVoterResponse,
    AllocateProducerIdsResponse,
    AlterClientQuotasResponse,
    AlterConfigsResponse,
    AlterPartitionReassignmentsResponse,
    AlterPartitionResponse,
    AlterReplicaLogDirsResponse,
    AlterShareGroupOffsetsResponse,
    AlterUserScramCredentialsResponse,
    AssignReplicasToDirsResponse,
    BrokerHeartbeatResponse,
    BrokerRegistrationResponse,
    ConsumerGroupDescribeResponse,
    ConsumerGroupHeartbeatResponse,
    ControllerRegistrationResponse,
    CreateAclsResponse,
    CreateDelegationTokenResponse,
    CreatePartitionsResponse,
    CreateTopicsResponse,
    DeleteAclsResponse,
    DeleteGroupsResponse,
    DeleteRecordsResponse,
    DeleteShareGroupOffsetsResponse,
    DeleteTopicsResponse,
    DescribeAclsResponse,
    DescribeClientQuotasResponse,
    DescribeClusterResponse,
    DescribeConfigsResponse,
    DescribeDelegationTokenResponse,
    DescribeGroupsResponse,
    DescribeLogDirsResponse,
    DescribeProducersResponse,
    DescribeShareGroupOffsetsResponse,
    DescribeTopicPartitionsResponse,
    DescribeTransactionsResponse,
    DescribeUserScramCredentialsResponse,
    ElectLeadersResponse,
    EndTxnResponse,
    ExpireDelegationTokenResponse,
    FetchResponse,
    FetchSnapshotResponse,
    FindCoordinatorResponse,
    GetTelemetrySubscriptionsResponse,
    HeartbeatResponse,
    IncrementalAlterConfigsResponse,
    InitProducerIdResponse,
    JoinGroupResponse,
    LeaveGroupResponse,
    ListConfigResourcesResponse,
    ListGroupsResponse,
    ListOffsetsResponse,
    ListPartitionReassignmentsResponse,
    ListTransactionsResponse,
    MetadataResponse,
    OffsetCommitResponse,
    OffsetDeleteResponse,
    OffsetFetchResponse,
    OffsetForLeaderEpochResponse,
    ProduceResponse,
    PushTelemetryResponse,
    RemoveRaftVoterResponse,
    RenewDelegationTokenResponse,
    ShareAcknowledgeResponse,
    ShareFetchResponse,
    ShareGroupDescribeResponse,
    ShareGroupHeartbeatResponse,
    SyncGroupResponse,
    TxnOffsetCommitResponse,
    UnregisterBrokerResponse,
    UpdateFeaturesResponse,
    UpdateRaftVoterResponse,
);

answers_without_throttle!(
    BeginQuorumEpochResponse,
    DeleteShareGroupStateResponse,
    DescribeQuorumResponse,
    EndQuorumEpochResponse,
    EnvelopeResponse,
    InitializeShareGroupStateResponse,
    ReadShareGroupStateResponse,
    ReadShareGroupStateSummaryResponse,
    SaslAuthenticateResponse,
    VoteResponse,
    WriteShareGroupStateResponse,
    WriteTxnMarkersResponse,
);

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// All that are asked for, in the newest version of ours.
    fn read_as_anything(bytes: &[u8]) {
        macro_rules! read {
            ($($name:ident $version:literal),* $(,)?) => {$(
                let _ = $name::read(Bytes::copy_from_slice(bytes), $version);
            )*};
        }
        read!(
            AddPartitionsToTxnResponse 3, AlterPartitionReassignmentsResponse 0, ApiVersionsResponse 0,
            ApiVersionsResponse 3, ConsumerGroupDescribeResponse 0, DeleteRecordsResponse 2,
            DescribeClusterResponse 0, DescribeConfigsResponse 4, DescribeGroupsResponse 5, DescribeLogDirsResponse 4,
            DescribeProducersResponse 0, ElectLeadersResponse 2, EndTxnResponse 3, IncrementalAlterConfigsResponse 1,
            ListPartitionReassignmentsResponse 0, ListGroupsResponse 5, FindCoordinatorResponse 4, HeartbeatResponse 4,
            InitProducerIdResponse 4, JoinGroupResponse 9, LeaveGroupResponse 5, ListOffsetsResponse 7,
            MetadataResponse 12, OffsetCommitResponse 8, OffsetFetchResponse 8,
            OffsetForLeaderEpochResponse 4, ProduceResponse 9, SaslAuthenticateResponse 2,
            SaslHandshakeResponse 1, SyncGroupResponse 5, WriteTxnMarkersResponse 1,
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_take_what_they_promise(
            zeros in 0usize..30,
            bytes in vec(prop_oneof![any::<u8>(), Just(0xff), 0..4u8], 0..60),
        ) {
            // Where numbers are 0, what comes first is told apart from lengths.
            read_as_anything(&[&vec![0; zeros], &bytes[..]].concat());
        }
    }

    #[test]
    fn the_first_answers_are_not_believed() {
        let promise = Bytes::from_static(&[0, 0, 0, 1, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0]);
        assert_eq!(SaslHandshakeResponse::read(promise.clone(), 1).unwrap_err(), TOO_MANY);
        assert_eq!(ApiVersionsResponse::read(promise, 0).unwrap_err(), TOO_MANY);
    }
}
