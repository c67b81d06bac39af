//! Small Python programs against clients from PyPI, as one more reader that shares no code with any other.
//!
//! The packages are in a virtual environment under `<target>/python/`, one for each Python and each list of packages,
//! made by pip at first use.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::dist::{once, target_dir, text};

/// Runs a Python program given as source text, with the packages of a `requirements.txt` given as its text, and returns
/// its standard output; anything but success is an error with what it printed.
pub fn run(requirements: &str, source: &str, args: &[&str]) -> Result<String> {
    let python = environment(requirements)?;
    let dir = tempfile::tempdir().context("failed to make a directory for a Python program")?;
    let file = dir.path().join("program.py");
    std::fs::write(&file, source).with_context(|| format!("failed to write {}", file.display()))?;
    // Nothing of the user's own Python.
    execute(Command::new(python).arg("-I").arg(&file).args(args))
}

/// The interpreter of an environment that has the packages.
fn environment(requirements: &str) -> Result<PathBuf> {
    let python = execute(Command::new("python3").arg("-VV"))?;
    let mut hasher = DefaultHasher::new();
    (requirements, &python).hash(&mut hasher);
    let dir = target_dir().join("python").join(format!("{:016x}", hasher.finish()));
    once(&dir, "packages", || fetch(&dir, requirements))?;
    Ok(dir.join("env/bin/python"))
}

fn fetch(dir: &Path, requirements: &str) -> Result<()> {
    eprintln!("fetching Python packages into {} by pip, once", dir.display());
    let (env, list) = (dir.join("env"), dir.join("requirements.txt"));
    std::fs::write(&list, requirements).with_context(|| format!("failed to write {}", list.display()))?;
    // `--clear`: an interrupted run may have left half of one behind.
    execute(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&env))
        .context("failed to make a virtual environment (Debian package python3-venv)")?;
    let pip = ["-I", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
    execute(Command::new(env.join("bin/python")).args(pip).arg(&list))
        .context("pip could not fetch the packages")?;
    Ok(())
}

fn execute(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("failed to start `{program}`"))?;
    if !output.status.success() {
        bail!("{program} failed: {}", text(&output));
    }
    String::from_utf8(output.stdout).context("its output is not text")
}
