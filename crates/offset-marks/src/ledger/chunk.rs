//! A part of a lane's ledger as it is stored: a few thousand runs in one control record.
//!
//! Owns the bytes; keeps them as they are, and goes through them when asked. The value of the record is
//!
//! ```text
//! byte    version, 1
//! varint  source offset where the chunk begins
//! varint  target offset where the chunk begins
//! steps   to the end of the value; where they end is the lane's position, if no chunk comes behind
//! ```

use std::sync::Arc;

use mirror_types::Offset;

use super::{
    Point,
    step::{Step, Tag, put_varint, take_varint},
};

/// The version of the format that this version writes.
const VERSION: u8 = 1;

/// Why bytes can't be read as a chunk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// It has what only a newer version of isomirror knows.
    #[error("{0}")]
    Newer(String),
    /// No version writes such bytes.
    #[error("{0}")]
    Malformed(&'static str),
}

/// A chunk of a lane's ledger, checked once, so that reading it can't fail afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    base: Point,
    end: Point,
    value: Arc<[u8]>,
    body: usize,
}

/// The last step of a chunk, and where its bytes begin: what the writer needs to go on with it.
pub(crate) struct LastStep {
    pub body: usize,
    pub tag: Tag,
    pub step: Step,
    pub steps: usize,
}

impl Chunk {
    /// Reads the value of a control record.
    pub fn decode(value: &[u8]) -> Result<Self, ChunkError> {
        let mut rest = match value {
            [VERSION, rest @ ..] => rest,
            [] | [0, ..] => return Err(ChunkError::Malformed("no version")),
            [version, ..] => return Err(ChunkError::Newer(format!("chunk version {version}"))),
        };
        let base = Point::new(take_offset(&mut rest)?, take_offset(&mut rest)?);
        let body = value.len() - rest.len();
        let (mut end, mut tag) = (base, Tag::default());
        while !rest.is_empty() {
            let step = Step::take(&mut tag, &mut rest)?;
            end = end
                .after(step.gap)
                .and_then(|end| end.after(step.run()))
                .ok_or(ChunkError::Malformed("an offset above 2^63"))?;
        }
        Ok(Self { base, end, value: value.into(), body })
    }

    /// The value of the control record.
    pub fn as_bytes(&self) -> &[u8] {
        &self.value
    }

    /// Where it begins.
    pub fn base(&self) -> Point {
        self.base
    }

    /// Where it ends: everything before is mirrored, or in a gap.
    pub fn end(&self) -> Point {
        self.end
    }

    pub(crate) fn steps(&self) -> Steps<'_> {
        Steps { rest: &self.value[self.body..], tag: Tag::default(), at: self.base }
    }

    pub(crate) fn last_step(&self) -> Option<LastStep> {
        let mut steps = self.steps();
        let mut last = None;
        loop {
            let (body, tag) = (self.value.len() - steps.rest.len(), steps.tag);
            let Some((_, step)) = steps.next() else { return last };
            let steps = last.map_or(0, |last: LastStep| last.steps) + 1;
            last = Some(LastStep { body, tag, step, steps });
        }
    }
}

/// The bytes of a chunk in front of its steps.
pub(crate) fn header(base: Point) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    put_varint(base.source as u64, &mut bytes);
    put_varint(base.target as u64, &mut bytes);
    bytes
}

fn take_offset(bytes: &mut &[u8]) -> Result<Offset, ChunkError> {
    take_varint(bytes)?.try_into().map_err(|_| ChunkError::Malformed("an offset above 2^63"))
}

/// The steps of a chunk, each with the point where it begins.
pub(crate) struct Steps<'c> {
    rest: &'c [u8],
    tag: Tag,
    at: Point,
}

impl Iterator for Steps<'_> {
    type Item = (Point, Step);

    fn next(&mut self) -> Option<Self::Item> {
        // `decode` has been through the same bytes, so both ways to end early are ways to be done.
        let step = Step::take(&mut self.tag, &mut self.rest).ok()?;
        let at = self.at;
        self.at = at.after(step.gap)?.after(step.run())?;
        Some((at, step))
    }
}
