//! MirrorMaker's configuration as a link's: from `.properties` files and command-line flags to TOML.
//!
//! ```text
//! bytes ─► properties ─┬─ mirror_maker_1: two files and the old tool's flags ─┐
//!      (or connect)    └─ mirror_maker_2: flows, each from its layers of keys ├─► Draft ─► Flow (TOML, notes, secrets)
//!             client (security, jaas): Java's properties as librdkafka's ─────┤
//!             patterns: Java's regular expressions as include and exclude ────┘
//! ```
//! Owns what each key becomes, and the words for what has no counterpart. Reads and writes no file. Never shows a
//! secret, nor the value of a key that it doesn't know.

mod client;
mod common;
mod connect;
mod draft;
mod jaas;
mod lists;
mod mirror_maker_1;
mod mirror_maker_2;
mod note;
mod patterns;
mod properties;
mod security;
#[cfg(test)]
mod tests;
mod value;

pub use draft::{Flow, Secret};
pub use lists::{unquoted, whitelist};
pub use mirror_maker_1::Flags;
pub use note::{ImportError, Note, Place, told};

use control_topic::is_link;

use draft::Draft;

/// A file that was read. It may hold secrets.
#[derive(Clone)]
pub struct Input {
    /// Its name, as the user gave it.
    pub name: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// What is to be imported, and how.
#[derive(Clone, Default)]
pub struct Request {
    /// MirrorMaker 2's file, or MirrorMaker 1's: the consumer's, then the producer's.
    pub files: Vec<Input>,
    /// The rest of MirrorMaker 1's command line.
    pub flags: Flags,
    /// The link's name, if it is to have another one.
    pub link: Option<String>,
    /// The one flow that is meant, as `A->B`.
    pub flow: Option<String>,
    /// Whether there is room for more than one flow.
    pub several: bool,
    /// Whether secrets are written to files beside the TOML; else whoever reads it has to.
    pub into: bool,
}

/// Turns MirrorMaker's configuration into links. The error says what of it can't be used at all.
pub fn import(request: &Request) -> Result<Vec<Flow>, ImportError> {
    let read = |input: &Input| match connect::is_json(&input.bytes) {
        true => connect::read(&input.name, &input.bytes),
        false => properties::read(&input.name, &input.bytes),
    };
    let files = request.files.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    if let Some(link) = request.link.as_deref().filter(|link| !is_link(link)) {
        let fix = "write 1 to 200 letters, digits, '.', '_' or '-'";
        return Err(ImportError::new(Place::flag("--link"), format!("{link:?} can't be a link's name"), fix));
    }
    connect::refuse_others(&files)?;
    let drafts = match files.iter().position(mirror_maker_2::is) {
        None => vec![mirror_maker_1::draft(&files, request)?],
        Some(_) if files.len() == 1 => mirror_maker_2::drafts(&files[0], request)?,
        Some(at) => {
            let fix = "import one MirrorMaker 2 file, or connector, at a time, and MirrorMaker 1's two files without it";
            let message =
                "this is a MirrorMaker 2 file, or one of its connectors, and there are others beside it";
            return Err(ImportError::new(Place::file(&files[at].name), message, fix));
        }
    };
    Ok(drafts.into_iter().map(Draft::finish).collect())
}
