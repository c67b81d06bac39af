//! docs/migration.md as something to do: the link's file, and the commands of its blocks in their order, each with what the
//! document says comes of it.

use std::{env, fs, path::PathBuf};

/// The document.
pub struct Document {
    lines: Vec<String>,
    blocks: Vec<Block>,
}

struct Block {
    language: String,
    /// Its lines, as places among the document's.
    first: usize,
    end: usize,
}

/// A command of the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Where it stands, from 1.
    pub line: usize,
    /// Its words.
    pub words: Vec<String>,
    /// How it is to end.
    pub end: End,
    /// What it is to say; none where the document shows no output.
    pub shown: Option<Vec<String>>,
    /// The lines of that, as places among the document's.
    place: (usize, usize),
}

/// How a command is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By itself, with this exit code.
    Exits(i32),
    /// By Ctrl-C.
    Interrupted,
}

impl Document {
    /// Reads docs/migration.md.
    pub fn read() -> Self {
        Self::of(&fs::read_to_string(path()).expect("docs/migration.md is there"))
    }

    fn of(text: &str) -> Self {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let (mut blocks, mut open) = (Vec::new(), None);
        for (at, line) in lines.iter().enumerate() {
            match (line.strip_prefix("```"), open.take()) {
                (Some(_), Some((language, first))) => blocks.push(Block { language, first, end: at }),
                (Some(language), None) => open = Some((language.to_owned(), at + 1)),
                (None, still) => open = still,
            }
        }
        assert!(open.is_none(), "a block of docs/migration.md does not end");
        Self { lines, blocks }
    }

    /// The link's file: the first block of TOML.
    pub fn link(&self) -> String {
        let toml = self.blocks.iter().find(|block| block.language == "toml").expect("it shows a link");
        self.lines[toml.first..toml.end].join("\n") + "\n"
    }

    /// All commands: lines of `sh` blocks, and those of `text` blocks that begin with `$ `, whose outputs follow.
    pub fn steps(&self) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::new();
        for block in &self.blocks {
            let mut shows = false;
            for at in block.first..block.end {
                let line = &self.lines[at];
                let command = match &*block.language {
                    "sh" => Some(line.as_str()),
                    "text" => line.strip_prefix("$ "),
                    _ => None,
                };
                match (command, steps.last_mut()) {
                    (Some(command), _) => {
                        steps.push(Step::of(command, at));
                        shows = block.language == "text";
                    }
                    (None, Some(step)) if shows => {
                        step.shown.get_or_insert_default().push(line.clone());
                        step.place.1 = at + 1;
                    }
                    _ => {}
                }
            }
        }
        for step in &mut steps {
            step.trim();
        }
        steps
    }

    /// The document with what came of its commands, each beside its step, in the place of what it shows. What it leaves out
    /// by `…` is left out.
    pub fn with_outputs(&self, outputs: &[(Step, String)]) -> String {
        let mut lines = self.lines.clone();
        for (step, output) in outputs.iter().rev() {
            let Some(shown) = &step.shown else { continue };
            let mut new: Vec<String> = output.lines().map(|line| line.trim_end().to_owned()).collect();
            if shown.last().is_some_and(|last| last == LEFT_OUT) {
                new.truncate(shown.len() - 1);
                new.push(LEFT_OUT.to_owned());
            }
            lines.splice(step.place.0..step.place.1, new);
        }
        lines.join("\n") + "\n"
    }

    /// Writes that over the document, where `STORY_WRITE` asks for it.
    pub fn write(&self, outputs: &[(Step, String)]) {
        if env::var_os("STORY_WRITE").is_some() {
            fs::write(path(), self.with_outputs(outputs)).expect("docs/migration.md can be written");
        }
    }
}

/// Says in an output that the rest is left out.
pub const LEFT_OUT: &str = "…";

impl Step {
    fn of(line: &str, at: usize) -> Self {
        let (command, note) = line.split_once(" # ").unwrap_or((line, ""));
        let code =
            note.split_once("exit code ").map(|(_, code)| code.split(|c: char| !c.is_ascii_digit()).next());
        let end = match code.flatten().and_then(|code| code.parse().ok()) {
            _ if note.contains("Ctrl-C") => End::Interrupted,
            Some(code) => End::Exits(code),
            None => End::Exits(0),
        };
        let words = command.split_whitespace().map(str::to_owned).collect();
        Self { line: at + 1, words, end, shown: None, place: (at + 1, at + 1) }
    }

    /// Empty lines between it and the next command belong to neither.
    fn trim(&mut self) {
        let Some(shown) = &mut self.shown else { return };
        while shown.last().is_some_and(String::is_empty) {
            shown.pop();
            self.place.1 -= 1;
        }
        if shown.is_empty() {
            self.shown = None;
        }
    }

    /// It as one reads it.
    pub fn command(&self) -> String {
        self.words.join(" ")
    }
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/migration.md")
}

#[test]
fn commands_are_found_in_their_order_with_what_comes_of_them() {
    let text = "# A\n\n```toml\nlink = \"a\"\n```\n\n```text\n$ isomirror check a     # exit code 3: why\nno\n\n$ isomirror plan a\n\
                yes\n…\n```\n```sh\nsystemctl start a     # or so\n```\n```text\n$ isomirror run a   # Ctrl-C\n```\n";
    let document = Document::of(text);
    assert_eq!(document.link(), "link = \"a\"\n");
    let steps = document.steps();
    let found: Vec<_> =
        steps.iter().map(|step| (step.line, step.command(), step.end, step.shown.clone())).collect();
    let shown = |lines: &[&str]| Some(lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>());
    assert_eq!(
        found,
        [
            (8, "isomirror check a".to_owned(), End::Exits(3), shown(&["no"])),
            (11, "isomirror plan a".to_owned(), End::Exits(0), shown(&["yes", "…"])),
            (16, "systemctl start a".to_owned(), End::Exits(0), None),
            (19, "isomirror run a".to_owned(), End::Interrupted, None),
        ]
    );
    let outputs = [(steps[0].clone(), "1\n2".to_owned()), (steps[1].clone(), "3 \n4\n5\n".to_owned())];
    let new = document.with_outputs(&outputs);
    assert_eq!(new, text.replace("no\n\n", "1\n2\n\n").replace("yes\n", "3\n"));
}
