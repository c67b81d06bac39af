//! One side's librdkafka properties: flattened, looked up in files and the environment, and checked.
//!
//! Owns where a secret comes from. A value of a property that is secret, or that librdkafka doesn't know (a
//! misspelt secret, perhaps), is never shown.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use kafka_rd::{Properties, is_secret};

use super::{
    error::Problems,
    mask::HIDDEN,
    schema, servers,
    tree::{Key, Node, Origin, Table, Value},
};

/// Properties worth suggesting when one is misspelt.
const COMMON: [&str; 31] = [
    "acks",
    "batch.size",
    "bootstrap.servers",
    "client.id",
    "client.rack",
    "compression.type",
    "enable.sasl.oauthbearer.unsecure.jwt",
    "enable.ssl.certificate.verification",
    "fetch.max.bytes",
    "group.id",
    "linger.ms",
    "message.max.bytes",
    "queued.max.messages.kbytes",
    "request.timeout.ms",
    "sasl.kerberos.service.name",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.oauthbearer.config",
    "sasl.password",
    "sasl.username",
    "security.protocol",
    "session.timeout.ms",
    "socket.timeout.ms",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.endpoint.identification.algorithm",
    "ssl.key.location",
    "ssl.key.password",
    "ssl.keystore.location",
    "ssl.keystore.password",
];

/// Where a property's value is to be looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// The content of this file.
    File(PathBuf),
    /// This environment variable.
    Variable(String),
}

/// One side's properties.
#[derive(Debug, Clone, Default)]
pub struct Kafka {
    /// The properties, with every value looked up.
    pub properties: Properties,
    /// Those whose value came from elsewhere.
    pub references: BTreeMap<String, Reference>,
    /// Where each was written.
    pub origins: BTreeMap<String, Origin>,
}

/// Where values are looked up.
#[derive(Debug, Clone, Copy)]
pub struct Lookup<'a> {
    /// The folder that relative paths in the file start at.
    pub folder: &'a Path,
    /// The environment.
    pub variables: &'a BTreeMap<String, String>,
}

/// Turns `sasl = { password = … }`, which TOML makes of `sasl.password = …`, back into `sasl.password`.
pub fn flatten(table: Table, problems: &mut Problems) -> Table {
    let mut flat = Vec::new();
    flatten_into(&mut flat, "", table, problems);
    flat
}

fn flatten_into(flat: &mut Table, prefix: &str, table: Table, problems: &mut Problems) {
    for (key, node) in table {
        let name = format!("{prefix}{}", key.name);
        let Node { value, origin } = node;
        let value = match value {
            Value::Table(inner) if !is_reference(&inner) => {
                flatten_into(flat, &format!("{name}."), inner, problems);
                continue;
            }
            value => value,
        };
        if flat.iter().any(|(known, _)| known.name == name) {
            problems.hide(&origin);
            problems.add(&key.origin, format!("property `{name}` is given twice"), "leave one of them out");
            continue;
        }
        flat.push((Key { name, origin: key.origin }, Node { value, origin }));
    }
}

fn is_reference(table: &Table) -> bool {
    table.iter().any(|(key, node)| {
        matches!(key.name.as_str(), "file" | "env") && !matches!(node.value, Value::Table(_))
    })
}

/// Looks up and checks the properties of `side`.
pub fn read(side: &str, table: Table, lookup: Lookup<'_>, problems: &mut Problems) -> Kafka {
    let mut kafka = Kafka::default();
    // First hide, then complain: one line may hold several properties.
    for (key, node) in &table {
        let known = kafka_rd::Properties::new().set(&key.name, "").validate().err();
        let unknown = known.is_some_and(|error| error.reason.contains("No such configuration property"));
        let login = matches!(&node.value, Value::String(list) if servers::may_hold_a_secret(list));
        let secret = unknown || is_secret(&key.name) || servers::is_list(&key.name) && login;
        if secret && !matches!(node.value, Value::Table(_)) {
            problems.hide(&node.origin);
        }
    }
    for (key, node) in table {
        let name = key.name;
        match value(&name, &node, lookup) {
            Ok((value, reference)) => {
                // librdkafka knows them in capitals only.
                let value = match name.starts_with("sasl.mechanism") {
                    true => value.trim().to_uppercase(),
                    false => value,
                };
                check(side, &name, &value, &key.origin, &node.origin, problems);
                kafka.properties.set(name.as_str(), value);
                kafka.references.extend(reference.map(|reference| (name.clone(), reference)));
            }
            Err((message, fix)) => problems.add(&node.origin, format!("`{name}`: {message}"), fix),
        }
        kafka.origins.insert(name, node.origin);
    }
    kafka
}

/// A property's value, and where it came from if from elsewhere. The message never has the value in it.
fn value(
    name: &str,
    node: &Node,
    lookup: Lookup<'_>,
) -> Result<(String, Option<Reference>), (String, String)> {
    let fix = "write a string, a whole number, true or false, { file = \"…\" } or { env = \"…\" }";
    match &node.value {
        Value::String(text) if is_secret(name) && text == HIDDEN => Err((
            "*** is what `isomirror config` shows in place of a secret".to_owned(),
            format!("give the secret itself, best as `{name}` = {{ file = \"…\" }}"),
        )),
        Value::String(text) => Ok((text.clone(), None)),
        Value::Integer(number) => Ok((number.to_string(), None)),
        Value::Boolean(flag) => Ok((flag.to_string(), None)),
        Value::Table(table) => {
            let [(key, Node { value: Value::String(place), .. })] = table.as_slice() else {
                return Err(("is neither { file = \"…\" } nor { env = \"…\" }".to_owned(), fix.to_owned()));
            };
            match key.name.as_str() {
                "file" => from_file(place, &node.origin, lookup),
                _ => from_variable(place, lookup),
            }
        }
        other => Err((format!("a property can't be {}", other.kind()), fix.to_owned())),
    }
}

fn from_file(
    place: &str,
    origin: &Origin,
    lookup: Lookup<'_>,
) -> Result<(String, Option<Reference>), (String, String)> {
    let path = match origin {
        Origin::File(_) => lookup.folder.join(place),
        Origin::Variable(_) => PathBuf::from(place),
    };
    let text = std::fs::read_to_string(&path).map_err(|error| {
        (
            format!("cannot read {}: {error}", path.display()),
            "the file must be there, and readable for the user that isomirror runs as".to_owned(),
        )
    })?;
    let text = text.strip_suffix('\n').map_or(text.as_str(), |t| t.strip_suffix('\r').unwrap_or(t));
    if text.is_empty() {
        return Err((format!("the file {} is empty", path.display()), "put the value in it".to_owned()));
    }
    Ok((text.to_owned(), Some(Reference::File(path))))
}

fn from_variable(place: &str, lookup: Lookup<'_>) -> Result<(String, Option<Reference>), (String, String)> {
    match lookup.variables.get(place) {
        Some(text) if text.is_empty() => Err((
            format!("the environment variable {place} is empty"),
            "put the value in it where isomirror is started".to_owned(),
        )),
        Some(text) => Ok((text.clone(), Some(Reference::Variable(place.to_owned())))),
        None => Err((
            format!("the environment variable {place} is not set"),
            "set it where isomirror is started".to_owned(),
        )),
    }
}

fn check(side: &str, name: &str, value: &str, key: &Origin, at: &Origin, problems: &mut Problems) {
    if servers::is_list(name)
        && let Err((message, fix)) = servers::check(value)
    {
        problems.add(at, format!("`{name}`: {message}"), fix);
        return;
    }
    let mut one = Properties::new();
    let Err(error) = one.set(name, value).validate() else { return };
    if error.reason.contains("No such configuration property") {
        let fix = match schema::nearest(name, COMMON) {
            Some(known) => format!("did you mean `{known}`?"),
            None => "librdkafka's CONFIGURATION.md lists every property there is".to_owned(),
        };
        problems.add(key, format!("unknown property `{name}` in [{side}.kafka]"), fix);
    } else {
        let fix = "librdkafka's CONFIGURATION.md says what it takes";
        problems.add(at, format!("`{name}`: {}", error.reason), fix);
    }
}

/// The brokers a list names, to compare two lists.
pub fn servers(properties: &Properties) -> Vec<String> {
    let list = properties.get("bootstrap.servers").unwrap_or_default();
    let plain = |server: &str| {
        let server = server.trim().to_lowercase();
        server.rsplit_once("://").map_or(server.clone(), |(_, server)| server.to_owned())
    };
    list.split(',').map(plain).filter(|server| !server.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{error::SourceFile, tree};

    fn read_text(text: &str) -> (Kafka, String) {
        let mut problems = Problems::default();
        let variables = BTreeMap::from([("SECRET".to_owned(), "hunter3".to_owned())]);
        let lookup = Lookup { folder: Path::new("nowhere"), variables: &variables };
        let table = flatten(tree::parse(text).unwrap(), &mut problems);
        let kafka = read("source", table, lookup, &mut problems);
        (kafka, problems.into_error(Some(SourceFile { name: "x", text })).to_string())
    }

    #[test]
    fn dotted_quoted_and_nested_names_are_one() {
        let (kafka, _) = read_text(
            "sasl.username = 'u'\n\"client.id\" = 'c'\nssl = { ca = { location = '/x' } }\n\
             fetch.max.bytes = 5000000\nenable.ssl.certificate.verification = true\n\
             sasl.password = { env = 'SECRET' }",
        );
        let get = |name| kafka.properties.get(name).unwrap();
        assert_eq!((get("sasl.username"), get("client.id"), get("ssl.ca.location")), ("u", "c", "/x"));
        assert_eq!((get("fetch.max.bytes"), get("sasl.password")), ("5000000", "hunter3"));
        assert_eq!(kafka.references["sasl.password"], Reference::Variable("SECRET".into()));
        let (_, error) = read_text("sasl.password = 'hunter2'\n\"sasl.password\" = 'hunter3'");
        assert!(error.contains("x:2:1: property `sasl.password` is given twice"), "{error}");
        assert!(!error.contains("hunter"), "{error}");
    }

    #[test]
    fn neither_a_secret_nor_a_misspelt_one_is_shown() {
        for text in [
            "\"sasl.pasword\" = 'hunter2'",
            "sasl = { pasword = 'hunter2', username = 7.5 }",
            "sasl.password = ['hunter2']",
            "x = 'hunter2'",
            "\"sasl.password\" = '''\nhunter2\n'''\nacks = 'maybe'",
            "p = { \"sasl.password\" = 'hunter2' }",
            "\"sasl.password\" = { file = 'gone' }",
            "\"sasl.password\" = { file = 'gone', env = 'hunter2' }",
            "\"sasl.password\" = '***'",
        ] {
            let (_, error) = read_text(text);
            assert!(error.contains("fix: "), "{text}: {error}");
            assert!(!error.contains("hunter2") || text.contains("env"), "{text}: {error}");
        }
    }

    #[test]
    fn servers_are_compared_without_spaces_and_protocols() {
        let mut properties = Properties::new();
        properties.set("bootstrap.servers", "SASL_SSL://A:1, b:2,");
        assert_eq!(servers(&properties), ["a:1", "b:2"]);
    }
}
