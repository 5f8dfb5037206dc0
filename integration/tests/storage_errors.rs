//! Acceptance 8, on disk: a data directory that is read-only, full, a copy, or of another group. A clear error, and
//! nothing overwritten.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration::harness::process::{Process, tail};
use integration::harness::scenario::say_skipped;
use integration::harness::wait::{holds_for, wait_for};
use integration::harness::{Cluster, ClusterOptions, scenario};

const PATIENCE: Duration = Duration::from_secs(30);

/// A small file system in memory, unmounted when dropped.
struct Tmpfs {
    path: PathBuf,
}

impl Tmpfs {
    /// `None` where this process may not mount.
    fn mount(path: &Path, size: &str) -> Option<Self> {
        let done = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size},mode=755"), "tmpfs"])
            .arg(path)
            .output()
            .ok()?;
        done.status.success().then(|| Self {
            path: path.to_path_buf(),
        })
    }

    fn remount_read_only(&self) -> Result<()> {
        let done = Command::new("mount")
            .args(["-o", "remount,ro"])
            .arg(&self.path)
            .output()
            .context("mount")?;
        ensure!(
            done.status.success(),
            "remount: {}",
            String::from_utf8_lossy(&done.stderr)
        );
        Ok(())
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.path).output();
    }
}

/// Every file below a folder with its content. The lock file names the process that looked last: it is left out.
fn snapshot(folder: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut files = BTreeMap::new();
    let mut queue = vec![folder.to_path_buf()];
    while let Some(next) = queue.pop() {
        for entry in std::fs::read_dir(&next).with_context(|| next.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                queue.push(path);
            } else if path.file_name().is_some_and(|name| name != "LOCK") {
                let content = std::fs::read(&path)?;
                files.insert(path, content);
            }
        }
    }
    Ok(files)
}

fn raft_dir(folder: &Path) -> Result<PathBuf> {
    std::fs::read_dir(folder)?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| {
            path.is_dir()
                && path
                    .file_name()
                    .is_some_and(|name| name.to_string_lossy().starts_with("raft"))
        })
        .with_context(|| format!("no raft directory in {}", folder.display()))
}

/// What a node printed and logged since its log was `seen` bytes long.
fn said(cluster: &Cluster, index: usize) -> Result<String> {
    let node = cluster.node(index)?;
    Ok(format!(
        "{}\n{}",
        tail(&node.log_path(), 40),
        tail(&node.output_path(), 40)
    ))
}

/// Starts a node that must end by itself with status 1 and say `word`.
fn expect_refusal(cluster: &mut Cluster, index: usize, words: &[&str]) -> Result<()> {
    let node = cluster.node_mut(index)?;
    node.launch()?;
    let status = node.process()?.wait_exit(Duration::from_secs(15))?;
    let text = said(cluster, index)?;
    ensure!(status.code() == Some(1), "it ended with {status}, not 1:\n{text}");
    let lower = text.to_lowercase();
    ensure!(
        words.iter().any(|word| lower.contains(word)),
        "none of {words:?} is in:\n{text}"
    );
    Ok(())
}

/// One node on a small file system of its own; `None` (and a message) where that cannot be made.
fn on_tmpfs(cluster: &mut Cluster, index: usize, size: &str) -> Result<Option<Tmpfs>> {
    let node = cluster.node_mut(index)?;
    if !node.is_running() {
        ensure!(node.process().is_err(), "the node was started already");
    }
    let folder = node.dir().join("data");
    std::fs::create_dir_all(&folder)?;
    let Some(mounted) = Tmpfs::mount(&folder, size) else {
        say_skipped("this process may not mount a file system");
        return Ok(None);
    };
    // The log stays on the big file system: it must be able to say what is wrong.
    let log = node.log_path().display().to_string();
    node.edit_config(
        &format!("dir {}\n", node.dir().display()),
        &format!("dir {}\n", folder.display()),
    )?;
    node.edit_config("logfile sentinel.log\n", &format!("logfile {log}\n"))?;
    Ok(Some(mounted))
}

fn start_some(cluster: &mut Cluster, which: &[usize]) -> Result<()> {
    for index in which {
        cluster.node_mut(*index)?.launch()?;
    }
    for index in which {
        cluster.node_mut(*index)?.wait_ping()?;
    }
    Ok(())
}

/// Like `scenario`, but no sentinel is started.
fn with_servers(name: &str, body: impl FnOnce(&mut Cluster) -> Result<()>) {
    let mut cluster = Cluster::start_servers(ClusterOptions::default()).unwrap();
    if !cluster.is_ours() {
        println!("skipped: stock Sentinel has no data directory");
        return;
    }
    if let Err(reason) = body(&mut cluster) {
        eprintln!("{}", cluster.tails(40));
        eprintln!("REPRODUCE WITH: cargo test -p integration -- --exact --nocapture {name}");
        panic!("{name}: {reason:#}");
    }
}

#[test]
fn a_read_only_data_directory_is_refused() {
    with_servers("a_read_only_data_directory_is_refused", |cluster| {
        let Some(mounted) = on_tmpfs(cluster, 0, "64m")? else {
            return Ok(());
        };
        mounted.remount_read_only()?;
        expect_refusal(cluster, 0, &["read-only", "read only"])
    });
}

#[test]
fn a_directory_that_becomes_read_only_keeps_its_content() {
    with_servers(
        "a_directory_that_becomes_read_only_keeps_its_content",
        |cluster| {
            let Some(mounted) = on_tmpfs(cluster, 0, "64m")? else {
                return Ok(());
            };
            start_some(cluster, &[0, 1, 2])?;
            cluster.wait_ready()?;
            cluster.node_mut(0)?.process()?.terminate()?;
            mounted.remount_read_only()?;
            let before = snapshot(&mounted.path)?;
            expect_refusal(cluster, 0, &["read-only", "read only"])?;
            ensure!(
                snapshot(&mounted.path)? == before,
                "the data directory was changed"
            );
            Ok(())
        },
    );
}

#[test]
fn a_full_data_directory_is_refused_at_first_start() {
    with_servers("a_full_data_directory_is_refused_at_first_start", |cluster| {
        let Some(mounted) = on_tmpfs(cluster, 0, "256k")? else {
            return Ok(());
        };
        fill(&mounted.path)?;
        expect_refusal(cluster, 0, &["no space", "full"])
    });
}

fn fill(folder: &Path) -> Result<()> {
    use std::io::Write;
    let mut file = std::fs::File::create(folder.join("filler"))?;
    let block = vec![1_u8; 4096];
    while file.write_all(&block).is_ok() {}
    Ok(())
}

/// The group fails over with one node's disk full, whether or not that node still has room in what it reserved; started
/// again it is refused until there is space.
#[test]
fn a_disk_that_fills_up_does_not_stop_the_group() {
    with_servers("a_disk_that_fills_up_does_not_stop_the_group", |cluster| {
        let Some(mounted) = on_tmpfs(cluster, 0, "16m")? else {
            return Ok(());
        };
        start_some(cluster, &[0, 1, 2])?;
        cluster.wait_ready()?;
        fill(&mounted.path)?;
        let old = cluster.master_port()?;
        cluster.server_at_mut(old)?.process()?.kill9()?;
        let new = cluster.wait_new_master_at(&[1, 2], old, PATIENCE)?;
        if cluster.node_mut(0)?.is_running() {
            cluster.node_mut(0)?.process()?.kill9()?;
        }
        let before = snapshot(&mounted.path)?;
        expect_refusal(cluster, 0, &["no space"])?;
        ensure!(
            snapshot(&mounted.path)? == before,
            "the data directory was changed"
        );
        std::fs::remove_file(mounted.path.join("filler"))?;
        cluster.node_mut(0)?.start()?;
        cluster.server_at_mut(old)?.restart()?;
        cluster.wait_ready()?;
        ensure!(cluster.master_port()? == new, "the master was changed once more");
        Ok(())
    });
}

#[test]
fn a_copied_data_directory_is_refused() {
    scenario(
        "a_copied_data_directory_is_refused",
        ClusterOptions::default(),
        |cluster| {
            if !cluster.is_ours() {
                return Ok(());
            }
            cluster.node_mut(0)?.process()?.terminate()?;
            let original = raft_dir(cluster.node(0)?.dir())?;
            let moved = original.with_file_name("original");
            std::fs::rename(&original, &moved)?;
            let copied = Command::new("cp")
                .arg("-a")
                .arg(&moved)
                .arg(&original)
                .output()
                .context("cp")?;
            ensure!(
                copied.status.success(),
                "cp: {}",
                String::from_utf8_lossy(&copied.stderr)
            );
            let before = snapshot(&original)?;
            expect_refusal(cluster, 0, &["copy", "copied", "moved"])?;
            ensure!(snapshot(&original)? == before, "the data directory was changed");
            std::fs::remove_dir_all(&original)?;
            std::fs::rename(&moved, &original)?;
            cluster.node_mut(0)?.start()?;
            cluster.wait_ready()
        },
    );
}

/// CRC-32 of IEEE 802.3, as the small files of the data directory end with it.
fn crc32(bytes: &[u8]) -> u32 {
    let bit = |crc: u32, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1));
    let byte = |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), bit);
    !bytes.iter().fold(u32::MAX, byte)
}

#[test]
fn a_directory_of_another_version_is_refused_with_a_remedy() {
    let name = "a_directory_of_another_version_is_refused_with_a_remedy";
    scenario(name, ClusterOptions::default(), |cluster| {
        cluster.node_mut(0)?.process()?.terminate()?;
        let place = raft_dir(cluster.node(0)?.dir())?;
        let file = place.join("identity");
        let whole = std::fs::read(&file)?;
        let mut other = whole[..whole.len() - 4].to_vec();
        // Magic, kind and length take twelve bytes; then comes the version of the layout.
        other[12] = 1;
        other.extend_from_slice(&crc32(&other).to_le_bytes());
        std::fs::write(&file, other)?;
        let before = snapshot(&place)?;
        expect_refusal(
            cluster,
            0,
            &["written by another version of sentinel on raft (layout 1"],
        )?;
        let text = said(cluster, 0)?;
        let remedy = format!("move their data directories away (here {})", place.display());
        ensure!(text.contains(&remedy), "no remedy in:\n{text}");
        ensure!(snapshot(&place)? == before, "something was written");
        std::fs::write(&file, whole)?;
        cluster.node_mut(0)?.launch()?;
        cluster.node_mut(0)?.wait_ping()?;
        cluster.wait_ready()
    });
}

#[test]
fn a_node_of_another_group_is_kept_out() {
    scenario(
        "a_node_of_another_group_is_kept_out",
        ClusterOptions::default(),
        |ours| {
            if !ours.is_ours() {
                return Ok(());
            }
            let mut theirs = Cluster::start(ClusterOptions::default())?;
            theirs.wait_ready()?;
            let stranger_id = theirs.node(0)?.myid()?;
            theirs.node_mut(0)?.process()?.terminate()?;
            // Its file now names our nodes, its data directory is that of the other group.
            for index in [1, 2] {
                let from = format!("sentinel peer 127.0.0.1 {}\n", theirs.node(index)?.port());
                let to = format!("sentinel peer 127.0.0.1 {}\n", ours.node(index)?.port());
                theirs.node_mut(0)?.edit_config(&from, &to)?;
            }
            theirs.node_mut(0)?.launch()?;
            wait_for("it says that it belongs to another group", PATIENCE, || {
                let text = said(&theirs, 0)?.to_lowercase();
                ensure!(text.contains("another group"), "it has not");
                Ok(())
            })
            .with_context(|| theirs.tails(40))?;
            holds_for("our group does not know it", Duration::from_secs(3), || {
                for node in &ours.nodes {
                    let reply = node.command(&["SENTINEL", "SENTINELS", "redis-master-node"])?;
                    ensure!(
                        !reply.to_string().contains(&stranger_id),
                        "node {} lists it",
                        node.index()
                    );
                    ensure!(reply.array()?.len() == 2, "node {} lists {reply}", node.index());
                }
                Ok(())
            })?;
            if theirs.node_mut(0)?.is_running() {
                let id = theirs.node(0)?.myid()?;
                ensure!(id == stranger_id, "its identity was overwritten");
            }
            Ok(())
        },
    );
}

/// The harness itself: a process that was killed is not counted as running.
#[test]
fn an_ended_process_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let program = integration::harness::process::find_program("sleep").unwrap();
    let args = [String::from("60")];
    let mut process = Process::spawn(
        "sleep",
        &program,
        &args,
        folder.path(),
        &folder.path().join("out"),
    )
    .unwrap();
    assert!(process.exit_status().is_none());
    process.kill9().unwrap();
    assert!(process.exit_status().is_some());
}
