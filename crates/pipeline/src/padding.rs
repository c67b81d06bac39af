//! Which gaps are filled by padding, and how long padding takes. Pure.

use std::{ops::Range, time::Duration};

use cluster_admin::TopicConfigs;
use mirror_types::Offset;
use pinned_producer::PADDING_RATE;

/// As many offsets as are filled with control records in less than a minute, if it comes to that.
const FEW: Offset = 100_000;

/// Whether compaction removes padding from a target topic like this, and nothing refuses or restamps it.
pub fn takes_padding(target: &TopicConfigs) -> bool {
    let bounds = ["message.timestamp.before.max.ms", "message.timestamp.difference.max.ms"];
    let bounded = bounds.iter().filter_map(|key| target.number(key)).any(|bound| bound < i64::MAX);
    target.is_compacted() && !bounded && target.message_timestamp_type() != Some("LogAppendTime")
}

/// Up to which offset large gaps are padded: where the source ended when the lane began, if there was much to copy; -1
/// for not at all.
pub fn padded_before(copied: &Range<Offset>) -> Offset {
    if copied.end - copied.start >= FEW { copied.end } else { -1 }
}

/// About how long it takes to pad so many offsets.
pub fn padding_takes(offsets: u64) -> Duration {
    Duration::from_secs(offsets / PADDING_RATE)
}
