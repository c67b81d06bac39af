//! Claims and shares as members of a consumer group send them: Kafka's own subscription and assignment, so that its
//! tools can show who has which slot, with what only we know in their user data.

use std::collections::BTreeSet;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_wire::kafka_protocol::{
    messages::{
        ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicName, consumer_protocol_assignment,
        consumer_protocol_subscription,
    },
    protocol::{Encodable, StrBytes},
};

use crate::assignor::{Claim, Share};

/// The type of groups that Kafka's tools know.
pub(crate) const PROTOCOL_TYPE: &str = "consumer";
/// The name of the way to assign, as the group's members agree on it.
pub const PROTOCOL: &str = "isomirror-sticky";

/// From version 2 on it has the generation.
const SUBSCRIPTION: i16 = 2;
const ASSIGNMENT: i16 = 2;
/// The version of what is in the user data.
const OURS: u8 = 1;

/// What a member is given in a generation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Given {
    pub share: Share,
    /// Nothing is held back from anybody.
    pub settled: bool,
}

pub(crate) fn encode_claim(topic: &str, claim: &Claim) -> Bytes {
    let all = claim.owned.union(&claim.leaving).copied().collect();
    let owned = consumer_protocol_subscription::TopicPartition::default()
        .with_topic(TopicName(text(topic)))
        .with_partitions(all);
    let subscription = ConsumerProtocolSubscription::default()
        .with_topics(vec![text(topic)])
        .with_owned_partitions(vec![owned])
        .with_generation_id(claim.generation)
        .with_user_data(Some(encode_data(claim.departing, &claim.leaving)));
    versioned(SUBSCRIPTION, &subscription)
}

pub(crate) fn decode_claim(topic: &str, bytes: Bytes) -> Result<Claim, String> {
    let mut from = Reader(bytes);
    let version = from.version()?;
    from.array(|from| from.bytes(Width::Two))?;
    let (departing, leaving) = decode_data(from.bytes(Width::Four)?)?;
    let owned = if version >= 1 { from.partitions(topic)? } else { BTreeSet::new() };
    let generation = if version >= 2 { from.i32()? } else { -1 };
    Ok(Claim {
        leaving: owned.intersection(&leaving).copied().collect(),
        owned: owned.difference(&leaving).copied().collect(),
        generation,
        departing,
    })
}

pub(crate) fn encode_share(topic: &str, share: &Share, settled: bool) -> Bytes {
    let partitions = consumer_protocol_assignment::TopicPartition::default()
        .with_topic(TopicName(text(topic)))
        .with_partitions(share.slots.iter().copied().collect());
    let assignment = ConsumerProtocolAssignment::default()
        .with_assigned_partitions(vec![partitions])
        .with_user_data(Some(encode_data(settled, &share.give_up)));
    versioned(ASSIGNMENT, &assignment)
}

pub(crate) fn decode_share(topic: &str, bytes: Bytes) -> Result<Given, String> {
    // A member that the leader knew nothing of.
    if bytes.is_empty() {
        return Ok(Given { share: Share::default(), settled: true });
    }
    let mut from = Reader(bytes);
    from.version()?;
    let slots = from.partitions(topic)?;
    let (settled, give_up) = decode_data(from.bytes(Width::Four)?)?;
    Ok(Given { share: Share { slots, give_up }, settled })
}

fn versioned(version: i16, message: &impl Encodable) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i16(version);
    message.encode(&mut bytes, version).expect("it has what its version has, and names are short");
    bytes.freeze()
}

/// A version, a flag, a number of slots, and the slots.
fn encode_data(flag: bool, slots: &BTreeSet<i32>) -> Bytes {
    let mut bytes = BytesMut::with_capacity(6 + 4 * slots.len());
    bytes.put_u8(OURS);
    bytes.put_u8(flag.into());
    bytes.put_i32(i32::try_from(slots.len()).expect("slots are numbered by i32"));
    slots.iter().for_each(|slot| bytes.put_i32(*slot));
    bytes.freeze()
}

fn decode_data(bytes: Bytes) -> Result<(bool, BTreeSet<i32>), String> {
    let mut from = Reader(bytes);
    let (_version, flag) = (from.u8()?, from.u8()?);
    Ok((flag != 0, from.array(Reader::i32)?.into_iter().collect()))
}

/// Reads what other members have written. The protocol library would do, but makes room for whatever an array's
/// length promises.
struct Reader(Bytes);

/// Of a length, in bytes.
#[derive(Clone, Copy)]
enum Width {
    Two,
    Four,
}

impl Reader {
    fn u8(&mut self) -> Result<u8, String> {
        self.0.try_get_u8().map_err(|error| error.to_string())
    }

    fn i16(&mut self) -> Result<i16, String> {
        self.0.try_get_i16().map_err(|error| error.to_string())
    }

    fn i32(&mut self) -> Result<i32, String> {
        self.0.try_get_i32().map_err(|error| error.to_string())
    }

    /// Later versions add to the end of earlier ones.
    fn version(&mut self) -> Result<i16, String> {
        let version = self.i16()?;
        if version < 0 { Err(format!("version {version}")) } else { Ok(version) }
    }

    /// A text, or what else has a length; none is none of it.
    fn bytes(&mut self, width: Width) -> Result<Bytes, String> {
        let length = match width {
            Width::Two => self.i16()?.into(),
            Width::Four => self.i32()?,
        };
        let length = usize::try_from(length).unwrap_or(0);
        if length > self.0.len() {
            return Err(format!("{length} bytes of {}", self.0.len()));
        }
        Ok(self.0.split_to(length))
    }

    fn array<T>(&mut self, one: impl Fn(&mut Self) -> Result<T, String>) -> Result<Vec<T>, String> {
        let count = self.i32()?;
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(one(self)?);
        }
        Ok(all)
    }

    /// The partitions of this topic.
    fn partitions(&mut self, topic: &str) -> Result<BTreeSet<i32>, String> {
        let all = self.array(|from| Ok((from.bytes(Width::Two)?, from.array(Self::i32)?)))?;
        let ours = all.into_iter().filter(|(name, _)| &**name == topic.as_bytes());
        Ok(ours.flat_map(|(_, partitions)| partitions).collect())
    }
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

#[cfg(test)]
mod tests {
    use kafka_wire::kafka_protocol::protocol::Decodable;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_sent_is_read(
            owned: BTreeSet<i32>, leaving: BTreeSet<i32>, generation: i32, flag: bool,
        ) {
            let owned = owned.difference(&leaving).copied().collect();
            let claim = Claim { owned, leaving: leaving.clone(), generation, departing: flag };
            prop_assert_eq!(decode_claim("t", encode_claim("t", &claim)).unwrap(), claim.clone());
            let other = decode_claim("other", encode_claim("t", &claim)).unwrap();
            prop_assert!(other.owned.is_empty() && other.leaving.is_empty());
            let share = Share { slots: claim.owned, give_up: leaving };
            let given = decode_share("t", encode_share("t", &share, flag)).unwrap();
            prop_assert_eq!(given, Given { share, settled: flag });
        }

        #[test]
        fn nonsense_is_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..64), cut in 0..200usize) {
            let claim = Claim { owned: (0..9).collect(), leaving: [9].into(), generation: 3, departing: true };
            let whole = encode_claim("topic", &claim);
            if cut < whole.len() {
                prop_assert!(decode_claim("topic", whole.slice(..cut)).is_err());
            }
            let bytes = Bytes::from(bytes);
            let _ = (decode_claim("t", bytes.clone()), decode_share("t", bytes));
        }

        #[test]
        fn it_is_what_kafka_reads(owned: BTreeSet<i32>, generation: i32) {
            let claim = Claim { owned: owned.clone(), generation, ..Claim::default() };
            let mut bytes = encode_claim("t", &claim).slice(2..);
            let read = ConsumerProtocolSubscription::decode(&mut bytes, SUBSCRIPTION).unwrap();
            prop_assert!(bytes.is_empty() && read.generation_id == generation && read.topics == [text("t")]);
            prop_assert!(read.owned_partitions[0].partitions.iter().eq(&owned));
            let mut bytes = encode_share("t", &Share { slots: owned.clone(), give_up: [3].into() }, true).slice(2..);
            let read = ConsumerProtocolAssignment::decode(&mut bytes, ASSIGNMENT).unwrap();
            prop_assert!(bytes.is_empty() && read.assigned_partitions[0].partitions.iter().eq(&owned));
        }
    }

    #[test]
    fn what_kafka_says_of_a_member_without_share() {
        assert!(decode_share("t", Bytes::new()).unwrap().share.slots.is_empty());
        assert!(decode_claim("t", Bytes::new()).is_err());
        let claim = Claim { owned: [1, 2].into(), generation: 5, ..Claim::default() };
        let mut newer = BytesMut::from(&*encode_claim("t", &claim));
        newer[..2].copy_from_slice(&9i16.to_be_bytes());
        newer.put_i16(-1);
        newer.put_slice(b"and more");
        assert_eq!(decode_claim("t", newer.freeze()).unwrap(), claim);
    }
}
