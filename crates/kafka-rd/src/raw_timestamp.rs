//! Timestamp 0 (the epoch), which librdkafka's producer takes for "now": a record that has it is sent with a
//! stand-in, and an interceptor puts the 0 in its place before anyone else sees the message.
//!
//! That field is librdkafka's own (`rd_kafka_msg_t.rkm_timestamp`) and its documentation asks interceptors to
//! change nothing, so nothing is taken on trust: a self-test, once a process, shows that the field is where
//! it is thought to be, and where it fails such records are refused. Must never send a record restamped.
#![expect(unsafe_code, reason = "reaches into librdkafka's message; each block says why it is sound")]

use std::{
    cell::Cell,
    ffi::{c_char, c_int, c_void},
    mem::size_of,
    ptr,
    sync::OnceLock,
};

use rdkafka::{
    ClientConfig, bindings as sys, config::NativeClientConfig,
    types::RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR,
};

use crate::{LogContext, Outgoing, PinnedSender};

/// Given to librdkafka in the place of 0; any value that is not 0 would do.
const STAND_IN: i64 = i64::from_be_bytes(*b"isomirro");

/// Where the timestamp is in librdkafka 2.12's `rd_kafka_msg_t`: behind the public message (its first member),
/// the two links of a queue, the flags and the timestamp's type.
const TIMESTAMP: usize =
    size_of::<sys::rd_kafka_message_t>() + 2 * size_of::<*const c_void>() + 2 * size_of::<c_int>();

thread_local! {
    /// What is to become of the message that this thread is about to send.
    static NEXT: Cell<Next> = const { Cell::new(Next::AsItIs) };
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    AsItIs,
    ToZero,
    IsZero,
}

/// Has every message of the producer that is made from `config` pass the interceptor.
pub(crate) fn intercept(config: &NativeClientConfig) {
    // SAFETY: the configuration is alive, the name is copied, and there is no opaque pointer.
    unsafe {
        let name = c"isomirror-timestamp".as_ptr();
        sys::rd_kafka_conf_interceptor_add_on_new(config.ptr(), name, Some(on_new), ptr::null_mut());
    }
}

/// The timestamp to give librdkafka for the record that this thread sends next, to a producer with the
/// interceptor; none if a record of this timestamp can't be sent.
pub(crate) fn to_send(timestamp: i64) -> Option<i64> {
    let zero = timestamp == 0;
    if zero && !can_be_zero() {
        return None;
    }
    NEXT.set(if zero { Next::ToZero } else { Next::AsItIs });
    Some(if zero { STAND_IN } else { timestamp })
}

fn can_be_zero() -> bool {
    static TESTED: OnceLock<bool> = OnceLock::new();
    *TESTED.get_or_init(|| self_test() == Some(true))
}

/// Sends one message, through a client that knows no broker, and sees whether it gets timestamp 0.
fn self_test() -> Option<bool> {
    let sender = PinnedSender::new(&ClientConfig::new(), LogContext::new("none")).ok()?;
    let topic = sender.topic("none")?;
    // A value lies in the message's own allocation: however short librdkafka's struct might be, the interceptor
    // reads and writes inside of it.
    let value = Some([0; 2 * TIMESTAMP].as_slice());
    let headers = [].into_iter();
    let record = Outgoing { partition: 0, timestamp: 0, key: None, value, headers, token: 0 };
    NEXT.set(Next::ToZero);
    sender.send_stamped(&topic, record, STAND_IN).ok()?;
    Some(NEXT.get() == Next::IsZero)
}

unsafe extern "C" fn on_new(
    client: *mut sys::rd_kafka_t,
    _: *const sys::rd_kafka_conf_t,
    _: *mut c_void,
    _: *mut c_char,
    _: usize,
) -> sys::rd_kafka_resp_err_t {
    // SAFETY: librdkafka calls this with the client it is making; the name is copied.
    unsafe {
        let name = c"isomirror-timestamp".as_ptr();
        sys::rd_kafka_interceptor_add_on_send(client, name, Some(on_send), ptr::null_mut())
    }
}

/// Called by the thread that sends, before the message is in any queue.
unsafe extern "C" fn on_send(
    _: *mut sys::rd_kafka_t,
    message: *mut sys::rd_kafka_message_t,
    _: *mut c_void,
) -> sys::rd_kafka_resp_err_t {
    if NEXT.get() == Next::ToZero {
        // SAFETY: the message is the first member of a longer struct, of which no other thread knows yet. The
        // self-test has shown that its timestamp is at this place, or is about to (see there). Nothing is
        // written unless librdkafka's own word on the timestamp is what is read there.
        unsafe {
            let field = message.byte_add(TIMESTAMP).cast::<i64>();
            let told = || sys::rd_kafka_message_timestamp(message, ptr::null_mut());
            if field.read_unaligned() == STAND_IN && told() == STAND_IN {
                field.write_unaligned(0);
                if told() == 0 {
                    NEXT.set(Next::IsZero);
                }
            }
        }
    }
    RD_KAFKA_RESP_ERR_NO_ERROR
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_librdkafka_can_be_made_to_send_timestamp_zero() {
        assert!(super::can_be_zero());
    }
}
