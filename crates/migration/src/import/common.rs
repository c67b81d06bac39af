//! What links of both MirrorMakers have in common: chosen topics, parallel clients, and what to know before they run.

use super::{
    draft::{Draft, Section},
    note::{ImportError, Place},
};
use crate::check::Severity;

const MOST_CONSUMERS: i64 = 64;

/// Sets what is included, without what never is.
pub(super) fn include(draft: &mut Draft, place: &Place, list: Vec<String>) -> Result<(), ImportError> {
    let internal = |pattern: &String| {
        let text = pattern.trim_start_matches('^');
        ["__", "isomirror.", "isomirror\\."].iter().any(|beginning| text.starts_with(beginning))
    };
    let (never, list): (Vec<_>, Vec<_>) = list.into_iter().partition(internal);
    if !never.is_empty() {
        let message = format!("{} left out: internal topics are never mirrored", never.join(", "));
        draft.note(Section::Topics, Severity::Warning, place.clone(), message);
    }
    if list.is_empty() {
        return Err(ImportError::new(
            place.clone(),
            "no topics are included",
            "name topics, or patterns of them",
        ));
    }
    draft.set_list(Section::Topics, "include", &list);
    Ok(())
}

/// Sets that topics start at their end.
pub(super) fn start_latest(draft: &mut Draft, place: Place) {
    let message = "with \"latest\", what is written between MirrorMaker's stop and isomirror's first start is not mirrored: \
                   write \"earliest\", or the time at which MirrorMaker stops, as \"2026-01-31T08:00:00Z\"";
    draft.note(Section::Topics, Severity::Warning, place, message);
    draft.set(Section::Topics, "start", "latest");
}

/// Sets how many clients read the source.
pub(super) fn consumers(draft: &mut Draft, number: i64, place: Place) {
    if number > MOST_CONSUMERS {
        let message = format!("isomirror takes {MOST_CONSUMERS} at the most");
        draft.note(Section::Limits, Severity::Warning, place, message);
    }
    if number > 1 {
        draft.set_number(Section::Limits, "consumers", number.min(MOST_CONSUMERS));
    }
}

/// What a person has to know before the link takes MirrorMaker's place.
pub(super) fn before_it_runs(draft: &mut Draft, position: &str) {
    let start = format!(
        "where MirrorMaker stands is in {position}, which isomirror does not read yet: every topic begins at `start`"
    );
    let filled = "a target topic that MirrorMaker has filled holds records, and offsets = \"identical\", the default, needs \
                  it empty or not there: mirror into another name ([topics.rename]), delete it first, or write offsets = \
                  \"translated\", which puts what it mirrors behind what is there";
    for message in [start.as_str(), filled] {
        draft.note(Section::Topics, Severity::Warning, Place::default(), message);
    }
}
