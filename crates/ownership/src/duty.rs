//! What goes on at all times, whatever the member waits for: heartbeats, the end of the lease, what is released,
//! and the order to stop. It alone tells changes.

use std::time::Duration;

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use kafka_wire::Code;
use tokio::{
    sync::{mpsc, oneshot},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::{
    Change, Config, Lease,
    assignor::Claim,
    clock::Moment,
    group::Entered,
    heart::{Beat, Heart},
    holdings::Holdings,
    lease::Standing,
    protocol::Given,
    trouble::{Teller, Trouble, What},
};

pub(crate) struct Duty {
    config: Config,
    heart: Heart,
    standing: Standing,
    lease: Lease,
    holdings: Holdings,
    /// The generation that the last assignment is of.
    synced: Option<i32>,
    /// The group waits for what this member gives up.
    again: bool,
    releases: FuturesUnordered<BoxFuture<'static, Released>>,
    changes: mpsc::UnboundedSender<Change>,
    teller: Teller,
    /// A connection to the coordinator broke, or hung, since that was last asked.
    doubtful: bool,
    /// Since it has been a member, something was gained or it was said that nothing is.
    told: bool,
    shutdown: CancellationToken,
    departing: bool,
    /// The group knows that it is.
    announced: bool,
}

/// What was told to be given up has been, or has taken too long.
struct Released {
    number: u64,
    in_time: bool,
}

/// What may change what the member does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notice {
    /// The group wants its members to join again.
    Rebalance,
    /// Slots were released.
    Released,
    /// The lease has ended, and everything is lost.
    Lapsed,
    /// The group is in another generation.
    Behind,
    /// The group does not know the member; everything is lost.
    Unknown,
    /// Somebody else is the member of this name; everything is lost.
    Fenced,
    /// It is time to leave; all slots are to be released.
    Shutdown,
}

impl Duty {
    pub fn new(config: &Config, heart: Heart, lease: Lease, changes: mpsc::UnboundedSender<Change>) -> Self {
        Self {
            standing: Standing::new(config.session_timeout, config.rebalance_timeout),
            holdings: Holdings::new(),
            synced: None,
            again: false,
            releases: FuturesUnordered::new(),
            teller: Teller::new(&config.group),
            told: false,
            doubtful: false,
            shutdown: CancellationToken::new(),
            departing: false,
            announced: false,
            config: config.clone(),
            heart,
            lease,
            changes,
        }
    }

    pub fn until(&mut self, shutdown: CancellationToken) {
        self.shutdown = shutdown;
    }

    /// Whether everything is released and it is time to leave.
    pub fn is_over(&self) -> bool {
        self.departing && self.holdings.is_empty()
    }

    /// Whether the group waits for this member to join again.
    pub fn has_to_join(&self) -> bool {
        let waited_for = self.again && !self.holdings.is_leaving();
        waited_for || (self.departing && !self.announced)
    }

    /// Whether a connection to the coordinator that was not used since then had better not be.
    pub fn take_doubt(&mut self) -> bool {
        std::mem::take(&mut self.doubtful)
    }

    pub fn claim(&self) -> Claim {
        self.holdings.claim(self.departing)
    }

    /// Does what is due until there is something to know. Nothing is lost if it is not waited for.
    pub async fn next(&mut self) -> Notice {
        loop {
            tokio::select! {
                biased;
                beat = self.heart.beat() => {
                    if let Some(notice) = self.beaten(beat) {
                        return notice;
                    }
                }
                Some(released) = self.releases.next() => {
                    if self.released(released) {
                        return Notice::Released;
                    }
                }
                () = sleep(self.lease.remaining()), if !self.holdings.is_empty() => {
                    if !self.lease.is_held() {
                        self.lapse();
                        return Notice::Lapsed;
                    }
                }
                () = self.shutdown.cancelled(), if !self.departing => {
                    self.departing = true;
                    let all = self.holdings.leave_all();
                    self.tell_leaving(all);
                    return Notice::Shutdown;
                }
            }
        }
    }

    // === what the group answers ===

    /// A generation has begun, and this is a member of it.
    pub fn joined(&mut self, entered: &Entered, claim: &Claim) {
        self.teller.fine(What::Join);
        self.standing.joined(entered.sent);
        self.renew();
        self.heart.begin(entered.joined.member.clone());
        self.announced = claim.departing;
    }

    /// Its assignment. Gives whether it is still good for anything when it has come.
    pub fn assigned(&mut self, sent: Moment, given: &Given, generation: i32, claimed: &Claim) -> bool {
        self.standing.settled(sent);
        self.renew();
        if !self.lease.is_held() {
            self.lapse();
            return false;
        }
        self.synced = Some(generation);
        self.heart.hurry((!given.settled).then_some(self.config.rebalance_timeout));
        let changes = self.holdings.assigned(&given.share, generation, claimed, self.departing);
        self.again = changes.again;
        let reason =
            format!("the group says that another instance has them, since generation {generation} or before");
        self.tell_lost(changes.lost, reason);
        self.tell_leaving(changes.leaving);
        let gained = changes.gained;
        if !self.departing && (!gained.is_empty() || !self.told) {
            self.told = true;
            self.lease.set(&gained, true);
            debug!(group = self.config.group, generation, slots = ?gained, "slots gained");
            let _ = self.changes.send(Change::Gained { slots: gained, generation });
        }
        true
    }

    fn beaten(&mut self, beat: Beat) -> Option<Notice> {
        let member = self.heart.member().filter(|member| member.id == beat.member.id)?;
        let current = member.generation == beat.member.generation;
        let error = match beat.outcome {
            Ok(()) => {
                // Whoever has not got its assignment yet may be waited for.
                let settled = current && self.synced == Some(beat.member.generation);
                if settled {
                    self.standing.settled(beat.sent)
                } else {
                    self.standing.alive(beat.sent)
                };
                self.well();
                return None;
            }
            Err(error) => error,
        };
        match error.code() {
            Some(Code::RebalanceInProgress) => {
                self.standing.alive(beat.sent);
                self.well();
                current.then_some(Notice::Rebalance)
            }
            Some(Code::IllegalGeneration) => current.then(|| {
                // Which one it is says the answer to a join.
                self.heart.stop();
                Notice::Behind
            }),
            Some(Code::UnknownMemberId) => {
                self.expelled();
                Some(Notice::Unknown)
            }
            Some(Code::FencedInstanceId) => {
                self.fenced();
                Some(Notice::Fenced)
            }
            _ => {
                self.heart.again();
                self.doubtful |= error.is_unreachable();
                self.trouble(What::Heartbeat, Trouble::of(&error, &self.config));
                None
            }
        }
    }

    fn well(&mut self) {
        self.heart.well();
        self.teller.fine(What::Heartbeat);
        self.renew();
    }

    fn renew(&mut self) {
        self.lease.hold_until(self.standing.until());
    }

    // === what goes wrong ===

    /// The group does not know the member.
    pub fn expelled(&mut self) {
        self.heart.stop();
        self.lose("the group on the target no longer knows this instance: its session was over");
    }

    /// The group is in a generation that this member is not known to be part of.
    pub fn left_behind(&mut self) {
        self.lose("the group on the target went on without this instance");
    }

    /// Somebody else is the member of this name.
    pub fn fenced(&mut self) {
        self.heart.stop();
        let trouble = Trouble::fenced(&self.config);
        self.lose(trouble.reason());
        self.trouble(What::Join, trouble);
    }

    pub fn trouble(&mut self, what: What, trouble: Trouble) {
        if self.teller.trouble(what, &trouble)
            && let Trouble::Refused { reason, fix, .. } = trouble
        {
            self.told = false;
            let _ = self.changes.send(Change::Refused { reason, fix });
        }
    }

    fn lapse(&mut self) {
        let most = self.config.session_timeout;
        let reason = match self.teller.reason() {
            Some(reason) => format!("the group's coordinator has not answered in time ({reason})"),
            None => format!("the group's coordinator was not heard of within the session of {most:?}"),
        };
        self.lose(&reason);
    }

    fn lose(&mut self, reason: &str) {
        self.lease.revoke();
        self.standing.forget();
        self.again = false;
        let all = self.holdings.lose_all();
        self.tell_lost(all, reason.to_owned());
    }

    // === changes ===

    fn tell_lost(&mut self, slots: Vec<i32>, reason: String) {
        if !slots.is_empty() {
            self.told = false;
            self.lease.set(&slots, false);
            debug!(group = self.config.group, ?slots, "slots lost: {reason}");
            let _ = self.changes.send(Change::Lost { slots, reason });
        }
    }

    fn tell_leaving(&mut self, leaving: Option<(u64, Vec<i32>)>) {
        let Some((number, slots)) = leaving else { return };
        debug!(group = self.config.group, ?slots, "slots to be released");
        let (released, done) = oneshot::channel();
        let waiting = timeout(self.config.rebalance_timeout, done);
        self.releases.push(waiting.map(move |done| Released { number, in_time: done.is_ok() }).boxed());
        let _ = self.changes.send(Change::Leaving { slots, released });
    }

    /// Whether anything was.
    fn released(&mut self, Released { number, in_time }: Released) -> bool {
        let slots = self.holdings.released(number);
        if slots.is_empty() {
            return false;
        }
        if in_time {
            self.lease.set(&slots, false);
            debug!(group = self.config.group, ?slots, "slots released");
        } else {
            let most = self.config.rebalance_timeout;
            self.tell_lost(slots, format!("they were to be released, and that took longer than {most:?}"));
        }
        true
    }
}

impl Drop for Duty {
    /// Nobody looks after it any more.
    fn drop(&mut self) {
        self.lease.revoke();
    }
}

/// How long who is to depart waits for what is released at once, before it tells the group that it will take longer.
pub(crate) const AT_ONCE: Duration = Duration::from_millis(10);
