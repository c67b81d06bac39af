//! A link's TOML while it comes together: keys in their sections, with comments for what has no key.
//!
//! Owns how it looks, and that a secret is only ever a reference in it.

use std::fmt::Write;

use mirror_types::Side;
use secrecy::{ExposeSecret, SecretString};

use super::{
    note::{Note, Place, told},
    value::Value,
};
use crate::check::Severity;

/// Columns of a comment.
const WIDTH: usize = 110;

/// A link that was made of MirrorMaker's configuration.
pub struct Flow {
    /// Its name.
    pub link: String,
    /// Its configuration.
    pub toml: String,
    /// The same with something in the place of every file and variable, to see whether it can be read.
    pub trial: String,
    /// What has no counterpart, and what somebody should know.
    pub notes: Vec<Note>,
    /// What the files that it names for secrets have to hold, as far as that is known.
    pub secrets: Vec<Secret>,
}

/// A secret for a file beside the TOML.
pub struct Secret {
    /// The file's name.
    pub file: String,
    value: SecretString,
}

/// The sections, in the order of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Top,
    Source,
    SourceKafka,
    Target,
    TargetKafka,
    Topics,
    Rename,
    Groups,
    Limits,
    Policy,
}

/// What stands behind a key.
enum Set {
    Text(String),
    /// A number.
    Bare(String),
    List(Vec<String>),
    File(String),
    Variable(String),
}

enum Line {
    Set(String, Set),
    Note(usize),
}

/// A link's TOML while it comes together.
pub(super) struct Draft {
    pub link: String,
    into: bool,
    lines: Vec<(Section, Line)>,
    notes: Vec<Note>,
    secrets: Vec<Secret>,
}

// === impl Secret ===

impl Secret {
    /// What the file has to hold. Never print it.
    pub fn expose(&self) -> &str {
        self.value.expose_secret()
    }
}

// === impl Flow ===

impl Flow {
    /// Whether it can be used as it stands.
    pub fn usable(&self) -> bool {
        self.notes.iter().all(|note| note.severity != Severity::Error)
    }
}

// === impl Section ===

impl Section {
    const ALL: [Self; 10] = [
        Self::Top,
        Self::Source,
        Self::SourceKafka,
        Self::Target,
        Self::TargetKafka,
        Self::Topics,
        Self::Rename,
        Self::Groups,
        Self::Limits,
        Self::Policy,
    ];

    pub fn of(side: Side) -> Self {
        match side {
            Side::Source => Self::SourceKafka,
            Side::Target => Self::TargetKafka,
        }
    }

    fn header(self) -> Option<&'static str> {
        Some(match self {
            Self::Top => return None,
            Self::Source => "[source]",
            Self::SourceKafka => "[source.kafka]",
            Self::Target => "[target]",
            Self::TargetKafka => "[target.kafka]",
            Self::Topics => "[topics]",
            Self::Rename => "[topics.rename]",
            Self::Groups => "[groups]",
            Self::Limits => "[limits]",
            Self::Policy => "[policy]",
        })
    }

    fn key(self, key: &str) -> String {
        match self {
            Self::SourceKafka | Self::TargetKafka | Self::Rename => quoted(key),
            _ => key.to_owned(),
        }
    }
}

// === impl Draft ===

impl Draft {
    pub fn new(link: &str, into: bool) -> Self {
        let mut draft =
            Self { link: link.to_owned(), into, lines: Vec::new(), notes: Vec::new(), secrets: Vec::new() };
        draft.set(Section::Top, "link", link);
        draft
    }

    pub fn set(&mut self, section: Section, key: &str, value: &str) {
        self.push(section, key, Set::Text(value.to_owned()));
    }

    pub fn set_number(&mut self, section: Section, key: &str, value: i64) {
        self.push(section, key, Set::Bare(value.to_string()));
    }

    pub fn set_list(&mut self, section: Section, key: &str, list: &[String]) {
        if !list.is_empty() {
            self.push(section, key, Set::List(list.to_vec()));
        }
    }

    pub fn has(&self, section: Section, key: &str) -> bool {
        let key = section.key(key);
        self.lines
            .iter()
            .any(|(at, line)| *at == section && matches!(line, Line::Set(known, _) if *known == key))
    }

    pub fn note(&mut self, section: Section, severity: Severity, place: Place, message: impl Into<String>) {
        self.lines.push((section, Line::Note(self.notes.len())));
        self.notes.push(Note { place, message: message.into(), severity });
    }

    /// Sets a property that is no secret; one whose value only a config provider knows has to be written by hand.
    pub fn property(&mut self, side: Side, property: &str, value: &Value, place: &Place) {
        let section = Section::of(side);
        match value {
            Value::Text(text) => self.set(section, property, text),
            Value::Variable(name) => self.push(section, property, Set::Variable(name.clone())),
            Value::Elsewhere => {
                let message =
                    format!("its value comes from a config provider: write it here as \"{property}\"");
                self.note(section, Severity::Error, place.clone(), message);
            }
        }
    }

    /// Sets a property that is a secret: to a file, or to the variable that it is in.
    pub fn secret(&mut self, side: Side, property: &str, value: &Value, place: &Place) {
        let section = Section::of(side);
        let prefix = if self.into { format!("{}-", self.link) } else { String::new() };
        let what = property.trim_start_matches("sasl.").trim_start_matches("ssl.").replace('.', "-");
        let file = format!("{prefix}{side}-{what}");
        let (severity, message) = match value {
            Value::Variable(name) => return self.push(section, property, Set::Variable(name.clone())),
            Value::Text(text) if text.is_empty() => {
                (Severity::Error, format!("it is empty: put it into the file {file}"))
            }
            Value::Text(text) if self.into => {
                self.secrets.push(Secret { file: file.clone(), value: SecretString::from(text.as_str()) });
                (Severity::Info, format!("written into the file {file}"))
            }
            Value::Text(_) => (
                Severity::Error,
                format!("put the secret that stands there into the file {file} beside this one, mode 0600"),
            ),
            Value::Elsewhere => (
                Severity::Error,
                format!(
                    "it comes from a config provider: put it into the file {file} beside this one, mode 0600"
                ),
            ),
        };
        self.note(section, severity, place.clone(), message);
        self.push(section, property, Set::File(file));
    }

    /// Two of Java's names may mean one key here: the first counts.
    fn push(&mut self, section: Section, key: &str, value: Set) {
        if !self.has(section, key) {
            self.lines.push((section, Line::Set(section.key(key), value)));
        }
    }

    pub fn finish(self) -> Flow {
        let (toml, trial) = (self.render(false), self.render(true));
        Flow { link: self.link, toml, trial, notes: self.notes, secrets: self.secrets }
    }

    fn note_of(&self, line: &Line) -> Option<&Note> {
        if let Line::Note(index) = line { self.notes.get(*index) } else { None }
    }

    fn render(&self, trial: bool) -> String {
        let mut out = String::new();
        comment(
            &mut out,
            "Made by `isomirror import`. What has no counterpart stands here as a comment, with its file and line; \
             TODO is what has to be done before the link can run.",
        );
        for section in Section::ALL {
            let lines: Vec<&Line> =
                self.lines.iter().filter(|(at, _)| *at == section).map(|(_, line)| line).collect();
            let notes: Vec<&Note> = lines.iter().filter_map(|line| self.note_of(line)).collect();
            let mut told = told(&notes).into_iter().peekable();
            if let (Some(header), false) = (section.header(), lines.is_empty()) {
                // Writing to a String cannot fail.
                let _ = writeln!(out, "\n{header}");
            }
            let mut index = 0;
            for line in lines {
                match line {
                    Line::Set(key, value) => {
                        let _ = writeln!(out, "{key} = {}", value.render(section, key, trial));
                    }
                    Line::Note(_) => {
                        if let Some((_, text)) = told.next_if(|(first, _)| *first == index) {
                            let todo = notes[index].severity == Severity::Error;
                            comment(&mut out, &format!("{}{text}", if todo { "TODO " } else { "" }));
                        }
                        index += 1;
                    }
                }
            }
        }
        out
    }
}

impl Set {
    fn render(&self, section: Section, key: &str, trial: bool) -> String {
        match self {
            // Two clusters, so not the same server twice.
            Self::File(_) | Self::Variable(_) if trial && key.contains("bootstrap.servers") => {
                quoted(if section == Section::SourceKafka { "source:1" } else { "target:1" })
            }
            Self::File(_) | Self::Variable(_) if trial => quoted("x"),
            Self::File(name) => format!("{{ file = {} }}", quoted(name)),
            Self::Variable(name) => format!("{{ env = {} }}", quoted(name)),
            Self::Bare(text) => text.clone(),
            Self::Text(text) => quoted(text),
            Self::List(list) => {
                let items: Vec<String> = list.iter().map(|item| quoted(item)).collect();
                match items.iter().map(|item| item.len() + 2).sum::<usize>() + key.len() {
                    0..100 => format!("[{}]", items.join(", ")),
                    _ => format!("[\n    {},\n]", items.join(",\n    ")),
                }
            }
        }
    }
}

/// A TOML string.
fn quoted(text: &str) -> String {
    if text.contains('\n') && text.chars().all(|c| c == '\n' || (!c.is_control() && c != '\'')) {
        return format!("'''\n{text}\n'''");
    }
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            _ if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            _ => out.push(c),
        }
    }
    out + "\""
}

/// A comment, broken where it is too long; lines that begin with blanks are command lines and stay whole.
fn comment(out: &mut String, text: &str) {
    for line in text.split('\n') {
        let mut column = 1;
        out.push('#');
        let words: Vec<&str> = if line.starts_with(' ') { vec![line] } else { line.split(' ').collect() };
        for word in words {
            let length = word.chars().count() + 1;
            if column + length > WIDTH && column > 1 {
                out.push_str("\n#  ");
                column = 3;
            }
            out.push(' ');
            out.extend(word.chars().map(|c| if c.is_control() { '?' } else { c }));
            column += length;
        }
        out.push('\n');
    }
}
