//! Instances as the tests run them: each in a thread and a runtime of its own, so that it can be stopped, killed, or
//! put to sleep as a process can; and who watches that no slot ever has two owners.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use kafka_harness::{Cluster, Props};
use kafka_wire::{Client, Settings};
use ownership::{Change, Config, Lease, Ownership};
use tokio_util::sync::CancellationToken;

pub const SESSION: Duration = Duration::from_secs(2);
pub const HEARTBEAT: Duration = Duration::from_millis(400);
/// A loaded machine takes its time.
const DEADLINE: Duration = Duration::from_secs(40);
const POLL: Duration = Duration::from_millis(2);

/// The properties that the daemon's tests use.
pub fn config(group: &str, slots: i32) -> Config {
    named(group, slots, None)
}

pub fn named(group: &str, slots: i32, instance: Option<&'static str>) -> Config {
    let property = |name: &str| match name {
        "session.timeout.ms" => Some("2000"),
        "heartbeat.interval.ms" => Some("400"),
        "group.instance.id" => instance,
        _ => None,
    };
    let config = Config::new(group, group, slots, property).expect("the properties are good");
    Config { rebalance_timeout: Duration::from_secs(12), ..config }
}

/// With RUST_LOG, what the instances say.
fn log() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().init();
    });
}

pub fn client(props: &Props) -> Client {
    let settings = Settings::new(props.iter().map(|(name, value)| (&**name, &**value)));
    Client::new(settings.expect("the properties are good"))
}

/// What an instance was told, and what it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Gained(Vec<i32>, i32),
    Leaving(Vec<i32>),
    Released(Vec<i32>),
    Lost(Vec<i32>, String),
    Refused(String, String),
}

enum Order {
    Stop,
    Kill,
    Sleep(Duration),
}

pub struct Instance {
    pub lease: Lease,
    seen: Arc<Seen>,
    orders: mpsc::Sender<Order>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    held: Mutex<BTreeSet<i32>>,
    events: Mutex<Vec<(Instant, Event)>>,
}

impl Instance {
    /// Starts one that takes so long to release a slot.
    pub fn start(props: &Props, config: Config, release: Duration) -> Self {
        log();
        let client = client(props);
        let (orders, to_do) = mpsc::channel();
        let (ownership, changes, lease) = Ownership::new(&client, config);
        let seen = Arc::new(Seen::default());
        let seeing = seen.clone();
        let thread = thread::spawn(move || live(ownership, changes, &seeing, release, &to_do));
        Self { lease, seen, orders, thread: Some(thread) }
    }

    pub fn slots(&self) -> BTreeSet<i32> {
        self.seen.held.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.slots().len()
    }

    pub fn events(&self) -> Vec<(Instant, Event)> {
        self.seen.events.lock().unwrap().clone()
    }

    /// When it was last told of this.
    pub fn last(&self, is: impl Fn(&Event) -> bool) -> Option<Instant> {
        self.events().into_iter().rev().find(|(_, event)| is(event)).map(|(at, _)| at)
    }

    pub fn last_gain(&self) -> Instant {
        self.last(|event| matches!(event, Event::Gained(..))).expect("it has gained something")
    }

    /// How often it had to give something up, or lost it.
    pub fn disturbed(&self) -> usize {
        let calm = |event: &Event| matches!(event, Event::Gained(..));
        self.events().iter().filter(|(_, event)| !calm(event)).count()
    }

    /// Waits until it is told of this.
    pub fn told(&self, what: &str, is: impl Fn(&Event) -> bool) -> Instant {
        until(&format!("{what}; there was {:?}", self.events()), || self.last(&is).is_some());
        self.last(is).expect("it was there")
    }

    /// As its service manager does; until it has left.
    pub fn stop(mut self) -> Vec<(Instant, Event)> {
        self.finish(Order::Stop)
    }

    /// It is gone at once.
    pub fn kill(mut self) -> Vec<(Instant, Event)> {
        self.finish(Order::Kill)
    }

    /// As SIGSTOP does; it wakes after so long.
    pub fn sleep(&self, time: Duration) {
        let _ = self.orders.send(Order::Sleep(time));
    }

    fn finish(&mut self, order: Order) -> Vec<(Instant, Event)> {
        let _ = self.orders.send(order);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("it ends in order");
        }
        self.events()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = self.orders.send(Order::Kill);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn live(
    ownership: Ownership,
    mut changes: tokio::sync::mpsc::UnboundedReceiver<Change>,
    seen: &Arc<Seen>,
    release: Duration,
    orders: &mpsc::Receiver<Order>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let shutdown = CancellationToken::new();
    let seeing = seen.clone();
    let pipeline = runtime.spawn(async move {
        while let Some(change) = changes.recv().await {
            follow(&seeing, change, release);
        }
    });
    let running = runtime.spawn(ownership.run(shutdown.clone()));
    loop {
        match orders.try_recv() {
            Ok(Order::Stop) => {
                shutdown.cancel();
                runtime.block_on(running).expect("it does not panic");
                runtime.block_on(pipeline).expect("nor does this");
                return;
            }
            Ok(Order::Kill) | Err(mpsc::TryRecvError::Disconnected) => {
                assert!(!running.is_finished() && !pipeline.is_finished(), "it has ended by itself");
                return;
            }
            // Nothing of it goes on, and the system takes what comes for it.
            Ok(Order::Sleep(time)) => thread::sleep(time),
            Err(mpsc::TryRecvError::Empty) => runtime.block_on(async { tokio::time::sleep(POLL).await }),
        }
    }
}

fn follow(seen: &Arc<Seen>, change: Change, release: Duration) {
    let mut held = seen.held.lock().unwrap();
    let event = match change {
        Change::Gained { slots, generation } => {
            assert!(slots.iter().all(|slot| held.insert(*slot)), "{slots:?} gained, had {held:?}");
            Event::Gained(slots, generation)
        }
        Change::Lost { slots, reason } => {
            // What it has released in the same moment is told, too.
            let mut events = seen.events.lock().unwrap();
            let released = events.iter().rev().find_map(|(_, event)| match event {
                Event::Released(slots) => Some(slots.clone()),
                _ => None,
            });
            let released = released.unwrap_or_default();
            let known = |slot: &i32| held.remove(slot) || released.contains(slot);
            assert!(slots.iter().all(known), "{slots:?} lost, had {events:?}");
            events.push((Instant::now(), Event::Lost(slots, reason)));
            return;
        }
        Change::Leaving { slots, released } => {
            assert!(slots.iter().all(|slot| held.contains(slot)), "{slots:?} to leave, had {held:?}");
            let (seen, leaving) = (seen.clone(), slots.clone());
            tokio::spawn(async move {
                if !release.is_zero() {
                    tokio::time::sleep(release).await;
                }
                let mut held = seen.held.lock().unwrap();
                // Some may have been lost in the meantime.
                let left = leaving.into_iter().filter(|slot| held.remove(slot)).collect();
                seen.events.lock().unwrap().push((Instant::now(), Event::Released(left)));
                drop(released);
            });
            Event::Leaving(slots)
        }
        Change::Refused { reason, fix } => Event::Refused(reason, fix),
    };
    seen.events.lock().unwrap().push((Instant::now(), event));
}

pub fn until(what: &str, mut is: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !is() {
        assert!(Instant::now() < end, "waited in vain for {what}");
        thread::sleep(POLL);
    }
}

/// Waits until all slots are given out, and evenly.
pub fn shared<'a>(slots: i32, instances: impl IntoIterator<Item = &'a Instance> + Clone) {
    let slots = usize::try_from(slots).expect("a number");
    let counts = || instances.clone().into_iter().map(Instance::count).collect::<Vec<_>>();
    let even = || {
        let counts = counts();
        let (least, most) = (counts.iter().min().unwrap_or(&0), counts.iter().max().unwrap_or(&0));
        counts.iter().sum::<usize>() == slots && most - least <= 1
    };
    until(&format!("{slots} slots to be shared, now {:?}", counts()), even);
}

// === the watch ===

/// Looks all the time whether a slot has two owners. Says so when it is dropped.
pub struct Watch {
    shared: Arc<Watched>,
    thread: Option<JoinHandle<()>>,
}

struct Watched {
    slots: i32,
    leases: Mutex<BTreeMap<usize, Lease>>,
    over: AtomicBool,
    seen: Mutex<Vec<String>>,
    looks: Mutex<(u64, Duration)>,
}

impl Watch {
    pub fn new(slots: i32) -> Self {
        let shared = Arc::new(Watched {
            slots,
            leases: Mutex::default(),
            over: AtomicBool::new(false),
            seen: Mutex::default(),
            looks: Mutex::default(),
        });
        let looking = shared.clone();
        Self { shared, thread: Some(thread::spawn(move || looking.run())) }
    }

    /// This one counts from now on, also when it is dead or asleep.
    pub fn add(&self, instance: &Instance) {
        let mut leases = self.shared.leases.lock().unwrap();
        let number = leases.len();
        leases.insert(number, instance.lease.clone());
    }
}

impl Watched {
    fn run(&self) {
        let (mut last, start) = (Instant::now(), Instant::now());
        while !self.over.load(Relaxed) {
            let leases = self.leases.lock().unwrap().clone();
            for slot in 0..self.slots {
                // Of two that are seen one after the other, the first may be over by then: it is looked at again.
                let owners: Vec<_> = leases.iter().filter(|(_, lease)| lease.holds(slot)).collect();
                let still: Vec<_> =
                    owners.iter().filter(|(_, lease)| lease.holds(slot)).map(|(n, _)| *n).collect();
                if owners.len() > 1 && still.len() > 1 {
                    let text = format!("after {:?} slot {slot} has the owners {still:?}", start.elapsed());
                    self.seen.lock().unwrap().push(text);
                }
            }
            let mut looks = self.looks.lock().unwrap();
            *looks = (looks.0 + 1, looks.1.max(last.elapsed()));
            last = Instant::now();
            drop(looks);
            thread::sleep(Duration::from_micros(200));
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.over.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let (seen, looks) = (self.shared.seen.lock().unwrap(), self.shared.looks.lock().unwrap());
        println!("watched {} times, at most {:?} apart", looks.0, looks.1);
        if !thread::panicking() {
            assert!(looks.0 > 0 && seen.is_empty(), "{}", seen.join("\n"));
        }
    }
}

/// A topic of so many partitions, for Kafka's tools to look at.
pub fn topic(cluster: &Cluster, name: &str, slots: i32) {
    cluster.create_topic(name, slots, 1, &[]).expect("a topic");
}
