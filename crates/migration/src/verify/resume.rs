//! The file of a comparison that can be taken up again: how far each lane was compared, and what was found so far.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use mirror_types::TopicPartition;
use serde::{Deserialize, Serialize};

use super::{Error, LaneReport, Noted, Notes, Request};

/// How often it is written, beside at each lane's end.
const EVERY: Duration = Duration::from_secs(5);

/// The file, and what is in it; nothing at all if none was asked for.
pub(super) struct Resume(Mutex<File>);

struct File {
    path: Option<PathBuf>,
    noted: Lanes,
    written: Instant,
}

#[derive(Default, Serialize, Deserialize)]
struct Lanes {
    link: String,
    since: Option<i64>,
    lanes: BTreeMap<String, LaneReport>,
}

impl Resume {
    /// Reads it, if it is there.
    pub(super) fn load(request: &Request) -> Result<Self, Error> {
        let path = request.resume.clone();
        let asked =
            || Lanes { link: request.link.link.clone(), since: request.since, lanes: BTreeMap::new() };
        let noted = match &path {
            None => asked(),
            Some(path) => match fs::read(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => asked(),
                Err(error) => return Err(wrong(path, format!("can't be read: {error}"))),
                Ok(bytes) => serde_json::from_slice::<Lanes>(&bytes)
                    .map_err(|error| wrong(path, format!("is not of an earlier `verify`: {error}")))?,
            },
        };
        if let Some(path) =
            path.as_ref().filter(|_| (&noted.link, noted.since) != (&request.link.link, request.since))
        {
            return Err(wrong(path, format!("is of link {}, or of another --since", noted.link)));
        }
        let file = File { path, noted, written: Instant::now() };
        // Better now than after hours.
        file.write()?;
        Ok(Self(Mutex::new(file)))
    }

    /// Writes down what is noted.
    pub(super) fn write(&self) -> Result<(), Error> {
        self.file().write()
    }

    fn file(&self) -> MutexGuard<'_, File> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Notes for Resume {
    fn noted(&self, lane: &TopicPartition, incarnation: u32) -> Option<Noted> {
        let file = self.file();
        let noted = file.noted.lanes.get(&lane.to_string());
        let noted = noted.filter(|noted| noted.incarnation == incarnation)?;
        Some(Noted { from: noted.from, to: noted.to, found: noted.found.clone() })
    }

    /// Writes it down if that was not done for a while, or at the end.
    fn note(&self, lane: LaneReport, end: bool) -> Result<(), Error> {
        let mut file = self.file();
        if file.path.is_none() {
            return Ok(());
        }
        file.noted.lanes.insert(lane.at().to_string(), lane);
        if end || file.written.elapsed() >= EVERY {
            file.write()?;
            file.written = Instant::now();
        }
        Ok(())
    }
}

impl File {
    fn write(&self) -> Result<(), Error> {
        let Some(path) = &self.path else { return Ok(()) };
        let written = serde_json::to_vec(&self.noted).map_err(io::Error::from).and_then(|bytes| {
            // Whole or not at all.
            let beside = path.with_extension("new");
            fs::write(&beside, bytes)?;
            fs::rename(&beside, path)
        });
        written.map_err(|error| wrong(path, format!("can't be written: {error}")))
    }
}

fn wrong(path: &Path, what: String) -> Error {
    let fix = "name a file of this link's earlier run, or one that is not there yet".to_owned();
    Error::Resume { path: path.to_owned(), what, fix }
}
