//! The hot call of the data path, straight to librdkafka: many messages a poll.
//!
//! The safe crate allocates a wrapper for each message; at 100-byte records that is much of the cost. Everything
//! else goes through the safe crate. Together with the other `raw_…` this is the only unsafe code of the
//! workspace.
#![expect(unsafe_code, reason = "calls into librdkafka; each block says why it is sound")]

use std::{
    ffi::{CStr, c_char, c_void},
    ptr::{self, NonNull},
    slice,
    sync::Arc,
    time::Duration,
};

use rdkafka::{
    bindings as sys,
    consumer::{BaseConsumer, Consumer},
    types::{RDKafkaErrorCode, RDKafkaRespErr},
};

use crate::{LogContext, raw_log};

fn millis(timeout: Duration) -> i32 {
    i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX)
}

/// # Safety
/// `text` is null or a C string that outlives `'a`.
unsafe fn str_of<'a>(text: *const c_char) -> &'a str {
    if text.is_null() {
        return "";
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(text) }.to_str().unwrap_or("")
}

/// # Safety
/// `data` is null or points to `len` bytes that outlive `'a`.
unsafe fn bytes_of<'a>(data: *const c_void, len: usize) -> Option<&'a [u8]> {
    // SAFETY: the caller's promise; null is told apart from empty, as Kafka does.
    (!data.is_null()).then(|| unsafe { slice::from_raw_parts(data.cast(), len) })
}

// === reading ===

/// The queue of a consumer, polled many messages at a time.
pub struct FetchQueue {
    queue: NonNull<sys::rd_kafka_queue_t>,
    slots: Vec<*mut sys::rd_kafka_message_t>,
    /// Kept alive for the queue's sake, and handed out for everything that is not hot.
    consumer: Arc<BaseConsumer<LogContext>>,
}

// SAFETY: librdkafka's queues may be used from any thread; `slots` is empty between polls.
unsafe impl Send for FetchQueue {}

/// One thing that a poll brought.
pub enum Polled<'a> {
    /// A record.
    Message(Message<'a>),
    /// The partition's readable end has been reached (`enable.partition.eof`): nothing visible lies before `offset`
    /// that has not been delivered.
    End {
        /// The topic.
        topic: &'a str,
        /// The partition.
        partition: i32,
        /// The end: log end offset, or last stable offset with read_committed.
        offset: i64,
    },
    /// Trouble with one partition.
    Error {
        /// The topic; empty when the error is of the whole client.
        topic: &'a str,
        /// The partition.
        partition: i32,
        /// The offset at which it happened, where it has one.
        offset: i64,
        /// librdkafka's code.
        code: RDKafkaErrorCode,
        /// librdkafka's words.
        text: &'a str,
    },
}

/// A record in librdkafka's memory; gone when the callback that got it returns.
pub struct Message<'a>(&'a sys::rd_kafka_message_t);

impl FetchQueue {
    /// The queue of `consumer`, which must have a `group.id` and which nobody else polls.
    pub fn new(consumer: Arc<BaseConsumer<LogContext>>) -> Self {
        // SAFETY: the client is alive; the queue reference is released in drop, before the client's Arc.
        let queue = unsafe { sys::rd_kafka_queue_get_consumer(consumer.client().native_ptr()) };
        let queue = NonNull::new(queue).expect("a consumer with a group.id has a queue");
        raw_log::listen(consumer.client());
        Self { queue, slots: Vec::new(), consumer }
    }

    /// The consumer behind the queue.
    pub fn consumer(&self) -> &BaseConsumer<LogContext> {
        &self.consumer
    }

    /// Waits up to `timeout` for a first message, then takes what else is there, `max` at most, and shows
    /// each to `on` in order. Returns how many there were.
    pub fn poll(&mut self, timeout: Duration, max: usize, mut on: impl FnMut(Polled<'_>)) -> usize {
        self.slots.clear();
        self.slots.reserve(max);
        // librdkafka's batch call waits until the batch is full or the time is up, so it is asked to wait for
        // one message only.
        let mut taken = self.take(timeout, 1);
        if taken == 1 && max > 1 {
            taken += self.take(Duration::ZERO, max - 1);
        }
        for i in 0..taken {
            // SAFETY: librdkafka gave us this message; it is valid until destroyed, below, once.
            let message = unsafe { &*self.slots[i] };
            on(Polled::of(message));
            // SAFETY: as above; nothing borrowed from it outlives the call of `on`.
            unsafe { sys::rd_kafka_message_destroy(self.slots[i]) };
        }
        self.slots.clear();
        taken
    }

    fn take(&mut self, timeout: Duration, max: usize) -> usize {
        let room = self.slots.spare_capacity_mut();
        debug_assert!(room.len() >= max);
        // SAFETY: the queue is alive, and there is room for `max` pointers, which librdkafka fills from the start.
        let taken = unsafe {
            sys::rd_kafka_consume_batch_queue(
                self.queue.as_ptr(),
                millis(timeout),
                room.as_mut_ptr().cast(),
                max,
            )
        };
        let taken = usize::try_from(taken).unwrap_or(0);
        // SAFETY: that many slots have been filled.
        unsafe { self.slots.set_len(self.slots.len() + taken) };
        taken
    }
}

impl Drop for FetchQueue {
    fn drop(&mut self) {
        // SAFETY: our reference, released once; the client is still alive.
        unsafe { sys::rd_kafka_queue_destroy(self.queue.as_ptr()) };
    }
}

impl<'a> Polled<'a> {
    fn of(message: &'a sys::rd_kafka_message_t) -> Self {
        if message.err == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Polled::Message(Message(message));
        }
        let (topic, partition, offset) = (topic_of(message), message.partition, message.offset);
        let code = RDKafkaErrorCode::from(message.err);
        if code == RDKafkaErrorCode::PartitionEOF {
            return Polled::End { topic, partition, offset };
        }
        // SAFETY: the text is librdkafka's, as long-lived as the message.
        let text = unsafe { str_of(sys::rd_kafka_message_errstr(message)) };
        Polled::Error { topic, partition, offset, code, text }
    }
}

fn topic_of(message: &sys::rd_kafka_message_t) -> &str {
    if message.rkt.is_null() {
        return "";
    }
    // SAFETY: a message holds its topic, and the topic its name.
    unsafe { str_of(sys::rd_kafka_topic_name(message.rkt)) }
}

impl<'a> Message<'a> {
    /// The topic.
    pub fn topic(&self) -> &'a str {
        topic_of(self.0)
    }

    /// The partition.
    pub fn partition(&self) -> i32 {
        self.0.partition
    }

    /// The record's offset.
    pub fn offset(&self) -> i64 {
        self.0.offset
    }

    /// The record's timestamp as a consumer sees it, in milliseconds since the epoch; −1 for none.
    pub fn timestamp(&self) -> i64 {
        // SAFETY: the message is alive; the type is not asked for.
        unsafe { sys::rd_kafka_message_timestamp(self.0, ptr::null_mut()) }
    }

    /// The epoch of the leader that took the record (KIP-320); −1 where it is not known.
    pub fn leader_epoch(&self) -> i32 {
        // SAFETY: the message is alive.
        unsafe { sys::rd_kafka_message_leader_epoch(self.0) }
    }

    /// The key; null and empty are told apart.
    pub fn key(&self) -> Option<&'a [u8]> {
        // SAFETY: librdkafka's buffer, as long-lived as the message.
        unsafe { bytes_of(self.0.key, self.0.key_len) }
    }

    /// The value; null and empty are told apart.
    pub fn value(&self) -> Option<&'a [u8]> {
        // SAFETY: librdkafka's buffer, as long-lived as the message.
        unsafe { bytes_of(self.0.payload, self.0.len) }
    }

    /// The headers in order, as (name, value).
    pub fn headers(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        let mut headers = ptr::null_mut();
        // SAFETY: the message is alive and owns what is returned.
        let found = unsafe { sys::rd_kafka_message_headers(self.0, &mut headers) };
        let any = found == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;
        let mut index = 0;
        std::iter::from_fn(move || {
            if !any {
                return None;
            }
            let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
            // SAFETY: `headers` is valid while the message is; an index past the end is an error, not a fault.
            unsafe {
                let got = sys::rd_kafka_header_get_all(headers, index, &mut name, &mut value, &mut size);
                index += 1;
                (got == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR)
                    .then(|| (CStr::from_ptr(name).to_bytes(), bytes_of(value, size)))
            }
        })
    }
}
