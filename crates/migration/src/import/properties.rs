//! `.properties` files as Java reads them, with the line of each key.
//!
//! Owns the file's form. Knows no key's meaning; values are never shown from here.

use std::collections::HashMap;

use java_properties::{LineContent, PropertiesIter};

use super::note::{ImportError, Place};

/// A key and its value; of several with the same key, the last, which is the one that counts in Java.
pub(super) struct Entry {
    pub key: String,
    /// Without blanks around it: Kafka trims what it reads.
    pub value: String,
    pub line: usize,
}

/// A file.
pub(super) struct Properties {
    pub name: String,
    pub entries: Vec<Entry>,
    /// Lines whose key stands again further below.
    pub repeated: Vec<usize>,
    /// Where in `entries` a key is.
    index: HashMap<String, usize>,
}

impl Properties {
    /// Of entries that were read elsewhere, each key once.
    pub fn of(name: &str, entries: Vec<Entry>) -> Self {
        let index = entries.iter().enumerate().map(|(at, entry)| (entry.key.clone(), at)).collect();
        Self { name: name.to_owned(), entries, repeated: Vec::new(), index }
    }

    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.index.get(key).map(|at| &self.entries[*at])
    }

    /// Where an entry stands. Its key is named only if it looks like a property's name: in a file with a broken line,
    /// a piece of a key or a token is taken for one.
    pub fn place(&self, entry: &Entry) -> Place {
        let key = is_name(&entry.key).then(|| entry.key.clone());
        Place { file: Some(self.name.clone()), line: Some(entry.line), key }
    }

    /// What is odd about the file's form: where, and what of it.
    pub fn remarks(&self, mut note: impl FnMut(Place, &str)) {
        for line in &self.repeated {
            let place = Place { line: Some(*line), ..Place::file(&self.name) };
            note(place, "does not count: its key stands again further below");
        }
        for entry in self.entries.iter().filter(|entry| !entry.value.is_ascii()) {
            let message =
                "has characters beyond ASCII, which are taken for ISO-8859-1, as MirrorMaker takes them";
            note(self.place(entry), message);
        }
    }
}

/// Names of one word.
const WORDS: [&str; 10] = [
    "acks",
    "clusters",
    "enabled",
    "groups",
    "listeners",
    "name",
    "predicates",
    "retries",
    "topics",
    "transforms",
];

/// Whether it is certainly a property's name, with a cluster or a flow in front of it or not.
fn is_name(key: &str) -> bool {
    let small = |c: char| c.is_ascii_lowercase() || matches!(c, '_' | '-');
    let word = |word: &str| !word.is_empty() && word.len() <= 24 && word.chars().all(small);
    let alias = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '>');
    let rest = match key.split_once('.') {
        Some((first, rest)) if !word(first) && first.len() <= 60 && first.chars().all(alias) => rest,
        _ => key,
    };
    WORDS.contains(&rest) || rest.contains('.') && rest.split('.').all(word)
}

/// Reads a file. It is taken as ISO-8859-1, as MirrorMaker takes it, but for a byte order mark at its beginning.
pub(super) fn read(name: &str, bytes: &[u8]) -> Result<Properties, ImportError> {
    let name: String = name.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let refuse = |message: &str, fix: &str| Err(ImportError::new(Place::file(&name), message, fix));
    if bytes.iter().any(|byte| *byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c)) {
        return refuse(
            "is no text file",
            "name MirrorMaker's .properties files; UTF-16 has to be turned into UTF-8 first",
        );
    }
    let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
    // The parser drops a last line that ends in a backslash and in nothing else.
    let text = without_comments(&text) + "\n";
    let mut file =
        Properties { name: name.clone(), entries: Vec::new(), repeated: Vec::new(), index: HashMap::new() };
    for line in PropertiesIter::new_with_encoding(text.as_bytes(), encoding_rs::UTF_8) {
        let line = line.map_err(|error| {
            let place = Place { line: error.line_number(), ..Place::file(&name) };
            ImportError::new(
                place,
                "a \\u without four hexadecimal digits behind it",
                "write \\\\ for a backslash",
            )
        })?;
        let number = line.line_number();
        let LineContent::KVPair(key, value) = line.consume_content() else { continue };
        let entry = Entry { value: value.trim().to_owned(), line: number, key };
        match file.index.get(&entry.key) {
            Some(&at) => {
                file.repeated.push(file.entries[at].line);
                file.entries[at] = entry;
            }
            None => {
                file.index.insert(entry.key.clone(), file.entries.len());
                file.entries.push(entry);
            }
        }
    }
    match file.entries.is_empty() {
        true => refuse("there is no property in it", "name MirrorMaker's .properties files"),
        false => Ok(file),
    }
}

/// The text with nothing in its comments: the parser looks for escapes even there, and finds one in `C:\users`.
fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 1);
    let mut continued = false;
    for line in text.split_inclusive(['\n', '\r']) {
        let content = line.trim_end_matches(['\n', '\r']);
        if line == "\n" && out.ends_with('\r') {
            // The second half of a Windows line end.
        } else if !continued && content.trim_start_matches([' ', '\t', '\x0c']).starts_with(['#', '!']) {
            out.push_str(&line[content.len()..]);
            continue;
        } else {
            continued = content.chars().rev().take_while(|c| *c == '\\').count() % 2 == 1;
        }
        out.push_str(line);
    }
    out
}
