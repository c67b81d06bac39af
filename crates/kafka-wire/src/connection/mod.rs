//! One connection to one broker: many requests on their way at once, answered in order.
//!
//! ```text
//!  Connection::send ──▶ queue ──▶ write loop ──▶ socket ──▶ broker
//!        │                          │ notes the request as owed, before its first byte
//!        ▼                          ▼
//!    Response ◀── oneshot ◀──── read loop ◀──── socket ◀── broker
//! ```
//!
//! - What is sent first goes on the wire first; `send` takes its place in the queue before it returns.
//! - A request that is not answered in time ends the connection: the order of all later ones is lost.
//! - When a connection ends, what was not yet begun to be written is [`Sent::NotSent`], and what was is
//!   [`Sent::MaybeSent`]. The socket is reset, so that the system does not deliver the rest of it later.
//!
//! [`Sent::NotSent`]: crate::Sent::NotSent
//! [`Sent::MaybeSent`]: crate::Sent::MaybeSent

mod answer;
mod auth;
mod dial;
mod frame;
mod queue;
mod task;
mod versions;

use std::{
    fmt,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use kafka_protocol::protocol::Request;

use self::queue::Queue;
pub use self::{
    answer::Answer,
    queue::{RawResponse, Response},
    versions::Versions,
};
use crate::{Error, Settings};

/// A connection. Clones share it; it is closed when the last of them is gone and every answer has come.
#[derive(Clone)]
pub struct Connection {
    queue: Queue,
    versions: Arc<Versions>,
}

impl Connection {
    /// Connects, agrees on versions and is let in. Errors are all [`Sent::NotSent`](crate::Sent::NotSent).
    pub async fn open(settings: &Settings, host: &str, port: u16) -> Result<Self, Error> {
        let (queue, versions) = dial::open(settings, host, port).await?;
        Ok(Self { queue, versions: Arc::new(versions) })
    }

    /// The broker's address, `host:port`.
    pub fn address(&self) -> &Arc<str> {
        &self.queue.shared.address
    }

    /// What the broker can do.
    pub fn versions(&self) -> &Versions {
        &self.versions
    }

    /// Whether it has ended; a connection that has not may end at any moment.
    pub fn is_closed(&self) -> bool {
        self.queue.shared.is_closed()
    }

    /// Waits until it ends.
    pub async fn closed(&self) {
        self.queue.shared.closed().await;
    }

    /// Ends it now, whatever is on its way.
    pub fn close(&self) {
        self.queue.shared.close();
    }

    /// How many requests have been written, at least in part, and not been answered.
    pub fn in_flight(&self) -> usize {
        self.queue.shared.in_flight()
    }

    /// How many bytes of requests are queued or being written: those that the broker's side of the
    /// connection has not taken yet.
    pub fn unwritten(&self) -> usize {
        self.queue.shared.unwritten.load(Relaxed)
    }

    /// The shortest time in which one of the last answers began to arrive: the way there and back, once a few have
    /// come; zero before the first.
    pub fn round_trip(&self) -> Duration {
        self.queue.shared.round_trip()
    }

    /// Bytes of large answers that are kept in memory by whoever holds a slice of one: all of it, for a few bytes.
    pub fn held(&self) -> usize {
        self.queue.shared.frames.held()
    }

    /// Until when the broker wants no request of us (KIP-219); requests sent sooner wait in the queue.
    pub fn throttled(&self) -> Duration {
        self.queue.shared.throttled()
    }

    /// The newest version of `R` that both sides know and that is not above `max`.
    pub fn version_of<R: Request>(&self, max: i16) -> Result<i16, Error> {
        self.versions.pick::<R>(max).map_err(|cause| Error::not_sent(self.address(), name(R::KEY), cause))
    }

    /// Sends a request in the newest version that is not above `max`. It is in the queue when this
    /// returns; the future may be awaited anywhere, or dropped. The settings' request timeout holds.
    pub fn send<R: Request>(&self, request: &R, max: i16) -> Response<R::Response>
    where
        R::Response: Answer,
    {
        self.send_within(request, max, Duration::ZERO)
    }

    /// The same where the broker may take its time with the answer: `extra` more than the settings'
    /// request timeout. (A fetch that waits for data, a member that waits for its group.)
    pub fn send_within<R: Request>(&self, request: &R, max: i16, extra: Duration) -> Response<R::Response>
    where
        R::Response: Answer,
    {
        let answer = self.version_of::<R>(max).map(|version| self.queue.send(request, version, extra));
        answer.unwrap_or_else(|error| self.queue.failed(error))
    }

    /// Sends a request whose body is encoded already, in chunks that are shared and not copied. `T` must
    /// be the answer to `version` of the request with this key.
    pub(crate) fn send_chunks<T: Answer>(
        &self,
        key: i16,
        version: i16,
        request_header_version: i16,
        body: Vec<Bytes>,
        extra: Duration,
    ) -> Response<T> {
        self.queue.send_chunks(key, version, request_header_version, body, extra)
    }

    /// The same for a request that no answer comes to.
    pub(crate) fn send_silent(&self, key: i16, version: i16, request_header_version: i16, body: Vec<Bytes>) {
        self.queue.send_silent(key, version, request_header_version, body);
    }

    pub(crate) fn failed<T>(&self, error: Error) -> Response<T> {
        self.queue.failed(error)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.is_closed() { "closed" } else { "open" };
        write!(f, "Connection({}, {state}, {} in flight)", self.address(), self.in_flight())
    }
}

/// A request's name by its key, for errors.
pub(crate) fn name(key: i16) -> Arc<str> {
    match kafka_protocol::messages::ApiKey::try_from(key) {
        Ok(key) => format!("{key:?}").into(),
        Err(()) => format!("request {key}").into(),
    }
}
