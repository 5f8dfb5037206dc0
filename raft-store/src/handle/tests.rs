use std::sync::atomic::AtomicUsize;

use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::*;
use crate::TransportError;
use crate::codec;
use crate::identity::DirOptions;
use crate::log::tests::{Failing, on_failing_disk};
use crate::rpc::{Envelope, Reply, Request};
use crate::types::Vote;

struct Nobody;

impl Transport for Nobody {
    fn call(
        &self,
        _: NodeId,
        _: Vec<u8>,
        _: Duration,
    ) -> BoxFuture<'static, Result<Vec<u8>, TransportError>> {
        async { Err(TransportError::Unreachable) }.boxed()
    }
}

fn harmless() -> Command {
    Command::Reset { masters: Vec::new() }
}

/// The answer to a request for a vote in a term that no node has reached.
async fn ask_for_vote(node: &RaftHandle) -> Reply {
    let rpc = openraft::raft::VoteRequest::new(Vote::new(99, 7), None);
    let envelope = Envelope {
        cluster_id: 5,
        from: 7,
        body: Request::Vote(rpc),
    };
    codec::decode(&node.serve(codec::encode(&envelope).unwrap()).await).unwrap()
}

#[tokio::test]
async fn a_failed_sync_stops_the_node_from_voting_and_is_not_repeated() {
    let root = tempfile::tempdir().unwrap();
    let dir = DataDir::open(&root.path().join("raft-1"), &DirOptions::default()).unwrap();
    let disk = Arc::new(Failing::default());
    let (log, found) = on_failing_disk(dir.path(), dir.node().0, Arc::clone(&disk));
    let (snapshots, _) = SnapshotStore::open(dir.path().join(identity::SNAPSHOT)).unwrap();
    let stores = Stores {
        log,
        found,
        snapshots,
        replay_until: None,
    };
    let (sender, _receiver) = mpsc::channel(64);
    let settings = RaftSettings::default();
    let (node, _) = RaftHandle::start(dir, stores, settings, Arc::new(Nobody), sender)
        .await
        .unwrap();
    let me = node.status().node;
    node.found(&[me], 5).await.unwrap();
    let first = node.propose(harmless(), Duration::from_secs(5)).await;
    assert!(matches!(first, Proposal::Yes { .. }), "{first:?}");

    disk.fail.store(true, Ordering::SeqCst);
    let answer = node.propose(harmless(), Duration::from_secs(5)).await;
    assert!(
        matches!(answer, Proposal::Unknown(_)),
        "nobody knows what is on the disk: {answer:?}"
    );
    let mut statuses = node.watch();
    let failed = statuses.wait_for(|s| s.failed.is_some());
    let status = tokio::time::timeout(Duration::from_secs(5), failed)
        .await
        .unwrap()
        .unwrap()
        .clone();
    assert!(
        status.failed.as_deref().unwrap().contains("the disk is gone"),
        "{status:?}"
    );
    assert!(!status.has_majority && status.raft_leader.is_none());
    assert!(!node.has_fresh_lease());

    disk.fail.store(false, Ordering::SeqCst);
    let writes = disk.writes.load(Ordering::SeqCst);
    let answer = node.propose(harmless(), Duration::from_secs(1)).await;
    let Proposal::NoMajority(why) = answer else {
        panic!("{answer:?}")
    };
    assert!(why.contains("this node has stopped"), "{why}");
    assert!(
        matches!(ask_for_vote(&node).await, Reply::Refused(_)),
        "it still votes"
    );
    assert_eq!(disk.writes.load(Ordering::SeqCst), writes, "it still writes");
    node.shutdown().await;
}

#[tokio::test]
async fn a_node_that_voted_before_does_not_vote_within_a_lease_of_its_start() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("raft-1");
    let open = async || {
        let dir = DataDir::open(&path, &DirOptions::default()).unwrap();
        let (sender, _receiver) = mpsc::channel(64);
        RaftHandle::open(dir, RaftSettings::default(), Arc::new(Nobody), sender)
            .await
            .unwrap()
            .0
    };
    let node = open().await;
    assert!(
        matches!(ask_for_vote(&node).await, Reply::Refused(_)),
        "in no group"
    );
    node.adopt_cluster(5).await.unwrap();
    let Reply::Vote(vote) = ask_for_vote(&node).await else {
        panic!("a new node votes at once")
    };
    assert!(vote.vote_granted);
    node.shutdown().await;
    drop(node);
    let node = open().await;
    let Reply::Refused(why) = ask_for_vote(&node).await else {
        panic!("it may have confirmed a lease")
    };
    assert!(why.contains("just started"), "{why}");
    tokio::time::sleep_until(node.inner.no_votes_until.unwrap()).await;
    assert!(matches!(ask_for_vote(&node).await, Reply::Vote(_)));
    node.shutdown().await;
}

#[tokio::test]
async fn garbage_from_a_peer_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let dir = DataDir::open(&root.path().join("raft-1"), &DirOptions::default()).unwrap();
    let (sender, _receiver) = mpsc::channel(64);
    let (node, _) = RaftHandle::open(dir, RaftSettings::default(), Arc::new(Nobody), sender)
        .await
        .unwrap();
    node.adopt_cluster(5).await.unwrap();
    let whole = codec::encode(&Envelope {
        cluster_id: 5,
        from: 7,
        body: Request::Propose {
            command: harmless(),
            deadline_ms: 1,
        },
    })
    .unwrap();
    let served = AtomicUsize::new(0);
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x80;
        for request in [flipped, whole[..at].to_vec()] {
            let reply = node.serve(request).await;
            let _reply: Reply = codec::decode(&reply).unwrap();
            served.fetch_add(1, Ordering::Relaxed);
        }
    }
    assert_eq!(served.into_inner(), 2 * whole.len());
    let own = Envelope {
        cluster_id: 5,
        from: node.status().node.0,
        body: Request::ReadIndex { deadline_ms: 1 },
    };
    let reply: Reply = codec::decode(&node.serve(codec::encode(&own).unwrap()).await).unwrap();
    let Reply::Refused(why) = reply else {
        panic!("served itself")
    };
    assert!(why.contains("copy"), "{why}");
    node.shutdown().await;
}
