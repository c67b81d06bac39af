//! Which source topics are mirrored, and under which name on the target.
//!
//! Owns the include, exclude and rename rules, as plain functions. Must never touch a payload, and never
//! ask a cluster anything.

mod error;
mod name;
mod pattern;
mod rules;
mod stage;
mod template;

pub use error::{Clash, Error, IllegalTarget, Problem, RouteError, RuleRef};
pub use name::{NameError, check_name, is_internal};
pub use pattern::{Pattern, PatternError};
pub use rules::{Rules, RulesConfig};
pub use stage::TopicRename;
