//! One cluster as its users see it: shared by clones, waited for off the runtime.

use std::{
    fmt,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use kafka_rd::{Admin, AdminError, LogContext, Properties};
use mirror_types::Side;
use rdkafka::{
    config::RDKafkaLogLevel, consumer::Consumer, metadata::MetadataBroker, types::RDKafkaErrorCode,
};
use tokio::sync::oneshot;

use crate::{
    Error,
    error::{explain, from_kafka, is_unanswered},
    native::{Client, Slot, no_thread},
};

/// How often a waiting call looks whether the brokers have refused the credentials.
const LOOK: Duration = Duration::from_millis(50);
/// How long a call goes on waiting after the credentials were refused: another broker may take them.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a refusal counts after it was reported: librdkafka does not repeat itself for 30 s.
const MEMORY: Duration = Duration::from_secs(45);

/// Properties that would make an admin client a member of something, or create topics by asking for them.
const DROPPED: [&str; 6] = [
    "group.id",
    "group.instance.id",
    "group.protocol",
    "group.remote.assignor",
    "partition.assignment.strategy",
    "statistics.interval.ms",
];

/// A topic to ask for where only the brokers are wanted: librdkafka has no request for brokers alone, and
/// asking for all topics may be megabytes. It need not be there, nor may this principal have to read it.
const SMALL_TOPIC: &str = "__consumer_offsets";

/// One cluster. Clones share one client.
#[derive(Clone)]
pub struct Cluster {
    inner: Arc<Inner>,
    timeout: Duration,
}

pub(crate) struct Inner {
    side: Side,
    name: Arc<str>,
    pub context: LogContext,
    native: Arc<Slot>,
}

/// What one call works with.
pub(crate) struct Call {
    inner: Arc<Inner>,
    pub native: Arc<Client>,
    pub timeout: Duration,
    /// Whether a part of the answer is missing, since some broker kept silent.
    partly: Arc<AtomicBool>,
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
        let native = Slot::new(config, context.clone()).map_err(|error| Error {
            side,
            cluster: name.clone(),
            doing: "make a client".to_owned(),
            code: error.code,
            reason: error.reason,
        })?;
        Ok(Self { inner: Arc::new(Inner { side, name, context, native }), timeout })
    }

    /// The same cluster through the same client, each call given `timeout`.
    pub fn within(&self, timeout: Duration) -> Self {
        Self { inner: self.inner.clone(), timeout }
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
        self.timeout
    }

    /// The cluster's id, where it has one.
    pub async fn cluster_id(&self) -> Result<Option<String>, Error> {
        self.blocking("get the cluster id", |call| {
            call.look()?;
            // It came with the metadata.
            Ok(call.native.client().fetch_cluster_id(Duration::ZERO))
        })
        .await
    }

    /// The ids of the brokers that are up, ascending.
    pub async fn broker_ids(&self) -> Result<Vec<i32>, Error> {
        self.blocking("list brokers", |call| Ok(call.look()?.ids)).await
    }

    /// Runs an admin call that only reads, at a broker that is known to answer: by default librdkafka asks
    /// the controller, which may be on its way to another broker (and which the mock has none of).
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        doing: &str,
        ask: impl FnOnce(Admin<'_>, i32) -> Result<T, AdminError> + Send + 'static,
    ) -> Result<T, Error> {
        self.blocking(doing, |call| {
            let broker = call.look()?.answered;
            ask(call.admin().at(broker), broker)
        })
        .await
    }

    /// Runs an admin call that the controller must do.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        doing: &str,
        ask: impl FnOnce(Admin<'_>) -> Result<T, AdminError> + Send + 'static,
    ) -> Result<T, Error> {
        self.blocking(doing, |call| {
            let brokers = call.look()?.ids;
            let admin = call.admin();
            match admin.known_controller() {
                // librdkafka would wait for it until the timeout.
                Some(controller) if !brokers.contains(&controller) => Err(AdminError {
                    code: RDKafkaErrorCode::NotController,
                    reason: format!("the controller ({controller}) is none of the brokers ({brokers:?})"),
                }),
                _ => ask(admin),
            }
        })
        .await
    }

    /// Runs `work`, which may block, and gives up early where the brokers refuse the credentials.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        doing: &str,
        work: impl FnOnce(&Call) -> Result<T, AdminError> + Send + 'static,
    ) -> Result<T, Error> {
        let asked = Instant::now();
        let (answer, whole) = self.run(doing, work).await;
        self.inner.native.note(asked, whole);
        answer
    }

    /// The outcome, and whether all of it is somebody's answer.
    async fn run<T: Send + 'static>(
        &self,
        doing: &str,
        work: impl FnOnce(&Call) -> Result<T, AdminError> + Send + 'static,
    ) -> (Result<T, Error>, bool) {
        let started = Instant::now();
        let partly = Arc::new(AtomicBool::new(false));
        let call = Call {
            inner: self.inner.clone(),
            native: self.inner.native.client(),
            timeout: self.timeout,
            partly: partly.clone(),
        };
        let (answer, answered) = oneshot::channel();
        // Not one of tokio's threads: a runtime that shuts down would wait for a call that nobody waits for.
        let thread = thread::Builder::new().name("cluster-admin".to_owned()).spawn(move || {
            let _ = answer.send(work(&call));
        });
        let outcome = match thread {
            Ok(_) => self.wait(answered, started).await,
            Err(error) => Err(no_thread(&error)),
        };
        match outcome {
            Ok(value) => {
                self.inner.context.clear();
                (Ok(value), !partly.load(Relaxed))
            }
            Err(error) => {
                let whole = !is_unanswered(error.code);
                (Err(self.error_after(doing, error, started.elapsed())), whole)
            }
        }
    }

    async fn wait<T>(
        &self,
        mut answered: oneshot::Receiver<Result<T, AdminError>>,
        started: Instant,
    ) -> Result<T, AdminError> {
        loop {
            if let Ok(answer) = tokio::time::timeout(LOOK, &mut answered).await {
                return answer.unwrap_or_else(|_| {
                    Err(AdminError { code: RDKafkaErrorCode::Fail, reason: "the call panicked".to_owned() })
                });
            }
            if let Some(error) = self.inner.context.last_error()
                && error.is_authentication()
                && error.at.elapsed() < MEMORY
                && started.max(error.at).elapsed() >= PATIENCE
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

// === impl Call ===

/// What the shortest answer of a broker tells.
pub(crate) struct Brokers {
    ids: Vec<i32>,
    answered: i32,
}

impl Call {
    /// Notes that a part of the answer is missing.
    pub fn note_silence(&self) {
        self.partly.store(true, Relaxed);
    }

    pub fn admin(&self) -> Admin<'_> {
        Admin::new(self.native.client(), self.timeout)
    }

    /// Asks any broker that is up for as little as can be asked for.
    pub fn look(&self) -> Result<Brokers, AdminError> {
        let metadata = self.native.client().fetch_metadata(Some(SMALL_TOPIC), self.timeout);
        let metadata = metadata.map_err(|error| from_kafka(&error))?;
        let mut ids: Vec<i32> = metadata.brokers().iter().map(|broker| broker.id()).collect();
        ids.sort_unstable();
        let answered = match metadata.orig_broker_id() {
            // A bootstrap server, whose id librdkafka does not know yet: its name is `host:port/bootstrap`.
            id if id < 0 => {
                let name = metadata.orig_broker_name();
                let is_it = |b: &&MetadataBroker| name.contains(&format!("{}:{}/", b.host(), b.port()));
                let known = metadata.brokers().iter().find(is_it).map(MetadataBroker::id);
                known
                    .or(ids.first().copied())
                    .ok_or_else(|| AdminError::new(RDKafkaErrorCode::BrokerNotAvailable))?
            }
            id => id,
        };
        Ok(Brokers { ids, answered })
    }
}

impl Deref for Call {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.inner
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cluster {}", self.inner.side, self.inner.name)
    }
}
