//! The journal of a link, `isomirror.<link>.journal` on the target: what operators have decided about it.
//!
//! Owns its format, and that of several who decide at the same time each knows what was decided before. Must never act on
//! a decision: the daemon does, and says in the control topic how far it has ([`Followed`]).
//!
//! ```text
//! open / ensure ─► Journal ─┬─ read     all that is decided           ► JournalState
//!                           ├─ append   decide by that, and write it, unless somebody else was faster
//!                           ├─ note     the same for a step of an operation, as of a cutover
//!                           ├─ follow   wait until there is more
//!                           └─ read_on  what there is more
//! ```
//!
//! [`Followed`]: offset_marks::control::Followed

mod append;
mod entry;
mod state;

use std::time::Duration;

use control_topic::{ControlTopic, Error, Right, journal_of};
use kafka_wire::{Client, Purpose};

pub use self::{
    append::Appended,
    entry::{Author, Decision, Note, Process, Runs, TopicState},
    state::JournalState,
};

/// The only partition.
const PARTITION: i32 = 0;

/// A link's journal that is there. Clones share connections.
#[derive(Debug, Clone)]
pub struct Journal {
    topic: ControlTopic,
    /// Waits on a connection of its own: a broker answers one request after the other.
    follower: Client,
}

impl Journal {
    /// The journal of a link; none if there is none. `client` is the target's.
    pub async fn open(client: &Client, link: &str) -> Result<Option<Self>, Error> {
        let topic = ControlTopic::open_named(client, &journal_of(link)).await?;
        Ok(topic.map(|topic| Self::of(client, topic)))
    }

    /// The same, made if it is not there.
    pub async fn ensure(client: &Client, link: &str) -> Result<Self, Error> {
        let topic = ControlTopic::ensure_replicated(client, &journal_of(link), 1).await?;
        Ok(Self::of(client, topic))
    }

    fn of(client: &Client, topic: ControlTopic) -> Self {
        Self { topic, follower: client.for_purpose(Purpose::new("journal")) }
    }

    /// The topic's name.
    pub fn name(&self) -> &str {
        self.topic.name()
    }

    /// All that is decided.
    pub async fn read(&self) -> Result<JournalState, Error> {
        let mut state = JournalState::new(self.topic.start(PARTITION).await?);
        self.read_on(&mut state).await?;
        Ok(state)
    }

    /// What was decided since.
    pub async fn read_on(&self, state: &mut JournalState) -> Result<(), Error> {
        // What could not be read is read again.
        let (mut next, mut read) = (state.next(), state.clone());
        let topic = &self.topic;
        topic.read_on(PARTITION, &mut next, &mut |batch, from| read.take(topic, batch, from)).await?;
        read.read_to(next);
        *state = read;
        Ok(())
    }

    /// Waits until there is something behind what was read, but no longer than this; says whether there is.
    pub async fn follow(&self, state: &JournalState, patience: Duration) -> Result<bool, Error> {
        let more = self.follower.await_records(self.name(), PARTITION, state.next(), patience).await;
        more.map_err(|error| self.topic.error(error, Right::Read))
    }
}
