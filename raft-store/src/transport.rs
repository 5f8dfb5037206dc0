//! What this crate needs from the node: a way to ask a peer.

use std::time::Duration;

use futures::future::BoxFuture;
use sentinel_proto::types::NodeId;

/// Why a peer did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// No connection: the request certainly did not reach the peer.
    #[error("not connected")]
    Unreachable,
    /// No answer before the deadline: the peer may have acted on the request.
    #[error("no answer in time")]
    Timeout,
    /// The connection ended while waiting: the peer may have acted on the request.
    #[error("connection closed: {0}")]
    Closed(String),
}

/// Asks a peer and waits for its answer. The bytes are opaque to the transport; the other side passes
/// them to `RaftHandle::serve` and sends back what that returns.
///
/// * Calls to one peer may overlap and may be answered in any order.
/// * A call must end by `deadline` (time from now); `raft-store` enforces that on its side as well.
/// * A peer without a connection must fail at once with [`TransportError::Unreachable`], not wait for one.
pub trait Transport: Send + Sync + 'static {
    /// Sends `request` to `target` and resolves to the answer.
    fn call(
        &self,
        target: NodeId,
        request: Vec<u8>,
        deadline: Duration,
    ) -> BoxFuture<'static, Result<Vec<u8>, TransportError>>;

    /// Whether there is a connection to `target`, as far as is known: `false` = a call would fail at once.
    fn is_connected(&self, target: NodeId) -> bool {
        let _ = target;
        true
    }
}
