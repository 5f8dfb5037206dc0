//! Proposals and authority, from any node.
//!
//! ```text
//! propose: raft_leader known? ── here ──> client_write ──┬─> applied: Yes / No
//!            │        └──── elsewhere ─> Request::Propose ┤
//!            │                                            ├─> certainly not accepted: again, until the deadline
//!            └─ no: wait for one until the deadline       └─> anything else: Unknown
//! ```
//!
//! A raft_leader that knows that no majority hears it appends nothing. A proposal is repeated only when nobody can have accepted it: a repetition after an unknown outcome could
//! apply a command twice.

use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft::ReadPolicy;
use openraft::errors::{ClientWriteError, RaftError};
use sentinel_core::replicated::{Command, Outcome};
use sentinel_proto::types::NodeId;

use crate::clock::{Instant, left, now};
use crate::handle::{Authority, Inner, Proposal};
use crate::network::CallError;
use crate::rpc::{Proposed, Reply, Request};
use crate::transport::TransportError;
use crate::types::Logged;

/// Pause before a proposal that nobody accepted is repeated.
const PAUSE: Duration = Duration::from_millis(10);

impl Inner {
    pub(crate) async fn propose(&self, command: Command, deadline: Duration) -> Proposal {
        let until = now() + deadline;
        let mut hint = None;
        loop {
            if let Some(failed) = self.observer.status().failed {
                return Proposal::NoMajority(format!("this node has stopped: {failed}"));
            }
            let Some(leader) = self.find_leader(hint.take(), until).await else {
                return Proposal::NoMajority(self.what_is_missing());
            };
            let proposed = if leader == self.me.0 {
                self.propose_here(command.clone(), left(until)).await
            } else {
                self.propose_there(leader, command.clone(), left(until)).await
            };
            match proposed {
                Proposed::Applied { index, outcome } => {
                    self.wait_applied(index, until).await;
                    return match outcome {
                        Outcome::Done => Proposal::Yes { index },
                        Outcome::Rejected(why) => Proposal::No(why),
                    };
                }
                Proposed::Unknown(why) => return Proposal::Unknown(why),
                Proposed::NotAccepted { raft_leader } => {
                    if left(until) < PAUSE {
                        return Proposal::NoMajority(self.what_is_missing());
                    }
                    hint = raft_leader.filter(|node| *node != leader);
                    if hint.is_none() {
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
        }
    }

    /// Proposes on this node, if it is the raft_leader.
    pub(crate) async fn propose_here(&self, command: Command, deadline: Duration) -> Proposed {
        if !self.observer.may_commit() {
            return Proposed::NotAccepted { raft_leader: None };
        }
        match tokio::time::timeout(deadline, self.raft.client_write(Logged(command))).await {
            Ok(Ok(written)) => Proposed::Applied {
                index: written.log_id.index,
                outcome: written.data,
            },
            Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(to)))) => Proposed::NotAccepted {
                raft_leader: to.leader_id.filter(|node| *node != self.me.0),
            },
            Ok(Err(e)) => Proposed::Unknown(e.to_string()),
            Err(_) => Proposed::Unknown(format!("not confirmed in time; {}", self.what_is_missing())),
        }
    }

    async fn propose_there(&self, leader: u64, command: Command, deadline: Duration) -> Proposed {
        // The answer must have time to travel.
        let deadline_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX) / 10 * 9;
        let request = Request::Propose { command, deadline_ms };
        match self.peers.call(leader, request, deadline).await {
            Ok(Reply::Proposed(proposed)) => proposed,
            Ok(_) => Proposed::Unknown("the answer is to another request".to_owned()),
            Err(CallError::Refused(_) | CallError::Transport(TransportError::Unreachable)) => {
                Proposed::NotAccepted { raft_leader: None }
            }
            Err(CallError::Transport(e)) => Proposed::Unknown(format!("raft_leader {leader}: {e}")),
            Err(CallError::Garbled(e)) => Proposed::Unknown(format!("raft_leader {leader}: {e}")),
        }
    }

    async fn find_leader(&self, hint: Option<u64>, until: Instant) -> Option<u64> {
        if hint.is_some() {
            return hint;
        }
        if let Some(NodeId(leader)) = self.observer.status().raft_leader {
            return Some(leader);
        }
        let mut statuses = self.status.clone();
        let found = statuses.wait_for(|s| s.raft_leader.is_some());
        let status = tokio::time::timeout(left(until), found).await.ok()?.ok()?;
        status.raft_leader.map(|node| node.0)
    }

    /// Waits until an entry is applied here; whether it was.
    async fn wait_applied(&self, index: u64, until: Instant) -> bool {
        let mut view = self.view.clone();
        let applied = view.wait_for(|v| v.index.is_some_and(|at| at >= index));
        matches!(tokio::time::timeout(left(until), applied).await, Ok(Ok(_)))
    }

    /// What keeps this node from committing, as text for an error reply.
    fn what_is_missing(&self) -> String {
        let status = self.observer.status();
        if status.voters.is_empty() {
            return "no group is founded yet".to_owned();
        }
        let total = status.voters.len();
        if status.unreachable.is_empty() {
            return format!("no raft_leader among {total} sentinels at the moment");
        }
        let names: Vec<String> = status.unreachable.iter().map(ToString::to_string).collect();
        format!(
            "{} of {total} sentinels do not answer: {}",
            names.len(),
            names.join(" ")
        )
    }

    pub(crate) fn has_fresh_lease(&self) -> bool {
        let transferred = self.transferred_term.load(Ordering::SeqCst);
        self.observer
            .leased_term()
            .is_some_and(|term| term != transferred)
    }

    pub(crate) async fn confirm_authority(&self, deadline: Duration) -> Authority {
        let until = now() + deadline;
        let Some(leader) = self.find_leader(None, until).await else {
            return Authority::Denied(self.what_is_missing());
        };
        let index = if leader == self.me.0 {
            self.read_index(left(until)).await
        } else {
            self.ask_read_index(leader, left(until)).await
        };
        match index {
            Ok(index) if self.wait_applied(index, until).await => Authority::Granted {
                applied_index: self.view.borrow().index.unwrap_or(index),
            },
            Ok(index) => Authority::Denied(format!("entry {index} is not applied here in time")),
            Err(why) => Authority::Denied(why),
        }
    }

    async fn ask_read_index(&self, leader: u64, deadline: Duration) -> Result<u64, String> {
        let deadline_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX) / 10 * 9;
        match self
            .peers
            .call(leader, Request::ReadIndex { deadline_ms }, deadline)
            .await
        {
            Ok(Reply::ReadIndex(index)) => index,
            Ok(_) => Err("the answer is to another request".to_owned()),
            Err(CallError::Transport(e)) => Err(format!("raft_leader {leader}: {e}")),
            Err(CallError::Refused(why) | CallError::Garbled(why)) => {
                Err(format!("raft_leader {leader}: {why}"))
            }
        }
    }

    /// On the raft_leader: the index up to which everything is committed, confirmed by the lease or, when that
    /// is stale, by asking a majority.
    pub(crate) async fn read_index(&self, deadline: Duration) -> Result<u64, String> {
        let policy = if self.has_fresh_lease() {
            ReadPolicy::LeaseRead
        } else {
            ReadPolicy::ReadIndex
        };
        match tokio::time::timeout(deadline, self.raft.get_read_linearizer(policy)).await {
            Ok(Ok(linearizer)) => Ok(linearizer.read_log_id().index()),
            Ok(Err(e)) => Err(e.to_string()),
            Err(_) => Err(self.what_is_missing()),
        }
    }
}
