//! The way into a connection, and the futures that come out of it.

use std::{
    collections::VecDeque,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicUsize, Ordering::AcqRel},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::{
    messages::RequestHeader,
    protocol::{Encodable, Request, StrBytes},
};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::{Answer, frame::Store, name};
use crate::{Cause, Error, Sent, lock};

/// Where the correlation id is in a request: after the length, the key and the version.
const CORRELATION_AT: usize = 8;
/// Answers of which the soonest tells how far away the broker is.
const ROUND_TRIPS: usize = 32;

pub(super) type Reply = oneshot::Sender<Result<Bytes, Error>>;

/// A request in the queue.
pub(super) struct Outgoing {
    /// The frame: length, header (without its correlation id, see [`Outgoing::number`]) and body.
    head: BytesMut,
    body: Vec<Bytes>,
    pub length: usize,
    pub owed: Owed,
    /// The broker answers it with nothing.
    pub silent: bool,
}

/// An answer that a broker owes.
pub(super) struct Owed {
    pub key: i16,
    pub correlation: i32,
    /// When it was begun to be written.
    pub sent: Instant,
    /// How long the broker may be silent about it, beyond the request timeout.
    pub extra: Duration,
    pub reply: Reply,
}

impl Outgoing {
    /// Gives the request its number, and its bytes away.
    pub fn number(mut self, correlation: i32) -> (Owed, VecDeque<Bytes>) {
        self.head[CORRELATION_AT..CORRELATION_AT + 4].copy_from_slice(&correlation.to_be_bytes());
        (self.owed.correlation, self.owed.sent) = (correlation, Instant::now());
        let mut chunks = VecDeque::with_capacity(1 + self.body.len());
        chunks.push_back(self.head.freeze());
        chunks.extend(self.body);
        (self.owed, chunks)
    }
}

/// What the handles of a connection share with its task.
pub(super) struct Shared {
    pub address: Arc<str>,
    pub client_id: StrBytes,
    /// Requests that were begun to be written, oldest first.
    owed: Mutex<VecDeque<Owed>>,
    /// Bytes queued or being written.
    pub unwritten: AtomicUsize,
    /// The largest frame that is taken; small until the broker has let us in.
    pub max_frame: AtomicUsize,
    throttled_until: Mutex<Option<Instant>>,
    /// Since when the oldest request that is owed an answer waits for a byte of it.
    waiting_since: Mutex<Instant>,
    closed: watch::Sender<bool>,
    /// Why it ended, where there is more to say than that it has.
    end: Mutex<Option<Cause>>,
    /// The buffers of large answers.
    pub frames: Arc<Store>,
    /// How long the last answers took to begin.
    round_trips: Mutex<VecDeque<Duration>>,
    /// Nobody can send any more.
    pub finishing: AtomicBool,
    /// Wakes the read loop: there is something to wait for where there was nothing.
    pub awaited: Notify,
}

impl Shared {
    pub fn new(address: Arc<str>, client_id: &str, max_frame: usize) -> Arc<Self> {
        Arc::new(Self {
            frames: Arc::default(),
            round_trips: Mutex::default(),
            address,
            client_id: StrBytes::from_string(client_id.to_owned()),
            owed: Mutex::default(),
            unwritten: AtomicUsize::new(0),
            max_frame: AtomicUsize::new(max_frame),
            throttled_until: Mutex::default(),
            waiting_since: Mutex::new(Instant::now()),
            closed: watch::Sender::new(false),
            end: Mutex::default(),
            finishing: AtomicBool::new(false),
            awaited: Notify::new(),
        })
    }

    /// An answer began to arrive so long after its request.
    pub fn answered_after(&self, time: Duration) {
        let mut last = lock(&self.round_trips);
        if last.len() == ROUND_TRIPS {
            last.pop_front();
        }
        last.push_back(time);
    }

    /// The shortest of those times: the way to the broker and back, or a little more.
    pub fn round_trip(&self) -> Duration {
        lock(&self.round_trips).iter().min().copied().unwrap_or_default()
    }

    pub fn owed(&self) -> MutexGuard<'_, VecDeque<Owed>> {
        lock(&self.owed)
    }

    pub fn in_flight(&self) -> usize {
        self.owed().len()
    }

    pub fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    pub fn close(&self) {
        self.closed.send_replace(true);
    }

    /// The same, with a reason; the first one counts.
    pub fn end(&self, cause: Cause) {
        lock(&self.end).get_or_insert(cause);
        self.close();
    }

    pub async fn closed(&self) {
        let mut closed = self.closed.subscribe();
        // It can't fail: this holds the sender.
        let _ = closed.wait_for(|closed| *closed).await;
    }

    /// Why it ended.
    pub fn cause(&self) -> Cause {
        lock(&self.end).clone().unwrap_or_else(|| Cause::Disconnected("the connection was closed".into()))
    }

    pub fn throttled(&self) -> Duration {
        let until = *lock(&self.throttled_until);
        until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()))
    }

    pub fn waiting_since(&self) -> Instant {
        let since = *lock(&self.waiting_since);
        // While the broker wants no requests, it does not read those that it has either.
        lock(&self.throttled_until).map_or(since, |until| since.max(until))
    }

    pub fn wait_anew(&self) {
        *lock(&self.waiting_since) = Instant::now();
    }

    fn throttle(&self, for_: Duration) {
        if !for_.is_zero() {
            let mut until = lock(&self.throttled_until);
            *until = (*until).max(Instant::now().checked_add(for_));
        }
    }

    fn error(&self, key: i16, sent: Sent, cause: Cause) -> Error {
        Error { broker: self.address.clone(), doing: name(key), sent, cause }
    }

    /// The error of a request that was not begun to be written when the connection ended.
    pub fn not_sent(&self, key: i16) -> Error {
        self.error(key, Sent::NotSent, self.cause())
    }

    /// The error of a request that was.
    pub fn maybe_sent(&self, key: i16) -> Error {
        self.error(key, Sent::MaybeSent, self.cause())
    }
}

/// A place to put requests; clones are the same place.
#[derive(Clone)]
pub(super) struct Queue {
    pub requests: mpsc::UnboundedSender<Outgoing>,
    pub shared: Arc<Shared>,
}

impl Queue {
    pub fn send<R: Request>(&self, request: &R, version: i16, extra: Duration) -> Response<R::Response>
    where
        R::Response: Answer,
    {
        Response::new(self.send_raw(request, version, extra), version)
    }

    /// The same for who decodes the answer.
    pub fn send_raw<R: Request>(&self, request: &R, version: i16, extra: Duration) -> RawResponse {
        let head = self.head(R::KEY, version, R::header_version(version));
        let encoded = head.and_then(|mut head| {
            request.encode(&mut head, version).map_err(|reason| reason.to_string()).map(|()| head)
        });
        self.put(R::KEY, encoded, Vec::new(), extra, false)
    }

    pub fn send_chunks<T: Answer>(
        &self,
        key: i16,
        version: i16,
        header_version: i16,
        body: Vec<Bytes>,
        extra: Duration,
    ) -> Response<T> {
        let head = self.head(key, version, header_version);
        Response::new(self.put(key, head, body, extra, false), version)
    }

    /// The same for a request that no answer comes to.
    pub fn send_silent(&self, key: i16, version: i16, header_version: i16, body: Vec<Bytes>) {
        let head = self.head(key, version, header_version);
        drop(self.put(key, head, body, Duration::ZERO, true));
    }

    fn head(&self, key: i16, version: i16, header_version: i16) -> Result<BytesMut, String> {
        let mut head = BytesMut::with_capacity(256);
        head.put_u32(0);
        let header = RequestHeader::default()
            .with_request_api_key(key)
            .with_request_api_version(version)
            .with_client_id(Some(self.shared.client_id.clone()));
        header.encode(&mut head, header_version).map_err(|reason| reason.to_string()).map(|()| head)
    }

    fn put(
        &self,
        key: i16,
        head: Result<BytesMut, String>,
        body: Vec<Bytes>,
        extra: Duration,
        silent: bool,
    ) -> RawResponse {
        let (reply, answer) = oneshot::channel();
        let raw = RawResponse { answer, key, shared: self.shared.clone() };
        let mut head = match head {
            Ok(head) => head,
            Err(reason) => {
                let cause = Cause::Invalid(format!("can't be encoded: {reason}").into());
                let _ = reply.send(Err(self.shared.error(key, Sent::NotSent, cause)));
                return raw;
            }
        };
        let length = head.len() + body.iter().map(Bytes::len).sum::<usize>();
        let Ok(framed) = i32::try_from(length - 4) else {
            let cause = Cause::Invalid("larger than a frame can be (2 GiB)".into());
            let _ = reply.send(Err(self.shared.error(key, Sent::NotSent, cause)));
            return raw;
        };
        head[..4].copy_from_slice(&framed.to_be_bytes());
        let owed = Owed { key, correlation: 0, sent: Instant::now(), extra, reply };
        self.shared.unwritten.fetch_add(length, AcqRel);
        if let Err(refused) = self.requests.send(Outgoing { head, body, length, owed, silent }) {
            self.shared.unwritten.fetch_sub(length, AcqRel);
            let _ = refused.0.owed.reply.send(Err(self.shared.not_sent(key)));
        }
        raw
    }

    /// An answer that is an error already.
    pub fn failed<T>(&self, error: Error) -> Response<T> {
        let (reply, answer) = oneshot::channel();
        let _ = reply.send(Err(error));
        let raw = RawResponse { answer, key: -1, shared: self.shared.clone() };
        Response { raw, version: 0, answer: PhantomData }
    }
}

/// The bytes of an answer to come, after the length.
pub struct RawResponse {
    answer: oneshot::Receiver<Result<Bytes, Error>>,
    key: i16,
    shared: Arc<Shared>,
}

impl Future for RawResponse {
    type Output = Result<Bytes, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.answer).poll(cx));
        // A task that ends without a word (a runtime that shuts down) has told nobody how far it came.
        Poll::Ready(answer.unwrap_or_else(|_| Err(self.shared.maybe_sent(self.key))))
    }
}

/// An answer to come. Dropping it disturbs nobody: the request is sent all the same.
pub struct Response<T> {
    raw: RawResponse,
    version: i16,
    answer: PhantomData<fn() -> T>,
}

impl<T> Response<T> {
    fn new(raw: RawResponse, version: i16) -> Self {
        Self { raw, version, answer: PhantomData }
    }

    /// The version that the request was sent in.
    pub fn version(&self) -> i16 {
        self.version
    }
}

impl<T: Answer> Future for Response<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let bytes = ready!(Pin::new(&mut self.raw).poll(cx))?;
        let shared = &self.raw.shared;
        let answer = T::read(bytes, self.version).map_err(|reason| {
            let cause = Cause::Protocol(format!("the answer can't be read: {reason}").into());
            shared.error(self.raw.key, Sent::MaybeSent, cause)
        })?;
        shared.throttle(answer.throttle());
        Poll::Ready(Ok(answer))
    }
}
