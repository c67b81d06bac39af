//! The client of one cluster: made once, shared by clones, waited for off the runtime.

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    thread,
    time::{Duration, Instant},
};

use kafka_rd::{Admin, AdminError, ClusterDescription, LogContext, Properties};
use mirror_types::{Side, TopicPartition};
use rdkafka::{
    ClientConfig,
    config::{FromClientConfigAndContext, RDKafkaLogLevel},
    consumer::{BaseConsumer, Consumer},
    types::RDKafkaErrorCode,
};
use tokio::task::{self, JoinHandle};

use crate::{
    Error,
    error::{explain, from_kafka},
    groups::Groups,
};

/// How long one look at a client's events takes at most: librdkafka reports errors only to who looks.
const SERVE: Duration = Duration::from_millis(250);
/// How often a waiting call looks whether the brokers have refused the credentials.
const LOOK: Duration = Duration::from_millis(50);
/// How long a call goes on waiting after the credentials were refused: another broker may take them.
const PATIENCE: Duration = Duration::from_secs(1);

/// Properties that would make an admin client a member of something, or create topics by asking for them.
const DROPPED: [&str; 6] = [
    "group.id",
    "group.instance.id",
    "group.protocol",
    "group.remote.assignor",
    "partition.assignment.strategy",
    "statistics.interval.ms",
];

pub(crate) type Native = BaseConsumer<LogContext>;

/// One cluster. Clones share one client.
#[derive(Clone)]
pub struct Cluster {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub side: Side,
    pub name: Arc<str>,
    pub timeout: Duration,
    pub context: LogContext,
    pub config: ClientConfig,
    pub native: Arc<Native>,
    pub groups: Groups,
    /// Partitions that had no leader when last looked at: a request for their offsets would wait for one.
    pub leaderless: Mutex<HashSet<TopicPartition>>,
}

impl Cluster {
    /// Makes the client of a cluster; nothing is connected or asked yet. `timeout` is what each call is
    /// given. Fails where librdkafka does not take the properties.
    pub fn connect(
        side: Side,
        name: &str,
        properties: &Properties,
        timeout: Duration,
    ) -> Result<Self, Error> {
        let name: Arc<str> = name.into();
        let context = LogContext::new(format!("{side} cluster {name}"));
        let mut config = properties.client_config();
        DROPPED.iter().for_each(|property| {
            config.remove(property);
        });
        config.set("allow.auto.create.topics", "false");
        config.set_log_level(RDKafkaLogLevel::Info);
        let native = start(&config, &context).map_err(|error| Error {
            side,
            cluster: name.clone(),
            doing: "make a client".to_owned(),
            code: error.code,
            reason: error.reason,
        })?;
        let (groups, leaderless) = Default::default();
        Ok(Self {
            inner: Arc::new(Inner { side, name, timeout, context, config, native, groups, leaderless }),
        })
    }

    /// Which side of the link it is on.
    pub fn side(&self) -> Side {
        self.inner.side
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// What each call is given.
    pub fn timeout(&self) -> Duration {
        self.inner.timeout
    }

    /// The cluster's id, where it has one.
    pub async fn cluster_id(&self) -> Result<Option<String>, Error> {
        Ok(self.describe("get the cluster id").await?.id)
    }

    /// The ids of the brokers that are up, ascending.
    pub async fn broker_ids(&self) -> Result<Vec<i32>, Error> {
        Ok(self.describe("list brokers").await?.brokers)
    }

    pub(crate) async fn describe(&self, doing: &str) -> Result<ClusterDescription, Error> {
        self.admin(doing, |admin| admin.describe_cluster()).await
    }

    /// Runs an admin call on a blocking thread.
    pub(crate) async fn admin<T: Send + 'static>(
        &self,
        doing: &str,
        call: impl FnOnce(Admin<'_>) -> Result<T, AdminError> + Send + 'static,
    ) -> Result<T, Error> {
        self.blocking(doing, |inner| call(Admin::new(inner.native.client(), inner.timeout))).await
    }

    /// Runs `call`, which may block, and gives up early where the brokers refuse the credentials.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        doing: &str,
        call: impl FnOnce(&Inner) -> Result<T, AdminError> + Send + 'static,
    ) -> Result<T, Error> {
        let started = Instant::now();
        let inner = self.inner.clone();
        let outcome = self.wait(task::spawn_blocking(move || call(&inner)), started).await;
        match outcome {
            Ok(value) => {
                self.inner.context.clear();
                Ok(value)
            }
            Err(error) => Err(self.error_after(doing, error, started.elapsed())),
        }
    }

    async fn wait<T>(
        &self,
        mut call: JoinHandle<Result<T, AdminError>>,
        started: Instant,
    ) -> Result<T, AdminError> {
        loop {
            if let Ok(joined) = tokio::time::timeout(LOOK, &mut call).await {
                return joined.unwrap_or_else(|panic| {
                    Err(AdminError { code: RDKafkaErrorCode::Fail, reason: panic.to_string() })
                });
            }
            if let Some(error) = self.inner.context.last_error()
                && error.is_authentication()
                && error.at >= started
                && error.at.elapsed() >= PATIENCE
            {
                return Err(AdminError { code: error.code, reason: error.reason });
            }
        }
    }

    /// The error for something a broker has answered.
    pub(crate) fn error(&self, doing: &str, error: AdminError) -> Error {
        let (side, cluster) = (self.inner.side, self.inner.name.clone());
        Error { side, cluster, doing: doing.to_owned(), code: error.code, reason: error.reason }
    }

    /// The error for something that failed after waiting for it.
    fn error_after(&self, doing: &str, error: AdminError, waited: Duration) -> Error {
        let (code, reason) = explain(error, self.inner.context.last_error(), waited);
        self.error(doing, AdminError { code, reason })
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cluster {}", self.inner.side, self.inner.name)
    }
}

// === clients ===

/// Makes a client, and has its logs and errors looked at for as long as anyone holds it.
pub(crate) fn start(config: &ClientConfig, context: &LogContext) -> Result<Arc<Native>, AdminError> {
    let native =
        Native::from_config_and_context(config, context.clone()).map_err(|error| from_kafka(&error))?;
    let native = Arc::new(native);
    let weak = Arc::downgrade(&native);
    thread::Builder::new().name("rdkafka-admin".to_owned()).spawn(move || serve(&weak)).map_err(|error| {
        AdminError {
            code: RDKafkaErrorCode::CriticalSystemResource,
            reason: format!("start a thread: {error}"),
        }
    })?;
    Ok(native)
}

/// Serves a client's events until nobody else holds it; so it is here, too, that it is closed, which may
/// take a moment that its last user need not wait for.
fn serve(client: &Weak<Native>) {
    while let Some(client) = client.upgrade() {
        // Errors have reached the context by the time they come out of here, and there are no messages.
        let _ = client.poll(SERVE);
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
