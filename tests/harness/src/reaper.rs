//! Starts child processes that cannot outlive this one. Owns the crate's only `unsafe`.
//!
//! The kernel's parent-death signal is tied to the *thread* that spawned the child, not to its
//! process, so every child is spawned from one thread that lives as long as the process: a test's
//! own thread ends with the test, and would take shared brokers with it.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::{Mutex, OnceLock, mpsc};

use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};

struct Request {
    command: Command,
    reply: mpsc::Sender<std::io::Result<Child>>,
}

/// Spawns `command` so that it is killed (SIGKILL) as soon as this process is gone.
pub fn spawn(command: Command) -> std::io::Result<Child> {
    static SPAWNER: OnceLock<Mutex<mpsc::Sender<Request>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, receiver) = mpsc::channel::<Request>();
        std::thread::Builder::new()
            .name("harness-spawner".to_owned())
            .spawn(move || {
                for mut request in receiver {
                    let result = spawn_here(&mut request.command);
                    // The asker waits for the answer; if its thread is gone, so is its need.
                    let _ = request.reply.send(result);
                }
            })
            .expect("a thread can be started");
        Mutex::new(sender)
    });
    let (reply, answer) = mpsc::channel();
    spawner
        .lock()
        .expect("no panic while locked")
        .send(Request { command, reply })
        .expect("the spawner thread lives as long as the process");
    answer.recv().expect("the spawner thread answers every request")
}

#[expect(unsafe_code, reason = "pre_exec is the only way to set the parent-death signal before exec")]
fn spawn_here(command: &mut Command) -> std::io::Result<Child> {
    let parent = getpid();
    // SAFETY: the closure runs between fork and exec in a copy of a threaded process, so it may
    // only do what is async-signal-safe: it makes two system calls and touches no heap or lock.
    unsafe {
        command.pre_exec(move || {
            set_parent_process_death_signal(Some(Signal::KILL))?;
            // The parent may have died before the signal was set.
            if getppid() != Some(parent) {
                return Err(std::io::ErrorKind::BrokenPipe.into());
            }
            Ok(())
        });
    }
    command.spawn()
}
