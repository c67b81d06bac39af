//! ACLs: who may read on the source may do so on the target.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use group_offsets::Choice;
use kafka_wire::{AclRule, Client, Code, Purpose, Settings};
use prometheus::{IntCounter, Registry};
use target_diff::{AclScope, acl_diff};
use tracing::{info, warn};

use super::{InStep, PATIENCE, counter, first_of, mirrored, with_fix};
use crate::{Error, control::Control};

/// Keeps ACLs in step.
pub(crate) struct Acls {
    control: Arc<Control>,
    every: Duration,
    source: Client,
    target: Client,
    failures: IntCounter,
    /// Which side was said to have none.
    told: Mutex<Option<&'static str>>,
}

impl Acls {
    /// None where nobody asks for it.
    pub(crate) fn new(control: &Arc<Control>, registry: &Registry) -> Result<Option<Self>, Error> {
        let config = &control.config;
        let Some(every) = config.acls.every else { return Ok(None) };
        let settings = Settings::new(config.source.properties.iter());
        let source = Client::new(settings.map_err(|error| Error::Acls(error.to_string()))?);
        let purpose = Purpose::new("in-step");
        Ok(Some(Self {
            control: control.clone(),
            every,
            source: source.for_purpose(purpose).with_patience(PATIENCE),
            target: control.wire.for_purpose(purpose).with_patience(PATIENCE),
            failures: counter(
                registry,
                "isomirror_acl_sync_failures_total",
                "Times that ACLs could not be looked at, or not all be made.",
            )?,
            told: Mutex::default(),
        }))
    }

    /// The rules of both sides; none where a side has none to have.
    async fn rules(&self) -> Result<Option<[BTreeSet<AclRule>; 2]>, String> {
        let (source, target) = tokio::join!(self.source.list_acls(), self.target.list_acls());
        let mut rules = Vec::new();
        for (side, listed) in [("source", source), ("target", target)] {
            match listed {
                Ok(listed) => rules.push(listed),
                Err(error) if error.code() == Some(Code::SecurityDisabled) => {
                    self.tell_none(Some(side));
                    return Ok(None);
                }
                Err(error) => {
                    let right = format!("DESCRIBE on the cluster on the {side}");
                    return Err(format!("{side}: {}", with_fix(&error, error.is_not_authorized(), &right)));
                }
            }
        }
        self.tell_none(None);
        Ok(rules.try_into().ok())
    }

    /// Says once that there are no ACLs on a side.
    fn tell_none(&self, side: Option<&'static str>) {
        let before = std::mem::replace(&mut *self.told.lock().unwrap_or_else(PoisonError::into_inner), side);
        if let Some(side) = side.filter(|side| before != Some(*side)) {
            warn!("the {side} cluster has no authorizer: there are no ACLs to keep in step");
        }
    }

    /// The source's groups that are carried over.
    async fn groups(&self, choice: &Choice) -> Result<BTreeSet<String>, String> {
        if choice.is_empty() {
            return Ok(BTreeSet::new());
        }
        let listed = self.source.list_groups().await.map_err(|error| format!("source: {error}"))?;
        Ok(choice.names(listed.into_values()))
    }
}

impl InStep for Acls {
    const WHAT: &'static str = "ACLs";

    fn every(&self) -> Duration {
        self.every
    }

    fn failures(&self) -> &IntCounter {
        &self.failures
    }

    async fn round(&self) -> Result<(), String> {
        let Some([source, target]) = self.rules().await? else { return Ok(()) };
        let (control, config) = (&self.control, self.control.live());
        let topics = tokio::try_join!(control.source.topics(), control.target.topics());
        let (sources, targets) = topics.map_err(|error| error.to_string())?;
        let diff = acl_diff(
            &source,
            &target,
            AclScope {
                routes: &mirrored(control, &config.rules, &sources, &targets),
                rules: &config.rules,
                choice: &config.groups.choice,
                groups: &self.groups(&config.groups.choice).await?,
                target_topics: &targets.keys().map(ToString::to_string).collect(),
                principals: &config.acls.principals,
                own: config.target.principal().as_deref(),
                own_on_source: config.source.principal().as_deref(),
            },
        );
        let mut trouble = Vec::new();
        for (rule, made) in diff.create.iter().zip(self.target.create_acls(&diff.create).await) {
            match made {
                Ok(()) => info!("ACL made as on the source: {rule}"),
                Err(error) => {
                    trouble.push(with_fix(
                        &error,
                        error.is_not_authorized(),
                        "ALTER on the cluster on the target",
                    ));
                }
            }
        }
        first_of(&trouble)
    }
}
