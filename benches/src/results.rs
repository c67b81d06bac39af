//! All that was measured, kept beside the report: a part that is measured again takes the place of its older self, and the
//! report is made of the whole.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::{
    idle,
    latency::{self, Load},
    mirrors::Mirror,
    run::Run,
};

/// The file's name.
pub const FILE: &str = "results.json";

/// What was measured, by what it was measured on and whose it is.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Results {
    /// Backlogs, by the names of their shapes.
    pub shapes: BTreeMap<String, ByMirror<Run>>,
    /// Latencies.
    pub latency: BTreeMap<Load, ByMirror<latency::Run>>,
    /// Idle partitions.
    pub idle: ByMirror<idle::Run>,
}

/// A series for each mirror.
pub type ByMirror<T> = BTreeMap<Mirror, Series<T>>;

/// The runs of one mirror, of one command.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Series<T> {
    /// When the command began, in seconds since 1970: runs of one command take turns.
    pub session: u64,
    /// The command.
    pub command: String,
    /// Its runs.
    pub runs: Vec<T>,
}

impl Results {
    /// Reads them; there are none where there is no file.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        match fs::read_to_string(&path) {
            Ok(text) => {
                serde_json::from_str(&text).with_context(|| format!("{} can't be read", path.display()))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("{} can't be read", path.display())),
        }
    }

    /// Writes them.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let path = dir.join(FILE);
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(&path, text).with_context(|| format!("failed to write {}", path.display()))
    }

    /// The runs of a mirror on a shape.
    pub fn on(&self, shape: &str, mirror: Mirror) -> Option<&Series<Run>> {
        self.shapes.get(shape)?.get(&mirror)
    }
}

/// What a command has measured, in the place of what was there of the same mirrors.
pub fn replace<T>(there: &mut ByMirror<T>, session: u64, command: &str, new: Vec<(Mirror, Vec<T>)>) {
    for (mirror, runs) in new {
        there.insert(mirror, Series { session, command: command.to_owned(), runs });
    }
}
