//! A cluster's ACLs: listed, created, deleted, one rule at a time as its users write them. Never decides which there
//! should be.

use std::{collections::BTreeSet, fmt};

use kafka_protocol::messages::{
    CreateAclsRequest, DeleteAclsRequest, DescribeAclsRequest, create_acls_request::AclCreation,
    delete_acls_request::DeleteAclsFilter,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{Client, Code, Error, To, client::repeat, names};

/// v3 knows resources that are users (KIP-373).
const VERSION: i16 = 3;
/// Rules of one request: a controller takes 10,000 at the most.
const AT_ONCE: usize = 500;
/// Whatever it is, in a filter.
const ANY: i8 = 1;

/// One rule: who may, or may not, do what to which resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AclRule {
    /// What kind of thing it is about.
    pub resource: AclResource,
    /// Its name, or how its name begins; `*` for all.
    pub name: String,
    /// Which of the two.
    pub pattern: AclPattern,
    /// Who, as `User:billing`; `User:*` for all.
    pub principal: String,
    /// Whether they may.
    pub permission: AclPermission,
    /// What.
    pub operation: AclOperation,
    /// From where; `*` for anywhere.
    pub host: String,
}

macro_rules! numbered {
    ($(#[$doc:meta])* $type:ident { $($variant:ident = $number:literal),+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(missing_docs, reason = "the names are Kafka's")]
        pub enum $type {
            $($variant),+
        }

        impl $type {
            fn number(self) -> i8 {
                match self {
                    $(Self::$variant => $number),+
                }
            }

            /// None for what a newer broker knows, and this client does not.
            fn of(number: i8) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)+
                    _ => None,
                }
            }

            /// Its name, as Kafka's tools take it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($variant)),+
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                match &*String::deserialize(deserializer)? {
                    $(stringify!($variant) => Ok(Self::$variant),)+
                    other => Err(D::Error::unknown_variant(other, &[$(stringify!($variant)),+])),
                }
            }
        }
    };
}

numbered! {
    /// What kind of thing a rule is about.
    AclResource { Topic = 2, Group = 3, Cluster = 4, TransactionalId = 5, DelegationToken = 6, User = 7 }
}

numbered! {
    /// Whether a rule's name is a whole one.
    AclPattern { Literal = 3, Prefixed = 4 }
}

numbered! {
    /// Whether a rule allows or denies. What denies wins.
    AclPermission { Deny = 2, Allow = 3 }
}

numbered! {
    /// What a rule allows or denies.
    AclOperation {
        All = 2, Read = 3, Write = 4, Create = 5, Delete = 6, Alter = 7, Describe = 8, ClusterAction = 9,
        DescribeConfigs = 10, AlterConfigs = 11, IdempotentWrite = 12, CreateTokens = 13, DescribeTokens = 14,
        TwoPhaseCommit = 15
    }
}

impl AclOperation {
    /// Those in a set as brokers write them: bits of their numbers.
    pub(crate) fn in_set(bits: i32) -> BTreeSet<Self> {
        (0..31).filter(|number| bits & (1 << number) != 0).filter_map(Self::of).collect()
    }
}

impl fmt::Display for AclRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resource, name, pattern, principal, permission, operation, host } = self;
        write!(f, "{permission} {principal} {operation} on {resource} {name}")?;
        if *pattern == AclPattern::Prefixed {
            f.write_str("… (prefixed)")?;
        }
        if host != "*" {
            write!(f, " from {host}")?;
        }
        Ok(())
    }
}

impl Client {
    /// All rules of the cluster that this client knows the words of. Needs DESCRIBE on the cluster. A cluster without an
    /// authorizer answers [`Code::SecurityDisabled`]. Tried again while no broker answers.
    pub async fn list_acls(&self) -> Result<BTreeSet<AclRule>, Error> {
        repeat!(self, To::Any, self.list_acls_once(To::Any))
    }

    /// The same as one broker knows them by now: what it allows and denies itself.
    pub async fn list_acls_at(&self, broker: i32) -> Result<BTreeSet<AclRule>, Error> {
        let to = To::Broker(broker);
        repeat!(self, to, self.list_acls_once(to))
    }

    async fn list_acls_once(&self, to: To<'_>) -> Result<BTreeSet<AclRule>, Error> {
        let request = DescribeAclsRequest::default()
            .with_resource_type_filter(ANY)
            .with_resource_name_filter(None)
            .with_pattern_type_filter(ANY)
            .with_principal_filter(None)
            .with_host_filter(None)
            .with_operation(ANY)
            .with_permission_type(ANY);
        let connection = self.connection(to).await?;
        let answer = connection.send(&request, VERSION).await?;
        if let Some(code) = Code::try_from_code(answer.error_code) {
            let message = answer.error_message.as_deref().unwrap_or_default();
            return Err(Error::answered_with(connection.address(), "list the ACLs", code, message));
        }
        let mut rules = BTreeSet::new();
        for found in answer.resources {
            let of = AclResource::of(found.resource_type).zip(AclPattern::of(found.pattern_type));
            let Some((resource, pattern)) = of else { continue };
            for acl in found.acls {
                let what = AclPermission::of(acl.permission_type).zip(AclOperation::of(acl.operation));
                let Some((permission, operation)) = what else { continue };
                rules.insert(AclRule {
                    resource,
                    name: found.resource_name.to_string(),
                    pattern,
                    principal: acl.principal.to_string(),
                    permission,
                    operation,
                    host: acl.host.to_string(),
                });
            }
        }
        Ok(rules)
    }

    /// Makes rules; one that is there already stays. What became of each, in their order. Needs ALTER on the cluster.
    /// Tried again while no broker answers. Other brokers hear of it a moment later.
    pub async fn create_acls(&self, rules: &[AclRule]) -> Vec<Result<(), Error>> {
        let mut done = Vec::with_capacity(rules.len());
        for part in rules.chunks(AT_ONCE) {
            let made = repeat!(self, To::Any, self.create_acls_once(part));
            done.extend(made.unwrap_or_else(|error| vec![Err(error); part.len()]));
        }
        done
    }

    async fn create_acls_once(&self, rules: &[AclRule]) -> Result<Vec<Result<(), Error>>, Error> {
        let creation = |rule: &AclRule| {
            AclCreation::default()
                .with_resource_type(rule.resource.number())
                .with_resource_name(names::text(&rule.name))
                .with_resource_pattern_type(rule.pattern.number())
                .with_principal(names::text(&rule.principal))
                .with_host(names::text(&rule.host))
                .with_operation(rule.operation.number())
                .with_permission_type(rule.permission.number())
        };
        let request = CreateAclsRequest::default().with_creations(rules.iter().map(creation).collect());
        let connection = self.connection(To::Any).await?;
        let answer = connection.send(&request, VERSION).await?;
        let outcomes = answer.results.iter().map(|found| (found.error_code, &found.error_message));
        let outcomes = outcomes.map(|(code, message)| (code, message.as_deref().unwrap_or_default()));
        each(connection.address(), "create", rules, outcomes.map(|(code, message)| (code, message, ())))
    }

    /// Deletes exactly these rules. Of each, in their order, whether it was there. Needs ALTER on the cluster. Tried
    /// again while no broker answers.
    pub async fn delete_acls(&self, rules: &[AclRule]) -> Vec<Result<bool, Error>> {
        let mut done = Vec::with_capacity(rules.len());
        for part in rules.chunks(AT_ONCE) {
            let gone = repeat!(self, To::Any, self.delete_acls_once(part));
            done.extend(gone.unwrap_or_else(|error| vec![Err(error); part.len()]));
        }
        done
    }

    async fn delete_acls_once(&self, rules: &[AclRule]) -> Result<Vec<Result<bool, Error>>, Error> {
        let filter = |rule: &AclRule| {
            DeleteAclsFilter::default()
                .with_resource_type_filter(rule.resource.number())
                .with_resource_name_filter(Some(names::text(&rule.name)))
                .with_pattern_type_filter(rule.pattern.number())
                .with_principal_filter(Some(names::text(&rule.principal)))
                .with_host_filter(Some(names::text(&rule.host)))
                .with_operation(rule.operation.number())
                .with_permission_type(rule.permission.number())
        };
        let request = DeleteAclsRequest::default().with_filters(rules.iter().map(filter).collect());
        let connection = self.connection(To::Any).await?;
        let answer = connection.send(&request, VERSION).await?;
        let outcomes = answer.filter_results.iter().map(|found| {
            let failed = found.matching_acls.iter().find(|acl| acl.error_code != 0);
            let (code, message) = match failed {
                Some(acl) => (acl.error_code, &acl.error_message),
                None => (found.error_code, &found.error_message),
            };
            (code, message.as_deref().unwrap_or_default(), !found.matching_acls.is_empty())
        });
        each(connection.address(), "delete", rules, outcomes)
    }
}

/// What became of each rule; an error where the answer is not about these rules.
fn each<'a, T>(
    broker: &std::sync::Arc<str>,
    doing: &str,
    rules: &[AclRule],
    outcomes: impl ExactSizeIterator<Item = (i16, &'a str, T)>,
) -> Result<Vec<Result<T, Error>>, Error> {
    if outcomes.len() != rules.len() {
        return Err(Error::senseless(broker, format!("{doing} ACLs"), "some are missing in the answer"));
    }
    let outcome = |(rule, (code, message, value)): (&AclRule, (i16, &str, T))| match Code::try_from_code(code)
    {
        None => Ok(value),
        Some(code) => Err(Error::answered_with(broker, format!("{doing} ACL {rule}"), code, message)),
    };
    Ok(rules.iter().zip(outcomes).map(outcome).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_reads_as_a_sentence() {
        let rule = AclRule {
            resource: AclResource::Topic,
            name: "payments.".to_owned(),
            pattern: AclPattern::Prefixed,
            principal: "User:app".to_owned(),
            permission: AclPermission::Deny,
            operation: AclOperation::DescribeConfigs,
            host: "10.0.0.1".to_owned(),
        };
        assert_eq!(
            rule.to_string(),
            "Deny User:app DescribeConfigs on Topic payments.… (prefixed) from 10.0.0.1"
        );
    }

    #[test]
    fn numbers_are_those_of_the_protocol_both_ways() {
        for number in 2..=15 {
            assert_eq!(AclOperation::of(number).unwrap().number(), number);
        }
        assert_eq!((AclOperation::of(16), AclOperation::of(ANY)), (None, None));
        assert_eq!(AclResource::of(3), Some(AclResource::Group));
        assert_eq!(AclPermission::Allow.number(), 3);
        assert_eq!(AclPattern::Prefixed.number(), 4);
    }
}
