//! A TCP proxy before one broker that can be slow, thin, silent or broken. Plain threads; a
//! connection has four (a reader and a writer each way).

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::ports::Port;

const CHUNK: usize = 64 * 1024;
/// Chunks on their way in one direction; what is over stays in the sender's socket. A long way holds more than a thin one.
const IN_FLIGHT: usize = 1024;
const IN_FLIGHT_THIN: usize = 64;
/// How far a rate may be made up for.
const SLACK: Duration = Duration::from_millis(50);

/// A fault-injecting proxy on a loopback port; closed when dropped.
#[derive(Debug)]
pub struct Proxy {
    port: Port,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    broker: u16,
    /// Bytes a second in each direction, over all connections; 0 is unlimited.
    rate: AtomicU64,
    latency_us: AtomicU64,
    black_hole: AtomicBool,
    refuse: AtomicBool,
    closed: AtomicBool,
    up: Direction,
    down: Direction,
    connections: Mutex<Vec<Weak<Connection>>>,
}

#[derive(Debug, Default)]
struct Direction {
    bytes: AtomicU64,
    /// When the bytes let through so far are paid for.
    paid: Mutex<Option<Instant>>,
}

#[derive(Debug)]
struct Connection {
    client: TcpStream,
    broker: TcpStream,
    /// Bytes were swallowed: it can never be used again.
    broken: AtomicBool,
    /// Bytes are held, not lost.
    frozen: AtomicBool,
}

struct Chunk {
    due: Instant,
    bytes: Vec<u8>,
}

// === impl Proxy ===

impl Proxy {
    /// Listens on a free loopback port and forwards to `broker`.
    pub fn start(broker: u16) -> Result<Self> {
        let port = Port::reserve()?;
        let listener = TcpListener::bind(("127.0.0.1", port.number())).context("failed to listen")?;
        let shared = Arc::new(Shared {
            broker,
            rate: AtomicU64::new(0),
            latency_us: AtomicU64::new(0),
            black_hole: AtomicBool::new(false),
            refuse: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            up: Direction::default(),
            down: Direction::default(),
            connections: Mutex::new(Vec::new()),
        });
        let accepting = Arc::clone(&shared);
        thread::Builder::new()
            .name("proxy".to_owned())
            .spawn(move || accepting.accept(&listener))
            .context("failed to start a thread")?;
        Ok(Self { port, shared })
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Lets at most so many bytes a second through, each way, over all connections; 0 is no limit.
    pub fn set_rate(&self, bytes_per_second: u64) {
        self.shared.rate.store(bytes_per_second, Ordering::Relaxed);
    }

    /// Delays every byte by this, each way.
    pub fn set_latency(&self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.shared.latency_us.store(micros, Ordering::Relaxed);
    }

    /// Accepts and reads everything and passes nothing on. Connections that lost bytes by it are
    /// reset when it ends.
    pub fn set_black_hole(&self, on: bool) {
        self.shared.black_hole.store(on, Ordering::Relaxed);
        if !on {
            for connection in self.shared.connections() {
                if connection.broken.load(Ordering::Relaxed) {
                    connection.reset();
                }
            }
        }
    }

    /// Resets every connection, now; new ones work.
    pub fn cut(&self) {
        for connection in self.shared.connections() {
            connection.reset();
        }
    }

    /// Resets every connection, now, and each new one, until switched off: a dead network.
    pub fn set_down(&self, on: bool) {
        self.shared.refuse.store(on, Ordering::Relaxed);
        if on {
            self.cut();
        }
    }

    /// Holds what is on its way on the connections that there are now, also when their client is gone; new
    /// connections work. So a dead client's last request reaches the broker late, after [`Proxy::thaw`].
    pub fn freeze(&self) {
        for connection in self.shared.connections() {
            connection.frozen.store(true, Ordering::Relaxed);
        }
    }

    /// Lets everything that is held go on.
    pub fn thaw(&self) {
        for connection in self.shared.connections() {
            connection.frozen.store(false, Ordering::Relaxed);
        }
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        self.shared.connections().len()
    }

    /// Bytes passed on so far: to the broker, and from it.
    pub fn bytes(&self) -> (u64, u64) {
        (self.shared.up.bytes.load(Ordering::Relaxed), self.shared.down.bytes.load(Ordering::Relaxed))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Relaxed);
        self.cut();
        // Wakes the accepting thread, which then ends.
        let _ = TcpStream::connect(("127.0.0.1", self.port.number()));
    }
}

// === impl Shared ===

impl Shared {
    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for client in listener.incoming() {
            if self.closed.load(Ordering::Relaxed) {
                return;
            }
            let Ok(client) = client else { continue };
            if self.refuse.load(Ordering::Relaxed) {
                reset(&client);
                continue;
            }
            match TcpStream::connect(("127.0.0.1", self.broker)) {
                Ok(broker) => self.connect(client, broker),
                // As if nobody listened here either.
                Err(_) => reset(&client),
            }
        }
    }

    fn connect(self: &Arc<Self>, client: TcpStream, broker: TcpStream) {
        let _ = client.set_nodelay(true);
        let _ = broker.set_nodelay(true);
        let connection = Arc::new(Connection {
            client,
            broker,
            broken: AtomicBool::new(false),
            frozen: AtomicBool::new(false),
        });
        {
            let mut all = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
            all.retain(|c| c.strong_count() > 0);
            all.push(Arc::downgrade(&connection));
        }
        for up in [true, false] {
            let (sender, receiver) = sync_channel(IN_FLIGHT);
            let on_the_way = Arc::new(AtomicUsize::new(0));
            let (shared, reading, sent) =
                (Arc::clone(self), Arc::clone(&connection), Arc::clone(&on_the_way));
            thread::spawn(move || shared.read(&reading, up, &sender, &sent));
            let (shared, writing) = (Arc::clone(self), Arc::clone(&connection));
            thread::spawn(move || {
                shared.write(&writing, up, &receiver, &on_the_way);
                // Who waits for room sees that nobody is there any more.
                on_the_way.store(0, Ordering::Relaxed);
            });
        }
    }

    fn read(&self, connection: &Connection, up: bool, out: &SyncSender<Chunk>, on_the_way: &AtomicUsize) {
        let mut from = if up { &connection.client } else { &connection.broker };
        let mut buffer = vec![0_u8; CHUNK];
        while let Ok(n @ 1..) = from.read(&mut buffer) {
            if self.black_hole.load(Ordering::Relaxed) {
                connection.broken.store(true, Ordering::Relaxed);
                continue;
            }
            let due = Instant::now() + Duration::from_micros(self.latency_us.load(Ordering::Relaxed));
            while self.rate.load(Ordering::Relaxed) > 0
                && on_the_way.load(Ordering::Relaxed) >= IN_FLIGHT_THIN
                && !self.closed.load(Ordering::Relaxed)
            {
                thread::sleep(Duration::from_millis(1));
            }
            on_the_way.fetch_add(1, Ordering::Relaxed);
            if out.send(Chunk { due, bytes: buffer[..n].to_vec() }).is_err() {
                break;
            }
        }
        // Dropping the sender ends the writer once it has written what is queued.
    }

    fn write(&self, connection: &Connection, up: bool, chunks: &Receiver<Chunk>, on_the_way: &AtomicUsize) {
        let (mut to, direction) =
            if up { (&connection.broker, &self.up) } else { (&connection.client, &self.down) };
        for chunk in chunks {
            if let Some(wait) = chunk.due.checked_duration_since(Instant::now()) {
                thread::sleep(wait);
            }
            // Small parts keep a low rate smooth.
            for part in chunk.bytes.chunks(8 * 1024) {
                direction.pay(part.len(), self.rate.load(Ordering::Relaxed));
                while connection.frozen.load(Ordering::Relaxed) && !self.closed.load(Ordering::Relaxed) {
                    thread::sleep(Duration::from_millis(5));
                }
                // Counted first: who has got an answer finds all of it counted.
                direction.bytes.fetch_add(part.len() as u64, Ordering::Relaxed);
                if self.black_hole.load(Ordering::Relaxed) {
                    connection.broken.store(true, Ordering::Relaxed);
                } else if to.write_all(part).is_err() {
                    connection.reset();
                    return;
                }
            }
            on_the_way.fetch_sub(1, Ordering::Relaxed);
        }
        // One side has closed: pass that on.
        let _ = to.shutdown(Shutdown::Write);
    }

    fn connections(&self) -> Vec<Arc<Connection>> {
        let all = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter_map(Weak::upgrade).collect()
    }
}

// === impl Direction ===

impl Direction {
    /// Waits until `bytes` may pass.
    fn pay(&self, bytes: usize, rate: u64) {
        if rate == 0 {
            return;
        }
        let cost = Duration::from_nanos(bytes as u64 * 1_000_000_000 / rate);
        let due = {
            let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            // Time without traffic is not saved up, but for what a sleep takes too long.
            let due = paid.map_or(now, |p| p.max(now - SLACK)) + cost;
            *paid = Some(due);
            due
        };
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

// === impl Connection ===

impl Connection {
    fn reset(&self) {
        reset(&self.client);
        reset(&self.broker);
    }
}

/// Resets a connection (RST) and ends its threads' reads and writes.
fn reset(stream: &TcpStream) {
    // A TCP socket that is "connected to nothing" is reset at once. Some kernels refuse that while
    // a thread waits in a read; then it is closed in the ordinary way, and reset after that.
    let _ = rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO));
    if rustix::net::connect_unspec(stream).is_err() {
        let _ = stream.shutdown(Shutdown::Both);
    }
}
