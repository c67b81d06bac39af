//! Small Java programs against Kafka's own client, as a third reader or writer.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::dist::{Dist, java_tool, missing, text};

/// Runs a Java program given as source text and returns its standard output; anything but success
/// is an error with what it printed. `class` is the name of its class. Compiled once a Kafka version.
pub fn run(dist: &Dist, class: &str, source: &str, args: &[&str]) -> Result<String> {
    let mut command = command(dist, class, source)?;
    let output = command.args(args).output().map_err(|error| missing("java", &error))?;
    if !output.status.success() {
        bail!("Java program {class} failed: {}", text(&output));
    }
    String::from_utf8(output.stdout).context("its output is not text")
}

/// What runs such a program; its arguments come next.
pub fn command(dist: &Dist, class: &str, source: &str) -> Result<Command> {
    let mut hasher = DefaultHasher::new();
    source.hash(&mut hasher);
    let name = format!("{class}-{:016x}", hasher.finish());
    let classes = dist.dir().join(&name);
    dist.once(&name, |dist| compile(dist, class, source, &classes))?;
    let mut command = dist.program_command(&classes);
    command.arg(class);
    Ok(command)
}

fn compile(dist: &Dist, class: &str, source: &str, into: &Path) -> Result<()> {
    std::fs::create_dir_all(into).with_context(|| format!("failed to create {}", into.display()))?;
    let file = into.join(format!("{class}.java"));
    std::fs::write(&file, source).with_context(|| format!("failed to write {}", file.display()))?;
    let mut command = Command::new(java_tool("javac"));
    command.args(["-J-XX:TieredStopAtLevel=1", "-J-XX:+UseSerialGC"]);
    command.arg("-cp").arg(dist.class_path()).arg("-d").arg(into).arg(&file);
    let output = command.output().map_err(|error| missing("javac", &error))?;
    if !output.status.success() {
        bail!("Java program {class} does not compile: {}", text(&output));
    }
    Ok(())
}
