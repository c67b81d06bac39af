//! What a connection does, in one task: write requests, read answers, see that both go on.

use std::{
    future::{Future, pending},
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::Ordering::{AcqRel, Relaxed},
    },
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes};
use futures::FutureExt;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    sync::mpsc::UnboundedReceiver,
    time::{sleep, sleep_until, timeout},
};

use super::{
    frame::{Chunks, Frames, TooLong},
    queue::{Outgoing, Shared},
};
use crate::{Cause, Error};

/// How long the read loop sleeps where there is nothing to wait for.
const LONG: Duration = Duration::from_secs(24 * 60 * 60);
/// How many answers the shortest way to be let in has.
const SETUP_ANSWERS: usize = 2;
/// What of a session's lifetime (KIP-368) passes before it is renewed.
const RENEW_AFTER: f64 = 0.85;

/// Agrees on versions, or shows the credentials; gives the lifetime of the session, if it has one.
pub(super) type Setup = Pin<Box<dyn Future<Output = Result<Option<Duration>, Error>> + Send>>;

pub(super) struct Task {
    pub shared: Arc<Shared>,
    pub requests: UnboundedReceiver<Outgoing>,
    /// Requests of a setup, which go before all others.
    pub urgent: UnboundedReceiver<Outgoing>,
    pub request_timeout: Duration,
    pub max_idle: Option<Duration>,
    /// The setup to do first. Other requests wait until it is done.
    pub setup: Setup,
    /// The setup that renews the session.
    pub renew: Box<dyn Fn() -> Setup + Send>,
}

impl Task {
    /// Runs until the connection ends, and says so to whoever waits for an answer.
    pub async fn run(self, mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
        let Self { shared, mut requests, mut urgent, request_timeout, max_idle, setup, renew } = self;
        let (mut held, mut setup) = (None, Some(setup));
        let (closing, closed) = (shared.clone(), shared.clone());
        let writing = Writing { shared: &shared, to: &mut to, patience: request_timeout, correlation: 0 };
        let cause = tokio::select! {
            cause = read(&shared, &mut from, request_timeout, max_idle) => cause,
            cause = writing.run(&mut requests, &mut urgent, &mut held, &mut setup, renew) => Some(cause),
            () = closed.closed() => None,
        };
        // A broker that refuses us says why and hangs up: what it has said counts, if it has come.
        let refusal = setup.take().and_then(FutureExt::now_or_never).and_then(Result::err);
        match refusal.map(|error| error.cause).or(cause) {
            Some(cause) => {
                tracing::debug!(broker = %shared.address, in_flight = shared.in_flight(), "connection ended: {cause}");
                shared.end(cause);
            }
            None => closing.close(),
        }
        if shared.in_flight() == 0 {
            // Says goodbye where TLS wants it; with answers owed there is nothing to be polite about.
            let _ = timeout(Duration::from_millis(100), to.shutdown()).await;
        }
        drop((from, to));
        for owed in shared.owed().drain(..) {
            let _ = owed.reply.send(Err(shared.maybe_sent(owed.key)));
        }
        requests.close();
        urgent.close();
        let unbegun = held.into_iter().chain(std::iter::from_fn(|| requests.try_recv().ok()));
        for Outgoing { owed, length, .. } in unbegun.chain(std::iter::from_fn(|| urgent.try_recv().ok())) {
            shared.unwritten.fetch_sub(length, AcqRel);
            let _ = owed.reply.send(Err(shared.not_sent(owed.key)));
        }
    }
}

// === writing ===

struct Writing<'a, W> {
    shared: &'a Shared,
    to: &'a mut W,
    /// How long not a byte may go out.
    patience: Duration,
    correlation: i32,
}

impl<W: AsyncWrite + Unpin> Writing<'_, W> {
    async fn run(
        mut self,
        requests: &mut UnboundedReceiver<Outgoing>,
        urgent: &mut UnboundedReceiver<Outgoing>,
        held: &mut Option<Outgoing>,
        setup: &mut Option<Setup>,
        renew: Box<dyn Fn() -> Setup + Send>,
    ) -> Cause {
        let mut renew_at: Option<Instant> = None;
        loop {
            let throttled = self.shared.throttled();
            if setup.is_none()
                && throttled.is_zero()
                && let Some(request) = held.take()
            {
                match self.write(request).await {
                    Ok(()) => continue,
                    Err(cause) => return cause,
                }
            }
            tokio::select! {
                biased;
                Some(request) = urgent.recv() => {
                    if let Err(cause) = self.write(request).await {
                        return cause;
                    }
                }
                done = poll_setup(setup) => {
                    *setup = None;
                    match done {
                        Ok(lifetime) => {
                            renew_at = lifetime.map(|lifetime| Instant::now() + lifetime.mul_f64(RENEW_AFTER));
                        }
                        Err(error) => return error.cause,
                    }
                }
                () = until(renew_at) => {
                    renew_at = None;
                    *setup = Some(renew());
                }
                () = sleep(throttled), if !throttled.is_zero() => {}
                request = requests.recv(), if held.is_none() && setup.is_none() => match request {
                    Some(request) => *held = Some(request),
                    None => {
                        self.shared.finishing.store(true, Relaxed);
                        self.shared.awaited.notify_one();
                        // The read loop ends it when the last answer has come.
                        return pending().await;
                    }
                },
            }
        }
    }

    async fn write(&mut self, request: Outgoing) -> Result<(), Cause> {
        self.correlation = self.correlation.wrapping_add(1);
        let (mut left, silent) = (request.length, request.silent);
        let (owed, chunks) = request.number(self.correlation);
        let is_head = !silent && {
            let mut all = self.shared.owed();
            all.push_back(owed);
            all.len() == 1
        };
        if is_head {
            self.shared.wait_anew();
            self.shared.awaited.notify_one();
        }
        let mut chunks = Chunks(chunks);
        while chunks.has_remaining() {
            let written = timeout(self.patience, self.to.write_buf(&mut chunks)).await;
            match written {
                Ok(Ok(0)) => return Err(Cause::Disconnected("the connection takes no bytes".into())),
                Ok(Ok(written)) => {
                    left -= written;
                    self.shared.unwritten.fetch_sub(written, AcqRel);
                    if self.shared.in_flight() == 1 {
                        // Nothing can be answered before it is written; a slow way there is no silence.
                        self.shared.wait_anew();
                    }
                }
                Ok(Err(error)) => return Err(io_cause(&error)),
                Err(_) => return Err(Cause::Silence(self.patience)),
            }
        }
        debug_assert_eq!(left, 0, "all of it was counted");
        match timeout(self.patience, self.to.flush()).await {
            Ok(flushed) => flushed.map_err(|error| io_cause(&error)),
            Err(_) => Err(Cause::Silence(self.patience)),
        }
    }
}

async fn poll_setup(setup: &mut Option<Setup>) -> Result<Option<Duration>, Error> {
    match setup {
        Some(setup) => setup.as_mut().await,
        None => pending().await,
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at.into()).await,
        None => pending().await,
    }
}

// === reading ===

/// Reads answers until the connection ends; `None` is an end that nobody need know of.
async fn read(
    shared: &Shared,
    from: &mut (impl AsyncRead + Unpin),
    request_timeout: Duration,
    max_idle: Option<Duration>,
) -> Option<Cause> {
    // When the broker will have been silent for too long, or nobody have had a request; and for how long.
    let deadline = || -> (Instant, Option<Duration>) {
        let since = shared.waiting_since();
        match shared.owed().front() {
            Some(head) => {
                let patience = request_timeout + head.extra;
                (since + patience, Some(patience))
            }
            None => (since + max_idle.unwrap_or(LONG), None),
        }
    };
    let (mut frames, mut answers) = (Frames::new(shared.frames.clone()), 0usize);
    let mut begun = None;
    let timer = sleep_until(deadline().0.into());
    tokio::pin!(timer);
    loop {
        if shared.finishing.load(Relaxed) && shared.in_flight() == 0 {
            return None;
        }
        tokio::select! {
            biased;
            read = frames.read(from) => {
                match read {
                    Ok(0) => {
                        // It does so to who speaks another protocol, or does without SASL.
                        let hint = if answers > SETUP_ANSWERS { "" } else { "; is security.protocol right?" };
                        let text = format!("the broker closed the connection{hint}");
                        return Some(Cause::Disconnected(text.into()));
                    }
                    Ok(_) => {
                        begun.get_or_insert_with(Instant::now);
                        shared.wait_anew();
                    }
                    Err(error) => return Some(io_cause(&error)),
                }
                loop {
                    match frames.next(shared.max_frame.load(Relaxed)) {
                        Ok(Some(frame)) => {
                            answers += 1;
                            let arrived = begun.take().unwrap_or_else(Instant::now);
                            if let Err(cause) = answer(shared, frame, arrived) {
                                return Some(cause);
                            }
                        }
                        Ok(None) => {
                            if begun.is_none() && frames.is_begun() {
                                begun = Some(Instant::now());
                            }
                            break;
                        }
                        Err(TooLong { length }) => {
                            let text = format!("a frame of {length} bytes; is this a broker, and security.protocol right?");
                            return Some(Cause::Protocol(text.into()));
                        }
                    }
                }
            }
            () = shared.awaited.notified() => {}
            () = timer.as_mut() => {
                match deadline() {
                    (at, _) if at > Instant::now() => {}
                    (_, Some(patience)) => return Some(Cause::Silence(patience)),
                    (_, None) if max_idle.is_some() => return None,
                    (_, None) => shared.wait_anew(),
                }
                timer.as_mut().reset(deadline().0.into());
            }
        }
        // Later is soon enough when the timer fires; sooner has to be said.
        let (at, _) = deadline();
        if at < timer.deadline().into_std() {
            timer.as_mut().reset(at.into());
        }
    }
}

/// Gives an answer, which began to arrive then, to who asked first.
fn answer(shared: &Shared, frame: Bytes, begun: Instant) -> Result<(), Cause> {
    let number = frame.first_chunk::<4>().map(|bytes| i32::from_be_bytes(*bytes));
    let mut owed = shared.owed();
    match owed.pop_front() {
        Some(head) if number == Some(head.correlation) => {
            shared.answered_after(begun.saturating_duration_since(head.sent));
            // Whoever asked may have gone.
            let _ = head.reply.send(Ok(frame));
            Ok(())
        }
        head => {
            let expected = head.as_ref().map(|head| head.correlation);
            owed.extend(head);
            let text = format!("answer {number:?} came where {expected:?} is due");
            Err(Cause::Protocol(text.into()))
        }
    }
}

/// The cause of an error of the socket, or of the TLS on it.
pub(super) fn io_cause(error: &io::Error) -> Cause {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(error) => Cause::Tls(error.to_string().into()),
        None => Cause::Disconnected(error.to_string().into()),
    }
}
