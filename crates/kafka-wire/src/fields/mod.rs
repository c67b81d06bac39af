//! The protocol's primitive fields, for the few messages that are written and read here and not by the
//! library: their old form, and the compact one of flexible versions (KIP-482).

pub(crate) mod guard;
mod read;
mod write;

pub(crate) use self::{
    read::{Bad, Fields},
    write::Writer,
};
