//! What the target's topic configs and ACLs lack of the source's, and what of them is not to be carried over.
//!
//! Pure: from what both clusters show to what is to be done, for the command and the daemon alike. Owns the rules; never
//! talks to a cluster, and never takes anything away from the target.

mod acls;
mod configs;

pub use acls::{AclDiff, AclScope, Held, LeftOut, Narrowed, acl_diff};
pub use configs::{Change, ConfigDiff, Kept, Replicas, config_diff, topic_configs_for_target};
