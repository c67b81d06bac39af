//! How long catching up takes, by a short sample of the source; and whether the source keeps its records for so long.
//!
//! A sample of the largest topics says how large records are as they are stored, and how fast they can be read. That is an
//! estimate, and said to be one: what is written meanwhile comes on top, and the target may be slower.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use kafka_wire::{
    Client, FetchFrom, FetchOptions, Isolation, To,
    records::{Batch, Batches},
};
use mirror_types::{Offset, Side};

use super::{Facts, Finding, Severity, Subject, TopicFacts};

/// Topics that a sample is read of, the largest first.
const SAMPLED: usize = 32;
/// Bytes of a sample that tells how large records are,
const SMALL: i32 = 1 << 20;
/// and of a request of the one that tells how fast they come.
const LARGE: i32 = 4 << 20;
/// So many bytes are enough to tell,
const ENOUGH: u64 = 32 << 20;
/// and so much time; each of the two samples has it.
const TIME: Duration = Duration::from_secs(1);
/// What is less than this is there at once.
const AT_ONCE: u64 = 4 << 20;
/// What takes as many seconds is told.
const WORTH_SAYING: u64 = 30;

/// The lane of a topic that has most before it.
pub(crate) struct Ahead {
    /// Which topic, by its place among all.
    pub(crate) topic: usize,
    pub(crate) partition: i32,
    pub(crate) from: Offset,
    pub(crate) end: Offset,
}

/// What a sample has shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Seen {
    bytes: u64,
    offsets: u64,
}

/// Estimates the bytes that each topic has before it; returns how many come in a second, where that can be told.
pub(crate) async fn look(
    source: &Client,
    isolation: Isolation,
    topics: &mut [TopicFacts],
    mut lanes: Vec<Ahead>,
) -> Option<u64> {
    lanes.sort_by_key(|lane| std::cmp::Reverse(lane.end - lane.from));
    let began = Instant::now();
    let mut seen = HashMap::new();
    for lane in lanes.iter().take(SAMPLED) {
        if began.elapsed() > TIME {
            break;
        }
        let Some((found, _)) =
            read(source, isolation, &topics[lane.topic].topic, lane, lane.from, SMALL).await
        else {
            continue;
        };
        seen.insert(lane.topic, found);
    }
    let all = seen.values().fold(Seen::default(), |all, one| all.and(*one));
    for (number, topic) in topics.iter_mut().enumerate() {
        let like = seen.get(&number).copied().filter(|seen| seen.offsets > 0).unwrap_or(all);
        topic.bytes = topic.records.and_then(|records| like.times(records));
    }
    let lane = lanes.first()?;
    speed(source, isolation, &topics[lane.topic].topic, lane).await
}

/// Bytes a second, read from one lane.
async fn speed(source: &Client, isolation: Isolation, topic: &str, lane: &Ahead) -> Option<u64> {
    let (began, mut bytes, mut from) = (Instant::now(), 0, lane.from);
    while from < lane.end && bytes < ENOUGH && began.elapsed() < TIME {
        let (found, next) = read(source, isolation, topic, lane, from, LARGE).await?;
        if next <= from {
            break;
        }
        (bytes, from) = (bytes + found.bytes, next);
    }
    (bytes >= AT_ONCE).then(|| (bytes as f64 / began.elapsed().as_secs_f64()) as u64)
}

/// What an answer of this size has, and the offset behind it; none where there is none.
async fn read(
    source: &Client,
    isolation: Isolation,
    topic: &str,
    lane: &Ahead,
    from: Offset,
    max_bytes: i32,
) -> Option<(Seen, Offset)> {
    let from = FetchFrom { max_bytes, ..FetchFrom::new(topic, lane.partition, from) };
    let options = FetchOptions { isolation, max_wait: Duration::ZERO, min_bytes: 0, max_bytes };
    let connection = source.connection(To::Leader(topic, lane.partition)).await.ok()?;
    let fetched = connection.fetch(&[from], &options, "").await.ok()?.pop()?;
    let batches: Vec<Batch> = Batches::new(fetched.records).map_while(Result::ok).collect();
    let (first, last) = (batches.first()?, batches.last()?);
    let offsets = u64::try_from(last.header.next_offset() - first.header.base_offset).ok()?;
    let bytes = batches.iter().map(|batch| batch.bytes.len() as u64).sum();
    Some((Seen { bytes, offsets }, last.header.next_offset()))
}

/// What catching up takes, in bytes as they are stored and in seconds; none where that can't be told.
pub(crate) fn estimate(facts: &Facts) -> Option<(u64, u64)> {
    let bytes = facts.topics.iter().map(|topic| topic.bytes).sum::<Option<u64>>()?;
    let seconds = match rate(facts) {
        Some(rate) => bytes / rate.max(1),
        None if bytes < AT_ONCE => 0,
        None => return None,
    };
    Some((bytes, seconds))
}

fn rate(facts: &Facts) -> Option<u64> {
    [facts.pace, facts.throttle].into_iter().flatten().min()
}

/// The estimate in words, where it is long enough to be worth saying.
pub(crate) fn said(facts: &Facts) -> Option<String> {
    let (bytes, seconds) = estimate(facts).filter(|(_, seconds)| *seconds >= WORTH_SAYING)?;
    let rate = rate(facts)?;
    let why = match facts.throttle == Some(rate) {
        true => "limits.throttle",
        false => "as a sample was read just now",
    };
    Some(format!("{} as they are stored, about {} at {}/s ({why})", size(bytes), time(seconds), size(rate)))
}

pub(crate) fn findings(facts: &Facts, topic: &TopicFacts, found: &mut Vec<Finding>) {
    found.extend(overtaken(facts, topic));
}

/// Retention deletes from a lane's beginning on while the lane catches up from there. Records were written within the time
/// that they are kept for: if catching up takes longer than that, retention is faster.
fn overtaken(facts: &Facts, topic: &TopicFacts) -> Option<Finding> {
    let configs = topic.configs.as_ref().ok()?;
    let kept = u64::try_from(configs.number("retention.ms")?).ok()? / 1000;
    let deletes = configs.cleanup_policy().is_some_and(|policy| policy.contains("delete"));
    let (_, seconds) = estimate(facts)?;
    if !deletes || topic.records == Some(0) || seconds.saturating_mul(2) < kept.max(1) {
        return None;
    }
    let (severity, why) = match seconds < kept {
        true => (
            Severity::Warning,
            "it is close: with what is written meanwhile, records may be deleted before they are mirrored",
        ),
        false => (Severity::Error, "records would be deleted before they are mirrored, and their lanes stop"),
    };
    let finding = Finding::new(
        severity,
        "retention-catch-up",
        Subject::topic(Side::Source, &topic.topic),
        format!(
            "it keeps records for {} (retention.ms), and catching up takes about {}: {}",
            time(kept),
            time(seconds),
            said(facts)?
        ),
        why,
    );
    let longer = seconds.saturating_mul(3_000).to_string();
    let fix = facts.source.set_config(&topic.topic, "retention.ms", &longer);
    Some(finding.fix(format!(
        "until it is caught up, keep them longer: {fix}; or mirror fewer topics at a time, or begin later (topics.start)"
    )))
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

fn time(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds.div_ceil(60)),
        7200..172_800 => format!("{} h", seconds.div_ceil(3600)),
        _ => format!("{} days", seconds.div_ceil(86_400)),
    }
}

// === impl Seen ===

impl Seen {
    fn and(self, other: Self) -> Self {
        Self { bytes: self.bytes + other.bytes, offsets: self.offsets + other.offsets }
    }

    /// The bytes of so many like these; none where nothing was seen of some.
    fn times(self, records: u64) -> Option<u64> {
        match (records, self.offsets) {
            (0, _) => Some(0),
            (_, 0) => None,
            (records, offsets) => Some((self.bytes as f64 / offsets as f64 * records as f64) as u64),
        }
    }
}
