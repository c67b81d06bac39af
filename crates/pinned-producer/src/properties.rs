//! What the target's librdkafka-style properties say of writing; the rest of them is the client's.

use std::time::Duration;

use kafka_rd::Properties;
use kafka_wire::{Settings, records::Compression};

use crate::Error;

/// librdkafka's own default: 1 MB, less what Kafka's default `max.message.bytes` (1,048,588) leaves for headers.
const USUAL_BATCH: usize = 1_000_000;

/// What correctness needs of properties that a user may have set, and why.
const FORCED: [(&str, &[&str], &str); 5] = [
    ("enable.idempotence", &["true"], "order and one copy of each record depend on it"),
    ("delivery.report.only.error", &["false"], "every acknowledgement is checked"),
    ("acks", &["all", "-1"], "anything less loses records with their leader"),
    ("request.required.acks", &["all", "-1"], "anything less loses records with their leader"),
    ("transactional.id", &[], "isomirror names its transactions itself"),
];

/// Whether a producer can be made of these properties; reads the files that they name, and asks no broker.
pub fn check(properties: &Properties) -> Result<(), Error> {
    Options::new(|property| properties.get(property))?;
    Settings::new(properties.iter())?;
    Ok(())
}

/// How batches are made and sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    pub(crate) compression: Compression,
    /// How hard the codec tries; none: as it does by itself.
    pub(crate) level: Option<i32>,
    /// Bytes of a batch, at the most, unless one record alone is larger.
    pub(crate) batch: usize,
    /// How long the target may take to replicate a batch before it answers that it has not.
    pub(crate) replication: Duration,
}

impl Options {
    /// Reads them; properties that can't be as the user set them are errors.
    pub(crate) fn new<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Result<Self, Error> {
        for (property, fine, why) in FORCED {
            if let Some(value) = get(property).filter(|value| !fine.contains(value)) {
                let value = if property == "transactional.id" { "…" } else { value };
                return Err(Error::Forced { property, value: value.to_owned(), why });
            }
        }
        let codec = get("compression.codec").or_else(|| get("compression.type")).unwrap_or("none");
        let number = |property, default| match get(property) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| Error::Number { property, value: text.to_owned() }),
        };
        Ok(Self {
            compression: compression(codec).ok_or_else(|| Error::Codec(codec.to_owned()))?,
            level: i32::try_from(number("compression.level", -1)?).ok().filter(|level| *level >= 0),
            batch: (number("batch.size", USUAL_BATCH as i64)?.max(1) as usize).min(USUAL_BATCH),
            replication: Duration::from_millis(number("request.timeout.ms", 10_000)?.clamp(1, 900_000) as u64),
        })
    }

    /// The batch size for a topic that takes `limit` bytes.
    pub(crate) fn batch_for(&self, limit: Option<u64>) -> usize {
        limit.map_or(self.batch, |limit| self.batch.min(usize::try_from(limit).unwrap_or(usize::MAX)))
    }
}

fn compression(name: &str) -> Option<Compression> {
    Some(match name {
        "none" => Compression::None,
        "gzip" => Compression::Gzip,
        "snappy" => Compression::Snappy,
        "lz4" => Compression::Lz4,
        "zstd" => Compression::Zstd,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn options(set: &[(&str, &'static str)]) -> Result<Options, Error> {
        let set: HashMap<_, _> = set.iter().copied().collect();
        Options::new(|property| set.get(property).copied())
    }

    #[test]
    fn a_batch_never_exceeds_what_the_topic_takes() {
        let options = options(&[]).unwrap();
        for limit in [1, 100, 65_536, 1_000_000, 1_048_588, 10_000_000] {
            let batch = options.batch_for(Some(limit));
            assert!(batch as u64 <= limit && batch <= USUAL_BATCH, "{limit}: {batch}");
        }
    }

    #[test]
    fn what_would_break_a_promise_is_refused() {
        for (property, value) in [
            ("acks", "1"),
            ("enable.idempotence", "false"),
            ("transactional.id", "mine"),
            ("request.required.acks", "0"),
        ] {
            let error = options(&[(property, value)]).unwrap_err().to_string();
            assert!(error.contains(&format!("`{property}` can't be set to")), "{error}");
        }
        assert!(options(&[("acks", "-1"), ("enable.idempotence", "true")]).is_ok());
    }
}
