//! How a run of a lane begins on the target, and where its marks go.

use std::{collections::BTreeMap, fmt, pin::Pin, sync::Arc};

use kafka_wire::ProducerIdentity;
use mirror_types::{Lane, LaneOrigins, Mark, Offset, Stop};

use crate::Standing;

/// A future in a box, so that [`Marks`] can be a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Configs of a topic: what is set on it, or that nothing is.
pub type Configs = BTreeMap<String, Option<String>>;

/// How target offsets follow from source offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offsets {
    /// They are the same.
    Identical,
    /// They follow each other without gaps, from wherever the target's log ended.
    Translated,
}

/// Who writes a lane's target partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Writing {
    /// The link is the only one.
    Exclusive,
    /// Others do too. The lane writes in transactions, with offsets [`Offsets::Translated`].
    Shared {
        /// Whose transactions they are: one id a lane.
        transactional_id: String,
        /// What the id has been begun anew as (InitProducerId), before the position was read: whoever had it before is
        /// fenced, and the transaction it had open is aborted.
        producer: ProducerIdentity,
        /// What is written on records, and which stay behind; none: all go as they are.
        origins: Option<Arc<LaneOrigins>>,
    },
}

/// The lane's marks, as its writer needs them; whoever opens the lane keeps them.
pub trait Marks: Send + Sync {
    /// (Translated offsets, exclusive.) Writes down for good, before any of their records is sent, which runs of source
    /// offsets are going to lie at which target offsets. They replace what was said of target offsets from the first
    /// run's on; behind the last run, source offsets go on one by one with target offsets.
    ///
    /// There is at least one run, and one call at a time. A future that is dropped (the lane's run is over) may have
    /// written or not; what a later run declares has to win over it.
    ///
    /// An error stops the lane, once what was sent before is acknowledged.
    fn declare(&self, runs: Vec<Mark>) -> BoxFuture<'_, Result<(), Stop>>;

    /// Whether the partition is still this instance's to write. Asked before anything is sent.
    fn may_write(&self) -> bool {
        true
    }

    /// (Identical.) Writes down for good what the target topic's configs were, before they are changed for the moment; or
    /// that they are as they were.
    fn keep_configs(&self, configs: Option<Configs>) -> BoxFuture<'_, Result<(), Stop>>;

    /// (Shared.) Takes these marks (absolute target offsets) and the position behind them, and says what has to be
    /// written in the same transaction, so that they are there if and only if the records are. Called in the order of
    /// the marks, once a transaction; where that can't be committed for certain, the lane's run is over, and nothing is
    /// asked any more. No marks: only the position moves.
    fn within(&self, marks: &[Mark], next: Offset) -> Note;
}

/// Records for a partition of the control topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The control topic.
    pub topic: Arc<str>,
    /// The lane's partition of it.
    pub partition: i32,
    /// Keys and values, in order; they fit into one batch. With none, nothing is written.
    pub records: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// What the writer of a lane has to know before its first piece.
#[derive(Clone)]
pub struct Opening {
    /// The run of the lane.
    pub lane: Lane,
    /// The target partition, as it was found.
    pub standing: Standing,
    /// Where its records are to lie.
    pub offsets: Offsets,
    /// The partition holds nothing but padding, if that, and the lane starts at this offset: it is to be padded up to
    /// there, and the padding to be deleted. Identical offsets only.
    pub start: Option<Offset>,
    /// Large gaps before this offset are filled by padding, which compaction removes: the topic is compacted on both sides,
    /// and this is where the source ended when the lane first began. -1: no gaps are. Identical offsets only.
    pub padded: Offset,
    /// What the target topic's configs were before an earlier run changed them for the moment, and did not come to give
    /// them back. Identical offsets only.
    pub configs: Option<Configs>,
    /// Before this target offset others have written, whose producer ids are theirs. Identical offsets only.
    pub adopted: Option<Offset>,
    /// Translated: the next source offset that the target lacks: that which lies, or is to lie, at the target's log end
    /// (`standing.end`) by what was declared. From there on source offsets go on one by one with target offsets, until
    /// runs are declared. Records before it are passed over. Identical: not used.
    pub position: Offset,
    /// Translated, exclusive: the source offset of the target's last record (`standing.last`), to be compared should it be
    /// read again; `None` if it is not this link's. Identical: not used.
    pub check: Option<Offset>,
    /// Source offsets from here on that the target's log end covers are not on record: each record among them is the
    /// target's last or before it, and the target's last is one of them, or somebody else has written there. `None` where
    /// compaction may have taken them on either side, or they are not read again.
    pub strict: Option<Offset>,
    /// Who else writes the partition.
    pub writing: Writing,
    /// Where the lane's marks go.
    pub marks: Arc<dyn Marks>,
}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            lane,
            standing,
            offsets,
            start,
            padded,
            configs,
            adopted,
            position,
            check,
            strict,
            writing,
            marks: _,
        } = self;
        f.debug_struct("Opening")
            .field("lane", &format_args!("{lane}"))
            .field("standing", standing)
            .field("offsets", offsets)
            .field("start", start)
            .field("padded", padded)
            .field("configs", configs)
            .field("adopted", adopted)
            .field("position", position)
            .field("check", check)
            .field("strict", strict)
            .field("writing", writing)
            .finish()
    }
}
