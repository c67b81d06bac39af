//! Several sites that write: topics of their own under names of their own, and one topic that all of them write. On real
//! clusters: no loop, nothing lost, nothing twice, each record where its origin says.

#[path = "../exact/dice.rs"]
mod dice;
mod four;
mod gives_way;
mod groups;
mod loops;
#[expect(dead_code, reason = "no member is needed here")]
#[path = "../support/members.rs"]
mod members;
mod random;
mod shared;
mod sites;
