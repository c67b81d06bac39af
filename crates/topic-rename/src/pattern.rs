//! Regular expressions that match whole topic names.

use regex::{Captures, Regex};
use regex_syntax::ast::Span;

/// A regular expression that matches a topic's whole name or not at all.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    regex: Regex,
}

/// A pattern that is no regular expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a regular expression: {reason}{}", at(.column))]
pub struct PatternError {
    /// The character it fails at, counted from 1.
    pub column: Option<usize>,
    /// What is wrong there.
    pub reason: String,
}

fn at(column: &Option<usize>) -> String {
    column.map_or_else(String::new, |column| format!(" (at character {column})"))
}

impl Pattern {
    /// Compiles `text`. Anchors in it are welcome and change nothing.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        // The text is parsed on its own first: `a)|(b` and `(?x) a # ` would otherwise break out of our anchors.
        let parsed = regex_syntax::parse(text).map_err(|error| match &error {
            regex_syntax::Error::Parse(e) => PatternError::new(text, e.span(), e.kind()),
            regex_syntax::Error::Translate(e) => PatternError::new(text, e.span(), e.kind()),
            other => PatternError { column: None, reason: other.to_string() },
        })?;
        let regex = Regex::new(&format!(r"\A(?:{parsed})\z"))
            .map_err(|error| PatternError { column: None, reason: error.to_string() })?;
        Ok(Self { text: text.to_owned(), regex })
    }

    /// The pattern that matches this name only.
    pub fn exactly(name: &str) -> Self {
        Self::new(&regex::escape(name)).expect("an escaped name is a regular expression")
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it matches the whole of `topic`.
    pub fn matches(&self, topic: &str) -> bool {
        self.regex.is_match(topic)
    }

    /// Whether it plainly matches every name that begins so: a beginning of this one, as it is, and `.*`. Patterns that do
    /// so in another way are not recognized.
    pub fn takes_all_from(&self, prefix: &str) -> bool {
        let text = self.text.strip_prefix('^').unwrap_or(&self.text);
        let text = text.strip_suffix('$').unwrap_or(text);
        let begin = text.strip_suffix(".*").and_then(unescaped);
        begin.is_some_and(|begin| prefix.starts_with(&begin))
    }

    /// The only name that it matches, where it plainly is a name.
    pub fn plain(&self) -> Option<String> {
        unescaped(&self.text)
    }

    pub(crate) fn captures<'t>(&self, topic: &'t str) -> Option<Captures<'t>> {
        self.regex.captures(topic)
    }

    /// The number of its capture groups, group 0 (the whole name) included.
    pub(crate) fn groups(&self) -> usize {
        self.regex.captures_len()
    }

    /// The number of the group of this name.
    pub(crate) fn group(&self, name: &str) -> Option<usize> {
        self.regex.capture_names().position(|n| n == Some(name))
    }
}

/// The text that a pattern stands for, if it is plain text.
fn unescaped(pattern: &str) -> Option<String> {
    let mut text = String::new();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        text.push(match character {
            '\\' => characters.next().filter(|c| !c.is_ascii_alphanumeric())?,
            plain if plain.is_ascii_alphanumeric() || matches!(plain, '_' | '-') => plain,
            _ => return None,
        });
    }
    Some(text)
}

impl PatternError {
    fn new(text: &str, span: &Span, reason: &impl ToString) -> Self {
        let column = text.get(..span.start.offset).map(|before| before.chars().count() + 1);
        Self { column, reason: reason.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_pattern_matches_the_whole_name_or_nothing() {
        let matches = |pattern: &str, topic| Pattern::new(pattern).unwrap().matches(topic);
        assert!(matches("orders", "orders"));
        assert!(!matches("orders", "orders2") && !matches("orders", "my.orders"));
        assert!(matches("^orders$", "orders") && !matches("^orders$", "orders2"));
        assert!(matches("a|ab", "ab") && !matches("a|ab", "abc"));
        assert!(matches("(?x) a b # a comment", "ab") && !matches("(?x) a b # a comment", "abc"));
        assert!(matches("(?i)orders", "Orders"));
        assert!(!matches("orders", "orders\n") && !matches("(?m)^orders$", "orders\nx"));
    }

    #[test]
    fn that_a_pattern_takes_all_names_from_a_beginning_on_is_seen_where_it_is_plain() {
        let takes = |pattern: &str, prefix| Pattern::new(pattern).unwrap().takes_all_from(prefix);
        assert!(
            takes(".*", "a")
                && takes("a.*", "a")
                && takes("a.*", "ab")
                && takes("^pay\\.a-b.*$", "pay.a-b.c")
        );
        assert!(!takes("ab.*", "a") && !takes("a", "a") && !takes("a+", "a"));
        // A dot that is meant, `\\.*`, is no `.*`; one that stands for anything is no plain text; nor is a class.
        assert!(
            !takes("a\\.*", "a.") && !takes("a..*", "a.") && !takes("a\\d.*", "ad") && !takes("(a).*", "a")
        );
    }

    #[test]
    fn a_bad_pattern_names_the_place() {
        let error = Pattern::new("orders[").unwrap_err();
        assert_eq!(error.column, Some(7));
        assert_eq!(error.to_string(), "not a regular expression: unclosed character class (at character 7)");
        assert_eq!(Pattern::new("a)|(b").unwrap_err().column, Some(2));
        assert_eq!(Pattern::new("é*(?=x)").unwrap_err().column, Some(3));
        assert!(Pattern::new(r"a{1000}{1000}{1000}").unwrap_err().reason.contains("size limit"));
    }

    proptest! {
        #[test]
        fn an_escaped_name_matches_itself_only(name in "[a-zA-Z0-9._-]{1,20}", other in "[a-zA-Z0-9._-]{1,20}") {
            let pattern = Pattern::exactly(&name);
            prop_assert!(pattern.matches(&name));
            prop_assert_eq!(pattern.matches(&other), name == other);
        }

        #[test]
        fn a_pattern_that_takes_all_from_a_prefix_matches_whatever_follows(
            pattern in "\\^?[ab]{0,2}(\\\\?\\.)?[ab]?\\.\\*\\$?", prefix in "[ab.]{0,4}", rest in "[abc.]{0,3}"
        ) {
            let pattern = Pattern::new(&pattern).unwrap();
            prop_assert!(!pattern.takes_all_from(&prefix) || pattern.matches(&(prefix + &rest)));
        }

        #[test]
        fn nothing_may_stand_before_or_behind_a_match(
            pattern in "[a-c](|[+*?])(|\\||\\.)[a-c]", topic in "[a-c]{1,6}"
        ) {
            let whole = regex::Regex::new(&format!("^(?:{pattern})$")).unwrap();
            prop_assert_eq!(Pattern::new(&pattern).unwrap().matches(&topic), whole.is_match(&topic));
        }
    }
}
