//! The whole way from text and variables to the effective configuration and back.

use std::{fs, path::PathBuf};

use super::{topics::TopicSettings, *};

const MINIMAL: &str = r#"
link = "a-b"
[source.kafka]
"bootstrap.servers" = "a:9092"
[target.kafka]
bootstrap.servers = "b:9092"
[topics]
include = ["orders"]
"#;

fn load(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("link.toml");
    fs::write(&path, text).unwrap();
    fs::write(folder.path().join("secret"), "hunter2\n").unwrap();
    Config::load(Some(&path), owned(variables)).map_err(|e| e.to_string())
}

fn owned(variables: &[(&str, &str)]) -> Vec<(String, String)> {
    variables.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

fn container(variables: &[(&str, &str)]) -> Result<Config, String> {
    Config::load(None, owned(variables)).map_err(|e| e.to_string())
}

#[test]
fn the_defaults_are_the_documented_ones() {
    let config = load(MINIMAL, &[]).unwrap();
    assert_eq!(config.group(), "isomirror.a-b");
    assert_eq!((config.source.name.as_str(), config.target.name.as_str()), ("source", "target"));
    assert_eq!(config.target.kafka.get("bootstrap.servers"), Some("b:9092"));
    assert_eq!(config.limits.buffer, ByteSize::mib(64));
    assert_eq!((config.limits.consumers.get(), config.limits.drain), (1, Duration::from_secs(20)));
    assert!(config.limits.throttle.is_none());
    assert_eq!(config.topics.refresh, Duration::from_secs(5));
    assert_eq!(config.engine, Engine::Auto);
    assert_eq!((config.policy.loss, config.policy.refused), (OnTrouble::Stop, OnTrouble::Stop));
    assert_eq!(config.admin.listen, Some("127.0.0.1:9464".parse().unwrap()));
    assert_eq!(
        config.topics.settings("orders"),
        TopicSettings {
            create: true,
            replication_factor: None,
            offsets: Offsets::Identical,
            writers: Writers::Exclusive,
            begin: Begin::AtOnce,
            start: Start::Earliest,
        }
    );
}

#[test]
fn the_first_override_that_matches_a_whole_name_applies() {
    let text = format!(
        "{MINIMAL}replication_factor = 2\n\
         [topics.override.\"z.*\"]\nstart = 2026-01-31T08:00:00Z\nreplication_factor = -1\n\
         [topics.override.\".*\"]\noffsets = \"translated\"\ncreate = false\n"
    );
    let config = load(&text, &[]).unwrap();
    let z = config.topics.settings("zz");
    assert_eq!((z.start.to_string().as_str(), z.replication_factor), ("2026-01-31T08:00:00Z", None));
    assert_eq!((z.offsets, z.create), (Offsets::Identical, true), "the second that matches does not count");
    let other = config.topics.settings("az");
    assert_eq!(
        (other.offsets, other.create, other.replication_factor),
        (Offsets::Translated, false, Some(2))
    );
}

#[test]
fn the_environment_wins_over_the_file() {
    let config = load(
        MINIMAL,
        &[
            ("ISOMIRROR__TARGET__KAFKA__BOOTSTRAP_SERVERS", "c:9092"),
            ("ISOMIRROR__LIMITS__THROTTLE", "200MB/s"),
            ("ISOMIRROR__TOPICS__INCLUDE", "x,y"),
            ("ISOMIRROR__ADMIN__LISTEN", "none"),
            ("SOURCE", "the file wins:1"),
            ("GROUP_ID", "ignored"),
        ],
    )
    .unwrap();
    assert_eq!(config.target.kafka.get("bootstrap.servers"), Some("c:9092"));
    assert_eq!(config.source.kafka.get("bootstrap.servers"), Some("a:9092"));
    assert_eq!(config.limits.throttle.unwrap().bytes_per_second(), 200_000_000);
    assert_eq!((config.group(), config.admin.listen), ("isomirror.a-b", None));
    assert_eq!(config.topics.rules.target("y").as_deref(), Some("y"));
}

#[test]
fn what_is_shown_loads_as_the_same_and_shows_no_secret() {
    let text = format!(
        "{MINIMAL}start = \"latest\"\n[topics.rename]\n\"^z(.*)$\" = \"a$1\"\norders = \"o\"\n\"^b$\" = \"c\"\n\
         [topics.override.\"z\"]\ncreate = false\n[topics.override.\"a\"]\nreplication_factor = 3\n\
         [limits]\nthrottle = \"1500kB/s\"\nbuffer = \"3MiB\"\ndrain = \"1m 30s\"\n\
         [configs]\nsync = \"5m\"\n[acls]\nprincipals = {{ \"User:CN=a,O=b\" = \"User:c\" }}\n"
    );
    let config = load(&text, &[]).unwrap();
    let shown = config.to_toml();
    let again = load(&shown, &[]).unwrap_or_else(|e| panic!("{shown}\n{e}"));
    assert_eq!(again.to_toml(), shown);
    assert_eq!(again.topics.rules.config(), config.topics.rules.config(), "the order of the rules is kept");
    let order: Vec<_> = again.topics.overrides.iter().map(|o| o.pattern.as_str()).collect();
    assert_eq!(order, ["z", "a"]);
    assert_eq!((again.configs.sync, again.acls.sync), (Some(Duration::from_secs(300)), None));
    assert_eq!(again.acls.principals, [("User:CN=a,O=b".to_owned(), "User:c".to_owned())].into());

    let secret = [
        ("ISOMIRROR__SOURCE__KAFKA__SASL_PASSWORD", "hunter2"),
        ("ISOMIRROR__TARGET__KAFKA__SSL_KEY_PASSWORD__ENV", "KEY"),
        ("KEY", "hunter3"),
    ];
    let config =
        load(&format!("{MINIMAL}[target.kafka.sasl]\npassword = {{ file = \"secret\" }}\n"), &secret);
    let config = config.unwrap();
    assert_eq!(config.target.kafka.get("sasl.password"), Some("hunter2"), "without its newline");
    assert_eq!(config.target.kafka.get("ssl.key.password"), Some("hunter3"));
    for shown in [config.to_toml(), config.to_json(), format!("{config:?}")] {
        assert!(!shown.contains("hunter"), "{shown}");
    }
    assert!(config.to_toml().contains("\"sasl.password\" = \"***\""), "{}", config.to_toml());
    assert!(config.to_toml().contains("env = \"KEY\""), "{}", config.to_toml());
}

#[test]
fn what_is_written_on_records_has_a_name_that_headers_may_have_and_is_about_shared_topics() {
    let shared = format!("{MINIMAL}offsets = \"translated\"\nwriters = \"shared\"\n");
    let header =
        |text: &str| load(&format!("{shared}{text}\n"), &[]).map(|config| config.topics.origin_header);
    assert_eq!(header("").unwrap(), "isomirror.origin");
    assert_eq!(header("origin_header = \"\"").unwrap(), "");
    assert_eq!(header("origin_header = \"x-1.y_z\"\norigins = \"own\"").unwrap(), "x-1.y_z");
    for (text, said) in [
        ("origin_header = \"a b\"", "\"a b\" is no name for it"),
        ("origin_header = \"\"\norigins = \"own\"", "without an origin_header"),
        ("origins = \"some\"", "origins"),
    ] {
        let error = header(text).unwrap_err();
        assert!(error.contains(said) && error.contains("link.toml:"), "{error}");
    }
    let error = load(&format!("{MINIMAL}origin_header = \"x\"\n"), &[]).unwrap_err();
    assert!(error.contains("there are none"), "{error}");
}

#[test]
fn every_problem_is_told_at_once_in_the_order_of_the_file() {
    let text = MINIMAL.replace("link = ", "lnik = ") + "[limits]\nbuffer = \"64 elephants\"\nbufer = 1\n";
    let error = load(&text, &[("ISOMIRROR__LIMITS__DRIAN", "1s")]).unwrap_err();
    let places: Vec<_> = [
        "link.toml:2:1: unknown key `lnik`",
        "link.toml:10:10: ",
        "link.toml:11:1: ",
        "ISOMIRROR__LIMITS__DRIAN: ",
    ]
    .iter()
    .map(|part| error.find(part).unwrap_or_else(|| panic!("{part} in {error}")))
    .collect();
    assert!(places.is_sorted(), "{error}");
    assert!(error.contains("fix: did you mean `link`?"), "{error}");
}

#[test]
fn a_containers_variables_are_a_whole_configuration() {
    let config = container(&[
        ("SOURCE", "a:9092"),
        ("DESTINATION", "b:9092"),
        ("GROUP_ID", "pair-1"),
        ("USERNAME", "user"),
        ("PASSWORD", "hunter2"),
        ("FROM_TOPIC_TO_TOPIC", "orders,orders.v2; x,y ;"),
        ("CONSUMER_COUNT", "3"),
        ("WHITE_LIST", ""),
    ])
    .unwrap();
    assert_eq!((config.link.as_str(), config.group()), ("pair-1", "pair-1"));
    assert_eq!(config.limits.consumers.get(), 3);
    assert_eq!(config.admin.listen, Some("0.0.0.0:9464".parse().unwrap()));
    for side in [&config.source.kafka, &config.target.kafka] {
        assert_eq!(side.get("sasl.mechanism"), Some("PLAIN"));
        assert_eq!(side.get("security.protocol"), Some("SASL_PLAINTEXT"));
        assert_eq!((side.get("sasl.username"), side.get("sasl.password")), (Some("user"), Some("hunter2")));
    }
    assert_eq!(config.topics.rules.target("orders").as_deref(), Some("orders.v2"));
    assert_eq!(config.topics.rules.target("x").as_deref(), Some("y"));
    assert_eq!(config.topics.rules.target("ordersx"), None);
}

#[test]
fn a_white_list_is_read_as_mirror_maker_read_it() {
    let base = [("SOURCE", "a:1"), ("DESTINATION", "b:1"), ("GROUP_ID", "g"), ("LINK", "l")];
    for list in [
        "\"orders, pay.*\"",
        "orders|pay.*",
        "orders,pay.*",
        "'orders|pay.{1,9}'",
        "\"orders,pay[,m].{0,5}\"",
    ] {
        let config = container(&[&base[..], &[("WHITE_LIST", list)]].concat()).unwrap();
        let rules = &config.topics.rules;
        assert_eq!((config.link.as_str(), config.group()), ("l", "g"));
        assert!(
            rules.includes("orders") && rules.includes("payments") && !rules.includes("orders2"),
            "{list}"
        );
    }
}

#[test]
fn quotes_around_pairs_are_none_of_their_names() {
    let base = [("SOURCE", "a:1"), ("DESTINATION", "b:1"), ("GROUP_ID", "g")];
    for pairs in ["\"orders,o2;x,y\"", "'orders,o2 ; x,y'"] {
        let config = container(&[&base[..], &[("FROM_TOPIC_TO_TOPIC", pairs)]].concat()).unwrap();
        assert_eq!(config.topics.rules.target("orders").as_deref(), Some("o2"));
        assert_eq!(config.topics.rules.target("x").as_deref(), Some("y"));
    }
}

#[test]
fn a_login_that_would_not_be_sent_is_an_error() {
    let base = [("SOURCE", "a:1"), ("DESTINATION", "b:1"), ("GROUP_ID", "g"), ("WHITE_LIST", "a")];
    let login = [("USERNAME", "u"), ("PASSWORD", "hunter2")];
    for protocol in ["PLAINTEXT", "ssl"] {
        let error = container(&[&base[..], &login, &[("SECURITY_PROTOCOL", protocol)]].concat()).unwrap_err();
        let told =
            format!("SECURITY_PROTOCOL: {protocol} sends no user name and no password, but USERNAME is set");
        assert!(error.contains(&told) && error.contains("SASL_PLAINTEXT"), "{error}");
    }
    let one_side =
        [("SOURCE_SECURITY_PROTOCOL", "PLAINTEXT"), ("SOURCE_USERNAME", ""), ("SOURCE_PASSWORD", "")];
    let config = container(&[&base[..], &login, &one_side].concat()).unwrap();
    assert_eq!(config.source.kafka.get("sasl.username"), None);
    assert_eq!(config.target.kafka.get("sasl.username"), Some("u"));
}

#[test]
fn each_side_may_have_its_own_user() {
    let base = [("SOURCE", "a:1"), ("DESTINATION", "b:1"), ("GROUP_ID", "g"), ("WHITE_LIST", "a")];
    let load = |more: &[(&str, &str)]| container(&[&base[..], more].concat()).unwrap();
    let config = load(&[
        ("USERNAME", "u"),
        ("PASSWORD", "p"),
        ("DESTINATION_USERNAME", "u2"),
        ("DESTINATION_PASSWORD", "p2"),
        ("SASL_MECHANISM", "SCRAM-SHA-512"),
        ("SOURCE_SECURITY_PROTOCOL", "SASL_SSL"),
    ]);
    let get = |cluster: &Cluster, name| cluster.kafka.get(name).unwrap().to_owned();
    assert_eq!(get(&config.source, "sasl.username") + &get(&config.source, "sasl.password"), "up");
    assert_eq!(get(&config.target, "sasl.username") + &get(&config.target, "sasl.password"), "u2p2");
    assert_eq!(get(&config.source, "security.protocol"), "SASL_SSL");
    assert_eq!(get(&config.target, "security.protocol"), "SASL_PLAINTEXT");
    assert_eq!(get(&config.target, "sasl.mechanism"), "SCRAM-SHA-512");
    let config =
        load(&[("USERNAME", "u"), ("PASSWORD", "p"), ("SOURCE_USERNAME", ""), ("SOURCE_PASSWORD", "")]);
    assert_eq!(config.source.kafka.get("security.protocol"), None);
    assert_eq!(get(&config.target, "sasl.username"), "u");
}

#[test]
fn a_containers_errors_name_the_variable() {
    let base = [("SOURCE", "a:1"), ("DESTINATION", "b:1"), ("GROUP_ID", "g"), ("WHITE_LIST", "a")];
    let with = |name: &'static str, value: &'static str| {
        let mut variables: Vec<_> = base.iter().filter(|(n, _)| *n != name).copied().collect();
        variables.push((name, value));
        container(&variables).unwrap_err()
    };
    for (error, parts) in [
        (
            container(&[]).unwrap_err(),
            &["set SOURCE", "set DESTINATION", "set GROUP_ID", "WHITE_LIST"] as &[_],
        ),
        (with("SOURCE", ""), &["the source has no \"bootstrap.servers\"", "set SOURCE"]),
        (with("WHITE_LIST", ""), &["nothing would be mirrored", "set FROM_TOPIC_TO_TOPIC"]),
        (with("WHITE_LIST", "a["), &["WHITE_LIST: include pattern \"a[\": not a regular expression"]),
        (with("FROM_TOPIC_TO_TOPIC", "a;b,c"), &["FROM_TOPIC_TO_TOPIC: \"a\" is not a pair"]),
        (with("FROM_TOPIC_TO_TOPIC", "a.*,b"), &["FROM_TOPIC_TO_TOPIC: \"a.*,b\": '*' can't"]),
        (with("FROM_TOPIC_TO_TOPIC", "a,b;a,c"), &["topic a is there twice"]),
        (with("FROM_TOPIC_TO_TOPIC", "x,b;y,b"), &["source topics x, y would all become target topic b"]),
        (with("CONSUMER_COUNT", "many"), &["CONSUMER_COUNT: ", "must be a whole number"]),
        (with("CONSUMER_COUNT", "0"), &["CONSUMER_COUNT: ", "too small"]),
        (with("USERNAME", "u"), &["USERNAME: ", "set PASSWORD"]),
        (with("PASSWORD", "hunter2"), &["PASSWORD: ", "set USERNAME"]),
        (with("SASL_MECHANISM", "PLAIN"), &["SASL_MECHANISM: ", "set USERNAME"]),
        (
            with("SECURITY_PROTOCOL", "TLS"),
            &["SECURITY_PROTOCOL: `security.protocol`: Invalid value \"TLS\""],
        ),
        (with("GROUP_ID", "a b"), &["GROUP_ID: \"a b\" can't be the name of a link", "set LINK"]),
        (with("DESTINATION", "x:1,A:1"), &["DESTINATION: source and target are one cluster (a:1)"]),
    ] {
        for part in parts {
            assert!(error.contains(part), "{part}: {error}");
        }
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn on_one_cluster_every_named_topic_must_get_another_name() {
    let same = MINIMAL.replace("b:9092", "a:9092");
    assert!(load(&same, &[]).unwrap_err().contains("orders would be mirrored onto itself"));
    let chain = same.replace("[\"orders\"]", "[\"orders\", \"o.*\"]") + "rename = { orders = \"o2\" }\n";
    assert!(load(&chain, &[]).unwrap_err().contains("orders would become o2, which is mirrored again"));
    assert!(load(&(same + "rename = { orders = \"copy.orders\" }\n"), &[]).is_ok());
}

#[test]
fn the_files_in_config_load_and_the_reference_has_every_key() {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../config"));
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let reference = read("isomirror.toml");
    load(&reference, &[]).unwrap();
    load(&read("minimal.toml"), &[]).unwrap();
    // Every key stands in the reference as `key =` or in a section's name, commented out or not.
    for (section, keys) in schema::SECTIONS {
        for (key, _) in keys {
            let line = |l: &str| {
                let l = l.trim_start_matches(['#', ' ']);
                l.starts_with(&format!("{key} =")) || (l.starts_with('[') && l.contains(key))
            };
            assert!(reference.lines().any(line), "{key} of [{section}]");
        }
    }
    // What stands there commented out is right too.
    let is_key = |l: &&str| l.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
    let uncomment = |l: &str| l.strip_prefix("# ").filter(is_key).unwrap_or(l).to_owned();
    let all = reference.lines().map(uncomment).collect::<Vec<_>>().join("\n");
    if let Err(error) = load(&all, &[]) {
        let only_files = error.lines().filter(|l| l.contains(".toml:")).all(|l| l.contains("cannot read /"));
        assert!(only_files, "{error}");
    }
    let variables: Vec<(String, String)> = read("container.env")
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| line.split_once('=').map(|(n, v)| (n.into(), v.into())).unwrap())
        .collect();
    Config::load(None, variables).unwrap();
}
