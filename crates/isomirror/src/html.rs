//! What pages for people have in common: their style, and text that stays text.

use std::fmt::{self, Display, Formatter, Write as _};

/// The style of all pages.
pub const STYLE: &str = include_str!("admin/page.css");

/// Text that stays text, in an element or an attribute.
pub struct Text<'a>(pub &'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}
