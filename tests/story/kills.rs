//! Who is killed with kill -9 when, and started again: the mirror, a broker of the source, and one of the target, once each.

use std::{
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    thread::{Scope, sleep},
    time::Duration,
};

use crate::{dice::Dice, stage::Stage};

/// What the story comes to, in this order: that it mirrors, then what the cutover says, then that all have moved.
const MOMENTS: [&str; 10] = [
    "it mirrors",
    "lag runs",
    "block runs",
    "drain runs",
    "groups runs",
    "verify runs",
    "rights runs",
    "clients runs",
    "stop runs",
    "all have moved",
];
const MIRRORS: usize = 0;
const MOVED: usize = 9;

/// Somebody who is killed.
#[derive(Debug, Clone, Copy)]
enum Victim {
    Mirror,
    OfSource(u32),
    OfTarget(u32),
}

/// All of them.
pub struct Kills {
    planned: Vec<(Victim, usize, Duration, Duration)>,
    /// How many moments have come.
    come: AtomicUsize,
}

impl Kills {
    /// Nobody.
    pub fn none() -> Self {
        Self { planned: Vec::new(), come: AtomicUsize::new(0) }
    }

    /// By the seed: two of them at different steps of the cutover, the third anywhere.
    pub fn by(dice: &mut Dice) -> Self {
        let brokers = [(); 2].map(|()| u32::try_from(dice.within(1..4)).expect("one of three"));
        let mut victims = [Victim::Mirror, Victim::OfSource(brokers[0]), Victim::OfTarget(brokers[1])];
        for at in (1..victims.len()).rev() {
            victims.swap(at, usize::try_from(dice.within(0..at as u64 + 1)).expect("few"));
        }
        let mut steps: Vec<usize> = (MIRRORS + 1..MOVED).collect();
        let mut step = || steps.swap_remove(usize::try_from(dice.any()).unwrap_or(0) % steps.len());
        let moments = [step(), step(), 0];
        let anywhere = usize::try_from(dice.within(0..MOMENTS.len() as u64)).expect("few");
        let planned = victims.into_iter().zip([moments[0], moments[1], anywhere]);
        let planned: Vec<_> =
            planned.map(|(victim, moment)| (victim, moment, dice.millis(0..700), dice.millis(500..4000))).collect();
        for (victim, moment, after, away) in &planned {
            eprintln!("{victim:?} is killed {after:?} after {:?}, for {away:?}", MOMENTS[*moment]);
        }
        Self { planned, come: AtomicUsize::new(0) }
    }

    /// Has them killed once their moments come.
    pub fn begin<'s>(&'s self, scope: &'s Scope<'s, '_>, stage: &'s Stage<'_>) {
        for (victim, moment, after, away) in &self.planned {
            scope.spawn(move || {
                while self.come.load(SeqCst) <= *moment {
                    sleep(Duration::from_millis(10));
                }
                sleep(*after);
                eprintln!("{victim:?} is killed");
                let cluster = match victim {
                    Victim::Mirror => return stage.kill(),
                    Victim::OfSource(broker) => (stage.source, broker),
                    Victim::OfTarget(broker) => (stage.target, broker),
                };
                cluster.0.kill(*cluster.1).expect("it is killed");
                sleep(*away);
                cluster.0.start(*cluster.1).expect("it comes back");
                eprintln!("{victim:?} is back");
            });
        }
    }

    /// It mirrors.
    pub fn mirrors(&self) {
        self.come.fetch_max(MIRRORS + 1, SeqCst);
    }

    /// The cutover has said this so far.
    pub fn says(&self, said: &str) {
        let steps = MOMENTS.iter().enumerate().filter(|(at, _)| (MIRRORS + 1..MOVED).contains(at));
        let come = steps.filter(|(_, step)| said.lines().any(|line| line.starts_with(**step))).map(|(at, _)| at + 1);
        self.come.fetch_max(come.max().unwrap_or(0), SeqCst);
    }

    /// All have moved.
    pub fn moved(&self) {
        self.come.fetch_max(MOMENTS.len(), SeqCst);
    }
}

/// Whoever still waits for a moment that does not come waits no longer.
impl Drop for Release<'_> {
    fn drop(&mut self) {
        self.0.moved();
    }
}

/// Lets go of those who wait, however the story ends.
pub struct Release<'k>(pub &'k Kills);
