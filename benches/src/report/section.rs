//! Sections of a Markdown text that are written by different commands.

/// The text with one section, which begins at its heading, put in the place of its older self, or at the end.
pub fn with_section(text: &str, heading: &str, section: &str) -> String {
    let (before, _, after) = around(text, heading);
    format!("{before}{section}{after}")
}

/// The section of this heading, if there is one.
pub fn section_of<'a>(text: &'a str, heading: &str) -> &'a str {
    around(text, heading).1
}

fn around<'a>(text: &'a str, heading: &str) -> (&'a str, &'a str, &'a str) {
    let begin = text.find(&format!("\n## {heading}\n")).unwrap_or(text.len());
    let (before, rest) = text.split_at(begin);
    let end = rest.get(1..).and_then(|rest| rest.find("\n## ")).map_or(rest.len(), |at| at + 1);
    let (section, after) = rest.split_at(end);
    (before, section, after)
}

#[cfg(test)]
mod tests {
    use super::{section_of, with_section};

    #[test]
    fn a_section_is_put_in_the_place_of_its_older_self_and_nothing_else_changes() {
        let text = "# R\n\n## a\n\n1\n\n## b\n\n2\n\n## c\n\n3\n";
        let new = "\n## b\n\nnew\n";
        assert_eq!(with_section(text, "b", new), "# R\n\n## a\n\n1\n\n## b\n\nnew\n\n## c\n\n3\n");
        assert_eq!(with_section(text, "c", "\n## c\n"), "# R\n\n## a\n\n1\n\n## b\n\n2\n\n## c\n");
        assert_eq!(with_section(text, "d", "\n## d\n"), format!("{text}\n## d\n"));
        assert_eq!(section_of(text, "a"), "\n## a\n\n1\n");
        assert_eq!((section_of(text, "c"), section_of(text, "d")), ("\n## c\n\n3\n", ""));
    }
}
