//! Lost, repeated, misplaced: counted from what writers were told, what lies on the target and what consumers saw. Pure.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    ops::AddAssign,
};

/// A record, by its number, where somebody saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Seen {
    /// In which partition.
    pub partition: i32,
    /// At which offset.
    pub offset: i64,
    /// Which one.
    pub number: u64,
}

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Records that are not there.
    pub lost: usize,
    /// Records that are there once more.
    pub repeated: usize,
    /// Records that are elsewhere than they were, out of order, or nobody's.
    pub misplaced: usize,
}

/// What lies on the target, against what was written: each record once, where its writer was told that it is.
pub fn on_target(written: &[Seen], target: &[Seen]) -> Counts {
    let mut counts = Counts::default();
    let mut found: HashMap<u64, Vec<Seen>> = HashMap::new();
    for seen in target {
        found.entry(seen.number).or_default().push(*seen);
    }
    for wanted in written {
        let places = found.remove(&wanted.number).unwrap_or_default();
        counts.lost += usize::from(places.is_empty());
        counts.repeated += places.len().saturating_sub(1);
        counts.misplaced += usize::from(!places.is_empty() && !places.contains(wanted));
    }
    counts.misplaced += found.values().map(Vec::len).sum::<usize>();
    counts
}

/// What a consumer saw, first on one side and then on the other, against what lies on the target: each record once, and of
/// each partition one after the other.
pub fn by_consumer(target: &[Seen], first: &[Seen], then: &[Seen]) -> Counts {
    let mut counts = Counts::default();
    let mut read: BTreeMap<i32, Vec<Seen>> = BTreeMap::new();
    for seen in first.iter().chain(then) {
        read.entry(seen.partition).or_default().push(*seen);
    }
    for (partition, there) in by_partition(target) {
        let read = read.remove(&partition).unwrap_or_default();
        let (mut times, mut latest) = (HashMap::new(), -1);
        for seen in &read {
            *times.entry(seen.number).or_insert(0_usize) += 1;
            // What it has had before is repeated, wherever it is.
            let late = times[&seen.number] == 1 && seen.offset <= latest;
            counts.misplaced += usize::from(late || there.get(&seen.number) != Some(&seen.offset));
            latest = latest.max(seen.offset);
        }
        counts.lost += there.keys().filter(|number| !times.contains_key(*number)).count();
        counts.repeated += times.values().map(|times| times - 1).sum::<usize>();
    }
    counts.misplaced += read.values().map(Vec::len).sum::<usize>();
    counts
}

fn by_partition(seen: &[Seen]) -> BTreeMap<i32, HashMap<u64, i64>> {
    let mut partitions: BTreeMap<i32, HashMap<u64, i64>> = BTreeMap::new();
    for Seen { partition, offset, number } in seen {
        partitions.entry(*partition).or_default().insert(*number, *offset);
    }
    partitions
}

impl AddAssign for Counts {
    fn add_assign(&mut self, more: Self) {
        self.lost += more.lost;
        self.repeated += more.repeated;
        self.misplaced += more.misplaced;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} lost, {} repeated, {} misplaced", self.lost, self.repeated, self.misplaced)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers 0 to 5 in two partitions, each at an offset of its own.
    fn all() -> Vec<Seen> {
        (0..6).map(|n| Seen { partition: (n % 2) as i32, offset: n as i64 / 2 * 3, number: n }).collect()
    }

    fn is(lost: usize, repeated: usize, misplaced: usize) -> Counts {
        Counts { lost, repeated, misplaced }
    }

    #[test]
    fn what_is_planted_on_the_target_is_counted() {
        let (all, odd) = (all(), Seen { partition: 0, offset: 90, number: 77 });
        let moved = |place: usize| Seen { offset: 99, ..all[place] };
        assert_eq!(on_target(&all, &all), is(0, 0, 0));
        assert_eq!(on_target(&all, &all[1..]), is(1, 0, 0));
        assert_eq!(on_target(&all, &[&all[..], &[moved(3)]].concat()), is(0, 1, 0));
        assert_eq!(on_target(&all, &[&all[1..], &[moved(0)]].concat()), is(0, 0, 1));
        assert_eq!(on_target(&all, &[&all[..], &[odd]].concat()), is(0, 0, 1));
    }

    #[test]
    fn what_a_consumer_misses_or_sees_again_is_counted() {
        let all = all();
        let (first, then) = all.split_at(3);
        assert_eq!(by_consumer(&all, first, then), is(0, 0, 0));
        assert_eq!(by_consumer(&all, first, &then[1..]), is(1, 0, 0));
        assert_eq!(by_consumer(&all, first, &all[2..]), is(0, 1, 0));
        assert_eq!(by_consumer(&all, first, &[then[2], then[0], then[1]]), is(0, 0, 1), "5 before 3");
        assert_eq!(by_consumer(&all, first, &[then[0], then[1], Seen { offset: 7, ..then[2] }]), is(0, 0, 1));
        let foreign = Seen { partition: 3, offset: 0, number: 0 };
        assert_eq!(by_consumer(&all, first, &[then, &[foreign]].concat()), is(0, 0, 1));
        assert_eq!(by_consumer(&all, &[], &[]), is(6, 0, 0));
    }
}
