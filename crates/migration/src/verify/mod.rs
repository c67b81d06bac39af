//! Whether both sides hold the same, read and compared offset by offset. Changes nothing.
//!
//! ```text
//! marks on the target ─► plan: each lane from its start mark to a fixed end, whole or in samples
//!                          │
//!                          ▼                  source ─[chunks]─┐
//!                        lane (some at once)                   ├─► Comparison (pure) ─► LaneReport ─► Report
//!                                             target ─[chunks]─┘
//! ```
//! Memory is bounded by how many lanes are read at once: of each a few chunks a side, and the keys of records that only
//! one side has where a cleaner may have taken the other.

mod compare;
mod lane;
mod plan;
mod report;
mod resume;
mod side;

use std::{
    num::NonZeroUsize,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use futures::{StreamExt, stream};
use pipeline::LinkConfig;

pub use self::{
    compare::{Counts, Difference, Field, Found, Kind, Part, Shape},
    report::{LaneReport, Report, Verdict},
};
use self::{plan::LanePlan, resume::Resume};
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
}

/// Compares. What differs, and what could not be read, is in the report.
pub async fn verify(request: &Request, progress: Arc<Progress>) -> Result<Report, Error> {
    let clusters = Clusters::new(&request.link, request.timeout)?;
    let resume = Resume::load(request)?;
    let plan = plan::plan(request, &clusters, &resume).await?;
    progress.of.store(plan.lanes.iter().map(LanePlan::offsets).sum(), Relaxed);
    let run = Arc::new(Run { clusters, show: request.show, progress, resume: Mutex::new(resume) });
    // A task each, so that they have all processors.
    let lane = |lane| tokio::spawn(lane::compare(run.clone(), lane));
    let mut running = stream::iter(plan.lanes).map(lane).buffer_unordered(request.at_once.get());
    let mut reports = Vec::new();
    while let Some(report) = running.next().await {
        reports.push(report.expect("a lane is compared without a panic")?);
    }
    Ok(Report::new(&request.link, request.sample, reports, plan.notes))
}

/// What all lanes need.
struct Run {
    clusters: Clusters,
    show: bool,
    progress: Arc<Progress>,
    resume: Mutex<Resume>,
}

// === impl Request ===

impl Request {
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

// === impl Error ===

impl Error {
    /// Whether a cluster can't be reached, or does not let us in.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Sides(error) if error.is_unreachable())
    }

    /// Whether there is a reason not to compare what is there.
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Sides(error) if error.is_refused())
    }

    /// Whether it is the asker's to change what was asked.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Sides(error) => error.is_usage(),
            Self::Resume { .. } => true,
        }
    }
}
