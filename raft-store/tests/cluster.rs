//! Three nodes in one process: elections, proposals, restarts, lost majorities, snapshots.

#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(clippy::disallowed_methods, reason = "real time is what is measured here")]

mod common;

use std::time::Duration;

use common::{Cluster, SECOND, monitor, refused, wait};
use raft_store::{Authority, Proposal, RaftRole, RaftSettings};
use sentinel_core::replicated::{Change, Rejection};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn any_node_proposes_and_every_node_applies_in_the_same_order() {
    let cluster = Cluster::founded(3, RaftSettings::default()).await;
    let leader = cluster.leader().await;
    for (n, node) in cluster.nodes.iter().enumerate() {
        let name = format!("m{n}");
        node.must_set(&name).await;
        assert!(node.has(&name), "read your writes on node {n}");
        let refused = node.handle.propose(refused(), SECOND).await;
        assert_eq!(refused, Proposal::No(Rejection::NoSuchMaster));
    }
    cluster
        .wait("all applied everywhere", SECOND, || {
            cluster.nodes.iter().all(|n| n.has("m2"))
        })
        .await;
    let last = cluster.get(leader).handle.status().last_log;
    let mut seen = Vec::new();
    for node in &cluster.nodes {
        wait("all published", SECOND, || async {
            node.applied.read().await.last().is_some_and(|a| a.index == last)
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

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_lost_raft_leader_is_replaced_and_its_lease_ends_first() {
    let cluster = Cluster::founded(3, RaftSettings::default()).await;
    let old = cluster.leader().await;
    cluster.get(old).must_set("before").await;
    cluster
        .wait("a fresh lease", SECOND, || {
            cluster.get(old).handle.has_fresh_lease()
        })
        .await;
    cluster.net.isolate(old, &cluster.ids()).await;
    let cut = tokio::time::Instant::now();
    cluster
        .wait("another raft_leader", 2 * SECOND, || {
            let new = cluster
                .followers(old)
                .into_iter()
                .find(|n| n.handle.status().role == RaftRole::Leader);
            new.is_some_and(|n| n.handle.has_fresh_lease())
        })
        .await;
    let took = cut.elapsed();
    assert!(
        !cluster.get(old).handle.has_fresh_lease(),
        "two nodes with a lease"
    );
    assert!(took < Duration::from_millis(1200), "election took {took:?}");
    let new = cluster.followers(old)[0];
    new.must_set("after").await;
    cluster.net.heal().await;
    cluster
        .wait("the old one follows", SECOND, || cluster.get(old).has("after"))
        .await;
    let status = cluster.get(old).handle.status();
    assert_eq!(status.role, RaftRole::Follower);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn without_a_majority_nothing_is_accepted_and_the_answer_names_what_is_missing() {
    let cluster = Cluster::founded(3, RaftSettings::default()).await;
    let leader = cluster.leader().await;
    for node in cluster.ids() {
        cluster.net.isolate(node, &cluster.ids()).await;
    }
    let gone = || cluster.nodes.iter().all(|n| !n.handle.status().has_majority);
    cluster.wait("everybody notices", SECOND, gone).await;
    for node in &cluster.nodes {
        let asked = tokio::time::Instant::now();
        let answer = node.handle.propose(monitor("lost"), 2 * SECOND).await;
        assert!(asked.elapsed() < Duration::from_millis(2200));
        let Proposal::NoMajority(missing) = answer else {
            panic!("{answer:?}")
        };
        for other in cluster.ids().iter().filter(|id| **id != node.id) {
            assert!(
                missing.contains(&other.to_string()),
                "{missing} does not name {other}"
            );
        }
        assert!(!node.handle.has_fresh_lease());
        let authority = node.handle.confirm_authority(Duration::from_millis(50)).await;
        assert!(matches!(authority, Authority::Denied(_)), "{authority:?}");
    }
    let terms: Vec<u64> = cluster
        .nodes
        .iter()
        .map(|n| n.handle.status().raft_term)
        .collect();
    assert!(
        terms.iter().all(|t| *t == terms[0]),
        "Pre-Vote keeps terms from climbing: {terms:?}"
    );
    cluster.net.heal().await;
    cluster.get(leader).must_set("found").await;
    assert!(
        cluster.nodes.iter().all(|n| !n.has("lost")),
        "a refused proposal came back"
    );
    cluster.stop().await;
}

/// Its lease still runs: without looking at its connections it would append, and could not say what becomes of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_raft_leader_that_knows_that_nobody_hears_it_appends_nothing() {
    let cluster = Cluster::founded(3, RaftSettings::default()).await;
    let leader = cluster.leader().await;
    cluster.get(leader).must_set("before").await;
    for other in cluster.followers(leader) {
        cluster.net.close(leader, other.id).await;
    }
    let last = cluster.get(leader).handle.status().last_log;
    let answer = cluster
        .get(leader)
        .handle
        .propose(monitor("lost"), SECOND / 2)
        .await;
    assert!(matches!(answer, Proposal::NoMajority(_)), "{answer:?}");
    assert_eq!(cluster.get(leader).handle.status().last_log, last);
    cluster.net.heal().await;
    cluster.get(leader).must_set("after").await;
    assert!(cluster.nodes.iter().all(|n| !n.has("lost")));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_restart_of_all_nodes_forgets_nothing_and_repeats_no_change() {
    let mut cluster = Cluster::founded(3, RaftSettings::default()).await;
    cluster.leader().await;
    for n in 0..10 {
        cluster.nodes[n % 3].must_set(&format!("m{n}")).await;
    }
    cluster
        .wait("all applied", SECOND, || {
            cluster.nodes.iter().all(|n| n.has("m9"))
        })
        .await;
    let ids = cluster.ids();
    let before = cluster.nodes[0].handle.status().applied;
    cluster = cluster.restart().await;
    assert_eq!(cluster.ids(), ids);
    for node in &cluster.nodes {
        assert!(node.handle.is_initialised());
        assert!(
            node.recovered.last_applied >= before,
            "node {} recovered too little",
            node.id
        );
        assert!(node.has("m9"));
    }
    cluster.leader().await;
    cluster.nodes[1].must_set("new").await;
    for node in &cluster.nodes {
        cluster.wait("the new one", SECOND, || node.has("new")).await;
        wait("published", SECOND, || async {
            let applied = node.applied.read().await;
            applied.last().is_some_and(|a| a.state.groups.len() == 11)
        })
        .await;
        let applied = node.applied.read().await;
        let fresh: Vec<&Change> = applied
            .iter()
            .filter(|a| !a.replayed)
            .flat_map(|a| &a.changes)
            .collect();
        assert_eq!(fresh.len(), 1, "only the new group is news: {fresh:?}");
        assert!(applied.iter().all(|a| a.index > before));
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn without_the_committed_file_all_entries_at_boot_count_as_replayed() {
    let mut cluster = Cluster::founded(3, RaftSettings::default()).await;
    cluster.leader().await;
    cluster.nodes[0].must_set("old").await;
    cluster
        .wait("applied", SECOND, || cluster.nodes.iter().all(|n| n.has("old")))
        .await;
    let mut paths = Vec::new();
    for node in std::mem::take(&mut cluster.nodes) {
        let path = node.stop(&cluster.net).await;
        std::fs::write(path.join("committed"), b"torn").unwrap();
        paths.push(path);
    }
    for path in paths {
        cluster.nodes.push(
            common::open(&cluster.net, path, cluster.settings.clone())
                .await
                .unwrap(),
        );
    }
    cluster.leader().await;
    cluster.nodes[0].must_set("new").await;
    for node in &cluster.nodes {
        cluster
            .wait("both", SECOND, || node.has("old") && node.has("new"))
            .await;
        wait("published", SECOND, || async {
            node.applied
                .read()
                .await
                .iter()
                .any(|a| a.state.groups.len() == 2)
        })
        .await;
        let applied = node.applied.read().await;
        let groups = |replayed: bool| {
            let of = applied
                .iter()
                .filter(|a| a.replayed == replayed)
                .flat_map(|a| &a.changes);
            of.filter(|c| matches!(c, Change::Monitored(_))).count()
        };
        assert_eq!((groups(true), groups(false)), (1, 1));
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_follower_that_lags_behind_the_log_gets_a_snapshot() {
    let settings = RaftSettings {
        snapshot_every: 50,
        keep_entries: 10,
        ..RaftSettings::default()
    };
    let mut cluster = Cluster::founded(3, settings).await;
    let leader = cluster.leader().await;
    let away = cluster.followers(leader)[0].id;
    cluster.get(leader).must_set("first").await;
    cluster
        .wait("applied", SECOND, || cluster.get(away).has("first"))
        .await;
    cluster.net.isolate(away, &cluster.ids()).await;
    for n in 0..200 {
        cluster.get(leader).must_set(&format!("m{n}")).await;
    }
    let snapshot = || cluster.get(leader).handle.status().snapshot;
    cluster
        .wait("a snapshot far ahead", 2 * SECOND, || snapshot() > 150)
        .await;
    cluster.net.heal().await;
    cluster
        .wait("caught up", 2 * SECOND, || cluster.get(away).has("m199"))
        .await;
    {
        let node = cluster.get(away);
        wait("published", SECOND, || async {
            node.applied
                .read()
                .await
                .last()
                .is_some_and(|a| a.state.groups.len() == 201)
        })
        .await;
        let applied = node.applied.read().await;
        let installed = applied
            .iter()
            .find(|a| a.replayed)
            .expect("a snapshot was installed");
        assert!(installed.changes.is_empty() && installed.index > 150);
        assert!(node.handle.status().snapshot > 150);
    }
    // The snapshot and the log after it are what a restart finds.
    cluster = cluster.restart().await;
    assert!(cluster.nodes.iter().all(|n| n.recovered.groups.len() == 201));
    cluster.leader().await;
    cluster.nodes[0].must_set("after").await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_peer_that_hangs_delays_nobody() {
    let cluster = Cluster::founded(3, RaftSettings::default()).await;
    let leader = cluster.leader().await;
    let [hung, other] = [cluster.followers(leader)[0].id, cluster.followers(leader)[1].id];
    cluster.net.silence(hung, leader).await;
    cluster.net.silence(hung, other).await;
    let began = tokio::time::Instant::now();
    for n in 0..50 {
        cluster.get(other).must_set(&format!("m{n}")).await;
    }
    assert!(
        began.elapsed() < 3 * SECOND,
        "50 proposals took {:?}",
        began.elapsed()
    );
    let statuses = || cluster.get(leader).handle.status();
    cluster
        .wait("noticed", SECOND, || statuses().unreachable.contains(&hung))
        .await;
    assert_eq!(statuses().role, RaftRole::Leader);
    cluster.net.heal().await;
    cluster
        .wait("caught up", SECOND, || cluster.get(hung).has("m49"))
        .await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_follower_that_returns_is_contacted_quickly() {
    let mut cluster = Cluster::founded(3, RaftSettings::default()).await;
    let leader = cluster.leader().await;
    let at = cluster.nodes.iter().position(|n| n.id != leader).unwrap();
    let path = cluster.nodes.remove(at).stop(&cluster.net).await;
    for n in 0..20 {
        cluster.get(leader).must_set(&format!("m{n}")).await;
    }
    let settings = cluster.settings.clone();
    // Long enough for the backoff to reach its cap.
    cluster
        .wait("given up", 2 * SECOND, || {
            !cluster.get(leader).handle.status().unreachable.is_empty()
        })
        .await;
    let node = common::open(&cluster.net, path, settings).await.unwrap();
    let back = tokio::time::Instant::now();
    cluster.wait("caught up", SECOND, || node.has("m19")).await;
    let took = back.elapsed();
    assert!(took < Duration::from_millis(300), "caught up after {took:?}");
    assert_eq!(
        cluster.leader_now(),
        Some(leader),
        "a returning node disturbs nobody"
    );
    cluster.nodes.push(node);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn authority_is_granted_on_every_node_and_ends_with_the_contact() {
    let cluster = Cluster::founded(3, RaftSettings::default()).await;
    let leader = cluster.leader().await;
    let Proposal::Yes { index } = cluster.get(leader).set("m").await else {
        panic!("not accepted")
    };
    for node in &cluster.nodes {
        let authority = node.handle.confirm_authority(SECOND).await;
        let Authority::Granted { applied_index } = authority else {
            panic!("{authority:?}")
        };
        assert!(applied_index >= index && node.has("m"));
        assert_eq!(node.handle.has_fresh_lease(), node.id == leader);
    }
    let away = cluster.followers(leader)[0];
    cluster.net.isolate(away.id, &cluster.ids()).await;
    let authority = away.handle.confirm_authority(Duration::from_millis(100)).await;
    assert!(matches!(authority, Authority::Denied(_)), "{authority:?}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn leadership_moves_on_request_and_the_lease_ends_before() {
    let cluster = Cluster::founded(3, RaftSettings::default()).await;
    let leader = cluster.leader().await;
    cluster
        .wait("a lease", SECOND, || cluster.get(leader).handle.has_fresh_lease())
        .await;
    let to = cluster.followers(leader)[0].id;
    let refused = cluster.get(to).handle.transfer_leadership(leader).await;
    assert!(refused.is_err(), "only the raft_leader can hand over");
    let began = tokio::time::Instant::now();
    cluster.get(leader).handle.transfer_leadership(to).await.unwrap();
    assert!(
        began.elapsed() < Duration::from_millis(500),
        "{:?}",
        began.elapsed()
    );
    assert!(!cluster.get(leader).handle.has_fresh_lease());
    cluster.get(leader).must_set("m").await;
    assert_eq!(cluster.leader().await, to);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_raft_leader_that_is_heard_but_does_not_hear_is_replaced() {
    let cluster = Cluster::founded(3, RaftSettings::default()).await;
    let deaf = cluster.leader().await;
    for other in cluster.followers(deaf) {
        cluster.net.cut(other.id, deaf).await;
    }
    let replaced = || {
        let mut others = cluster.followers(deaf).into_iter().map(|n| n.handle.status());
        others.any(|s| s.role == RaftRole::Leader && s.has_majority)
    };
    cluster.wait("another raft_leader", 5 * SECOND, replaced).await;
    let other = cluster.followers(deaf)[0];
    other.must_set("m").await;
    cluster.net.heal().await;
    cluster
        .wait("it follows", 2 * SECOND, || cluster.get(deaf).has("m"))
        .await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_single_node_founds_alone_and_comes_back() {
    let mut cluster = Cluster::founded(1, RaftSettings::default()).await;
    cluster.nodes[0].must_set("m").await;
    cluster = cluster.restart().await;
    cluster.nodes[0].must_set("n").await;
    let leased = || cluster.nodes[0].handle.has_fresh_lease();
    cluster.wait("a lease", SECOND, leased).await;
    assert!(cluster.nodes[0].handle.status().has_majority);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_of_another_group_is_not_served() {
    let cluster = Cluster::founded(2, RaftSettings::default()).await;
    cluster.leader().await;
    let net = &cluster.net;
    let stranger = common::open(net, cluster.root.path().join("raft-x"), RaftSettings::default())
        .await
        .unwrap();
    assert_eq!(stranger.handle.cluster_id(), None);
    let unfounded = stranger
        .handle
        .propose(monitor("m"), Duration::from_millis(50))
        .await;
    assert_eq!(
        unfounded,
        Proposal::NoMajority("no group is founded yet".to_owned())
    );
    stranger.handle.adopt_cluster(0xbad).await.unwrap();
    let with = vec![stranger.id, cluster.nodes[0].id];
    assert!(
        stranger.handle.found(&with[1..], 0xbad).await.is_err(),
        "not a member itself"
    );
    stranger.handle.found(&with, 0xbad).await.unwrap();
    let answer = stranger.handle.propose(monitor("m"), SECOND).await;
    assert!(matches!(answer, Proposal::NoMajority(_)), "{answer:?}");
    assert!(
        stranger.handle.adopt_cluster(common::CLUSTER).await.is_err(),
        "it holds a log already"
    );
    assert!(
        cluster
            .nodes
            .iter()
            .all(|n| n.handle.cluster_id() == Some(common::CLUSTER))
    );
    cluster.nodes[0].must_set("ours").await;
    stranger.stop(net).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_log_file_does_not_grow_with_the_number_of_entries() {
    let settings = RaftSettings {
        snapshot_every: 200,
        keep_entries: 50,
        ..RaftSettings::default()
    };
    let cluster = Cluster::founded(1, settings).await;
    cluster.leader().await;
    let node = &cluster.nodes[0];
    let file = node.path.join("log.redb");
    let mut sizes = Vec::new();
    for _ in 0..10 {
        for _ in 0..10 {
            let many = (0..50).map(|_| node.handle.propose(refused(), SECOND));
            for answer in futures::future::join_all(many).await {
                assert!(matches!(answer, Proposal::No(_)), "{answer:?}");
            }
        }
        sizes.push(std::fs::metadata(&file).unwrap().len());
    }
    let status = node.handle.status();
    assert!(
        status.last_log > 5000 && status.last_log - status.snapshot < 400,
        "{status:?}"
    );
    // The first tenth fills the file once.
    assert!(sizes[9] <= sizes[1].max(2 << 20), "{sizes:?}");
    cluster.stop().await;
}
