//! The file of a comparison that can be taken up again: how far each lane was compared, and what was found so far.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{Error, LaneReport, Request};

/// How often it is written, beside at each lane's end.
const EVERY: Duration = Duration::from_secs(5);

/// The file, and what is in it; nothing at all if none was asked for.
pub(super) struct Resume {
    path: Option<PathBuf>,
    noted: Noted,
    written: Instant,
}

#[derive(Default, Serialize, Deserialize)]
struct Noted {
    link: String,
    since: Option<i64>,
    lanes: BTreeMap<String, LaneReport>,
}

impl Resume {
    /// Reads it, if it is there.
    pub(super) fn load(request: &Request) -> Result<Self, Error> {
        let path = request.resume.clone();
        let asked =
            || Noted { link: request.link.link.clone(), since: request.since, lanes: BTreeMap::new() };
        let noted = match &path {
            None => asked(),
            Some(path) => match fs::read(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => asked(),
                Err(error) => return Err(wrong(path, format!("can't be read: {error}"))),
                Ok(bytes) => serde_json::from_slice::<Noted>(&bytes)
                    .map_err(|error| wrong(path, format!("is not of an earlier `verify`: {error}")))?,
            },
        };
        if let Some(path) =
            path.as_ref().filter(|_| (&noted.link, noted.since) != (&request.link.link, request.since))
        {
            return Err(wrong(path, format!("is of link {}, or of another --since", noted.link)));
        }
        let resume = Self { path, noted, written: Instant::now() };
        // Better now than after hours.
        resume.write()?;
        Ok(resume)
    }

    /// What was found of a lane so far, if it is the same lane still.
    pub(super) fn found(&self, topic: &str, partition: i32, incarnation: u32) -> Option<&LaneReport> {
        let noted = self.noted.lanes.get(&name(topic, partition));
        noted.filter(|noted| noted.incarnation == incarnation && noted.trouble.is_none())
    }

    /// Notes how far a lane is, and writes it down if that was not done for a while, or `now`.
    pub(super) fn note(&mut self, lane: LaneReport, now: bool) -> Result<(), Error> {
        if self.path.is_none() {
            return Ok(());
        }
        self.noted.lanes.insert(name(&lane.topic, lane.partition), lane);
        if now || self.written.elapsed() >= EVERY {
            self.write()?;
            self.written = Instant::now();
        }
        Ok(())
    }

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

fn name(topic: &str, partition: i32) -> String {
    format!("{topic}[{partition}]")
}

fn wrong(path: &Path, what: String) -> Error {
    let fix = "name a file of this link's earlier run, or one that is not there yet".to_owned();
    Error::Resume { path: path.to_owned(), what, fix }
}
