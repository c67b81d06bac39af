//! Who is killed with kill -9 when, and started again: the mirror, a broker of the source, and one of the target, once each.

use std::{
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    thread::{Scope, sleep},
    time::Duration,
};

use crate::{dice::Dice, stage::Stage};

/// What the story comes to, in this order: that it mirrors, then what the cutover says.
const MOMENTS: [&str; 9] = [
    "it mirrors",
    "lag runs",
    "block runs",
    "drain runs",
    "groups runs",
    "verify runs",
    "rights runs",
    "clients runs",
    "stop runs",
];
/// More of them than there are: nobody is to be killed any more.
const OVER: usize = usize::MAX;

/// Somebody who is killed.
#[derive(Debug, Clone, Copy)]
enum Victim {
    Mirror,
    OfSource(u32),
    OfTarget(u32),
}

/// When, and for how long.
struct Kill {
    victim: Victim,
    moment: usize,
    after: Duration,
    away: Duration,
}

/// All of them.
pub struct Kills {
    planned: Vec<Kill>,
    /// How many moments have come.
    come: AtomicUsize,
}

/// Lets go of those who wait for a moment, however the story ends.
pub struct Release<'k>(pub &'k Kills);

impl Kills {
    /// Nobody.
    pub fn none() -> Self {
        Self { planned: Vec::new(), come: AtomicUsize::new(0) }
    }

    /// By the seed: two of them at different steps of the cutover, the third anywhere.
    pub fn by(dice: &mut Dice) -> Self {
        let mut of = |count: usize| usize::try_from(dice.within(0..count as u64)).expect("few");
        let mut broker = || u32::try_from(of(3) + 1).expect("one of three");
        let mut victims = vec![Victim::Mirror, Victim::OfSource(broker()), Victim::OfTarget(broker())];
        let mut steps: Vec<usize> = (1..MOMENTS.len()).collect();
        let mut planned = Vec::new();
        while !victims.is_empty() {
            let victim = victims.swap_remove(of(victims.len()));
            let moment = match victims.is_empty() {
                true => of(MOMENTS.len()),
                false => steps.swap_remove(of(steps.len())),
            };
            let [after, away] = [of(700), 500 + of(3500)].map(|millis| Duration::from_millis(millis as u64));
            eprintln!("{victim:?} is killed {after:?} after {:?}, for {away:?}", MOMENTS[moment]);
            planned.push(Kill { victim, moment, after, away });
        }
        Self { planned, come: AtomicUsize::new(0) }
    }

    /// Has them killed once their moments come.
    pub fn begin<'s>(&'s self, scope: &'s Scope<'s, '_>, stage: &'s Stage<'_>) {
        for kill in &self.planned {
            scope.spawn(move || {
                while self.come.load(SeqCst) <= kill.moment {
                    sleep(Duration::from_millis(10));
                }
                if self.come.load(SeqCst) == OVER {
                    return;
                }
                sleep(kill.after);
                eprintln!("{:?} is killed", kill.victim);
                kill.act(stage);
                eprintln!("{:?} is back", kill.victim);
            });
        }
    }

    /// It mirrors.
    pub fn mirrors(&self) {
        self.come.fetch_max(1, SeqCst);
    }

    /// The cutover has said this so far.
    pub fn says(&self, said: &str) {
        let said = |step: &str| said.lines().any(|line| line.starts_with(step));
        let come = (1..MOMENTS.len()).filter(|at| said(MOMENTS[*at])).max();
        self.come.fetch_max(come.map_or(0, |at| at + 1), SeqCst);
    }
}

impl Kill {
    fn act(&self, stage: &Stage<'_>) {
        let (cluster, broker) = match self.victim {
            Victim::Mirror => return stage.kill(self.away),
            Victim::OfSource(broker) => (stage.source, broker),
            Victim::OfTarget(broker) => (stage.target, broker),
        };
        cluster.kill(broker).expect("it is killed");
        sleep(self.away);
        cluster.start(broker).expect("it comes back");
    }
}

impl Drop for Release<'_> {
    fn drop(&mut self) {
        self.0.come.store(OVER, SeqCst);
    }
}
