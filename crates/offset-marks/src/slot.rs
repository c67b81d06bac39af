//! Which slot a lane belongs to: the partition of the control topic that holds its marks, and whose owner runs it.

use mirror_types::TopicPartition;
use xxhash_rust::xxh3::xxh3_64;

/// The slot of a lane (by the partition it reads), of `slots`.
///
/// It is (XXH3-64 of the topic's name, seed 0, plus the partition's number) modulo `slots`. So the partitions of one
/// topic lie in consecutive slots, and are shared as evenly as can be.
///
/// This must never change, nor may the number of slots of a link: marks would not be found again.
pub fn slot_of(lane: &TopicPartition, slots: i32) -> i32 {
    let slots = slots.max(1) as u64;
    let topic = xxh3_64(lane.topic.as_bytes()) % slots;
    ((topic + u64::from(lane.partition.unsigned_abs())) % slots) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slot_of_a_lane_never_changes() {
        let slots = |topic, partitions: &[i32], slots| -> Vec<i32> {
            partitions.iter().map(|p| slot_of(&TopicPartition::new(topic, *p), slots)).collect()
        };
        assert_eq!(slots("orders", &[0, 1, 2, 15, 16], 16), [11, 12, 13, 10, 11]);
        assert_eq!(slots("payments.eu-1", &[0, 7, i32::MAX], 16), [2, 9, 1]);
        assert_eq!(slots("orders", &[0, 1, 2], 50), [39, 40, 41]);
        assert_eq!(slots("orders", &[0, 1, 2], 1), [0, 0, 0]);
    }

    #[test]
    fn the_partitions_of_a_topic_are_shared_evenly() {
        let mut taken = [0; 16];
        for partition in 0..32 {
            taken[slot_of(&TopicPartition::new("t", partition), 16) as usize] += 1;
        }
        assert_eq!(taken, [2; 16]);
    }
}
