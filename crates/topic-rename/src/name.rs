//! What Kafka takes as a topic's name, and which names are nobody's to mirror.

/// Kafka's longest topic name.
const MAX_LENGTH: usize = 249;

/// Why a name is no Kafka topic's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It has no characters.
    #[error("a topic's name can't be empty")]
    Empty,
    /// `.` or `..`.
    #[error("a topic can't be named {0:?}")]
    Dots(String),
    /// More than 249 characters.
    #[error("a topic's name has at most {MAX_LENGTH} characters, this one has {0}")]
    TooLong(usize),
    /// A character that Kafka doesn't take.
    #[error("{0:?} can't stand in a topic's name (letters, digits, '.', '_' and '-' can)")]
    Character(char),
    /// Kafka's own or isomirror's own.
    #[error("topics that begin with `__` or `isomirror.` are internal and never mirrored")]
    Internal,
}

/// Whether a topic is Kafka's own (`__…`) or isomirror's own (`isomirror.…`): never mirrored, never written.
pub fn is_internal(topic: &str) -> bool {
    topic.starts_with("__") || topic.starts_with("isomirror.")
}

/// Whether Kafka takes this character in a topic's name.
pub(crate) fn is_legal(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-')
}

/// Whether a mirrored topic may have this name.
pub fn check_name(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name == "." || name == ".." {
        return Err(NameError::Dots(name.to_owned()));
    }
    if let Some(character) = name.chars().find(|c| !is_legal(*c)) {
        return Err(NameError::Character(character));
    }
    if name.len() > MAX_LENGTH {
        return Err(NameError::TooLong(name.len()));
    }
    if is_internal(name) {
        return Err(NameError::Internal);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_kafka_refuses_are_refused() {
        assert_eq!(check_name(""), Err(NameError::Empty));
        assert_eq!(check_name(".."), Err(NameError::Dots("..".into())));
        assert_eq!(check_name("a b"), Err(NameError::Character(' ')));
        assert_eq!(check_name("ä"), Err(NameError::Character('ä')));
        assert_eq!(check_name(&"x".repeat(250)), Err(NameError::TooLong(250)));
        assert_eq!(check_name("__consumer_offsets"), Err(NameError::Internal));
        assert_eq!(check_name("isomirror.dc1"), Err(NameError::Internal));
        for good in ["a", "...", "_x", "isomirror", "isomirrors.x", "A-b_c.9", &"x".repeat(249)] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
    }
}
