//! The right-hand side of a rename pattern: text with `$1`, `${1}`, `$name` or `${name}` in it.

use regex::Captures;

use crate::{
    error::Problem,
    name::{NameError, is_legal},
    pattern::Pattern,
};

/// A parsed template, whose groups are known to exist.
#[derive(Debug, Clone)]
pub(crate) struct Template(Vec<Part>);

#[derive(Debug, Clone)]
enum Part {
    Text(String),
    Group(usize),
}

impl Template {
    /// Reads `text`, whose groups must be groups of `pattern`. A number ends with its last digit, so
    /// `$1_v2` is group 1 and `_v2`, as in Java, where the regex crate would look for a group `1_v2`.
    pub(crate) fn new(text: &str, pattern: &Pattern) -> Result<Self, Problem> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(dollar) = rest.find('$') {
            push_text(&mut parts, &rest[..dollar])?;
            let (group, behind) = reference(&rest[dollar + 1..])?;
            let number = match group.parse::<usize>() {
                Ok(number) => (number < pattern.groups()).then_some(number),
                Err(_) => pattern.group(group),
            };
            let unknown = || Problem::NoSuchGroup { group: group.to_owned(), groups: pattern.groups() - 1 };
            parts.push(Part::Group(number.ok_or_else(unknown)?));
            rest = behind;
        }
        push_text(&mut parts, rest)?;
        Ok(Self(parts))
    }

    /// The name that it makes of a match. A group that took no part in the match is empty.
    pub(crate) fn expand(&self, captures: &Captures<'_>) -> String {
        let part = |part| match part {
            &Part::Group(number) => captures.get(number).map_or("", |m| m.as_str()),
            Part::Text(text) => text.as_str(),
        };
        self.0.iter().map(part).collect()
    }
}

fn push_text(parts: &mut Vec<Part>, text: &str) -> Result<(), Problem> {
    if let Some(character) = text.chars().find(|c| !is_legal(*c)) {
        return Err(Problem::Name(NameError::Character(character)));
    }
    if !text.is_empty() {
        parts.push(Part::Text(text.to_owned()));
    }
    Ok(())
}

/// Splits what stands behind a `$` into the group that is meant and the rest.
fn reference(text: &str) -> Result<(&str, &str), Problem> {
    if let Some(inner) = text.strip_prefix('{') {
        return inner.split_once('}').filter(|(group, _)| !group.is_empty()).ok_or(Problem::Dollar);
    }
    let digits = text.starts_with(|c: char| c.is_ascii_digit());
    let belongs = |c: char| if digits { c.is_ascii_digit() } else { c.is_ascii_alphanumeric() || c == '_' };
    let end = text.find(|c| !belongs(c)).unwrap_or(text.len());
    if end == 0 { Err(Problem::Dollar) } else { Ok(text.split_at(end)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(pattern: &str, template: &str, topic: &str) -> Result<String, String> {
        let pattern = Pattern::new(pattern).unwrap();
        let template = Template::new(template, &pattern).map_err(|e| e.to_string())?;
        Ok(template.expand(&pattern.captures(topic).expect("a match")))
    }

    #[test]
    fn groups_are_put_in_by_number_and_by_name() {
        assert_eq!(expand("^legacy\\.(.*)$", "$1", "legacy.a").unwrap(), "a");
        assert_eq!(expand("^(a)(b)$", "x.$2-$1", "ab").unwrap(), "x.b-a");
        assert_eq!(expand("^(a)$", "$1_v2", "a").unwrap(), "a_v2");
        assert_eq!(expand("^(a)$", "${1}0", "a").unwrap(), "a0");
        assert_eq!(expand("^(?<what>a)$", "${what}_v2", "a").unwrap(), "a_v2");
        assert_eq!(expand("^(?<what>a)$", "$what.v2", "a").unwrap(), "a.v2");
        assert_eq!(expand("^a(b)?$", "c$1", "a").unwrap(), "c");
        assert_eq!(expand("^.*$", "copy.$0", "a").unwrap(), "copy.a");
    }

    #[test]
    fn what_a_template_cannot_mean_is_refused() {
        for (template, part) in [
            ("$2", "group `2`"),
            ("$what", "group `what`"),
            ("$", "a `$` must be followed"),
            ("${1", "a `$` must be followed"),
            ("${}", "a `$` must be followed"),
            ("$1/x", "'/' can't stand"),
            ("$$", "a `$` must be followed"),
        ] {
            let error = expand("^(a)$", template, "a").unwrap_err();
            assert!(error.contains(part), "{template}: {error}");
        }
    }
}
