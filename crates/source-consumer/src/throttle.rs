//! `limits.throttle`: a rate of key, value and header bytes, over all lanes of the link.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// What may be made up for after a pause.
const BURST: Duration = Duration::from_millis(100);

/// A shared rate limit (a leaky bucket: each piece is given the time at which it may go).
#[derive(Debug)]
pub struct Throttle {
    /// 0: there is no limit.
    bytes_per_second: AtomicU64,
    next: Mutex<Instant>,
}

impl Throttle {
    /// A limit of so many bytes a second, or none.
    pub fn new(bytes_per_second: Option<u64>) -> Self {
        let bytes_per_second = AtomicU64::new(bytes_per_second.unwrap_or(0));
        Self { bytes_per_second, next: Mutex::new(Instant::now()) }
    }

    /// Another limit, from the next piece on.
    pub fn set(&self, bytes_per_second: Option<u64>) {
        self.bytes_per_second.store(bytes_per_second.unwrap_or(0), Relaxed);
        // What was given out by the old limit is not waited for.
        *self.next.lock().expect("nothing panics under this lock") = Instant::now();
    }

    /// Takes `bytes` out of the rate and returns how long they have to wait.
    pub fn delay(&self, bytes: u64) -> Duration {
        self.delay_at(Instant::now(), bytes)
    }

    fn delay_at(&self, now: Instant, bytes: u64) -> Duration {
        let rate = self.bytes_per_second.load(Relaxed);
        if rate == 0 {
            return Duration::ZERO;
        }
        let mut next = self.next.lock().expect("nothing panics under this lock");
        let at = now.checked_sub(BURST).map_or(*next, |earliest| earliest.max(*next));
        *next = at + Duration::from_secs_f64(bytes as f64 / rate as f64);
        at.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_holds_over_time_and_after_a_pause() {
        let throttle = Throttle::new(Some(1_000_000));
        let start = Instant::now() + Duration::from_secs(1);
        let mut now = start;
        for _ in 0..3000 {
            now += throttle.delay_at(now, 10_000);
        }
        let spent = (now - start).as_secs_f64();
        assert!((29.5..=30.5).contains(&spent), "30 MB at 1 MB/s took {spent} s");
        now += Duration::from_secs(60);
        let paused = now;
        for _ in 0..100 {
            now += throttle.delay_at(now, 10_000);
        }
        assert!((now - paused).as_secs_f64() > 0.85, "a pause must not be made up for");
    }

    #[test]
    fn a_limit_can_be_set_and_taken_away() {
        let throttle = Throttle::new(None);
        assert_eq!(throttle.delay(1 << 40), Duration::ZERO);
        throttle.set(Some(1000));
        throttle.delay(10_000);
        assert!(throttle.delay(1) > Duration::from_secs(5));
        throttle.set(Some(1_000_000));
        assert!(throttle.delay(1) < Duration::from_secs(1), "what the old limit gave out is over");
        throttle.set(None);
        assert_eq!(throttle.delay(1 << 40), Duration::ZERO);
    }
}
