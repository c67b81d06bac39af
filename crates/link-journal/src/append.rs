//! Deciding something by what was decided before: compare-and-append.
//!
//! All is written under one producer id, that of whoever used the journal first, and each batch with the sequence number
//! that follows the last one that was read. A broker appends a batch only if its number follows the last one of the id
//! (KIP-98): so what somebody else has written meanwhile has the number that ours would have, and ours is refused, or taken
//! for a repetition of theirs. Which of the two was appended is then read back.

use std::time::Duration;

use control_topic::{Error, SlotWriter};
use kafka_wire::{Cause, Code};
use offset_marks::control::ControlRecord;
use tracing::debug;

use crate::{Decision, Journal, JournalState, Note, PARTITION, entry::Writer};

/// How often somebody else may be faster.
const ATTEMPTS: u32 = 20;
/// What a producer id is asked for with; there is no transaction.
const NO_TRANSACTION: Duration = Duration::from_secs(60);

/// What came of deciding something.
#[derive(Debug)]
pub struct Appended {
    /// What the journal says now: all that was decided is in it.
    pub state: JournalState,
    /// What was decided; nothing where all was as it should be.
    pub decisions: Vec<Decision>,
}

/// What can be written by what the journal says.
trait Said {
    fn record(&self) -> ControlRecord;

    /// Whether the journal says it.
    fn is_in(&self, state: &JournalState) -> bool;
}

impl Said for Decision {
    fn record(&self) -> ControlRecord {
        self.encode()
    }

    fn is_in(&self, state: &JournalState) -> bool {
        state.has(self)
    }
}

impl Said for Note {
    fn record(&self) -> ControlRecord {
        self.encode()
    }

    fn is_in(&self, state: &JournalState) -> bool {
        state.has_note(self)
    }
}

impl Journal {
    /// Writes what is decided by what the journal says: nothing that `decide` does not know of was written before it. It
    /// is asked again where somebody else was faster.
    pub async fn append<E: From<Error>>(
        &self,
        decide: impl FnMut(&JournalState) -> Result<Vec<Decision>, E>,
    ) -> Result<Appended, E> {
        let (state, decisions) = self.say(decide).await?;
        Ok(Appended { state, decisions })
    }

    /// The same for steps of an operation; what the journal says then.
    pub async fn note<E: From<Error>>(
        &self,
        decide: impl FnMut(&JournalState) -> Result<Vec<Note>, E>,
    ) -> Result<JournalState, E> {
        Ok(self.say(decide).await?.0)
    }

    async fn say<T: Said, E: From<Error>>(
        &self,
        mut decide: impl FnMut(&JournalState) -> Result<Vec<T>, E>,
    ) -> Result<(JournalState, Vec<T>), E> {
        let mut state = self.read().await?;
        let mut refused = None;
        for _ in 0..ATTEMPTS {
            let said = decide(&state)?;
            if said.is_empty() {
                return Ok((state, said));
            }
            let Some((producer, sequence)) = state.writer() else {
                self.claim().await?;
                self.read_on(&mut state).await?;
                continue;
            };
            let writer = self.topic.writer_at(PARTITION, producer, sequence);
            let written = write(writer, &said).await;
            self.read_on(&mut state).await?;
            if said.iter().all(|one| one.is_in(&state)) {
                return Ok((state, said));
            }
            match written {
                Err(error) if !is_overtaken(&error) => return Err(error.into()),
                written => refused = written.err(),
            }
            debug!(journal = self.name(), ?refused, "somebody else has decided something meanwhile");
        }
        Err(refused.unwrap_or_else(|| self.unsettled(&state)).into())
    }

    /// Says under whose producer id all is written, unless somebody has.
    async fn claim(&self) -> Result<(), Error> {
        let producer = self.topic.client().init_producer_id(None, NO_TRANSACTION).await;
        let producer = producer.map_err(|error| self.topic.error(error, control_topic::Right::Write))?;
        let claim = Writer { producer_id: producer.id }.encode();
        self.topic.writer_as(PARTITION, producer).write(vec![claim]).await.map(drop)
    }

    fn unsettled(&self, state: &JournalState) -> Error {
        Error::Unsettled {
            topic: self.name().to_owned(),
            partition: PARTITION,
            end: state.next(),
            reason: format!("others were faster {ATTEMPTS} times in a row"),
        }
    }
}

async fn write<T: Said>(mut writer: SlotWriter, said: &[T]) -> Result<(), Error> {
    writer.write(said.iter().map(Said::record).collect()).await.map(drop)
}

/// Whether the broker has taken another batch of this number.
fn is_overtaken(error: &Error) -> bool {
    let Error::Kafka { cause, .. } = error else { return false };
    let codes = [Code::OutOfOrderSequenceNumber, Code::DuplicateSequenceNumber];
    matches!(&cause.cause, Cause::Kafka { code, .. } if codes.contains(code))
}
