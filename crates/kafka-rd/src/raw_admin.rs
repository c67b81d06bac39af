//! The admin calls of librdkafka that the safe crate lacks, or whose answers it cuts short: a broker's own
//! words on why it refused ("replication factor: 3 larger than available brokers: 1") are dropped there.
//!
//! Every call here blocks until the answer or the timeout: call from a thread that may wait. Owns every
//! librdkafka object it makes through a guard. Never decides what an answer means.
#![expect(unsafe_code, reason = "calls into librdkafka; each block says why it is sound")]

mod owned;
mod types;

use std::{collections::HashMap, fmt, marker::PhantomData, ptr::NonNull, sync::Arc, time::Duration};

use rdkafka::{ClientContext, Offset, bindings as sys, client::Client, types::RDKafkaErrorCode};

use self::owned::{
    Answers, Event, Guard, Options, Text, array, c_string, check, config_entries, error_of, millis,
    no_answer, operations, partition_list, string, wait,
};
pub use self::types::{
    AclOperation, AdminError, ClusterDescription, ConfigEntry, ConfigResource, Listed, NewTopic, OffsetSpec,
    Operations, TopicDescription, describe,
};
use crate::context::{NO_ID, topic_id};

/// librdkafka gives every admin request a timeout of its own; this much more is waited for its verdict.
const GRACE: Duration = Duration::from_secs(2);
/// What librdkafka makes of a partition about which it has no answer.
const UNANSWERED: i64 = sys::RD_KAFKA_OFFSET_INVALID as i64;

/// The admin calls of one client. Cheap; make one for each call.
#[derive(Clone, Copy)]
pub struct Admin<'c> {
    rk: NonNull<sys::rd_kafka_t>,
    timeout: Duration,
    broker: Option<i32>,
    /// The client outlives this.
    client: PhantomData<&'c ()>,
}

// === impl Admin ===

impl<'c> Admin<'c> {
    /// Calls through `client`, each of which is given `timeout`.
    pub fn new<C: ClientContext>(client: &'c Client<C>, timeout: Duration) -> Self {
        let rk = NonNull::new(client.native_ptr()).expect("a client has a handle");
        Self { rk, timeout, broker: None, client: PhantomData }
    }

    /// Asks this broker what any broker can tell: configs of topics, rights on topics and the cluster.
    /// Everything else goes to the controller, the coordinator or the leaders.
    pub fn at(self, broker: i32) -> Self {
        Self { broker: Some(broker), ..self }
    }

    /// The controller's broker id, if it came with the last metadata.
    pub fn known_controller(&self) -> Option<i32> {
        // SAFETY: the client is alive.
        let id = unsafe { sys::rd_kafka_controllerid(self.rk.as_ptr(), 0) };
        (id >= 0).then_some(id)
    }

    /// Creates a topic, or with `validate_only` asks whether that would go.
    pub fn create_topic(&self, topic: NewTopic<'_>, validate_only: bool) -> Result<(), AdminError> {
        let name = c_string(topic.name)?;
        let mut text = Text::default();
        // SAFETY: `name` is a C string and `text` a writable buffer of the size given; librdkafka copies both.
        let new = unsafe {
            let (buffer, size) = text.buffer();
            sys::rd_kafka_NewTopic_new(name.as_ptr(), topic.partitions, topic.replication, buffer, size)
        };
        let new = Guard::new(new, sys::rd_kafka_NewTopic_destroy)
            .ok_or_else(|| AdminError::invalid(&text.get()))?;
        for (key, value) in topic.configs {
            let (key, value) = (c_string(key)?, c_string(value)?);
            // SAFETY: the topic is alive; the strings are copied.
            let error = unsafe { sys::rd_kafka_NewTopic_set_config(new.ptr(), key.as_ptr(), value.as_ptr()) };
            check(error)?;
        }
        let options = self.options(sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_CREATETOPICS)?;
        options.operation_timeout(self.timeout)?;
        if validate_only {
            options.validate_only()?;
        }
        // SAFETY: `run`'s promise for the handles; the array holds the one topic and is copied.
        let event = self.run(&options, |rk, options, queue| unsafe {
            sys::rd_kafka_CreateTopics(rk, [new.ptr()].as_mut_ptr(), 1, options, queue);
        })?;
        // SAFETY: the accessors fit the event's type (they return null otherwise), and its parts live as it does.
        unsafe {
            let result = sys::rd_kafka_event_CreateTopics_result(event.ptr());
            event.topic_result(result, sys::rd_kafka_CreateTopics_result_topics)
        }
    }

    /// Grows a topic to `partitions` partitions in all.
    pub fn create_partitions(&self, topic: &str, partitions: usize) -> Result<(), AdminError> {
        let name = c_string(topic)?;
        let mut text = Text::default();
        // SAFETY: as in `create_topic`.
        let new = unsafe {
            let (buffer, size) = text.buffer();
            sys::rd_kafka_NewPartitions_new(name.as_ptr(), partitions, buffer, size)
        };
        let new = Guard::new(new, sys::rd_kafka_NewPartitions_destroy)
            .ok_or_else(|| AdminError::invalid(&text.get()))?;
        let options = self.options(sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_CREATEPARTITIONS)?;
        options.operation_timeout(self.timeout)?;
        // SAFETY: as in `create_topic`.
        let event = self.run(&options, |rk, options, queue| unsafe {
            sys::rd_kafka_CreatePartitions(rk, [new.ptr()].as_mut_ptr(), 1, options, queue);
        })?;
        // SAFETY: as in `create_topic`.
        unsafe {
            let result = sys::rd_kafka_event_CreatePartitions_result(event.ptr());
            event.topic_result(result, sys::rd_kafka_CreatePartitions_result_topics)
        }
    }

    /// Deletes a topic.
    pub fn delete_topic(&self, topic: &str) -> Result<(), AdminError> {
        let name = c_string(topic)?;
        // SAFETY: the name is a C string, and copied.
        let delete = unsafe { sys::rd_kafka_DeleteTopic_new(name.as_ptr()) };
        let delete = Guard::new(delete, sys::rd_kafka_DeleteTopic_destroy).ok_or_else(no_answer)?;
        let options = self.options(sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DELETETOPICS)?;
        options.operation_timeout(self.timeout)?;
        // SAFETY: as in `create_topic`.
        let event = self.run(&options, |rk, options, queue| unsafe {
            sys::rd_kafka_DeleteTopics(rk, [delete.ptr()].as_mut_ptr(), 1, options, queue);
        })?;
        // SAFETY: as in `create_topic`.
        unsafe {
            let result = sys::rd_kafka_event_DeleteTopics_result(event.ptr());
            event.topic_result(result, sys::rd_kafka_DeleteTopics_result_topics)
        }
    }

    /// The configurations of topics, or of one broker (librdkafka takes no more than one a request).
    pub fn describe_configs(
        &self,
        resource: ConfigResource,
        names: &[&str],
    ) -> Result<HashMap<String, Result<Vec<ConfigEntry>, AdminError>>, AdminError> {
        let kind = match resource {
            ConfigResource::Topic => sys::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC,
            ConfigResource::Broker => sys::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_BROKER,
        };
        let mut guards = Vec::with_capacity(names.len());
        for name in names {
            let name = c_string(name)?;
            // SAFETY: the name is a C string, and copied.
            let resource = unsafe { sys::rd_kafka_ConfigResource_new(kind, name.as_ptr()) };
            guards.push(Guard::new(resource, sys::rd_kafka_ConfigResource_destroy).ok_or_else(no_answer)?);
        }
        let mut resources: Vec<_> = guards.iter().map(Guard::ptr).collect();
        let options = self.options(sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS)?;
        options.broker(self.broker)?;
        // SAFETY: `run`'s promise for the handles; the array is as long as said, and copied.
        let event = self.run(&options, |rk, options, queue| unsafe {
            sys::rd_kafka_DescribeConfigs(rk, resources.as_mut_ptr(), resources.len(), options, queue);
        })?;
        let mut count = 0;
        // SAFETY: the accessors fit the event's type; all that they point to lives as long as the event.
        unsafe {
            let result = sys::rd_kafka_event_DescribeConfigs_result(event.ptr());
            let result = NonNull::new(result.cast_mut()).ok_or_else(no_answer)?;
            let resources = sys::rd_kafka_DescribeConfigs_result_resources(result.as_ptr(), &mut count);
            Ok(array(resources, count).iter().map(|&resource| config_entries(resource)).collect())
        }
    }

    /// The offset of each partition that fits `spec`; one request to each broker that leads any of them.
    pub fn list_offsets(
        &self,
        partitions: &[(Arc<str>, i32)],
        spec: OffsetSpec,
        committed: bool,
    ) -> Result<Listed, AdminError> {
        let offset = match spec {
            OffsetSpec::Start => Offset::Beginning,
            OffsetSpec::End => Offset::End,
            OffsetSpec::Time(time) => Offset::Offset(time.max(0)),
        };
        let entry = |(topic, partition): &(Arc<str>, i32)| (topic.clone(), *partition, offset);
        let list = partition_list(partitions.iter().map(entry))?;
        let options = self.options(sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS)?;
        if committed {
            options.read_committed()?;
        }
        // SAFETY: `run`'s promise for the handles; the list is copied.
        let event = self.run(&options, |rk, options, queue| unsafe {
            sys::rd_kafka_ListOffsets(rk, list.ptr(), options, queue);
        })?;
        let mut count = 0;
        let mut answers = Answers::new(partitions);
        // SAFETY: the accessors fit the event's type; all that they point to lives as long as the event.
        unsafe {
            let result = sys::rd_kafka_event_ListOffsets_result(event.ptr());
            let result = NonNull::new(result.cast_mut()).ok_or_else(no_answer)?;
            for &info in array(sys::rd_kafka_ListOffsets_result_infos(result.as_ptr(), &mut count), count) {
                answers.add(&*sys::rd_kafka_ListOffsetsResultInfo_topic_partition(info));
            }
        }
        // Where a leader's own answer failed, librdkafka drops the error, and what is left is "no offset" without
        // one (`rd_kafka_ListOffsets_response_merge` looks at results only).
        let silent =
            || AdminError::with_detail(RDKafkaErrorCode::BrokerTransportFailure, "its leader did not answer");
        let answered = |offset| if offset == UNANSWERED { Err(silent()) } else { Ok(offset) };
        Ok(answers.offsets().into_iter().map(|offset| offset.and_then(answered)).collect())
    }

    /// Each topic's id, and what this principal may do to it.
    pub fn describe_topics(
        &self,
        topics: &[&str],
    ) -> Result<HashMap<String, Result<TopicDescription, AdminError>>, AdminError> {
        let names = topics.iter().map(|topic| c_string(topic)).collect::<Result<Vec<_>, _>>()?;
        let mut names: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
        // SAFETY: an array of C strings, as long as said; librdkafka copies them.
        let collection =
            unsafe { sys::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len()) };
        let collection =
            Guard::new(collection, sys::rd_kafka_TopicCollection_destroy).ok_or_else(no_answer)?;
        let options = self.options(sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS)?;
        options.broker(self.broker)?;
        options.include_operations()?;
        // SAFETY: `run`'s promise for the handles; the collection is alive, and copied.
        let event = self.run(&options, |rk, options, queue| unsafe {
            sys::rd_kafka_DescribeTopics(rk, collection.ptr(), options, queue);
        })?;
        let mut count = 0;
        // SAFETY: the accessors fit the event's type; all that they point to lives as long as the event.
        unsafe {
            let result = sys::rd_kafka_event_DescribeTopics_result(event.ptr());
            let result = NonNull::new(result.cast_mut()).ok_or_else(no_answer)?;
            let topics =
                array(sys::rd_kafka_DescribeTopics_result_topics(result.as_ptr(), &mut count), count);
            let describe = |&topic: &*const sys::rd_kafka_TopicDescription_t| {
                let outcome = error_of(sys::rd_kafka_TopicDescription_error(topic));
                let operations = operations(topic.cast(), |t, n| {
                    sys::rd_kafka_TopicDescription_authorized_operations(t, n)
                });
                let id = string(sys::rd_kafka_Uuid_base64str(sys::rd_kafka_TopicDescription_topic_id(topic)));
                let id = Some(id).filter(|id| !id.is_empty() && *id != NO_ID).map(|id| topic_id(&id));
                let name = string(sys::rd_kafka_TopicDescription_name(topic));
                (name, outcome.map(|()| TopicDescription { id, operations }))
            };
            Ok(topics.iter().map(describe).collect())
        }
    }

    /// The cluster: its id, its brokers, and what this principal may do to it.
    pub fn describe_cluster(&self) -> Result<ClusterDescription, AdminError> {
        let options = self.options(sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECLUSTER)?;
        options.broker(self.broker)?;
        options.include_operations()?;
        // SAFETY: `run`'s promise for the handles.
        let event = self.run(&options, |rk, options, queue| unsafe {
            sys::rd_kafka_DescribeCluster(rk, options, queue);
        })?;
        let mut count = 0;
        // SAFETY: the accessors fit the event's type; all that they point to lives as long as the event.
        unsafe {
            let result = sys::rd_kafka_event_DescribeCluster_result(event.ptr());
            let result = NonNull::new(result.cast_mut()).ok_or_else(no_answer)?.as_ptr();
            let nodes = array(sys::rd_kafka_DescribeCluster_result_nodes(result, &mut count), count);
            let mut brokers: Vec<i32> = nodes.iter().map(|&node| sys::rd_kafka_Node_id(node)).collect();
            brokers.sort_unstable();
            let id = sys::rd_kafka_DescribeCluster_result_cluster_id(result);
            let operations = operations(result.cast(), |r, n| {
                sys::rd_kafka_DescribeCluster_result_authorized_operations(r, n)
            });
            Ok(ClusterDescription { id: (!id.is_null()).then(|| string(id)), brokers, operations })
        }
    }

    fn options(&self, operation: sys::rd_kafka_admin_op_t) -> Result<Options, AdminError> {
        // SAFETY: the client is alive.
        let options = unsafe { sys::rd_kafka_AdminOptions_new(self.rk.as_ptr(), operation) };
        let options = Options(Guard::new(options, sys::rd_kafka_AdminOptions_destroy).ok_or_else(no_answer)?);
        let timeout = millis(self.timeout);
        options.set(|options, text, size| {
            // SAFETY: `set` passes live options and a buffer of this size.
            unsafe { sys::rd_kafka_AdminOptions_set_request_timeout(options, timeout, text, size) }
        })?;
        Ok(options)
    }

    fn queue(&self) -> Result<Guard<sys::rd_kafka_queue_t>, AdminError> {
        // SAFETY: the client is alive.
        let queue = unsafe { sys::rd_kafka_queue_new(self.rk.as_ptr()) };
        Guard::new(queue, sys::rd_kafka_queue_destroy).ok_or_else(no_answer)
    }

    /// Starts a request with live handles (client, options, queue for the answer) and waits for its answer.
    fn run(
        &self,
        options: &Options,
        start: impl FnOnce(*mut sys::rd_kafka_t, *const sys::rd_kafka_AdminOptions_t, *mut sys::rd_kafka_queue_t),
    ) -> Result<Event, AdminError> {
        let queue = self.queue()?;
        start(self.rk.as_ptr(), options.0.ptr(), queue.ptr());
        let event = wait(&queue, self.timeout + GRACE)?;
        event.check()?;
        Ok(event)
    }
}

impl fmt::Debug for Admin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}
