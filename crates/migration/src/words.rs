//! Counts and names, as they stand in sentences.

use std::fmt::Display;

/// Names in one line, at most.
const NAMED: usize = 5;

/// `1 topic`, `2 topics`.
pub(crate) fn counted<N: Display + PartialEq + From<u8>>(count: N, what: &str) -> String {
    let many = if count == N::from(1) { "" } else { "s" };
    format!("{count} {what}{many}")
}

/// Some names, and how many there are more.
pub(crate) fn few(names: impl IntoIterator<Item = String>) -> String {
    let names: Vec<String> = names.into_iter().collect();
    match names.len().checked_sub(NAMED) {
        None | Some(0) => names.join(", "),
        Some(more) => format!("{} and {more} more", names[..NAMED].join(", ")),
    }
}
