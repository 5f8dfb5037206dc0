//! The data directory: identities are durable, exclusive, and never shared; errors overwrite nothing.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use raft_store::{DataDir, DirOptions, OpenError};
use sentinel_proto::types::SentinelId;

fn open(path: &Path) -> Result<DataDir, OpenError> {
    DataDir::open(path, &DirOptions::default())
}

/// Names and contents of all files, without those that change at each start.
fn contents(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(path)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.is_file());
    let name = |p: &Path| p.file_name().unwrap().to_string_lossy().into_owned();
    files
        .map(|p| (name(&p), fs::read(&p).unwrap()))
        .filter(|(n, _)| n != "LOCK")
        .collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(|e| e.unwrap().path()) {
        let target = to.join(entry.file_name().unwrap());
        if entry.is_dir() {
            copy(&entry, &target);
        } else {
            fs::copy(&entry, &target).unwrap();
        }
    }
}

#[test]
fn an_identity_is_made_once_and_kept() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("raft-1");
    let first = open(&path).unwrap();
    assert!(first.is_first_start() && first.boot() == 1 && first.cluster_id().is_none());
    let (node, myid) = (first.node(), first.myid().clone());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    for file in contents(&path).keys() {
        assert_eq!(
            fs::metadata(path.join(file)).unwrap().permissions().mode() & 0o777,
            0o600,
            "{file}"
        );
    }
    drop(first);
    let second = open(&path).unwrap();
    assert_eq!((second.node(), second.myid(), second.boot()), (node, &myid, 2));
    assert!(!second.is_first_start());
    let other = open(&root.path().join("raft-2")).unwrap();
    assert!(other.node() != node && *other.myid() != myid);
}

#[test]
fn a_configured_myid_is_used_at_first_start_and_compared_later() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("raft-1");
    let with = |byte| DirOptions {
        myid: Some(SentinelId::from_bytes([byte; 20])),
        ..DirOptions::default()
    };
    let dir = DataDir::open(&path, &with(7)).unwrap();
    assert_eq!(*dir.myid(), SentinelId::from_bytes([7; 20]));
    drop(dir);
    assert!(matches!(
        DataDir::open(&path, &with(8)),
        Err(OpenError::ForeignIdentity { .. })
    ));
    assert!(DataDir::open(&path, &with(7)).is_ok());
}

#[test]
fn a_directory_in_use_names_the_process() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("raft-1");
    let held = open(&path).unwrap();
    let Err(OpenError::InUse { pid, .. }) = open(&path) else {
        panic!("opened twice")
    };
    assert_eq!(pid, Some(std::process::id()));
    drop(held);
    assert!(open(&path).is_ok());
}

#[test]
fn a_copy_is_refused_until_the_move_is_accepted() {
    let root = tempfile::tempdir().unwrap();
    let (original, moved) = (root.path().join("raft-1"), root.path().join("raft-2"));
    let dir = open(&original).unwrap();
    let node = dir.node();
    drop(dir);
    copy(&original, &moved);
    let before = contents(&moved);
    let error = open(&moved).unwrap_err();
    assert!(matches!(error, OpenError::Copied { .. }), "{error}");
    assert!(
        error.to_string().contains("Remove this directory"),
        "no remedy in: {error}"
    );
    assert_eq!(contents(&moved), before, "an error overwrites nothing");
    let accepted = DirOptions {
        accept_moved: true,
        ..DirOptions::default()
    };
    assert_eq!(DataDir::open(&moved, &accepted).unwrap().node(), node);
    assert_eq!(open(&moved).unwrap().node(), node);
    // A rename keeps the inode: nothing was duplicated.
    fs::rename(&original, root.path().join("raft-3")).unwrap();
    assert!(open(&root.path().join("raft-3")).is_ok());
}

#[test]
fn damaged_files_are_named_and_left_alone() {
    let root = tempfile::tempdir().unwrap();
    for name in ["identity", "boot"] {
        let path = root.path().join(format!("raft-{name}"));
        drop(open(&path).unwrap());
        let whole = fs::read(path.join(name)).unwrap();
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x10;
            for damaged in [flipped, whole[..at].to_vec()] {
                fs::write(path.join(name), &damaged).unwrap();
                let error = open(&path).unwrap_err();
                let OpenError::Corrupt { path: named, .. } = &error else {
                    panic!("{name} at {at}: {error}")
                };
                assert_eq!(*named, path.join(name));
                assert_eq!(fs::read(path.join(name)).unwrap(), damaged);
            }
        }
        fs::write(path.join(name), &whole).unwrap();
        assert!(open(&path).is_ok());
    }
}

#[test]
fn a_log_without_an_identity_is_not_adopted() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("raft-1");
    drop(open(&path).unwrap());
    fs::write(path.join("log.redb"), b"something").unwrap();
    fs::remove_file(path.join("identity")).unwrap();
    assert!(matches!(open(&path), Err(OpenError::Corrupt { .. })));
    assert!(!path.join("identity").exists());
}

#[test]
fn an_interrupted_first_start_is_repeated() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("raft-1");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("LOCK"), b"").unwrap();
    fs::write(path.join("identity.tmp"), b"half").unwrap();
    assert!(open(&path).unwrap().is_first_start());
    assert!(!path.join("identity.tmp").exists());
}

#[test]
fn a_missing_parent_and_a_file_in_the_way_are_errors() {
    let root = tempfile::tempdir().unwrap();
    assert!(open(&root.path().join("no/raft-1")).is_err());
    assert!(!root.path().join("no").exists());
    fs::write(root.path().join("raft-1"), b"a file").unwrap();
    assert!(open(&root.path().join("raft-1")).is_err());
}

#[test]
fn a_directory_without_rights_is_not_writable() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("raft-1");
    drop(open(&path).unwrap());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o500)).unwrap();
    let outcome = open(&path);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    match outcome {
        Err(OpenError::NotWritable { .. }) => {}
        // root may write everywhere.
        Ok(_) if rustix::process::geteuid().is_root() => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn facts_are_durable_and_checked() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("raft-1");
    let dir = open(&path).unwrap();
    let facts = dir.facts();
    assert_eq!(facts.get("applied-config-lines").unwrap(), None);
    facts.put("applied-config-lines", b"monitor mymaster").unwrap();
    assert!(facts.put("../escape", b"").is_err() && facts.put("", b"").is_err());
    drop((dir, facts));
    let facts = open(&path).unwrap().facts();
    assert_eq!(
        facts.get("applied-config-lines").unwrap().unwrap(),
        b"monitor mymaster"
    );
    assert!(
        matches!(open(&path), Err(OpenError::InUse { .. })),
        "facts keep the directory locked"
    );
    fs::write(path.join("facts/applied-config-lines"), b"damaged").unwrap();
    assert!(matches!(
        facts.get("applied-config-lines"),
        Err(OpenError::Corrupt { .. })
    ));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_file_system_is_said_to_be_full_and_keeps_what_was_there() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("raft-1");
    let facts = open(&path).unwrap().facts();
    facts.put("name", b"old").unwrap();
    // Where the new content is written first, every write fails with ENOSPC.
    std::os::unix::fs::symlink("/dev/full", path.join("facts/name.tmp")).unwrap();
    let error = facts.put("name", b"new").unwrap_err();
    assert!(matches!(error, OpenError::Full { .. }), "{error}");
    assert_eq!(facts.get("name").unwrap().unwrap(), b"old");
}
