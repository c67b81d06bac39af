//! Configurations through the real binary: what is refused, with which words, and what is shown. No broker needed.
//!
//! Proves: every bad configuration ends with exit code 2, its message names file and line (or the variable) and a
//! fix; no secret appears in any output; what `config` shows loads again.

use std::{
    path::Path,
    process::{Command, Output},
};

use tempfile::TempDir;

const LINK: &str = "link = \"a-b\"\n";
const SOURCE: &str = "[source.kafka]\n\"bootstrap.servers\" = \"a:9092\"\n";
const TARGET: &str = "[target.kafka]\n\"bootstrap.servers\" = \"b:9092\"\n";
const TOPICS: &str = "[topics]\ninclude = [\"orders\"]\n";
const SECRET: &str = "hunter2";

fn isomirror(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_isomirror"))
        .args(arguments)
        .env_clear()
        .envs(variables.iter().copied())
        .current_dir(folder)
        .output()
        .expect("the binary starts")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A folder with the configuration as `link.toml` in it.
fn folder(configuration: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("link.toml"), configuration).expect("a file");
    folder
}

/// The whole configuration, with lines put behind a section's own. Line numbers: 1 the link, 2–3 the source,
/// 4–5 the target, 6–7 the topics, then `more`.
fn with(more: &str) -> String {
    [LINK, SOURCE, TARGET, TOPICS, more].concat()
}

struct Bad {
    what: &'static str,
    file: String,
    variables: &'static [(&'static str, &'static str)],
    expected: &'static [&'static str],
}

fn bad(what: &'static str, file: String, expected: &'static [&'static str]) -> Bad {
    Bad { what, file, variables: &[], expected }
}

fn bad_variable(
    variables: &'static [(&'static str, &'static str)],
    expected: &'static [&'static str],
) -> Bad {
    Bad { what: variables[0].0, file: with(""), variables, expected }
}

fn syntax_and_keys() -> Vec<Bad> {
    vec![
        bad(
            "no TOML",
            with("create = \n"),
            &["link.toml:8:10: ", "  8 | create = ", "fix: the file must be TOML"],
        ),
        bad("an open string", with("start = \"latest\n"), &["link.toml:8:", "  8 | start = \"latest"]),
        bad(
            "a key twice",
            with("include = [\"x\"]\n"),
            &["link.toml:8:1: duplicate key", "  8 | include = "],
        ),
        bad(
            "an override twice",
            with("[topics.override.\"a\"]\ncreate = true\n[topics.override.\"a\"]\ncreate = false\n"),
            &["link.toml:10:", "duplicate key"],
        ),
        bad(
            "a misspelt key",
            with("[limits]\nbufer = \"64MiB\"\n"),
            &[
                "the configuration link.toml can't be used",
                "link.toml:9:1: unknown key `bufer` in [limits]\n  9 | bufer = \"64MiB\"\n    | ^^^^^",
                "fix: did you mean `buffer`?",
            ],
        ),
        bad(
            "a misspelt section",
            with("[limit]\n"),
            &["link.toml:8:2: unknown key `limit`", "did you mean `limits`?"],
        ),
        bad(
            "a key in the wrong section",
            with("throttle = \"1MB/s\"\n"),
            &["link.toml:8:1", "belongs to [limits]"],
        ),
        bad(
            "a property in the wrong section",
            with("[source]\npassword = \"hunter2\"\n").replace("[source.kafka]", "[source.kafka] # above"),
            &[
                "link.toml:9:1: unknown key `password` in [source]",
                "  9 | password = ***",
                "belong to [source.kafka]",
            ],
        ),
        bad(
            "an unknown key of an override",
            with("[topics.override.\"a\"]\ninclude = [\"b\"]\n"),
            &["link.toml:9:1: unknown key `include` in [topics.override]"],
        ),
        bad(
            "a number for a word",
            with("offsets = 5\n"),
            &["link.toml:8:11: `offsets`: must be a string, not a whole"],
        ),
        bad(
            "a word for true",
            with("create = \"yes\"\n"),
            &["link.toml:8:10: `create`: must be true or false, not a string"],
        ),
        bad(
            "a section that is none",
            LINK.to_owned() + "source = 5\n",
            &["link.toml:2:10: `source` must be a table"],
        ),
    ]
}

fn values() -> Vec<Bad> {
    vec![
        bad(
            "no link",
            [SOURCE, TARGET, TOPICS].concat(),
            &["link.toml: the link has no name", "fix: name the link"],
        ),
        bad(
            "an impossible link",
            with("").replace("a-b", "a b"),
            &["link.toml:1:8: \"a b\" can't be the name of a link", "    |        ^^^^^"],
        ),
        bad(
            "no source servers",
            [LINK, "[source.kafka]\n", TARGET, TOPICS].concat(),
            &[
                "link.toml:2:9: the source has no \"bootstrap.servers\"",
                "fix: add \"bootstrap.servers\" = \"host:9092\"",
            ],
        ),
        bad(
            "no target",
            [LINK, SOURCE, TOPICS].concat(),
            &["link.toml: the target has no \"bootstrap.servers\""],
        ),
        bad("empty servers", with("").replace("b:9092", " , "), &["link.toml:5:23: the target has no"]),
        bad(
            "an unknown size",
            with("[limits]\nbuffer = \"64 elephants\"\n"),
            &["link.toml:9:10: `buffer`: \"64 elephants\" is not a size", "\"64MiB\""],
        ),
        bad(
            "a size without unit",
            with("[limits]\nbuffer = 64\n"),
            &["link.toml:9:10: `buffer`: must be a string"],
        ),
        bad(
            "a buffer beyond all bounds",
            with("[limits]\nbuffer = \"99999999999GiB\"\n"),
            &["link.toml:9:10: `buffer`: ", "64GiB"],
        ),
        bad(
            "a large buffer",
            with("[limits]\nbuffer = \"65GiB\"\n"),
            &["link.toml:9:10: `buffer`: more memory than any link needs", "\"64GiB\" or less"],
        ),
        bad(
            "a small buffer",
            with("[limits]\nbuffer = \"64KiB\"\n"),
            &["link.toml:9:10: `buffer`: too small", "\"1MiB\" or more"],
        ),
        bad(
            "a rate without a second",
            with("[limits]\nthrottle = \"200MB\"\n"),
            &["link.toml:9:12: `throttle`: \"200MB\" is not a rate", "\"200MB/s\""],
        ),
        bad(
            "a zero rate",
            with("[limits]\nthrottle = \"0B/s\"\n"),
            &["link.toml:9:12", "nothing would ever be read"],
        ),
        bad(
            "no consumers",
            with("[limits]\nconsumers = 0\n"),
            &["link.toml:9:13: `consumers`: 0 is too small"],
        ),
        bad(
            "fewer than no consumers",
            with("[limits]\nconsumers = -2\n"),
            &["link.toml:9:13: `consumers`: -2 is too small"],
        ),
        bad(
            "many consumers",
            with("[limits]\nconsumers = 5000\n"),
            &["link.toml:9:13: `consumers`: 5000 clients"],
        ),
        bad(
            "a duration without unit",
            with("[limits]\ndrain = \"20\"\n"),
            &["link.toml:9:9: `drain`: \"20\" is not a duration", "\"5s\""],
        ),
        bad(
            "a refresh without pause",
            with("refresh = \"0s\"\n"),
            &["link.toml:8:11: `refresh`: the clusters would be asked without a pause"],
        ),
        bad(
            "an odd start",
            with("start = \"yesterday\"\n"),
            &["link.toml:8:9: `start`: \"yesterday\" is not a start", "2026-01-31T08:00:00Z"],
        ),
        bad("a start without zone", with("start = 2026-01-31T08:00:00\n"), &["link.toml:8:9: `start`: "]),
        bad(
            "no replicas",
            with("replication_factor = 0\n"),
            &["link.toml:8:22: `replication_factor`: 0 is no number", "or -1"],
        ),
        bad(
            "an odd policy",
            with("[policy]\nloss = \"ignore\"\n"),
            &["link.toml:9:8: `loss`: \"ignore\" is not one of its words", "\"stop\" or \"skip\""],
        ),
        bad(
            "no address",
            with("[admin]\nlisten = \"9464\"\n"),
            &["link.toml:9:10: `listen`: \"9464\" is not an address", "127.0.0.1:9464"],
        ),
        bad(
            "shared writers",
            with("writers = \"shared\"\n"),
            &[
                "link.toml:8:11: `writers = \"shared\"`: where others write too, offsets can't be identical",
                "offsets = \"translated\"",
            ],
        ),
        bad(
            "a group pattern",
            with("[groups]\ninclude = [\"a\", \"b(\"]\n"),
            &["link.toml:9:17: include pattern \"b(\": not a regular expression", "whole names"],
        ),
        bad(
            "an unknown key of configs",
            with("[configs]\npace = \"5m\"\n"),
            &["link.toml:9:1: unknown key `pace` in [configs]", "known keys here are sync"],
        ),
        bad(
            "ACLs without a pause",
            with("[acls]\nsync = \"10ms\"\n"),
            &["link.toml:9:8: `sync`: the clusters would be asked without a pause", "1s or more"],
        ),
        bad(
            "a principal without its type",
            with("[acls]\nprincipals = { \"CN=old\" = \"User:new\" }\n"),
            &["link.toml:9:16: \"CN=old\" is no principal: it has no type", "\"User:CN=old\" = \"User:new\""],
        ),
        bad(
            "a block that nobody does",
            with("[cutover]\nblock = \"hook\"\n"),
            &["link.toml:9:9: `block`: there is no command", "write block_hook"],
        ),
        bad(
            "writers without a type",
            with("[cutover]\nwriters = [\"app\"]\n"),
            &["link.toml:9:12: \"app\" is no principal", "User:app"],
        ),
        bad(
            "how much to compare",
            with("[cutover]\nverify = \"some\"\nmax_lag = -1\nstep_limit = \"10ms\"\n"),
            &["\"some\" is not how much to compare", "`max_lag` is a number", "`step_limit`: no step"],
        ),
        bad(
            "a key of a cutover",
            with("[cutover]\nclient_hook = \"true\"\n"),
            &["link.toml:9:1: unknown key `client_hook` in [cutover]", "did you mean `clients_hook`?"],
        ),
        bad(
            "a principal that leads nowhere",
            with("[acls.principals]\n\"User:a\" = 5\n"),
            &["link.toml:9:12: principal \"User:a\" must lead to a string, not a whole number"],
        ),
        bad(
            "an unknown key of groups",
            with("[groups]\nincludes = [\"a\"]\n"),
            &["link.toml:9:1: unknown key `includes` in [groups]", "did you mean `include`?"],
        ),
        bad(
            "a busy sync",
            with("[groups]\nsync = \"10ms\"\n"),
            &["link.toml:9:8: `sync`: the groups' coordinators would be asked without a pause", "1s or more"],
        ),
        bad(
            "an unknown key of verify",
            with("[verify]\nevry = \"10m\"\n"),
            &["link.toml:9:1: unknown key `evry` in [verify]", "did you mean `every`?"],
        ),
        bad(
            "comparing without a pause",
            with("[verify]\nevery = \"0s\"\n"),
            &["link.toml:9:9: `every`: both clusters would be asked without a pause", "1s or more"],
        ),
        bad(
            "a rate of nothing",
            with("[verify]\nrate = \"1MB/s\"\n"),
            &["link.toml:9:8: `rate`: nothing is compared without `every`", "add every = \"10m\""],
        ),
        bad(
            "an unknown key of audit",
            with("[audit]\nevery = \"1m\"\nbrokers = true\n"),
            &["link.toml:10:1: unknown key `brokers` in [audit]"],
        ),
        bad(
            "auditing without a pause",
            with("[audit]\nevery = \"10ms\"\n"),
            &["link.toml:9:9: `every`: both clusters would be asked without a pause", "1s or more"],
        ),
        bad(
            "a rate that is none",
            with("[verify]\nevery = \"10m\"\nrate = \"0MB/s\"\n"),
            &["link.toml:10:8: `rate`: \"0MB/s\" is not a rate: nothing would ever be read"],
        ),
    ]
}

fn topics() -> Vec<Bad> {
    vec![
        bad(
            "no topics",
            [LINK, SOURCE, TARGET].concat(),
            &["link.toml: include: no topics are included", "fix: name topics in [topics]"],
        ),
        bad(
            "an empty include",
            with("").replace("\"orders\"", ""),
            &["link.toml:7:1: include: no topics are included"],
        ),
        bad(
            "a bad include",
            with("").replace("orders", "orders["),
            &[
                "link.toml:7:12: include pattern \"orders[\": not a regular expression: unclosed character class (at character 7)",
            ],
        ),
        bad(
            "a bad exclude",
            with("exclude = [\"a\", \"(b\"]\n"),
            &["link.toml:8:17: exclude pattern \"(b\""],
        ),
        bad(
            "internal topics",
            with("").replace("orders", "__consumer_offsets"),
            &["link.toml:7:12: ", "internal and never mirrored"],
        ),
        bad(
            "a pattern without ^",
            with("rename = { \"a.*\" = \"b\" }\n"),
            &["link.toml:8:12: rename rule \"a.*\"", "begin the pattern with `^`"],
        ),
        bad(
            "a group that is none",
            with("[topics.rename]\n\"^a(.*)$\" = \"$2\"\n"),
            &["link.toml:9:13: rename rule \"^a(.*)$\": the pattern has no group `2` (it has 1)"],
        ),
        bad(
            "an impossible name",
            with("[topics.rename]\norders = \"a/b\"\n"),
            &["link.toml:9:10: rename rule \"orders\": '/' can't stand in a topic's name"],
        ),
        bad(
            "an internal name",
            with("[topics.rename]\norders = \"__orders\"\n"),
            &["link.toml:9:10: ", "internal"],
        ),
        bad(
            "a clash",
            with("[topics.rename]\norders = \"o\"\nx = \"o\"\n").replace("[\"orders\"]", "[\".*\"]"),
            &["link.toml:10:5: source topics orders, x would all become target topic o"],
        ),
        bad(
            "a name with a bare dot",
            with("[topics.rename]\na.b = \"c\"\n"),
            &["link.toml:9:1: rename rule \"a\" must lead to a string", "put names with dots in quotes"],
        ),
        bad(
            "a bad override",
            with("[topics.override.\"a(\"]\ncreate = true\n"),
            &["link.toml:8:18: override \"a(\": not a regular expression"],
        ),
        bad(
            "a loop",
            with("").replace("b:9092", "c:1,A:9092"),
            &[
                "link.toml:5:23: source and target are one cluster (a:9092), and orders would be mirrored onto itself: a loop",
                "name another cluster",
            ],
        ),
    ]
}

fn properties() -> Vec<Bad> {
    let kafka = |line: &str| [LINK, SOURCE, line, TARGET, TOPICS].concat();
    vec![
        bad(
            "an unknown property",
            kafka("\"bootstrap.server\" = \"x\"\n"),
            &[
                "link.toml:4:1: unknown property `bootstrap.server` in [source.kafka]",
                "did you mean `bootstrap.servers`?",
            ],
        ),
        bad(
            "a misspelt secret",
            kafka("\"sasl.pasword\" = \"hunter2\"\n"),
            &[
                "link.toml:4:1: unknown property `sasl.pasword`",
                "  4 | \"sasl.pasword\" = ***",
                "did you mean `sasl.password`?",
            ],
        ),
        bad(
            "a bad value",
            kafka("\"security.protocol\" = \"TLS\"\n"),
            &["link.toml:4:23: `security.protocol`: ", "TLS", "  4 | \"security.protocol\" = \"TLS\""],
        ),
        bad(
            "a bad value beside a secret",
            kafka("sasl = { password = \"hunter2\", mechanism = 7.5 }\n"),
            &[
                "link.toml:4:44: `sasl.mechanism`: a property can't be a decimal number",
                "password = ***, mechanism = 7.5",
            ],
        ),
        bad(
            "a list as a secret",
            kafka("sasl.password = [\"hunter2\"]\n"),
            &["link.toml:4:17: `sasl.password`: a property can't be a list", "sasl.password = ***"],
        ),
        bad(
            "a secret twice",
            kafka("sasl.password = \"hunter2\"\n\"sasl.password\" = \"hunter2\"\n"),
            &["link.toml:5:1: property `sasl.password` is given twice"],
        ),
        bad(
            "an open secret",
            kafka("\"sasl.password\" = \"hunter2\n"),
            &["link.toml:4:", "  4 | \"sasl.password\" = ***"],
        ),
        bad(
            "a secret in a misspelt table",
            [LINK, "[source]\nkafak = { \"sasl.password\" = \"hunter2\" }\n", TARGET, TOPICS].concat(),
            &["link.toml:3:1: unknown key `kafak` in [source]\n  3 | kafak = ***", "did you mean `kafka`?"],
        ),
        bad(
            "a secret in a misplaced table",
            LINK.to_owned() + "kafka = { \"sasl.password\" = \"hunter2\" }\n" + &with("")[LINK.len()..],
            &[
                "link.toml:2:1: unknown key `kafka` at the top level\n  2 | kafka = ***",
                "belongs to [source]",
            ],
        ),
        bad(
            "a secret in a name",
            [LINK, "[source]\nname = { password = \"hunter2\" }\n", TARGET, TOPICS].concat(),
            &["link.toml:3:8: `name`: must be a string, not a table\n  3 | name = ***"],
        ),
        bad("a secret without =", kafka("sasl.password \"hunter2\"\n"), &["link.toml:4:", "  4 | ***"]),
        bad(
            "a missing file",
            kafka("sasl.password = { file = \"gone\" }\n"),
            &["link.toml:4:17: `sasl.password`: cannot read gone: No such file", "readable for the user"],
        ),
        bad(
            "a missing variable",
            kafka("sasl.password = { env = \"GONE\" }\n"),
            &["link.toml:4:17: `sasl.password`: the environment variable GONE is not set"],
        ),
        bad(
            "two places",
            kafka("sasl.password = { file = \"x\", env = \"Y\" }\n"),
            &["is neither { file = \"…\" } nor { env = \"…\" }"],
        ),
        Bad {
            what: "an empty variable",
            file: kafka("sasl.password = { env = \"EMPTY\" }\n"),
            variables: &[("EMPTY", "")],
            expected: &["link.toml:4:17: `sasl.password`: the environment variable EMPTY is empty"],
        },
        bad(
            "a shown secret",
            kafka("sasl.password = \"***\"\n"),
            &["*** is what `isomirror config` shows in place of a secret"],
        ),
    ]
}

/// What only shows when a client is made of all properties together.
fn clients() -> Vec<Bad> {
    let source = |line: &str| [LINK, SOURCE, line, TARGET, TOPICS].concat();
    let target = |line: &str| [LINK, SOURCE, TARGET, line, TOPICS].concat();
    let login = "\"security.protocol\" = \"SASL_PLAINTEXT\"\n\"sasl.username\" = \"u\"\n\"sasl.password\" = \"hunter2\"\n";
    let odd = [login, "sasl.mechanism = \"FOO\"\n"].concat();
    let tls = "security.protocol = \"SSL\"\nssl.ca.location = \"/nonexist\"\n";
    vec![
        bad(
            "auto commit",
            source("\"enable.auto.commit\" = true\n"),
            &[
                "link.toml:4:24: `enable.auto.commit` can't be set to `true`: positions",
                "fix: leave `enable.auto.commit` out",
            ],
        ),
        bad(
            "no partition ends",
            source("\"enable.partition.eof\" = false\n"),
            &["link.toml:4:26: `enable.partition.eof` can't be set to `false`"],
        ),
        bad(
            "a reset",
            source("\"auto.offset.reset\" = \"latest\"\n"),
            &["link.toml:4:23: `auto.offset.reset` can't be set to `latest`"],
        ),
        bad(
            "one acknowledgement",
            target("acks = 1\n"),
            &["link.toml:6:8: `acks` can't be set to `1`: anything less"],
        ),
        bad(
            "a transactional id",
            target("\"transactional.id\" = \"x\"\n"),
            &["link.toml:6:22: `transactional.id` can't be set"],
        ),
        bad("an odd mechanism of the source", source(&odd), &["link.toml:7:18: ", "FOO", "SCRAM-SHA-512"]),
        bad(
            "an odd mechanism of the target",
            target(&odd),
            &["link.toml:9:18: `sasl.mechanism`: ", "FOO", "SCRAM-SHA-512"],
        ),
        bad(
            "no certificates of the source",
            source(tls),
            &["link.toml:5:19: `ssl.ca.location`: cannot read /nonexist: No such file"],
        ),
        bad(
            "no certificates of the target",
            target(tls),
            &["link.toml:7:19: `ssl.ca.location`: cannot read /nonexist: No such file"],
        ),
        bad(
            "sizes that contradict each other",
            source("\"fetch.max.bytes\" = 1000000\n\"receive.message.max.bytes\" = 1000\n"),
            &["link.toml:5:31: ", "receive.message.max.bytes"],
        ),
        bad(
            "a protocol without its mechanism",
            target("\"security.protocol\" = \"SASL_SSL\"\n"),
            &["link.toml:6:23: ", "GSSAPI can't be used here"],
        ),
        Bad {
            what: "acknowledgements in a variable",
            file: with(""),
            variables: &[("ISOMIRROR__TARGET__KAFKA__ACKS", "1")],
            expected: &["ISOMIRROR__TARGET__KAFKA__ACKS: `acks` can't be set to `1`"],
        },
    ]
}

fn servers() -> Vec<Bad> {
    let source = |servers: &str| with("").replace("a:9092", servers);
    vec![
        bad(
            "a web address",
            source("http://a:9092/"),
            &[
                "link.toml:3:23: `bootstrap.servers`: \"http://a:9092/\" begins with http://",
                "fix: write a:9092;",
            ],
        ),
        bad(
            "a protocol",
            source("b:1,SSL://a:9092"),
            &["link.toml:3:23: ", "\"SSL://a:9092\" begins with SSL://"],
        ),
        bad(
            "a login",
            source("u:hunter2@a:9092"),
            &[
                "link.toml:3:23: `bootstrap.servers`: \"…@a:9092\" has a login in it",
                "= ***",
                "sasl.password",
            ],
        ),
        bad("no host", source(":9092"), &["link.toml:3:23: `bootstrap.servers`: \":9092\" names no host"]),
        bad("no port", source("a"), &["link.toml:3:23: `bootstrap.servers`: \"a\" has no port"]),
        bad("an odd port", source("a:http"), &["link.toml:3:23: ", "has no port from 1 to 65535"]),
        bad_variable(
            &[("ISOMIRROR__SOURCE__KAFKA__BOOTSTRAP_SERVERS", "u:hunter2@a:1")],
            &["ISOMIRROR__SOURCE__KAFKA__BOOTSTRAP_SERVERS: `bootstrap.servers`: \"…@a:1\" has a login"],
        ),
    ]
}

fn variables() -> Vec<Bad> {
    vec![
        bad_variable(
            &[("ISOMIRROR__TOPICS__RENAME__A", "b")],
            &[
                "ISOMIRROR__TOPICS__RENAME__A: unknown variable",
                r#"ISOMIRROR__TOPICS__RENAME='{ "a" = "b" }'"#,
            ],
        ),
        bad_variable(
            &[("ISOMIRROR__TOPICS__OVERRIDE__A__CREATE", "false")],
            &["a table is set as a whole, as ISOMIRROR__TOPICS__OVERRIDE='"],
        ),
        bad_variable(
            &[("ISOMIRROR__SOURCE__KAFKA", "{ \"sasl.password\" = \"hunter2\" }")],
            &["properties are set one by one, as ISOMIRROR__SOURCE__KAFKA__BOOTSTRAP_SERVERS=host:9092"],
        ),
        bad_variable(
            &[("ISOMIRROR__LIMITS__BUFER", "hunter2")],
            &["ISOMIRROR__LIMITS__BUFER: unknown variable", "did you mean ISOMIRROR__LIMITS__BUFFER?"],
        ),
        bad_variable(
            &[("ISOMIRROR__LIMITS__BUFFER", "64 elephants")],
            &["ISOMIRROR__LIMITS__BUFFER: `buffer`: \"64 elephants\" is not a size"],
        ),
        bad_variable(
            &[("ISOMIRROR__TOPICS__CREATE", "yes")],
            &["ISOMIRROR__TOPICS__CREATE: `create`: must be true or false"],
        ),
        bad_variable(
            &[("ISOMIRROR__SOURCE__KAFKA__SASL_PASWORD", "hunter2")],
            &["ISOMIRROR__SOURCE__KAFKA__SASL_PASWORD: unknown property `sasl.pasword`"],
        ),
        bad_variable(
            &[("ISOMIRROR__SOURCE__KAFKA__SASL_PASSWORD__FILE", "gone")],
            &["ISOMIRROR__SOURCE__KAFKA__SASL_PASSWORD__FILE: `sasl.password`: cannot read gone"],
        ),
        bad_variable(
            &[("ISOMIRROR__TOPICS__INCLUDE", "a,b[")],
            &["ISOMIRROR__TOPICS__INCLUDE: include pattern \"b[\""],
        ),
    ]
}

#[test]
fn every_bad_configuration_is_refused_with_its_place_and_a_fix() {
    let table: Vec<Bad> =
        [syntax_and_keys(), values(), topics(), properties(), clients(), servers(), variables()]
            .into_iter()
            .flatten()
            .collect();
    assert!(table.len() >= 60, "{}", table.len());
    let mut wrong = Vec::new();
    for Bad { what, file, variables, expected } in &table {
        let folder = folder(file);
        let output = isomirror(folder.path(), &["config", "link.toml"], variables);
        let told = text(&output);
        let missing: Vec<_> = expected.iter().filter(|part| !told.contains(**part)).collect();
        let fails = [
            (output.status.code() != Some(2), format!("exit code {:?}", output.status.code())),
            (!output.stdout.is_empty(), "something on standard output".to_owned()),
            (!missing.is_empty(), format!("lacks {missing:?}")),
            (!told.contains("fix: "), "no fix".to_owned()),
            (told.contains(SECRET), "shows a secret".to_owned()),
        ];
        let fails: Vec<_> = fails.into_iter().filter(|(fails, _)| *fails).map(|(_, why)| why).collect();
        if !fails.is_empty() {
            wrong.push(format!("{what}: {}\n{told}", fails.join("; ")));
        }
    }
    assert!(wrong.is_empty(), "{} of {}\n{}", wrong.len(), table.len(), wrong.join("\n"));
}

#[test]
fn every_command_refuses_a_bad_configuration_alike() {
    let folder = folder(&with("crate = true\n"));
    for command in ["run", "check", "config", "plan", "apply"] {
        let output = isomirror(folder.path(), &[command, "link.toml"], &[]);
        assert_eq!(output.status.code(), Some(2), "{command}: {}", text(&output));
        assert!(text(&output).contains("link.toml:8:1: unknown key `crate`"), "{command}: {}", text(&output));
        let output = isomirror(folder.path(), &[command, "gone.toml"], &[]);
        assert_eq!(output.status.code(), Some(2), "{command}: {}", text(&output));
        assert!(text(&output).contains("gone.toml: No such file"), "{command}: {}", text(&output));
        let output = isomirror(folder.path(), &[command], &[]);
        assert_eq!(output.status.code(), Some(2), "{command}: {}", text(&output));
        assert!(text(&output).contains("set SOURCE"), "{command}: {}", text(&output));
    }
}

#[test]
fn what_the_command_line_cannot_mean_is_a_usage_error() {
    let folder = folder(&with(""));
    for arguments in [
        &["config", "link.toml", "--output", "xml"] as &[&str],
        &["cutover", "link.toml"],
        &["run", "link.toml", "--untill-caught-up"],
        &["config", "link.toml", "--log-level", "info,=loud"],
        &[],
    ] {
        let output = isomirror(folder.path(), arguments, &[]);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output));
    }
    for arguments in [&["--help"] as &[&str], &["--version"], &["run", "--help"]] {
        assert_eq!(isomirror(folder.path(), arguments, &[]).status.code(), Some(0), "{arguments:?}");
    }
}

#[test]
fn no_secret_is_shown_and_what_is_shown_loads_again() {
    let secrets = "[target.kafka.sasl]\nusername = \"u\"\npassword = \"hunter2\"\n\
                   [target.kafka.ssl.key]\npassword = { file = \"key\" }\npem = '''\nhunter2==\n'''\n";
    let folder = folder(&with("").replace(TARGET, &[TARGET, secrets].concat()));
    std::fs::write(folder.path().join("key"), "hunter2\n").expect("a file");
    let variables = [
        ("ISOMIRROR__SOURCE__KAFKA__SASL_PASSWORD", SECRET),
        ("ISOMIRROR__SOURCE__KAFKA__SASL_OAUTHBEARER_CONFIG", "secret=hunter2"),
    ];
    for output in ["table", "json"] {
        let shown = isomirror(folder.path(), &["-vv", "config", "link.toml", "--output", output], &variables);
        assert_eq!(shown.status.code(), Some(0), "{}", text(&shown));
        assert!(!text(&shown).contains(SECRET), "{}", text(&shown));
        assert!(text(&shown).contains("***") && text(&shown).contains("isomirror.a-b"), "{}", text(&shown));
    }

    let plain = with(
        "start = \"latest\"\n[topics.rename]\n\"^o(.*)$\" = \"p$1\"\n[limits]\nthrottle = \"1MB/s\"\n\
              [verify]\nevery = \"5m\"\n[audit]\nevery = \"1m\"\n",
    );
    std::fs::write(folder.path().join("plain.toml"), plain).expect("a file");
    let first = isomirror(folder.path(), &["config", "plain.toml"], &[]);
    std::fs::write(folder.path().join("again.toml"), &first.stdout).expect("a file");
    let second = isomirror(folder.path(), &["config", "again.toml"], &[]);
    assert_eq!(second.status.code(), Some(0), "{}", text(&second));
    assert_eq!(first.stdout, second.stdout);
    let json = isomirror(folder.path(), &["config", "plain.toml", "--output", "json"], &[]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(json["topics"]["rename"]["^o(.*)$"], "p$1");
    assert_eq!(json["verify"], serde_json::json!({"every": "5m", "rate": "10MB/s"}));
    assert_eq!(json["audit"], serde_json::json!({"every": "1m"}));
}

#[test]
fn a_container_needs_no_file() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("secret"), "hunter2\n").expect("a file");
    let variables = [
        ("SOURCE", "a:9092"),
        ("DESTINATION", "b:9092"),
        ("GROUP_ID", "pair"),
        ("USERNAME", "u"),
        ("PASSWORD_FILE", "secret"),
        ("FROM_TOPIC_TO_TOPIC", "a,b;c.d,e"),
        ("CONSUMER_COUNT", "2"),
    ];
    let output = isomirror(folder.path(), &["config"], &variables);
    let shown = text(&output);
    assert_eq!(output.status.code(), Some(0), "{shown}");
    for part in
        ["link = \"pair\"", "\"c.d\" = \"e\"", "consumers = 2", "0.0.0.0:9464", "/secret\"", "SASL_PLAINTEXT"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(!shown.contains(SECRET), "{shown}");
}

#[test]
fn a_wrong_list_is_told_of_once_and_not_as_an_empty_one() {
    for (include, told) in [
        ("\"orders\"", "link.toml:7:11: `include` must be a list of strings, not a string"),
        ("[1]", "link.toml:7:12: `include` must hold strings only, not a whole number"),
    ] {
        let folder = folder(&with("").replace("[\"orders\"]", include));
        let output = isomirror(folder.path(), &["config", "link.toml"], &[]);
        let text = text(&output);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(told) && text.matches("fix: ").count() == 1, "{text}");
    }
}

#[test]
fn tables_are_set_by_variables_as_a_whole_and_mechanisms_in_any_case() {
    let folder = folder(&with("[topics.rename]\norders = \"o\"\n"));
    let variables = [
        ("ISOMIRROR__TOPICS__RENAME", "{ \"orders\" = \"o2\" }"),
        ("ISOMIRROR__TOPICS__OVERRIDE", "{ \"or.*\" = { start = \"latest\" } }"),
        ("ISOMIRROR__TARGET__KAFKA__SASL_MECHANISM", "scram-sha-512"),
        ("ISOMIRROR__TARGET__KAFKA__SASL_USERNAME", "u"),
        ("ISOMIRROR__TARGET__KAFKA__SASL_PASSWORD", "hunter2"),
        ("ISOMIRROR__TARGET__KAFKA__SECURITY_PROTOCOL", "sasl_plaintext"),
    ];
    let output = isomirror(folder.path(), &["config", "link.toml"], &variables);
    let shown = text(&output);
    assert_eq!(output.status.code(), Some(0), "{shown}");
    for part in ["orders = \"o2\"", "[topics.override.\"or.*\"]", "SCRAM-SHA-512"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}
