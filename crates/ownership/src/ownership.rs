//! The member's life: join, stay until something changes, join again; in the end leave.

use std::{future::Future, pin::pin, time::Duration};

use kafka_wire::Client;
use tokio::{sync::mpsc, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    Change, Config, Lease,
    duty::{AT_ONCE, Duty, Notice},
    group::{Group, Setback},
    trouble::{Trouble, What},
};

/// After a first failure, doubled with each.
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LONGEST_RETRY: Duration = Duration::from_secs(1);
/// Between attempts at what somebody has to do something about first.
const SLOWLY: Duration = Duration::from_secs(5);

/// An instance's membership in its link's group.
pub struct Ownership {
    group: Group,
    duty: Duty,
    failures: u32,
}

impl Ownership {
    /// A membership; nothing is connected or asked yet. It has connections of its own to the cluster of `client`.
    pub fn new(client: &Client, config: Config) -> (Self, mpsc::UnboundedReceiver<Change>, Lease) {
        let (changes, told) = mpsc::unbounded_channel();
        let lease = Lease::new(config.slots);
        let group = Group::new(client, config);
        let duty = Duty::new(group.config(), group.heart(), lease.clone(), changes);
        (Self { group, duty, failures: 0 }, told, lease)
    }

    /// Runs until `shutdown`. Then it tells `Leaving` for all slots, and when they are released it leaves the group, so
    /// that others take over at once. If it is dropped instead, they wait for the session's end; the lease ends at once.
    pub async fn run(mut self, shutdown: CancellationToken) {
        self.duty.until(shutdown);
        while !self.duty.is_over() {
            let outcome = match self.enter().await {
                Ok(()) => self.stay().await,
                setback => setback,
            };
            if let Err(setback) = outcome {
                self.recover(setback).await;
            }
        }
        self.group.hang_up();
        self.group.leave().await;
    }

    /// Joins the group and gets the assignment of its next generation.
    async fn enter(&mut self) -> Result<(), Setback> {
        if self.duty.take_doubt() {
            // Where heartbeats hang, a join would: it would hold up the group, and arrive when nobody wants it any more.
            self.group.hang_up();
        }
        let claim = self.duty.claim();
        let entered = attend(&mut self.duty, self.group.join(&claim)).await?;
        self.duty.joined(&entered, &claim);
        let (sent, given) = attend(&mut self.duty, self.group.sync(&entered)).await?;
        let generation = entered.joined.member.generation;
        let good = self.duty.assigned(sent, &given, generation, &claim);
        if good { Ok(()) } else { Err(Setback::Again) }
    }

    /// Stays in this generation until it is time to join again.
    async fn stay(&mut self) -> Result<(), Setback> {
        if self.duty.has_to_join() {
            return Err(Setback::Again);
        }
        self.failures = 0;
        while !self.duty.is_over() && !self.duty.has_to_join() {
            match self.duty.next().await {
                Notice::Released => {}
                Notice::Rebalance | Notice::Lapsed => return Ok(()),
                Notice::Behind => {
                    self.duty.left_behind();
                    return Ok(());
                }
                Notice::Unknown => return Err(Setback::Unknown),
                Notice::Fenced => return Err(Setback::Fenced),
                Notice::Shutdown => {
                    // Who has nothing to do before it can leave need not say first that it will.
                    let released = attend(&mut self.duty, wait(AT_ONCE));
                    released.await?;
                }
            }
        }
        Ok(())
    }

    /// Waits as long as the setback asks for.
    async fn recover(&mut self, setback: Setback) {
        let mut next = Some(setback);
        while let Some(setback) = next {
            let pause = self.pause_after(setback);
            next = attend(&mut self.duty, wait(pause)).await.err();
        }
    }

    fn pause_after(&mut self, setback: Setback) -> Duration {
        let retry = match self.failures {
            0 => Duration::ZERO,
            more => FIRST_RETRY.saturating_mul(1 << (more - 1).min(10)).min(LONGEST_RETRY),
        };
        self.failures = self.failures.saturating_add(1);
        let trouble = match setback {
            Setback::Again => return retry,
            Setback::Over => {
                self.group.hang_up();
                return Duration::ZERO;
            }
            Setback::Unknown => {
                self.duty.expelled();
                self.group.hang_up();
                self.group.forget_id();
                return retry;
            }
            Setback::Fenced => {
                self.duty.fenced();
                self.group.hang_up();
                // As who it was: so it does not fence the other one, and gets in when that has gone.
                return self.group.config().session_timeout;
            }
            Setback::Failed(error) => Trouble::of(&error, self.group.config()),
            Setback::Unreadable(reason) => Trouble::unreadable(&reason, self.group.config()),
        };
        let pause = if trouble.is_passing() { retry.max(FIRST_RETRY) } else { SLOWLY };
        self.duty.trouble(What::Join, trouble);
        pause
    }
}

/// Does its duty until the work is done, or there is no point in it any more.
async fn attend<T>(duty: &mut Duty, work: impl Future<Output = Result<T, Setback>>) -> Result<T, Setback> {
    let mut work = pin!(work);
    loop {
        tokio::select! {
            biased;
            outcome = &mut work => return outcome,
            notice = duty.next() => match notice {
                Notice::Unknown => return Err(Setback::Unknown),
                Notice::Fenced => return Err(Setback::Fenced),
                _ if duty.is_over() => return Err(Setback::Over),
                _ => {}
            },
        }
    }
}

async fn wait(pause: Duration) -> Result<(), Setback> {
    sleep(pause).await;
    Ok(())
}
