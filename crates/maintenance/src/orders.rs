//! Work orders from files: `reassign-NNN.json`, and what was before, from `rollback-NNN.json` beside it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use cluster_audit::{PartitionId, Placed, read_reassignment};

use crate::Error;

/// What the files are called by.
const FORWARD: &str = "reassign-";
const BACK: &str = "rollback-";

/// One batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The file.
    pub file: PathBuf,
    /// The file that undoes it, if there is one.
    pub undo: Option<PathBuf>,
    /// Where its partitions are to be.
    pub after: Vec<Placed>,
    /// Where they were when it was made, as far as a file says.
    pub before: BTreeMap<PartitionId, Vec<i32>>,
}

/// The orders in these files and directories, in the order of their names; with `back` those that undo them, in reverse.
pub fn orders(plans: &[PathBuf], back: bool) -> Result<Vec<Order>, Error> {
    let mut files = Vec::new();
    for plan in plans {
        if plan.is_dir() {
            files.extend(in_directory(plan)?);
        } else {
            files.push(plan.clone());
        }
    }
    let mut orders = files.iter().map(|file| order(file, back)).collect::<Result<Vec<_>, _>>()?;
    if back {
        orders.reverse();
    }
    Ok(orders)
}

fn in_directory(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let bad = |why: String, fix| Error::File { path: dir.to_owned(), why, fix };
    let entries = fs::read_dir(dir).map_err(|error| bad(error.to_string(), "name a directory of a plan"))?;
    let is_order = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with(FORWARD) && name.ends_with(".json")
    };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_order).collect();
    if files.is_empty() {
        let fix = "name a directory that `audit plan` has written to";
        return Err(bad("there is no reassign-NNN.json in it".to_owned(), fix));
    }
    files.sort();
    Ok(files)
}

fn order(file: &Path, back: bool) -> Result<Order, Error> {
    let other = beside(file);
    let forward = read(file)?;
    let was = match &other {
        Some(path) => Some(read(path)?),
        None => None,
    };
    let map = |placed: &[Placed]| placed.iter().map(|one| (one.at.clone(), one.replicas.clone())).collect();
    match (back, was, other) {
        (false, was, undo) => {
            let before = was.as_deref().map(map).unwrap_or_default();
            Ok(Order { file: file.to_owned(), undo, after: forward, before })
        }
        (true, Some(was), Some(path)) => {
            Ok(Order { file: path, undo: Some(file.to_owned()), before: map(&forward), after: was })
        }
        (true, ..) => Err(Error::File {
            path: file.to_owned(),
            why: "there is no rollback-NNN.json beside it".to_owned(),
            fix: "name the file that `audit plan` has written, with its rollback beside it",
        }),
    }
}

/// The file of what was before, if it is there.
fn beside(file: &Path) -> Option<PathBuf> {
    let name = file.file_name()?.to_str()?;
    let path = file.with_file_name(name.strip_prefix(FORWARD).map(|rest| format!("{BACK}{rest}"))?);
    path.exists().then_some(path)
}

fn read(path: &Path) -> Result<Vec<Placed>, Error> {
    let bad = |why: String, fix| Error::File { path: path.to_owned(), why, fix };
    let text = fs::read_to_string(path)
        .map_err(|error| bad(error.to_string(), "name a file that is there and readable"))?;
    let fix = "it has to be as kafka-reassign-partitions takes it";
    read_reassignment(&text).map_err(|error| bad(error.to_string(), fix))
}
