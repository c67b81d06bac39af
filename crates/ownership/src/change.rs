//! What the rest of the process is told.

use tokio::sync::oneshot;

/// What has changed. They come in the order in which they happened.
#[derive(Debug)]
pub enum Change {
    /// These slots are this instance's from now on.
    ///
    /// The first after the start, a loss or a refusal is told even where there are none: the instance is a member,
    /// and stands by.
    Gained {
        /// Their numbers, in order.
        slots: Vec<i32>,
        /// The group's generation, which grows: of two that were given the same slot, the later has the higher one.
        generation: i32,
    },
    /// These are to be given up: stop their lanes, then send or drop `released`. Until then no other instance gets
    /// them, unless it takes longer than [`Config::rebalance_timeout`](crate::Config): then they are `Lost`.
    Leaving {
        /// Their numbers, in order.
        slots: Vec<i32>,
        /// To be sent, or dropped, when nothing is written any more for any of them.
        released: oneshot::Sender<()>,
    },
    /// These are another's already, or may be: stop at once. It also comes for slots that are to be released, and for
    /// some that have been in the same moment.
    Lost {
        /// Their numbers, in order.
        slots: Vec<i32>,
        /// Why.
        reason: String,
    },
    /// The cluster refuses this instance as a member. Told once for each reason; it is tried again, slowly, and
    /// `Gained` says when it has helped.
    Refused {
        /// Why.
        reason: String,
        /// What to do.
        fix: String,
    },
}
