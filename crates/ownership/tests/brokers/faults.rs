//! Networks that break, and instances that come, go, die and sleep at random: never has a slot two owners.

use std::{
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use kafka_harness::{Cluster, Props, shared::unique};

use crate::support::{Event, HEARTBEAT, Instance, SESSION, Watch, config, named, shared};

const SLOTS: i32 = 8;
const AT_ONCE: Duration = Duration::ZERO;

fn kafka() -> Cluster {
    Cluster::builder().proxied().start().expect("a broker")
}

/// One for the tests that take turns in breaking its network.
fn one_at_a_time() -> (&'static Cluster, MutexGuard<'static, ()>) {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    (CLUSTER.get_or_init(kafka), turn)
}

/// Around the proxy.
fn direct(cluster: &Cluster) -> Props {
    cluster.props()
}

fn lost(event: &Event) -> bool {
    matches!(event, Event::Lost(..))
}

#[test]
fn who_is_cut_off_stops_before_others_begin() {
    let (cluster, _turn) = one_at_a_time();
    let (group, watch) = (unique("isomirror.cut"), Watch::new(SLOTS));
    let first = Instance::start(&cluster.client_properties(""), config(&group, SLOTS), AT_ONCE);
    let second = Instance::start(&direct(cluster), config(&group, SLOTS), AT_ONCE);
    watch.add(&first);
    watch.add(&second);
    shared(SLOTS, [&first, &second]);
    let (kept, disturbed, cut) = (second.slots(), second.disturbed(), Instant::now());
    cluster.proxy(1).set_black_hole(true);
    let told = first.told("the loss", lost);
    assert!(!first.lease.is_held());
    shared(SLOTS, [&second]);
    let gained = second.last_gain();
    println!("cut off: lost after {:.1?}, gained after {:.1?}", told - cut, gained - cut);
    assert!(told < gained && told - cut < SESSION && second.disturbed() == disturbed);
    assert!(kept.is_subset(&second.slots()));
    cluster.proxy(1).set_black_hole(false);
    shared(SLOTS, [&first, &second]);
}

/// With another way open, what hangs is given up in time and asked again. What it still holds arrives in the end, and
/// does no harm.
#[test]
fn a_connection_that_hangs_costs_nothing() {
    let (cluster, _turn) = one_at_a_time();
    let (group, watch) = (unique("isomirror.hangs"), Watch::new(SLOTS));
    let patient = |group| ownership::Config {
        session_timeout: Duration::from_secs(6),
        rebalance_timeout: Duration::from_secs(20),
        ..config(group, SLOTS)
    };
    let start = |props: &Props| {
        let instance = Instance::start(props, patient(&group), AT_ONCE);
        watch.add(&instance);
        instance
    };
    let (first, second) = (start(&cluster.client_properties("")), start(&direct(cluster)));
    shared(SLOTS, [&first, &second]);
    // Their heartbeats have connections, too.
    std::thread::sleep(2 * HEARTBEAT);
    cluster.proxy(1).freeze();
    let began = Instant::now();
    let third = start(&direct(cluster));
    shared(SLOTS, [&first, &second, &third]);
    println!("an instance joins while another one's connections hang: {:.1?}", began.elapsed());
    cluster.proxy(1).thaw();
    let fourth = start(&direct(cluster));
    shared(SLOTS, [&first, &second, &third, &fourth]);
    for instance in [&first, &second, &third, &fourth] {
        assert!(instance.last(lost).is_none(), "{:?}", instance.events());
    }
}

/// xorshift64*: the same for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % limit
    }

    fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from))
    }
}

/// SEED repeats a run, as far as the machine's timing lets it; ROUNDS makes it longer.
#[test]
fn never_has_a_slot_two_owners() {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seed = number("SEED").unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(1, |now| now.as_secs())
    });
    println!("SEED={seed}");
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let cluster = kafka();
    let (group, watch) = (unique("isomirror.random"), Watch::new(SLOTS));
    let mut names = vec!["pod-0", "pod-1", "pod-2"];
    let mut alive: Vec<(Option<&'static str>, Instance)> = Vec::new();
    let start = |name: Option<&'static str>, random: &mut Random| {
        let props = if random.below(2) == 0 { cluster.client_properties("") } else { direct(&cluster) };
        let release = [AT_ONCE, random.millis(1, 700)][random.below(2) as usize];
        let instance = Instance::start(&props, named(&group, SLOTS, name), release);
        watch.add(&instance);
        (name, instance)
    };
    let (mut stopping, mut events, mut network) = (Vec::new(), Vec::new(), None);
    let proxy = cluster.proxy(1);
    let mend = || {
        proxy.set_black_hole(false);
        proxy.set_down(false);
        proxy.thaw();
    };
    let rounds = number("ROUNDS").unwrap_or(24);
    for round in 0..rounds {
        if network.is_some_and(|until| Instant::now() > until) {
            mend();
            network = None;
        }
        let one = random.below(alive.len().max(1) as u64) as usize;
        let what = match (alive.len(), random.below(12)) {
            (0 | 1, _) | (2..=4, 0..=3) => {
                let name = if random.below(3) == 0 { names.pop() } else { None };
                alive.push(start(name, &mut random));
                What::Start(name)
            }
            (_, 4..=5) => {
                let (name, instance) = alive.swap_remove(one);
                // A name may be used again when the one before is gone, not while it leaves.
                stopping.push((name, std::thread::spawn(move || instance.stop())));
                What::Stop(name)
            }
            (_, 6..=7) => {
                let (name, instance) = alive.swap_remove(one);
                events.extend(instance.kill());
                if name.is_some() {
                    alive.push(start(name, &mut random));
                }
                What::Kill(name)
            }
            (_, 8..=9) => {
                let time = random.millis(100, 4000);
                alive[one].1.sleep(time);
                What::Sleep(time)
            }
            _ if network.is_none() => {
                let time = random.millis(100, 4000);
                network = Some(Instant::now() + time);
                match random.below(4) {
                    0 => proxy.set_black_hole(true),
                    1 => proxy.set_down(true),
                    2 => proxy.freeze(),
                    _ => proxy.cut(),
                }
                What::Network(time)
            }
            _ => What::Nothing,
        };
        println!("{round}: {what:?}, {} are there", alive.len());
        std::thread::sleep(random.millis(20, 700));
    }
    mend();
    for (_, stopping) in stopping {
        events.extend(stopping.join().expect("it stops in order"));
    }
    shared(SLOTS, alive.iter().map(|(_, instance)| instance));
    events.extend(alive.iter().flat_map(|(_, instance)| instance.events()));
    let count = |is: fn(&Event) -> bool| events.iter().filter(|(_, event)| is(event)).count();
    println!(
        "{} times slots were gained, {} times to be released, {} times lost",
        count(|event| matches!(event, Event::Gained(slots, _) if !slots.is_empty())),
        count(|event| matches!(event, Event::Leaving(_))),
        count(lost),
    );
}

#[derive(Debug)]
#[expect(dead_code, reason = "it is printed")]
enum What {
    Start(Option<&'static str>),
    Stop(Option<&'static str>),
    Kill(Option<&'static str>),
    Sleep(Duration),
    Network(Duration),
    Nothing,
}
