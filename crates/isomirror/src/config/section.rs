//! Reads typed values out of one section of the tree, and says what is wrong with it.
//!
//! Owns the wording of type errors and of unknown keys. A key that nobody took is an error: so a key can't be
//! accepted and ignored.

use std::{cell::RefCell, net::SocketAddr, num::NonZeroUsize, time::Duration};

use super::{
    error::Problems,
    schema,
    tree::{Key, Located, Node, Origin, Table, Value},
    units::{self, ByteSize, Rate, Wrong},
    values::{Start, Words},
};
use crate::logging;

/// A section that is being read.
pub struct Section<'p> {
    name: &'static str,
    origin: Option<Origin>,
    entries: Table,
    problems: &'p RefCell<Problems>,
}

/// A value that can be read from the tree.
pub trait Read: Sized {
    /// The value, or what is wrong and how to mend it.
    fn read(value: &Value) -> Result<Self, Wrong>;
}

// === impl Section ===

impl<'p> Section<'p> {
    /// The top level.
    pub fn top(entries: Table, problems: &'p RefCell<Problems>) -> Self {
        Self { name: "", origin: None, entries, problems }
    }

    /// The top level of a pair's file, without what is its links'.
    pub fn pair(entries: Table, problems: &'p RefCell<Problems>) -> Self {
        Self { name: schema::PAIR, origin: None, entries, problems }
    }

    /// A section below this one; empty if it isn't there.
    pub fn section(&mut self, key: &str, name: &'static str) -> Section<'p> {
        let (origin, entries) = match self.table(key) {
            Some(table) => (Some(table.origin), table.value),
            None => (None, Vec::new()),
        };
        Section { name, origin, entries, problems: self.problems }
    }

    /// A section that was taken out of its parent by other means.
    pub fn of(&self, name: &'static str, key: &Key, entries: Table) -> Section<'p> {
        Section { name, origin: Some(key.origin.clone()), entries, problems: self.problems }
    }

    /// Takes the key and its value.
    pub fn take(&mut self, key: &str) -> Option<(Key, Node)> {
        debug_assert!(schema::kind(self.name, key).is_some(), "{key} is in the schema");
        let index = self.entries.iter().position(|(k, _)| k.name == key)?;
        Some(self.entries.remove(index))
    }

    /// Reads the key's value, if it is there and right.
    pub fn get<T: Read>(&mut self, key: &str) -> Option<Located<T>> {
        let (at, node) = self.take(key)?;
        match T::read(&node.value) {
            Ok(value) => Some(Located { value, origin: node.origin }),
            Err((message, fix)) => {
                let mut problems = self.problems.borrow_mut();
                if node.value.has_parts() {
                    problems.hide(&node.origin);
                }
                problems.add(&node.origin, format!("`{}`: {message}", at.name), fix);
                None
            }
        }
    }

    /// Reads the key's value, if it is there and right, or takes the default.
    pub fn get_or<T: Read>(&mut self, key: &str, default: T) -> T {
        self.get(key).map_or(default, |found| found.value)
    }

    /// Takes a list of strings.
    pub fn list(&mut self, key: &str) -> Option<Located<Vec<Located<String>>>> {
        let (at, node) = self.take(key)?;
        let Value::Array(items) = node.value else {
            let message = format!("`{key}` must be a list of strings, not {}", node.value.kind());
            self.problems.borrow_mut().add(&node.origin, message, format!("write {key} = [\"…\"]"));
            return None;
        };
        let mut list = Vec::new();
        for item in items {
            match item.value {
                Value::String(value) => list.push(Located { value, origin: item.origin }),
                other => {
                    let message = format!("`{key}` must hold strings only, not {}", other.kind());
                    self.problems.borrow_mut().add(&item.origin, message, "put it in quotes");
                }
            }
        }
        Some(Located { value: list, origin: at.origin })
    }

    /// Takes a table as it is; its origin is its key's.
    pub fn table(&mut self, key: &str) -> Option<Located<Table>> {
        let (at, node) = self.take(key)?;
        match node.value {
            Value::Table(value) => Some(Located { value, origin: at.origin }),
            other => {
                let message = format!("`{key}` must be a table, not {}", other.kind());
                self.problems.borrow_mut().add(&node.origin, message, format!("write a section [{key}]"));
                // It may be anything, a secret too.
                self.problems.borrow_mut().hide(&node.origin);
                None
            }
        }
    }

    /// Where the section begins, if it is there.
    pub fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    /// Says of every key that was not taken that it is unknown.
    pub fn finish(self) {
        let mut problems = self.problems.borrow_mut();
        let place = match self.name {
            "" | schema::PAIR => "at the top level".to_owned(),
            name => format!("in [{name}]"),
        };
        for (key, node) in self.entries {
            let (fix, misspelt) = schema::did_you_mean(self.name, &key.name);
            if !misspelt || node.value.has_parts() {
                // Nobody knows what it is: perhaps a password in the wrong place, or a misspelt `kafka` full of them.
                problems.hide(&node.origin);
            }
            problems.add(&key.origin, format!("unknown key `{}` {place}", key.name), fix);
        }
    }
}

fn must_be<T>(what: &str, value: &Value, fix: &str) -> Result<T, Wrong> {
    Err((format!("must be {what}, not {}", value.kind()), fix.to_owned()))
}

pub fn text<'v>(value: &'v Value, example: &str) -> Result<&'v str, Wrong> {
    match value {
        Value::String(text) => Ok(text),
        other => must_be("a string", other, &format!("write it in quotes, as in \"{example}\"")),
    }
}

impl Read for String {
    fn read(value: &Value) -> Result<Self, Wrong> {
        text(value, "name").map(str::to_owned)
    }
}

impl Read for bool {
    fn read(value: &Value) -> Result<Self, Wrong> {
        match value {
            Value::Boolean(flag) => Ok(*flag),
            other => must_be("true or false", other, "write true or false, without quotes"),
        }
    }
}

impl Read for i64 {
    fn read(value: &Value) -> Result<Self, Wrong> {
        match value {
            Value::Integer(number) => Ok(*number),
            other => must_be("a whole number", other, "write a whole number, without quotes"),
        }
    }
}

impl Read for NonZeroUsize {
    fn read(value: &Value) -> Result<Self, Wrong> {
        let number = i64::read(value)?;
        usize::try_from(number)
            .ok()
            .and_then(NonZeroUsize::new)
            .ok_or_else(|| (format!("{number} is too small"), "write 1 or more".to_owned()))
    }
}

impl Read for ByteSize {
    fn read(value: &Value) -> Result<Self, Wrong> {
        units::size(text(value, "64MiB")?)
    }
}

impl Read for Rate {
    fn read(value: &Value) -> Result<Self, Wrong> {
        units::rate(text(value, "200MB/s")?)
    }
}

impl Read for Duration {
    fn read(value: &Value) -> Result<Self, Wrong> {
        units::duration(text(value, "5s")?)
    }
}

impl Read for Start {
    fn read(value: &Value) -> Result<Self, Wrong> {
        let text = match value {
            Value::Datetime(text) => text,
            other => text(other, "earliest")?,
        };
        match text {
            "earliest" => Ok(Start::Earliest),
            "latest" => Ok(Start::Latest),
            time => time.parse().map(Start::At).map_err(|_| {
                let fix =
                    "write \"earliest\", \"latest\" or a time with its zone, as in \"2026-01-31T08:00:00Z\"";
                (format!("{time:?} is not a start"), fix.to_owned())
            }),
        }
    }
}

/// Where the admin server listens; none if it is switched off.
impl Read for Option<SocketAddr> {
    fn read(value: &Value) -> Result<Self, Wrong> {
        match text(value, "127.0.0.1:9464")? {
            "none" | "" => Ok(None),
            address => address.parse().map(Some).map_err(|_| {
                let fix = "write an IP address and a port, as in \"127.0.0.1:9464\", or \"none\"";
                (format!("{address:?} is not an address to listen on"), fix.to_owned())
            }),
        }
    }
}

/// What is logged, as `info` or `info,librdkafka=debug`.
pub struct LogLevel(pub String);

impl Read for LogLevel {
    fn read(value: &Value) -> Result<Self, Wrong> {
        let text = text(value, "info")?;
        let wrong = |why: String| (format!("{text:?} is no level of logging{why}"), logging::FIX.to_owned());
        // A word alone that is no level would be taken for the name of a part.
        let is_level = |part: &str| part.contains('=') || part.trim().parse::<tracing::Level>().is_ok();
        if !text.split(',').all(is_level) {
            return Err(wrong(String::new()));
        }
        match logging::filter(text) {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(error) => Err(wrong(format!(": {error}"))),
        }
    }
}

impl<T: Words> Read for T {
    fn read(value: &Value) -> Result<Self, Wrong> {
        let text = text(value, T::WORDS[0].0)?;
        T::WORDS.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning).ok_or_else(|| {
            let words: Vec<_> = T::WORDS.iter().map(|(word, _)| format!("{word:?}")).collect();
            (format!("{text:?} is not one of its words"), format!("write {}", words.join(" or ")))
        })
    }
}
