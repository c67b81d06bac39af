//! What the target's topics take, as far as it is known: the size of a batch, records without a key.

use std::{
    collections::HashMap,
    sync::{Arc, RwLock},
};

/// What one target topic takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Takes {
    /// The largest record batch, in bytes (`max.message.bytes`).
    pub max_message_bytes: Option<u64>,
    /// Only records with a key, because it is compacted.
    pub only_keyed: bool,
}

/// What each target topic takes. Shared with the supervisor, who asks.
#[derive(Debug, Clone, Default)]
pub struct Limits(Arc<RwLock<HashMap<String, Takes>>>);

impl Limits {
    /// Says what `topic` takes.
    pub fn set(&self, topic: &str, takes: Takes) {
        self.0.write().expect("nothing panics under this lock").insert(topic.to_owned(), takes);
    }

    pub(crate) fn get(&self, topic: &str) -> Takes {
        self.0.read().expect("nothing panics under this lock").get(topic).copied().unwrap_or_default()
    }
}
