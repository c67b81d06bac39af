//! Where records are going to lie that are on their way: what is declared before they are sent.
//!
//! After a kill, what the target has beyond the recorded marks is found by this arithmetic and by the target's log end
//! alone, whatever the source has deleted since.

use std::collections::VecDeque;

use mirror_types::{Mark, Offset};

use super::{
    Chunk, Point,
    chunk::header,
    point::Span,
    step::{Step, Tag},
};

/// Where runs begin; each goes on one by one up to the target offset of the next, the last one for ever. There is
/// always one, and the first does not lie behind what is recorded for good.
#[derive(Debug)]
pub(crate) struct Declared(VecDeque<Point>);

impl Declared {
    /// From `position`, one by one.
    pub(crate) fn from(position: Point) -> Self {
        Self([position].into())
    }

    pub(crate) fn of(chunk: &Chunk) -> Self {
        let mut points = Self::from(chunk.base());
        for (from, step) in chunk.steps().filter(|(_, step)| step.gap != Span::default()) {
            points.push(from.after(step.gap).expect("the chunk was checked"));
        }
        points
    }

    /// A run begins at `point`. What was declared of target offsets from there on no longer counts.
    pub(crate) fn push(&mut self, point: Point) {
        while self.0.back().is_some_and(|last| last.target >= point.target) {
            self.0.pop_back();
        }
        self.0.push_back(point);
    }

    /// The run that the target offset `from` lies in, from there on, up to `end` at the most.
    pub(crate) fn run_at(&self, from: Offset, end: Offset) -> Mark {
        let behind = self.0.partition_point(|point| point.target <= from).max(1);
        let point = self.0[behind - 1];
        let to = self.0.get(behind).map_or(end, |next| next.target.min(end));
        Mark { source: point.source + (from - point.target), target: from, count: from.abs_diff(to) }
    }

    /// From `position`, one by one. Says whether that is news.
    pub(crate) fn go_on(&mut self, position: Point) -> bool {
        let count = self.0.len();
        let expected = self.run_at(position.target, position.target).source;
        if self.0[count - 1].target < position.target && expected == position.source
            || self.0[count - 1] == position
        {
            return false;
        }
        self.push(position);
        true
    }

    /// Forgets what lies before `target` as a whole.
    pub(crate) fn forget_before(&mut self, target: Offset) {
        while self.0.get(1).is_some_and(|next| next.target <= target) {
            self.0.pop_front();
        }
    }

    /// The value of a control record: a chunk.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let (mut bytes, mut tag) = (header(self.0[0]), Tag::default());
        let mut gap = Span::default();
        for (point, next) in self.0.iter().zip(self.0.iter().skip(1).map(Some).chain([None])) {
            let count = next.map_or(0, |next| next.target.abs_diff(point.target));
            let step = Step { cause: None, gap, count };
            if !step.is_empty() {
                step.put(&mut tag, &mut bytes);
            }
            let end = point.source + count as Offset;
            gap = Span { source: next.map_or(0, |next| next.source.abs_diff(end)), target: 0 };
        }
        bytes
    }
}
