//! MirrorMaker 1: a consumer's file, a producer's, and the flags of `kafka-mirror-maker.sh`.

use mirror_types::Side;

use super::{
    Request,
    client::{self, Client, Given},
    common::{before_it_runs, consumers, include, start_latest},
    draft::{Draft, Section},
    is_link, lists,
    note::{ImportError, Place},
    patterns,
    properties::Properties,
    value::Providers,
};
use crate::check::Severity;

/// What stands on MirrorMaker 1's command line beside its two files.
#[derive(Clone, Default)]
pub struct Flags {
    /// The topics, with the flag that gave them: `--whitelist` or `--include`.
    pub topics: Option<(&'static str, String)>,
    /// `--blacklist`: all but these.
    pub blacklist: Option<String>,
    /// `--num.streams`.
    pub streams: Option<String>,
    /// `--abort.on.send.failure`.
    pub abort: Option<String>,
    /// `--message.handler`.
    pub handler: Option<String>,
    /// `--message.handler.args`.
    pub handler_args: Option<String>,
    /// Those of the others that are given.
    pub others: Vec<&'static str>,
}

/// Keys of a consumer alone, and of a producer alone, old and new.
const CONSUMER: &str = "group.id auto.offset.reset enable.auto.commit auto.commit.enable key.deserializer value.deserializer \
    fetch.min.bytes fetch.max.bytes max.poll.records isolation.level partition.assignment.strategy zookeeper.connect";
const PRODUCER: &str = "acks linger.ms batch.size compression.type key.serializer value.serializer buffer.memory \
    max.in.flight.requests.per.connection producer.type metadata.broker.list broker.list request.required.acks";
const COMMAND: &str =
    "isomirror import consumer.properties producer.properties --whitelist 'orders|payments.*'";

/// The link that two files and flags make.
pub(super) fn draft(files: &[Properties], request: &Request) -> Result<Draft, ImportError> {
    let (consumer, producer) = both(files)?;
    if request.flow.is_some() {
        return Err(ImportError::new(Place::flag("--flow"), "MirrorMaker 1 has no flows", "leave it out"));
    }
    let flags = &request.flags;
    let (flag, topics, is_refused) = match (&flags.topics, &flags.blacklist) {
        (Some((flag, topics)), _) => (*flag, topics, false),
        (None, Some(topics)) => ("--blacklist", topics, true),
        (None, None) => {
            let message = "which topics are mirrored stands on MirrorMaker 1's command line";
            let fix = format!(
                "add --whitelist (--include, --blacklist) as it is where MirrorMaker is started: {COMMAND}"
            );
            return Err(ImportError::new(Place::file(&consumer.name), message, fix));
        }
    };
    let group = consumer.get("group.id").map(|entry| entry.value.clone()).filter(|name| is_link(name));
    let link = request.link.clone().or_else(|| group.clone()).unwrap_or_else(|| "mirror".to_owned());
    let mut draft = Draft::new(&link, request.into);
    choose(&mut draft, flag, topics, is_refused)?;
    for (side, file) in [(Side::Source, consumer), (Side::Target, producer)] {
        let providers = Providers::of(file);
        let client = client_of(&mut draft, file, side, &providers)?;
        client::convert(&mut draft, side, client, &providers)?;
    }
    if !draft.has(Section::Topics, "start") {
        start_latest(
            &mut draft,
            Place { key: Some("auto.offset.reset".to_owned()), ..Place::file(&consumer.name) },
        );
    }
    before_it_runs(&mut draft, "the offsets that its group has committed on the source");
    rest(&mut draft, flags)?;
    Ok(draft)
}

/// The consumer's file and the producer's.
fn both(files: &[Properties]) -> Result<(&Properties, &Properties), ImportError> {
    let count =
        |file: &Properties, keys: &str| keys.split_whitespace().filter(|key| file.get(key).is_some()).count();
    let of_consumer = |file: &Properties| count(file, CONSUMER) > count(file, PRODUCER);
    let of_producer = |file: &Properties| count(file, PRODUCER) > count(file, CONSUMER);
    let refuse = |file: &Properties, message: &str, fix: &str| {
        Err(ImportError::new(Place::file(&file.name), message, fix))
    };
    let (consumer, producer) = match files {
        [consumer, producer] => (consumer, producer),
        [] => return Err(ImportError::new(Place::flag("FILE"), "no file is named", COMMAND)),
        [file] => {
            let whose = if of_producer(file) { "the producer's" } else { "the consumer's" };
            let message = format!(
                "MirrorMaker 1 has two files, and this is one alone, by its keys {whose}; MirrorMaker 2's would have `clusters`"
            );
            return refuse(file, &message, &format!("name both, the consumer's first: {COMMAND}"));
        }
        [.., last] => return refuse(last, "there are more than two files", &format!("name two: {COMMAND}")),
    };
    if of_producer(consumer) || of_consumer(producer) {
        let (file, is, other) = match of_producer(consumer) {
            true => (consumer, "producer", "consumer"),
            false => (producer, "consumer", "producer"),
        };
        let message = format!("this is a {is}'s file, in the place of the {other}'s");
        return refuse(
            file,
            &message,
            &format!("name the consumer's file first, then the producer's: {COMMAND}"),
        );
    }
    if let Some(entry) =
        consumer.get("zookeeper.connect").filter(|_| consumer.get("bootstrap.servers").is_none())
    {
        let message =
            "the old consumer, which asks ZooKeeper, can't be carried over: it names no broker of the source";
        let fix = "write the source's brokers in its place: bootstrap.servers=host:9092";
        return Err(ImportError::new(consumer.place(entry), message, fix));
    }
    Ok((consumer, producer))
}

/// The client that a file describes.
fn client_of(
    draft: &mut Draft,
    file: &Properties,
    side: Side,
    providers: &Providers,
) -> Result<Client, ImportError> {
    let section = Section::of(side);
    let mut client = Client::new();
    file.remarks(|place, message| draft.note(section, Severity::Warning, place, message));
    for entry in &file.entries {
        match (side, entry.key.as_str()) {
            (Side::Source, "group.id") => {
                let message = format!(
                    "MirrorMaker's group on the source. The link's instances have one on the target, isomirror.{}, unless \
                     [source.kafka] has a \"group.id\"",
                    draft.link
                );
                draft.note(section, Severity::Info, file.place(entry), message);
            }
            (_, key) => {
                // The old producer's name for the same.
                let old = matches!(key, "metadata.broker.list" | "broker.list")
                    && file.get("bootstrap.servers").is_none();
                let name = if old { "bootstrap.servers" } else { key };
                client.insert(name.to_owned(), Given::of(file, entry, providers));
            }
        }
    }
    match client.contains_key("bootstrap.servers") {
        true => Ok(client),
        false => {
            let fix = format!("write the {side}'s brokers there: bootstrap.servers=host:9092");
            Err(ImportError::new(Place::file(&file.name), "there is no bootstrap.servers", fix))
        }
    }
}

fn choose(draft: &mut Draft, flag: &str, list: &str, is_refused: bool) -> Result<(), ImportError> {
    let wrong = |(message, fix): patterns::Wrong| ImportError::new(Place::flag(flag), message, fix);
    let found = patterns::translate(&lists::whitelist(list)).map_err(wrong)?;
    if is_refused {
        if !found.exclude.is_empty() {
            let fix = "name the topics with --whitelist instead";
            return Err(ImportError::new(
                Place::flag(flag),
                "(?!…) in what is left out can't be expressed",
                fix,
            ));
        }
        include(draft, &Place::flag(flag), vec![".*".to_owned()])?;
        draft.set_list(Section::Topics, "exclude", &found.include);
        return Ok(());
    }
    include(draft, &Place::flag(flag), found.include)?;
    draft.set_list(Section::Topics, "exclude", &found.exclude);
    Ok(())
}

fn rest(draft: &mut Draft, flags: &Flags) -> Result<(), ImportError> {
    if let Some(streams) = &flags.streams {
        let Some(number) = streams.trim().parse::<i64>().ok().filter(|number| *number > 0) else {
            return Err(ImportError::new(
                Place::flag("--num.streams"),
                "it is no number of streams",
                "write 1 or more",
            ));
        };
        consumers(draft, number, Place::flag("--num.streams"));
    }
    match flags.abort.as_deref().map(|abort| abort.trim().to_ascii_lowercase()).as_deref() {
        None | Some("true") => {}
        Some("false") => draft.set(Section::Policy, "refused", "skip"),
        Some(_) => {
            let place = Place::flag("--abort.on.send.failure");
            return Err(ImportError::new(place, "it is neither true nor false", "write true or false"));
        }
    }
    if flags.handler.is_some() || flags.handler_args.is_some() {
        handler(draft, flags.handler.as_deref(), flags.handler_args.as_deref());
    }
    for flag in &flags.others {
        let message = match *flag {
            "--offset.commit.interval.ms" => {
                "isomirror's position is the end of the target's log, not a committed offset"
            }
            "--new.consumer" => "isomirror has no other",
            _ => "a rebalance listener is code, and can't be carried over",
        };
        draft.note(Section::Top, Severity::Info, Place::flag(flag), message);
    }
    Ok(())
}

/// A handler whose arguments are pairs of topics' names is taken for one that renames them; any other is code.
fn handler(draft: &mut Draft, class: Option<&str>, arguments: Option<&str>) {
    let pairs: Option<Vec<_>> = arguments.and_then(|list| lists::pairs(list).map(Result::ok).collect());
    let name = |name: &str| topic_rename::check_name(name).is_ok();
    match pairs.filter(|pairs| !pairs.is_empty() && pairs.iter().all(|(from, to)| name(from) && name(to))) {
        Some(pairs) => {
            pairs.iter().for_each(|(from, to)| draft.set(Section::Rename, from, to));
            if !class.is_some_and(|class| class.to_ascii_lowercase().contains("rename")) {
                let message = "its arguments are pairs of topics' names, and it is taken for one that renames the first to the \
                               second: see that it does nothing else";
                draft.note(Section::Topics, Severity::Warning, Place::flag("--message.handler"), message);
            }
        }
        _ => {
            let message = "a message handler is code, and can't be carried over: if it renames topics, write [topics.rename]; if it \
                           changes or drops records, isomirror can't take its place for those topics";
            draft.note(Section::Topics, Severity::Error, Place::flag("--message.handler"), message);
        }
    }
}
