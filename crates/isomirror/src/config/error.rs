//! What is wrong with a configuration: collected while it is read, then told with file, line and fix.
//!
//! A [`ConfigError`] holds finished text with every secret already gone from it.

use std::{fmt, ops::Range};

use super::{mask, tree::Origin};

/// One thing that is wrong, as the reader of the configuration finds it.
#[derive(Debug)]
struct Problem {
    origin: Option<Origin>,
    message: String,
    fix: String,
}

/// All that is wrong so far, and what must not be shown when it is told.
#[derive(Debug, Default)]
pub struct Problems {
    list: Vec<Problem>,
    hidden: Vec<Range<usize>>,
    syntax: bool,
}

/// The file that was read, to show lines of.
#[derive(Debug, Clone, Copy)]
pub struct SourceFile<'a> {
    /// Its name, as the user gave it.
    pub name: &'a str,
    /// What is in it.
    pub text: &'a str,
}

/// A configuration that can't be used, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    title: String,
    problems: Vec<String>,
}

// === impl Problems ===

impl Problems {
    /// Something is wrong at `origin`.
    pub fn add(&mut self, origin: &Origin, message: impl Into<String>, fix: impl Into<String>) {
        self.list.push(Problem { origin: Some(origin.clone()), message: message.into(), fix: fix.into() });
    }

    /// Something is missing, so there is no place to point at.
    pub fn add_missing(&mut self, message: impl Into<String>, fix: impl Into<String>) {
        self.list.push(Problem { origin: None, message: message.into(), fix: fix.into() });
    }

    /// The file is no TOML.
    pub fn add_syntax(&mut self, error: &toml::de::Error) {
        self.syntax = true;
        let origin = error.span().map(Origin::File);
        let fix = "the file must be TOML: see config/isomirror.toml for every key".to_owned();
        self.list.push(Problem { origin, message: error.message().replace('\n', "; "), fix });
    }

    /// The value at `origin` must never be shown.
    pub fn hide(&mut self, origin: &Origin) {
        if let Origin::File(at) = origin {
            self.hidden.push(at.clone());
        }
    }

    /// How much is wrong.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The whole as an error, with lines of `file`.
    pub fn into_error(mut self, file: Option<SourceFile<'_>>) -> ConfigError {
        let start = |problem: &Problem| match &problem.origin {
            Some(Origin::File(at)) => at.start,
            _ => usize::MAX,
        };
        self.list.sort_by_key(start);
        let problems = self.list.iter().map(|problem| self.render(problem, file)).collect();
        let title = match file {
            Some(file) => format!("the configuration {} can't be used", file.name),
            None => "the configuration in the environment can't be used".to_owned(),
        };
        ConfigError { title, problems }
    }

    fn render(&self, problem: &Problem, file: Option<SourceFile<'_>>) -> String {
        let Problem { origin, message, fix } = problem;
        match (origin, file) {
            (Some(Origin::File(at)), Some(file)) => {
                let place = Place::new(file.text, at.clone());
                let mut line = mask::spans(file.text, place.line.clone(), &self.hidden);
                if self.syntax {
                    line = mask::by_words(file.text, place.line.clone());
                }
                let (number, gutter) = (place.number, " ".repeat(place.number.to_string().len()));
                // Behind a hidden value a column no longer means what it says: then only the line is marked.
                let marks = match line == file.text[place.line.clone()] {
                    true => format!("\n  {gutter} | {}", place.underline(file.text, at)),
                    false => String::new(),
                };
                let head = format!("{}:{number}:{}: {message}", file.name, place.column);
                format!("{head}\n  {number} | {line}{marks}\n  fix: {fix}")
            }
            (Some(Origin::Variable(name)), _) => format!("{name}: {message}\n  fix: {fix}"),
            (_, Some(file)) => format!("{}: {message}\n  fix: {fix}", file.name),
            (_, None) => format!("{message}\n  fix: {fix}"),
        }
    }
}

/// A line of the file, and where on it.
struct Place {
    number: usize,
    column: usize,
    line: Range<usize>,
}

impl Place {
    fn new(text: &str, mut at: Range<usize>) -> Self {
        // The end of the file is shown as the end of its last line.
        if at.start >= text.len() {
            at.start = text.trim_end().len();
        }
        let start = text[..at.start].rfind('\n').map_or(0, |newline| newline + 1);
        let end = text[start..].find('\n').map_or(text.len(), |newline| start + newline);
        let end = start + text[start..end].trim_end_matches('\r').len();
        Self {
            number: text[..start].matches('\n').count() + 1,
            column: text[start..at.start.max(start)].chars().count() + 1,
            line: start..end,
        }
    }

    fn underline(&self, text: &str, at: &Range<usize>) -> String {
        let to = at.end.clamp(self.line.start, self.line.end);
        let width = text.get(at.start..to).map_or(1, |marked| marked.chars().count().max(1));
        let blank = |c| if c == '\t' { '\t' } else { ' ' };
        let before = text[self.line.clone()].chars().take(self.column - 1).map(blank);
        before.chain(std::iter::repeat_n('^', width)).collect()
    }
}

// === impl ConfigError ===

impl ConfigError {
    /// A configuration that could not even be read.
    pub fn unreadable(title: String, fix: &str) -> Self {
        Self { title, problems: vec![format!("fix: {fix}")] }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.title)?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n{problem}"))
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str, at: Range<usize>, hidden: Option<Range<usize>>) -> String {
        let mut problems = Problems::default();
        hidden.into_iter().for_each(|h| problems.hide(&Origin::File(h)));
        problems.add(&Origin::File(at), "wrong", "mend it");
        problems.into_error(Some(SourceFile { name: "a.toml", text })).to_string()
    }

    #[test]
    fn a_problem_shows_its_line_and_points_at_it() {
        let text = "a = 1\r\nbé = true\r\n";
        let at = text.find("true").unwrap();
        assert_eq!(
            told(text, at..at + 4, None),
            "the configuration a.toml can't be used\n\
             a.toml:2:6: wrong\n  2 | bé = true\n    |      ^^^^\n  fix: mend it"
        );
    }

    #[test]
    fn the_end_of_the_file_and_values_over_several_lines_can_be_pointed_at() {
        assert!(told("a = [\n", 6..6, None).contains("a.toml:1:6: wrong\n  1 | a = [\n"));
        assert!(told("", 0..0, None).contains("a.toml:1:1: wrong"));
        assert!(told("a = [\n1,\n]\n", 4..10, None).contains("  1 | a = [\n    |     ^\n"));
    }

    #[test]
    fn a_hidden_value_is_not_shown() {
        let text = "k = { a = \"hunter2\", b = 1 }";
        let shown = told(text, text.len() - 3..text.len() - 2, Some(10..19));
        assert!(shown.contains("  1 | k = { a = ***, b = 1 }\n  fix"), "{shown}");
    }
}
