//! Which batches a reader of committed records sees. Owns the bookkeeping over one answer of a broker, which lists the
//! aborted transactions among its records. No I/O.

use std::collections::BTreeSet;

use crate::{
    Aborted,
    records::{Batch, BatchError, Control},
};

/// Control records are a few bytes.
const CONTROL_LIMIT: usize = 1 << 16;

/// What is known between the batches of one answer.
pub struct Visible {
    /// Those whose first batch is still to come, the next one last.
    ahead: Vec<Aborted>,
    /// The producers in the middle of one.
    aborting: BTreeSet<i64>,
}

impl Visible {
    /// For the batches of an answer that lists these ([`Fetched::aborted`](crate::Fetched)).
    pub fn new(mut aborted: Vec<Aborted>) -> Self {
        aborted.sort_by_key(|aborted| std::cmp::Reverse(aborted.first_offset));
        Self { ahead: aborted, aborting: BTreeSet::new() }
    }

    /// Whether the records of the next batch are there for a reader. Asked of every batch, in order.
    pub fn sees(&mut self, batch: &Batch) -> Result<bool, BatchError> {
        let header = &batch.header;
        while self.ahead.last().is_some_and(|next| next.first_offset <= header.last_offset()) {
            self.aborting.extend(self.ahead.pop().map(|begun| begun.producer_id));
        }
        if header.is_control() {
            if let Some(record) = batch.records(CONTROL_LIMIT)?.next()
                && record?.control() == Some(Control::Abort)
            {
                self.aborting.remove(&header.producer_id);
            }
            return Ok(false);
        }
        Ok(!(header.is_transactional() && self.aborting.contains(&header.producer_id)))
    }
}
