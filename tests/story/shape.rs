//! What an output is apart from numbers, ids, times and names of machines: what the document shows has to have the same shape
//! as what a run says.

use std::sync::LazyLock;

use regex::Regex;

use crate::document::LEFT_OUT;

/// What differs from run to run, and what stands for it; in this order.
const MASKS: &[(&str, &str)] = &[
    (r"cluster id [\w-]{22}", "cluster id ID"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", "TIME"),
    // In the list of topics, and in what a cutover says of who runs it: the machine's name, the user's before it.
    (r"TIME \S+ TIME", "TIME WHO TIME"),
    (r"by \S+: at", "by WHO: at"),
    (r": \S+ has asked for it", ": WHO has asked for it"),
    (r"isomirror \d+\.\d+\.\d+\S*", "isomirror VERSION"),
    // Of one and of two largest units.
    (r"<?\d[\d,.]* (d|h|min|s)\b( \d+ (h|min|s)\b)?", "SPAN"),
    (r"\d[\d,.]* ([KMG]i)?B\b", "SIZE"),
    (r"\d[\d,.]*", "N"),
];

/// Lines that a run may have or not, or more than once, by what the live clients and the daemon do at that moment.
const MAY_COME: &[(&str, &str)] = &[
    (r"^\d{4}-\d\d-\d\dT\S+ +(INFO|WARN) ", "a line of the log"),
    (r"^lag: ", "the target is nearer, or not, when that step begins"),
    (r"^drain: ", "what was in flight when writers were blocked may be there at once"),
    (r"^verify: \d+ of \d+ offsets compared", "told every 5 s"),
    (
        r"^groups: group billing has the member",
        "told every 5 s until it is stopped; that it comes is what the story waits for",
    ),
    (
        r"source offsets? before it (is|are) not mirrored yet$",
        "its consumer is ahead of the mirror at this moment",
    ),
    (r"^$", "stands around those"),
];

/// Words that stand for each other, by what the live clients do at that moment.
const ALIKE: &[(&str, &str)] = &[
    // The daemon may have carried an offset over just before, or not.
    (r"^(billing orders N N) – ", "$1 N "),
    (r"\b(committed|same)$", "committed or same"),
    (r"^N group: [^;.]*", "N group: committed or same"),
    (r"; up to N records would be read again", ""),
    // A producer writes meanwhile.
    (r"^lag N records.*", "lag N records"),
    (r"^(orders N running N) – ", "$1 SIZE "),
    (r"; N source offsets are not mirrored yet", ""),
];

type Compiled = LazyLock<Vec<(Regex, &'static str)>>;

static MASKED: Compiled = LazyLock::new(|| compiled(MASKS).chain(compiled(ALIKE)).collect());
static COMES: Compiled = LazyLock::new(|| compiled(MAY_COME).collect());

fn compiled(of: &'static [(&str, &str)]) -> impl Iterator<Item = (Regex, &'static str)> {
    of.iter().map(|(pattern, with)| (Regex::new(pattern).expect("a pattern"), *with))
}

/// A line without what differs from run to run.
fn masked(line: &str) -> String {
    let mut line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    for (pattern, with) in MASKED.iter() {
        line = pattern.replace_all(&line, *with).into_owned();
    }
    line
}

fn shape<'t>(lines: impl Iterator<Item = &'t str>) -> Vec<String> {
    lines.filter(|line| !COMES.iter().any(|(form, _)| form.is_match(line))).map(masked).collect()
}

/// The first place where they differ, in words; none if their shapes are the same.
pub fn difference(shown: &[String], said: &str) -> Option<String> {
    let whole = shown.last().is_none_or(|last| last != LEFT_OUT);
    let shown = shape(shown.iter().map(String::as_str).filter(|line| *line != LEFT_OUT));
    let mut said = shape(said.lines());
    if !whole {
        said.truncate(shown.len());
    }
    let at = (0..shown.len().max(said.len())).find(|at| shown.get(*at) != said.get(*at))?;
    let of = |lines: &[String]| {
        lines.get(at).map_or_else(|| "nothing more".to_owned(), |line| format!("{line:?}"))
    };
    Some(format!("the document shows {}, and it says {}", of(&shown), of(&said)))
}

#[cfg(test)]
mod tests {
    use super::difference;

    fn differ(shown: &str, said: &str) -> bool {
        difference(&shown.lines().map(str::to_owned).collect::<Vec<_>>(), said).is_some()
    }

    #[test]
    fn what_differs_from_run_to_run_is_no_difference() {
        for (shown, said) in [
            (
                "from  dc1 (1 broker, cluster id e-Nnm8hg9D6Q7oBsoZbVqw)",
                "from dc1 (1 broker, cluster id AAAAAAAAAAAAAAAAAAAAA_)",
            ),
            ("block done (<0.1 s): 1 ACL made", "block done (3 min 20 s): 1 ACL made"),
            (
                "All 4 lanes are equal: 100,000 records, 19.8 MiB, compared in 0.2 s.",
                "All 4 lanes are equal: 7 records, 9 B, compared in 12 s.",
            ),
            (
                "orders  stopped  2026-11-27 14:59:09Z  vm  2026-11-27 14:58:38Z  4",
                "orders stopped 2027-01-02 01:02:03Z ann@host 2027-01-02 01:02:03Z 4",
            ),
            ("billing  orders  0  25000  –  25000  0  committed", "billing orders 0 1 1 1 0 same"),
            (
                "1 group: 2 committed.",
                "1 group: 1 committed, 3 the same already; up to 7 records would be read again.",
            ),
            ("drain runs\ndrain: 7 records are missing on the target, most of orders[0]", "drain runs"),
            ("one\ntwo\n…", "one\ntwo\nthree"),
            (
                "lag    0 records, 0 B\norders  0  running    0    0 B  0 s",
                "lag 7 records, 1 B, the oldest 3 s old\norders 0 running 7 – 3 s",
            ),
        ] {
            assert!(!differ(shown, said), "{shown}: {said}");
        }
    }

    #[test]
    fn what_has_another_shape_is_one() {
        for (shown, said) in [
            ("block done (<0.1 s): 1 ACL made", "block undone (<0.1 s): 1 ACL made"),
            ("a\nb", "a"),
            ("a", "a\nb"),
            ("a\nb", "b\na"),
            ("billing  orders  0  25000  –  25000  0  committed", "billing orders 0 1 – 1 0 REFUSED"),
            ("all OK: the link would run as asked", ""),
            ("create topic  orders  4 partitions", "create topic  orders  partitions"),
            ("one\ntwo\n…", "one"),
            ("lag    0 records, 0 B", "lag    no records"),
            ("orders  0  running    0    0 B  0 s", "orders  0  stopped    0    –  0 s"),
        ] {
            assert!(differ(shown, said), "{shown}: {said}");
        }
    }
}
