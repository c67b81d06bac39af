//! Which process this is, and whether another one of this machine is gone.

use std::{
    fs,
    hash::{BuildHasher, RandomState},
};

use link_journal::Process;

/// This process.
pub fn this_process() -> Process {
    let pid = std::process::id();
    Process { pid, started: started(pid).unwrap_or(0), token: RandomState::new().hash_one(pid) }
}

/// Whether a process of this machine is known to be gone.
pub(crate) fn is_gone(process: &Process) -> bool {
    // Where there is no /proc, nothing is known.
    started(std::process::id()).is_some()
        && process.started != 0
        && started(process.pid) != Some(process.started)
}

/// When a process was started, in ticks since the machine was.
fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Its name stands in brackets, and may have any in it. One that has ended and is not waited for yet is gone.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    if fields.next()? == "Z" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_gone_once_it_has_ended_and_another_of_its_id_is_not_it() {
        let this = this_process();
        assert!(!is_gone(&this));
        assert!(is_gone(&Process { started: this.started + 1, ..this }));
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let other = Process { pid: child.id(), started: started(child.id()).unwrap(), token: 0 };
        assert!(!is_gone(&other));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(is_gone(&other));
        assert!(!is_gone(&Process { started: 0, ..other }), "nothing is known of it");
    }
}
