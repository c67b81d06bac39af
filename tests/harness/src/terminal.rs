//! A command on a terminal of its own, as a person has it: what it asks is answered.

use std::process::Command;

use anyhow::{Context, Result};

/// Takes the question, the answer and the command; prints what the terminal shows; ends as the command does.
const PROGRAM: &str = r#"
import os, pty, select, signal, sys, time
question, answer, command = sys.argv[1].encode(), sys.argv[2].encode(), sys.argv[3:]
child, terminal = pty.fork()
if child == 0:
    os.execv(command[0], command)
shown, answered, end = b"", False, time.time() + 120
while True:
    if not select.select([terminal], [], [], max(0, end - time.time()))[0]:
        os.kill(child, signal.SIGKILL)
        break
    try:
        part = os.read(terminal, 65536)
    except OSError:
        break
    if not part:
        break
    shown += part
    if not answered and question in shown:
        answered = True
        os.write(terminal, answer)
status = os.waitpid(child, 0)[1]
sys.stdout.write(shown.decode(errors="replace").replace("\r\n", "\n"))
sys.stdout.flush()
sys.exit(os.waitstatus_to_exitcode(status) & 255)
"#;

/// What is typed for Ctrl-C.
pub const INTERRUPT: &str = "\x03";

/// Runs it, and types `answer` once it shows `question`. Its exit code (247 if it took too long), and all that was shown.
pub fn answered(command: &Command, question: &str, answer: &str) -> Result<(Option<i32>, String)> {
    let mut python = Command::new("python3");
    // Nothing of the user's own Python.
    python.args(["-I", "-c", PROGRAM, question, answer]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => python.env(name, value),
            None => python.env_remove(name),
        };
    }
    let output = python.output().context("failed to start `python3`")?;
    let mut shown = String::from_utf8_lossy(&output.stdout).into_owned();
    shown.push_str(&String::from_utf8_lossy(&output.stderr));
    Ok((output.status.code(), shown))
}
