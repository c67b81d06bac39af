//! What the journal says, as far as it was read. Pure.

use std::collections::BTreeMap;

use control_topic::{ControlTopic, Error};
use kafka_wire::{
    ProducerIdentity,
    records::{Batch, BatchHeader, next_sequence},
};
use mirror_types::Offset;

use crate::{
    Decision, Note, PARTITION, Runs, TopicState,
    entry::{Entry, Writer},
};

/// What the journal says, as far as it was read.
#[derive(Debug, Clone)]
pub struct JournalState {
    next: Offset,
    writer: Option<(ProducerIdentity, i32)>,
    /// In the order of the log.
    decisions: Vec<Decision>,
    latest: BTreeMap<String, Decision>,
    /// In the order of the log.
    notes: Vec<Note>,
}

impl JournalState {
    /// Nothing has been read of a journal that begins here.
    pub(crate) fn new(next: Offset) -> Self {
        Self { next, writer: None, decisions: Vec::new(), latest: BTreeMap::new(), notes: Vec::new() }
    }

    /// The offset behind all that was read.
    pub fn next(&self) -> Offset {
        self.next
    }

    /// All that was ever decided, in that order.
    pub fn decisions(&self) -> &[Decision] {
        &self.decisions
    }

    /// What counts for a topic; none if nothing was ever decided about it.
    pub fn topic(&self, topic: &str) -> Option<&Decision> {
        self.latest.get(topic)
    }

    /// What is wanted of each topic about which something was decided.
    pub fn topics(&self) -> impl Iterator<Item = (&str, TopicState)> {
        self.latest.iter().map(|(topic, decision)| (topic.as_str(), decision.state))
    }

    /// The steps of all operations of a kind, in that order.
    pub fn notes(&self, kind: &str) -> impl Iterator<Item = &Note> {
        self.notes.iter().filter(move |note| note.kind == kind)
    }

    /// Which link of the pair runs, by what was said last; none where nothing ever was.
    pub fn runs(&self) -> Option<&Runs> {
        self.notes.iter().filter_map(|note| note.runs.as_ref()).max_by_key(|runs| runs.turn)
    }

    /// Under which producer id the next record is written, and with which sequence number; none while nobody has said.
    pub(crate) fn writer(&self) -> Option<(ProducerIdentity, i32)> {
        self.writer
    }

    pub(crate) fn has(&self, decision: &Decision) -> bool {
        self.decisions.iter().rev().any(|known| known == decision)
    }

    pub(crate) fn has_note(&self, note: &Note) -> bool {
        self.notes.iter().rev().any(|known| known == note)
    }

    pub(crate) fn read_to(&mut self, next: Offset) {
        self.next = next;
    }

    /// Takes the next batch.
    pub(crate) fn take(&mut self, topic: &ControlTopic, batch: &Batch, from: Offset) -> Result<(), Error> {
        topic.records(PARTITION, batch, from, |key, value| {
            self.enter(Entry::decode(key, value)?, &batch.header);
            Ok(())
        })?;
        self.follow_writer(&batch.header);
        Ok(())
    }

    fn enter(&mut self, entry: Entry, header: &BatchHeader) {
        match entry {
            Entry::Writer(Writer { producer_id }) => {
                let producer = ProducerIdentity { id: producer_id, epoch: header.producer_epoch };
                self.writer.get_or_insert((producer, 0));
            }
            Entry::Decision(decision) => {
                self.latest.insert(decision.topic.clone(), decision.clone());
                self.decisions.push(decision);
            }
            // Whoever was second with the same number has not said anything: the first one counts.
            Entry::Note(note)
                if !note.instead && self.notes.iter().any(|known| known.key() == note.key()) => {}
            Entry::Note(note) => {
                self.notes.retain(|known| known.key() != note.key());
                self.notes.push(note);
            }
            Entry::Removed(key) => {
                self.notes.retain(|note| note.key() != key);
                self.decisions.retain(|decision| decision.key() != key);
                self.latest.clear();
                let all = self.decisions.iter();
                self.latest.extend(all.map(|decision| (decision.topic.clone(), decision.clone())));
            }
        }
    }

    /// Batches that compaction has emptied count, too: it keeps a producer's last one for its numbers.
    fn follow_writer(&mut self, header: &BatchHeader) {
        if let Some((producer, next)) = &mut self.writer
            && header.producer_id == producer.id
            && header.base_sequence >= 0
        {
            *next = next_sequence(header.base_sequence, header.last_offset_delta + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Author, Process};

    fn header(producer_id: i64, base_sequence: i32, count: i32) -> BatchHeader {
        BatchHeader {
            base_offset: 0,
            batch_length: 0,
            partition_leader_epoch: 0,
            magic: 2,
            crc: 0,
            attributes: 0,
            last_offset_delta: count - 1,
            base_timestamp: 0,
            max_timestamp: 0,
            producer_id,
            producer_epoch: 0,
            base_sequence,
            record_count: count,
        }
    }

    fn decision(topic: &str, state: TopicState, when: i64) -> Decision {
        let by = Author { host: "h".to_owned(), user: None };
        Decision { topic: topic.to_owned(), state, when, by, why: None, token: when.unsigned_abs() }
    }

    #[test]
    fn the_first_writer_counts_and_its_numbers_go_on() {
        let mut state = JournalState::new(0);
        assert_eq!(state.writer(), None);
        for id in [7, 8] {
            state.enter(Entry::Writer(Writer { producer_id: id }), &header(id, 0, 1));
            state.follow_writer(&header(id, 0, 1));
        }
        let next = |state: &JournalState| state.writer().map(|(producer, next)| (producer.id, next));
        assert_eq!(next(&state), Some((7, 1)), "whoever came second writes under the first one's id, too");
        state.follow_writer(&header(7, 1, 3));
        state.follow_writer(&header(8, 1, 9));
        assert_eq!(next(&state), Some((7, 4)));
        state.follow_writer(&header(7, i32::MAX, 1));
        assert_eq!(next(&state), Some((7, 0)), "they wrap");
    }

    #[test]
    fn the_first_note_of_a_number_counts_but_for_one_that_says_it_stands_in_its_place() {
        let mut state = JournalState::new(0);
        let note = |when, turn, instead| Note {
            kind: "switchover".to_owned(),
            id: "1".to_owned(),
            number: 3,
            when,
            by: Author { host: "h".to_owned(), user: None },
            run: Process { pid: 1, started: 1, token: 1 },
            what: serde_json::Value::Null,
            runs: Some(Runs { turn, link: None, waits: false }),
            instead,
        };
        for one in [note(10, 7, false), note(11, 8, false), note(12, 6, true)] {
            state.enter(Entry::Note(one), &header(7, 0, 1));
        }
        let there: Vec<_> = state.notes("switchover").map(|note| note.when).collect();
        assert_eq!((there, state.runs().map(|runs| runs.turn)), (vec![12], Some(6)));
    }

    #[test]
    fn the_last_decision_about_a_topic_counts_and_all_are_kept() {
        let mut state = JournalState::new(0);
        let all = [("a", TopicState::Paused), ("b", TopicState::Stopped), ("a", TopicState::Running)];
        for (when, (topic, wanted)) in (1..).zip(all) {
            state.enter(Entry::Decision(decision(topic, wanted, when)), &header(7, 0, 1));
        }
        let now = |state: &JournalState| state.topics().map(|(t, s)| format!("{t} {s}")).collect::<Vec<_>>();
        assert_eq!(now(&state), ["a running", "b stopped"]);
        assert_eq!(state.decisions().len(), 3);
        assert!(state.has(&decision("a", TopicState::Running, 3)));
        assert!(!state.has(&decision("a", TopicState::Paused, 3)));
        // Somebody has deleted one by hand.
        state.enter(Entry::Removed("topic/a/3".to_owned()), &header(7, 0, 1));
        assert_eq!(now(&state), ["a paused", "b stopped"]);
    }
}
