//! Finds the broker that a lane is to be read from, and out what became of the lane where it can't be read on.

use std::{sync::Arc, time::Duration};

use kafka_wire::{Error, Isolation, OffsetSpec, Topic};
use mirror_types::{Content, LaneEvent, LaneId, Offset, RecordBatch, SourceChange};
use tracing::debug;

use super::{Shared, cut::Piece, lane::ReadLane};
use crate::{LossPolicy, epochs::Epochs, stops};

/// Before the cluster is asked again; doubles up to [`LONGEST`].
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(1);
/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(5);

/// Why a lane has no broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// It was just started.
    New,
    /// Its broker has named another.
    Sent,
    /// Its broker does not have it, or is not there.
    Moved,
    /// It has nothing at the offset.
    OutOfRange,
}

/// What came of it.
pub(super) enum Placed {
    /// To be read from this broker.
    At(i32, Box<ReadLane>),
    /// It is read no more; that is told.
    Gone(LaneId),
}

/// Goes on until the lane has a broker, or is gone.
pub(super) async fn place(shared: Arc<Shared>, mut lane: Box<ReadLane>, why: Why) -> Placed {
    let out_of_range = why == Why::OutOfRange;
    if !matches!(why, Why::New | Why::Sent) {
        pause(&mut lane).await;
    }
    loop {
        let found = shared.find(&mut lane, out_of_range).await;
        match found {
            Ok(Some(broker)) => return Placed::At(broker, lane),
            Ok(None) => return Placed::Gone(lane.lane.id),
            Err(error) if error.is_not_authorized() => {
                let stop = stops::unreadable(lane.at(), lane.from, &error.to_string());
                shared.stopped(&lane, stop).await;
                return Placed::Gone(lane.lane.id);
            }
            // A topic that is gone is the supervisor's to notice; everything else passes.
            Err(error) => debug!(lane = %lane.at(), %error, "no broker to read from"),
        }
        shared.client.forget(&lane.at().topic);
        pause(&mut lane).await;
    }
}

async fn pause(lane: &mut ReadLane) {
    let pause = PAUSE.saturating_mul(1 << lane.tries.min(10)).min(LONGEST);
    lane.tries += 1;
    tokio::time::sleep(pause).await;
}

impl Shared {
    /// The broker; none where the lane is gone.
    async fn find(&self, lane: &mut ReadLane, out_of_range: bool) -> Result<Option<i32>, Error> {
        let client = self.client.with_patience(ANSWER);
        let at = lane.at().clone();
        let mut topic = client.topic(&at.topic).await?;
        let another = |topic: &Topic| {
            let (then, now) = (lane.topic_id.as_ref()?, topic.id_text()?);
            (*then != now).then_some(now)
        };
        if another(&topic).is_some() {
            // What is known of it may be older than the lane, which was not read for a while.
            client.forget(&at.topic);
            topic = client.topic(&at.topic).await?;
        }
        if let Some(now) = another(&topic) {
            self.changed(lane, SourceChange::Recreated, stops::recreated(&at, &now)).await;
            return Ok(None);
        }
        lane.id = topic.id;
        if out_of_range {
            let asked = [(&*at.topic, at.partition)];
            let offset = async |spec| {
                let mut listed = client.list_offsets(&asked, spec, Isolation::ReadUncommitted).await;
                listed.remove(0).map(|listed| listed.offset)
            };
            let (low, high) = (offset(OffsetSpec::Earliest).await?, offset(OffsetSpec::Latest).await?);
            if lane.from < low && !self.lost(lane, low).await {
                return Ok(None);
            }
            if lane.from > high {
                let stop = stops::truncated(&at, stops::ends_before(&at, high, lane.from));
                self.changed(lane, SourceChange::Truncated(high), stop).await;
                return Ok(None);
            }
        }
        lane.leader_epoch = client.leader(&at.topic, at.partition).await?.epoch;
        Ok(Some(client.reader(&at.topic, at.partition).await?))
    }

    /// What is before `low` is gone. Whether the lane goes on there.
    async fn lost(&self, lane: &mut ReadLane, low: Offset) -> bool {
        let at = lane.at().clone();
        let Some(gap) = stops::lost_before(low, lane.from, lane.position) else {
            self.stopped(lane, stops::not_to_be_compared(&at, low)).await;
            return false;
        };
        self.metrics.gap(&at, gap.cause, (gap.to - gap.from) as u64);
        if self.loss == LossPolicy::Stop {
            self.stopped(lane, stops::lost(&at, gap)).await;
            return false;
        }
        let _ = self.events.send(LaneEvent::Lost { lane: lane.lane.id, gap }).await;
        let nothing = Piece { content: Content::Records(RecordBatch::default()), next: low };
        lane.pieces.push_back((nothing, lane.lane.credit.take_what_came(0)));
        lane.from = low;
        lane.epochs = Epochs::default();
        true
    }
}
