//! Texts as the protocol library wants them.

use kafka_protocol::{messages::TopicName, protocol::StrBytes};

pub(crate) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

pub(crate) fn topic(name: &str) -> TopicName {
    TopicName(text(name))
}
