//! A librdkafka client of one cluster, and another in its place when it has stopped answering.
//!
//! A broker that hangs for about as long as librdkafka waits can leave a client behind that says "all brokers are
//! down" for good, while everybody else gets through. So a client that was not answered several times in a row is
//! replaced. Where it is the cluster that does not answer, that changes nothing.

use std::{
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    thread,
    time::{Duration, Instant},
};

use kafka_rd::{AdminError, LogContext};
use rdkafka::{
    ClientConfig, config::FromClientConfigAndContext, consumer::BaseConsumer, types::RDKafkaErrorCode,
};
use tracing::{debug, warn};

use crate::error::from_kafka;

/// How long one look at a client's events takes at most: librdkafka reports errors only to who looks.
const SERVE: Duration = Duration::from_millis(250);
/// So many requests in a row without an answer, or silence for so long, and the client is replaced.
const UNANSWERED: u32 = 3;
const SILENCE: Duration = Duration::from_secs(15);
/// A client is given this long before it is replaced in its turn.
const LEAST_AGE: Duration = Duration::from_secs(10);
/// Clients that may be alive at once, those counted that are still being closed: closing a stuck one can take long.
const MOST_ALIVE: usize = 8;

/// One librdkafka client; closed when its last user lets go of it.
pub(crate) struct Client {
    native: BaseConsumer<LogContext>,
    /// Dropped behind the client, which may take its time to close.
    _alive: Arc<()>,
}

/// The place of a client: who wants it takes it from here for one call.
pub(crate) struct Slot {
    config: ClientConfig,
    context: LogContext,
    state: Mutex<State>,
}

struct State {
    client: Arc<Client>,
    made: Instant,
    /// When the first of the requests in a row that were not answered was made.
    silent_since: Option<Instant>,
    unanswered: u32,
    alive: Arc<()>,
}

// === impl Slot ===

impl Slot {
    pub fn new(config: ClientConfig, context: LogContext) -> Result<Arc<Self>, AdminError> {
        let alive = Arc::new(());
        let client = Client::start(&config, &context, alive.clone())?;
        let state = State { client, made: Instant::now(), silent_since: None, unanswered: 0, alive };
        Ok(Arc::new(Self { config, context, state: Mutex::new(state) }))
    }

    pub fn client(&self) -> Arc<Client> {
        lock(&self.state).client.clone()
    }

    /// Notes what became of a request that was made at `asked`.
    pub fn note(self: &Arc<Self>, asked: Instant, answered: bool) {
        let mut state = lock(&self.state);
        if asked < state.made {
            // Its client has been replaced already.
            return;
        }
        if answered {
            (state.silent_since, state.unanswered) = (None, 0);
            return;
        }
        state.unanswered += 1;
        let since = *state.silent_since.get_or_insert(asked);
        let stuck = state.unanswered >= UNANSWERED || since.elapsed() > SILENCE;
        let alive = Arc::strong_count(&state.alive) - 1;
        if stuck && state.made.elapsed() >= LEAST_AGE && alive < MOST_ALIVE {
            (state.made, state.silent_since, state.unanswered) = (Instant::now(), None, 0);
            drop(state);
            self.replace();
        }
    }

    /// Puts a new client in the place of the old one, on a thread: nobody waits for the old one to close.
    fn replace(self: &Arc<Self>) {
        let slot = self.clone();
        let replace = move || {
            let alive = lock(&slot.state).alive.clone();
            match Client::start(&slot.config, &slot.context, alive) {
                Ok(client) => {
                    let old = std::mem::replace(&mut lock(&slot.state).client, client);
                    debug!("a client that was not answered is replaced");
                    drop(old);
                }
                Err(error) => warn!("a client that was not answered can't be replaced: {}", error.reason),
            }
        };
        if let Err(error) = thread::Builder::new().name("rdkafka-renew".to_owned()).spawn(replace) {
            warn!("a client that was not answered can't be replaced: start a thread: {error}");
        }
    }
}

// === impl Client ===

impl Client {
    /// Makes a client, and has its logs and errors looked at for as long as anyone holds it.
    fn start(config: &ClientConfig, context: &LogContext, alive: Arc<()>) -> Result<Arc<Self>, AdminError> {
        let native = BaseConsumer::from_config_and_context(config, context.clone());
        let native = native.map_err(|error| from_kafka(&error))?;
        let client = Arc::new(Self { native, _alive: alive });
        let weak = Arc::downgrade(&client);
        let thread = thread::Builder::new().name("rdkafka-admin".to_owned()).spawn(move || serve(&weak));
        thread.map_err(|error| no_thread(&error))?;
        Ok(client)
    }
}

impl Deref for Client {
    type Target = BaseConsumer<LogContext>;

    fn deref(&self) -> &Self::Target {
        &self.native
    }
}

/// Serves a client's events until nobody else holds it; so it is here, too, that it is closed, which may
/// take a moment that its last user need not wait for.
fn serve(client: &Weak<Client>) {
    while let Some(client) = client.upgrade() {
        // Errors have reached the context by the time they come out of here, and there are no messages.
        let _ = client.poll(SERVE);
    }
}

pub(crate) fn no_thread(error: &std::io::Error) -> AdminError {
    AdminError { code: RDKafkaErrorCode::CriticalSystemResource, reason: format!("start a thread: {error}") }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
