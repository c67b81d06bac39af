//! From files to links: what becomes of each kind of key, and that no secret is in anything that is shown.

use proptest::prelude::*;

use super::*;

const MARK: &str = "hunter2";

fn input(name: &str, text: &str) -> Input {
    Input { name: name.to_owned(), bytes: text.as_bytes().to_vec() }
}

fn old(consumer: &str, producer: &str) -> Request {
    let files = [
        ("c.properties", "bootstrap.servers=a:1\n", consumer),
        ("p.properties", "bootstrap.servers=b:1\n", producer),
    ];
    Request {
        files: files.map(|(name, servers, more)| input(name, &(servers.to_owned() + more))).to_vec(),
        flags: Flags { topics: Some(("--whitelist", "orders".to_owned())), ..Flags::default() },
        ..Request::default()
    }
}

fn new(more: &str) -> Request {
    let text = "clusters = A, B\nA.bootstrap.servers = a:1\nB.bootstrap.servers = b:1\nA->B.enabled = true\n";
    Request { files: vec![input("mm2.properties", &(text.to_owned() + more))], ..Request::default() }
}

fn one(request: &Request) -> Flow {
    let mut flows = import(request).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(flows.len(), 1);
    flows.remove(0)
}

fn refused(request: &Request) -> String {
    match import(request) {
        Ok(flows) => panic!("{}", flows[0].toml),
        Err(error) => error.to_string(),
    }
}

/// The comments and keys on lines of their own, each in one piece again.
fn joined(flow: &Flow) -> String {
    flow.toml.replace("\n#   ", " ")
}

#[track_caller]
fn has(flow: &Flow, parts: &[&str]) {
    let text = joined(flow);
    for part in parts {
        assert!(text.contains(part), "lacks {part}:\n{text}");
    }
}

#[track_caller]
fn lacks(flow: &Flow, parts: &[&str]) {
    let keys: String =
        flow.toml.lines().filter(|line| !line.starts_with('#')).map(|line| line.to_owned() + "\n").collect();
    for part in parts {
        assert!(!keys.contains(part), "has {part}:\n{keys}");
    }
}

#[test]
fn two_old_files_and_a_white_list_are_a_link() {
    let mut request = old(
        "group.id=mm\nauto.offset.reset=earliest\nfetch.min.bytes=100000\nfetch.max.bytes=52428800\nreceive.buffer.bytes=1000000\n\
         isolation.level=read_uncommitted\nenable.auto.commit=true\nclient.rack=r1\nfoo.bar=1\nkey.deserializer=x\n",
        "acks=1\ncompression.type=lz4\nbuffer.memory=134217728\nclient.id=me\nsend.buffer.bytes=-1\n",
    );
    request.flags.topics = Some(("--whitelist", "\"orders, pay.*,a{1,2}\"".to_owned()));
    request.flags.streams = Some("100".to_owned());
    request.flags.abort = Some("false".to_owned());
    request.flags.handler = Some("com.x.RenameTopicHandler".to_owned());
    request.flags.handler_args = Some("orders,orders.v2;x,y".to_owned());
    request.flags.others = vec!["--offset.commit.interval.ms"];
    let flow = one(&request);
    has(
        &flow,
        &[
            "link = \"mm\"\n",
            "[source.kafka]\n",
            "\"bootstrap.servers\" = \"a:1\"\n",
            "\"fetch.min.bytes\" = 100000\n",
            "\"socket.receive.buffer.bytes\" = 1000000\n",
            "\"client.rack\" = \"r1\"\n",
            "# c.properties:5 fetch.max.bytes: it is Kafka's default",
            "# c.properties:10 foo.bar: not known, so not carried over\n",
            "# p.properties:2 acks: always all",
            "include = [\"orders\", \"pay.*\", \"a{1,2}\"]\n",
            "start = \"earliest\"\n",
            "\"orders\" = \"orders.v2\"\n",
            "consumers = 64\n",
            "buffer = \"134217728B\"\n",
            "refused = \"skip\"\n",
            "# --offset.commit.interval.ms: ",
            "isomirror.mm,",
        ],
    );
    lacks(&flow, &["acks", "isolation", "compression", "group.id", "exclude", "fetch.max", "socket.send"]);
    assert!(flow.usable(), "{}", flow.toml);
}

/// MirrorMaker 1's command line in its older words, and handlers whose arguments are pairs.
#[test]
fn a_black_list_leaves_out_and_pairs_rename_whatever_the_handler_is_called() {
    let with = |change: &dyn Fn(&mut Flags)| {
        let mut request = old("", "");
        change(&mut request.flags);
        request
    };
    let all_but = |flags: &mut Flags| {
        (flags.topics, flags.blacklist) = (None, Some("test.*, tmp".to_owned()));
    };
    let flow = one(&with(&all_but));
    has(&flow, &["include = [\".*\"]\n", "exclude = [\"test.*\", \"tmp\"]\n"]);
    let look = with(&|flags| (flags.topics, flags.blacklist) = (None, Some("(?!a).*".to_owned())));
    assert!(refused(&look).contains("--blacklist: (?!…) in what is left out can't be expressed"));
    let mut two = new("");
    two.flags.blacklist = Some("a".to_owned());
    assert!(refused(&two).contains("a MirrorMaker 2 file, and --blacklist is MirrorMaker 1's"));

    let taken = "it is taken for one that renames the first to the second: see that it does nothing else";
    let pairs = Some("orders,orders.v2;x,y".to_owned());
    let renames = ["\"orders\" = \"orders.v2\"\n", "\"x\" = \"y\"\n"];
    let flow = one(&with(&|flags| flags.handler_args = pairs.clone()));
    has(&flow, &renames);
    has(&flow, &[taken]);
    let named = |class: &str, arguments: &Option<String>| {
        one(&with(&|flags| {
            (flags.handler, flags.handler_args) = (Some(class.to_owned()), arguments.clone());
        }))
    };
    let flow = named("com.x.MapTopics", &pairs);
    has(&flow, &renames);
    has(&flow, &[taken]);
    assert!(flow.usable());
    assert!(!joined(&named("com.x.RenameTopicHandler", &pairs)).contains(taken));
    for other in [None, Some("a,b,c".to_owned()), Some("a b,c".to_owned()), Some(String::new())] {
        let flow = named("com.x.RenameTopicHandler", &other);
        assert!(!flow.usable(), "{other:?}: {}", flow.toml);
    }
}

/// MirrorMaker 2 as a connector of a Connect cluster, as its file or as what was posted.
#[test]
fn a_source_connector_is_a_flow_as_properties_and_as_json() {
    let keys = [
        ("name", "mirror"),
        ("connector.class", "org.apache.kafka.connect.mirror.MirrorSourceConnector"),
        ("source.cluster.alias", "old"),
        ("target.cluster.alias", "new"),
        ("source.cluster.bootstrap.servers", "a:1,a:2"),
        ("target.cluster.bootstrap.servers", "b:1"),
        ("source.cluster.security.protocol", "SSL"),
        ("topics", "orders,pay.*"),
        ("topics.blacklist", "pay.test"),
        ("tasks.max", "3"),
        ("replication.policy.class", "org.apache.kafka.connect.mirror.IdentityReplicationPolicy"),
        ("sync.topic.configs.enabled", "false"),
        ("key.converter", "org.apache.kafka.connect.converters.ByteArrayConverter"),
        ("producer.override.compression.type", "zstd"),
    ];
    let connector = |text: &str| Request { files: vec![input("m", text)], ..Request::default() };
    let properties: String = keys.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
    let lines: Vec<String> = keys.iter().map(|(key, value)| format!("  {key:?}: {value:?}")).collect();
    let bare = format!("{{\n{}\n}}", lines.join(",\n")).replace("\"3\"", "3");
    let posted = format!("{{\"name\": \"mirror\", \"config\": {bare}}}");
    let found: Vec<Flow> = [&properties, &bare, &posted].map(|text| one(&connector(text))).into();
    for flow in &found {
        assert_eq!(flow.link, "old-new");
        has(
            flow,
            &[
                "name = \"old\"\n",
                "\"bootstrap.servers\" = \"a:1,a:2\"\n",
                "\"security.protocol\" = \"SSL\"\n",
            ],
        );
        has(flow, &["name = \"new\"\n", "\"bootstrap.servers\" = \"b:1\"\n"]);
        has(flow, &["include = [\"orders\", \"pay.*\"]\n", "\"pay.test\"", "consumers = 3\n"]);
        lacks(flow, &["[topics.rename]"]);
        assert!(!joined(flow).contains("is not enabled"), "{}", flow.toml);
        assert!(flow.usable(), "{}", flow.toml);
    }
    assert!(found[0].toml.contains("m:13 key.converter"), "{}", found[0].toml);
    assert!(
        found[1].toml.contains("m:14 key.converter"),
        "one line further down than in the file: {}",
        found[1].toml
    );

    // With the default policy topics get the source's alias in front; and each other file of Connect's says what it is.
    let default = properties.replace("IdentityReplicationPolicy", "DefaultReplicationPolicy");
    has(&one(&connector(&default)), &["\"^(.*)$\" = \"old.$1\"\n"]);
    for (text, what) in [
        (properties.replace("MirrorSource", "MirrorCheckpoint"), "the connector of checkpoints"),
        (bare.replace("MirrorSource", "MirrorHeartbeat"), "the connector of heartbeats"),
        (properties.replace("MirrorSource", "FileStreamSource"), "not one that mirrors"),
        ("source.cluster.alias=a\n".to_owned(), "without its connector.class"),
        ("bootstrap.servers=a:1\nconfig.storage.topic=c\n".to_owned(), "the file of a Connect worker"),
        ("{ \"topics\": [1] }".to_owned(), "m:1: holds what no connector's configuration does"),
        ("{ \"topics\": ".to_owned(), "m:1: is no JSON"),
        (
            properties.replace("source.cluster.bootstrap", "x"),
            "name its brokers: source.cluster.bootstrap.servers",
        ),
    ] {
        let error = refused(&connector(&text));
        assert!(error.contains(what) && error.contains("fix: "), "{what}: {error}");
    }
}

#[test]
fn java_starts_at_the_end_unless_it_is_told() {
    for (line, start) in
        [("", "latest"), ("auto.offset.reset=smallest", "earliest"), ("auto.offset.reset=none", "earliest")]
    {
        has(&one(&old(line, "")), &[&format!("start = \"{start}\"\n")]);
    }
    has(&one(&old("", "")), &["# c.properties auto.offset.reset: with \"latest\", what is written between"]);
    has(&one(&new("")), &["start = \"earliest\"\n"]);
    has(&one(&new("A.consumer.auto.offset.reset = latest\n")), &["start = \"latest\"\n"]);
}

#[test]
fn files_that_are_not_what_they_should_be_are_named() {
    let swap = |mut request: Request| {
        request.files.reverse();
        request
    };
    let mut alone = old("group.id=g", "");
    alone.files.truncate(1);
    let mut no_topics = old("", "");
    no_topics.flags.topics = None;
    let mut both = new("");
    both.files.extend(old("", "").files);
    let mut flags = new("");
    flags.flags.topics = Some(("--include", "a".to_owned()));
    let raw = |name: &str, bytes: &[u8]| Request {
        files: vec![Input { name: name.to_owned(), bytes: bytes.to_vec() }],
        ..Request::default()
    };
    let zookeeper = "zookeeper.connect=z:2181\ngroup.id=g\n";
    let mut old_consumer = old("", "");
    old_consumer.files[0] = input("c.properties", zookeeper);
    for (request, parts) in [
        (alone, ["c.properties: MirrorMaker 1 has two files", "the consumer's", "c"]),
        (
            swap(old("group.id=g", "acks=1")),
            ["p.properties: this is a producer's file, in the place of the consumer's", "first", "fix"],
        ),
        (old("group.id=g", "group.id=g"), ["p.properties: this is a consumer's file", "first", "fix"]),
        (no_topics, ["c.properties: which topics", "--whitelist", "fix"]),
        (both, ["mm2.properties: this is a MirrorMaker 2 file", "one", "fix"]),
        (flags, ["mm2.properties: a MirrorMaker 2 file, and --include is", "leave", "fix"]),
        (
            old_consumer,
            ["c.properties:1 zookeeper.connect: the old consumer", "bootstrap.servers=host:9092", "fix"],
        ),
        (raw("e", b""), ["e: there is no property in it", ".properties", "fix"]),
        (raw("e", b"# a\n\n"), ["e: there is no property in it", ".properties", "fix"]),
        (raw("b", b"\x7fELF\0\x01"), ["b: is no text file", ".properties", "fix"]),
        (raw("u", b"a=\\u12\n"), ["u:1: a \\u without four", "fix", "\\\\"]),
        (
            raw("k", b"connector.class=X\n"),
            ["k: this is a connector of a Connect cluster", "clusters = A, B", "fix"],
        ),
        (
            old("bootstrap.servers=u:hunter2@a:1", ""),
            ["c.properties:2 bootstrap.servers: it is no list of brokers", "host:port", "fix"],
        ),
        (new("clusters = A, C\n"), ["mm2.properties: no flow is enabled", "A->C, C->A", "--flow"]),
        (
            new("B.bootstrap.servers =\n"),
            ["mm2.properties:5 B.bootstrap.servers: it is no list", "host:port", "fix"],
        ),
        (
            new("A->B.replication.factor = 0"),
            ["mm2.properties:5 A->B.replication.factor: it is no number that can be meant", "1", "fix"],
        ),
        (
            new("topics = ${env:T}"),
            ["mm2.properties:5 topics: its value comes from a config provider", "itself", "fix"],
        ),
        (
            new("topics = __consumer_offsets"),
            ["mm2.properties:5 topics: no topics are included", "name", "fix"],
        ),
        (Request { link: Some("a b".to_owned()), ..new("") }, ["--link: \"a b\" can't be", "200", "fix"]),
    ] {
        let error = refused(&request);
        for part in parts {
            assert!(error.contains(part), "{part}: {error}");
        }
        assert!(!error.contains(MARK), "{error}");
    }
}

#[test]
fn the_text_is_read_as_java_reads_it() {
    let consumer = "\u{feff}! C:\\users \\\n# a \\u\r\nclient.id : a\\:b\\u0041 \\\r\n   c\r\nclient.rack r1\rfoo\\ x.y=1\nclient.rack=ü";
    let mut request = old("", "");
    request.files[0] = input(
        "c.properties",
        &format!("{consumer}\nbootstrap.servers=a:1,\\\n  SSL://b:2\nfetch.min.bytes=7\\"),
    );
    let flow = one(&request);
    has(
        &flow,
        &[
            "\"client.id\" = \"a:bA c\"",
            "\"client.rack\" = \"Ã¼\"",
            "\"bootstrap.servers\" = \"a:1,b:2\"",
            "\"fetch.min.bytes\" = 7\n",
            "# c.properties:5: does not count: its key stands again further below",
            "# c.properties:7 client.rack: has characters beyond ASCII",
            "# c.properties:6: not known, so not carried over (its name is not shown",
        ],
    );
}

#[test]
fn a_flow_has_its_names_and_leaves_out_what_came_back() {
    let flow = one(&new("replication.factor = 3\nrefresh.topics.interval.seconds = 60\ntasks.max = 4\n"));
    has(
        &flow,
        &[
            "link = \"A-B\"\n",
            "name = \"A\"\n",
            "include = [\".*\"]\n",
            r#"exclude = [".*[-.]internal", ".*\\.replica", "\\..*", "(?:.*\\.)?B\\..+"]"#,
            "\"^(.*)$\" = \"A.$1\"\n",
            "replication_factor = 3\n",
            "refresh = \"60s\"\n",
            "consumers = 4\n",
            "# sync.topic.acls.enabled: ACLs are carried over with",
        ],
    );
    let flow = one(&new(
        "topics = a, b.c\nA->B.topics.blacklist = x\nreplication.policy.separator = _\nsync.topic.acls.enabled = false\n",
    ));
    has(
        &flow,
        &["include = [\"a\", \"b.c\"]", r#"["x", ".*[-.]internal", "\\..*", "(?:.*_)?B_.+"]"#, "\"A_$1\""],
    );
    let identity = "replication.policy.class = org.apache.kafka.connect.mirror.IdentityReplicationPolicy\n";
    let flow =
        one(&new(&format!("{identity}B->A.enabled = true\nB->A.topics = x\ntopics = a\n")).clone_for("A->B"));
    has(&flow, &["B->A is enabled too"]);
    lacks(&flow, &["[topics.rename]"]);
    has(&one(&new(identity)), &["\"^(.*heartbeats)$\" = \"A.$1\"", "(?:.*\\\\.)?B\\\\..*heartbeats"]);
    let flow = one(&new("replication.policy.class = com.x.Mine\ntransforms = t\n"));
    has(
        &flow,
        &[
            "# TODO mm2.properties:5 replication.policy.class: a replication policy of its own is code",
            "# TODO mm2.properties:6 transforms: ",
        ],
    );
    assert!(!flow.usable());
}

impl Request {
    fn clone_for(&self, flow: &str) -> Self {
        Self { flow: Some(flow.to_owned()), ..self.clone() }
    }
}

#[test]
fn the_key_counts_that_mirror_maker_2_reads() {
    let flow = one(&new(
        "security.protocol = SSL\nssl.truststore.type = PEM\nssl.truststore.location = /top.pem\n\
         B.ssl.truststore.location = /b.pem\nB.producer.ssl.truststore.location = /p.pem\n\
         A.consumer.fetch.min.bytes = 2\nA->B.consumer.fetch.min.bytes = 3\nA.fetch.min.bytes = 4\n\
         A->B.consumer.fetch.max.wait.ms = 5\nA->B.source.consumer.client.id = s\nA->B.producer.override.client.id = o\n\
         B.producer.client.id = n\nA->B.producer.client.id = x\nconsumer.client.id = y\nC.bootstrap.servers = c\n\
         A->D.topics = d\nA.admin.client.id = z\nA.offset.storage.topic = t\nexactly.once.source.support = enabled\n",
    ));
    let (source, target) = flow.toml.split_once("[target]").unwrap();
    for part in
        ["/top.pem", "\"fetch.min.bytes\" = 2\n", "\"fetch.wait.max.ms\" = 5\n", "\"client.id\" = \"s\"\n"]
    {
        assert!(source.contains(part), "{part}: {source}");
    }
    for part in ["/p.pem", "\"client.id\" = \"o\"\n"] {
        assert!(target.contains(part), "{part}: {target}");
    }
    has(
        &flow,
        &[
            "mm2.properties:8 B.ssl.truststore.location: does not count here: line 9 does",
            "mm2.properties:11 A->B.consumer.fetch.min.bytes: does not count here: line 10 does",
            "mm2.properties:12 A.fetch.min.bytes: MirrorMaker 2 does not read it in this place either",
            "mm2.properties:17 A->B.producer.client.id: it is about clients that isomirror does not have",
            "mm2.properties:18 consumer.client.id: MirrorMaker 2 does not read it in this place",
            "mm2.properties:19 C.bootstrap.servers: not known",
            "mm2.properties:20 A->D.topics: it names a cluster that `clusters` does not have",
            "mm2.properties:23 exactly.once.source.support: each record arrives once",
        ],
    );
}

#[test]
fn several_flows_need_room_or_a_choice() {
    let more = "B->A.enabled = true\nB->A.topics = x\n";
    let error = refused(&new(more));
    assert!(
        error.contains("mm2.properties: there are several flows: A->B, B->A") && error.contains("--into"),
        "{error}"
    );
    let flows = import(&Request { several: true, ..new(more) }).map_err(|error| error.to_string()).unwrap();
    assert_eq!(flows.iter().map(|flow| flow.link.as_str()).collect::<Vec<_>>(), ["A-B", "B-A"]);
    has(&flows[1], &["include = [\"x\"]", "\"B.$1\"", "(?:.*\\\\.)?A\\\\..+"]);
    has(&one(&new(more).clone_for("B->A")), &["link = \"B-A\""]);
    has(&one(&new("").clone_for("B->A")), &["B->A is not enabled there"]);
    let alike = "clusters = A, B-C, A-B, C\nA.bootstrap.servers = a:1\nB-C.bootstrap.servers = b:1\nA-B.bootstrap.servers = c:1\n\
                 C.bootstrap.servers = d:1\nA->B-C.enabled = true\nA-B->C.enabled = true\n";
    let error = refused(&Request { files: vec![input("m", alike)], several: true, ..Request::default() });
    assert!(error.contains("two flows would be named \"A-B-C\""), "{error}");
    let none = new("A->B.enabled = false\n");
    assert!(refused(&none).contains("no flow is enabled"), "{}", refused(&none));
    assert!(refused(&none.clone_for("A->C")).contains("--flow takes one of A->B, B->A"));
}

#[test]
fn groups_that_are_kept_in_step_stay_so() {
    let flow = one(&new(
        "sync.group.offsets.enabled = true\ngroups = a.*, b\ngroups.exclude = c\nsync.group.offsets.interval.seconds = 5\n",
    ));
    has(&flow, &["\n[groups]\n", "include = [\"a.*\", \"b\"]\n", "exclude = [\"c\"]\n", "sync = \"5s\"\n"]);
    let flow = one(&new("sync.group.offsets.enabled = true\n"));
    has(
        &flow,
        &["include = [\".*\"]", "exclude = [\"console-consumer-.*\", \"connect-.*\", \"__.*\"]", "\"60s\""],
    );
    let flow = one(&new("groups = a.*\n"));
    has(&flow, &["groups of checkpoints"]);
    lacks(&flow, &["include = [\"a.*\"]"]);
}

#[test]
fn logins_become_user_and_password_and_others_say_what_to_do() {
    let sasl = "security.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-512\n";
    let jaas = "sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required \\\n username=\"u\" \\\n password=\"hunter2\";\n";
    let flow = one(&old(&[sasl, jaas].concat(), ""));
    has(
        &flow,
        &[
            "\"sasl.username\" = \"u\"",
            "# TODO c.properties:4 sasl.jaas.config: put the secret that stands there into the file source-password",
            "\"sasl.password\" = { file = \"source-password\" }",
        ],
    );
    let flow = one(&Request { into: true, ..old(&[sasl, jaas].concat(), "") });
    has(&flow, &["{ file = \"mirror-source-password\" }"]);
    assert!(
        flow.usable() && flow.secrets[0].expose() == MARK && flow.secrets[0].file == "mirror-source-password"
    );
    let variable = jaas.replace("hunter2", "${env:PASS}");
    let flow = one(&old(&[sasl, &variable].concat(), ""));
    has(&flow, &["\"sasl.password\" = { env = \"PASS\" }"]);
    assert!(flow.usable(), "{}", flow.toml);
    let provider = "config.providers=e\nconfig.providers.e.class=org.apache.kafka.common.config.provider.EnvVarConfigProvider\n";
    let flow = one(&old(&[sasl, provider, &variable.replace("${env", "${e")].concat(), ""));
    has(&flow, &["{ env = \"PASS\" }"]);
    for (lines, what) in [
        (
            jaas.replace("hunter2", "${file:/x:hunter2}"),
            "put it into the file source-password beside this one",
        ),
        (String::new(), "java.security.auth.login.config"),
        ("sasl.jaas.config=${file:/x:hunter2}\n".to_owned(), "comes from a config provider"),
        ("sasl.jaas.config=x required password=\"hunter2\n".to_owned(), "can't be read"),
        (jaas.replace("scram.Scram", "x.My"), "code of its own"),
        (jaas.replace("username", "tokenauth=\"true\" username"), "delegation tokens"),
        (jaas.replace("username", "user"), "lacks one of them"),
        (format!("{jaas}sasl.mechanism=GSSAPI\n"), "Kerberos can't be used"),
        (format!("{jaas}sasl.mechanism=OAUTHBEARER\n"), "tokens can't be fetched"),
        (format!("{jaas}sasl.mechanism=AWS_MSK_IAM\n"), "this mechanism is not known"),
    ] {
        let flow = one(&old(&[sasl, &lines].concat(), ""));
        has(&flow, &["# TODO ", what]);
        assert!(!flow.usable() && !flow.toml.contains(MARK), "{}", flow.toml);
    }
    let flow = one(&old(jaas, ""));
    has(&flow, &["sasl.jaas.config: not used: security.protocol asks for no login"]);
    assert!(flow.usable());
}

#[test]
fn keystores_become_files_that_others_can_read() {
    let flow = one(&old(
        "security.protocol=ssl\nssl.truststore.location=/etc/a b/trust.jks\nssl.truststore.password=hunter2\n\
         ssl.keystore.location=/etc/key.jks\nssl.keystore.password=hunter2\nssl.key.password=hunter2\n\
         ssl.endpoint.identification.algorithm=\nssl.enabled.protocols=TLSv1.2\n",
        "security.protocol=SSL\nssl.truststore.type=PEM\nssl.truststore.certificates=-----BEGIN CERTIFICATE----- QUJD REVG -----END CERTIFICATE-----\n\
         ssl.keystore.key=-----BEGIN PRIVATE KEY----- hunter2 -----END PRIVATE KEY-----\nssl.key.password=hunter2\n\
         ssl.keystore.certificate.chain=-----BEGIN CERTIFICATE-----\\nQUJD\\n-----END CERTIFICATE-----\n",
    ));
    has(
        &flow,
        &[
            "\n#   keytool -list -rfc -keystore '/etc/a b/trust.jks' > '/etc/a b/trust.pem'\n"
                .trim_start_matches("\n#   "),
            "\"ssl.ca.location\" = \"/etc/a b/trust.pem\"",
            "keytool -importkeystore -srckeystore /etc/key.jks -destkeystore /etc/key.p12 -deststoretype PKCS12",
            "\"ssl.keystore.location\" = \"/etc/key.p12\"",
            "\"ssl.keystore.password\" = { file = \"source-keystore-password\" }",
            "\"ssl.endpoint.identification.algorithm\" = \"none\"",
            "ssl.enabled.protocols: not carried over",
            "\"ssl.ca.pem\" = '''\n-----BEGIN CERTIFICATE-----\nQUJDREVG\n-----END CERTIFICATE-----\n'''",
            "\"ssl.certificate.pem\" = '''\n-----BEGIN CERTIFICATE-----\nQUJD\n",
            "\"ssl.key.pem\" = { file = \"target-key-pem\" }",
            "\"ssl.key.password\" = { file = \"target-key-password\" }",
        ],
    );
    let flow =
        one(&old("security.protocol=SSL\nssl.keystore.location=k.p12\nssl.keystore.password=${env:K}\n", ""));
    has(
        &flow,
        &["\"ssl.keystore.location\" = \"k.p12\"", "{ env = \"K\" }", "this path begins at the folder"],
    );
    assert!(flow.usable());
}

#[test]
fn javas_patterns_are_translated_exactly_or_refused() {
    let translate = |text: &str| patterns::translate(text);
    let fine = |text: &str, include: &[&str], exclude: &[&str]| {
        let found = translate(text).unwrap_or_else(|(message, _)| panic!("{message}"));
        assert_eq!((found.include, found.exclude), (owned(include), owned(exclude)), "{text}");
    };
    fn owned(list: &[&str]) -> Vec<String> {
        list.iter().map(|item| (*item).to_owned()).collect()
    }
    fine("a|b.*|(c|d)|[|]|a||e\\|f", &["a", "b.*", "(c|d)", "[|]", "e\\|f"], &[]);
    fine("^(?!test)(?!x$).*$", &[".*$"], &["(?:test).*", "(?:x$).*"]);
    fine("(?!a|b\\)).+", &[".+"], &["(?:a|b\\)).*"]);
    fine("(?i)a|b", &["(?i)a|b"], &[]);
    // What is quoted is itself, and a quote need not end.
    fine("\\Qa.b|c\\E.*|d", &["a\\.b\\|c.*", "d"], &[]);
    fine("x\\Q(+\\E", &["x\\(\\+"], &[]);
    fine("\\Q\\E\\Qa*", &["a\\*"], &[]);
    fine("^(?!\\Qt.\\E).*", &[".*"], &["(?:t\\.).*"]);
    fine("a\\\\Qb", &["a\\\\Qb"], &[]);
    for (text, why) in [
        ("a|(?!b).*", "look-around beside other patterns"),
        ("(?=a).*", "look-around"),
        ("a(?<!b)", "look-around"),
        ("(?!(?=a)).*", "(?!…) can't be expressed"),
        ("(a)\\1", "backreference"),
        ("[^.]*+x", "possessive"),
        ("a{2}+", "possessive"),
        ("(?>a).*", "atomic"),
        ("a[", "unclosed"),
    ] {
        let (message, fix) = translate(text).unwrap_err();
        assert!(
            message.contains(why)
                && message.contains(&format!("{:?}", text.split('|').next_back().unwrap()))
                && !fix.is_empty(),
            "{text}: {message}"
        );
    }
    assert!(translate("[+]+|a\\++|b+?").is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// `(?!A)B` matches what B matches and what does not begin with A.
    #[test]
    fn a_refused_beginning_excludes_what_java_refuses(a in "[a-c]{1,2}(\\||[a-c]|\\$)?", topic in "[a-c]{1,4}") {
        let refused = a.split('|').any(|part| match part.strip_suffix('$') {
            Some(name) => topic == name,
            None => topic.starts_with(part),
        });
        let found = patterns::translate(&format!("^(?!{a})[ab].*$")).unwrap();
        let excluded = patterns::matches(&found.exclude[0], &topic);
        prop_assert_eq!(excluded, refused);
        prop_assert_eq!(patterns::matches(&found.include[0], &topic), !topic.starts_with('c'));
    }

    #[test]
    fn no_secret_is_in_anything_that_is_shown(
        lines in prop::collection::vec((0..SECRETS.len(), any::<bool>(), "[ -~]{0,6}"), 1..6), mechanism in 0..3_usize, into: bool
    ) {
        let mechanism = ["PLAIN", "SCRAM-SHA-256", "GSSAPI"][mechanism];
        let line = |prefix: &str| -> String {
            let line = |(index, ssl, noise): &(usize, bool, String)| {
                let noise: String = noise.chars().filter(|c| !"\\#!=:".contains(*c)).collect();
                let protocol = if *ssl { "SASL_SSL" } else { "SASL_PLAINTEXT" };
                let line = SECRETS[*index].replace("{}", &format!("{noise}{MARK}{noise}"));
                format!("{prefix}security.protocol={protocol}\n{prefix}sasl.mechanism={mechanism}\n{prefix}{line}\n")
            };
            lines.iter().map(line).collect()
        };
        let text = line("");
        let mut request = old(&text, &text);
        request.flags.handler = Some("x".to_owned());
        request.flags.handler_args = Some(MARK.to_owned());
        for request in [request, new(&line("A.")), new(&line("B.producer.")), new(&line("A->B."))] {
            match import(&Request { into, ..request }) {
                Ok(flows) => for flow in flows {
                    prop_assert!(!flow.toml.contains(MARK), "{}", flow.toml);
                    prop_assert!(!flow.trial.contains(MARK), "{}", flow.trial);
                    prop_assert!(!format!("{:?}", flow.notes).contains(MARK), "{:?}", flow.notes);
                    prop_assert!(flow.secrets.iter().all(|secret| !secret.file.contains(MARK)));
                },
                Err(error) => prop_assert!(!error.to_string().contains(MARK), "{error}"),
            }
        }
    }

    #[test]
    fn no_file_whatever_is_in_it_breaks_the_reader(text in "[ -~\\n\\r\\t\\\\é]{0,200}") {
        let _ = properties::read("x", text.as_bytes());
    }
}

/// Lines that hold a secret, some of them broken.
const SECRETS: [&str; 18] = [
    "sasl.jaas.config=a.PlainLoginModule required username=\"u\" password=\"{}\";",
    "sasl.jaas.config=a.ScramLoginModule required username=\"u\" password='{}",
    "sasl.jaas.config=a.ScramLoginModule required\n  password=\"{}\";",
    "sasl.jaas.config=a.Krb5LoginModule required {}",
    "sasl.jaas.config={}",
    "ssl.truststore.password={}",
    "ssl.keystore.location=/k.jks\nssl.keystore.password={}",
    "ssl.key.password={}",
    "ssl.keystore.key=-----BEGIN PRIVATE KEY----- {} -----END PRIVATE KEY-----",
    "ssl.keystore.key=-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----",
    "sasl.oauthbearer.client.credentials.client.secret={}",
    "sasl.login.callback.handler.class={}",
    "basic.auth.user.info=u:{}",
    "schema.registry.password={}",
    "{}",
    "{} = x",
    "interceptor.classes={}",
    "bootstrap.servers=u:{}@a:1",
];
