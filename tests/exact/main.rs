//! Exactness, proved by breaking things: whatever is killed, cut, frozen or overtaken, afterwards each side is read by
//! other clients and compared record by record, offset by offset: nothing lost, repeated, moved, changed or foreign.
//!
//! What is proved with: `sources` (what writes, `sources_check` looks after it), `modes` (a link of each promise),
//! `view` and `content` (what a reader sees), `compare` (pure; `planted` shows that it finds what is wrong), `marks` (the
//! answers for every offset), `chaos`, `dice` (one seed for all that is random), `clusters`.
//!
//! What is proved: `kills` (kill -9), `instances` (several of one link), `brokers`, `network`, `divergence` (what can't be
//! exact is told), `starts`, `gaps` (large ones), `tails` (the last offsets), `readers` (clients of three makers, and a source
//! that Java wrote), `rights` (which the fills need), `versions`, and `long`.
//!
//! Environment: `CHAOS_SEED` for the same chance again, `CHAOS_KILLS` for more of everything; `scripts/chaos` sets them.

mod brokers;
mod chaos;
mod clusters;
mod compare;
mod content;
mod dice;
mod divergence;
mod gaps;
mod instances;
mod kills;
mod late;
mod long;
mod marks;
mod modes;
mod network;
mod planted;
mod readers;
mod rights;
mod sources;
mod sources_check;
mod starts;
mod tails;
mod versions;
mod view;
