//! Three nodes in one process: elections, proposals, restarts, lost majorities, snapshots.

mod common;

use common::{Cluster, SECOND, refused, wait};
use raft_store::{Proposal, RaftRole, RaftSettings};
use sentinel_core::replicated::{Change, Rejection};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn any_node_proposes_and_every_node_applies_in_the_same_order() {
    let cluster = Cluster::founded(3, RaftSettings::default()).await;
    let leader = cluster.leader().await;
    for (n, node) in cluster.nodes.iter().enumerate() {
        let name = format!("m{n}");
        assert!(
            matches!(node.set(&name).await, Proposal::Yes { .. }),
            "from node {n}"
        );
        assert!(node.has(&name), "read your writes on node {n}");
        let refused = node.handle.propose(refused(), SECOND).await;
        assert_eq!(refused, Proposal::No(Rejection::NoSuchMaster));
    }
    cluster
        .wait("all applied everywhere", SECOND, || {
            cluster.nodes.iter().all(|n| n.has("m2"))
        })
        .await;
    let mut seen = Vec::new();
    for node in &cluster.nodes {
        wait("all published", SECOND, || async {
            node.applied
                .read()
                .await
                .iter()
                .any(|a| a.index == node.handle.status().applied)
        })
        .await;
        let applied = node.applied.read().await;
        assert!(
            applied
                .iter()
                .all(|a| !a.replayed && a.state.last_applied == a.index)
        );
        assert!(applied.windows(2).all(|w| w[0].index + 1 == w[1].index));
        seen.push(
            applied
                .iter()
                .map(|a| (a.index, a.changes.clone()))
                .collect::<Vec<_>>(),
        );
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0], seen[2]);
    let changes: Vec<&Change> = seen[0].iter().flat_map(|(_, c)| c).collect();
    assert_eq!(
        changes
            .iter()
            .filter(|c| matches!(c, Change::Monitored(_)))
            .count(),
        3
    );
    let status = cluster.get(leader).handle.status();
    assert_eq!(
        (status.role, status.raft_leader),
        (RaftRole::Leader, Some(leader))
    );
    assert_eq!(status.voters.len(), 3);
    assert!(status.has_majority && status.failed.is_none() && status.unreachable.is_empty());
    cluster.stop().await;
}
