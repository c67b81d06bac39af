//! Names that are unknown, what makes no sense, and clusters that were mistaken for each other; what people see.

use kafka_harness::{
    daemon::Config,
    shared::{pair, unique},
};
use serde_json::json;

use crate::{ended, records::write, refused, row, topics};

#[test]
fn what_is_unknown_is_refused_with_the_nearest_names_and_nothing_is_changed() {
    let (source, target) = pair();
    let p = unique("names");
    let (orders, payments) = (format!("{p}.orders"), format!("{p}.payments"));
    for topic in [&orders, &payments, &format!("{p}-other")] {
        source.create_topic(topic, 1, 1, &[]).unwrap();
        write(source, topic, 0, 0..3);
    }
    let config = Config::new(source, target, &format!("{p}\\..*"))
        .topics(&format!("rename = {{ \"{orders}\" = \"{orders}.copy\" }}"));
    config.run_until_caught_up().expect(0);
    let error = refused(&config, &["pause", &payments, &format!("{p}.ordres")], 3);
    assert!(error.contains("has no topic") && error.contains(&format!("did you mean {orders}?")), "{error}");
    let error = refused(&config, &["pause", "unheard-of"], 3);
    assert!(
        error.contains(&format!("name a topic of the source that the link mirrors: {orders}, {payments}")),
        "{error}"
    );
    let error = refused(&config, &["start", &format!("{p}-other")], 3);
    assert!(error.contains("does not mirror topic") && error.contains("topics.include"), "{error}");
    let listing = topics(&config, &["list"], 0);
    assert!(listing["topics"].as_array().unwrap().iter().all(|row| row["by"].is_null()), "{listing:#}");

    // All or nothing: what makes sense for one of them and not for the other.
    topics(&config, &["pause", &orders], 0);
    let report = topics(&config, &["resume", &orders, &payments], 0);
    assert_eq!(report["topics"][1]["was"], "running", "one that runs has nothing to be resumed: {report:#}");
    topics(&config, &["stop", &payments], 0);
    let error = refused(&config, &["pause", &orders, &payments], 3);
    assert!(
        error.contains("is stopped; nothing was changed") && error.contains("topics CONFIG start"),
        "{error}"
    );
    assert_eq!(row(&topics(&config, &["list"], 0), &orders)["state"], "running");
    let same = topics(&config, &["stop", &payments], 0);
    assert_eq!((&same["done"], &same["topics"][0]["was"]), (&json!("nothing"), &json!("stopped")));

    // What a person sees.
    let (table, _) = ended(config.command("topics", &["list"]), 0);
    let line =
        |name: &str| table.lines().find(|line| line.trim_start().starts_with(name)).unwrap_or_default();
    assert!(
        line(&orders).contains("running") && line(&orders).contains(&format!("→ {orders}.copy")),
        "{table}"
    );
    assert!(line(&payments).contains("stopped") && !line(&payments).contains('–'), "{table}");
    let (said, _) = ended(config.command("topics", &["start", &payments]), 0);
    assert!(said.contains("running (was stopped)") && said.contains("does not run"), "{said}");
    assert!(said.contains("source begins"), "{said}");

    let ended = config.run_until_caught_up().expect(0);
    assert!(!ended.log.contains("left out"), "{}", ended.log);
}

#[test]
fn clusters_that_were_swapped_are_noticed_before_anything_is_changed() {
    let (source, target) = pair();
    let topic = unique("swapped");
    source.create_topic(&topic, 1, 1, &[]).unwrap();
    write(source, &topic, 0, 0..3);
    let config = Config::new(source, target, &topic);
    config.run_until_caught_up().expect(0);
    let swapped =
        config.clone().source(target.client_properties("admin")).target(source.client_properties("admin"));
    for args in [&["list"][..], &["pause", &topic], &["redo", &topic, "--yes"]] {
        let error = refused(&swapped, args, 3);
        assert!(error.contains("may have been swapped"), "{args:?}: {error}");
    }
    let own = crate::ledgers::link_of(&config);
    let groups = |command| ["groups", command, "--group", ".*"];
    for command in [&["check"][..], &["plan"], &["apply"], &["verify"], &groups("plan"), &groups("sync")] {
        let output = swapped.command(command[0], &command[1..]);
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(3), "{command:?}: {said}");
        assert!(said.contains("may have been swapped"), "{command:?}: {said}");
    }
    let ended = swapped.run().wait().expect(3);
    assert!(ended.log.contains("may have been swapped"), "{}", ended.log);
    let journal = format!("isomirror.{own}.journal");
    assert!(kafka_harness::client::end_offsets(&source.props(), &journal).is_err(), "nothing was made there");
    // A cluster that is not there.
    let away = config.target(vec![("bootstrap.servers".to_owned(), "127.0.0.1:1".to_owned())]);
    refused(&away, &["pause", &topic], 4);
}
