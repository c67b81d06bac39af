//! Lanes that are to begin anew: their marks are deleted.

use std::collections::BTreeMap;

use control_topic::ControlTopic;
use kafka_wire::Client;
use mirror_types::{Side, TopicPartition};
use offset_marks::control::Keep;

use super::{client, failure};
use crate::{
    cli::ForgetArgs,
    config::Config,
    exit::{Exit, Failure},
};

/// Forgets the lanes of a topic, or one of them; says which they were.
pub async fn lanes(
    topic: &ControlTopic,
    config: &Config,
    args: &ForgetArgs,
) -> Result<Vec<TopicPartition>, Failure> {
    let members = members(&client(config, Side::Target)?, config.group()).await?;
    if members > 0 {
        let message = format!(
            "link {} runs (group {} has {members} on {}): it would write its marks again\n  fix: stop it first",
            config.link,
            config.group(),
            config.target.name
        );
        return Err(Failure::new(Exit::Refused, message));
    }
    let ours = |lane: &TopicPartition| {
        *lane.topic == *args.topic && args.partition.is_none_or(|partition| partition == lane.partition)
    };
    let mut deletions = BTreeMap::new();
    for (slot, state) in (0..).zip(topic.read_all(Keep::Everything).await.map_err(failure)?) {
        for lane in state.lanes().map(|start| start.lane()).filter(ours) {
            deletions.insert(lane.clone(), (slot, state.deletion(&lane)));
        }
    }
    if deletions.is_empty() {
        let partition = args.partition.map(|p| format!(", partition {p}")).unwrap_or_default();
        let message = format!(
            "no lane mirrors {:?}{partition}\n  fix: `isomirror marks CONFIG list` shows those there are",
            args.topic
        );
        return Err(Failure::new(Exit::Refused, message));
    }
    for (slot, records) in deletions.values() {
        topic.write(*slot, records.clone()).await.map_err(failure)?;
    }
    Ok(deletions.into_keys().collect())
}

/// How many instances of the link run.
async fn members(client: &Client, group: &str) -> Result<usize, Failure> {
    client.group_members(group).await.map_err(|error| {
        let exit = if error.is_unreachable() { Exit::Unreachable } else { Exit::Failed };
        Failure::new(exit, format!("whether the link runs can't be told: {error}"))
    })
}
