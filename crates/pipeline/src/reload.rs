//! Another configuration while the link runs: of what may change, all or nothing.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use crate::{LinkConfig, control::Control};

/// Why a configuration can't be taken over while the link runs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {reason}")]
pub struct Unfit {
    /// The key at fault.
    pub key: &'static str,
    /// Why.
    pub reason: String,
}

/// Gives a running link another configuration.
#[derive(Clone)]
pub struct ReloadHandle(pub(crate) Arc<Control>);

impl ReloadHandle {
    /// Takes it over: which topics, with which settings, and how often they are looked at; which groups; how fast; how long
    /// a stop waits. Whatever else differs is passed over.
    pub fn apply(&self, config: LinkConfig) -> Result<(), Unfit> {
        let control = &self.0;
        control.fits(&config)?;
        control.throttle.set(config.throttle);
        control.rules.send_replace(config.rules.clone());
        control.set_live(config);
        control.reloads.fetch_add(1, Relaxed);
        control.look.notify_one();
        Ok(())
    }
}

impl Control {
    /// Lanes that run can't be led elsewhere, nor be promised something else.
    fn fits(&self, new: &LinkConfig) -> Result<(), Unfit> {
        let unfit = |key, reason| Err(Unfit { key, reason });
        for (topic, target) in self.targets.lock().expect("nothing panics under this lock").iter() {
            match new.rules.resolve(topic) {
                Ok(Some(other)) if *other != **target => {
                    let reason = format!("{topic} is mirrored to {target}, and would be to {other}");
                    return unfit("topics.rename", reason);
                }
                Err(illegal) => return unfit("topics.rename", illegal.to_string()),
                _ => {}
            }
        }
        let live = self.live();
        let on_records = |config: &LinkConfig| (config.origins.headers.clone(), config.origins.passes);
        if on_records(&live) != on_records(new) {
            return unfit(
                "topics.origin_header",
                "what is written on records that are mirrored would change".to_owned(),
            );
        }
        for at in self.book().lanes.keys().filter(|at| new.rules.includes(&at.topic)) {
            let (before, after) = ((live.settings)(&at.topic), (new.settings)(&at.topic));
            if before.offsets != after.offsets {
                return unfit("topics.offsets", format!("{} is mirrored, with other offsets", at.topic));
            }
            if before.shared != after.shared {
                return unfit("topics.writers", format!("{} is mirrored, with other writers", at.topic));
            }
        }
        Ok(())
    }
}
