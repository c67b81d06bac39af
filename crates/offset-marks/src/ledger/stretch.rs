//! All offsets of a lane in their order, for whoever wants every answer: one walk, where asking for each offset on
//! its own would walk through a chunk each time.

use std::collections::VecDeque;

use mirror_types::{Offset, Side};

use super::{Hole, Ledger, LedgerGap, Point, Translation, point::Span};

/// Offsets of one side that follow each other and became of the same: of one run, one gap or one hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// The first offset.
    pub from: Offset,
    /// The first offset behind it.
    pub to: Offset,
    first: Translation,
}

impl Stretch {
    /// What became of an offset in it.
    pub fn at(&self, offset: Offset) -> Translation {
        match self.first {
            Translation::Exact(point) => {
                let into = offset.abs_diff(self.from);
                let at = point.after(Span { source: into, target: into });
                Translation::Exact(at.expect("the chunk was checked"))
            }
            same => same,
        }
    }
}

enum Piece {
    Run { from: Point, count: u64 },
    Gap(LedgerGap),
    Hole(Hole),
}

impl Ledger {
    /// What became of every offset of one side from the lane's start up to its position, in order.
    pub fn stretches(&self, side: Side) -> impl Iterator<Item = Stretch> {
        let mut pieces = self.pieces();
        // Gaps that wait for what comes behind them: their answers name it.
        let (mut gaps, mut ready) = (Vec::new(), VecDeque::new());
        let mut ended = false;
        let stretches = std::iter::from_fn(move || {
            while ready.is_empty() && !ended {
                let piece = match pieces.next() {
                    Some(Piece::Gap(gap)) => {
                        gaps.push(gap);
                        continue;
                    }
                    piece => piece,
                };
                let (next, visible) = match &piece {
                    Some(Piece::Run { from, .. }) => (*from, true),
                    Some(Piece::Hole(hole)) => (hole.from, false),
                    _ => (self.position(), false),
                };
                ready.extend(gaps.drain(..).map(|gap| Stretch {
                    from: gap.from.on(side),
                    to: gap.to.on(side),
                    first: Translation::Gap { cause: gap.cause, next, visible },
                }));
                match piece {
                    Some(Piece::Run { from, count }) => {
                        let to = from.after(Span { source: count, target: count });
                        let to = to.expect("the chunk was checked").on(side);
                        ready.push_back(Stretch { from: from.on(side), to, first: Translation::Exact(from) });
                    }
                    Some(Piece::Hole(Hole { from, to })) => ready.push_back(Stretch {
                        from: from.on(side),
                        to: to.on(side),
                        first: Translation::Missing { from, to },
                    }),
                    _ => ended = true,
                }
            }
            ready.pop_front()
        });
        // A gap may have offsets on one side only.
        stretches.filter(|stretch| stretch.from < stretch.to)
    }

    fn pieces(&self) -> impl Iterator<Item = Piece> {
        let mut end = self.start.at;
        self.chunks.iter().flat_map(move |chunk| {
            let hole = Hole { from: end, to: chunk.base() };
            end = chunk.end();
            let hole = (hole.from != hole.to).then_some(Piece::Hole(hole));
            let steps = chunk.steps().flat_map(|(from, step)| {
                let run = from.after(step.gap).expect("the chunk was checked");
                let gap = (run != from).then_some(LedgerGap { from, to: run, cause: step.cause });
                let run = (step.count > 0).then_some(Piece::Run { from: run, count: step.count });
                gap.map(Piece::Gap).into_iter().chain(run)
            });
            hole.into_iter().chain(steps)
        })
    }
}
