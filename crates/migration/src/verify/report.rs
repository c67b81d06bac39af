//! What came of it: plain data, as JSON or for a person.

use mirror_types::{Offset, TopicPartition};
use offset_marks::{OffsetsMode, Point};
use pipeline::LinkConfig;
use serde::{Deserialize, Serialize};

use super::{Counts, Found, Sample};

/// All lanes.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The link.
    pub link: String,
    /// The source cluster's name.
    pub source: String,
    /// The target cluster's name.
    pub target: String,
    /// Of all lanes together.
    pub verdict: Verdict,
    /// How much of each lane was compared, if not all; and where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample: Option<Sampled>,
    /// Over all lanes.
    pub totals: Counts,
    /// Each lane.
    pub lanes: Vec<LaneReport>,
    /// What has to be known of it.
    pub notes: Vec<String>,
}

/// How much was compared.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Sampled {
    /// How much, up to 1.
    pub part: f64,
    /// What the choice was made by.
    pub seed: u64,
}

/// A lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneReport {
    /// The source topic.
    pub topic: String,
    /// The target topic.
    pub target_topic: String,
    /// The partition, on both sides.
    pub partition: i32,
    /// Which beginning of the lane.
    pub incarnation: u32,
    /// Its offsets on the target.
    pub offsets: OffsetsMode,
    /// Its start mark.
    pub start: Point,
    /// The source offset from which it was compared: its start, unless records have been deleted since or only later ones
    /// were asked for.
    pub from: Offset,
    /// The source offset to which it was compared.
    pub to: Offset,
    /// Source offsets behind that, which the target does not have yet.
    pub behind: u64,
    /// What was found.
    #[serde(flatten)]
    pub found: Found,
    /// Why it could not be compared, or not to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// What it comes to.
    pub verdict: Verdict,
}

/// Whether both sides are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As far as they were compared, they are.
    Equal,
    /// Something could not be compared; what could be is the same.
    Incomplete,
    /// They are not.
    Different,
}

impl Report {
    pub(super) fn new(
        link: &LinkConfig,
        sample: Option<Sample>,
        mut lanes: Vec<LaneReport>,
        notes: Vec<String>,
    ) -> Self {
        lanes.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
        let mut totals = Counts::default();
        lanes.iter().for_each(|lane| totals.add(&lane.found.counts));
        Self {
            link: link.link.clone(),
            source: link.source.name.clone(),
            target: link.target.name.clone(),
            verdict: lanes.iter().map(|lane| lane.verdict).max().unwrap_or(Verdict::Equal),
            sample: sample.map(|Sample { part, seed }| Sampled { part, seed }),
            totals,
            lanes,
            notes,
        }
    }
}

impl LaneReport {
    /// The lane, by its source.
    pub fn at(&self) -> TopicPartition {
        TopicPartition::new(&*self.topic, self.partition)
    }

    /// Says what it comes to.
    pub(super) fn judged(mut self) -> Self {
        self.verdict = match &self.trouble {
            _ if self.found.counts.differing() > 0 => Verdict::Different,
            Some(_) => Verdict::Incomplete,
            None => Verdict::Equal,
        };
        self
    }
}
