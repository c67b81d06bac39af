//! With the rights of docs/acls.md and no more: the daemon, and each command.

use kafka_harness::{
    Cluster, Security, client,
    daemon::{Config, eventually},
    shared::{pair, unique},
};

use crate::{
    ended, ledgers,
    records::{total, write},
    refused, topics, wait_for_state,
};

#[test]
fn least_rights_and_what_is_said_without_them() {
    let source = pair().0;
    let users = ["mirror", "operator"];
    let target = Cluster::builder().security(Security::plain(&users)).start().unwrap();
    let topic = unique("rights");
    source.create_topic(&topic, 1, 1, &[]).unwrap();
    write(source, &topic, 0, 0..20);
    let admin = Config::new(source, &target, &topic).target(target.client_properties("admin"));
    let of = |user: &str| admin.clone().target(target.client_properties(user));
    let own = format!("isomirror.{}", ledgers::link_of(&admin));
    let journal = format!("{own}.journal");
    let allow = |user: &str, operations: &[&str], on: [&str; 2]| {
        let operations = operations.iter().flat_map(|operation| ["--operation", operation]);
        target.acl_add(user, &operations.chain(on).collect::<Vec<_>>()).unwrap();
    };

    // What the daemon needs in any case; of the journal it knows nothing.
    allow("mirror", &["Create", "Read", "Write", "DescribeConfigs"], ["--topic", &own]);
    allow("mirror", &["Read"], ["--group", &own]);
    allow("mirror", &["Create", "Read", "Write", "DescribeConfigs"], ["--topic", &topic]);
    let daemon = of("mirror").run();
    daemon.wait_for_records(20);
    let (said, _) = ended(admin.command("topics", &["pause", &topic, "--wait", "3s"]), 1);
    assert!(
        said.contains("has NOT done it yet") && said.contains(&format!("READ topic {journal}")),
        "{said}"
    );
    write(source, &topic, 0, 20..25);
    eventually("it goes on, as it was told nothing", || (total(&target, &topic) == 25).then_some(()));
    allow("mirror", &["Read"], ["--topic", &journal]);
    wait_for_state(&daemon, &topic, "paused");

    // The commands.
    let operator = of("operator");
    let error = refused(&operator, &["list"], 1);
    assert!(error.contains(&format!("not allowed to READ control topic {own}")), "{error}");
    allow("operator", &["Read"], ["--topic", &own]);
    let error = refused(&operator, &["list"], 1);
    assert!(error.contains(&format!("not allowed to READ control topic {journal}")), "{error}");
    allow("operator", &["Read"], ["--topic", &journal]);
    assert_eq!(topics(&operator, &["list"], 0)["topics"][0]["state"], "paused");
    let error = refused(&operator, &["resume", &topic], 1);
    assert!(error.contains("DescribeConfigs") && error.contains(&journal), "{error}");
    allow("operator", &["DescribeConfigs"], ["--topic", &journal]);
    let error = refused(&operator, &["resume", &topic], 1);
    assert!(error.contains("not allowed to WRITE") && error.contains(&journal), "{error}");
    assert_eq!(topics(&operator, &["list"], 0)["topics"][0]["state"], "paused", "nothing was decided");
    allow("operator", &["Write"], ["--topic", &journal]);
    allow("operator", &["Describe"], ["--group", &own]);
    write(source, &topic, 0, 25..30);
    assert_eq!(topics(&operator, &["resume", &topic], 0)["done"], "yes");
    eventually("it goes on", || (total(&target, &topic) == 30).then_some(()));
    assert_eq!(topics(&operator, &["pause", &topic], 0)["done"], "yes");
    allow("operator", &["Write"], ["--topic", &own]);
    allow("operator", &["Describe", "Delete", "Create"], ["--topic", &topic]);
    assert_eq!(topics(&operator, &["redo", &topic, "--yes"], 0)["done"], "yes");
    eventually("it is filled again", || (total(&target, &topic) == 30).then_some(()));
    daemon.stop().expect(0);

    // Topics that wait have a journal made, if that may be.
    let fresh = unique("fresh");
    source.create_topic(&fresh, 1, 1, &[]).unwrap();
    let asked = Config::new(source, &target, &fresh).target(target.client_properties("mirror"));
    let asked = asked.topics("begin = \"asked\"");
    let own = format!("isomirror.{}", ledgers::link_of(&asked));
    let journal = format!("{own}.journal");
    allow("mirror", &["Create", "Read", "Write", "DescribeConfigs"], ["--topic", &own]);
    allow("mirror", &["Read"], ["--group", &own]);
    let daemon = asked.run();
    daemon.wait_for_log(&format!("not allowed to READ control topic {journal}"));
    assert!(daemon.get("/readyz").1.contains(&journal), "{}", daemon.get("/readyz").1);
    allow("mirror", &["Create", "Read", "DescribeConfigs"], ["--topic", &journal]);
    daemon.wait_ready();
    assert!(client::end_offsets(&target.props(), &journal).is_ok());
    daemon.stop().expect(0);
}
