//! What a chunk is made of: steps, two or three bytes each.
//!
//! Owns their bytes, both ways. A step is a gap and the run of records behind it:
//!
//! ```text
//! varint  source offsets in the gap × 2, + 1 if a tag follows
//! byte    tag, only where it differs from the last one in this chunk (0 before the first):
//!           bits 0-3  the gap's cause: 0 not known, 1 compaction, 2 transaction, 3 retention, 4 recreated
//!           bits 4-5  target offsets in the gap: 0 none, 1 as many as source offsets, 2 a number that follows
//! varint  target offsets in the gap, only where the tag says so
//! varint  records in the run; 0 where a gap of another cause, or nothing yet, comes next
//! ```
//!
//! Neighbouring gaps mostly have the same tag, so it is left out mostly.

use mirror_types::GapCause;

use super::{ChunkError, point::Span};

/// A gap, then a run; either may be empty.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Step {
    pub cause: Option<GapCause>,
    pub gap: Span,
    pub count: u64,
}

/// The tag of the step before; both directions keep one as they go through a chunk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tag(u8);

const TARGET_NONE: u8 = 0 << 4;
const TARGET_SAME: u8 = 1 << 4;
const TARGET_FOLLOWS: u8 = 2 << 4;

impl Step {
    pub(crate) fn is_empty(&self) -> bool {
        self.gap == Span::default() && self.count == 0
    }

    pub(crate) fn run(&self) -> Span {
        Span { source: self.count, target: self.count }
    }

    pub(crate) fn put(&self, tag: &mut Tag, bytes: &mut Vec<u8>) {
        let own = self.tag(*tag);
        // An offset is below 2^63, so that the number of them fits beside the bit.
        put_varint(self.gap.source << 1 | u64::from(own != *tag), bytes);
        if own != *tag {
            bytes.push(own.0);
            *tag = own;
        }
        if own.0 & 0xf0 == TARGET_FOLLOWS {
            put_varint(self.gap.target, bytes);
        }
        put_varint(self.count, bytes);
    }

    pub(crate) fn take(tag: &mut Tag, bytes: &mut &[u8]) -> Result<Step, ChunkError> {
        let first = take_varint(bytes)?;
        if first & 1 == 1 {
            let (byte, rest) = bytes.split_first().ok_or(CUT_SHORT)?;
            *bytes = rest;
            *tag = Tag(*byte);
        }
        let source = first >> 1;
        let target = match tag.0 & 0xf0 {
            TARGET_NONE => 0,
            TARGET_SAME => source,
            TARGET_FOLLOWS => take_varint(bytes)?,
            _ => return Err(ChunkError::Newer(format!("tag {:#04x}", tag.0))),
        };
        let step = Step { cause: tag.cause()?, gap: Span { source, target }, count: take_varint(bytes)? };
        if step.is_empty() {
            return Err(ChunkError::Malformed("a step that leads nowhere"));
        }
        Ok(step)
    }

    fn tag(&self, before: Tag) -> Tag {
        if self.gap == Span::default() {
            // Without a gap nothing needs to be said of it, unless the last tag would make one of it.
            return if before.0 & 0xf0 == TARGET_FOLLOWS { Tag(TARGET_NONE) } else { before };
        }
        let target = match self.gap {
            Span { target: 0, .. } => TARGET_NONE,
            Span { source, target } if source == target => TARGET_SAME,
            _ => TARGET_FOLLOWS,
        };
        let cause = match self.cause {
            None => 0,
            Some(GapCause::Compaction) => 1,
            Some(GapCause::Transaction) => 2,
            Some(GapCause::Retention) => 3,
            Some(GapCause::Recreated) => 4,
        };
        Tag(target | cause)
    }
}

impl Tag {
    fn cause(self) -> Result<Option<GapCause>, ChunkError> {
        Ok(Some(match self.0 & 0x0f {
            0 => return Ok(None),
            1 => GapCause::Compaction,
            2 => GapCause::Transaction,
            3 => GapCause::Retention,
            4 => GapCause::Recreated,
            code => return Err(ChunkError::Newer(format!("gap cause {code}"))),
        }))
    }
}

const CUT_SHORT: ChunkError = ChunkError::Malformed("cut short");

/// LEB128: seven bits a byte, the lowest first.
pub(crate) fn put_varint(mut n: u64, bytes: &mut Vec<u8>) {
    while n >= 0x80 {
        bytes.push(n as u8 | 0x80);
        n >>= 7;
    }
    bytes.push(n as u8);
}

pub(crate) fn take_varint(bytes: &mut &[u8]) -> Result<u64, ChunkError> {
    let mut n = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or(CUT_SHORT)?;
        *bytes = rest;
        let part = u64::from(byte & 0x7f);
        if part << shift >> shift != part {
            break;
        }
        n |= part << shift;
        if byte & 0x80 == 0 {
            return Ok(n);
        }
    }
    Err(ChunkError::Malformed("a number above 2^64"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn step() -> impl Strategy<Value = Step> {
        let cause = prop_oneof![
            Just(None),
            Just(Some(GapCause::Compaction)),
            Just(Some(GapCause::Transaction)),
            Just(Some(GapCause::Retention)),
            Just(Some(GapCause::Recreated)),
        ];
        let size = || prop_oneof![Just(0), 1..9u64, 0..=i64::MAX as u64];
        let gap = prop_oneof![
            (size(), size()).prop_map(|(source, target)| Span { source, target }),
            size().prop_map(|n| Span { source: n, target: n }),
        ];
        (cause, gap, size())
            .prop_map(|(cause, gap, count)| {
                let cause = cause.filter(|_| gap != Span::default());
                Step { cause, gap, count }
            })
            .prop_filter("a step leads somewhere", |step| !step.is_empty())
    }

    proptest! {
        #[test]
        fn steps_come_back_as_they_were_put(steps in proptest::collection::vec(step(), 0..20)) {
            let (mut bytes, mut tag) = (Vec::new(), Tag::default());
            for step in &steps {
                step.put(&mut tag, &mut bytes);
            }
            let (mut rest, mut tag) = (&bytes[..], Tag::default());
            for step in &steps {
                let back = Step::take(&mut tag, &mut rest).expect("as it was put");
                let cause = back.cause.filter(|_| back.gap != Span::default());
                prop_assert_eq!(Step { cause, ..back }, *step);
            }
            prop_assert!(rest.is_empty());
        }
    }

    #[test]
    fn a_number_above_64_bits_is_refused() {
        let mut bytes = &[0xff; 9][..];
        assert!(take_varint(&mut bytes).is_err());
        let mut most = Vec::new();
        put_varint(u64::MAX, &mut most);
        assert_eq!(take_varint(&mut &most[..]).expect("fits"), u64::MAX);
        *most.last_mut().expect("ten bytes") = 2;
        assert!(take_varint(&mut &most[..]).is_err());
    }
}
