//! The link's marks, between the lanes and the control topic: one book a lane, one writer a slot.
//!
//! ```text
//! LaneWriter ──declare, within──► LaneMarks ─┐
//! OffsetMarks ───────record───► MarkBooks ───┴─► Slot ──► isomirror.<link>, one partition a slot
//! ```
//! A slot is this instance's from `take` to `release`; only then its lanes run here.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use control_topic::{Claim, ControlTopic, Error, SlotWriter, name_of};
use futures::future::join_all;
use kafka_wire::{Client, Code};
use mirror_types::{Gap, GapCause, Mark, Offset, Stop, StopKind, TopicPartition};
use offset_marks::{
    LaneBook, LaneStart, Ledger, LedgerWriter, MarkStore, Point, StoreError, WritersMode,
    control::{ControlRecord, ControlState, Decoded, Event, EventKind, Followed, Keep, Link, Owner, Record},
    now_ms, slot_of,
};
use ownership::Lease;
use pinned_producer::{BoxFuture, Configs, Note};
use tokio::sync::watch;
use tracing::{debug, info};

use crate::config::LinkConfig;

/// Partitions of a new control topic.
pub const SLOTS: i32 = 16;
/// A transaction of whoever had a slot before is over after this long at the most.
const TRANSACTION: Duration = Duration::from_secs(60);

/// How long the last notes may take when the link ends.
pub(crate) const LAST_NOTES: Duration = Duration::from_secs(2);
/// Between two looks whether a slot is certainly ours.
const AGAIN: Duration = Duration::from_millis(200);

/// All books of the link that this instance keeps.
pub(crate) struct MarkBooks {
    writers: Writers,
    version: &'static str,
    opened: watch::Sender<Option<Opened>>,
    lease: OnceLock<Lease>,
    /// Whether the group has this instance for a member, or has had.
    member: AtomicBool,
    slots: Mutex<BTreeMap<i32, Arc<Slot>>>,
    /// How many slots were taken over so far.
    taken: AtomicU64,
    /// Source topics that the link has begun to mirror, in whatever instance.
    begun: Mutex<HashSet<String>>,
}

/// The control topic, once it is known to be this link's.
#[derive(Clone)]
pub(crate) struct Opened {
    pub(crate) topic: ControlTopic,
    pub(crate) slots: i32,
}

/// A slot that this instance has: from when it was taken over until it is lost or given up. If it is gained again, it is
/// another, as what is recorded may be by then.
struct Slot {
    number: i32,
    /// This instance's name.
    instance: String,
    /// Up to where it is on record that all is done that the journal says.
    followed: AtomicI64,
    /// It is about to go: nothing begins in it any more.
    leaving: AtomicBool,
    topic: ControlTopic,
    /// Whose transactional id shuts out earlier owners.
    writers: Writers,
    lease: Option<Lease>,
    writer: tokio::sync::Mutex<SlotWriter>,
    state: Mutex<ControlState>,
    books: Mutex<HashMap<TopicPartition, LaneBook>>,
}

/// Makes the slots' writers.
#[derive(Clone)]
struct Writers {
    client: Client,
    link: String,
}

/// A slot as a lane found it that is being started. What was read of it, and what was not, counts as long as it is held.
#[derive(Clone)]
pub(crate) struct Held(Arc<Slot>);

/// A lane that begins.
pub(crate) struct Beginning {
    pub(crate) slot: Held,
    pub(crate) start: LaneStart,
    pub(crate) gap_cause: GapCause,
    pub(crate) shared: bool,
}

/// The clusters of a link, by their ids, where they have any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterIds {
    /// The source's.
    pub source: Option<String>,
    /// The target's.
    pub target: Option<String>,
}

/// Why the control topic can't be used.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum NotOpened {
    #[error("{}{}", .0, .0.fix().map(|fix| format!("; fix: {fix}")).unwrap_or_default())]
    Control(#[from] Error),
    #[error(
        "{topic} on the target holds the marks of a link between other clusters (source cluster {theirs}, here {ours}); \
         fix: give this link a name of its own (link = \"…\")"
    )]
    AnotherLinks { topic: String, theirs: String, ours: String },
}

impl MarkBooks {
    pub(crate) fn new(client: &Client, config: &LinkConfig) -> Self {
        Self {
            writers: Writers { client: client.clone(), link: config.link.clone() },
            version: config.version,
            opened: watch::Sender::new(None),
            lease: OnceLock::new(),
            member: AtomicBool::new(false),
            slots: Mutex::default(),
            taken: AtomicU64::new(0),
            begun: Mutex::default(),
        }
    }

    /// The control topic: made if it is not there, and claimed for this link. Asked for once.
    pub(crate) async fn open(&self, ids: &ClusterIds) -> Result<Opened, NotOpened> {
        if let Some(opened) = self.opened.borrow().clone() {
            return Ok(opened);
        }
        let Writers { client, link } = &self.writers;
        let topic = ControlTopic::ensure_replicated(client, &name_of(link), SLOTS).await?;
        let claim = Claim {
            version: self.version.to_owned(),
            source_cluster: ids.source.clone(),
            target_cluster: ids.target.clone(),
        };
        let link: Link = topic.claim(claim).await?;
        if let (Some(theirs), Some(ours)) = (&link.source_cluster, &ids.source)
            && theirs != ours
        {
            let (topic, theirs, ours) = (topic.name().to_owned(), theirs.clone(), ours.clone());
            return Err(NotOpened::AnotherLinks { topic, theirs, ours });
        }
        let opened = Opened { topic, slots: link.slots };
        self.opened.send_replace(Some(opened.clone()));
        Ok(opened)
    }

    /// Whether it is.
    pub(crate) fn is_open(&self) -> bool {
        self.opened.borrow().is_some()
    }

    /// Waits for it.
    pub(crate) async fn opened(&self) -> Opened {
        let mut opened = self.opened.subscribe();
        let opened = opened.wait_for(Option::is_some).await.expect("the sender is ours");
        opened.clone().expect("waited for")
    }

    /// What says for how long the slots are certainly ours.
    pub(crate) fn hold(&self, lease: Lease) {
        let _ = self.lease.set(lease);
    }

    /// All that the group gave is taken over; says whether that is news.
    pub(crate) fn set_member(&self) -> bool {
        !self.member.swap(true, Relaxed)
    }

    /// Whether it is known by now which slots are this instance's, though there may be none.
    pub(crate) fn is_member(&self) -> bool {
        self.member.load(Relaxed)
    }

    /// Learns again which topics the link has begun to mirror: other instances may have begun some.
    pub(crate) async fn learn_topics(&self) -> Result<(), Error> {
        let Some(opened) = self.opened.borrow().clone() else { return Ok(()) };
        let states = opened.topic.read_all_committed(Keep::Tails).await?;
        let topics = states.iter().flat_map(|state| state.lanes().map(|start| start.source_topic.clone()));
        lock(&self.begun).extend(topics);
        Ok(())
    }

    /// How far each lane of the link is, by what is recorded: also those of other instances.
    pub(crate) async fn recorded(&self) -> Result<HashMap<TopicPartition, Offset>, Error> {
        let Some(opened) = self.opened.borrow().clone() else { return Ok(HashMap::new()) };
        let states = opened.topic.read_all_committed(Keep::Tails).await?;
        let of = |state: &ControlState| -> Vec<_> {
            let at = |start: &LaneStart| {
                let lane = start.lane();
                let position = state.writer(&lane)?.position().source;
                Some((lane, position))
            };
            state.lanes().filter_map(at).collect()
        };
        Ok(states.iter().flat_map(of).collect())
    }

    /// Whether some lane of a source topic has begun, as far as was learnt.
    pub(crate) fn has_begun(&self, topic: &str) -> bool {
        lock(&self.begun).contains(topic)
    }

    /// A lane is given up: what is on record of it counts when it begins again, whoever has written that.
    pub(crate) fn give_up(&self, lane: &TopicPartition) {
        self.forget_begun(&lane.topic);
        if let Some(slot) = self.slot(lane) {
            lock(&slot.books).remove(lane);
        }
    }

    /// Whether a topic has begun has to be learnt again.
    pub(crate) fn forget_begun(&self, topic: &str) {
        lock(&self.begun).remove(topic);
    }

    /// Puts on record that in this instance's slots, but for those with `unfinished` lanes, all is done that the journal
    /// says before this offset.
    pub(crate) async fn followed(&self, journal: Offset, unfinished: &[TopicPartition]) -> Result<(), Error> {
        let unfinished: BTreeSet<i32> = unfinished.iter().filter_map(|lane| self.slot_of(lane)).collect();
        let slots: Vec<Arc<Slot>> = lock(&self.slots).values().cloned().collect();
        let due = slots.into_iter().filter(|slot| {
            slot.followed.load(Relaxed) < journal
                && !slot.leaving.load(Relaxed)
                && !unfinished.contains(&slot.number)
        });
        let write = |slot: Arc<Slot>| async move {
            let followed =
                Followed { slot: slot.number, instance: slot.instance.clone(), journal, since: now_ms() };
            if !slot.is_ours() {
                return Ok(());
            }
            slot.write(vec![Record::Followed(followed).encode()]).await?;
            slot.followed.fetch_max(journal, Relaxed);
            Ok(())
        };
        join_all(due.map(write)).await.into_iter().collect()
    }

    /// Takes over a slot: shuts out whoever had it before, and reads what it left.
    pub(crate) async fn take(&self, number: i32, instance: &str, generation: i32) -> Result<(), Error> {
        let Some(opened) = self.opened.borrow().clone() else { return Ok(()) };
        let mut writer = self.writers.writer(&opened.topic, number).await?;
        let owner = Owner { slot: number, instance: instance.to_owned(), generation, since: now_ms() };
        writer.write(vec![Record::Owner(owner).encode()]).await?;
        self.end_transactions(&opened.topic, number).await?;
        let state = opened.topic.read(number, Keep::Tails).await?;
        let slot = Slot {
            number,
            instance: instance.to_owned(),
            followed: AtomicI64::new(-1),
            leaving: AtomicBool::new(false),
            writers: self.writers.clone(),
            lease: self.lease.get().cloned(),
            topic: opened.topic,
            writer: tokio::sync::Mutex::new(writer),
            state: Mutex::new(state),
            books: Mutex::default(),
        };
        let mut slots = lock(&self.slots);
        slots.insert(number, Arc::new(slot));
        self.taken.fetch_add(1, Relaxed);
        Ok(())
    }

    /// Ends what earlier owners of shared lanes have left open, which would keep readers waiting until it timed out.
    async fn end_transactions(&self, topic: &ControlTopic, number: i32) -> Result<(), Error> {
        let state = topic.read_uncommitted(number, Keep::Tails).await?;
        let shared = state.lanes().filter(|start| start.writers == WritersMode::Shared);
        let end = |start: &LaneStart| {
            let id = self.transactional_id(&start.target_topic, start.partition);
            async move { self.writers.client.init_producer_id(Some(&id), TRANSACTION).await }
        };
        for ended in join_all(shared.map(end)).await {
            match ended {
                Err(error) if error.is_retriable() || error.is_unreachable() => {
                    return Err(Error::Kafka { topic: topic.name().to_owned(), cause: error });
                }
                // Without the right it can't have been written either.
                _ => {}
            }
        }
        Ok(())
    }

    /// Under which a shared lane writes. No topic's name has a slash: no other link, lane or slot has the same id.
    pub(crate) fn transactional_id(&self, target_topic: &str, partition: i32) -> String {
        format!("isomirror.{}./{target_topic}/{partition}", self.writers.link)
    }

    /// A slot is about to go: no lane is started in it any more.
    pub(crate) fn retire(&self, number: i32) {
        if let Some(slot) = lock(&self.slots).get(&number) {
            slot.leaving.store(true, Relaxed);
        }
    }

    /// Lets a slot go.
    pub(crate) fn release(&self, number: i32) {
        lock(&self.slots).remove(&number);
    }

    /// The slot of a lane, of as many as the link has.
    pub(crate) fn slot_of(&self, lane: &TopicPartition) -> Option<i32> {
        self.opened.borrow().as_ref().map(|opened| slot_of(lane, opened.slots))
    }

    /// Whether a lane is this instance's to run.
    pub(crate) fn owns(&self, lane: &TopicPartition) -> bool {
        self.slot(lane).is_some()
    }

    /// Whether this instance does what one of the link's instances has to do for all: the one that has the first slot.
    pub(crate) fn acts_for_all(&self) -> bool {
        lock(&self.slots).contains_key(&0)
    }

    /// How many slots have been taken over so far: whoever asks this first and then which are ours misses none.
    pub(crate) fn taken(&self) -> u64 {
        let _slots = lock(&self.slots);
        self.taken.load(Relaxed)
    }

    /// Whether all lanes there can be are this instance's.
    pub(crate) fn owns_all(&self) -> bool {
        let slots = self.opened.borrow().as_ref().map(|opened| opened.slots);
        slots.is_some_and(|slots| lock(&self.slots).len() == slots as usize)
    }

    fn slot(&self, lane: &TopicPartition) -> Option<Arc<Slot>> {
        let number = self.slot_of(lane)?;
        lock(&self.slots).get(&number).cloned()
    }

    /// The slot of a lane that is to be started.
    pub(crate) fn held(&self, lane: &TopicPartition) -> Option<Held> {
        self.slot(lane).map(Held).filter(|slot| self.is_held(slot))
    }

    /// Whether it is the same still: neither lost nor given up in the meantime, nor gained again.
    fn is_held(&self, slot: &Held) -> bool {
        let Held(slot) = slot;
        let now = lock(&self.slots).get(&slot.number).cloned();
        now.is_some_and(|now| Arc::ptr_eq(&now, slot)) && !slot.leaving.load(Relaxed)
    }

    /// How a lane of this instance began, and the end of its ledger as it is in memory; not where that is a part of what
    /// may yet come to nothing.
    pub(crate) fn recent(&self, lane: &TopicPartition) -> Option<(LaneStart, Option<Ledger>)> {
        let book = self.slot(lane).and_then(|slot| lock(&slot.books).get(lane).cloned())?;
        let ledger = book.ledger();
        let recent = if book.takes_acks { ledger.recent().ok() } else { None };
        Some((ledger.start().clone(), recent))
    }

    /// The whole ledgers of lanes, as they are recorded. One slot's are read at a time: what is kept is much smaller.
    pub(crate) async fn ledgers(
        &self,
        lanes: &BTreeSet<&TopicPartition>,
    ) -> Result<BTreeMap<TopicPartition, Ledger>, Error> {
        let Some(opened) = self.opened.borrow().clone() else { return Ok(BTreeMap::new()) };
        let mut ledgers = BTreeMap::new();
        let slots: BTreeSet<i32> = lanes.iter().map(|lane| slot_of(lane, opened.slots)).collect();
        for slot in slots {
            let state = opened.topic.read_committed(slot, Keep::Everything).await?;
            let of_slot = lanes.iter().filter(|lane| slot_of(lane, opened.slots) == slot);
            ledgers.extend(of_slot.filter_map(|lane| Some(((*lane).clone(), state.ledger(lane)?.ok()?))));
        }
        Ok(ledgers)
    }

    /// Source offsets of a lane are lost: its ledger will say so.
    pub(crate) fn lost(&self, lane: &TopicPartition, gap: Gap) {
        let book = self.slot(lane).and_then(|slot| lock(&slot.books).get(lane).cloned());
        if let Some(book) = book {
            book.ledger().lost(gap);
        }
    }

    /// Reads again what is recorded of these lanes: what is in memory may have been a part of a transaction that came
    /// to nothing.
    pub(crate) async fn read_again(&self, lanes: &[(&TopicPartition, &Held)]) -> Result<(), Error> {
        let slots: BTreeMap<i32, &Held> = lanes.iter().map(|(_, slot)| (slot.0.number, *slot)).collect();
        for (number, Held(slot)) in slots {
            let state = slot.topic.read(number, Keep::Tails).await?;
            *lock(&slot.state) = state;
            let mut books = lock(&slot.books);
            books.retain(|lane, _| lanes.iter().all(|(other, _)| *other != lane));
        }
        Ok(())
    }

    /// Lanes begin: their starts are written for good. Those of slots that can't be written, or are held no more, are left
    /// out.
    pub(crate) async fn begin(
        &self,
        beginnings: Vec<Beginning>,
    ) -> (HashMap<TopicPartition, LaneBook>, Option<Error>) {
        let mut by_slot: BTreeMap<i32, (Arc<Slot>, Vec<_>)> = BTreeMap::new();
        for beginning in beginnings.into_iter().filter(|beginning| self.is_held(&beginning.slot)) {
            let slot = beginning.slot.0.clone();
            by_slot.entry(slot.number).or_insert_with(|| (slot, Vec::new())).1.push(beginning);
        }
        let (mut books, mut failed) = (HashMap::new(), None);
        for (slot, beginnings) in by_slot.into_values() {
            let mut writers = Vec::new();
            for Beginning { start, gap_cause, shared, .. } in beginnings {
                let lane = start.lane();
                info!(%lane, at = %start.at, incarnation = start.incarnation, "the lane begins");
                writers.push((lane, LedgerWriter::begin(start), gap_cause, shared));
            }
            let records = writers.iter().flat_map(|(_, writer, ..)| writer.unwritten().records).collect();
            if let Err(error) = slot.write(records).await {
                failed = Some(error);
                continue;
            }
            for (lane, mut writer, gap_cause, shared) in writers {
                writer.written(writer.unwritten().revision);
                lock(&self.begun).insert(lane.topic.to_string());
                let book = LaneBook::new(writer, gap_cause, !shared);
                lock(&slot.books).insert(lane.clone(), book.clone());
                books.insert(lane, book);
            }
        }
        (books, failed)
    }

    /// Notes what happened to a lane, at these source offsets; as well as can be.
    pub(crate) async fn note(
        &self,
        lane: &TopicPartition,
        kind: EventKind,
        at: Range<Offset>,
        words: String,
    ) {
        let Some(slot) = self.slot(lane) else { return };
        let (topic, partition) = (lane.topic.to_string(), lane.partition);
        let event = Event { topic, partition, when: now_ms(), kind, from: at.start, to: at.end, words };
        if kind == EventKind::Foreign {
            lock(&slot.state).take(Decoded::Record(Record::Event(event.clone())));
            // What looks like a stranger may be the slot's next owner.
            while !slot.is_ours() {
                if !self.is_held(&Held(slot.clone())) {
                    return;
                }
                tokio::time::sleep(AGAIN).await;
            }
        }
        if let Err(error) = slot.write(vec![Record::Event(event).encode()]).await {
            debug!(%lane, %error, "an event could not be recorded");
        }
    }

    /// What the writer of a lane gets; none if the slot in which it was started is held no more.
    pub(crate) fn of_lane(
        &self,
        slot: &Held,
        lane: &TopicPartition,
        book: &LaneBook,
    ) -> Option<Arc<LaneMarks>> {
        let (slot, lane) = (Some(slot).filter(|slot| self.is_held(slot))?.0.clone(), lane.clone());
        Some(Arc::new(LaneMarks { lane, slot, book: book.clone() }))
    }
}

impl MarkStore for MarkBooks {
    async fn record(
        &self,
        due: Vec<(TopicPartition, Vec<ControlRecord>)>,
    ) -> Vec<(TopicPartition, StoreError)> {
        let mut by_slot: BTreeMap<i32, (Arc<Slot>, Vec<_>, Vec<_>)> = BTreeMap::new();
        for (lane, records) in due {
            // A lane whose slot is gone is another instance's to record.
            let Some(slot) = self.slot(&lane) else { continue };
            let (_, lanes, all) =
                by_slot.entry(slot.number).or_insert_with(|| (slot, Vec::new(), Vec::new()));
            lanes.push(lane);
            all.extend(records);
        }
        let write = |(slot, lanes, records): (Arc<Slot>, Vec<TopicPartition>, Vec<ControlRecord>)| async move {
            match slot.write(records).await {
                Ok(()) => Vec::new(),
                Err(error) => {
                    let error = StoreError(error.to_string());
                    lanes.into_iter().map(|lane| (lane, error.clone())).collect()
                }
            }
        };
        join_all(by_slot.into_values().map(write)).await.concat()
    }
}

impl Held {
    /// The book of a lane that has begun.
    pub(crate) fn book(&self, lane: &TopicPartition, gap_cause: GapCause, shared: bool) -> Option<LaneBook> {
        let Self(slot) = self;
        let mut books = lock(&slot.books);
        if let Some(book) = books.get(lane) {
            let mut book = book.clone();
            book.gap_cause = gap_cause;
            return Some(book);
        }
        let book = LaneBook::new(lock(&slot.state).writer(lane)?, gap_cause, !shared);
        books.insert(lane.clone(), book.clone());
        Some(book)
    }

    /// Why a lane must not go on that has begun, in words: what was found on its target, whoever found it.
    pub(crate) fn foreign(&self, lane: &TopicPartition) -> Option<String> {
        lock(&self.0.state).foreign(lane).map(|event| event.words.clone())
    }

    /// Which beginning of a lane the next one is.
    pub(crate) fn next_incarnation(&self, lane: &TopicPartition) -> u32 {
        let Self(slot) = self;
        let known = lock(&slot.books).get(lane).map_or(0, |book| book.ledger().start().incarnation);
        lock(&slot.state).next_incarnation(lane).max(known + 1)
    }

    /// Writes something down of a lane, for good.
    pub(crate) async fn write(&self, records: Vec<ControlRecord>) -> Result<(), Error> {
        self.0.write(records).await
    }
}

impl Writers {
    /// A writer that shuts out earlier ones, where the target lets us have transactional ids.
    async fn writer(&self, topic: &ControlTopic, number: i32) -> Result<SlotWriter, Error> {
        let id = format!("isomirror.{}.slot/{number}", self.link);
        match self.client.init_producer_id(Some(&id), TRANSACTION).await {
            Ok(producer) => Ok(topic.writer_as(number, producer)),
            Err(error) => {
                let unfenced = [Code::TransactionalIdAuthorizationFailed, Code::ClusterAuthorizationFailed];
                if error.code().is_some_and(|code| unfenced.contains(&code)) {
                    debug!(slot = number, %error, "earlier owners are not shut out");
                    return Ok(topic.writer(number));
                }
                Err(Error::Kafka { topic: topic.name().to_owned(), cause: error })
            }
        }
    }
}

impl Slot {
    /// Whether it is certainly this instance's still.
    fn is_ours(&self) -> bool {
        self.lease.as_ref().is_none_or(|lease| lease.holds(self.number))
    }

    async fn write(&self, records: Vec<ControlRecord>) -> Result<(), Error> {
        if records.is_empty() {
            return Ok(());
        }
        self.write_with(&mut *self.writer.lock().await, records).await
    }

    async fn write_with(&self, writer: &mut SlotWriter, records: Vec<ControlRecord>) -> Result<(), Error> {
        let written = writer.write(records).await.map(drop);
        if let Err(error) = &written
            && !error.is_retriable()
            && self.is_ours()
        {
            // The partition is not what this writer left it as (an unclean election, say), or somebody who lost the slot has
            // shut this one out, late: with it, nothing would ever be written again. The new one shuts out others, too; so
            // it must not be made where another owns the slot.
            match self.writers.writer(&self.topic, self.number).await {
                Ok(renewed) => *writer = renewed,
                Err(error) => debug!(slot = self.number, %error, "no new writer"),
            }
        }
        written
    }
}

/// A lane's marks, as its writer needs them.
pub(crate) struct LaneMarks {
    lane: TopicPartition,
    slot: Arc<Slot>,
    book: LaneBook,
}

impl pinned_producer::Marks for LaneMarks {
    fn declare(&self, runs: Vec<Mark>) -> BoxFuture<'_, Result<(), Stop>> {
        Box::pin(self.write(move |ledger| ledger.declare(&runs)))
    }

    fn keep_configs(&self, configs: Option<Configs>) -> BoxFuture<'_, Result<(), Stop>> {
        Box::pin(self.write(move |ledger| ledger.keep_configs(configs)))
    }

    fn may_write(&self) -> bool {
        self.slot.is_ours()
    }

    fn within(&self, marks: &[Mark], next: Offset) -> Note {
        let mut ledger = self.book.ledger();
        let end = marks.last().map(|mark| mark.target + mark.count as Offset);
        let position = Point::new(next, end.unwrap_or(ledger.position().target));
        if let Err(error) = ledger.acked(marks, position, Some(self.book.gap_cause)) {
            tracing::warn!(lane = %self.lane, %error, "marks that do not follow each other");
        }
        let unwritten = ledger.unwritten();
        ledger.written(unwritten.revision);
        let records = unwritten.records.into_iter().map(|record| (record.key, record.value)).collect();
        Note { topic: self.slot.topic.name().into(), partition: self.slot.number, records }
    }
}

impl LaneMarks {
    async fn write(&self, make: impl FnOnce(&mut LedgerWriter) -> ControlRecord) -> Result<(), Stop> {
        // Held while it is written: what is made later must be written later.
        let mut writer = self.slot.writer.lock().await;
        if !pinned_producer::Marks::may_write(self) {
            let reason = format!("{}: it may be another instance's by now", self.lane);
            return Err(Stop::new(StopKind::Interrupted, reason, "nothing; it is looked at again by itself"));
        }
        let record = make(&mut self.book.ledger());
        self.slot.write_with(&mut writer, vec![record]).await.map_err(|error| self.not_declared(&error))
    }

    fn not_declared(&self, error: &Error) -> Stop {
        let kind = if error.is_retriable() || matches!(error, Error::Fenced { .. }) {
            StopKind::Interrupted
        } else {
            StopKind::Precondition
        };
        Stop::new(
            kind,
            format!("{}: its marks can't be recorded: {error}", self.lane),
            error.fix().unwrap_or_else(|| {
                "see the target broker's log; the lane is tried again by itself".to_owned()
            }),
        )
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
