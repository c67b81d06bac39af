//! Records that are read again although the target has them: passed over, but for the last, which must be the same.
//!
//! What is said of them is held back until all of them have come, since the last tells whether any of it is true.

use std::ops::Range;

use mirror_types::{Mark, Offset, Record};

use crate::{digest::Digest, standing::Last};

/// Runs that are held back, at the most.
const RUNS: usize = 10_000;

/// What was read again so far.
#[derive(Default)]
pub(crate) struct Had {
    /// They lie at their own offsets, which is to be told.
    identical: bool,
    /// The source offset of the target's last record, and its digest.
    check: Option<(Offset, Digest)>,
    /// The same offset, also once it was compared.
    last: Option<Offset>,
    /// From here on, the source has a record at that offset and none behind it.
    strict: Option<Offset>,
    marks: Vec<Mark>,
}

impl Had {
    /// They lie at their own offsets, and that is to be told.
    pub(crate) fn identical() -> Self {
        Self { identical: true, ..Self::default() }
    }

    /// `last`, the target's last record, is that of source offset `offset`: should it be read, it must be the same.
    #[must_use]
    pub(crate) fn checked(self, check: Option<(Offset, &Last)>) -> Self {
        let last = check.map(|(offset, _)| offset);
        Self { check: check.map(|(offset, last)| (offset, last.digest)), last, ..self }
    }

    /// From this offset on, the source must have a record where the target has its last, and none behind it that the
    /// target is past.
    #[must_use]
    pub(crate) fn strict(self, from: Option<Offset>) -> Self {
        Self { strict: from, ..self }
    }

    /// Takes a record. False: the target has another in its place.
    pub(crate) fn take(&mut self, record: &Record<'_>) -> bool {
        let offset = record.offset();
        if self.identical && !self.marks.last_mut().is_some_and(|mark| mark.extend(offset, offset)) {
            self.marks.push(Mark { source: offset, target: offset, count: 1 });
        }
        let behind = self.last.is_some_and(|last| offset > last);
        if behind && self.strict.is_some_and(|from| offset >= from) {
            return false;
        }
        let check = self.check.take_if(|(checked, _)| *checked == offset);
        check.is_none_or(|(_, digest)| Digest::of(record) == digest)
    }

    /// The source has nothing in this range: it may have been deleted a moment ago, and what was there can't be compared.
    pub(crate) fn nothing_in(&mut self, range: Range<Offset>) {
        self.check.take_if(|(checked, _)| range.contains(checked));
    }

    /// The source offset of the target's last record, where the source should have had one, and had none before `offset`.
    pub(crate) fn missing_before(&self, offset: Offset) -> Option<Offset> {
        let (checked, _) = self.check?;
        (checked < offset && self.strict.is_some_and(|from| checked >= from)).then_some(checked)
    }

    /// Whether no more is to be held back.
    pub(crate) fn is_full(&self) -> bool {
        self.marks.len() >= RUNS
    }

    /// Where they lie.
    pub(crate) fn marks(&mut self) -> Vec<Mark> {
        std::mem::take(&mut self.marks)
    }
}
