//! The admin calls of librdkafka that the safe crate lacks, or whose answers it cuts short: a broker's own
//! words on why it refused ("replication factor: 3 larger than available brokers: 1") are dropped there.
//!
//! Every call here blocks until the answer or the timeout: call from a thread that may wait. Owns every
//! librdkafka object it makes through a guard. Never decides what an answer means.
#![expect(unsafe_code, reason = "calls into librdkafka; each block says why it is sound")]

use std::{
    collections::HashMap,
    ffi::{CStr, CString, c_char, c_int},
    fmt,
    marker::PhantomData,
    ptr::NonNull,
    slice,
    sync::Arc,
    time::Duration,
};

use rdkafka::{
    ClientContext, Offset, TopicPartitionList, bindings as sys,
    client::Client,
    types::{RDKafkaErrorCode, RDKafkaRespErr},
};

/// librdkafka gives every admin request a timeout of its own; this much more is waited for its verdict.
const GRACE: Duration = Duration::from_secs(2);

/// Why an admin call failed, or one of the things it asked for.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{reason}")]
pub struct AdminError {
    /// Kafka's or librdkafka's code for it.
    pub code: RDKafkaErrorCode,
    /// The code in words, and the broker's own words where it gave any.
    pub reason: String,
}

impl AdminError {
    /// An error known by its code only.
    pub fn new(code: RDKafkaErrorCode) -> Self {
        Self { code, reason: describe(code) }
    }

    /// An error and what was said about it, unless that only repeats the code.
    fn with_detail(code: RDKafkaErrorCode, detail: &str) -> Self {
        let name = describe(code);
        let detail = strip(detail);
        let plain = detail.trim_end_matches('.').to_lowercase();
        let (long, short) = (name.to_lowercase(), plain.as_str());
        let repeats = long.ends_with(short) || short.ends_with(&long);
        let reason = if repeats { name } else { format!("{name}: {detail}") };
        Self { code, reason }
    }

    fn invalid(detail: &str) -> Self {
        Self::with_detail(RDKafkaErrorCode::InvalidArgument, detail)
    }
}

/// The code in Kafka's words ("Topic authorization failed").
pub fn describe(code: RDKafkaErrorCode) -> String {
    // `Display` of the code is `Name (words)`.
    let shown = code.to_string();
    let words = shown.split_once(" (").and_then(|(_, words)| words.strip_suffix(')'));
    strip(words.unwrap_or(&shown)).to_owned()
}

/// Without librdkafka's note on which end an error code belongs to.
fn strip(words: &str) -> &str {
    let words = words.trim();
    words.strip_prefix("Broker: ").or_else(|| words.strip_prefix("Local: ")).unwrap_or(words)
}

/// What a principal may do to a topic, a group or the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are Kafka's")]
pub enum AclOperation {
    Read,
    Write,
    Create,
    Delete,
    Alter,
    Describe,
    ClusterAction,
    DescribeConfigs,
    AlterConfigs,
    IdempotentWrite,
}

/// The operations that are allowed; none where the broker doesn't say.
pub type Operations = Option<Vec<AclOperation>>;

/// What a config resource is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigResource {
    /// A topic, by its name.
    Topic,
    /// A broker, by its id.
    Broker,
}

/// One entry of a topic's or broker's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigEntry {
    /// The key.
    pub name: String,
    /// The value; none where the broker keeps it to itself.
    pub value: Option<String>,
    /// Kafka's number for where the value was set: 1 topic, 2 to 4 broker, 5 Kafka's own default.
    pub source: u32,
    /// Whether nobody has set it.
    pub is_default: bool,
    /// Whether it is a secret, and so has no value here.
    pub is_sensitive: bool,
}

/// A cluster as one of its brokers describes it.
#[derive(Debug, Clone)]
pub struct ClusterDescription {
    /// The cluster's id, where it has one.
    pub id: Option<String>,
    /// The ids of its brokers that are up, ascending.
    pub brokers: Vec<i32>,
    /// What this principal may do to it; none where the broker doesn't say.
    pub operations: Operations,
}

/// A topic to make.
#[derive(Debug, Clone, Copy)]
pub struct NewTopic<'a> {
    /// Its name.
    pub name: &'a str,
    /// Partitions, −1 for the broker's default.
    pub partitions: i32,
    /// Replicas of each partition, −1 for the broker's default.
    pub replication: i32,
    /// Its configuration where it differs from the broker's defaults.
    pub configs: &'a [(String, String)],
}

/// Where in a partition to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetSpec {
    /// The first offset there is.
    Start,
    /// The offset after the last: the last stable one for `committed`.
    End,
    /// The first offset whose record is not older than this: milliseconds since the epoch, at least 0.
    Time(i64),
}

/// Some listed offsets: in the order asked for, −1 where the partition has no such offset.
pub type Listed = Vec<Result<i64, AdminError>>;

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
        Ok(answers.offsets())
    }

    /// Commits offsets for a group that has no members.
    ///
    /// librdkafka remembers a group's coordinator for as long as it is asked for, and never forgets it for
    /// an answer of "not coordinator" (`rd_kafka_coord_cache_evict` has one caller, in the transaction
    /// manager): after that answer only another client gets through. True of all three calls on groups.
    /// (A consumer with the group's id does follow its coordinator, but blames all partitions for the
    /// error of one.)
    pub fn commit(&self, group: &str, offsets: &[((Arc<str>, i32), i64)]) -> Result<Listed, AdminError> {
        let group = c_string(group)?;
        let entry = |((topic, partition), offset): &'_ ((Arc<str>, i32), i64)| {
            (topic.clone(), *partition, Offset::Offset(*offset))
        };
        let list = partition_list(offsets.iter().map(entry))?;
        // SAFETY: group and list are alive, and copied.
        let request = unsafe { sys::rd_kafka_AlterConsumerGroupOffsets_new(group.as_ptr(), list.ptr()) };
        let request =
            Guard::new(request, sys::rd_kafka_AlterConsumerGroupOffsets_destroy).ok_or_else(no_answer)?;
        let options = self.options(sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_ALTERCONSUMERGROUPOFFSETS)?;
        // SAFETY: `run`'s promise for the handles; the array holds the one request, and is copied.
        let event = self.run(&options, |rk, options, queue| unsafe {
            sys::rd_kafka_AlterConsumerGroupOffsets(rk, [request.ptr()].as_mut_ptr(), 1, options, queue);
        })?;
        let asked: Vec<_> = offsets.iter().map(|(partition, _)| partition.clone()).collect();
        // SAFETY: as in `create_topic`.
        unsafe {
            let result = sys::rd_kafka_event_AlterConsumerGroupOffsets_result(event.ptr());
            event.group_result(result, sys::rd_kafka_AlterConsumerGroupOffsets_result_groups, &asked)
        }
    }

    /// The offsets that a group has committed, −1001 where it has none.
    pub fn committed(&self, group: &str, partitions: &[(Arc<str>, i32)]) -> Result<Listed, AdminError> {
        let group = c_string(group)?;
        let entry = |(topic, partition): &(Arc<str>, i32)| (topic.clone(), *partition, Offset::Invalid);
        let list = partition_list(partitions.iter().map(entry))?;
        // SAFETY: group and list are alive, and copied.
        let request = unsafe { sys::rd_kafka_ListConsumerGroupOffsets_new(group.as_ptr(), list.ptr()) };
        let request =
            Guard::new(request, sys::rd_kafka_ListConsumerGroupOffsets_destroy).ok_or_else(no_answer)?;
        let options = self.options(sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS)?;
        // SAFETY: as in `commit`.
        let event = self.run(&options, |rk, options, queue| unsafe {
            sys::rd_kafka_ListConsumerGroupOffsets(rk, [request.ptr()].as_mut_ptr(), 1, options, queue);
        })?;
        // SAFETY: as in `create_topic`.
        unsafe {
            let result = sys::rd_kafka_event_ListConsumerGroupOffsets_result(event.ptr());
            event.group_result(result, sys::rd_kafka_ListConsumerGroupOffsets_result_groups, partitions)
        }
    }

    /// What this principal may do to each topic; none where the broker doesn't say.
    pub fn topic_operations(
        &self,
        topics: &[&str],
    ) -> Result<HashMap<String, Result<Operations, AdminError>>, AdminError> {
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
                (string(sys::rd_kafka_TopicDescription_name(topic)), outcome.map(|()| operations))
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

    /// What this principal may do to a consumer group; none where the broker doesn't say.
    pub fn group_operations(&self, group: &str) -> Result<Operations, AdminError> {
        let group = c_string(group)?;
        let options = self.options(sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS)?;
        options.include_operations()?;
        // SAFETY: `run`'s promise for the handles; the array holds the one C string, and is copied.
        let event = self.run(&options, |rk, options, queue| unsafe {
            sys::rd_kafka_DescribeConsumerGroups(rk, [group.as_ptr()].as_mut_ptr(), 1, options, queue);
        })?;
        let mut count = 0;
        // SAFETY: the accessors fit the event's type; all that they point to lives as long as the event.
        unsafe {
            let result = sys::rd_kafka_event_DescribeConsumerGroups_result(event.ptr());
            let result = NonNull::new(result.cast_mut()).ok_or_else(no_answer)?;
            let groups = sys::rd_kafka_DescribeConsumerGroups_result_groups(result.as_ptr(), &mut count);
            let group = *array(groups, count).first().ok_or_else(no_answer)?;
            error_of(sys::rd_kafka_ConsumerGroupDescription_error(group))?;
            Ok(operations(group.cast(), |g, n| {
                sys::rd_kafka_ConsumerGroupDescription_authorized_operations(g, n)
            }))
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

/// The next event of a queue.
fn wait(queue: &Guard<sys::rd_kafka_queue_t>, timeout: Duration) -> Result<Event, AdminError> {
    // SAFETY: the queue is alive; the event it gives is ours to destroy.
    let event = unsafe { sys::rd_kafka_queue_poll(queue.ptr(), millis(timeout)) };
    Guard::new(event, sys::rd_kafka_event_destroy)
        .map(Event)
        .ok_or_else(|| AdminError::new(RDKafkaErrorCode::OperationTimedOut))
}

// === guards ===

/// A librdkafka object that is destroyed with this.
struct Guard<T> {
    object: NonNull<T>,
    destroy: unsafe extern "C" fn(*mut T),
}

impl<T> Guard<T> {
    /// Takes over an object that librdkafka has just made for us, if it has made it; `destroy` is the
    /// function that librdkafka has for this type.
    fn new(object: *mut T, destroy: unsafe extern "C" fn(*mut T)) -> Option<Self> {
        NonNull::new(object).map(|object| Self { object, destroy })
    }

    fn ptr(&self) -> *mut T {
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
struct Text([c_char; 512]);

impl Default for Text {
    fn default() -> Self {
        Self([0; 512])
    }
}

impl Text {
    fn buffer(&mut self) -> (*mut c_char, usize) {
        (self.0.as_mut_ptr(), self.0.len())
    }

    fn get(&self) -> String {
        let bytes: Vec<u8> = self.0.iter().take_while(|&&c| c != 0).map(|&c| c as u8).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

struct Options(Guard<sys::rd_kafka_AdminOptions_t>);

impl Options {
    fn set(
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
    fn operation_timeout(&self, timeout: Duration) -> Result<(), AdminError> {
        self.set(|options, text, size| {
            // SAFETY: `set` passes live options and a buffer of this size.
            unsafe { sys::rd_kafka_AdminOptions_set_operation_timeout(options, millis(timeout), text, size) }
        })
    }

    /// Which broker to ask.
    fn broker(&self, broker: Option<i32>) -> Result<(), AdminError> {
        let Some(broker) = broker else { return Ok(()) };
        self.set(|options, text, size| {
            // SAFETY: `set` passes live options and a buffer of this size.
            unsafe { sys::rd_kafka_AdminOptions_set_broker(options, broker, text, size) }
        })
    }

    fn validate_only(&self) -> Result<(), AdminError> {
        self.set(|options, text, size| {
            // SAFETY: `set` passes live options and a buffer of this size.
            unsafe { sys::rd_kafka_AdminOptions_set_validate_only(options, 1, text, size) }
        })
    }

    fn read_committed(&self) -> Result<(), AdminError> {
        let level = sys::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED;
        // SAFETY: the options are alive; the error, if any, is ours to destroy.
        owned_error(unsafe { sys::rd_kafka_AdminOptions_set_isolation_level(self.0.ptr(), level) })
    }

    fn include_operations(&self) -> Result<(), AdminError> {
        // SAFETY: the options are alive; the error, if any, is ours to destroy.
        owned_error(unsafe { sys::rd_kafka_AdminOptions_set_include_authorized_operations(self.0.ptr(), 1) })
    }
}

struct Event(Guard<sys::rd_kafka_event_t>);

impl Event {
    fn ptr(&self) -> *mut sys::rd_kafka_event_t {
        self.0.ptr()
    }

    /// The failure of the request as a whole.
    fn check(&self) -> Result<(), AdminError> {
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
    unsafe fn topic_result<R>(
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

impl Event {
    /// The outcome for each partition of the one group that was asked for.
    ///
    /// # Safety
    /// `result` is null or this event as `groups` takes it.
    unsafe fn group_result<R>(
        &self,
        result: *const R,
        groups: unsafe extern "C" fn(*const R, *mut usize) -> *mut *const sys::rd_kafka_group_result_t,
        asked: &[(Arc<str>, i32)],
    ) -> Result<Listed, AdminError> {
        let result = NonNull::new(result.cast_mut()).ok_or_else(no_answer)?;
        let mut answers = Answers::new(asked);
        let mut count = 0;
        // SAFETY: the caller's promise; the groups and their partitions live as long as the event.
        unsafe {
            let group = *array(groups(result.as_ptr(), &mut count), count).first().ok_or_else(no_answer)?;
            error_of(sys::rd_kafka_group_result_error(group))?;
            let list = sys::rd_kafka_group_result_partitions(group).as_ref().ok_or_else(no_answer)?;
            if list.cnt > 0 {
                slice::from_raw_parts(list.elems, list.cnt as usize).iter().for_each(|p| answers.add(p));
            }
        }
        Ok(answers.offsets())
    }
}

/// Puts what librdkafka answers for partitions, in whatever order, into the order they were asked for.
struct Answers<'a> {
    index: HashMap<(&'a str, i32), usize>,
    answers: Listed,
}

impl<'a> Answers<'a> {
    fn new(asked: &'a [(Arc<str>, i32)]) -> Self {
        let index = asked.iter().enumerate().map(|(i, (topic, partition))| ((&**topic, *partition), i));
        Self { index: index.collect(), answers: asked.iter().map(|_| Err(no_answer())).collect() }
    }

    /// # Safety
    /// Of no effect on soundness here, but `element.topic` must be a C string, as librdkafka makes it.
    unsafe fn add(&mut self, element: &sys::rd_kafka_topic_partition_t) {
        // SAFETY: the caller's promise; the string is not kept.
        let topic = unsafe { string(element.topic) };
        if let Some(&at) = self.index.get(&(topic.as_str(), element.partition)) {
            self.answers[at] = check(element.err).map(|()| element.offset);
        }
    }

    fn offsets(self) -> Listed {
        self.answers
    }
}

// === small things ===

fn millis(timeout: Duration) -> c_int {
    c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX)
}

fn c_string(text: &str) -> Result<CString, AdminError> {
    CString::new(text).map_err(|_| AdminError::invalid("a name or value with a zero byte in it"))
}

fn no_answer() -> AdminError {
    AdminError::with_detail(RDKafkaErrorCode::Fail, "the answer holds nothing on it")
}

fn check(code: RDKafkaRespErr) -> Result<(), AdminError> {
    check_with(code, String::new)
}

fn check_with(code: RDKafkaRespErr, detail: impl FnOnce() -> String) -> Result<(), AdminError> {
    match RDKafkaErrorCode::from(code) {
        RDKafkaErrorCode::NoError => Ok(()),
        code => Err(AdminError::with_detail(code, &detail())),
    }
}

fn partition_list(
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
unsafe fn string(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// # Safety
/// `array` is null or points to `count` elements that outlive `'a`.
unsafe fn array<'a, T>(array: *mut *const T, count: usize) -> &'a [*const T] {
    if array.is_null() || count == 0 {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { slice::from_raw_parts(array.cast_const(), count) }
}

/// # Safety
/// `error` is null or a live error.
unsafe fn error_of(error: *const sys::rd_kafka_error_t) -> Result<(), AdminError> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: the caller's promise.
    unsafe { check_with(sys::rd_kafka_error_code(error), || string(sys::rd_kafka_error_string(error))) }
}

/// An error that librdkafka has made for us: destroyed here.
fn owned_error(error: *mut sys::rd_kafka_error_t) -> Result<(), AdminError> {
    let Some(error) = Guard::new(error, sys::rd_kafka_error_destroy) else { return Ok(()) };
    // SAFETY: alive until the guard goes.
    unsafe { error_of(error.ptr()) }
}

/// # Safety
/// `resource` is a live resource of a result.
unsafe fn config_entries(
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
unsafe fn operations<T>(
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

impl fmt::Debug for Admin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_brokers_own_words_are_kept_where_they_say_more() {
        let reason =
            |detail| AdminError::with_detail(RDKafkaErrorCode::TopicAuthorizationFailed, detail).reason;
        for detail in [
            "",
            "Broker: Topic authorization failed",
            "Authorization failed.",
            "X worker failed: Broker: Topic authorization failed",
        ] {
            assert_eq!(reason(detail), "Topic authorization failed");
        }
        assert_eq!(reason("not on Sundays."), "Topic authorization failed: not on Sundays.");
    }
}
