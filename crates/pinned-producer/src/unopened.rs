//! Batches that came unopened: sent on under a header of ours, or opened where they can't be.

use kafka_wire::records::{Batch, BatchError, BatchHeader, Batches, Compression, Stamp};
use mirror_types::{Header, Lane, RecordBatch, Stop, StopKind, UnopenedBatch};

use crate::{batch_bytes::BatchBytes, standing::UNPACKED};

/// The same records under a header with this stamp.
pub(crate) fn stamped(
    lane: &Lane,
    batch: &UnopenedBatch,
    stamp: Stamp,
    in_transaction: bool,
) -> Result<BatchBytes, Stop> {
    let whole = whole(batch).and_then(|whole| whole.restamp(stamp, in_transaction));
    whole.map(BatchBytes::from).map_err(|error| corrupt(lane, batch, &error))
}

/// How its records are compressed.
pub(crate) fn compression(batch: &UnopenedBatch) -> Option<Compression> {
    BatchHeader::read(&batch.bytes)?.compression()
}

/// Its records.
pub(crate) fn opened(lane: &Lane, batch: &UnopenedBatch) -> Result<RecordBatch, Stop> {
    records(batch).map_err(|error| corrupt(lane, batch, &error))
}

fn records(batch: &UnopenedBatch) -> Result<RecordBatch, BatchError> {
    let whole = whole(batch)?;
    whole.check_crc()?;
    let mut records = RecordBatch::with_capacity(batch.count as usize, batch.bytes.len());
    records.packed_as(whole.header.attributes as u8 & 7);
    for record in whole.records(UNPACKED)? {
        let record = record?;
        let headers = record.headers.iter().map(|h| Header { name: &h.key, value: h.value.as_deref() });
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        records.push(record.offset, record.timestamp, key, value, headers);
    }
    Ok(records)
}

fn whole(batch: &UnopenedBatch) -> Result<Batch, BatchError> {
    let length = BatchError::Length { base_offset: batch.first, length: batch.bytes.len() as i32 };
    Batches::new(batch.bytes.clone()).next().unwrap_or(Err(length))
}

fn corrupt(lane: &Lane, batch: &UnopenedBatch, error: &BatchError) -> Stop {
    let (first, last) = (batch.first, batch.next() - 1);
    Stop::new(
        StopKind::Diverged,
        format!("{lane}: the batch of offsets {first} to {last} is corrupt ({error}); it was not forwarded"),
        "check the source broker's disk and the network; if the records are beyond repair, delete up to them on the \
         source (kafka-delete-records.sh) and set policy.loss = \"skip\"",
    )
}
