//! The time that leases are measured in.

use std::time::Duration;

/// A moment, on a clock that never goes back, and that goes on while the process is stopped (SIGSTOP) and, on
/// Linux, while the machine sleeps. The beginning of time is a moment long ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Moment(u64);

impl Moment {
    #[cfg(target_os = "linux")]
    pub fn now() -> Self {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let (seconds, nanos) = (now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs());
        Self(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
    }

    #[cfg(not(target_os = "linux"))]
    pub fn now() -> Self {
        use std::{sync::OnceLock, time::Instant};
        static START: OnceLock<Instant> = OnceLock::new();
        Self(nanos(START.get_or_init(Instant::now).elapsed()).saturating_add(1))
    }

    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }

    /// How long it is until then; zero if it is past.
    pub fn remaining(self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(Self::now().0))
    }

    pub fn to_nanos(self) -> u64 {
        self.0
    }

    pub fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on() {
        let (now, second) = (Moment::now(), Duration::from_secs(1));
        assert!(now > Moment::default() && now.plus(second).remaining() > second / 2);
        std::thread::sleep(Duration::from_millis(5));
        assert!(Moment::now() >= now.plus(Duration::from_millis(5)) && now.remaining().is_zero());
        assert_eq!(Moment::from_nanos(now.to_nanos()), now);
    }
}
