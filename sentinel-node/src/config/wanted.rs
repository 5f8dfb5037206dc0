//! The lines that the file is to have: the applied state and this node's own settings, as Sentinel writes them. Pure.
//!
//! References: sentinel.c `rewriteConfigSentinelOption`; config.c `rewriteConfig`.

use std::collections::BTreeMap;
use std::path::Path;

use sentinel_core::replicated::{Group, GroupOptions, State};
use sentinel_proto::{MasterName, NodeId, SentinelId};

use crate::scripts::{ScriptKind, ScriptPaths};

use super::known;
use super::rewrite::{Content, Wanted, key_of, word, words_of};
use super::seed::quoted;
use super::types::LogLevel;

/// Options of `sentinel` lines that are written here: what is in the file and not wanted any more becomes blank.
const OWNED: &[&str] = &[
    "myid",
    "deny-scripts-reconfig",
    "resolve-hostnames",
    "announce-hostnames",
    "monitor",
    "down-after-milliseconds",
    "failover-timeout",
    "parallel-syncs",
    "notification-script",
    "client-reconfig-script",
    "auth-pass",
    "auth-user",
    "master-reboot-down-after-period",
    "config-epoch",
    "leader-epoch",
    "known-replica",
    "known-sentinel",
    "rename-command",
    "crash-down-after-milliseconds",
    "replica-witness",
    "current-epoch",
    "announce-ip",
    "announce-port",
    "sentinel-user",
    "sentinel-pass",
];
/// Lines that mean nothing to a sentinel, and that Sentinel takes out.
const REMOVED: &[&str] = &["save", "loadmodule", "replicaof"];

/// What this node is and has been told, apart from the group.
#[derive(Debug, Clone, Copy)]
pub struct Own<'a> {
    /// Its Raft identity.
    pub node: NodeId,
    /// `myid`.
    pub myid: &'a SentinelId,
    /// `dir`, absolute.
    pub dir: &'a Path,
    /// `port` in force.
    pub port: u16,
    /// `protected-mode`.
    pub protected_mode: bool,
    /// `loglevel` in force.
    pub loglevel: LogLevel,
    /// `sentinel deny-scripts-reconfig`.
    pub deny_scripts_reconfig: bool,
    /// What SENTINEL CONFIG GET shows: names and values.
    pub parameters: &'a [(&'static str, String)],
    /// Which scripts are run here.
    pub scripts: &'a ScriptPaths,
    /// All users as lines `user NAME RULES...`; `None` = they are not this file's to write.
    pub users: Option<&'a [String]>,
}

/// Collects the lines in Sentinel's order.
struct Lines<'a> {
    content: Content,
    /// Lines of included files and of the command line.
    elsewhere: &'a [Vec<String>],
}

impl Lines<'_> {
    /// A line that is not repeated here when another file has it just so.
    fn push(&mut self, line: String, needed: bool) {
        let Some(words) = words_of(&line) else {
            return;
        };
        if self.elsewhere.contains(&words) {
            return;
        }
        if let Some(key) = key_of(&words) {
            self.content.wanted.push(Wanted { key, line, needed });
        }
    }

    fn sentinel(&mut self, line: String) {
        self.push(format!("sentinel {line}"), true);
    }
}

/// What the file at hand is to say. `main` is its present text, `elsewhere` the words of all lines that included files and
/// the command line bring.
pub(super) fn content(main: &str, elsewhere: &[Vec<String>], own: &Own<'_>, state: &State) -> Content {
    let present: Vec<Vec<String>> = main.lines().filter_map(words_of).collect();
    let mut lines = Lines {
        content: Content {
            foreign_masters: monitored(elsewhere).cloned().collect(),
            ..Content::default()
        },
        elsewhere,
    };
    let owned = &mut lines.content.owned;
    owned.extend(OWNED.iter().map(|sub| format!("sentinel {sub}")));
    owned.extend(REMOVED.iter().map(|&directive| directive.to_owned()));
    plain(&present, own, &mut lines);
    if let Some(users) = own.users {
        lines.content.owned.insert("user".to_owned());
        // A user that another file declares must not be declared twice.
        let declared = |user: &&String| {
            let name = words_of(user).and_then(|words| words.get(1).cloned());
            elsewhere
                .iter()
                .any(|line| line.first().is_some_and(|word| word == "user") && line.get(1) == name.as_ref())
        };
        let ours = users.iter().filter(|user| !declared(user));
        ours.for_each(|user| lines.push(user.clone(), true));
    }
    before_masters(own, &mut lines);
    for group in in_file_order(&present, state) {
        if !lines.content.foreign_masters.contains(group.name.as_str()) {
            master(group, state, own, &mut lines);
        }
    }
    after_masters(own, state, &mut lines);
    lines.content
}

/// The lines of a text that this node writes: when they are not as it last wrote them, somebody edited them.
pub(super) fn owned_lines(text: &str) -> Vec<Vec<String>> {
    let is_ours = |words: &Vec<String>| {
        key_of(words).is_some_and(|key| {
            let sub = key.strip_prefix("sentinel ");
            sub.is_some_and(|sub| OWNED.contains(&sub)) || key == "loglevel"
        })
    };
    text.lines().filter_map(words_of).filter(is_ours).collect()
}

/// Names in `sentinel monitor` lines, in order.
fn monitored(lines: &[Vec<String>]) -> impl Iterator<Item = &String> {
    let is_monitor = |words: &&Vec<String>| key_of(words).is_some_and(|key| key == "sentinel monitor");
    lines.iter().filter(is_monitor).filter_map(|words| words.get(2))
}

/// Masters in the order of the file, new ones after them by name, so that unchanged lines stay where they are.
fn in_file_order<'s>(present: &[Vec<String>], state: &'s State) -> Vec<&'s Group> {
    let mut left: BTreeMap<&MasterName, &Group> = state.groups.iter().map(|(n, g)| (n, &**g)).collect();
    let mut ordered = Vec::new();
    for name in monitored(present).filter_map(|name| MasterName::new(name.as_str()).ok()) {
        ordered.extend(left.remove(&name));
    }
    ordered.extend(left.into_values());
    ordered
}

/// Directives with one value: the last line counts and is kept, in the form in which Redis writes it. What Sentinel
/// always writes comes first.
fn plain(present: &[Vec<String>], own: &Own<'_>, lines: &mut Lines<'_>) {
    let mut last: BTreeMap<String, String> = BTreeMap::new();
    for words in present {
        let (Some(first), Some(key)) = (words.first(), key_of(words)) else {
            continue;
        };
        if let Some(kind) = known::kind(first).filter(|kind| kind.is_single()) {
            last.insert(key.clone(), kind.line(&key, words.get(1..).unwrap_or_default()));
        }
    }
    let has = |key: &str| last.contains_key(key);
    let mut forced = vec![format!("dir {}", quoted(&own.dir.display().to_string()))];
    if !has("latency-tracking-info-percentiles") {
        forced.push("latency-tracking-info-percentiles 50 99 99.9".to_owned());
    }
    if !has("port")
        && !lines
            .elsewhere
            .iter()
            .any(|words| words.first().is_some_and(|w| w == "port"))
    {
        forced.push(format!("port {}", own.port));
    }
    if !has("protected-mode") {
        forced.push(format!("protected-mode {}", yes_no(own.protected_mode)));
    }
    if has("loglevel") || own.loglevel != LogLevel::default() {
        forced.push(format!("loglevel {}", own.loglevel.name()));
    }
    for line in forced {
        let Some(key) = words_of(&line).as_deref().and_then(key_of) else {
            continue;
        };
        lines.content.owned.insert(key.clone());
        if last.remove(&key).is_some() {
            // It stands here, and stays here when the command line says the same: the next one may not.
            let needed = true;
            lines.content.wanted.push(Wanted { key, line, needed });
        } else {
            lines.push(line, true);
        }
    }
    for (key, line) in last {
        // Written where it stands: this is no line that another file has.
        lines.content.owned.insert(key.clone());
        lines.content.wanted.push(Wanted {
            key,
            line,
            needed: false,
        });
    }
}

fn yes_no(flag: bool) -> &'static str {
    if flag { "yes" } else { "no" }
}

fn parameter<'a>(own: &'a Own<'_>, name: &str) -> &'a str {
    let found = own.parameters.iter().find(|(known, _)| *known == name);
    found.map_or("", |(_, value)| value)
}

fn before_masters(own: &Own<'_>, lines: &mut Lines<'_>) {
    lines.sentinel(format!("myid {}", own.myid));
    let deny = own.deny_scripts_reconfig;
    lines.push(format!("sentinel deny-scripts-reconfig {}", yes_no(deny)), !deny);
    for name in ["resolve-hostnames", "announce-hostnames"] {
        let value = parameter(own, name);
        lines.push(
            format!("sentinel {name} {}", yes_no(value == "yes")),
            value == "yes",
        );
    }
}

fn after_masters(own: &Own<'_>, state: &State, lines: &mut Lines<'_>) {
    lines.sentinel(format!("current-epoch {}", state.current_epoch));
    let announce_ip = parameter(own, "announce-ip");
    if !announce_ip.is_empty() {
        lines.sentinel(format!("announce-ip {}", quoted(announce_ip)));
    }
    let announce_port = parameter(own, "announce-port");
    if !announce_port.is_empty() && announce_port != "0" {
        lines.sentinel(format!("announce-port {announce_port}"));
    }
    for name in ["sentinel-user", "sentinel-pass"] {
        let value = parameter(own, name);
        if !value.is_empty() {
            lines.sentinel(format!("{name} {}", word(value)));
        }
    }
}

fn master(group: &Group, state: &State, own: &Own<'_>, lines: &mut Lines<'_>) {
    let name = word(group.name.as_str());
    let (address, options) = (&group.address, &group.options);
    lines.sentinel(format!(
        "monitor {name} {} {} {}",
        word(&address.host),
        address.port,
        options.odown_quorum
    ));
    for (option, value) in classic_options(group, state, own) {
        lines.sentinel(format!("{option} {name} {}", word(&value)));
    }
    lines.sentinel(format!("config-epoch {name} {}", group.config_epoch));
    lines.sentinel(format!("leader-epoch {name} {}", leader_epoch(group)));
    for replica in group.replicas.keys() {
        lines.sentinel(format!(
            "known-replica {name} {} {}",
            word(&replica.host),
            replica.port
        ));
    }
    for (node, member) in &state.members {
        if *node != own.node {
            let (host, port) = (word(&member.address.host), member.address.port);
            lines.sentinel(format!("known-sentinel {name} {host} {port} {}", member.myid));
        }
    }
    for (old, new) in &options.rename_commands {
        lines.sentinel(format!("rename-command {name} {} {}", word(old), word(new)));
    }
    let usual = GroupOptions::with_quorum(1);
    if options.crash_down_after_ms != usual.crash_down_after_ms {
        let ms = options.crash_down_after_ms;
        lines.sentinel(format!("crash-down-after-milliseconds {name} {ms}"));
    }
    if options.replica_witness != usual.replica_witness {
        lines.sentinel(format!(
            "replica-witness {name} {}",
            yes_no(options.replica_witness)
        ));
    }
}

/// Options that are not at their default, in Sentinel's order.
fn classic_options(group: &Group, state: &State, own: &Own<'_>) -> Vec<(&'static str, String)> {
    let usual = GroupOptions::with_quorum(1);
    let options = &group.options;
    let mut given = Vec::new();
    let mut number = |name, value: u64, default: u64| {
        if value != default {
            given.push((name, value.to_string()));
        }
    };
    number(
        "down-after-milliseconds",
        options.down_after_ms,
        usual.down_after_ms,
    );
    number(
        "failover-timeout",
        options.failover_timeout_ms,
        usual.failover_timeout_ms,
    );
    number(
        "parallel-syncs",
        options.parallel_syncs.into(),
        usual.parallel_syncs.into(),
    );
    let mut text = |name, value: Option<String>| given.extend(value.map(|value| (name, value)));
    let script = |kind| own.scripts.path(kind, &group.name, state);
    text("notification-script", script(ScriptKind::Notification));
    text("client-reconfig-script", script(ScriptKind::ClientReconfig));
    text("auth-pass", options.auth_pass.clone());
    text("auth-user", options.auth_user.clone());
    if options.master_reboot_down_after_ms != usual.master_reboot_down_after_ms {
        given.push((
            "master-reboot-down-after-period",
            options.master_reboot_down_after_ms.to_string(),
        ));
    }
    given
}

/// The epoch of the last plan for this master, which is what a vote was.
fn leader_epoch(group: &Group) -> u64 {
    let open = group.plan.as_ref().map(|plan| plan.failover_epoch);
    let closed = group.history.iter().map(|plan| plan.plan.failover_epoch);
    closed.chain(open).fold(group.config_epoch, u64::max)
}

#[cfg(test)]
#[path = "wanted_tests.rs"]
mod tests;
