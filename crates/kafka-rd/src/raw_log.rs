//! Log lines of clients that are polled past the safe crate: to their context.
//!
//! The safe crate takes them out of the queue that it polls. Where that queue is polled by librdkafka's own calls,
//! librdkafka prints them to standard error instead, and errors too: twenty lines a second while a broker is down.
#![expect(unsafe_code, reason = "a callback from librdkafka; each block says why it is sound")]

use std::ffi::{CStr, c_char, c_int};

use rdkafka::{ClientContext, bindings as sys, client::Client, config::RDKafkaLogLevel};

use crate::LogContext;

/// Has librdkafka hand the client's log lines to its context, in the thread that polls its queue.
pub(crate) fn listen(client: &Client<LogContext>) {
    // SAFETY: the client is alive. It queues its lines (`log.queue`), so that only who polls reads this field.
    unsafe { sys::rd_kafka_set_logger(client.native_ptr(), Some(on_line)) };
}

unsafe extern "C" fn on_line(
    rk: *const sys::rd_kafka_t,
    level: c_int,
    facility: *const c_char,
    line: *const c_char,
) {
    // SAFETY: the opaque pointer of a `Client<LogContext>` is its context, which it drops after the native client;
    // facility and line are C strings that outlive the call.
    unsafe {
        let context = sys::rd_kafka_opaque(rk).cast::<LogContext>().as_ref();
        if let Some(context) = context {
            hand_over(context, level, facility, line);
        }
    }
}

/// # Safety
/// Both pointers are C strings that outlive the call.
unsafe fn hand_over(context: &LogContext, level: c_int, facility: *const c_char, line: *const c_char) {
    use RDKafkaLogLevel as L;
    let level = match level {
        0 => L::Emerg,
        1 => L::Alert,
        2 => L::Critical,
        3 => L::Error,
        4 => L::Warning,
        5 => L::Notice,
        6 => L::Info,
        _ => L::Debug,
    };
    // SAFETY: the caller's promise.
    let (facility, line) = unsafe { (CStr::from_ptr(facility), CStr::from_ptr(line)) };
    context.log(level, &facility.to_string_lossy(), &line.to_string_lossy());
}

#[cfg(test)]
mod tests {
    use std::{
        sync::Arc,
        time::{Duration, Instant},
    };

    use rdkafka::ClientConfig;

    use crate::{FetchQueue, LogContext};

    const POLL: Duration = Duration::from_millis(50);

    fn nobody_listens() -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", "127.0.0.1:1").set("group.id", "mirror");
        config
    }

    #[test]
    fn a_reader_that_reaches_nobody_says_so_to_its_context() {
        let context = LogContext::new("source cluster dc1");
        let consumer = nobody_listens().create_with_context(context.clone()).unwrap();
        let mut queue = FetchQueue::new(Arc::new(consumer));
        let end = Instant::now() + Duration::from_secs(10);
        let heard = || context.last_error().is_some_and(|e| e.reason.contains("Connection refused"));
        while Instant::now() < end && !heard() {
            queue.poll(POLL, 10, |_| {});
        }
        assert!(heard());
    }
}
