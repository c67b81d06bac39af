//! What operators have decided about the link, as far as this instance knows: it reads the link's journal, and follows it
//! with one request that the broker holds until there is more.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use control_topic::{Error, journal_of};
use kafka_wire::{Client, Code};
use link_journal::{Journal, JournalState};
use tokio::sync::{Mutex, Notify, watch};
use tracing::debug;

/// How long a broker holds the question whether there is more.
const HOLD: Duration = Duration::from_secs(30);
/// After a question that was not answered, the next comes after this long.
const AGAIN: Duration = Duration::from_secs(2);

/// What is decided.
pub(crate) struct Decisions {
    client: Client,
    link: String,
    /// Whether it rests as long as the journal says nothing of that.
    rests: bool,
    /// The journal, once there is one, and what was read of it.
    read: Mutex<Option<(Journal, JournalState)>>,
    known: watch::Sender<Option<Arc<JournalState>>>,
    /// The journal could not be followed: something may be decided that is not known.
    lost: AtomicBool,
}

impl Decisions {
    pub(crate) fn new(client: &Client, link: &str, rests: bool) -> Self {
        let (client, link) = (client.clone(), link.to_owned());
        Self {
            client,
            link,
            rests,
            read: Mutex::default(),
            known: watch::Sender::new(None),
            lost: AtomicBool::new(false),
        }
    }

    /// The name of the journal.
    pub(crate) fn journal(&self) -> String {
        journal_of(&self.link)
    }

    /// All that is known to be decided; none while there is no journal. What was once known stays known, whether the
    /// journal can be read or not.
    pub(crate) fn known(&self) -> Option<Arc<JournalState>> {
        self.known.borrow().clone()
    }

    /// Whether the link rests: of a pair, the other one runs, or neither does yet. By the journal on the cluster that it writes
    /// to: whoever turns a pair around says there first that it is to end, and last that it may begin.
    pub(crate) fn rests(&self) -> bool {
        match self.known.borrow().as_deref().and_then(JournalState::runs) {
            Some(runs) => runs.waits || runs.link.as_deref() != Some(&*self.link),
            None => self.rests,
        }
    }

    /// Waits until something is decided by which, or after which, it rests.
    pub(crate) async fn until_told_to_rest(&self) {
        let mut known = self.known.subscribe();
        loop {
            known.changed().await.expect("it is sent by what is asked here");
            if self.rests() {
                return;
            }
        }
    }

    /// Waits until it rests.
    pub(crate) async fn until_rests(&self) {
        let mut known = self.known.subscribe();
        while !self.rests() {
            known.changed().await.expect("it is sent by what is asked here");
        }
    }

    /// Sees to it that the journal is read, and followed, if it is `there`.
    pub(crate) async fn see(&self, there: bool) -> Result<(), Error> {
        let known = self.read.lock().await.is_some();
        match known && !self.lost.load(Relaxed) {
            true => Ok(()),
            false => self.refresh(Some(there)).await,
        }
    }

    /// Reads what was decided since. `there`: whether there is a journal, where that is known.
    pub(crate) async fn refresh(&self, there: Option<bool>) -> Result<(), Error> {
        let mut read = self.read.lock().await;
        if let Some((journal, state)) = &mut *read {
            let before = state.next();
            if let Err(error) = journal.read_on(state).await {
                if is_gone(&error) {
                    *read = None;
                }
                return Err(error);
            }
            self.lost.store(false, Relaxed);
            if state.next() != before {
                self.known.send_replace(Some(Arc::new(state.clone())));
            }
            return Ok(());
        }
        let there = match there {
            Some(there) => there,
            None => self.is_there().await?,
        };
        if there && let Some(journal) = Journal::open(&self.client, &self.link).await? {
            self.begin(&mut read, journal).await?;
        }
        Ok(())
    }

    /// Makes the journal, unless there is one.
    pub(crate) async fn ensure(&self) -> Result<(), Error> {
        let mut read = self.read.lock().await;
        if read.is_none() {
            let journal = Journal::ensure(&self.client, &self.link).await?;
            self.begin(&mut read, journal).await?;
        }
        Ok(())
    }

    async fn begin(&self, read: &mut Option<(Journal, JournalState)>, journal: Journal) -> Result<(), Error> {
        let state = journal.read().await?;
        self.known.send_replace(Some(Arc::new(state.clone())));
        *read = Some((journal, state));
        self.lost.store(false, Relaxed);
        Ok(())
    }

    async fn is_there(&self) -> Result<bool, Error> {
        match self.client.fresh_topic(&self.journal()).await {
            Ok(_) => Ok(true),
            Err(error) if error.code() == Some(Code::UnknownTopicOrPartition) => Ok(false),
            // Who may not see it can't tell; commands notice that what they have decided is not done.
            Err(error) if error.is_not_authorized() => Ok(false),
            Err(cause) => Err(Error::Kafka { topic: self.journal(), cause }),
        }
    }

    /// Rings when something was decided; for ever.
    pub(crate) async fn keep_following(&self, look: &Notify) {
        let mut known = self.known.subscribe();
        loop {
            // The sender is ours.
            let _ = known.wait_for(Option::is_some).await;
            let Some((journal, state)) = self.read.lock().await.clone() else {
                tokio::time::sleep(AGAIN).await;
                continue;
            };
            let more = match journal.follow(&state, HOLD).await {
                Ok(false) => continue,
                Ok(true) => self.refresh(None).await,
                Err(error) => Err(error),
            };
            match more {
                Ok(()) => look.notify_one(),
                Err(error) => {
                    self.lost.store(true, Relaxed);
                    debug!(%error, "the journal can't be followed now");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }
}

/// Whether the journal that was read is there no more.
fn is_gone(error: &Error) -> bool {
    let Error::Kafka { cause, .. } = error else { return false };
    matches!(cause.code(), Some(Code::UnknownTopicOrPartition | Code::OffsetOutOfRange))
}
