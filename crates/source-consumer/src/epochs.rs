//! Which leader's epoch the offsets that were read belong to, so that the point of a truncation is certain (KIP-320).

use mirror_types::Offset;

/// So many changes of the leader are remembered; of older ones, the point is not certain.
const MOST: usize = 100;

/// Where the records of each epoch end, in the order in which they were read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Epochs(Vec<(i32, Offset)>);

impl Epochs {
    /// What was written in this epoch is read up to here.
    pub(crate) fn read(&mut self, epoch: i32, end: Offset) {
        match self.0.last_mut() {
            Some((last, to)) if *last == epoch => *to = end,
            _ if epoch < 0 => {}
            _ => {
                if self.0.len() == MOST {
                    self.0.remove(0);
                }
                self.0.push((epoch, end));
            }
        }
    }

    /// Adds what was read behind this.
    pub(crate) fn extend(&mut self, behind: Self) {
        behind.0.into_iter().for_each(|(epoch, end)| self.read(epoch, end));
    }

    /// The last one; -1 where it is not known.
    pub(crate) fn last(&self) -> i32 {
        self.0.last().map_or(-1, |(epoch, _)| *epoch)
    }

    /// Up to where the source is still what was read, when its leader says that this epoch, the last that it has of those
    /// up to ours, ends here. An epoch has one leader, so two logs that have records of it are the same up to where the
    /// first of them has no more.
    pub(crate) fn agree_to(&self, epoch: i32, end: Offset) -> Option<Offset> {
        let read = self.0.iter().find(|(read, _)| *read == epoch);
        read.map(|(_, to)| end.min(*to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_point_of_a_truncation_is_where_the_first_log_has_no_more_of_the_epoch() {
        let mut epochs = Epochs::default();
        assert_eq!((epochs.last(), epochs.agree_to(0, 10)), (-1, None));
        for (epoch, end) in [(3, 50), (3, 100), (5, 140), (5, 150)] {
            epochs.read(epoch, end);
        }
        assert_eq!(epochs.last(), 5);
        assert_eq!(epochs.agree_to(5, 120), Some(120), "within the last epoch");
        assert_eq!(epochs.agree_to(3, 90), Some(90), "the new leader has less of an older one");
        assert_eq!(epochs.agree_to(3, 110), Some(100), "it has more, which was never read");
        assert_eq!(epochs.agree_to(3, 40), Some(40), "before where reading began");
        assert_eq!(epochs.agree_to(4, 100), None, "nothing of it was read");
        epochs.read(-1, 160);
        assert_eq!(epochs, Epochs(vec![(3, 100), (5, 150)]), "an old broker does not say");
        let mut more = Epochs::default();
        more.read(5, 170);
        (6..200).for_each(|epoch| more.read(epoch, 100 * Offset::from(epoch)));
        epochs.extend(more);
        assert_eq!((epochs.0.len(), epochs.last(), epochs.agree_to(5, 500)), (MOST, 199, None));
    }
}
