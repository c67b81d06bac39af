//! Values with units: sizes, rates and durations.

use std::{fmt, time::Duration};

pub use bytesize::ByteSize;

/// Bytes a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(ByteSize);

/// A value that can't be read: what it must be, with an example.
pub type Wrong = (String, String);

/// Reads `64MiB` (2^20 bytes) or `64MB` (10^6 bytes). The unit is not optional.
pub fn size(text: &str) -> Result<ByteSize, Wrong> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | ' '));
    let known = unit.to_ascii_lowercase().ends_with('b');
    text.parse::<ByteSize>().ok().filter(|_| known).ok_or_else(|| {
        (format!("{text:?} is not a size"), "write a number and a unit, as in \"64MiB\" or \"1.5GB\"".into())
    })
}

/// A size as `size` reads it, exactly: with the largest unit that leaves no fraction.
pub fn show_size(size: ByteSize) -> String {
    let bytes = size.as_u64();
    let units = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")].into_iter().chain([
        (1_000_000_000_000, "TB"),
        (1_000_000_000, "GB"),
        (1_000_000, "MB"),
        (1_000, "kB"),
    ]);
    let whole = units.filter(|(unit, _)| bytes > 0 && bytes.is_multiple_of(*unit));
    let (unit, name) = whole.min_by_key(|(unit, _)| bytes / unit).unwrap_or((1, "B"));
    format!("{}{name}", bytes / unit)
}

/// Reads `200MB/s`.
pub fn rate(text: &str) -> Result<Rate, Wrong> {
    let wrong = |why: &str| {
        (format!("{text:?} is not a rate{why}"), "write a size a second, as in \"200MB/s\"".to_owned())
    };
    let size = text.trim_end().strip_suffix("/s").map(str::trim_end);
    let rate = size.and_then(|text| self::size(text).ok()).ok_or_else(|| wrong(""))?;
    if rate.as_u64() == 0 { Err(wrong(": nothing would ever be read")) } else { Ok(Rate(rate)) }
}

/// Reads `5s`, `1m 30s` or `250ms`. The unit is not optional.
pub fn duration(text: &str) -> Result<Duration, Wrong> {
    humantime::parse_duration(text).map_err(|_| {
        (
            format!("{text:?} is not a duration"),
            "write a number and a unit, as in \"5s\", \"250ms\" or \"1m 30s\"".to_owned(),
        )
    })
}

/// A duration as `duration` reads it.
pub fn show_duration(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

impl Rate {
    /// So many megabytes (10^6 bytes) a second.
    pub const fn mb_per_second(megabytes: u64) -> Self {
        Self(ByteSize::mb(megabytes))
    }

    /// Bytes a second.
    pub fn bytes_per_second(self) -> u64 {
        self.0.as_u64()
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", show_size(self.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_need_a_unit_that_is_one() {
        for (text, bytes) in [("64MiB", 64 << 20), ("64 MB", 64_000_000), ("1.5GiB", 3 << 29), ("7B", 7)] {
            assert_eq!(size(text).unwrap().as_u64(), bytes, "{text}");
        }
        for text in ["64", "64 elephants", "-1MiB", "", "MiB", "64M", "1e3MB", "64MiB/s"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rates_are_a_second() {
        assert_eq!(rate("200MB/s").unwrap().bytes_per_second(), 200_000_000);
        assert_eq!(rate("1 KiB /s").unwrap().bytes_per_second(), 1024);
        for text in ["200MB", "200MB/m", "200/s", "/s", "0MB/s"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(duration("1m 30s").unwrap(), Duration::from_secs(90));
        for text in ["5", "-5s", "5 elephants", ""] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_as_the_same(bytes in prop_oneof![any::<u64>(), (0_u64..2000).prop_map(|n| n << 20)]) {
            prop_assert_eq!(size(&show_size(ByteSize(bytes))).unwrap().as_u64(), bytes);
        }

        #[test]
        fn a_shown_duration_reads_as_the_same(millis in 0_u64..10_000_000_000) {
            let shown = Duration::from_millis(millis);
            prop_assert_eq!(duration(&show_duration(shown)).unwrap(), shown);
        }
    }
}
