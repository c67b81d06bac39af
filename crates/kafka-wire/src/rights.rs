//! What this client's principal may do with the cluster itself (DescribeCluster, KIP-700; brokers from 2.8).

use std::collections::BTreeSet;

use kafka_protocol::messages::DescribeClusterRequest;

use crate::{AclOperation, Client, Code, Error, To, client::repeat};

const VERSION: i16 = 0;
/// What a broker writes that was not asked.
const NOT_TOLD: i32 = i32::MIN;

impl Client {
    /// What may be done with the cluster; none where the broker does not tell. Tried again while no broker answers.
    pub async fn cluster_rights(&self) -> Result<Option<BTreeSet<AclOperation>>, Error> {
        repeat!(self, To::Any, self.cluster_rights_once())
    }

    async fn cluster_rights_once(&self) -> Result<Option<BTreeSet<AclOperation>>, Error> {
        let request = DescribeClusterRequest::default().with_include_cluster_authorized_operations(true);
        let connection = self.connection(To::Any).await?;
        if connection.version_of::<DescribeClusterRequest>(VERSION).is_err() {
            return Ok(None);
        }
        let answer = connection.send(&request, VERSION).await?;
        if let Some(code) = Code::try_from_code(answer.error_code) {
            let message = answer.error_message.as_deref().unwrap_or_default();
            return Err(Error::answered_with(connection.address(), "describe the cluster", code, message));
        }
        let bits = answer.cluster_authorized_operations;
        if bits == NOT_TOLD {
            return Ok(None);
        }
        Ok(Some(AclOperation::in_set(bits)))
    }
}
