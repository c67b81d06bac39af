//! A place in a lane, by its offsets on both sides.

use std::fmt;

use mirror_types::{Offset, Side};
use serde::{Deserialize, Serialize};

/// A source offset and the target offset that belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Point {
    /// On the source.
    pub source: Offset,
    /// On the target.
    pub target: Offset,
}

/// How far it is from one point to a later one, on both sides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub source: u64,
    pub target: u64,
}

impl Point {
    /// The point at source offset `source`, target offset `target`.
    pub fn new(source: Offset, target: Offset) -> Self {
        Self { source, target }
    }

    /// Its offset on one side.
    pub fn on(self, side: Side) -> Offset {
        match side {
            Side::Source => self.source,
            Side::Target => self.target,
        }
    }

    /// The point `span` further on; none behind the last offset there can be.
    pub(crate) fn after(self, span: Span) -> Option<Point> {
        Some(Point {
            source: self.source.checked_add_unsigned(span.source)?,
            target: self.target.checked_add_unsigned(span.target)?,
        })
    }

    /// The way to `to`; none if that lies before this point on either side.
    pub(crate) fn span_to(self, to: Point) -> Option<Span> {
        let ahead = to.source >= self.source && to.target >= self.target;
        ahead.then(|| Span {
            source: to.source.abs_diff(self.source),
            target: to.target.abs_diff(self.target),
        })
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "source {}, target {}", self.source, self.target)
    }
}
