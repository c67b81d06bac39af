//! The short variables of a container that mirrors without a file: SOURCE, DESTINATION, WHITE_LIST and so on.
//!
//! Owns turning them into the same tree that a file makes. They are read only where no file is given: their
//! names are too common to reach into one.

use std::collections::BTreeMap;

use migration::import::{unquoted, whitelist};

use super::{
    error::Problems,
    tree::{self, Node, Origin, Table, Value},
};

/// Where the admin server listens unless it is said: a container's loopback is of no use to anyone.
pub const LISTEN: &str = "0.0.0.0:9464";

/// The variables, empty ones left out: a compose file often sets them so.
struct Variables<'a>(&'a BTreeMap<String, String>);

impl<'a> Variables<'a> {
    fn get(&self, name: &str) -> Option<(String, &'a str)> {
        self.0.get(name).map(|v| v.as_str()).filter(|v| !v.trim().is_empty()).map(|v| (name.to_owned(), v))
    }

    /// `SOURCE_X` if it is set (set but empty: none), else `X`.
    fn of_side(&self, side: &str, name: &str) -> Option<(String, &'a str)> {
        let own = format!("{side}_{name}");
        if self.0.contains_key(&own) { self.get(&own) } else { self.get(name) }
    }
}

/// The tree that the container's variables describe.
pub fn tree(variables: &BTreeMap<String, String>, problems: &mut Problems) -> Table {
    let variables = Variables(variables);
    let mut tree = Table::new();
    let mut put = |path: &[&str], (name, value): (String, &str)| {
        tree::set(&mut tree, path, Node::variable(&name, value.trim()));
    };
    for (variable, path) in [
        ("GROUP_ID", &["link"] as &[&str]),
        ("LINK", &["link"]),
        ("GROUP_ID", &["source", "kafka", "group.id"]),
        ("SOURCE", &["source", "kafka", "bootstrap.servers"]),
        ("DESTINATION", &["target", "kafka", "bootstrap.servers"]),
    ] {
        if let Some(found) = variables.get(variable) {
            put(path, found);
        }
    }
    if let Some((name, text)) = variables.get("CONSUMER_COUNT") {
        let value = match text.trim().parse() {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::String(text.to_owned()),
        };
        tree::set(&mut tree, &["limits", "consumers"], Node { value, origin: Origin::Variable(name) });
    }
    security(&mut tree, "SOURCE", "source", &variables, problems);
    security(&mut tree, "DESTINATION", "target", &variables, problems);
    topics(&mut tree, &variables, problems);
    tree
}

fn security(tree: &mut Table, prefix: &str, side: &str, variables: &Variables<'_>, problems: &mut Problems) {
    let find = |name: &str| variables.of_side(prefix, name);
    let mut put = |property: &str, node: Node| tree::set(tree, &[side, "kafka", property], node);
    let (user, mechanism, protocol) = (find("USERNAME"), find("SASL_MECHANISM"), find("SECURITY_PROTOCOL"));
    let (password, file) = (find("PASSWORD"), find("PASSWORD_FILE"));
    if let Some((name, value)) = &protocol {
        put("security.protocol", Node::variable(name, *value));
    }
    let by_password = mechanism.as_ref().is_none_or(|(_, m)| {
        let m = m.trim().to_uppercase();
        m == "PLAIN" || m.starts_with("SCRAM-")
    });
    let origin = |name: &str| Origin::Variable(name.to_owned());
    match (&user, &password, &file) {
        (Some((name, _)), None, None) => problems.add(
            &origin(name),
            "there is a user name and no password",
            "set PASSWORD or PASSWORD_FILE, or leave the user name out",
        ),
        (_, Some((name, _)), Some((file, _))) => {
            problems.add(&origin(name), format!("both {name} and {file} are set"), "leave one of them out");
        }
        (None, Some((name, _)), _) | (None, _, Some((name, _))) => {
            problems.add(&origin(name), "there is a password and no user name", "set USERNAME");
        }
        (None, None, None) => match &mechanism {
            Some((name, _)) if by_password => problems.add(
                &origin(name),
                "this mechanism takes a user name and a password, and there are none",
                "set USERNAME and PASSWORD or PASSWORD_FILE",
            ),
            _ => {}
        },
        _ => {}
    }
    if let (Some((user, _)), Some((name, value))) = (&user, &protocol)
        && !value.trim().to_uppercase().starts_with("SASL")
    {
        let message = format!("{} sends no user name and no password, but {user} is set", value.trim());
        let fix = format!(
            "write SASL_PLAINTEXT or SASL_SSL, or leave the login out (for one side alone: {prefix}_USERNAME= and \
             {prefix}_PASSWORD=)"
        );
        problems.add(&origin(name), message, fix);
    }
    let Some((cause, _)) = mechanism.as_ref().or(user.as_ref()) else { return };
    match &mechanism {
        Some((name, value)) => put("sasl.mechanism", Node::variable(name, value.trim())),
        None => put("sasl.mechanism", Node::variable(cause, "PLAIN")),
    }
    if protocol.is_none() {
        put("security.protocol", Node::variable(cause, "SASL_PLAINTEXT"));
    }
    if let Some((name, value)) = &user {
        put("sasl.username", Node::variable(name, *value));
    }
    if let Some((name, value)) = &password {
        put("sasl.password", Node::variable(name, *value));
    } else if let Some((name, value)) = &file {
        let mut reference = Table::new();
        tree::set(&mut reference, &["file"], Node::variable(name, *value));
        put("sasl.password", Node { value: Value::Table(reference), origin: origin(name) });
    }
}

fn topics(tree: &mut Table, variables: &Variables<'_>, problems: &mut Problems) {
    let mut include = Vec::new();
    let mut rename = Table::new();
    if let Some((name, text)) = variables.get("FROM_TOPIC_TO_TOPIC") {
        let origin = Origin::Variable(name.clone());
        for pair in unquoted(text).split(';').map(str::trim).filter(|pair| !pair.is_empty()) {
            let names: Vec<&str> = pair.split(',').map(str::trim).collect();
            let [from, to] = names[..] else {
                let fix = "write from,to and put ; between two of them, as in \"a,b;c,d\"";
                problems.add(&origin, format!("{pair:?} is not a pair of topics"), fix);
                continue;
            };
            if let Some(bad) = [from, to].into_iter().find_map(|n| topic_rename::check_name(n).err()) {
                problems.add(&origin, format!("{pair:?}: {bad}"), "write names of topics, not patterns");
                continue;
            }
            if rename.iter().any(|(key, _)| key.name == from) {
                let message = format!("topic {from} is there twice");
                problems.add(&origin, message, "a topic can be mirrored to one topic only");
                continue;
            }
            include.push(Node::variable(&name, topic_rename::Pattern::exactly(from).as_str()));
            tree::set(&mut rename, &[from], Node::variable(&name, to));
        }
    }
    if let Some((name, text)) = variables.get("WHITE_LIST") {
        include.push(Node::variable(&name, whitelist(text)));
    }
    let Some(first) = include.first() else { return };
    let origin = first.origin.clone();
    let list = Node { value: Value::Array(include), origin: origin.clone() };
    tree::set(tree, &["topics", "include"], list);
    tree::set(tree, &["topics", "rename"], Node { value: Value::Table(rename), origin });
}
