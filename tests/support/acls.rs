//! ACLs of a cluster, as its administrator makes and sees them; by a client that is quicker than Kafka's tool.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use kafka_harness::Cluster;
use kafka_wire::{AclOperation, AclPattern, AclPermission, AclResource, AclRule, Client, Settings};

/// A client of the cluster's super user.
pub fn admin(cluster: &Cluster) -> Client {
    let props = cluster.props();
    let settings = Settings::new(props.iter().map(|(k, v)| (&**k, &**v))).unwrap();
    Client::new(settings).with_patience(Duration::from_secs(30))
}

pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(work)
}

/// A rule, as `Allow User:app Read Topic orders`; with `…` behind the name for a prefix.
pub fn rule(text: &str) -> AclRule {
    const OPERATIONS: [AclOperation; 10] = [
        AclOperation::All,
        AclOperation::Read,
        AclOperation::Write,
        AclOperation::Create,
        AclOperation::Delete,
        AclOperation::Alter,
        AclOperation::Describe,
        AclOperation::ClusterAction,
        AclOperation::DescribeConfigs,
        AclOperation::AlterConfigs,
    ];
    let words: Vec<&str> = text.split(' ').collect();
    let [permission, principal, operation, resource, name] = words[..] else { panic!("{text}") };
    AclRule {
        resource: match resource {
            "Topic" => AclResource::Topic,
            "Group" => AclResource::Group,
            "Cluster" => AclResource::Cluster,
            "TransactionalId" => AclResource::TransactionalId,
            _ => panic!("{text}"),
        },
        name: name.trim_end_matches('…').to_owned(),
        pattern: if name.ends_with('…') { AclPattern::Prefixed } else { AclPattern::Literal },
        principal: principal.to_owned(),
        permission: if permission == "Deny" { AclPermission::Deny } else { AclPermission::Allow },
        operation: OPERATIONS.into_iter().find(|known| known.as_str() == operation).expect(text),
        host: "*".to_owned(),
    }
}

/// The same as text.
pub fn text(rule: &AclRule) -> String {
    let AclRule { resource, name, pattern, principal, permission, operation, .. } = rule;
    let more = if *pattern == AclPattern::Prefixed { "…" } else { "" };
    format!("{permission} {principal} {operation} {resource} {name}{more}")
}

/// Makes rules, and waits until the cluster knows them.
#[track_caller]
pub fn allow(cluster: &Cluster, rules: &[impl AsRef<str>]) {
    let rules: Vec<AclRule> = rules.iter().map(|text| rule(text.as_ref())).collect();
    block_on(async {
        let client = admin(cluster);
        client.create_acls(&rules).await.into_iter().for_each(|made| made.unwrap());
        let began = Instant::now();
        while !client.list_acls().await.unwrap().is_superset(&rules.iter().cloned().collect()) {
            assert!(began.elapsed() < Duration::from_secs(20), "the broker does not learn of {rules:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
}

/// The rules about names that have this in them.
pub fn rules_about(cluster: &Cluster, part: &str) -> BTreeSet<String> {
    let all = block_on(async { admin(cluster).list_acls().await }).unwrap();
    all.iter().filter(|rule| rule.name.contains(part)).map(text).collect()
}
