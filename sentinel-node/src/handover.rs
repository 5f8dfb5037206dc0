//! A planned end costs the group nothing: the raft_leader hands its role over before it goes, instead of letting the
//! others find out.

use std::time::Duration;

use raft_store::RaftHandle;

/// What an ending process spends on it altogether.
const DEADLINE: Duration = Duration::from_secs(3);

/// Hands the role of raft_leader to another voter, if this node has it.
pub async fn hand_over(raft: &RaftHandle) {
    if tokio::time::timeout(DEADLINE, try_each(raft)).await.is_err() {
        tracing::info!("The role of raft_leader was not handed over in time; the others elect one");
    }
}

async fn try_each(raft: &RaftHandle) {
    let status = raft.status();
    if status.raft_leader != Some(status.node) || !status.has_majority {
        return;
    }
    let mut others = status.voters.clone();
    others.remove(&status.node);
    for to in others.difference(&status.unreachable) {
        match raft.transfer_leadership(*to).await {
            Ok(()) => {
                tracing::info!("Handed the role of raft_leader over to {to}");
                return;
            }
            Err(reason) => tracing::debug!("{to} does not take the role of raft_leader: {reason}"),
        }
    }
}
