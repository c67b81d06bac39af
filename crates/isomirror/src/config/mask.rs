//! Hides secrets in lines of the configuration file that an error is about to show.
//!
//! `spans` is exact and needs the file to be TOML; `by_words` is for files that are not, and hides too much
//! rather than too little.

use std::ops::Range;

/// What stands in the place of what is hidden.
pub const HIDDEN: &str = "***";

/// The line with whatever of it lies in one of the `hidden` spans replaced.
pub fn spans(text: &str, line: Range<usize>, hidden: &[Range<usize>]) -> String {
    let mut hidden: Vec<_> =
        hidden.iter().filter(|h| h.start < line.end && h.end > line.start).cloned().collect();
    hidden.sort_by_key(|h| h.start);
    let (mut out, mut done) = (String::new(), line.start);
    for span in hidden {
        let (from, to) = (span.start.clamp(done, line.end), span.end.clamp(done, line.end));
        out.push_str(&text[done..from]);
        if to > done {
            out.push_str(HIDDEN);
        }
        done = to;
    }
    out + &text[done..line.end]
}

/// The line of a file that is no TOML. Shown whole only where no property of a cluster can stand.
pub fn by_words(text: &str, line: Range<usize>) -> String {
    let (before, line) = (&text[..line.start], &text[line]);
    let open = |quotes: &str| before.matches(quotes).count() % 2 == 1;
    if open("\"\"\"") || open("'''") {
        return HIDDEN.to_owned();
    }
    let header = before.lines().rev().map(str::trim).find(|l| l.starts_with('[') && l.contains(']'));
    let about_cluster = |text: &str| {
        let text = text.to_ascii_lowercase();
        ["source", "target", "kafka", "sasl", "ssl"].iter().any(|word| text.contains(word))
            || kafka_rd::is_secret(&text)
    };
    let is_header = line.trim_start().starts_with('[');
    let suspect = about_cluster(line) || header.is_some_and(about_cluster);
    match line.split_once('=') {
        _ if is_header && !line.contains('=') => line.to_owned(),
        Some((key, _)) if suspect && is_key(key) => format!("{key}= {HIDDEN}"),
        _ if suspect => HIDDEN.to_owned(),
        _ => line.to_owned(),
    }
}

/// Whether this is certainly a key, and not a piece of a value that has a `=` in it (as base64 has).
fn is_key(text: &str) -> bool {
    let text = text.trim();
    let plain = |c: char| c.is_ascii_lowercase() || matches!(c, '.' | '_' | '-' | '"' | '\'');
    !text.is_empty() && text.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last_line(text: &str) -> String {
        let start = text.rfind('\n').map_or(0, |at| at + 1);
        by_words(text, start..text.len())
    }

    #[test]
    fn where_the_file_is_no_toml_no_clusters_property_is_shown() {
        for text in [
            "[source.kafka]\n\"sasl.password\" = \"hunter2",
            "[source.kafka]\nsasl.password hunter2",
            "[source]\nkafka = { \"sasl.password\" = \"hunter2\"",
            "[target]\nkafka = {\n \"ssl.key.password\" = hunter2",
            "[target.kafka.ssl.key]\npem = hunter2",
            "[target.kafka]\n\"ssl.key.pem\" = \"\"\"\nhunter2==",
            "[target.kafka]\n\"ssl.key.pem\" = '''\nhunter2",
            "sasl = { password = \"hunter2\"",
            "password = hunter2",
            "[target.kafka] # hunter2 = hunter2",
            "[target.kafka]\nhunter2==",
        ] {
            assert!(!last_line(text).contains("hunter2"), "{text}: {}", last_line(text));
        }
        assert_eq!(last_line("[source.kafka]\n\"sasl.password\" = hunter2"), "\"sasl.password\" = ***");
        assert_eq!(last_line("[limits]\nbuffer = 64MiB"), "buffer = 64MiB");
        assert_eq!(last_line("[source.kafka"), "[source.kafka");
    }

    #[test]
    fn spans_over_the_ends_of_a_line_hide_what_is_on_it() {
        let text = "ab\ncdef\ngh";
        assert_eq!(spans(text, 3..7, &[0..4, 0..3]), "***def");
        assert_eq!(spans(text, 3..7, &[6..10, 0..4]), "***de***");
        assert_eq!(spans(text, 3..7, &[0..10, 4..5]), "***");
        assert_eq!(spans(text, 3..7, &[0..2, 8..9]), "cdef");
    }
}
