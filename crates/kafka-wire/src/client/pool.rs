//! Connections: one for each address and purpose, made when they are needed.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use ring::rand::{SecureRandom, SystemRandom};

use super::Purpose;
use crate::{Connection, Error, Settings, lock};

/// A host and a port.
pub(super) type Address = (Arc<str>, u16);

#[derive(Default)]
pub(super) struct Pool(Mutex<HashMap<(Address, Purpose), Arc<Slot>>>);

/// A place for a connection. Who holds its lock makes the connection; the others wait for it.
#[derive(Default)]
struct Slot(tokio::sync::Mutex<State>);

#[derive(Default)]
struct State {
    connection: Option<Connection>,
    failures: u32,
    not_before: Option<Instant>,
}

impl Pool {
    /// The connection of this purpose, or a new one; a short while after a failed one, where it failed.
    pub async fn get(
        &self,
        settings: &Settings,
        to: &Address,
        purpose: Purpose,
    ) -> Result<Connection, Error> {
        let slot = lock(&self.0).entry((to.clone(), purpose)).or_default().clone();
        let mut state = slot.0.lock().await;
        if let Some(connection) = state.connection.as_ref().filter(|connection| !connection.is_closed()) {
            return Ok(connection.clone());
        }
        state.connection = None;
        if let Some(at) = state.not_before {
            tokio::time::sleep_until(at.into()).await;
        }
        // Whoever gives up in the middle has used up the attempt too.
        state.not_before = Some(Instant::now() + backoff(settings, state.failures));
        match Connection::open(settings, &to.0, to.1).await {
            Ok(connection) => {
                state.failures = 0;
                state.connection = Some(connection.clone());
                Ok(connection)
            }
            Err(error) => {
                tracing::debug!(purpose = purpose.name, "{error}");
                state.not_before = Some(Instant::now() + backoff(settings, state.failures));
                state.failures = state.failures.saturating_add(1);
                Err(error)
            }
        }
    }

    /// How long it takes, as far as can be told at once, until a connection of this purpose can be had or
    /// tried for; `None` if there is one.
    pub fn wait_for(&self, to: &Address, purpose: Purpose) -> Option<Duration> {
        let slot = lock(&self.0).get(&(to.clone(), purpose)).cloned();
        let Some(slot) = slot else { return Some(Duration::ZERO) };
        // Someone is at it.
        let Ok(state) = slot.0.try_lock() else { return Some(Duration::ZERO) };
        if state.connection.as_ref().is_some_and(|connection| !connection.is_closed()) {
            return None;
        }
        let wait = state.not_before.map(|at| at.saturating_duration_since(Instant::now()));
        Some(wait.unwrap_or_default())
    }
}

/// How long to wait after so many failures, give or take a fifth: many clients must not come at once.
fn backoff(settings: &Settings, failures: u32) -> Duration {
    jitter(settings.backoff.saturating_mul(1 << failures.min(20)).min(settings.backoff_max))
}

/// A duration, give or take a fifth.
pub(super) fn jitter(duration: Duration) -> Duration {
    let mut byte = [128];
    // Without randomness it is what it is.
    let _ = SystemRandom::new().fill(&mut byte);
    duration.mul_f64(0.8 + 0.4 * f64::from(byte[0]) / 255.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_its_limit() {
        let settings = Settings::new([
            ("bootstrap.servers", "a"),
            ("reconnect.backoff.ms", "100"),
            ("reconnect.backoff.max.ms", "1000"),
        ]);
        let settings = settings.unwrap();
        for (failures, millis) in [(0, 100), (1, 200), (3, 800), (4, 1000), (u32::MAX, 1000)] {
            let wait = backoff(&settings, failures).as_millis();
            assert!((millis * 79 / 100..=millis * 121 / 100).contains(&wait), "{failures}: {wait}");
        }
    }
}
