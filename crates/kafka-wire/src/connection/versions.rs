//! Which versions of which requests a broker knows (ApiVersions, KIP-35).

use std::collections::BTreeMap;

use kafka_protocol::{
    messages::ApiVersionsResponse,
    protocol::{Message, Request, VersionRange},
};

use crate::{Cause, connection::name};

/// The versions that one broker knows.
#[derive(Debug, Clone, Default)]
pub struct Versions(BTreeMap<i16, VersionRange>);

impl Versions {
    pub(crate) fn new(answer: &ApiVersionsResponse) -> Self {
        let range = |min, max| VersionRange { min, max };
        let known = answer.api_keys.iter().map(|api| (api.api_key, range(api.min_version, api.max_version)));
        Self(known.collect())
    }

    /// The range of versions of a request that the broker knows, by the request's key.
    pub fn of(&self, key: i16) -> Option<(i16, i16)> {
        self.0.get(&key).map(|range| (range.min, range.max))
    }

    /// The newest version that both sides know and that is not above `max`.
    pub(crate) fn pick<R: Request>(&self, max: i16) -> Result<i16, Cause> {
        // The library's requests and responses do not always end at the same version.
        let own = R::VERSIONS.intersect(&<R::Response as Message>::VERSIONS);
        let own = own.intersect(&VersionRange { min: 0, max });
        let Some(broker) = self.0.get(&R::KEY) else {
            return Err(Cause::Unsupported("the broker does not know this request".into()));
        };
        let both = own.intersect(broker);
        if both.is_empty() {
            let text = format!(
                "the broker knows versions {} to {} of {}, this client {} to {}",
                broker.min,
                broker.max,
                name(R::KEY),
                own.min,
                own.max
            );
            return Err(Cause::Unsupported(text.into()));
        }
        Ok(both.max)
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::{FetchRequest, InitProducerIdRequest, ProduceRequest};

    use super::*;

    #[test]
    fn the_newest_version_that_all_know() {
        let range = |min, max| VersionRange { min, max };
        let versions = Versions([(0, range(3, 11)), (1, range(13, 17)), (22, range(0, 6))].into());
        assert_eq!(versions.pick::<ProduceRequest>(9), Ok(9));
        assert_eq!(versions.pick::<ProduceRequest>(99), Ok(11));
        assert!(matches!(versions.pick::<ProduceRequest>(2), Err(Cause::Unsupported(_))));
        assert!(matches!(versions.pick::<FetchRequest>(12), Err(Cause::Unsupported(_))));
        // The library knows six versions of the answer, and five of the request.
        assert_eq!(versions.pick::<InitProducerIdRequest>(99), Ok(5));
        assert!(matches!(Versions::default().pick::<FetchRequest>(12), Err(Cause::Unsupported(_))));
    }
}
