//! `limits.throttle`: a rate of key, value and header bytes, over all lanes of the link.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

/// What may be made up for after a pause.
const BURST: Duration = Duration::from_millis(100);

/// A shared rate limit (a leaky bucket: each piece is given the time at which it may go).
#[derive(Debug)]
pub struct Throttle {
    bytes_per_second: f64,
    next: Mutex<Instant>,
}

impl Throttle {
    /// A limit of so many bytes a second.
    pub fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second: bytes_per_second as f64, next: Mutex::new(Instant::now()) }
    }

    /// Takes `bytes` out of the rate and returns how long they have to wait.
    pub fn delay(&self, bytes: u64) -> Duration {
        self.delay_at(Instant::now(), bytes)
    }

    fn delay_at(&self, now: Instant, bytes: u64) -> Duration {
        let mut next = self.next.lock().expect("nothing panics under this lock");
        let at = now.checked_sub(BURST).map_or(*next, |earliest| earliest.max(*next));
        *next = at + Duration::from_secs_f64(bytes as f64 / self.bytes_per_second);
        at.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_holds_over_time_and_after_a_pause() {
        let throttle = Throttle::new(1_000_000);
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
}
