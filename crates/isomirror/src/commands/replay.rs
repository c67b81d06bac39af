//! `isomirror replay`: sends exported records to a topic, in their order, with key, value, headers and timestamp as they were.

use std::{path::Path, time::Duration};

use anyhow::Context;
use migration::reconcile::{Exported, read};
use rdkafka::{
    ClientConfig,
    message::{Header, OwnedHeaders},
    producer::{BaseRecord, Producer, ThreadedProducer},
    types::RDKafkaErrorCode,
};

use crate::{
    cli::{Common, Output, ReplayArgs},
    config::Pair,
    exit::{Exit, Failure},
    human,
};

/// How long what was sent may take to be acknowledged.
const TO_ARRIVE: Duration = Duration::from_secs(60);

/// Counts what was acknowledged, and keeps the first refusal.
#[derive(Default)]
struct Delivered(std::sync::Mutex<(u64, Option<String>)>);

impl rdkafka::ClientContext for Delivered {}

impl rdkafka::producer::ProducerContext for Delivered {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &rdkafka::producer::DeliveryResult<'_>, (): ()) {
        let mut seen = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match result {
            Ok(_) => seen.0 += 1,
            Err((error, _)) => drop(seen.1.get_or_insert_with(|| error.to_string())),
        }
    }
}

/// Sends them.
pub fn run(args: &ReplayArgs, common: &Common) -> anyhow::Result<Exit> {
    let pair = Pair::load_here(Path::new(&args.config))?;
    if !pair.sites.contains(&args.to) {
        let message = format!(
            "there is no site {:?}\n  fix: --to {} or --to {}",
            args.to, pair.sites[0], pair.sites[1]
        );
        return Err(Failure::new(Exit::Usage, message).into());
    }
    let mut config = ClientConfig::new();
    for (key, value) in pair.link_to(&args.to).target.kafka.iter() {
        config.set(key, value);
    }
    config.set("enable.idempotence", "true");
    let producer: ThreadedProducer<Delivered> =
        config.create_with_context(Delivered::default()).context("failed to make a producer")?;
    let mut sent = 0_u64;
    for file in &args.files {
        let shown = file.display();
        for record in read(file).with_context(|| format!("cannot read {shown}"))? {
            let record =
                record.with_context(|| format!("{shown}: a line is no record that reconcile has written"))?;
            send(&producer, &record, args.topic.as_deref())?;
            sent += 1;
        }
    }
    producer.flush(TO_ARRIVE).context("not all records were acknowledged")?;
    let (delivered, refused) = {
        let seen = producer.context().0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        (seen.0, seen.1.clone())
    };
    let text = match common.output {
        Output::Json => {
            serde_json::json!({ "sent": sent, "acknowledged": delivered, "refused": refused }).to_string()
        }
        Output::Table => format!(
            "{} of {} records acknowledged by {}",
            human::count(delivered),
            human::count(sent),
            args.to
        ),
    };
    super::print(&text)?;
    match refused {
        Some(refused) => {
            Err(Failure::new(Exit::Failed, format!("{} refused some: {refused}", args.to)).into())
        }
        None => Ok(Exit::Done),
    }
}

/// Waits where too much is on its way.
fn send(
    producer: &ThreadedProducer<Delivered>,
    record: &Exported,
    topic: Option<&str>,
) -> anyhow::Result<()> {
    let mut headers = OwnedHeaders::new();
    for (key, value) in &record.headers {
        headers = headers.insert(Header { key, value: value.0.as_deref() });
    }
    loop {
        let mut base: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic.unwrap_or(&record.topic))
            .partition(record.partition)
            .timestamp(record.timestamp)
            .headers(headers.clone());
        (base.key, base.payload) = (record.key.as_deref(), record.value.as_deref());
        match producer.send(base) {
            Ok(()) => return Ok(()),
            Err((error, _)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err((error, _)) => return Err(error).context(format!("{}[{}]", record.topic, record.partition)),
        }
    }
}
