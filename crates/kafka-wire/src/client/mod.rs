//! A cluster: its brokers, who leads which partition, who coordinates what, and connections to them.
//!
//! What is asked of it goes out once: [`Client::call`] does not repeat a request. The helpers for requests
//! that may be repeated (they read, or do the same thing twice as once) repeat them within
//! [`Client::patience`], and say so.

mod attempts;
mod call;
mod coordinators;
mod last_attempt;
mod leaders;
mod metadata;
mod pool;

use std::{fmt, sync::Arc, time::Duration};

use tokio::task::JoinError;

pub(crate) use self::attempts::repeat;
pub use self::{
    attempts::Attempts,
    call::To,
    coordinators::Coordinator,
    metadata::{Broker, Leader, Partition, Topic},
};
use self::{coordinators::Coordinators, leaders::Nearer, metadata::Cache, pool::Pool};
use crate::{Error, Settings};

/// How long helpers go on trying unless told otherwise.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a connection is for. Each broker gets one connection for each purpose, so that what waits for one
/// thing (a fetch, a group) does not hold up another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Purpose {
    name: &'static str,
    number: u32,
}

impl Purpose {
    /// Short questions and orders.
    pub const ADMIN: Self = Self::new("admin");

    /// A purpose of this name.
    pub const fn new(name: &'static str) -> Self {
        Self::numbered(name, 0)
    }

    /// One of several of this name.
    pub const fn numbered(name: &'static str, number: u32) -> Self {
        Self { name, number }
    }
}

/// The client of one cluster. Clones share connections and what is known of the cluster.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
    purpose: Purpose,
    patience: Duration,
}

struct Inner {
    settings: Settings,
    cache: Cache,
    coordinators: Coordinators,
    nearer: Nearer,
    pool: Pool,
}

impl Client {
    /// A client; nothing is connected or asked yet.
    pub fn new(settings: Settings) -> Self {
        let inner = Inner {
            cache: Cache::default(),
            coordinators: Coordinators::default(),
            nearer: Nearer::default(),
            pool: Pool::default(),
            settings,
        };
        Self { inner: Arc::new(inner), purpose: Purpose::ADMIN, patience: PATIENCE }
    }

    /// The same client, over connections of their own.
    #[must_use]
    pub fn for_purpose(&self, purpose: Purpose) -> Self {
        Self { purpose, ..self.clone() }
    }

    /// The same client, whose helpers go on trying for so long.
    #[must_use]
    pub fn with_patience(&self, patience: Duration) -> Self {
        Self { patience, ..self.clone() }
    }

    /// How long its helpers go on trying. One may take longer by what its last request takes.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// Its settings.
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// The state of a series of attempts that starts now; see [`Attempts::again`].
    pub fn attempts(&self) -> Attempts {
        Attempts::new(self.clone())
    }

    /// Fails where the cluster can't be reached or does not let us in.
    pub async fn check(&self) -> Result<(), Error> {
        self.refresh_brokers().await
    }
}

/// Does in a task of its own what others may have to wait for: whoever asked for it may be polled no more for a while (a
/// branch of a `select!`, while another one runs), and must not hold up who is.
async fn by_itself<T: Send + 'static>(
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    match tokio::spawn(work).await.map_err(JoinError::try_into_panic) {
        Ok(outcome) => outcome,
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        // The runtime shuts down.
        Err(Err(_)) => std::future::pending().await,
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({:?}, {:?})", self.inner.settings, self.purpose)
    }
}
