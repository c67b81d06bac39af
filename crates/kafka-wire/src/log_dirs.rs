//! What lies in a broker's log directories, and how full its volumes are (DescribeLogDirs; the latter from 3.3 on, KIP-827).

use kafka_protocol::messages::DescribeLogDirsRequest;

use crate::{Client, Code, Error, To, client::repeat};

const VERSION: i16 = 4;

/// A log directory of a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogDir {
    /// Its path.
    pub path: String,
    /// What is wrong with it: its replicas are offline then.
    pub error: Option<Code>,
    /// How large its volume is, in bytes; none where the broker does not say.
    pub total: Option<u64>,
    /// How much of that is free.
    pub usable: Option<u64>,
    /// The replicas in it.
    pub replicas: Vec<LogDirReplica>,
}

/// A replica in a log directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogDirReplica {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// How large its log is, in bytes.
    pub bytes: u64,
    /// Whether it is a copy that is made to take the place of one in another directory of the same broker.
    pub future: bool,
}

impl Client {
    /// The log directories of a broker. Needs DESCRIBE on the cluster. Tried again while the broker does not answer.
    pub async fn log_dirs(&self, broker: i32) -> Result<Vec<LogDir>, Error> {
        let to = To::Broker(broker);
        repeat!(self, to, self.log_dirs_once(to))
    }

    /// The same, once.
    pub async fn log_dirs_once(&self, to: To<'_>) -> Result<Vec<LogDir>, Error> {
        let request = DescribeLogDirsRequest::default().with_topics(None);
        let connection = self.connection(to).await?;
        let answer = connection.send(&request, VERSION).await?;
        if let Some(code) = Code::try_from_code(answer.error_code) {
            return Err(Error::answered(connection.address(), "describe the log directories", code));
        }
        // A broker that is not allowed to tell says nothing at all, before v3.
        if answer.results.is_empty() {
            let code = Code::ClusterAuthorizationFailed;
            return Err(Error::answered(connection.address(), "describe the log directories", code));
        }
        let size = |bytes: i64| u64::try_from(bytes).ok();
        let dirs = answer.results.into_iter().map(|dir| LogDir {
            path: dir.log_dir.to_string(),
            error: Code::try_from_code(dir.error_code),
            total: size(dir.total_bytes),
            usable: size(dir.usable_bytes),
            replicas: dir
                .topics
                .into_iter()
                .flat_map(|topic| {
                    topic.partitions.into_iter().map(move |found| LogDirReplica {
                        topic: topic.name.to_string(),
                        partition: found.partition_index,
                        bytes: size(found.partition_size).unwrap_or(0),
                        future: found.is_future_key,
                    })
                })
                .collect(),
        });
        Ok(dirs.collect())
    }
}
