//! topic-rename
