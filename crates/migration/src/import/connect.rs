//! MirrorMaker 2 as connectors of a Kafka Connect cluster: a connector's properties, or the JSON that was posted for it.
//!
//! Owns JSON's form as properties, and whose file it is. What a connector's keys become is `mirror_maker_2`'s: they are those
//! of one flow.

use serde_json::{Map, Value};

use super::{
    note::{ImportError, Place},
    properties::{Entry, Properties},
};

/// The connector that mirrors records.
const SOURCE: &str = "MirrorSourceConnector";
/// Keys that a worker of Connect has, and no connector.
const OF_WORKER: [&str; 6] = [
    "config.storage.topic",
    "offset.storage.topic",
    "offset.storage.file.filename",
    "status.storage.topic",
    "plugin.path",
    "offset.flush.interval.ms",
];
const FIX: &str = "name the configuration of the MirrorSourceConnector: its .properties file, or its JSON, as \
                   `curl http://CONNECT:8083/connectors/NAME/config` prints it; or write it as a file of connect-mirror-maker.sh: \
                   clusters = A, B; A.bootstrap.servers; A->B.topics; …";

/// Whether it mirrors records.
pub(super) fn is_source(file: &Properties) -> bool {
    class(file).is_some_and(|class| class.rsplit('.').next() == Some(SOURCE))
}

fn class(file: &Properties) -> Option<&str> {
    file.get("connector.class").map(|entry| entry.value.as_str())
}

/// Refuses what is Connect's and says nothing of what is mirrored.
pub(super) fn refuse_others(files: &[Properties]) -> Result<(), ImportError> {
    for file in files.iter().filter(|file| !is_source(file)) {
        let refuse = |message: &str| Err(ImportError::new(Place::file(&file.name), message, FIX));
        match class(file).map(|class| class.rsplit('.').next().unwrap_or_default()) {
            Some("MirrorCheckpointConnector") => {
                return refuse(
                    "this is the connector of checkpoints, which isomirror does not need: groups are carried over by \
                     [groups] and `isomirror groups`",
                );
            }
            Some("MirrorHeartbeatConnector") => {
                return refuse("this is the connector of heartbeats, which isomirror does not need");
            }
            Some(_) => return refuse("this is a connector of a Connect cluster, and not one that mirrors"),
            None if file.get("source.cluster.alias").is_some() => {
                return refuse("this is a connector of a Connect cluster, without its connector.class");
            }
            None if OF_WORKER.iter().any(|key| file.get(key).is_some()) => {
                return refuse("this is the file of a Connect worker: it says nothing of what is mirrored");
            }
            None => {}
        }
    }
    Ok(())
}

/// Whether it looks like JSON.
pub(super) fn is_json(bytes: &[u8]) -> bool {
    bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
}

/// A connector's JSON as properties: its configuration alone, or beside its name, as it was posted.
pub(super) fn read(name: &str, bytes: &[u8]) -> Result<Properties, ImportError> {
    let refuse = |line, message: String| {
        let place = Place { line, ..Place::file(name) };
        Err(ImportError::new(place, message, FIX))
    };
    let mut all: Map<String, Value> = match serde_json::from_slice(bytes) {
        Ok(all) => all,
        // Its words may show what stands there.
        Err(error) => return refuse(Some(error.line()), "is no JSON, though it begins like it".to_owned()),
    };
    if let Some(Value::Object(config)) = all.remove("config") {
        all = config;
    }
    let text = String::from_utf8_lossy(bytes);
    let line = |key: &str| {
        let quoted = format!("{key:?}");
        text.lines().position(|line| line.contains(&quoted)).map_or(1, |at| at + 1)
    };
    let mut entries = Vec::new();
    for (key, value) in all {
        let line = line(&key);
        let value = match value {
            Value::String(text) => text.trim().to_owned(),
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            Value::Null => continue,
            Value::Array(_) | Value::Object(_) => {
                return refuse(Some(line), "holds what no connector's configuration does".to_owned());
            }
        };
        entries.push(Entry { key, value, line });
    }
    entries.sort_by_key(|entry| entry.line);
    Ok(Properties::of(name, entries))
}
