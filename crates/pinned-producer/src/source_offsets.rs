//! The source offsets of a batch's records, as runs.

use mirror_types::Offset;

/// The source offset of each record of a batch, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SourceOffsets {
    /// First offset and length.
    runs: Vec<(Offset, usize)>,
    len: usize,
}

impl SourceOffsets {
    pub(crate) fn push(&mut self, offset: Offset) {
        self.extend(offset, 1);
    }

    /// Adds `count` offsets from `first` on.
    pub(crate) fn extend(&mut self, first: Offset, count: usize) {
        self.len += count;
        match self.runs.last_mut() {
            Some((start, length)) if *start + *length as Offset == first => *length += count,
            _ => self.runs.push((first, count)),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn first(&self) -> Option<Offset> {
        self.runs.first().map(|(first, _)| *first)
    }

    /// That of the record at this index, if there are so many.
    pub(crate) fn get(&self, mut index: usize) -> Option<Offset> {
        for (first, length) in &self.runs {
            if index < *length {
                return Some(first + index as Offset);
            }
            index -= length;
        }
        None
    }
}

#[cfg(test)]
impl SourceOffsets {
    pub(crate) fn all(&self) -> Vec<Offset> {
        self.runs.iter().flat_map(|(first, length)| (0..*length).map(move |n| first + n as Offset)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_give_back_each_offset() {
        let mut offsets = SourceOffsets::default();
        assert!(offsets.is_empty() && offsets.first().is_none() && offsets.get(0).is_none());
        offsets.push(5);
        offsets.push(6);
        offsets.extend(9, 3);
        offsets.push(12);
        let all = [5, 6, 9, 10, 11, 12];
        assert_eq!(offsets.all(), all);
        assert_eq!((offsets.len(), offsets.first()), (6, Some(5)));
        assert!((0..8).map(|index| offsets.get(index)).eq((0..8).map(|index| all.get(index).copied())));
    }
}
