//! `isomirror switchover` on real brokers with an authorizer: a live producer, a group and a consumer with offsets of its own go
//! over and come back with nothing lost, repeated or misplaced; both sides stay identical however often the pair is turned;
//! killed anywhere it goes on; and it goes back from anywhere.

#[path = "../support/acls.rs"]
#[expect(dead_code, reason = "rules are read elsewhere here")]
mod acls_by_name;
mod applications;
#[path = "../support/apps.rs"]
mod apps;
#[path = "../support/count.rs"]
mod count;
mod day;
#[path = "../exact/dice.rs"]
mod dice;
#[expect(dead_code, reason = "no lane is written by hand here")]
#[path = "../support/ledgers.rs"]
mod ledgers;
#[path = "../support/members.rs"]
mod members;

mod failover;
mod live;
mod planned;
mod refused;
mod story;
mod support;
