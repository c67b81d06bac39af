//! The thread that takes a client's delivery reports to their lanes.

use std::{
    sync::{Arc, RwLock},
    time::Duration,
};

use rdkafka::types::RDKafkaErrorCode as Code;
use tokio_util::sync::CancellationToken;

use crate::{client::Client, lane::LaneOut};

const POLL: Duration = Duration::from_millis(100);

/// The lanes by slot: a record's token says which, and which record of it.
#[derive(Default)]
pub(crate) struct Slots(RwLock<Vec<Option<Arc<LaneOut>>>>);

/// A record's token: its lane's slot, and its number in the lane's run.
pub(crate) fn token(slot: u32, number: u32) -> u64 {
    u64::from(slot) << 32 | u64::from(number)
}

impl Slots {
    /// Puts a lane into a free slot.
    pub(crate) fn add(&self, make: impl FnOnce(u32) -> Option<Arc<LaneOut>>) -> Option<Arc<LaneOut>> {
        let mut slots = self.0.write().expect("nothing panics under this lock");
        let free = slots.iter().position(Option::is_none).unwrap_or(slots.len());
        let lane = make(free as u32)?;
        if free == slots.len() {
            slots.push(None);
        }
        slots[free] = Some(lane.clone());
        Some(lane)
    }

    /// Frees the slots of lanes that `keep` does not want and that have nothing in flight.
    pub(crate) fn sweep(&self, keep: impl Fn(&LaneOut) -> bool) {
        let mut slots = self.0.write().expect("nothing panics under this lock");
        for slot in slots.iter_mut() {
            if slot.as_ref().is_some_and(|lane| !keep(lane) && lane.is_idle()) {
                *slot = None;
            }
        }
    }

    /// Whether no lane has anything in flight.
    pub(crate) fn all_idle(&self) -> bool {
        let slots = self.0.read().expect("nothing panics under this lock");
        slots.iter().flatten().all(|lane| lane.is_idle())
    }

    fn get(&self, slot: u32) -> Option<Arc<LaneOut>> {
        self.0.read().expect("nothing panics under this lock").get(slot as usize)?.clone()
    }
}

/// One delivery report: the record's number, and its target offset or what was wrong.
type Report = (u32, Result<i64, (Code, String)>);

/// Runs until `done`.
pub(crate) fn run(client: &Client, slots: &Slots, done: &CancellationToken) {
    let mut run: Vec<Report> = Vec::new();
    let mut current = None;
    while !done.is_cancelled() {
        client.sender.deliveries(POLL, |delivery| {
            let slot = (delivery.token >> 32) as u32;
            if current != Some(slot) {
                pass_on(slots, current, &mut run);
                current = Some(slot);
            }
            run.push((
                delivery.token as u32,
                delivery.result.map_err(|(code, text)| (code, text.to_owned())),
            ));
        });
        pass_on(slots, current, &mut run);
        client.check();
    }
}

fn pass_on(slots: &Slots, slot: Option<u32>, run: &mut Vec<Report>) {
    let lane = slot.filter(|_| !run.is_empty()).and_then(|slot| slots.get(slot));
    match lane {
        Some(lane) => lane.delivered(run.drain(..)),
        None => run.clear(),
    }
}
