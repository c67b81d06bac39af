//! Small Java programs against Kafka's own client, as a third reader or writer.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, bail};

use crate::dist::{Dist, java_tool, missing, text};

/// A command that compiles and runs one Java source file with Kafka's jars on its class path (the
/// JDK's single-file launch: about 2 s). Arguments can be added.
pub fn command(dist: &Dist, source: &Path) -> Command {
    let mut command = Command::new(java_tool("java"));
    command.args(["-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]);
    command.arg(dist.tool_log4j()).arg("-cp").arg(dist.class_path()).arg(source);
    command
}

/// Runs a Java program given as source text and returns its standard output; anything but success
/// is an error with what it printed. `class` is the name of its class.
pub fn run(dist: &Dist, class: &str, source: &str, args: &[&str]) -> Result<String> {
    let dir = tempfile::tempdir().context("failed to make a directory for a Java source")?;
    let file = dir.path().join(format!("{class}.java"));
    std::fs::write(&file, source).with_context(|| format!("failed to write {}", file.display()))?;
    let output: Output = command(dist, &file).args(args).output().map_err(|error| missing("java", &error))?;
    if !output.status.success() {
        bail!("Java program {class} failed (a JDK is needed, not only a JRE): {}", text(&output));
    }
    String::from_utf8(output.stdout).context("its output is not text")
}
