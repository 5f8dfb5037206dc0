//! When the client-reconfig script is called, and with what. Pure.

use std::sync::Arc;

use sentinel_core::replicated::{Change, Group, State};
use sentinel_proto::{HostPort, MasterName, NodeId};

/// Where calls of client-reconfig scripts go. Never blocks.
pub type ReconfigSink = Arc<dyn Fn(ClientReconfig) + Send + Sync>;

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientReconfig {
    /// Group.
    pub master: MasterName,
    /// This node executed the failover: role `leader`, else `observer`.
    pub as_executor: bool,
    /// Old address.
    pub from: HostPort,
    /// New address.
    pub to: HostPort,
}

impl ClientReconfig {
    /// The path and Sentinel's seven arguments.
    #[must_use]
    pub fn argv(&self, path: String) -> Vec<String> {
        vec![
            path,
            self.master.to_string(),
            if self.as_executor { "leader" } else { "observer" }.to_owned(),
            "start".to_owned(),
            self.from.host.to_string(),
            self.from.port.to_string(),
            self.to.host.to_string(),
            self.to.port.to_string(),
        ]
    }
}

/// The calls of an applied entry: one for each failover that it ends with a new address. An address that an operator
/// edited in the file calls nothing, as in Sentinel.
///
/// `changes` is empty for a snapshot: then each address that a failover changed meanwhile is one.
#[must_use]
pub fn client_reconfigs(
    changes: &[Change],
    before: &State,
    after: &State,
    me: NodeId,
) -> Vec<ClientReconfig> {
    if changes.is_empty() {
        return jumped(before, after);
    }
    let calls = changes.iter().filter_map(|change| match change {
        Change::Switched {
            master,
            from,
            to,
            executor,
            ..
        } => Some(ClientReconfig {
            master: master.clone(),
            as_executor: *executor == me,
            from: from.clone(),
            to: to.clone(),
        }),
        _ => None,
    });
    calls.collect()
}

fn jumped(before: &State, after: &State) -> Vec<ClientReconfig> {
    let calls = after.groups.iter().filter_map(|(name, group)| {
        let known = before.groups.get(name)?;
        let moved = group.config_epoch > known.config_epoch && group.address != known.address;
        (moved && by_failover(group)).then(|| ClientReconfig {
            master: name.clone(),
            as_executor: false,
            from: known.address.clone(),
            to: group.address.clone(),
        })
    });
    calls.collect()
}

/// Whether the present address came from a failover: its epoch is that of a plan.
fn by_failover(group: &Group) -> bool {
    let closed = group.history.iter().map(|closed| &closed.plan);
    closed
        .chain(&group.plan)
        .any(|plan| plan.failover_epoch == group.config_epoch)
}
