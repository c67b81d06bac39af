//! Chance that can be had again: everything random in these tests comes from one seed, and a failure tells it.

use std::{
    env,
    hash::{DefaultHasher, Hash, Hasher},
    ops::Range,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A number from the environment, as `scripts/chaos` sets it.
pub fn setting(name: &str) -> Option<u64> {
    let text = env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

/// One test's run: its seed, and how to have it again when it fails.
pub struct Run {
    name: String,
    seed: u64,
}

impl Run {
    /// The run of the test of this name, as the test binary lists it.
    pub fn of(name: &str) -> Self {
        let clock = || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_micros() as u64;
        let seed = setting("CHAOS_SEED").unwrap_or_else(|| clock() % 1_000_000_000);
        eprintln!("{name}: seed {seed}");
        Self { name: name.to_owned(), seed }
    }

    /// Dice that depend on the seed and on the test's name.
    pub fn dice(&self) -> Dice {
        Dice::new(self.seed).of(&self.name)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The short set leaves out the long ones, whatever the kills.
            let short = !self.name.starts_with("long::");
            let kills = match setting("CHAOS_KILLS") {
                Some(kills) => format!(" --kills {kills}"),
                None => if short { " --short" } else { "" }.to_owned(),
            };
            eprintln!("--- again: scripts/chaos --seed {}{kills} --only {} ---", self.seed, self.name);
        }
    }
}

/// Numbers that look random (SplitMix64).
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The dice of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Others, for something of its own: what it draws does not change what these draw.
    pub fn of(&self, what: impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        (self.0, what).hash(&mut hasher);
        Self(hasher.finish())
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One of the range.
    pub fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + self.any() % (range.end - range.start)
    }

    /// Whether something that happens so often in a hundred happens now.
    pub fn percent(&mut self, chance: u64) -> bool {
        self.any() % 100 < chance
    }

    /// A time between these two numbers of milliseconds.
    pub fn millis(&mut self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.within(range))
    }
}
