//! Where a lane's records come to lie on the target, one after the other. Pure.
//!
//! ```text
//! source offset ──► Had: the target has it          (passed over)
//!               ──► Next: it lies at `target`       (sent)
//!               ──► Early: not without …            identical: a fill, or padding; translated: a declaration
//! ```

use std::collections::VecDeque;

use mirror_types::{Mark, Offset};

/// Smaller gaps get control records, which nobody sees: as transaction markers were, which most of them are. Those cost
/// 0.2 to 0.5 ms each and a round trip a gap; padding, less than a thousandth of that.
const LARGE: Offset = 10;

/// The way on from what the target has.
pub(crate) struct Course {
    kind: Kind,
    /// Source offsets before this are on the target.
    from: Offset,
    /// Where the next record lies.
    target: Offset,
    /// Translated: the source offset that is to lie there, by what was declared.
    next: Offset,
    /// Translated: the runs behind it, as declared.
    ahead: VecDeque<Mark>,
    /// Identical: large gaps are padded up to here.
    padded: Offset,
    /// Identical: the end of the gap that is being padded.
    padding: Offset,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Identical,
    Translated,
    Shared,
}

/// What a record is on this way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// On the target already.
    Had,
    /// The next.
    Next,
    /// The next once the target is filled up to it.
    Unfilled,
    /// The next once it is declared.
    Undeclared,
}

impl Course {
    /// Every record lies at its own offset; the target's log ends at `end`.
    pub(crate) fn identical(end: Offset) -> Self {
        Self { kind: Kind::Identical, ..Self::translated(end, end) }
    }

    /// The same, where large gaps before `offset` are filled by padding.
    #[must_use]
    pub(crate) fn padded_before(self, offset: Offset) -> Self {
        Self { padded: offset, ..self }
    }

    /// Records follow each other; that of source offset `position` is expected at the target's log end, `end`.
    pub(crate) fn translated(position: Offset, end: Offset) -> Self {
        let ahead = VecDeque::new();
        let (kind, next, padded, padding) = (Kind::Translated, position, -1, -1);
        Self { kind, from: position, target: end, next, ahead, padded, padding }
    }

    /// Records lie wherever there is room, and target offsets count from `end`.
    pub(crate) fn shared(position: Offset, end: Offset) -> Self {
        Self { kind: Kind::Shared, ..Self::translated(position, end) }
    }

    /// Source offsets before this are on the target.
    pub(crate) fn from(&self) -> Offset {
        self.from
    }

    /// Where the next record lies.
    pub(crate) fn target(&self) -> Offset {
        self.target
    }

    /// Whether what is on the target already lies at its own offset.
    pub(crate) fn is_identical(&self) -> bool {
        self.kind == Kind::Identical
    }

    /// What the record at this source offset is.
    pub(crate) fn place(&self, offset: Offset) -> Place {
        match self.kind {
            _ if offset < self.from => Place::Had,
            Kind::Identical if offset > self.target => Place::Unfilled,
            Kind::Translated if offset != self.next => Place::Undeclared,
            _ => Place::Next,
        }
    }

    /// Whether the target has to be filled up to this source offset, behind which nothing is known yet.
    pub(crate) fn must_fill(&self, to: Offset) -> bool {
        self.kind == Kind::Identical && to > self.target
    }

    /// Up to where padding goes, if it is padding that fills the gap before this source offset.
    pub(crate) fn padding_to(&mut self, offset: Offset) -> Option<Offset> {
        let to = offset.min(self.padded);
        let left = to - self.target;
        if left >= LARGE {
            self.padding = to;
        }
        (left > 0 && to == self.padding).then_some(to)
    }

    /// The target is filled up to this offset.
    pub(crate) fn filled(&mut self, to: Offset) {
        self.target = to;
    }

    /// Runs are declared; the first begins at the next record.
    pub(crate) fn declared(&mut self, runs: &[Mark]) {
        self.ahead = runs.iter().copied().collect();
        self.turn();
    }

    /// The record at this source offset is the next.
    pub(crate) fn advance(&mut self, offset: Offset) {
        self.advance_by(offset, 1);
    }

    /// The next `count` records are those from this source offset on.
    pub(crate) fn advance_by(&mut self, first: Offset, count: Offset) {
        self.target += count;
        self.next = first + count;
        self.turn();
    }

    /// Whether the next `count` records are to follow each other, as far as was declared.
    pub(crate) fn runs_on(&self, count: Offset) -> bool {
        self.ahead.front().is_none_or(|run| run.target >= self.target + count)
    }

    fn turn(&mut self) {
        while let Some(run) = self.ahead.front().filter(|run| run.target <= self.target) {
            self.next = run.source + (self.target - run.target);
            self.ahead.pop_front();
        }
    }
}
