//! Whether both sides hold the same, read and compared offset by offset. Changes nothing.
//!
//! ```text
//! marks on the target ─► plan: each lane from its start mark to a fixed end, whole or in samples
//!                          │
//!                          ▼                  source ─[chunks]─┐
//!                        lane (some at once)                   ├─► Comparison (pure) ─► LaneReport ─► Report
//!                                             target ─[chunks]─┘
//! ```
//! `watch` does the same in the daemon, again and again and throttled: each time from where it got to.
//!
//! Memory is bounded by how many lanes are read at once: of each a few chunks a side, and the keys of records that only
//! one side has where a cleaner may have taken the other.

mod compare;
mod lane;
mod plan;
mod report;
mod resume;
pub(crate) mod side;
mod watch;

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use futures::{StreamExt, stream};
use mirror_types::{Offset, TopicPartition};
use pipeline::LinkConfig;

pub use self::{
    compare::{Counts, Difference, Field, Found, Kind, Part, Shape},
    report::{LaneReport, Report, Verdict},
    watch::{Verified, Watch, WatchConfig},
};
use self::{plan::LanePlan, resume::Resume, side::Pace};
use crate::sides::{self, Clusters};

/// What is to be compared.
#[derive(Clone)]
pub struct Request {
    /// The link.
    pub link: LinkConfig,
    /// What each question to a cluster is given.
    pub timeout: Duration,
    /// Only lanes of these topics, by their names on the source; all if there are none.
    pub topics: Vec<String>,
    /// Only records of this time or later, in ms since 1970.
    pub since: Option<i64>,
    /// Only samples.
    pub sample: Option<Sample>,
    /// Only so many source offsets before the end of each lane.
    pub tail: Option<u64>,
    /// Only offsets before these, of the lanes that are named.
    pub until: Option<BTreeMap<TopicPartition, Offset>>,
    /// How many lanes are read at the same time.
    pub at_once: NonZeroUsize,
    /// Whether keys, values and headers are told where two records differ.
    pub show: bool,
    /// Where it is noted which lanes are done, and taken up again.
    pub resume: Option<PathBuf>,
}

/// A part of each lane, in pieces that are spread over it evenly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// How much of its offsets, up to 1.
    pub part: f64,
    /// Where the pieces lie; the same seed, the same pieces.
    pub seed: u64,
}

/// How far it is, for whoever draws it.
#[derive(Debug, Default)]
pub struct Progress {
    offsets: AtomicU64,
    of: AtomicU64,
    bytes: AtomicU64,
}

/// How far it is at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// Source offsets that have been compared.
    pub offsets: u64,
    /// Of so many; 0 before it is known.
    pub of: u64,
    /// Bytes of keys, values and headers that were compared, of one side.
    pub bytes: u64,
}

/// Why it could not be begun.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The clusters, or the link's marks.
    #[error(transparent)]
    Sides(#[from] sides::Error),
    /// The file of an earlier run.
    #[error("{}: {what}\n  fix: {fix}", .path.display())]
    Resume {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
        /// What to do.
        fix: String,
    },
    /// Metrics of one name were registered twice.
    #[error("failed to register metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// Compares. What differs, and what could not be read, is in the report.
pub async fn verify(request: &Request, progress: Arc<Progress>) -> Result<Report, Error> {
    let clusters = Clusters::new(&request.link, request.timeout)?;
    let notes = Arc::new(Resume::load(request)?);
    let plan = plan::plan(request, &clusters, &*notes).await?;
    progress.of.store(plan.lanes.iter().map(LanePlan::offsets).sum(), Relaxed);
    let (show, memory) = (request.show, Memory::OF_COMMAND);
    let run = Arc::new(Run { clusters, show, progress, notes: notes.clone(), memory, pace: None });
    // A task each, so that they have all processors.
    let lane = |lane| tokio::spawn(lane::compare(run.clone(), lane));
    let mut running = stream::iter(plan.lanes).map(lane).buffer_unordered(request.at_once.get());
    let mut reports = Vec::new();
    while let Some(report) = running.next().await {
        reports.push(report.expect("a lane is compared without a panic")?);
    }
    notes.write()?;
    Ok(Report::new(&request.link, request.sample, reports, plan.notes))
}

/// What all lanes need.
struct Run {
    clusters: Clusters,
    show: bool,
    progress: Arc<Progress>,
    notes: Arc<dyn Notes>,
    memory: Memory,
    pace: Option<Arc<Pace>>,
}

/// Where it is noted how far each lane is.
trait Notes: Send + Sync {
    /// What was found of a lane so far, if it is the same lane still.
    fn noted(&self, lane: &TopicPartition, incarnation: u32) -> Option<Noted>;

    /// How far a lane is, and, at the `end`, whether that is all there was. Every record before it is settled.
    fn note(&self, lane: LaneReport, end: bool) -> Result<(), Error>;
}

/// What was found of a lane.
#[derive(Debug, Clone)]
struct Noted {
    /// It was compared from this source offset,
    from: Offset,
    /// to this one.
    to: Offset,
    found: Found,
}

/// What a lane takes while it is compared: a few answers a side, and as many keys.
#[derive(Debug, Clone, Copy)]
struct Memory {
    /// Bytes of one answer.
    fetch: i32,
    /// Keys of records that one side alone has.
    most_keys: usize,
}

impl Memory {
    const OF_COMMAND: Self = Self { fetch: 1 << 20, most_keys: 1 << 20 };
    const OF_DAEMON: Self = Self { fetch: 256 << 10, most_keys: 1 << 16 };
}

// === impl Request ===

impl Request {
    /// All there is, one lane at a time.
    fn of_all(link: LinkConfig, timeout: Duration) -> Self {
        Self {
            link,
            timeout,
            topics: Vec::new(),
            since: None,
            sample: None,
            tail: None,
            until: None,
            at_once: NonZeroUsize::MIN,
            show: false,
            resume: None,
        }
    }

    fn asks_for(&self, topic: &str) -> bool {
        self.topics.is_empty() || self.topics.iter().any(|asked| asked == topic)
    }
}

// === impl Progress ===

impl Progress {
    /// How far it is now.
    pub fn now(&self) -> Done {
        Done {
            offsets: self.offsets.load(Relaxed),
            of: self.of.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
        }
    }

    fn done(&self, offsets: u64, bytes: u64) {
        self.offsets.fetch_add(offsets, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }
}
