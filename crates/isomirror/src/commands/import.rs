//! `isomirror import`: MirrorMaker's configuration as a link's TOML.
//!
//! Owns the files that are read and written, reading the result back before anyone sees it, and the exit code. What a
//! key becomes is `migration::import`'s. Never overwrites a file unasked.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write, stderr},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use anyhow::Context;
use migration::{
    check::Severity,
    import::{Flags, Flow, Input, Note, Request, import, told},
};
use serde_json::json;

use crate::{
    cli::{Common, ImportArgs, MirrorMakerArgs, Output},
    config::Config,
    exit::{Exit, Failure},
    human::plural,
};

/// More than any configuration has.
const LARGEST: u64 = 16 << 20;
/// Notes of one kind that a person is shown, and characters of each; the comments have all.
const SHOWN: usize = 20;
const LONGEST: usize = 1000;

/// Imports, and says whether what came of it can be used as it stands.
pub fn run(args: &ImportArgs, common: &Common) -> anyhow::Result<Exit> {
    let of_flags = [&args.mirror_maker.consumer_config, &args.mirror_maker.producer_config];
    let files = args.files.iter().chain(of_flags.into_iter().flatten());
    let request = Request {
        files: files.map(|path| read(path)).collect::<Result<_, _>>()?,
        flags: flags(&args.mirror_maker),
        link: args.link.clone(),
        flow: args.flow.clone(),
        several: args.into.is_some() || common.output == Output::Json,
        into: args.into.is_some(),
    };
    let flows = import(&request).map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    flows.iter().try_for_each(read_back)?;
    let written = match &args.into {
        Some(folder) => write(folder, &flows, args.force)?,
        None => Vec::new(),
    };
    let text = match (common.output, written.is_empty()) {
        (Output::Json, _) => {
            serde_json::to_string_pretty(&json!({ "flows": flows.iter().map(as_json).collect::<Vec<_>>() }))?
        }
        (Output::Table, true) => flows.iter().map(|flow| flow.toml.as_str()).collect(),
        (Output::Table, false) => written.iter().map(|path| format!("wrote {}\n", path.display())).collect(),
    };
    super::print(&text)?;
    if common.output == Output::Table {
        // Nobody may be left to read it; the exit code still says it.
        let _ = flows.iter().try_for_each(|flow| write!(stderr(), "{}", left_to_do(flow)));
    }
    Ok(if flows.iter().all(Flow::usable) { Exit::Done } else { Exit::Refused })
}

fn flags(args: &MirrorMakerArgs) -> Flags {
    let whitelist = args.whitelist.clone().map(|list| ("--whitelist", list));
    let others = [
        ("--offset.commit.interval.ms", args.commit_interval.is_some()),
        ("--consumer.rebalance.listener", args.listener.is_some()),
        ("--rebalance.listener.args", args.listener_args.is_some()),
        ("--new.consumer", args.new_consumer),
    ];
    Flags {
        blacklist: args.blacklist.clone(),
        topics: whitelist.or_else(|| args.include.clone().map(|list| ("--include", list))),
        streams: args.streams.clone(),
        abort: args.abort.clone(),
        handler: args.handler.clone(),
        handler_args: args.handler_args.clone(),
        others: others.into_iter().filter(|(_, given)| *given).map(|(flag, _)| flag).collect(),
    }
}

fn read(path: &Path) -> Result<Input, Failure> {
    let refuse = |reason: &str| {
        let message =
            format!("cannot read {}: {reason}\n  fix: name MirrorMaker's .properties files", path.display());
        Failure::new(Exit::Usage, message)
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| refuse(&error.to_string()))?;
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| refuse(&error.to_string()))?;
    match bytes.len() as u64 > LARGEST {
        true => Err(refuse("it is larger than any configuration")),
        false => Ok(Input { name: path.display().to_string(), bytes }),
    }
}

/// Whether the reader of the configuration takes it; the files that it names need not be there yet.
fn read_back(flow: &Flow) -> anyhow::Result<()> {
    let folder = tempfile::tempdir().context("failed to make a temporary folder")?;
    let path = folder.path().join(format!("{}.toml", flow.link));
    fs::write(&path, &flow.trial).with_context(|| format!("failed to write {}", path.display()))?;
    let Err(error) = Config::load_here_to_ask(Some(&path)) else { return Ok(()) };
    let place = format!("{}/", folder.path().display());
    Err(Failure::new(Exit::Usage, error.to_string().replace(&place, "")).into())
}

/// Writes the links and their secrets, for their owner alone. Either all are new, or `force` is given.
fn write(folder: &Path, flows: &[Flow], force: bool) -> anyhow::Result<Vec<PathBuf>> {
    let mut files: Vec<(PathBuf, &str)> = Vec::new();
    for flow in flows {
        files.extend(flow.secrets.iter().map(|secret| (folder.join(&secret.file), secret.expose())));
        files.push((folder.join(format!("{}.toml", flow.link)), &flow.toml));
    }
    let there = |(path, _): &&(PathBuf, &str)| path.symlink_metadata().is_ok();
    if let Some((path, _)) = files.iter().find(there).filter(|_| !force) {
        let message = format!(
            "{} is there already; nothing was written\n  fix: name another folder, or add --force to overwrite it",
            path.display()
        );
        return Err(Failure::new(Exit::Failed, message).into());
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("failed to make the folder {}", folder.display()))?;
    for (path, text) in &files {
        write_one(path, text).with_context(|| format!("failed to write {}", path.display()))?;
    }
    Ok(files.into_iter().map(|(path, _)| path).collect())
}

/// Puts a file in its place as a whole: whoever sees it sees all of it, and nobody else may.
fn write_one(path: &Path, text: &str) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    let written = writeln!(file, "{}", text.trim_end_matches('\n')).and_then(|()| file.sync_all());
    let placed = written.and_then(|()| fs::rename(&new, path));
    if placed.is_err() {
        // What is half written is of no use to anyone.
        let _ = fs::remove_file(&new);
    }
    placed
}

fn as_json(flow: &Flow) -> serde_json::Value {
    json!({ "link": flow.link, "toml": flow.toml, "notes": flow.notes, "usable": flow.usable() })
}

/// What a person has to do, and to know, before the link runs.
fn left_to_do(flow: &Flow) -> String {
    let list = |severity| {
        let notes: Vec<&Note> = flow.notes.iter().filter(|note| note.severity == severity).collect();
        let told = told(&notes);
        let left = told.len().saturating_sub(SHOWN);
        let lines = told.into_iter().take(SHOWN).map(|(_, text)| format!("  {}\n", short(&text)));
        let more = (left > 0).then(|| format!("  … and {left} more: see its comments\n"));
        (notes.len(), lines.chain(more).collect::<String>())
    };
    let ((todo, errors), (_, warnings)) = (list(Severity::Error), list(Severity::Warning));
    let first = match todo {
        0 => "it can be used as it stands".to_owned(),
        many => format!("{} before it can run", plural(many, "thing to do", "things to do")),
    };
    let mut out = format!("link {}: {first}\n{}", flow.link, errors);
    if !warnings.is_empty() {
        out += &format!("to know before it runs:\n{warnings}");
    }
    out + "what else has no counterpart is in its comments; next: `isomirror check` it\n"
}

fn short(text: &str) -> String {
    let text = text.replace('\n', "\n  ");
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
