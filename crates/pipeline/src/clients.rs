//! Whether the clients of a link can be made of the properties that its user gave. Asks no cluster.

use kafka_rd::Properties;
use mirror_types::Side;

/// Properties that no client can be made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadProperty {
    /// The property at fault, where that is known.
    pub property: Option<String>,
    /// What is wrong with it.
    pub reason: String,
}

/// Properties of members of a group, which librdkafka's client of the target is not.
const OF_MEMBERS: [&str; 5] = [
    "group.id",
    "group.instance.id",
    "group.protocol",
    "group.remote.assignor",
    "partition.assignment.strategy",
];

/// Makes every client that `run` would make of one side's properties, with nobody to connect to, and lets go of it.
/// `prefetch` is what the source's client may hold.
pub fn check_properties(side: Side, properties: &Properties, prefetch: u64) -> Result<(), BadProperty> {
    let mut native = match side {
        Side::Source => {
            let mut properties = properties.clone();
            properties.set_default("group.id", "isomirror");
            source_consumer::complete(properties, prefetch).map_err(|error| BadProperty {
                property: error.property().map(str::to_owned),
                reason: error.to_string(),
            })?
        }
        Side::Target => {
            pinned_producer::check(properties).map_err(|error| BadProperty {
                property: error.property().map(str::to_owned),
                reason: error.to_string(),
            })?;
            properties.clone()
        }
    };
    if side == Side::Target {
        let membership = ownership::Config::new("", "", 0, |property: &str| properties.get(property));
        membership.map_err(|error| BadProperty {
            property: Some(error.property.clone()),
            reason: error.to_string(),
        })?;
        OF_MEMBERS.iter().for_each(|property| native.remove(property));
    }
    native.make_client().map_err(|error| BadProperty {
        property: Some(error.property).filter(|property| !property.is_empty()),
        reason: error.reason,
    })
}
