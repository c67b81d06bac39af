//! Connections: one for each address and purpose, made when they are needed.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use ring::rand::{SecureRandom, SystemRandom};

use super::{Client, Purpose, by_itself, last_attempt::LastAttempt};
use crate::{Connection, Error, Settings, lock};

/// A host and a port.
pub(super) type Address = (Arc<str>, u16);

#[derive(Default)]
pub(super) struct Pool(Mutex<HashMap<(Address, Purpose), Arc<Slot>>>);

/// A place for a connection.
#[derive(Default)]
struct Slot {
    connection: Mutex<Option<Connection>>,
    /// Who holds its lock makes the connection; the others wait for it.
    making: tokio::sync::Mutex<Making>,
}

#[derive(Default)]
struct Making {
    failures: u32,
    not_before: Option<Instant>,
    last: LastAttempt,
}

impl Client {
    /// The connection of this purpose, or a new one; a short while after a failed one, where it failed.
    pub(super) async fn pooled(&self, to: &Address, purpose: Purpose) -> Result<Connection, Error> {
        let slot = lock(&self.inner.pool.0).entry((to.clone(), purpose)).or_default().clone();
        if let Some(connection) = slot.open() {
            return Ok(connection);
        }
        let (client, to) = (self.clone(), to.clone());
        by_itself(async move { slot.make(&client.inner.settings, &to, purpose).await }).await
    }
}

impl Slot {
    /// The connection, if there is one that works.
    fn open(&self) -> Option<Connection> {
        lock(&self.connection).as_ref().filter(|connection| !connection.is_closed()).cloned()
    }

    async fn make(&self, settings: &Settings, to: &Address, purpose: Purpose) -> Result<Connection, Error> {
        let asked = Instant::now();
        let mut making = self.making.lock().await;
        if let Some(connection) = self.open() {
            return Ok(connection);
        }
        making.last.failed_since(asked)?;
        if let Some(at) = making.not_before {
            tokio::time::sleep_until(at.into()).await;
        }
        let made = Connection::open(settings, &to.0, to.1).await;
        making.not_before = Some(Instant::now() + backoff(settings, making.failures));
        match making.last.note(made) {
            Ok(connection) => {
                making.failures = 0;
                *lock(&self.connection) = Some(connection.clone());
                Ok(connection)
            }
            Err(error) => {
                tracing::debug!(purpose = purpose.name, "{error}");
                making.failures = making.failures.saturating_add(1);
                Err(error)
            }
        }
    }
}

impl Pool {
    /// How long it takes, as far as can be told at once, until a connection of this purpose can be had or
    /// tried for; `None` if there is one.
    pub fn wait_for(&self, to: &Address, purpose: Purpose) -> Option<Duration> {
        let slot = lock(&self.0).get(&(to.clone(), purpose)).cloned();
        let Some(slot) = slot else { return Some(Duration::ZERO) };
        if slot.open().is_some() {
            return None;
        }
        // Someone is at it.
        let Ok(making) = slot.making.try_lock() else { return Some(Duration::ZERO) };
        let wait = making.not_before.map(|at| at.saturating_duration_since(Instant::now()));
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
