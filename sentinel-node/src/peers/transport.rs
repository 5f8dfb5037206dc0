//! `raft_store::Transport` over the routes of the roster.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use raft_store::transport::{Transport, TransportError};
use sentinel_proto::NodeId;
use sentinel_proto::peer::PeerBody;

use super::service::Shared;

/// Sends requests to peers by node id; cheap to clone.
#[derive(Debug, Clone)]
pub struct PeerTransport {
    shared: Arc<Shared>,
}

impl PeerTransport {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Sends any request over the best connection to `target`.
    pub(super) async fn request(
        &self,
        target: NodeId,
        body: PeerBody,
        deadline: Duration,
    ) -> Result<PeerBody, TransportError> {
        let link = {
            let routes = self.shared.routes.load();
            routes
                .get(&target)
                .and_then(|links| links.iter().find(|l| l.is_open()).cloned())
        };
        match link {
            Some(link) => link.request(body, deadline).await,
            None => Err(TransportError::Unreachable),
        }
    }
}

impl Transport for PeerTransport {
    fn call(
        &self,
        target: NodeId,
        request: Vec<u8>,
        deadline: Duration,
    ) -> BoxFuture<'static, Result<Vec<u8>, TransportError>> {
        let this = self.clone();
        Box::pin(async move {
            match this.request(target, PeerBody::Raft(request), deadline).await? {
                PeerBody::RaftReply(reply) => Ok(reply),
                // Nothing was done over there.
                PeerBody::Refused(_) => Err(TransportError::Unreachable),
                _ => Err(TransportError::Closed("unexpected reply".to_owned())),
            }
        })
    }

    fn is_connected(&self, target: NodeId) -> bool {
        let routes = self.shared.routes.load();
        let links = routes.get(&target);
        links.is_some_and(|links| links.iter().any(|link| link.is_open()))
    }
}
