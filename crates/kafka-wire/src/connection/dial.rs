//! From an address to a connection that takes requests: TCP, TLS, versions, SASL.

use std::{io, sync::Arc, time::Duration};

use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpStream, lookup_host},
    sync::{mpsc, oneshot},
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::TlsConnector;

use super::{
    Versions, auth,
    queue::{Queue, Shared},
    task::{Setup, Task, io_cause},
};
use crate::{Cause, Error, Sent, Settings, settings::address};

/// The largest frame that is taken of one who has not let us in, and may be anyone.
const SETUP_FRAME: usize = 1 << 20;
/// How much the system takes of us beyond what it has sent: the rest is better kept here, where it is known
/// not to be sent, and where the time it takes is not taken for the broker's.
const UNSENT: u32 = 256 * 1024;
/// How long a connection is without traffic before the system probes it.
const KEEPALIVE: Duration = Duration::from_secs(60);

pub(super) async fn open(settings: &Settings, host: &str, port: u16) -> Result<(Queue, Versions), Error> {
    let name = address(host, port);
    let deadline = Instant::now() + settings.setup_timeout;
    let connected = timeout_at(deadline, connect(settings, host, port, &name)).await;
    let failure = match connected {
        Ok(Ok(connected)) => return Ok(connected),
        Ok(Err(cause)) => cause,
        Err(_) => Cause::Unreachable(format!("no connection within {:.1?}", settings.setup_timeout).into()),
    };
    // Nothing of the caller's has been written, whatever has of ours.
    Err(Error { broker: name, doing: "connect".into(), sent: Sent::NotSent, cause: failure })
}

async fn connect(
    settings: &Settings,
    host: &str,
    port: u16,
    name: &Arc<str>,
) -> Result<(Queue, Versions), Cause> {
    let tcp = dial(settings, host, port).await?;
    let prepared = prepare(&tcp, settings);
    prepared.map_err(|error| Cause::Unreachable(format!("socket options: {error}").into()))?;
    match &settings.tls {
        None => {
            let (from, to) = tcp.into_split();
            start(settings, name, from, to).await
        }
        Some(tls) => {
            let server = ServerName::try_from(host.to_owned()).map_err(|_| {
                Cause::Tls(format!("{host} is not a name that a certificate can have").into())
            })?;
            let stream = TlsConnector::from(tls.0.clone()).connect(server, tcp).await;
            let stream = stream.map_err(|error| match io_cause(&error) {
                Cause::Tls(reason) => Cause::Tls(format!("TLS: {reason}").into()),
                _ => Cause::Tls(format!("TLS: {error}; does the broker speak TLS there?").into()),
            })?;
            let (from, to) = tokio::io::split(stream);
            start(settings, name, from, to).await
        }
    }
}

/// A TCP connection to the first of the host's addresses that takes one.
async fn dial(settings: &Settings, host: &str, port: u16) -> Result<TcpStream, Cause> {
    let found = lookup_host((host, port)).await;
    let found =
        found.map_err(|error| Cause::Unreachable(format!("{host} does not resolve: {error}").into()))?;
    let addresses: Vec<_> = found.filter(|address| settings.family.takes(address)).collect();
    let mut last = Cause::Unreachable("it has no address of the family that is asked for".into());
    // So that one that is silent leaves time for the others.
    let share = settings.setup_timeout / u32::try_from(addresses.len() + 1).unwrap_or(u32::MAX);
    for address in addresses {
        last = match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => Cause::Unreachable(error.to_string().into()),
            Err(_) => Cause::Unreachable(format!("no connection within {share:.1?}").into()),
        };
    }
    Err(last)
}

fn prepare(tcp: &TcpStream, settings: &Settings) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let socket = SockRef::from(tcp);
    if settings.keepalive {
        let probes = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 4).with_retries(4);
        socket.set_tcp_keepalive(&probes)?;
    }
    // A dead network: the system gives up what it holds, and does not deliver it when the network is back.
    #[cfg(target_os = "linux")]
    {
        socket.set_tcp_user_timeout(Some(settings.socket_timeout))?;
        socket.set_tcp_notsent_lowat(UNSENT)?;
    }
    // A connection that is given up: the same. Closing it resets it, and what the system holds is dropped.
    socket.set_linger(Some(Duration::ZERO))
}

async fn start(
    settings: &Settings,
    name: &Arc<str>,
    from: impl tokio::io::AsyncRead + Unpin + Send + 'static,
    to: impl tokio::io::AsyncWrite + Unpin + Send + 'static,
) -> Result<(Queue, Versions), Cause> {
    let shared = Shared::new(name.clone(), &settings.client_id, SETUP_FRAME);
    let (urgent_sender, urgent) = mpsc::unbounded_channel();
    let (sender, requests) = mpsc::unbounded_channel();
    let first = Queue { requests: urgent_sender, shared: shared.clone() };
    let (ready, is_ready) = oneshot::channel();
    let setup = setup(first.clone(), settings.clone(), ready);
    let renewing = settings.clone();
    // Whoever is let in once has to show it again; the versions stay what they are, but cost little to ask.
    let renew = move || -> Setup { self::setup(first.clone(), renewing.clone(), oneshot::channel().0) };
    let task = Task {
        shared: shared.clone(),
        requests,
        urgent,
        request_timeout: settings.request_timeout,
        max_idle: settings.max_idle,
        setup,
        renew: Box::new(renew),
    };
    // Ends the connection if whoever waits for it goes away.
    let unready = CloseOnDrop(Some(shared.clone()));
    tokio::spawn(task.run(from, to));
    let answer = is_ready.await.unwrap_or_else(|_| Err(shared.cause()));
    let versions = answer?;
    shared.max_frame.store(settings.max_frame, std::sync::atomic::Ordering::Relaxed);
    unready.keep();
    Ok((Queue { requests: sender, shared }, versions))
}

fn setup(queue: Queue, settings: Settings, ready: oneshot::Sender<Result<Versions, Cause>>) -> Setup {
    Box::pin(async move {
        let outcome = async {
            let versions = auth::negotiate(&queue).await?;
            let lifetime = match &settings.sasl {
                Some(sasl) => auth::authenticate(&queue, &versions, sasl).await?,
                None => None,
            };
            Ok((versions, lifetime))
        };
        match outcome.await {
            Ok((versions, lifetime)) => {
                let _ = ready.send(Ok(versions));
                Ok(lifetime)
            }
            Err(error) => {
                let error: Error = error;
                let _ = ready.send(Err(error.cause.clone()));
                Err(error)
            }
        }
    })
}

struct CloseOnDrop(Option<Arc<Shared>>);

impl CloseOnDrop {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        if let Some(shared) = &self.0 {
            shared.close();
        }
    }
}
