//! Lists as MirrorMaker takes them on its command line, and as a container takes them in its variables.

/// A list without the quotes around it, which a property file or `docker --env-file` keeps.
pub fn unquoted(text: &str) -> &str {
    text.trim().trim_matches(['"', '\'']).trim()
}

/// A white list as one pattern, as MirrorMaker reads it: quotes and blanks go, commas are bars.
pub fn whitelist(text: &str) -> String {
    bars_for_commas(&unquoted(text).replace(' ', ""))
}

/// The pairs of `a,b;c,d`; the error is the part that is none.
pub(super) fn pairs(text: &str) -> impl Iterator<Item = Result<(&str, &str), &str>> {
    let parts = unquoted(text).split(';').map(str::trim).filter(|part| !part.is_empty());
    parts.map(|part| {
        let mut names = part.split(',').map(str::trim);
        match (names.next(), names.next(), names.next()) {
            (Some(from), Some(to), None) => Ok((from, to)),
            _ => Err(part),
        }
    })
}

/// A list of patterns as one pattern. The comma of `a{1,2}` or `[a,b]` parts nothing.
fn bars_for_commas(list: &str) -> String {
    let (mut depth, mut escaped) = (0_u32, false);
    let bar = |c: char| {
        match c {
            _ if escaped => {}
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        escaped = c == '\\' && !escaped;
        if c == ',' && depth == 0 { '|' } else { c }
    };
    list.chars().map(bar).collect()
}
