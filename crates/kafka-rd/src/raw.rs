//! The hot calls of the data path, straight to librdkafka: many messages a poll, one call a record sent.
//!
//! The safe crate allocates a message's wrapper on the way in, and looks the topic up by name (in a list)
//! and copies it on the way out; at 100-byte records that is most of the cost. Everything else goes
//! through the safe crate. Together with the other `raw_…` this is the only unsafe code of the
//! workspace.
#![expect(unsafe_code, reason = "calls into librdkafka; each block says why it is sound")]

use std::{
    ffi::{CStr, CString, c_char, c_void},
    ptr::{self, NonNull},
    slice,
    sync::Arc,
    time::Duration,
};

use rdkafka::{
    ClientConfig, bindings as sys,
    client::{Client, ClientContext},
    consumer::{BaseConsumer, Consumer},
    error::KafkaResult,
    types::{RDKafkaErrorCode, RDKafkaRespErr, RDKafkaType},
};

use crate::{LogContext, raw_log, raw_timestamp};

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

// === writing ===

/// A producer whose records are sent to pinned partitions by topic handle, and whose delivery reports come
/// by the array.
pub struct PinnedSender {
    client: Client<LogContext>,
}

/// A topic of a sender, looked up once.
pub struct TopicHandle {
    topic: NonNull<sys::rd_kafka_topic_t>,
    /// Kept alive for the handle's sake.
    _sender: Arc<PinnedSender>,
}

// SAFETY: librdkafka's topic handles may be used from any thread.
unsafe impl Send for TopicHandle {}
// SAFETY: as above; it has no interior state of ours.
unsafe impl Sync for TopicHandle {}

/// A record to send. Everything is copied before `send` returns.
pub struct Outgoing<'a, H> {
    /// The partition.
    pub partition: i32,
    /// Milliseconds since the epoch, −1 for none.
    pub timestamp: i64,
    /// The key, null or not.
    pub key: Option<&'a [u8]>,
    /// The value, null or not.
    pub value: Option<&'a [u8]>,
    /// The headers, in order.
    pub headers: H,
    /// Comes back in the delivery report.
    pub token: u64,
}

/// What became of one record.
#[derive(Debug)]
pub struct Delivery<'a> {
    /// The record's token.
    pub token: u64,
    /// Its offset on the target, or why it is not there.
    pub result: Result<i64, (RDKafkaErrorCode, &'a str)>,
}

impl PinnedSender {
    /// Makes the client. No I/O. It is not one of the safe crate's producers: their delivery reports take a
    /// record's token for a pointer, and they let no interceptor in.
    pub fn new(config: &ClientConfig, context: LogContext) -> KafkaResult<Arc<Self>> {
        let native = config.create_native_config()?;
        let events = sys::RD_KAFKA_EVENT_DR | sys::RD_KAFKA_EVENT_STATS | sys::RD_KAFKA_EVENT_ERROR;
        // SAFETY: the configuration is alive.
        unsafe { sys::rd_kafka_conf_set_events(native.ptr(), events) };
        raw_timestamp::intercept(&native);
        let client = Client::new(config, native, RDKafkaType::RD_KAFKA_PRODUCER, context)?;
        Ok(Arc::new(Self { client }))
    }

    fn native(&self) -> *mut sys::rd_kafka_t {
        self.client.native_ptr()
    }

    /// A handle of `topic`. No I/O: whether it exists shows when records are sent.
    pub fn topic(self: &Arc<Self>, topic: &str) -> Option<TopicHandle> {
        let name = CString::new(topic).ok()?;
        // SAFETY: the client is alive, the name is copied, no configuration is passed.
        let handle = unsafe { sys::rd_kafka_topic_new(self.native(), name.as_ptr(), ptr::null_mut()) };
        NonNull::new(handle).map(|topic| TopicHandle { topic, _sender: self.clone() })
    }

    /// Asks the cluster which partitions a topic has, so that the client knows of new ones now and not only
    /// after `topic.metadata.refresh.interval.ms`.
    pub fn learn_partitions(&self, topic: &str, timeout: Duration) -> KafkaResult<()> {
        self.client.fetch_metadata(Some(topic), timeout).map(drop)
    }

    /// Queues a record. An error is of this record alone, and nothing of it was queued; `NotImplemented` means
    /// that this librdkafka can't write its timestamp.
    pub fn send<'h, H>(&self, topic: &TopicHandle, record: Outgoing<'_, H>) -> Result<(), RDKafkaErrorCode>
    where
        H: ExactSizeIterator<Item = (&'h [u8], Option<&'h [u8]>)>,
    {
        let timestamp = raw_timestamp::to_send(record.timestamp).ok_or(RDKafkaErrorCode::NotImplemented)?;
        self.send_stamped(topic, record, timestamp)
    }

    /// Sends a record with another timestamp than its own.
    pub(crate) fn send_stamped<'h, H>(
        &self,
        topic: &TopicHandle,
        record: Outgoing<'_, H>,
        timestamp: i64,
    ) -> Result<(), RDKafkaErrorCode>
    where
        H: ExactSizeIterator<Item = (&'h [u8], Option<&'h [u8]>)>,
    {
        use sys::rd_kafka_vtype_t as V;
        let mem = |data: Option<&[u8]>| sys::rd_kafka_vu_s__bindgen_ty_1 {
            mem: sys::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 {
                ptr: data.map_or(ptr::null_mut(), |d| d.as_ptr().cast_mut().cast()),
                size: data.map_or(0, <[u8]>::len),
            },
        };
        let vu = |vtype, u| sys::rd_kafka_vu_t { vtype, u };
        let headers = if record.headers.len() > 0 { Headers::new(record.headers) } else { Headers::none() };
        let list = [
            vu(V::RD_KAFKA_VTYPE_RKT, sys::rd_kafka_vu_s__bindgen_ty_1 { rkt: topic.topic.as_ptr() }),
            vu(V::RD_KAFKA_VTYPE_PARTITION, sys::rd_kafka_vu_s__bindgen_ty_1 { i32_: record.partition }),
            vu(V::RD_KAFKA_VTYPE_TIMESTAMP, sys::rd_kafka_vu_s__bindgen_ty_1 { i64_: timestamp }),
            vu(V::RD_KAFKA_VTYPE_KEY, mem(record.key)),
            vu(V::RD_KAFKA_VTYPE_VALUE, mem(record.value)),
            vu(V::RD_KAFKA_VTYPE_MSGFLAGS, sys::rd_kafka_vu_s__bindgen_ty_1 { i: sys::RD_KAFKA_MSG_F_COPY }),
            vu(
                V::RD_KAFKA_VTYPE_OPAQUE,
                sys::rd_kafka_vu_s__bindgen_ty_1 { ptr: record.token as usize as *mut c_void },
            ),
            vu(V::RD_KAFKA_VTYPE_HEADERS, sys::rd_kafka_vu_s__bindgen_ty_1 { headers: headers.0 }),
        ];
        let count = if headers.0.is_null() { list.len() - 1 } else { list.len() };
        // SAFETY: every pointer in the list outlives the call, and MSG_F_COPY makes librdkafka copy what they
        // point to; the headers become librdkafka's if, and only if, the call succeeds.
        let error = unsafe { sys::rd_kafka_produceva(self.native(), list.as_ptr(), count) };
        if error.is_null() {
            std::mem::forget(headers);
            return Ok(());
        }
        // SAFETY: a non-null error is ours to read and to destroy, once.
        let code = unsafe {
            let code = sys::rd_kafka_error_code(error);
            sys::rd_kafka_error_destroy(error);
            code
        };
        Err(RDKafkaErrorCode::from(code))
    }

    /// Waits up to `timeout` for delivery reports and shows each to `on`, in the order of each partition.
    /// Returns whether anything came.
    pub fn deliveries(&self, timeout: Duration, mut on: impl FnMut(Delivery<'_>)) -> bool {
        // SAFETY: the client is alive; queue and event are ours until destroyed, below, once each.
        unsafe {
            let queue = sys::rd_kafka_queue_get_main(self.native());
            let event = sys::rd_kafka_queue_poll(queue, millis(timeout));
            sys::rd_kafka_queue_destroy(queue);
            if event.is_null() {
                return false;
            }
            match sys::rd_kafka_event_type(event) {
                sys::RD_KAFKA_EVENT_DR => loop {
                    let message = sys::rd_kafka_event_message_next(event);
                    if message.is_null() {
                        break;
                    }
                    on(Delivery::of(&*message));
                },
                sys::RD_KAFKA_EVENT_ERROR => {
                    let code = RDKafkaErrorCode::from(sys::rd_kafka_event_error(event));
                    let text = str_of(sys::rd_kafka_event_error_string(event));
                    let error = rdkafka::error::KafkaError::Global(code);
                    self.client.context().error(error, text);
                }
                sys::RD_KAFKA_EVENT_LOG => raw_log::on_event(self.client.context(), event),
                _ => {}
            }
            sys::rd_kafka_event_destroy(event);
        }
        true
    }

    /// Why the client can never send again, if so (librdkafka's fatal errors of the idempotent producer).
    pub fn fatal(&self) -> Option<String> {
        self.client.fatal_error().map(|(code, text)| format!("{code}: {text}"))
    }
}

impl Drop for PinnedSender {
    fn drop(&mut self) {
        let all = sys::RD_KAFKA_PURGE_F_QUEUE | sys::RD_KAFKA_PURGE_F_INFLIGHT;
        // SAFETY: the client is alive. Without this, its end would wait for messages that nobody waits for.
        unsafe { sys::rd_kafka_purge(self.native(), all) };
    }
}

impl<'a> Delivery<'a> {
    fn of(message: &'a sys::rd_kafka_message_t) -> Self {
        let token = message._private as usize as u64;
        let result = match message.err {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(message.offset),
            error => {
                // SAFETY: the text is librdkafka's, as long-lived as the event that holds the message.
                let text = unsafe { str_of(sys::rd_kafka_message_produce_errstr(message)) };
                Err((RDKafkaErrorCode::from(error), text))
            }
        };
        Self { token, result }
    }
}

impl Drop for TopicHandle {
    fn drop(&mut self) {
        // SAFETY: our reference, released once; the client is still alive.
        unsafe { sys::rd_kafka_topic_destroy(self.topic.as_ptr()) };
    }
}

/// A list of headers until librdkafka takes it over.
struct Headers(*mut sys::rd_kafka_headers_t);

impl Headers {
    fn none() -> Self {
        Self(ptr::null_mut())
    }

    fn new<'h>(headers: impl ExactSizeIterator<Item = (&'h [u8], Option<&'h [u8]>)>) -> Self {
        // SAFETY: names and values are copied by header_add; a null value is a null header value.
        unsafe {
            let list = sys::rd_kafka_headers_new(headers.len());
            for (name, value) in headers {
                sys::rd_kafka_header_add(
                    list,
                    name.as_ptr().cast(),
                    name.len() as isize,
                    value.map_or(ptr::null(), |v| v.as_ptr().cast()),
                    value.map_or(0, <[u8]>::len) as isize,
                );
            }
            Self(list)
        }
    }
}

impl Drop for Headers {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: still ours, as the call that would have taken it did not succeed.
            unsafe { sys::rd_kafka_headers_destroy(self.0) };
        }
    }
}
