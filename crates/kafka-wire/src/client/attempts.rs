//! Trying again: when, how often, and what to forget before.

use std::time::{Duration, Instant};

use super::{Client, To, pool::jitter};
use crate::{Code, Error, Sent};

/// Between a first failure and the next attempt, doubled with each.
const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(1);
/// How long a topic may be unknown: a new one takes a moment to be known everywhere, and then it is not there.
const UNKNOWN: Duration = Duration::from_secs(5);

/// A series of attempts at one thing, within the client's patience.
#[derive(Debug)]
pub struct Attempts {
    client: Client,
    started: Instant,
    wait: Duration,
}

impl Attempts {
    pub(super) fn new(client: Client) -> Self {
        Self { client, started: Instant::now(), wait: FIRST }
    }

    /// Whether to try again after this error, for what may be done twice. If so, it has waited a moment,
    /// and forgotten what the error shows to be out of date. A refusal by credentials is not tried again.
    pub async fn again(&mut self, to: To<'_>, error: &Error) -> bool {
        self.client.forget_for(to, error);
        let patience = match error.code() {
            Some(Code::UnknownTopicOrPartition) => UNKNOWN.min(self.client.patience()),
            _ => self.client.patience(),
        };
        let wait = jitter(self.wait);
        if !error.is_retriable() || self.started.elapsed() + wait >= patience {
            return false;
        }
        tracing::debug!("{error}; trying again in {wait:.1?}");
        tokio::time::sleep(wait).await;
        self.wait = (self.wait * 2).min(LONGEST);
        true
    }

    /// The same for what must not be done twice: only after errors that show that it was not done.
    pub async fn again_if_not_sent(&mut self, to: To<'_>, error: &Error) -> bool {
        match error.sent {
            Sent::NotSent => self.again(to, error).await,
            Sent::MaybeSent | Sent::Answered => {
                self.client.forget_for(to, error);
                false
            }
        }
    }
}

/// Repeats an attempt at something that may be done twice.
macro_rules! repeat {
    ($client:expr, $to:expr, $attempt:expr) => {{
        let mut attempts = $client.attempts();
        loop {
            match $attempt.await {
                Err(error) if attempts.again($to, &error).await => {}
                outcome => break outcome,
            }
        }
    }};
}
pub(crate) use repeat;
