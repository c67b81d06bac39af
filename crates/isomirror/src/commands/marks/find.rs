//! Which lanes there are, and the ledger of the one that is meant.

use control_topic::ControlTopic;
use futures::{StreamExt, TryStreamExt, stream};
use mirror_types::TopicPartition;
use offset_marks::{
    LaneStart, LaneSummary, Ledger,
    control::{ControlState, Event, Keep},
    slot_of,
};

use super::failure;
use crate::{
    cli::OffsetsArgs,
    exit::{Exit, Failure},
    human,
};

/// Partitions whose ledgers are in memory at the same time, to be summed up.
const AT_ONCE: usize = 4;
/// Lanes that are named where there is none of the name that was given.
const NAMED: usize = 20;

/// All lanes, by their names, and what has happened to lanes, in the order of time.
pub async fn lanes(topic: &ControlTopic) -> Result<(Vec<LaneSummary>, Vec<Event>), Failure> {
    let read = |partition| async move {
        let state = topic.read_committed(partition, Keep::Everything).await.map_err(failure)?;
        let summary =
            |start: &LaneStart| Ok(LaneSummary::of(&ledger(&state, &start.lane())?.expect("it is there")));
        let lanes = state.lanes().map(summary).collect::<Result<Vec<_>, Failure>>()?;
        Ok::<_, Failure>((lanes, state.events().cloned().collect()))
    };
    let all: Vec<(Vec<_>, Vec<_>)> =
        stream::iter(0..topic.partitions()).map(read).buffered(AT_ONCE).try_collect().await?;
    let (lanes, events): (Vec<_>, Vec<_>) = all.into_iter().unzip();
    let (mut lanes, mut events) = (lanes.concat(), events.concat());
    lanes.sort_by_cached_key(|lane| lane.start.lane());
    events.sort_by_cached_key(|event| (event.when, event.lane()));
    Ok((lanes, events))
}

/// The ledger of the lane with this source topic and partition.
pub async fn by_source(topic: &ControlTopic, args: &OffsetsArgs) -> Result<Ledger, Failure> {
    let lane = TopicPartition::new(&*args.topic, args.partition);
    match read(topic, slots(topic).await?, &lane).await? {
        Some(ledger) => Ok(ledger),
        None => Err(unknown(&starts(topic).await?, args)),
    }
}

/// The ledger of the lane with this target topic and partition; if there is none, of that with the source topic.
pub async fn by_either(topic: &ControlTopic, args: &OffsetsArgs) -> Result<Ledger, Failure> {
    let lane = TopicPartition::new(&*args.topic, args.partition);
    let slots = slots(topic).await?;
    let by_source = read(topic, slots, &lane).await?;
    if let Some(ledger) = &by_source
        && ledger.start().target_topic == args.topic
    {
        return Ok(by_source.expect("it is there"));
    }
    let starts = starts(topic).await?;
    let goes_there =
        |start: &&LaneStart| start.target_topic == args.topic && start.partition == args.partition;
    let by_target = match starts.iter().find(goes_there) {
        Some(start) => read(topic, slots, &start.lane()).await?,
        None => None,
    };
    by_target.or(by_source).ok_or_else(|| unknown(&starts, args))
}

/// How many slots the link's lanes are shared over.
async fn slots(topic: &ControlTopic) -> Result<i32, Failure> {
    Ok(topic.link().await.map_err(failure)?.map_or(topic.partitions(), |link| link.slots))
}

async fn read(topic: &ControlTopic, slots: i32, lane: &TopicPartition) -> Result<Option<Ledger>, Failure> {
    let state = topic.read_committed(slot_of(lane, slots), Keep::Everything).await.map_err(failure)?;
    ledger(&state, lane)
}

fn ledger(state: &ControlState, lane: &TopicPartition) -> Result<Option<Ledger>, Failure> {
    state.ledger(lane).transpose().map_err(|error| Failure::new(Exit::Failed, error.to_string()))
}

async fn starts(topic: &ControlTopic) -> Result<Vec<LaneStart>, Failure> {
    let states = topic.read_all_committed(Keep::Tails).await.map_err(failure)?;
    let mut starts: Vec<_> = states.iter().flat_map(|state| state.lanes().cloned()).collect();
    starts.sort_by_cached_key(LaneStart::lane);
    Ok(starts)
}

fn unknown(lanes: &[LaneStart], args: &OffsetsArgs) -> Failure {
    let OffsetsArgs { topic, partition, .. } = args;
    let mut there_are: Vec<_> = lanes.iter().take(NAMED).map(super::show::name).collect();
    if let Some(more) = lanes.len().checked_sub(NAMED + 1) {
        there_are.push(format!(
            "and {}: `isomirror marks CONFIG list` has all",
            human::plural(more + 1, "more", "more")
        ));
    }
    let there_are = if there_are.is_empty() {
        "no lane of this link has begun yet".to_owned()
    } else {
        format!("lanes there are: {}", there_are.join(", "))
    };
    Failure::new(Exit::Refused, format!("no lane mirrors {topic:?}, partition {partition}\n  {there_are}"))
}
