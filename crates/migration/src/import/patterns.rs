//! Java's regular expressions of topics as lists of Rust's, to include and to exclude.
//!
//! Both match whole names alike. What Rust's lack is turned into an exclude where that is exactly the same, and is an
//! error where not.

use topic_rename::Pattern;

/// Patterns of topics.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Patterns {
    pub include: Vec<String>,
    pub exclude: Vec<String>,
}

/// What is wrong, and how to mend it.
pub(super) type Wrong = (String, String);

/// Splits a pattern at its bars, and `^(?!A)B` into B and all that begins with A.
pub(super) fn translate(pattern: &str) -> Result<Patterns, Wrong> {
    let mut patterns = Patterns::default();
    let pattern = &without_quotes(pattern);
    let alternatives: Vec<&str> = alternatives(pattern).into_iter().filter(|part| !part.is_empty()).collect();
    for part in &alternatives {
        let (refused, rest) = refused_beginnings(part);
        if !refused.is_empty() && alternatives.len() > 1 {
            return wrong(part, "look-around beside other patterns can't be expressed");
        }
        for beginning in refused {
            let all = format!("(?:{beginning}).*");
            checked(&all)
                .map_err(|_| wrong::<()>(part, "what is in (?!…) can't be expressed").unwrap_err())?;
            patterns.exclude.push(all);
        }
        checked(rest)?;
        if !patterns.include.iter().any(|known| known == rest) {
            patterns.include.push(rest.to_owned());
        }
    }
    Ok(patterns)
}

/// What stands between \Q and \E, each character as itself. Rust's parser has no such quotes.
fn without_quotes(pattern: &str) -> String {
    let (mut text, mut rest) = (String::new(), pattern);
    while let Some(at) = quote(rest) {
        text.push_str(&rest[..at]);
        let (quoted, behind) = rest[at + 2..].split_once("\\E").unwrap_or((&rest[at + 2..], ""));
        text.push_str(&exactly(quoted));
        rest = behind;
    }
    text + rest
}

/// Where a quote begins: at a backslash that no other one stands before.
fn quote(pattern: &str) -> Option<usize> {
    let mut escaped = false;
    let begins = pattern.char_indices().find(|(at, c)| {
        let begins = !escaped && pattern[*at..].starts_with("\\Q");
        escaped = !escaped && *c == '\\';
        begins
    });
    begins.map(|(at, _)| at)
}

/// The pattern that matches only this text.
pub(super) fn exactly(text: &str) -> String {
    Pattern::exactly(text).as_str().to_owned()
}

/// Whether a pattern, one that was translated, matches this name.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    Pattern::new(pattern).is_ok_and(|pattern| pattern.matches(name))
}

fn wrong<T>(pattern: &str, what: &str) -> Result<T, Wrong> {
    let fix = "write the topics' names, or patterns without it; what is to be left out goes into `exclude` of [topics], \
               by itself";
    Err((format!("the pattern {pattern:?}: {what}"), fix.to_owned()))
}

fn checked(pattern: &str) -> Result<(), Wrong> {
    if pattern.contains("(?>") {
        return wrong(pattern, "atomic groups are Java's alone: write (?:…)");
    }
    if is_possessive(pattern) {
        return wrong(
            pattern,
            "possessive quantifiers (*+, ++, ?+, }+) are Java's alone: leave the last + out",
        );
    }
    match Pattern::new(pattern) {
        Ok(_) => Ok(()),
        Err(error) => wrong(pattern, &error.to_string()),
    }
}

/// What is at each byte of a pattern: how many groups are open there, and whether it is a character with a meaning.
fn scan(pattern: &str) -> impl Iterator<Item = (usize, char, usize, bool)> {
    let (mut escaped, mut class, mut depth) = (false, 0_usize, 0_usize);
    pattern.char_indices().map(move |(at, c)| {
        let plain = escaped || (class > 0 && c != ']' && c != '[' && c != '\\');
        escaped = !escaped && c == '\\';
        if !plain {
            match c {
                '[' => class += 1,
                ']' => class = class.saturating_sub(1),
                '(' => depth += 1,
                ')' => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        (at, c, depth, !plain && class == 0)
    })
}

/// The parts between bars that stand in no group. A flag such as `(?i)` goes over bars: then there is one part.
fn alternatives(pattern: &str) -> Vec<&str> {
    let flag = |(at, _): (usize, &str)| {
        let rest = pattern[at + 2..].trim_start_matches(|c: char| c.is_ascii_alphabetic() || c == '-');
        rest.starts_with(')')
    };
    if pattern.match_indices("(?").any(flag) {
        return vec![pattern];
    }
    let bars = scan(pattern).filter(|(_, c, depth, meant)| *c == '|' && *depth == 0 && *meant);
    let (mut parts, mut from) = (Vec::new(), 0);
    for (at, ..) in bars {
        parts.push(&pattern[from..at]);
        from = at + 1;
    }
    parts.push(&pattern[from..]);
    parts
}

/// What stands in `(?!…)` at the beginning, and what stands behind.
fn refused_beginnings(pattern: &str) -> (Vec<&str>, &str) {
    let (mut refused, mut rest) = (Vec::new(), pattern.trim_start_matches('^'));
    while rest.starts_with("(?!") {
        let Some((end, ..)) = scan(rest).find(|(_, c, depth, meant)| *c == ')' && *depth == 0 && *meant)
        else {
            break;
        };
        refused.push(&rest[3..end]);
        rest = &rest[end + 1..];
    }
    if refused.is_empty() { (refused, pattern) } else { (refused, rest) }
}

/// Rust's parser takes `a*+` for `(a*)+`.
fn is_possessive(pattern: &str) -> bool {
    let meant: Vec<(usize, char)> =
        scan(pattern).filter(|found| found.3).map(|(at, c, ..)| (at, c)).collect();
    meant.windows(2).any(|pair| {
        let [(at, first), (next, second)] = pair else { return false };
        matches!(first, '*' | '+' | '?' | '}') && *second == '+' && at + 1 == *next
    })
}
