//! Commands of the operator's: run by the shell, with what they need to know in variables. What they print is shown, and the
//! end of it is kept.

use std::{collections::VecDeque, process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::Command,
    sync::mpsc::{UnboundedSender, unbounded_channel},
};

use super::drive::Trouble;

/// Lines that are kept, and bytes of each.
const KEPT: usize = 20;
const LINE: usize = 300;
/// What a command has left running may hold its output open: no longer than this is waited for the rest.
const REST: Duration = Duration::from_millis(300);

/// The command and what it has started; ended with it if nobody waits any more.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It may have ended by itself.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Runs a command; the end of what it has printed.
pub(crate) async fn run(
    command: &str,
    variables: &[(&str, String)],
    line: impl Fn(&str),
) -> Result<String, Trouble> {
    let failed = |error: std::io::Error| Trouble::failed(format!("{command:?} can't be run: {error}"));
    let mut child = Command::new("sh")
        .args(["-c", command])
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let mut group = Group(pid);
    let (sender, mut lines) = unbounded_channel();
    read(child.stdout.take(), &sender);
    read(child.stderr.take(), &sender);
    drop(sender);
    let mut kept = VecDeque::new();
    let mut keep = |text: String| {
        line(&text);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(text);
    };
    let status = loop {
        tokio::select! {
            Some(text) = lines.recv() => keep(text),
            status = child.wait() => break status.map_err(failed)?,
        }
    };
    group.0 = None;
    while let Ok(Some(text)) = tokio::time::timeout(REST, lines.recv()).await {
        keep(text);
    }
    let output = Vec::from(kept).join("\n");
    match status.success() {
        true => Ok(output),
        false => Err(Trouble::failed(format!("{command:?} ended with {status}: {output}"))),
    }
}

fn read(stream: Option<impl AsyncRead + Unpin + Send + 'static>, lines: &UnboundedSender<String>) {
    let (Some(stream), lines) = (stream, lines.clone()) else { return };
    tokio::spawn(async move {
        let mut reader = BufReader::new(stream).split(b'\n');
        while let Ok(Some(bytes)) = reader.next_segment().await {
            let text: String = String::from_utf8_lossy(&bytes).trim_end().chars().take(LINE).collect();
            if lines.send(text).is_err() {
                break;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, fs, time::Instant};

    use super::*;

    #[tokio::test]
    async fn what_it_prints_is_seen_and_how_it_ends_counts() {
        let seen = RefCell::new(Vec::new());
        let line = |text: &str| seen.borrow_mut().push(text.to_owned());
        let variables = [("ISOMIRROR_LINK", "dc1-dc2".to_owned())];
        let output = run("echo $ISOMIRROR_LINK; seq 1 30", &variables, line).await.unwrap();
        assert_eq!((seen.borrow().len(), &*seen.borrow()[0]), (31, "dc1-dc2"));
        assert!(output.starts_with("11\n") && output.ends_with("\n30"), "{output}");
        let trouble = run("echo oh no >&2; exit 3", &[], |_| ()).await.unwrap_err();
        assert!(trouble.what.contains("exit status: 3: oh no"), "{trouble:?}");
    }

    #[tokio::test]
    async fn it_ends_with_all_it_has_started_when_nobody_waits_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let command = format!("sleep 600 & echo $! > {}; wait", file.display());
        let waited = tokio::time::timeout(Duration::from_millis(500), run(&command, &[], |_| ())).await;
        assert!(waited.is_err(), "it waits");
        let pid = fs::read_to_string(&file).unwrap();
        let gone = || {
            let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
            stat.is_empty() || stat.contains(") Z ")
        };
        let end = Instant::now() + Duration::from_secs(10);
        while !gone() {
            assert!(Instant::now() < end, "{pid} runs on");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test]
    async fn what_it_leaves_running_is_not_waited_for() {
        let began = Instant::now();
        let output = run("sleep 5 & echo done", &[], |_| ()).await.unwrap();
        assert_eq!(output, "done");
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    }
}
