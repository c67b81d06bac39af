//! Loopback ports that stay ours for a cluster's life, also while its broker is down.
//!
//! They are taken from *below* the kernel's ephemeral range. A port from the ephemeral range (what
//! binding port 0 gives) can be taken by any outgoing connection while its broker is stopped, and a
//! client that keeps dialling it can even connect to itself.

use std::fs::File;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};

/// One reserved port; released when dropped or when the process ends.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    /// Reserves a port that nothing listens on.
    pub fn reserve() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let (low, high) = range();
        let span = u32::from(high - low);
        let dir = lock_dir()?;
        // Processes start at different places, so that two of them rarely try the same port.
        let start = std::process::id().wrapping_mul(97);
        for _ in 0..span {
            let step = NEXT.fetch_add(1, Ordering::Relaxed);
            let number = low + u16::try_from(start.wrapping_add(step) % span).expect("below the span");
            let lock = File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(dir.join(number.to_string()))
                .context("failed to open a port's lock file")?;
            if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
                continue;
            }
            if TcpListener::bind(("127.0.0.1", number)).is_ok() {
                return Ok(Self { number, _lock: lock });
            }
        }
        bail!("no free loopback port between {low} and {high}");
    }

    /// The port number.
    pub fn number(&self) -> u16 {
        self.number
    }
}

fn range() -> (u16, u16) {
    const LOW: u16 = 10_000;
    let ephemeral = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse::<u16>().ok())
        .unwrap_or(32_768);
    if ephemeral > LOW + 1_000 { (LOW, ephemeral) } else { (61_000, 65_000) }
}

/// Shared by every checkout on the machine, since ports are.
fn lock_dir() -> Result<PathBuf> {
    let user = rustix::process::getuid().as_raw();
    let dir = std::env::temp_dir().join(format!("isomirror-harness-ports-{user}"));
    std::fs::create_dir_all(&dir).with_context(|| format!("failed to create {}", dir.display()))?;
    Ok(dir)
}
