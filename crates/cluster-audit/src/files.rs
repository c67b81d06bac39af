//! The files of Kafka's own tools: kafka-reassign-partitions (`--reassignment-json-file`) and kafka-leader-election
//! (`--path-to-json-file`). Written so that the same plan is the same text; read as those tools read them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::PartitionId;

/// Which brokers a partition is to be on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The partition.
    pub at: PartitionId,
    /// Its brokers, the preferred leader first.
    pub replicas: Vec<i32>,
}

/// Why a file can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadFile(String);

#[derive(Serialize, Deserialize)]
struct Reassignment {
    version: i32,
    partitions: Vec<Replicas>,
}

#[derive(Serialize, Deserialize)]
struct Replicas {
    topic: String,
    partition: i32,
    replicas: Vec<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    log_dirs: Option<Vec<String>>,
}

#[derive(Serialize, Deserialize)]
struct Election {
    partitions: Vec<Elected>,
}

#[derive(Serialize, Deserialize)]
struct Elected {
    topic: String,
    partition: i32,
}

/// Where these partitions are to be, as kafka-reassign-partitions takes it.
pub fn reassignment_json<'a>(placed: impl IntoIterator<Item = (&'a PartitionId, &'a [i32])>) -> String {
    let one = |(at, replicas): (&PartitionId, &[i32])| Replicas {
        topic: at.topic.clone(),
        partition: at.partition,
        replicas: replicas.to_vec(),
        log_dirs: None,
    };
    lines(&Reassignment { version: 1, partitions: placed.into_iter().map(one).collect() })
}

/// These partitions, as kafka-leader-election takes them.
pub fn election_json<'a>(partitions: impl IntoIterator<Item = &'a PartitionId>) -> String {
    let one = |at: &PartitionId| Elected { topic: at.topic.clone(), partition: at.partition };
    lines(&Election { partitions: partitions.into_iter().map(one).collect() })
}

/// A line for each partition: such files are read by people, and compared.
fn lines(value: &impl Serialize) -> String {
    let text = serde_json::to_string(value).expect("texts and numbers");
    let text = text.replacen("\"partitions\":[{", "\"partitions\":[\n{", 1).replace("},{", "},\n{");
    match text.strip_suffix("}]}") {
        Some(text) => format!("{text}}}\n]}}\n"),
        None => text + "\n",
    }
}

/// Reads a file of kafka-reassign-partitions.
pub fn read_reassignment(text: &str) -> Result<Vec<Placed>, BadFile> {
    let file: Reassignment = serde_json::from_str(text).map_err(|error| BadFile(error.to_string()))?;
    if file.version != 1 {
        return Err(BadFile(format!("version {}: only version 1 is known", file.version)));
    }
    let mut seen = BTreeSet::new();
    let mut placed = Vec::with_capacity(file.partitions.len());
    for found in file.partitions {
        let at = PartitionId::new(found.topic, found.partition);
        if found.replicas.is_empty() {
            return Err(BadFile(format!("{at}: it has no replicas")));
        }
        if found.replicas.iter().collect::<BTreeSet<_>>().len() < found.replicas.len() {
            return Err(BadFile(format!("{at}: a broker is named twice in {:?}", found.replicas)));
        }
        if found.log_dirs.iter().flatten().any(|dir| dir != "any") {
            return Err(BadFile(format!("{at}: log_dirs other than \"any\" are not moved; take them out")));
        }
        if !seen.insert(at.clone()) {
            return Err(BadFile(format!("{at} is in it twice")));
        }
        placed.push(Placed { at, replicas: found.replicas });
    }
    Ok(placed)
}

/// Reads a file of kafka-leader-election.
pub fn read_election(text: &str) -> Result<Vec<PartitionId>, BadFile> {
    let file: Election = serde_json::from_str(text).map_err(|error| BadFile(error.to_string()))?;
    Ok(file.partitions.into_iter().map(|found| PartitionId::new(found.topic, found.partition)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_a_line_for_each_partition_and_are_read_back() {
        let (a, b) = (PartitionId::new("a", 0), PartitionId::new("b", 7));
        let text = reassignment_json([(&a, &[3, 1][..]), (&b, &[2][..])]);
        assert_eq!(
            text,
            "{\"version\":1,\"partitions\":[\n\
             {\"topic\":\"a\",\"partition\":0,\"replicas\":[3,1]},\n\
             {\"topic\":\"b\",\"partition\":7,\"replicas\":[2]}\n]}\n"
        );
        let placed =
            |at: &PartitionId, replicas: &[i32]| Placed { at: at.clone(), replicas: replicas.to_vec() };
        assert_eq!(read_reassignment(&text), Ok(vec![placed(&a, &[3, 1]), placed(&b, &[2])]));
        let text = election_json([&b]);
        assert_eq!(text, "{\"partitions\":[\n{\"topic\":\"b\",\"partition\":7}\n]}\n");
        assert_eq!(read_election(&text), Ok(vec![b]));
        assert_eq!(read_election(&election_json([])), Ok(vec![]));
    }

    #[test]
    fn what_kafkas_tools_refuse_is_refused() {
        let file = |partitions: &str| format!("{{\"version\":1,\"partitions\":[{partitions}]}}");
        for (text, why) in [
            (file(r#"{"topic":"a","partition":0,"replicas":[1,1]}"#), "a[0]: a broker is named twice"),
            (file(r#"{"topic":"a","partition":0,"replicas":[]}"#), "a[0]: it has no replicas"),
            (
                file(r#"{"topic":"a","partition":0,"replicas":[1],"log_dirs":["/data"]}"#),
                "log_dirs other than \"any\"",
            ),
            (
                file(
                    r#"{"topic":"a","partition":0,"replicas":[1]},{"topic":"a","partition":0,"replicas":[2]}"#,
                ),
                "twice",
            ),
            (r#"{"version":2,"partitions":[]}"#.to_owned(), "version 2"),
            ("{".to_owned(), "EOF"),
        ] {
            let error = read_reassignment(&text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        let kafkas = file(r#"{"topic":"a","partition":0,"replicas":[1,2],"log_dirs":["any","any"]}"#);
        assert!(read_reassignment(&kafkas).is_ok());
    }
}
