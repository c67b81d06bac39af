//! Heartbeats: one at a time, each with the moment it was sent.

use std::{future::pending, sync::Arc, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use kafka_wire::{Client, Coordinator, Error, Member, Membership};
use tokio::time::{Instant, sleep_until};

use crate::clock::Moment;

/// After a first heartbeat that failed, doubled with each.
const FIRST_RETRY: Duration = Duration::from_millis(50);
/// While somebody is about to release slots, heartbeats come so much more often.
const QUICKER: u32 = 8;
const QUICKEST: Duration = Duration::from_millis(20);

pub(crate) struct Heart {
    client: Client,
    membership: Arc<Membership>,
    interval: Duration,
    /// Whose heart it is; `None` while there is no member.
    member: Option<Member>,
    next: Instant,
    quick_until: Option<Instant>,
    failures: u32,
    flight: Option<BoxFuture<'static, Beat>>,
}

/// A heartbeat and its answer.
pub(crate) struct Beat {
    pub sent: Moment,
    pub member: Member,
    pub outcome: Result<(), Error>,
}

impl Heart {
    pub fn new(client: Client, membership: Membership, interval: Duration) -> Self {
        Self {
            client,
            membership: Arc::new(membership),
            interval,
            member: None,
            next: Instant::now(),
            quick_until: None,
            failures: 0,
            flight: None,
        }
    }

    pub fn member(&self) -> Option<&Member> {
        self.member.as_ref()
    }

    /// From now on for this member, who has just been heard of.
    pub fn begin(&mut self, member: Member) {
        self.member = Some(member);
        self.next = Instant::now() + self.pace();
    }

    pub fn stop(&mut self) {
        self.member = None;
    }

    /// Beats faster for so long, or not any more.
    pub fn hurry(&mut self, for_: Option<Duration>) {
        self.quick_until = for_.map(|for_| Instant::now() + for_);
        self.next = self.next.min(Instant::now() + self.pace());
    }

    /// The next heartbeat that is answered, or fails. Nothing is lost if it is not waited for.
    pub async fn beat(&mut self) -> Beat {
        loop {
            if let Some(flight) = &mut self.flight {
                let beat = flight.await;
                self.flight = None;
                return beat;
            }
            let Some(member) = self.member.clone() else { return pending().await };
            sleep_until(self.next).await;
            self.next = Instant::now() + self.pace();
            self.flight = Some(self.send(member));
        }
    }

    /// The last one was answered.
    pub fn well(&mut self) {
        self.failures = 0;
    }

    /// The last one was not answered: the next is due sooner.
    pub fn again(&mut self) {
        let retry = FIRST_RETRY.saturating_mul(1 << self.failures.min(10));
        self.failures = self.failures.saturating_add(1);
        self.next = Instant::now() + retry.min(self.pace());
    }

    fn pace(&self) -> Duration {
        match self.quick_until {
            Some(until) if until > Instant::now() => {
                (self.interval / QUICKER).max(QUICKEST).min(self.interval)
            }
            _ => self.interval,
        }
    }

    fn send(&self, member: Member) -> BoxFuture<'static, Beat> {
        let (client, membership, sent) = (self.client.clone(), self.membership.clone(), Moment::now());
        async move {
            let outcome = client.heartbeat(&membership, &member).await;
            if let Err(error) = &outcome
                && error.is_stale()
            {
                client.forget_coordinator(Coordinator::Group(&membership.group));
            }
            Beat { sent, member, outcome }
        }
        .boxed()
    }
}
