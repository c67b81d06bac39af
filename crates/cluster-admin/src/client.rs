//! The client of one cluster: made once, shared by clones, waited for off the runtime.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    thread,
    time::{Duration, Instant},
};

use kafka_rd::{Admin, AdminError, LogContext, Properties};
use mirror_types::Side;
use rdkafka::{
    ClientConfig,
    config::{FromClientConfigAndContext, RDKafkaLogLevel},
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    metadata::MetadataBroker,
    types::RDKafkaErrorCode,
};
use tokio::sync::oneshot;

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
        let groups = Groups::default();
        Ok(Self { inner: Arc::new(Inner { side, name, timeout, context, config, native, groups }) })
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
        self.blocking("get the cluster id", |inner| {
            inner.look()?;
            // It came with the metadata.
            Ok(inner.native.client().fetch_cluster_id(Duration::ZERO))
        })
        .await
    }

    /// The ids of the brokers that are up, ascending.
    pub async fn broker_ids(&self) -> Result<Vec<i32>, Error> {
        self.blocking("list brokers", |inner| Ok(inner.look()?.ids)).await
    }

    /// Runs an admin call that only reads, at a broker that is known to answer: by default librdkafka asks
    /// the controller, which may be on its way to another broker (and which the mock has none of).
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        doing: &str,
        call: impl FnOnce(Admin<'_>, i32) -> Result<T, AdminError> + Send + 'static,
    ) -> Result<T, Error> {
        self.blocking(doing, |inner| {
            let broker = inner.look()?.answered;
            call(inner.admin().at(broker), broker)
        })
        .await
    }

    /// Runs an admin call that the controller must do.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        doing: &str,
        call: impl FnOnce(Admin<'_>) -> Result<T, AdminError> + Send + 'static,
    ) -> Result<T, Error> {
        self.blocking(doing, |inner| {
            let brokers = inner.look()?.ids;
            let admin = inner.admin();
            match admin.known_controller() {
                // librdkafka would wait for it until the timeout.
                Some(controller) if !brokers.contains(&controller) => Err(AdminError {
                    code: RDKafkaErrorCode::NotController,
                    reason: format!("the controller ({controller}) is none of the brokers ({brokers:?})"),
                }),
                _ => call(admin),
            }
        })
        .await
    }

    /// Runs `call`, which may block, and gives up early where the brokers refuse the credentials.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        doing: &str,
        call: impl FnOnce(&Inner) -> Result<T, AdminError> + Send + 'static,
    ) -> Result<T, Error> {
        self.run(doing, false, call).await
    }

    /// The same, giving up early also where the cluster refuses the group.
    pub(crate) async fn blocking_of_group<T: Send + 'static>(
        &self,
        doing: &str,
        call: impl FnOnce(&Inner) -> Result<T, AdminError> + Send + 'static,
    ) -> Result<T, Error> {
        let answer = self.run(doing, true, call).await;
        if answer.is_ok() {
            self.inner.context.set_group_refused(false);
        }
        answer
    }

    async fn run<T: Send + 'static>(
        &self,
        doing: &str,
        of_group: bool,
        call: impl FnOnce(&Inner) -> Result<T, AdminError> + Send + 'static,
    ) -> Result<T, Error> {
        let started = Instant::now();
        let inner = self.inner.clone();
        let (answer, answered) = oneshot::channel();
        // Not one of tokio's threads: a runtime that shuts down would wait for a call that nobody waits for.
        let thread = thread::Builder::new().name("cluster-admin".to_owned()).spawn(move || {
            let _ = answer.send(call(&inner));
        });
        let outcome = match thread {
            Ok(_) => self.wait(answered, started, of_group).await,
            Err(error) => Err(no_thread(&error)),
        };
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
        mut answered: oneshot::Receiver<Result<T, AdminError>>,
        started: Instant,
        of_group: bool,
    ) -> Result<T, AdminError> {
        loop {
            if let Ok(answer) = tokio::time::timeout(LOOK, &mut answered).await {
                return answer.unwrap_or_else(|_| {
                    Err(AdminError { code: RDKafkaErrorCode::Fail, reason: "the call panicked".to_owned() })
                });
            }
            if of_group && self.inner.context.is_group_refused() && started.elapsed() >= PATIENCE {
                return Err(AdminError::new(RDKafkaErrorCode::GroupAuthorizationFailed));
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

// === impl Inner ===

/// What the shortest answer of a broker tells.
pub(crate) struct Brokers {
    ids: Vec<i32>,
    answered: i32,
}

impl Inner {
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
    let thread = thread::Builder::new().name("rdkafka-admin".to_owned()).spawn(move || serve(&weak));
    thread.map_err(|error| no_thread(&error))?;
    Ok(native)
}

/// Serves a client's events until nobody else holds it; so it is here, too, that it is closed, which may
/// take a moment that its last user need not wait for.
fn serve(client: &Weak<Native>) {
    while let Some(client) = client.upgrade() {
        // Most errors have reached the context by the time they come out of here, and there are no messages.
        // Only what a group's coordinator refuses comes out of here alone.
        if let Some(Err(KafkaError::MessageConsumption(RDKafkaErrorCode::GroupAuthorizationFailed))) =
            client.poll(SERVE)
        {
            client.context().set_group_refused(true);
        }
    }
}

fn no_thread(error: &std::io::Error) -> AdminError {
    AdminError { code: RDKafkaErrorCode::CriticalSystemResource, reason: format!("start a thread: {error}") }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
