//! The admin server's thread, its listener and its connections.
//!
//! Owns sockets and deadlines. Never computes an answer: that is `routes`.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use prometheus::Registry;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::{Error, StatusSource, routes};

/// More at once than Prometheus, probes and some browsers ever need; further ones wait to be accepted.
const CONNECTIONS: usize = 256;
/// A client that has not sent its request by then is gone, or means no good.
const HEADERS_WITHIN: Duration = Duration::from_secs(5);
/// A client that has not taken its answer by then.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// What open requests get at shutdown.
const DRAIN: Duration = Duration::from_secs(1);

/// The running server. Dropped, it stops without being waited for.
#[derive(Debug)]
pub struct Server {
    local_addr: SocketAddr,
    stop: CancellationToken,
    ended: mpsc::Receiver<()>,
}

// === impl Server ===

impl Server {
    /// Listens on `listen` (port 0 for any free one) and answers from then on.
    pub fn start(listen: SocketAddr, registries: Vec<Registry>, status: StatusSource) -> Result<Self, Error> {
        let bind = |source| Error::Bind { address: listen, source };
        let listener = TcpListener::bind(listen).map_err(bind)?;
        listener.set_nonblocking(true).map_err(bind)?;
        let local_addr = listener.local_addr().map_err(bind)?;

        let stop = CancellationToken::new();
        let router = routes::router(registries, status);
        let (started, has_started) = mpsc::channel();
        let (end, ended) = mpsc::channel();
        let thread_stop = stop.clone();
        thread::Builder::new()
            .name("admin".to_owned())
            .spawn(move || {
                run(listener, router, thread_stop, &started);
                // Nobody listens if the server was dropped.
                let _ = end.send(());
            })
            .map_err(Error::Thread)?;
        match has_started.recv() {
            Ok(Ok(())) => Ok(Self { local_addr, stop, ended }),
            Ok(Err(error)) => Err(Error::Thread(error)),
            Err(_) => Err(Error::Thread(std::io::Error::other("it ended while it started"))),
        }
    }

    /// Where it listens; tells the port when that was left open.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Stops listening, lets open requests end for up to a second, and returns when that is done.
    pub fn shutdown(self) {
        self.stop.cancel();
        // A status source that hangs must not hang the daemon's end: past the deadline the thread is left behind.
        if self.ended.recv_timeout(DRAIN * 2).is_err() {
            warn!("the admin server did not end in time");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The thread's whole life.
fn run(
    listener: TcpListener,
    router: Router,
    stop: CancellationToken,
    started: &mpsc::Sender<std::io::Result<()>>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build() {
        Ok(runtime) => runtime,
        Err(error) => return drop(started.send(Err(error))),
    };
    runtime.block_on(async {
        match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => {
                let _ = started.send(Ok(()));
                serve(listener, router, stop).await;
            }
            Err(error) => drop(started.send(Err(error))),
        }
    });
}

async fn serve(listener: tokio::net::TcpListener, router: Router, stop: CancellationToken) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let connections = TaskTracker::new();
    let accept = async {
        loop {
            let slot = Arc::clone(&slots).acquire_owned().await.expect("the semaphore is never closed");
            match listener.accept().await {
                Ok((stream, _)) => {
                    connections.spawn(answer(stream, router.clone(), slot));
                }
                Err(error) => {
                    // Out of file descriptors, as a rule: no busy loop while that lasts.
                    warn!(%error, "the admin server failed to accept a connection");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = accept => {}
    }
    drop(listener);
    connections.close();
    // Past the deadline the runtime is dropped, and with it what is still open.
    let _ = timeout(DRAIN, connections.wait()).await;
}

/// One connection, one request: nothing idles, so one deadline bounds it all.
async fn answer(stream: TcpStream, router: Router, slot: OwnedSemaphorePermit) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_WITHIN)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    match timeout(ANSWER_WITHIN, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "an admin connection ended early"),
        Err(_) => debug!("an admin connection was closed: its client did not take the answer in time"),
    }
    drop(slot);
}
