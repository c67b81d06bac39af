//! What the target's topics take: `max.message.bytes` of each, as far as it is known.

use std::{
    collections::HashMap,
    sync::{Arc, RwLock},
};

/// The largest record batch that each target topic takes, in bytes. Shared with the supervisor, who asks.
#[derive(Debug, Clone, Default)]
pub struct Limits(Arc<RwLock<HashMap<String, u64>>>);

impl Limits {
    /// Says what `topic` takes.
    pub fn set(&self, topic: &str, max_message_bytes: u64) {
        self.0.write().expect("nothing panics under this lock").insert(topic.to_owned(), max_message_bytes);
    }

    pub(crate) fn get(&self, topic: &str) -> Option<u64> {
        self.0.read().expect("nothing panics under this lock").get(topic).copied()
    }
}
