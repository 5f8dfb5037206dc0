//! A file system that fills up, and one that is read-only. Run by hand, on a small file system of its own:
//!
//! ```text
//! mount -t tmpfs -o size=2m tmpfs /tmp/small
//! RAFT_STORE_SMALL_FS=/tmp/small cargo test -p raft-store --test full -- --ignored
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::path::PathBuf;
use std::sync::Arc;

use common::{CLUSTER, Net, SECOND, master, open, wait};
use raft_store::{OpenError, Proposal, RaftSettings};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a small file system in RAFT_STORE_SMALL_FS"]
async fn a_full_disk_stops_the_node_and_forgets_nothing() {
    let Ok(root) = std::env::var("RAFT_STORE_SMALL_FS") else {
        panic!("RAFT_STORE_SMALL_FS is not set")
    };
    let path = PathBuf::from(root).join("raft-1");
    let net = Arc::new(Net::default());
    let settings = RaftSettings {
        snapshot_every: 1_000_000,
        ..RaftSettings::default()
    };
    let node = open(&net, path.clone(), settings.clone()).await.unwrap();
    node.handle.found(&[node.id], CLUSTER).await.unwrap();
    let mut acknowledged = Vec::new();
    let refused = loop {
        let name = format!("{}-{}", "long".repeat(200), acknowledged.len());
        match node.set(&name).await {
            Proposal::Yes { .. } => acknowledged.push(name),
            other => break other,
        }
    };
    println!("{} acknowledged, then {refused:?}", acknowledged.len());
    let stopped = || async { node.handle.status().failed.is_some() };
    wait("the node says that it stopped", SECOND, stopped).await;
    println!("status: {:?}", node.handle.status().failed);
    let id = node.id;
    node.stop(&net).await;

    let full = open(&net, path.clone(), settings.clone()).await.err();
    println!(
        "started on a full disk: {}",
        full.as_ref().map_or("works".to_owned(), ToString::to_string)
    );
    assert!(matches!(full, Some(OpenError::Full { .. })), "{full:?}");

    // Room again: as an operator who enlarges the volume.
    let status = std::process::Command::new("mount")
        .args(["-o", "remount,size=16m"])
        .arg(path.parent().unwrap())
        .status();
    assert!(status.unwrap().success());
    let node = open(&net, path.clone(), settings.clone()).await.unwrap();
    assert_eq!(node.id, id);
    for name in &acknowledged {
        assert!(
            node.recovered.groups.contains_key(&master(name)),
            "{name} is forgotten"
        );
    }
    node.must_set("more").await;
    node.stop(&net).await;

    let read_only = std::process::Command::new("mount")
        .args(["-o", "remount,ro"])
        .arg(path.parent().unwrap())
        .status();
    assert!(read_only.unwrap().success());
    let refused = open(&net, path.clone(), settings).await.err();
    println!(
        "started on a read-only disk: {}",
        refused.as_ref().map_or("works".to_owned(), ToString::to_string)
    );
    assert!(matches!(refused, Some(OpenError::ReadOnly { .. })), "{refused:?}");
}
