//! Whether the link's clients can be made of both sides' properties, and if not, where the property at fault was
//! written.

use std::{fs::File, path::Path};

use kafka_rd::Properties;
use mirror_types::Side;
use pipeline::check_properties;

use super::{error::Problems, kafka::Kafka, tree::Origin};

/// Properties that name a file, read where TLS is spoken.
const FILES: [&str; 5] = [
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.keystore.location",
    "ssl.crl.location",
];

/// Makes the clients of a side, with nobody to connect to. `prefetch` is what the source's client may hold.
pub fn check(side: Side, kafka: &Kafka, prefetch: u64, problems: &mut Problems) {
    let before = problems.len();
    files(kafka, problems);
    if problems.len() > before {
        return;
    }
    let Err(bad) = check_properties(side, &kafka.properties, prefetch) else { return };
    let prefix = format!("{side}.kafka: ");
    let reason = bad.reason.strip_prefix(&prefix).unwrap_or(&bad.reason);
    let origin = bad.property.as_ref().and_then(|property| origin(kafka, property));
    let reason = match &bad.property {
        Some(property) => reason.strip_prefix(&format!("{property}: ")).unwrap_or(reason),
        None => reason,
    };
    let message = match &bad.property {
        Some(property) if !reason.contains(property.as_str()) => format!("`{property}`: {reason}"),
        _ => reason.to_owned(),
    };
    let fix = match &bad.property {
        Some(property) if reason.contains("remove it") => format!("leave `{property}` out"),
        Some(property) if property.starts_with("sasl.mechanism") => {
            "write PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER".to_owned()
        }
        Some(property) if origin.is_none() => format!("set `{property}` in [{side}.kafka]"),
        Some(property) => format!("change `{property}` in [{side}.kafka], or leave it out"),
        None => format!("see the properties of [{side}.kafka]"),
    };
    match origin.or_else(|| origin_of_side(kafka)) {
        Some(origin) => problems.add(&origin, message, fix),
        None => problems.add_missing(format!("[{side}.kafka]: {message}"), fix),
    }
}

/// Whether our own client can be made of both clusters' properties, for what only it does: what that is, and the section that
/// asks for it.
pub fn check_own(
    origin: &Origin,
    clusters: [(Side, &Properties); 2],
    (what, section): (&str, &str),
    problems: &mut Problems,
) {
    for (side, properties) in clusters {
        if let Err(error) = kafka_wire::Settings::new(properties.iter()) {
            let message = format!("the {side} can't {what}: {error}");
            problems.add(origin, message, format!("change that in [{side}.kafka], or leave {section} out"));
        }
    }
}

/// Properties have a second name each, some of them.
fn origin(kafka: &Kafka, property: &str) -> Option<Origin> {
    const ALIASES: [(&str, &str); 3] = [
        ("sasl.mechanism", "sasl.mechanisms"),
        ("compression.type", "compression.codec"),
        ("acks", "request.required.acks"),
    ];
    let other = ALIASES.into_iter().find_map(|(a, b)| match property {
        _ if property == a => Some(b),
        _ if property == b => Some(a),
        _ => None,
    });
    kafka.origins.get(property).or_else(|| kafka.origins.get(other?)).cloned()
}

/// Where nobody can say which property it is, it is the side's.
fn origin_of_side(kafka: &Kafka) -> Option<Origin> {
    kafka.origins.get("security.protocol").or_else(|| kafka.origins.get("bootstrap.servers")).cloned()
}

fn files(kafka: &Kafka, problems: &mut Problems) {
    let get = |property| kafka.properties.get(property).filter(|value| !value.is_empty());
    if !get("security.protocol").is_some_and(|protocol| protocol.to_ascii_lowercase().ends_with("ssl")) {
        return;
    }
    for property in FILES {
        // librdkafka's word for "look where certificates usually are".
        let Some(path) = get(property).filter(|path| *path != "probe") else { continue };
        let (Err(error), Some(origin)) = (File::open(Path::new(path)), kafka.origins.get(property)) else {
            continue;
        };
        let message = format!("`{property}`: cannot read {path}: {error}");
        problems.add(
            origin,
            message,
            "the file must be there, and readable for the user that isomirror runs as",
        );
    }
}
