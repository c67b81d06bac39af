//! One JVM: started under the reaper, its output in a file, with signals and resource use.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::reaper;

/// A running child process; killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with its output appended to `log`.
    pub fn spawn(mut command: Command, log: &Path) -> Result<Self> {
        let out = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("failed to open {}", log.display()))?;
        let err = out.try_clone().context("failed to share the log file")?;
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        let program = command.get_program().to_owned();
        let child =
            reaper::spawn(command).with_context(|| format!("failed to start {}", program.display()))?;
        Ok(Self { child, log: log.to_owned() })
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// The last lines of its output.
    pub fn log_tail(&self) -> String {
        tail(&self.log, 30)
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).context("odd process id")?;
        kill_process(pid, signal).with_context(|| format!("failed to send {signal:?} to {}", self.pid()))
    }

    /// Asks it to end (SIGTERM) and waits; past the deadline it is killed and that is an error.
    pub fn stop(mut self, deadline: Duration) -> Result<()> {
        self.signal(Signal::TERM)?;
        let end = Instant::now() + deadline;
        while self.ended().is_none() {
            if Instant::now() > end {
                let tail = self.log_tail();
                bail!(
                    "process {} did not end within {deadline:?} of SIGTERM; its output ends:\n{tail}",
                    self.pid()
                );
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Kills it (SIGKILL) and waits until it is gone.
    pub fn kill(mut self) {
        self.kill_and_wait();
    }

    fn kill_and_wait(&mut self) {
        // Both fail only if it has already ended and been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// User and system CPU time it has used so far, in seconds.
    pub fn cpu_seconds(&self) -> Result<f64> {
        cpu_seconds(self.pid())
    }

    /// Resident memory now, in bytes.
    pub fn rss(&self) -> Result<u64> {
        status_bytes(self.pid(), "VmRSS:")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill_and_wait();
    }
}

/// User and system CPU time of any process, in seconds.
#[expect(clippy::cast_precision_loss, reason = "ticks stay far below 2^52")]
pub fn cpu_seconds(pid: u32) -> Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .with_context(|| format!("failed to read the CPU time of process {pid}"))?;
    // The command name may hold blanks; the fields after its closing bracket do not.
    let rest = text.rsplit_once(')').context("odd /proc stat line")?.1;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks: u64 =
        fields.get(11..13).context("short /proc stat line")?.iter().flat_map(|f| f.parse::<u64>()).sum();
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// A size line of `/proc/<pid>/status` (`VmRSS:`, `VmHWM:`) in bytes.
pub fn status_bytes(pid: u32, name: &str) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))
        .with_context(|| format!("failed to read the status of process {pid}"))?;
    let line =
        text.lines().find_map(|l| l.strip_prefix(name)).with_context(|| format!("no {name} for {pid}"))?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().context("odd size in /proc")?;
    Ok(kib * 1024)
}

/// The last `lines` lines of a text file, or a note that it cannot be read.
pub fn tail(path: &Path, lines: usize) -> String {
    match std::fs::read(path) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let all: Vec<&str> = text.lines().collect();
            all[all.len().saturating_sub(lines)..].join("\n")
        }
        Err(error) => format!("({} cannot be read: {error})", path.display()),
    }
}
