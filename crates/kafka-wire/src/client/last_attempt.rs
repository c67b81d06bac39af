//! What one does for all who wait for it: they share what became of it.

use std::time::Instant;

use crate::Error;

/// The last attempt, if it failed. Whoever waits for the next one holds the lock that this is behind.
#[derive(Default)]
pub(super) struct LastAttempt(Option<(Instant, Error)>);

impl LastAttempt {
    /// Its error, if it was made while somebody waited who asked then.
    pub fn failed_since(&self, asked: Instant) -> Result<(), Error> {
        match &self.0 {
            Some((when, error)) if *when >= asked => Err(error.clone()),
            _ => Ok(()),
        }
    }

    /// What became of this one.
    pub fn note<T>(&mut self, outcome: Result<T, Error>) -> Result<T, Error> {
        self.0 = outcome.as_ref().err().map(|error| (Instant::now(), error.clone()));
        outcome
    }
}
