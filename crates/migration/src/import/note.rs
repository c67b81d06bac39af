//! What is said of a key: where it stands, and what becomes of it.

use std::{collections::HashMap, fmt};

use serde::Serialize;

use crate::check::Severity;

/// Where something was written: a line of a file, or a flag.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The file.
    pub file: Option<String>,
    /// The line, counted from 1.
    pub line: Option<usize>,
    /// The key, or the flag; none where it may be a piece of a secret.
    pub key: Option<String>,
}

/// Something that has no counterpart, or that somebody should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// What it is about.
    #[serde(flatten)]
    pub place: Place,
    /// What is to be said of it. Lines that begin with blanks are command lines.
    pub message: String,
    /// `Error`: must be done before the link can run; `Warning`: differs from MirrorMaker; `Info`: not needed here.
    pub severity: Severity,
}

/// Input that can't be used, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportError {
    place: Place,
    message: String,
    fix: String,
}

impl Place {
    /// A whole file.
    pub(crate) fn file(name: &str) -> Self {
        Self { file: Some(name.to_owned()), ..Self::default() }
    }

    /// A flag of the command line.
    pub(crate) fn flag(name: &str) -> Self {
        Self { key: Some(name.to_owned()), ..Self::default() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.line.map_or_else(String::new, |line| format!(":{line}"));
        let file = self.file.as_ref().map(|file| format!("{file}{line}"));
        let parts: Vec<_> =
            [file.as_ref(), self.key.as_ref()].into_iter().flatten().map(String::as_str).collect();
        f.write_str(&parts.join(" "))
    }
}

/// Notes as text, those of one file that say the same in one, but for what has to be done: the index of the first of
/// them, and the text.
pub fn told(notes: &[&Note]) -> Vec<(usize, String)> {
    let mut groups: Vec<(usize, String)> = Vec::new();
    let mut known: HashMap<(&Option<String>, &str), usize> = HashMap::new();
    for (index, note) in notes.iter().enumerate() {
        let Place { file, line, key } = &note.place;
        let of_its_own = note.severity == Severity::Error || file.is_none();
        match known.get(&(file, note.message.as_str())) {
            Some(group) if !of_its_own => {
                let line = line.map_or_else(String::new, |line| format!(":{line} "));
                groups[*group].1 += &format!(", {line}{}", key.as_deref().unwrap_or_default());
            }
            _ => {
                if !of_its_own {
                    known.insert((file, &note.message), groups.len());
                }
                groups.push((index, note.place.to_string()));
            }
        }
    }
    for (index, text) in &mut groups {
        let message = &notes[*index].message;
        *text = if text.is_empty() { message.clone() } else { format!("{}: {message}", text.trim_end()) };
    }
    groups
}

impl ImportError {
    pub(crate) fn new(place: Place, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { place, message: message.into(), fix: fix.into() }
    }
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}\n  fix: {}", self.place, self.message, self.fix)
    }
}

impl std::error::Error for ImportError {}
