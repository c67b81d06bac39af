//! librdkafka's objects behind guards, and its lists and strings as Rust's. Nothing here outlives the call
//! that made it.

use std::{
    collections::HashMap,
    ffi::{CStr, CString, c_char, c_int},
    ptr::NonNull,
    slice,
    sync::Arc,
    time::Duration,
};

use rdkafka::{
    Offset, TopicPartitionList, bindings as sys,
    types::{RDKafkaErrorCode, RDKafkaRespErr},
};

use super::{AclOperation, AdminError, ConfigEntry, Listed, Operations};

/// The next event of a queue.
pub(super) fn wait(queue: &Guard<sys::rd_kafka_queue_t>, timeout: Duration) -> Result<Event, AdminError> {
    // SAFETY: the queue is alive; the event it gives is ours to destroy.
    let event = unsafe { sys::rd_kafka_queue_poll(queue.ptr(), millis(timeout)) };
    Guard::new(event, sys::rd_kafka_event_destroy)
        .map(Event)
        .ok_or_else(|| AdminError::new(RDKafkaErrorCode::OperationTimedOut))
}

// === guards ===

/// A librdkafka object that is destroyed with this.
pub(super) struct Guard<T> {
    object: NonNull<T>,
    destroy: unsafe extern "C" fn(*mut T),
}

impl<T> Guard<T> {
    /// Takes over an object that librdkafka has just made for us, if it has made it; `destroy` is the
    /// function that librdkafka has for this type.
    pub(super) fn new(object: *mut T, destroy: unsafe extern "C" fn(*mut T)) -> Option<Self> {
        NonNull::new(object).map(|object| Self { object, destroy })
    }

    pub(super) fn ptr(&self) -> *mut T {
        self.object.as_ptr()
    }
}

impl<T> Drop for Guard<T> {
    fn drop(&mut self) {
        // SAFETY: made by librdkafka for us, destroyed once, by its own function.
        unsafe { (self.destroy)(self.object.as_ptr()) }
    }
}

/// A buffer for librdkafka's words on an argument it refuses.
pub(super) struct Text([c_char; 512]);

impl Default for Text {
    fn default() -> Self {
        Self([0; 512])
    }
}

impl Text {
    pub(super) fn buffer(&mut self) -> (*mut c_char, usize) {
        (self.0.as_mut_ptr(), self.0.len())
    }

    pub(super) fn get(&self) -> String {
        let bytes: Vec<u8> = self.0.iter().take_while(|&&c| c != 0).map(|&c| c as u8).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

pub(super) struct Options(pub(super) Guard<sys::rd_kafka_AdminOptions_t>);

impl Options {
    pub(super) fn set(
        &self,
        set: impl FnOnce(*mut sys::rd_kafka_AdminOptions_t, *mut c_char, usize) -> RDKafkaRespErr,
    ) -> Result<(), AdminError> {
        let mut text = Text::default();
        let (buffer, size) = text.buffer();
        match check(set(self.0.ptr(), buffer, size)) {
            Err(error) => Err(AdminError::with_detail(error.code, &text.get())),
            ok => ok,
        }
    }

    /// How long the broker may take to finish what it was asked to do.
    pub(super) fn operation_timeout(&self, timeout: Duration) -> Result<(), AdminError> {
        self.set(|options, text, size| {
            // SAFETY: `set` passes live options and a buffer of this size.
            unsafe { sys::rd_kafka_AdminOptions_set_operation_timeout(options, millis(timeout), text, size) }
        })
    }

    /// Which broker to ask.
    pub(super) fn broker(&self, broker: Option<i32>) -> Result<(), AdminError> {
        let Some(broker) = broker else { return Ok(()) };
        self.set(|options, text, size| {
            // SAFETY: `set` passes live options and a buffer of this size.
            unsafe { sys::rd_kafka_AdminOptions_set_broker(options, broker, text, size) }
        })
    }

    pub(super) fn validate_only(&self) -> Result<(), AdminError> {
        self.set(|options, text, size| {
            // SAFETY: `set` passes live options and a buffer of this size.
            unsafe { sys::rd_kafka_AdminOptions_set_validate_only(options, 1, text, size) }
        })
    }

    pub(super) fn read_committed(&self) -> Result<(), AdminError> {
        let level = sys::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED;
        // SAFETY: the options are alive; the error, if any, is ours to destroy.
        owned_error(unsafe { sys::rd_kafka_AdminOptions_set_isolation_level(self.0.ptr(), level) })
    }

    pub(super) fn include_operations(&self) -> Result<(), AdminError> {
        // SAFETY: the options are alive; the error, if any, is ours to destroy.
        owned_error(unsafe { sys::rd_kafka_AdminOptions_set_include_authorized_operations(self.0.ptr(), 1) })
    }
}

pub(super) struct Event(Guard<sys::rd_kafka_event_t>);

impl Event {
    pub(super) fn ptr(&self) -> *mut sys::rd_kafka_event_t {
        self.0.ptr()
    }

    /// The failure of the request as a whole.
    pub(super) fn check(&self) -> Result<(), AdminError> {
        // SAFETY: the event is alive, and so are its words while it is.
        unsafe {
            let code = sys::rd_kafka_event_error(self.ptr());
            check_with(code, || string(sys::rd_kafka_event_error_string(self.ptr())))
        }
    }

    /// The outcome for the one topic that was asked for.
    ///
    /// # Safety
    /// `result` is null or this event as `topics` takes it.
    pub(super) unsafe fn topic_result<R>(
        &self,
        result: *const R,
        topics: unsafe extern "C" fn(*const R, *mut usize) -> *mut *const sys::rd_kafka_topic_result_t,
    ) -> Result<(), AdminError> {
        let result = NonNull::new(result.cast_mut()).ok_or_else(no_answer)?;
        let mut count = 0;
        // SAFETY: the caller's promise; the topics live as long as the event.
        unsafe {
            let topic = *array(topics(result.as_ptr(), &mut count), count).first().ok_or_else(no_answer)?;
            let code = sys::rd_kafka_topic_result_error(topic);
            check_with(code, || string(sys::rd_kafka_topic_result_error_string(topic)))
        }
    }
}

/// Puts what librdkafka answers for partitions, in whatever order, into the order they were asked for.
pub(super) struct Answers<'a> {
    index: HashMap<(&'a str, i32), usize>,
    answers: Listed,
}

impl<'a> Answers<'a> {
    pub(super) fn new(asked: &'a [(Arc<str>, i32)]) -> Self {
        let index = asked.iter().enumerate().map(|(i, (topic, partition))| ((&**topic, *partition), i));
        Self { index: index.collect(), answers: asked.iter().map(|_| Err(no_answer())).collect() }
    }

    /// # Safety
    /// Of no effect on soundness here, but `element.topic` must be a C string, as librdkafka makes it.
    pub(super) unsafe fn add(&mut self, element: &sys::rd_kafka_topic_partition_t) {
        // SAFETY: the caller's promise; the string is not kept.
        let topic = unsafe { string(element.topic) };
        if let Some(&at) = self.index.get(&(topic.as_str(), element.partition)) {
            self.answers[at] = check(element.err).map(|()| element.offset);
        }
    }

    pub(super) fn offsets(self) -> Listed {
        self.answers
    }
}

// === small things ===

pub(super) fn millis(timeout: Duration) -> c_int {
    c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX)
}

pub(super) fn c_string(text: &str) -> Result<CString, AdminError> {
    CString::new(text).map_err(|_| AdminError::invalid("a name or value with a zero byte in it"))
}

pub(super) fn no_answer() -> AdminError {
    AdminError::with_detail(RDKafkaErrorCode::Fail, "the answer holds nothing on it")
}

pub(super) fn check(code: RDKafkaRespErr) -> Result<(), AdminError> {
    check_with(code, String::new)
}

pub(super) fn check_with(code: RDKafkaRespErr, detail: impl FnOnce() -> String) -> Result<(), AdminError> {
    match RDKafkaErrorCode::from(code) {
        RDKafkaErrorCode::NoError => Ok(()),
        code => Err(AdminError::with_detail(code, &detail())),
    }
}

pub(super) fn partition_list(
    partitions: impl Iterator<Item = (Arc<str>, i32, Offset)>,
) -> Result<TopicPartitionList, AdminError> {
    let mut list = TopicPartitionList::new();
    for (topic, partition, offset) in partitions {
        // The safe crate panics at a zero byte.
        c_string(&topic)?;
        let mut element = list.add_partition(&topic, partition);
        element.set_offset(offset).map_err(|error| AdminError::invalid(&error.to_string()))?;
    }
    Ok(list)
}

/// # Safety
/// `text` is null or a C string.
pub(super) unsafe fn string(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// # Safety
/// `array` is null or points to `count` elements that outlive `'a`.
pub(super) unsafe fn array<'a, T>(array: *mut *const T, count: usize) -> &'a [*const T] {
    if array.is_null() || count == 0 {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { slice::from_raw_parts(array.cast_const(), count) }
}

/// # Safety
/// `error` is null or a live error.
pub(super) unsafe fn error_of(error: *const sys::rd_kafka_error_t) -> Result<(), AdminError> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: the caller's promise.
    unsafe { check_with(sys::rd_kafka_error_code(error), || string(sys::rd_kafka_error_string(error))) }
}

/// An error that librdkafka has made for us: destroyed here.
pub(super) fn owned_error(error: *mut sys::rd_kafka_error_t) -> Result<(), AdminError> {
    let Some(error) = Guard::new(error, sys::rd_kafka_error_destroy) else { return Ok(()) };
    // SAFETY: alive until the guard goes.
    unsafe { error_of(error.ptr()) }
}

/// # Safety
/// `resource` is a live resource of a result.
pub(super) unsafe fn config_entries(
    resource: *const sys::rd_kafka_ConfigResource_t,
) -> (String, Result<Vec<ConfigEntry>, AdminError>) {
    // SAFETY: the caller's promise; the entries live as long as the resource. The source is one that this
    // librdkafka knows: the others belong to resources (loggers, metrics) that are not asked for here.
    unsafe {
        let name = string(sys::rd_kafka_ConfigResource_name(resource));
        let error = sys::rd_kafka_ConfigResource_error(resource);
        if let Err(error) = check_with(error, || string(sys::rd_kafka_ConfigResource_error_string(resource)))
        {
            return (name, Err(error));
        }
        let mut count = 0;
        let entries = array(sys::rd_kafka_ConfigResource_configs(resource, &mut count), count);
        let entry = |&entry: &*const sys::rd_kafka_ConfigEntry_t| {
            let value = sys::rd_kafka_ConfigEntry_value(entry);
            ConfigEntry {
                name: string(sys::rd_kafka_ConfigEntry_name(entry)),
                value: (!value.is_null()).then(|| string(value)),
                source: sys::rd_kafka_ConfigEntry_source(entry) as u32,
                is_default: sys::rd_kafka_ConfigEntry_is_default(entry) == 1,
                is_sensitive: sys::rd_kafka_ConfigEntry_is_sensitive(entry) == 1,
            }
        };
        (name, Ok(entries.iter().map(entry).collect()))
    }
}

/// # Safety
/// `get` gives null, or as many operations as it sets its second argument to, alive while `of` is.
pub(super) unsafe fn operations<T>(
    of: *const T,
    get: impl FnOnce(*const T, *mut usize) -> *const sys::rd_kafka_AclOperation_t,
) -> Operations {
    use AclOperation as A;
    let mut count = 0;
    // Read as numbers: a newer librdkafka may know operations that the bindings' enum does not.
    let first: *const u32 = get(of, &mut count).cast();
    if first.is_null() {
        return None;
    }
    // SAFETY: the caller's promise; the enum is a C enum of 32 bits.
    let numbers = if count == 0 { &[] } else { unsafe { slice::from_raw_parts(first, count) } };
    let operation = |number: &u32| {
        Some(match number {
            3 => A::Read,
            4 => A::Write,
            5 => A::Create,
            6 => A::Delete,
            7 => A::Alter,
            8 => A::Describe,
            9 => A::ClusterAction,
            10 => A::DescribeConfigs,
            11 => A::AlterConfigs,
            12 => A::IdempotentWrite,
            _ => return None,
        })
    };
    Some(numbers.iter().filter_map(operation).collect())
}
