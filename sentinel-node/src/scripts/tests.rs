//! Paths and calls as pure functions; processes with real scripts.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sentinel_core::replicated::{Command, GroupOptions, PlanCause, State, apply};
use sentinel_proto::event::{EventName, InstanceRef};
use sentinel_proto::{HostPort, MasterName, NodeId, SentinelId, WallTime};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::clock::SystemClock;
use crate::config::{NoIncludes, parse};
use crate::pubsub::Subscription;

const DEADLINE: Duration = Duration::from_secs(20);

fn at(port: u16) -> HostPort {
    HostPort::new("127.0.0.1", port)
}

fn m() -> MasterName {
    MasterName::new("m").unwrap()
}

/// A state that monitors `m` with these replicated paths.
fn state(notification: Option<&str>, client_reconfig: Option<&str>) -> State {
    let mut options = GroupOptions::with_quorum(1);
    options.notification_script = notification.map(str::to_owned);
    options.client_reconfig_script = client_reconfig.map(str::to_owned);
    let mut state = State::default();
    let monitor = Command::Monitor {
        master: m(),
        address: at(6379),
        options,
        at: WallTime(1),
    };
    apply(&mut state, 1, &monitor);
    state
}

fn paths(text: &str) -> ScriptPaths {
    let text = format!("sentinel monitor m 127.0.0.1 6379 1\n{text}");
    ScriptPaths::from_config(&parse("f", &text, &mut NoIncludes).unwrap())
}

#[test]
fn a_replicated_path_is_only_taken_where_the_file_allows_it() {
    use ScriptKind::{ClientReconfig, Notification};
    let own = "sentinel notification-script m /own\n";
    let replicated = state(Some("/log"), Some("/log2"));
    let other = MasterName::new("other").unwrap();
    for deny in ["", "sentinel deny-scripts-reconfig yes\n"] {
        let paths = paths(&format!("{own}{deny}"));
        let get = |kind, master: &MasterName| paths.path(kind, master, &replicated);
        assert_eq!(get(Notification, &m()).as_deref(), Some("/own"));
        assert_eq!(get(ClientReconfig, &m()), None);
        assert_eq!(get(Notification, &other), None);
    }
    let paths = paths(&format!("{own}sentinel deny-scripts-reconfig no\n"));
    let get = |kind, state: &State| paths.path(kind, &m(), state);
    assert_eq!(get(Notification, &replicated).as_deref(), Some("/log"));
    assert_eq!(get(ClientReconfig, &replicated).as_deref(), Some("/log2"));
    assert_eq!(
        get(Notification, &state(None, None)),
        None,
        "taken away at run time"
    );
    assert_eq!(get(Notification, &State::default()).as_deref(), Some("/own"));
}

const ME: NodeId = NodeId(1);

/// A master at 6379 with a replica at 6380, and one sentinel.
fn deployed() -> State {
    let mut state = state(None, None);
    let replica = Command::AddReplicas {
        master: m(),
        listed_by: at(6379),
        replicas: vec![at(6380)],
        at: WallTime(1),
    };
    let member = Command::SetMember {
        node: ME,
        myid: SentinelId::from_bytes([1; 20]),
        address: at(26379),
    };
    apply(&mut state, 2, &replica);
    apply(&mut state, 3, &member);
    state
}

/// The commands of a failover to 6380 by this node.
fn failover() -> [Command; 3] {
    let open = Command::OpenFailover {
        master: m(),
        config_epoch: 0,
        failover_epoch: 1,
        executor: ME,
        cause: PlanCause::Forced,
        evidence: Vec::new(),
        choice: None,
        before: Vec::new(),
        at: WallTime(2),
    };
    let choose = Command::Choose {
        master: m(),
        failover_epoch: 1,
        executor_generation: 1,
        replica: at(6380),
        failed: None,
        refused: Vec::new(),
        at: WallTime(2),
    };
    let switch = Command::Switch {
        master: m(),
        failover_epoch: 1,
        address: at(6380),
        steps: Vec::new(),
        at: WallTime(3),
    };
    [open, choose, switch]
}

#[test]
fn a_failover_is_a_call_also_by_way_of_a_snapshot() {
    let before = deployed();
    let mut after = before.clone();
    let mut calls = Vec::new();
    for (index, command) in (4..).zip(failover()) {
        let was = after.clone();
        let (_, changes) = apply(&mut after, index, &command);
        calls.extend(client_reconfigs(&changes, &was, &after, ME));
    }
    let argv = |calls: &[ClientReconfig]| -> Vec<String> {
        let argv = calls.iter().map(|call| call.argv("/s".to_owned()));
        argv.map(|words| words.join(" ")).collect()
    };
    assert_eq!(argv(&calls), ["/s m leader start 127.0.0.1 6379 127.0.0.1 6380"]);
    let jumped = client_reconfigs(&[], &before, &after, ME);
    let observed = "/s m observer start 127.0.0.1 6379 127.0.0.1 6380";
    assert_eq!(argv(&jumped), [observed]);
    assert_eq!(client_reconfigs(&[], &after, &after, ME), []);
}

#[test]
fn an_edited_address_is_no_call() {
    let before = deployed();
    let mut edited = before.clone();
    let edit = Command::SetAddress {
        master: m(),
        address: at(7000),
        expected: at(6379),
    };
    let (_, changes) = apply(&mut edited, 4, &edit);
    assert!(!changes.is_empty());
    assert_eq!(client_reconfigs(&changes, &before, &edited, ME), []);
    assert_eq!(client_reconfigs(&[], &before, &edited, ME), []);
}

/// A queue with real processes, and the folder that they run in.
struct World {
    folder: tempfile::TempDir,
    view: Arc<NodeView>,
    hub: Hub,
    scripts: Scripts,
}

impl World {
    /// `m` has this notification script; it may be missing.
    fn new(script: &str, text: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        if let Some(text) = text {
            write_script(&folder.path().join(script), text);
        }
        let clock: SharedClock = Arc::new(SystemClock::start());
        let state = Arc::new(state(None, None));
        let view = Arc::new(NodeView::new(ME, SentinelId::from_bytes([1; 20]), state));
        let own = paths(&format!("sentinel notification-script m {script}\n"));
        view.script_paths.store(Arc::new(own));
        let hub = Hub::start(Arc::clone(&clock));
        let dir = folder.path().to_owned();
        let scripts = Scripts::start(dir, Arc::clone(&view), hub.clone(), clock).unwrap();
        Self {
            folder,
            view,
            hub,
            scripts,
        }
    }

    fn notify(&self) {
        let master = InstanceRef::master(&m(), &at(6379));
        self.scripts.notify(&Event::about(EventName::Sdown, &master));
    }

    /// Waits for a line that the script wrote into a file of its folder.
    async fn written(&self, file: &str) -> String {
        let path = self.folder.path().join(file);
        until(file, || {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            text.ends_with('\n').then_some(text)
        })
        .await
    }
}

/// Written under another name by another process: a file that this process has open for writing while another thread
/// starts a child cannot be executed.
fn write_script(path: &Path, text: &str) {
    let draft = path.with_extension("draft");
    std::fs::write(&draft, text).unwrap();
    std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o755)).unwrap();
    let copied = std::process::Command::new("cp")
        .arg("-p")
        .arg(&draft)
        .arg(path)
        .status();
    assert!(copied.unwrap().success());
}

async fn until<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = check() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let found = tokio::time::timeout(DEADLINE, found).await;
    found.unwrap_or_else(|_| panic!("{what}: not within {DEADLINE:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_gets_its_arguments_the_folder_and_no_descriptor() {
    // Relative to `dir`, without a slash: neither PATH nor a shell is asked.
    let text = "#!/bin/sh\nprintf '%s|' \"$PWD\" \"$HOME\" \"$@\" > a.tmp; echo >> a.tmp; mv a.tmp args\n\
                readlink /proc/$$/fd/* | sort -u > f.tmp; mv f.tmp fds\n";
    let w = World::new("notify.sh", Some(text));
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let file = std::fs::File::create(w.folder.path().join("secret")).unwrap();
    // What is left open on purpose shows that this test can fail.
    let canary = w.folder.path().canonicalize().unwrap().join("canary");
    let open = std::fs::File::create(&canary).unwrap();
    rustix::io::fcntl_setfd(&open, rustix::io::FdFlags::empty()).unwrap();
    w.notify();
    let home = std::env::var("HOME").unwrap_or_default();
    let dir = w.folder.path().canonicalize().unwrap();
    assert_eq!(
        w.written("args").await,
        format!("{}|{home}|+sdown|master m 127.0.0.1 6379|\n", dir.display())
    );
    let descriptors = w.written("fds").await;
    // Of what this process inherited itself the script may have a copy; sockets and files were opened here.
    let foreign = |line: &&str| {
        let known = ["/dev/", "pipe:", "/proc/"]
            .iter()
            .any(|start| line.starts_with(start));
        !known && !line.ends_with("notify.sh") && !inherited().contains(*line)
    };
    let leaked: Vec<&str> = descriptors.lines().filter(foreign).collect();
    assert_eq!(leaked, [canary.display().to_string()]);
    drop((socket, file, open));
    until("the queue is empty", || {
        w.view.scripts.load().is_empty().then_some(())
    })
    .await;
}

/// Targets of the descriptors 0, 1 and 2 of this process.
fn inherited() -> BTreeSet<String> {
    (0..3)
        .filter_map(|fd| std::fs::read_link(format!("/proc/self/fd/{fd}")).ok())
        .map(|path| path.display().to_string())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_executed_is_an_error_with_status_2() {
    // A script without a first line `#!` is nothing that a shell would be asked to read.
    for text in [None, Some("echo hello > /dev/null\n")] {
        let w = World::new("missing", text);
        let mut events = w.hub.attach(
            1,
            Arc::new(crate::pubsub::Backlog::new(crate::config::OutputLimit::default())),
            CancellationToken::new(),
        );
        let all = Subscription::Pattern(bytes::Bytes::from_static(b"*"));
        w.hub.change(1, all);
        w.notify();
        let event = tokio::time::timeout(DEADLINE, events.recv())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            event.event.event.to_string(),
            "-script-error missing 0 2",
            "{text:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn running_and_waiting_scripts_are_shown() {
    let text = "#!/bin/sh\necho $$ > pid\nwhile [ ! -e go ]; do sleep 0.02; done\nexit 1\n";
    let w = World::new("slow", Some(text));
    w.notify();
    let pid: u32 = w.written("pid").await.trim().parse().unwrap();
    until("it is shown as running", || {
        let jobs = w.view.scripts.load();
        (jobs.len() == 1 && jobs[0].pid() == pid).then_some(())
    })
    .await;
    std::fs::write(w.folder.path().join("go"), "").unwrap();
    until("it waits for its second run", || {
        let jobs = w.view.scripts.load();
        (jobs.len() == 1 && !jobs[0].is_running() && jobs[0].runs == 1).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_short_scripts_all_end() {
    let w = World::new("short", Some("#!/bin/sh\necho x >> count\n"));
    for _ in 0..60 {
        w.notify();
    }
    until("all have run", || {
        let text = std::fs::read_to_string(w.folder.path().join("count")).unwrap_or_default();
        (text.lines().count() == 60 && w.view.scripts.load().is_empty()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shorter_limit_holds_for_what_runs_already() {
    let w = World::new("endless", Some("#!/bin/sh\necho $$ > pid\nexec sleep 100\n"));
    w.notify();
    w.written("pid").await;
    assert!(w.view.tuning.set("script-max-runtime", 1));
    until("it was killed and waits for its second run", || {
        let jobs = w.view.scripts.load();
        (jobs.len() == 1 && !jobs[0].is_running() && jobs[0].runs == 1).then_some(())
    })
    .await;
}
