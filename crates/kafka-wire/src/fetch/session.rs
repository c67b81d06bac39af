//! Fetch sessions (KIP-227): a broker remembers what it was asked, and is told, and tells, what is new only.

mod state;

use kafka_protocol::messages::FetchRequest;

use self::state::{State, Taken};
use super::{FULL, FetchAnswer, FetchFrom, FetchOptions, Fetched, LAST, NO_SESSION, request::Request};
use crate::{Client, Code, Connection, Error, Response};

/// Partitions that are read from one broker, over one connection, one request at a time.
///
/// ```text
/// set(…)  set(…)  fetch().await ─▶ what is new ─▶ set(what comes next)  send() ─▶ work with the records ─▶ fetch().await
/// ```
///
/// A request names only the partitions that were set or removed since the last one, and its answer only
/// those that have something new: an idle one costs nothing. Where the broker has no room for a session
/// (`max.incremental.fetch.session.cache.slots`) or knows none (before 1.1), each request lists all.
///
/// A partition stays as it is set. It has to be set to the offset behind its records, or comes again; and
/// one with an error is to be removed or set otherwise, or the broker answers at once for it, every time.
pub struct FetchSession {
    client: Client,
    connection: Connection,
    rack: String,
    state: State,
    in_flight: Option<Response<FetchAnswer>>,
}

impl FetchSession {
    /// A session that begins with the first request. What answers say of leaders, brokers (KIP-951) and
    /// nearer replicas (KIP-392) is noted in `client`. `rack` is where this client is; may be empty.
    pub fn new(client: &Client, connection: Connection, rack: &str) -> Self {
        Self {
            client: client.clone(),
            connection,
            rack: rack.to_owned(),
            state: State::default(),
            in_flight: None,
        }
    }

    /// The connection that it is over.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Goes on with the same partitions over another connection: of the same broker, say, where the old one
    /// has ended. An answer that was awaited is not any more.
    pub fn move_to(&mut self, connection: Connection) {
        self.in_flight = None;
        let is_same = connection.address() == self.connection.address();
        self.state.begin_anew(is_same);
        self.connection = connection;
    }

    /// Reads a partition, or reads it otherwise, from the next request on. What an answer on its way says
    /// of it is given with the offset that was asked for; not given at all if the topic's id is another.
    pub fn set(&mut self, from: FetchFrom) {
        self.state.set(from);
    }

    /// Reads it no more. Whether it was read. What an answer on its way says of it is dropped.
    pub fn remove(&mut self, topic: &str, partition: i32) -> bool {
        self.state.remove(topic, partition)
    }

    /// What is set for a partition.
    pub fn get(&self, topic: &str, partition: i32) -> Option<&FetchFrom> {
        self.state.get(topic, partition)
    }

    /// How many partitions are read.
    pub fn len(&self) -> usize {
        self.state.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the broker has a session with us, as far as is known.
    pub fn is_established(&self) -> bool {
        self.state.is_established()
    }

    /// Puts the next request in the connection's queue, unless one is on its way: a session takes one at a
    /// time.
    pub fn send(&mut self, options: &FetchOptions) {
        if self.in_flight.is_some() {
            return;
        }
        let by_ids = self.connection.knows_ids() && self.state.all_have_ids();
        let next = self.state.next(by_ids);
        let request = Request {
            options,
            rack: &self.rack,
            session: next.session,
            from: &next.from,
            forgotten: &next.forgotten,
        };
        self.in_flight = Some(self.connection.send_fetch(&request, by_ids));
    }

    /// Waits for the answer to the request on its way, or sends one first. It gives the partitions that
    /// have something new: records, offsets, an error; maybe none. May be cancelled without loss: the
    /// next call waits for the same answer.
    ///
    /// Where the broker does not know the session, or not as we do, the session begins anew, once; an error
    /// that remains, and every other, is of no partition alone. After any error the next request lists all.
    pub async fn fetch(&mut self, options: &FetchOptions) -> Result<Vec<Fetched>, Error> {
        let mut again = false;
        loop {
            self.send(options);
            let Some(response) = &mut self.in_flight else { continue };
            let answer = response.await;
            self.in_flight = None;
            let mut answer = match answer {
                Ok(answer) => answer,
                Err(error) => {
                    self.state.begin_anew(true);
                    return Err(error);
                }
            };
            let brokers = std::mem::take(&mut answer.endpoints);
            match self.state.take(answer) {
                Taken::Fetched(fetched) => {
                    self.client.learn_from_fetch(brokers, &fetched);
                    return Ok(fetched);
                }
                Taken::Failed(code) => {
                    let is_ours = matches!(
                        code,
                        Code::FetchSessionIdNotFound
                            | Code::InvalidFetchSessionEpoch
                            | Code::FetchSessionTopicIdError
                    );
                    if !is_ours || std::mem::replace(&mut again, true) {
                        return Err(Error::answered(self.connection.address(), "Fetch", code));
                    }
                    tracing::debug!(broker = %self.connection.address(), "the fetch session begins anew: {code}");
                }
                Taken::Senseless(what) => {
                    return Err(Error::senseless(self.connection.address(), "Fetch", what));
                }
            }
        }
    }

    /// Ends it, so that the broker has room for another's; nobody waits for the answer.
    pub fn close(self) {
        let Some(id) = self.state.id() else { return };
        if self.connection.version_of::<FetchRequest>(super::VERSION).is_err() {
            return;
        }
        let options = FetchOptions { max_wait: std::time::Duration::ZERO, ..FetchOptions::default() };
        let request = Request { options: &options, rack: "", session: (id, LAST), from: &[], forgotten: &[] };
        drop(self.connection.send_fetch(&request, self.state.by_ids()));
    }
}
