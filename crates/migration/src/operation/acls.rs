//! Which ACLs an operation makes: those that deny writing on the source, and those that allow it on the target. And making
//! them: until every broker goes by them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use kafka_wire::{AclOperation, AclPattern, AclPermission, AclResource, AclRule, Cause, Code};
use mirror_types::Side;
use pipeline::LinkConfig;
use target_diff::{AclScope, acl_diff};

use super::{
    Intent, Plan,
    drive::Trouble,
    machine::{Course, Steps},
};
use crate::sides::{Clusters, groups_of_source, topics};

/// Between two looks whether all brokers know the rules.
const LOOK: Duration = Duration::from_millis(100);
/// Whoever it is.
const EVERYBODY: &str = "User:*";
/// On whose behalf nothing is ever done: a rule of it is there nowhere.
const NOBODY: &str = "User:isomirror-asks-whether-it-may";

/// The rules that deny these principals to write the topics. What denies wins over what allows; super users are bound by
/// neither. Whoever is in a transaction can still end it: that takes no right on the topic.
pub(crate) fn denials(plan: &Plan, writers: &[String]) -> BTreeSet<AclRule> {
    plan.sources().iter().flat_map(|topic| denials_of(topic, writers)).collect()
}

/// The same for one topic.
pub(crate) fn denials_of<'a>(topic: &'a str, writers: &'a [String]) -> impl Iterator<Item = AclRule> + 'a {
    writers.iter().map(move |principal| AclRule {
        resource: AclResource::Topic,
        name: topic.to_owned(),
        pattern: AclPattern::Literal,
        principal: principal.clone(),
        permission: AclPermission::Deny,
        operation: AclOperation::Write,
        host: "*".to_owned(),
    })
}

/// The topics of which there is no rule at all. A first one, whatever it says, may shut out their readers, too: where
/// `allow.everyone.if.no.acl.found` lets everybody in as long as there is none.
pub(crate) fn without_any(plan: &Plan, known: &BTreeSet<AclRule>) -> Vec<String> {
    let mut topics = plan.sources();
    topics.retain(|topic| !known.iter().any(|rule| is_about(rule, topic)));
    topics
}

/// Those of the writers of which no rule about the topics says anything: nobody writes under such a name.
pub(crate) fn unheard_of(plan: &Plan, writers: &[String], known: &BTreeSet<AclRule>) -> Vec<String> {
    let topics = plan.sources();
    let rules: Vec<&AclRule> =
        known.iter().filter(|rule| topics.iter().any(|topic| is_about(rule, topic))).collect();
    if rules.iter().any(|rule| rule.principal == EVERYBODY && rule.permission == AclPermission::Allow) {
        return Vec::new();
    }
    let is_heard_of =
        |writer: &String| writer == EVERYBODY || rules.iter().any(|rule| rule.principal == *writer);
    writers.iter().filter(|writer| !is_heard_of(writer)).cloned().collect()
}

fn is_about(rule: &AclRule, topic: &str) -> bool {
    rule.resource == AclResource::Topic
        && match rule.pattern {
            AclPattern::Literal => rule.name == topic || rule.name == "*",
            AclPattern::Prefixed => topic.starts_with(&rule.name),
        }
}

/// To make these rules, as far as they are not there.
pub(crate) fn intent(wanted: BTreeSet<AclRule>, known: &BTreeSet<AclRule>) -> Intent {
    let (there, create) = wanted.into_iter().partition(|rule| known.contains(rule));
    Intent::Acls { create, there, delete: Vec::new() }
}

/// A side's rules; none where it has no authorizer.
pub(crate) async fn rules(clusters: &Clusters, side: Side) -> Result<Option<BTreeSet<AclRule>>, Trouble> {
    match clusters.client(side).list_acls().await {
        Ok(rules) => Ok(Some(rules)),
        Err(error) if error.code() == Some(Code::SecurityDisabled) => Ok(None),
        Err(error) => Err(refused(clusters, side, "DESCRIBE", error)),
    }
}

/// Whether rules may be changed on a side: asks for one to be deleted that there can't be.
pub(crate) async fn may_change(clusters: &Clusters, side: Side) -> Result<(), Trouble> {
    let rule = AclRule {
        resource: AclResource::Topic,
        name: "isomirror.none".to_owned(),
        pattern: AclPattern::Literal,
        principal: NOBODY.to_owned(),
        permission: AclPermission::Deny,
        operation: AclOperation::Write,
        host: "*".to_owned(),
    };
    delete(clusters, side, &[rule]).await
}

async fn delete(clusters: &Clusters, side: Side, rules: &[AclRule]) -> Result<(), Trouble> {
    for deleted in clusters.client(side).delete_acls(rules).await {
        deleted.map_err(|error| refused(clusters, side, "ALTER", error))?;
    }
    Ok(())
}

/// Makes rules, and waits until each broker of the side goes by them and by those that were there.
pub(crate) async fn make(
    clusters: &Clusters,
    side: Side,
    create: &[AclRule],
    there: &[AclRule],
) -> Result<(), Trouble> {
    for made in clusters.client(side).create_acls(create).await {
        made.map_err(|error| refused(clusters, side, "ALTER", error))?;
    }
    known(clusters, side, |rules| create.iter().chain(there).all(|rule| rules.contains(rule))).await
}

/// Deletes exactly these rules, and waits until no broker goes by them any more.
pub(crate) async fn unmake(clusters: &Clusters, side: Side, rules: &[AclRule]) -> Result<(), Trouble> {
    delete(clusters, side, rules).await?;
    known(clusters, side, |known| !rules.iter().any(|rule| known.contains(rule))).await
}

async fn known(
    clusters: &Clusters,
    side: Side,
    so: impl Fn(&BTreeSet<AclRule>) -> bool,
) -> Result<(), Trouble> {
    let client = clusters.client(side);
    let brokers = client.brokers().await.map_err(|error| Trouble::of(clusters.error(side, error)))?;
    for broker in brokers.into_keys() {
        loop {
            match client.list_acls_at(broker).await {
                Ok(rules) if so(&rules) => break,
                Ok(_) => {}
                // One that has died lets nobody do anything; before it does so again, it knows the rules.
                Err(error) if matches!(error.cause, Cause::NoBroker(_)) => break,
                Err(error) => return Err(refused(clusters, side, "DESCRIBE", error)),
            }
            tokio::time::sleep(LOOK).await;
        }
    }
    Ok(())
}

fn refused(clusters: &Clusters, side: Side, right: &str, error: kafka_wire::Error) -> Trouble {
    if !error.is_not_authorized() {
        return Trouble::of(clusters.error(side, error));
    }
    let fix = format!("grant {right} on the cluster on the {side} to the principal of [{side}.kafka]");
    Trouble::refused(clusters.error(side, error).to_string(), &fix)
}

/// The rules that a plan leaves out until the cutover: who may write the topics on the source, and may not on the target
/// yet. Without those that block writers on the source.
pub(crate) async fn held<S: Steps>(
    link: &LinkConfig,
    clusters: &Clusters,
    course: &Course<S>,
) -> Result<Option<(BTreeSet<AclRule>, BTreeSet<AclRule>)>, Trouble> {
    let (Some(mut source), Some(target)) =
        (rules(clusters, Side::Source).await?, rules(clusters, Side::Target).await?)
    else {
        return Ok(None);
    };
    if let Some(Intent::Acls { create, there, .. }) = course.step(S::BLOCKS).map(|passed| &passed.intent) {
        source.retain(|rule| !create.contains(rule) && !there.contains(rule));
    }
    let routes: BTreeMap<String, String> =
        course.plan.topics.iter().map(|route| (route.topic.clone(), route.target_topic.clone())).collect();
    let choice = &link.groups.choice;
    let groups = groups_of_source(clusters, choice).await.map_err(Trouble::of)?;
    let target_topics = topics(clusters, Side::Target).await.map_err(Trouble::of)?.into_keys().collect();
    let diff = acl_diff(
        &source,
        &target,
        AclScope {
            routes: &routes,
            rules: &link.rules,
            choice,
            groups: &groups,
            target_topics: &target_topics,
            principals: &link.acls.principals,
            own: link.target.principal().as_deref(),
            own_on_source: link.source.principal().as_deref(),
        },
    );
    Ok(Some((diff.held.into_iter().map(|held| held.rule).collect(), target)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::Route;

    #[test]
    fn a_topic_that_no_rule_is_about_is_none_to_make_the_first_for() {
        let topics = ["a", "pay.eu", "b"];
        let plan = plan_of(&topics);
        let known = |name: &str, pattern| {
            let rule = denials(&plan, &["User:x".to_owned()]).pop_first().unwrap();
            BTreeSet::from([AclRule { name: name.to_owned(), pattern, ..rule }])
        };
        assert_eq!(without_any(&plan, &BTreeSet::new()), topics);
        assert_eq!(without_any(&plan, &known("a", AclPattern::Literal)), ["pay.eu", "b"]);
        assert_eq!(without_any(&plan, &known("pay.", AclPattern::Prefixed)), ["a", "b"]);
        assert_eq!(without_any(&plan, &known("pay.", AclPattern::Literal)), topics);
        assert!(without_any(&plan, &known("*", AclPattern::Literal)).is_empty());
    }

    #[test]
    fn a_writer_that_no_rule_about_the_topics_names_is_unheard_of() {
        let plan = plan_of(&["a", "pay.eu"]);
        let known = |topics: &[&str], principal: &str, permission| -> BTreeSet<AclRule> {
            let rules = denials(&plan_of(topics), &[principal.to_owned()]);
            rules.into_iter().map(|rule| AclRule { permission, ..rule }).collect()
        };
        let writers = ["User:app".to_owned(), "User:*".to_owned(), "User:apq".to_owned()];
        let unheard = |known| unheard_of(&plan, &writers, &known);
        assert_eq!(unheard(known(&["a"], "User:app", AclPermission::Allow)), ["User:apq"]);
        assert_eq!(unheard(known(&["pay.eu"], "User:apq", AclPermission::Deny)), ["User:app"]);
        assert_eq!(unheard(known(&["b"], "User:app", AclPermission::Allow)), ["User:app", "User:apq"]);
        assert!(unheard(known(&["a"], "User:*", AclPermission::Allow)).is_empty(), "everybody may");
        assert_eq!(unheard(known(&["a"], "User:*", AclPermission::Deny)), ["User:app", "User:apq"]);
    }

    fn plan_of(topics: &[&str]) -> Plan {
        let route = |topic: &&str| Route { topic: (*topic).to_owned(), target_topic: (*topic).to_owned() };
        Plan {
            topics: topics.iter().map(route).collect(),
            source_cluster: None,
            target_cluster: None,
            turn: None,
        }
    }

    #[test]
    fn each_writer_is_denied_each_topic_and_what_was_there_before_is_not_made() {
        let plan = plan_of(&["a", "b"]);
        let wanted = denials(&plan, &["User:app".to_owned(), "User:old".to_owned()]);
        let text: Vec<String> = wanted.iter().map(ToString::to_string).collect();
        let expected =
            ["User:app Write on Topic a", "User:old Write on Topic a", "User:app Write on Topic b"];
        assert_eq!(&text[..3], expected.map(|rule| format!("Deny {rule}")), "{text:?}");
        let known: BTreeSet<AclRule> = wanted.iter().take(1).cloned().collect();
        let Intent::Acls { create, there, .. } = intent(wanted, &known) else { panic!() };
        assert_eq!((create.len(), there), (3, Vec::from_iter(known)));
    }
}
