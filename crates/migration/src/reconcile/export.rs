//! Records in files, one JSON object a line, each partition in a file of its own: what a site alone had, to be sent anywhere.
//!
//! | field | value |
//! |---|---|
//! | `topic`, `partition`, `offset` | where it was |
//! | `timestamp` | in ms since 1970 |
//! | `key`, `value` | in base64 (standard, padded); `null` where there is none |
//! | `headers` | a list of pairs: name, and value in base64 or `null` |

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
};

use kafka_wire::records::Record;
use mirror_types::{Offset, TopicPartition};
use serde::{Deserialize, Serialize};

/// A record as it stands in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exported {
    /// Its topic.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp, in ms since 1970.
    pub timestamp: i64,
    /// Its key.
    #[serde(with = "base64")]
    pub key: Option<Vec<u8>>,
    /// Its value.
    #[serde(with = "base64")]
    pub value: Option<Vec<u8>>,
    /// Its headers, in their order.
    pub headers: Vec<(String, Bytes)>,
}

/// Bytes, if there are any, in base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(#[serde(with = "base64")] pub Option<Vec<u8>>);

/// A file that is being written; it has its name once it is whole.
pub(super) struct Writing {
    file: BufWriter<File>,
    part: PathBuf,
    path: PathBuf,
    pub(super) records: u64,
}

impl Writing {
    /// Of a partition, from this offset on.
    pub(super) fn begin(folder: &Path, at: &TopicPartition, from: Offset) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let path = folder.join(format!("{}-{}-{from}.jsonl", at.topic, at.partition));
        let part = path.with_extension("part");
        Ok(Self { file: BufWriter::new(File::create(&part)?), part, path, records: 0 })
    }

    pub(super) fn put(&mut self, at: &TopicPartition, record: &Record) -> io::Result<()> {
        let header = |header: &kafka_wire::records::Header| {
            (
                String::from_utf8_lossy(&header.key).into_owned(),
                Bytes(header.value.as_ref().map(|value| value.to_vec())),
            )
        };
        let exported = Exported {
            topic: at.topic.to_string(),
            partition: at.partition,
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key.as_ref().map(|key| key.to_vec()),
            value: record.value.as_ref().map(|value| value.to_vec()),
            headers: record.headers.iter().map(header).collect(),
        };
        serde_json::to_writer(&mut self.file, &exported)?;
        self.records += 1;
        self.file.write_all(b"\n")
    }

    /// Its name, once all of it is on the disk.
    pub(super) fn finish(self) -> io::Result<PathBuf> {
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        fs::rename(&self.part, &self.path)?;
        if let Some(folder) = self.path.parent() {
            File::open(folder)?.sync_all()?;
        }
        Ok(self.path)
    }
}

/// The records of a file.
pub fn read(path: &Path) -> io::Result<impl Iterator<Item = io::Result<Exported>>> {
    let lines = BufReader::new(File::open(path)?).lines();
    Ok(lines.map(|line| Ok(serde_json::from_str(&line?)?)))
}

mod base64 {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(bytes: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
        match bytes {
            Some(bytes) => serializer.serialize_some(&kafka_wire::base64::encode(bytes)),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| kafka_wire::base64::decode(&text).ok_or_else(|| D::Error::custom("it is no base64")))
            .transpose()
    }
}
