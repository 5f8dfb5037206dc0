//! The text of INFO: sections in Sentinel's order and lines in Redis's.

use std::fmt::{self, Write as _};

use crate::command::InfoSections;
use crate::resp::Frame;
use crate::types::{HostPort, MasterName};

/// `# Server`. The caller gives what it knows of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerInfo {
    /// `redis_version`: the version whose behaviour clients may expect.
    pub redis_version: String,
    /// `redis_build_id`.
    pub build_id: String,
    /// `os`: name, release, machine.
    pub os: String,
    /// `process_id`.
    pub process_id: u32,
    /// `process_supervised`: `no`, `systemd` or `upstart`.
    pub supervised: &'static str,
    /// `run_id`: 40 hexadecimal characters, new at each start; not `myid`.
    pub run_id: String,
    /// `tcp_port`.
    pub tcp_port: u16,
    /// `server_time_usec`: wall clock.
    pub server_time_usec: u64,
    /// `uptime_in_seconds`.
    pub uptime_s: u64,
    /// `executable`.
    pub executable: String,
    /// `config_file`.
    pub config_file: String,
    /// `listener0` and so on.
    pub listeners: Vec<ListenerInfo>,
}

/// A `listener` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerInfo {
    /// In the name of the line: 0 is TCP, 1 a Unix socket, 2 TLS.
    pub number: u8,
    /// `tcp`, `unix` or `tls`.
    pub name: &'static str,
    /// Addresses as in `bind`, or the path.
    pub bind: Vec<String>,
    /// The port; 0 = none.
    pub port: u16,
}

/// `# Clients`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClientsInfo {
    /// `connected_clients`.
    pub connected: usize,
    /// `maxclients`.
    pub max_clients: usize,
    /// `client_recent_max_input_buffer`, bytes.
    pub max_input_bytes: usize,
    /// `client_recent_max_output_buffer`, bytes.
    pub max_output_bytes: usize,
    /// `blocked_clients`: wait for the end of a CLIENT PAUSE.
    pub blocked: usize,
    /// `tracking_clients`.
    pub tracking: usize,
    /// `pubsub_clients`.
    pub subscribers: usize,
}

/// `# Stats`: what a sentinel counts; the other lines of a data server's block are 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StatsInfo {
    /// `total_connections_received`.
    pub connections: u64,
    /// `total_commands_processed`.
    pub commands: u64,
    /// `instantaneous_ops_per_sec`.
    pub ops_per_s: u64,
    /// `total_net_input_bytes`.
    pub input_bytes: u64,
    /// `total_net_output_bytes`.
    pub output_bytes: u64,
    /// `instantaneous_input_kbps`, in bytes per second.
    pub input_bytes_per_s: u64,
    /// `instantaneous_output_kbps`, in bytes per second.
    pub output_bytes_per_s: u64,
    /// `rejected_connections`.
    pub rejected_connections: u64,
    /// `pubsub_channels`.
    pub channels: usize,
    /// `pubsub_patterns`.
    pub patterns: usize,
    /// `total_error_replies`.
    pub error_replies: u64,
    /// `total_reads_processed`.
    pub reads: u64,
    /// `total_writes_processed`.
    pub writes: u64,
    /// `client_query_buffer_limit_disconnections`.
    pub query_limit_disconnections: u64,
    /// `client_output_buffer_limit_disconnections`.
    pub output_limit_disconnections: u64,
    /// `acl_access_denied_auth`.
    pub auth_denied: u64,
    /// `acl_access_denied_cmd`.
    pub command_denied: u64,
    /// `acl_access_denied_channel`.
    pub channel_denied: u64,
}

/// `# CPU`, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CpuInfo {
    /// `used_cpu_sys`.
    pub sys_us: u64,
    /// `used_cpu_user`.
    pub user_us: u64,
    /// `used_cpu_sys_children`.
    pub sys_children_us: u64,
    /// `used_cpu_user_children`.
    pub user_children_us: u64,
    /// `used_cpu_sys_main_thread`.
    pub sys_main_us: u64,
    /// `used_cpu_user_main_thread`.
    pub user_main_us: u64,
}

/// Status word of a `masterI:` line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MasterStatus {
    /// `ok`.
    Ok,
    /// `sdown`.
    Sdown,
    /// `odown`.
    Odown,
}

impl fmt::Display for MasterStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Sdown => "sdown",
            Self::Odown => "odown",
        })
    }
}

/// One `masterI:` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MasterLine {
    /// Name.
    pub name: MasterName,
    /// Status.
    pub status: MasterStatus,
    /// Address; not bracketed.
    pub address: HostPort,
    /// All known replicas, also dead ones.
    pub replicas: usize,
    /// Known sentinels, this one included.
    pub sentinels: usize,
}

/// `# Sentinel`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SentinelInfo {
    /// Seconds since TILT was entered; `None` = not in TILT.
    pub tilt_since_s: Option<u64>,
    /// `sentinel_total_tilt`.
    pub total_tilt: u64,
    /// `sentinel_running_scripts`.
    pub running_scripts: usize,
    /// `sentinel_scripts_queue_length`: running and waiting.
    pub script_queue: usize,
    /// `sentinel_simulate_failure_flags`: 1 = after election, 2 = after promotion, 3 = both.
    pub failure_flags: u32,
    /// One line each, numbered from 0.
    pub masters: Vec<MasterLine>,
}

/// Everything INFO can show; a section left out by the request need not be filled.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Info {
    /// `# Server`.
    pub server: ServerInfo,
    /// `# Clients`.
    pub clients: ClientsInfo,
    /// `# Stats`.
    pub stats: StatsInfo,
    /// `# CPU`.
    pub cpu: CpuInfo,
    /// `# Sentinel`.
    pub sentinel: SentinelInfo,
}

/// Text under construction.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn section(&mut self, title: &str) {
        if !self.0.is_empty() {
            self.0.push_str("\r\n");
        }
        // Writing to a String cannot fail, here and below.
        let _ = write!(self.0, "# {title}\r\n");
    }

    fn line(&mut self, key: impl fmt::Display, value: impl fmt::Display) {
        let _ = write!(self.0, "{key}:{value}\r\n");
    }

    fn zeros(&mut self, keys: &[&str]) {
        for key in keys {
            self.line(key, 0);
        }
    }
}

impl Info {
    /// The reply: a plain bulk string, also in RESP3 (unlike a data server's).
    #[must_use]
    pub fn reply(&self, sections: InfoSections) -> Frame {
        Frame::bulk(self.text(sections))
    }

    /// The text.
    #[must_use]
    pub fn text(&self, sections: InfoSections) -> String {
        let mut out = Lines::default();
        if sections.server {
            self.server.write(&mut out);
        }
        if sections.clients {
            self.clients.write(&mut out);
        }
        if sections.stats {
            self.stats.write(&mut out);
        }
        if sections.cpu {
            self.cpu.write(&mut out);
        }
        if sections.sentinel {
            self.sentinel.write(&mut out);
        }
        out.0
    }
}

impl ServerInfo {
    fn write(&self, out: &mut Lines) {
        out.section("Server");
        out.line("redis_version", &self.redis_version);
        out.line("redis_git_sha1", "00000000");
        out.line("redis_git_dirty", 0);
        out.line("redis_build_id", &self.build_id);
        out.line("redis_mode", "sentinel");
        out.line("os", &self.os);
        out.line("arch_bits", usize::BITS);
        out.line("monotonic_clock", "POSIX clock_gettime");
        out.line("multiplexing_api", "epoll");
        out.line("atomicvar_api", "c11-builtin");
        out.line("gcc_version", "0.0.0");
        out.line("process_id", self.process_id);
        out.line("process_supervised", self.supervised);
        out.line("run_id", &self.run_id);
        out.line("tcp_port", self.tcp_port);
        out.line("server_time_usec", self.server_time_usec);
        out.line("uptime_in_seconds", self.uptime_s);
        out.line("uptime_in_days", self.uptime_s / 86_400);
        out.line("hz", 10);
        out.line("configured_hz", 10);
        // A 24-bit clock of seconds, as Redis shows it.
        out.line("lru_clock", (self.server_time_usec / 1_000_000) & 0xff_ffff);
        out.line("executable", &self.executable);
        out.line("config_file", &self.config_file);
        out.line("io_threads_active", 0);
        for listener in &self.listeners {
            let mut text = format!("name={}", listener.name);
            for address in &listener.bind {
                let _ = write!(text, ",bind={address}");
            }
            if listener.port != 0 {
                let _ = write!(text, ",port={}", listener.port);
            }
            out.line(format!("listener{}", listener.number), text);
        }
    }
}

impl ClientsInfo {
    fn write(&self, out: &mut Lines) {
        out.section("Clients");
        out.line("connected_clients", self.connected);
        out.line("cluster_connections", 0);
        out.line("maxclients", self.max_clients);
        out.line("client_recent_max_input_buffer", self.max_input_bytes);
        out.line("client_recent_max_output_buffer", self.max_output_bytes);
        out.line("blocked_clients", self.blocked);
        out.line("tracking_clients", self.tracking);
        out.line("pubsub_clients", self.subscribers);
        out.zeros(&[
            "watching_clients",
            "clients_in_timeout_table",
            "total_watched_keys",
            "total_blocking_keys",
            "total_blocking_keys_on_nokey",
        ]);
    }
}

impl StatsInfo {
    fn write(&self, out: &mut Lines) {
        out.section("Stats");
        out.line("total_connections_received", self.connections);
        out.line("total_commands_processed", self.commands);
        out.line("instantaneous_ops_per_sec", self.ops_per_s);
        out.line("total_net_input_bytes", self.input_bytes);
        out.line("total_net_output_bytes", self.output_bytes);
        out.zeros(&["total_net_repl_input_bytes", "total_net_repl_output_bytes"]);
        out.line("instantaneous_input_kbps", kib(self.input_bytes_per_s));
        out.line("instantaneous_output_kbps", kib(self.output_bytes_per_s));
        out.line("instantaneous_input_repl_kbps", "0.00");
        out.line("instantaneous_output_repl_kbps", "0.00");
        out.line("rejected_connections", self.rejected_connections);
        out.zeros(REPLICATION_AND_EXPIRY);
        out.line("expired_stale_perc", "0.00");
        out.zeros(EVICTION_AND_KEYSPACE);
        out.line("pubsub_channels", self.channels);
        out.line("pubsub_patterns", self.patterns);
        out.zeros(FORKS_AND_TRACKING);
        out.line("total_error_replies", self.error_replies);
        out.line("dump_payload_sanitizations", 0);
        out.line("total_reads_processed", self.reads);
        out.line("total_writes_processed", self.writes);
        out.zeros(&["io_threaded_reads_processed", "io_threaded_writes_processed"]);
        out.line(
            "client_query_buffer_limit_disconnections",
            self.query_limit_disconnections,
        );
        out.line(
            "client_output_buffer_limit_disconnections",
            self.output_limit_disconnections,
        );
        out.zeros(BUFFERS_AND_EVENT_LOOP);
        out.line("acl_access_denied_auth", self.auth_denied);
        out.line("acl_access_denied_cmd", self.command_denied);
        out.zeros(&["acl_access_denied_key"]);
        out.line("acl_access_denied_channel", self.channel_denied);
    }
}

/// Bytes as KiB with two decimals.
fn kib(bytes: u64) -> String {
    let hundredths = bytes.saturating_mul(100) / 1024;
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

// What a process without data has none of. Dashboards look these lines up, so they are there, and 0.

const REPLICATION_AND_EXPIRY: &[&str] = &[
    "sync_full",
    "sync_partial_ok",
    "sync_partial_err",
    "expired_subkeys",
    "expired_keys",
];

const EVICTION_AND_KEYSPACE: &[&str] = &[
    "expired_time_cap_reached_count",
    "expire_cycle_cpu_milliseconds",
    "evicted_keys",
    "evicted_clients",
    "evicted_scripts",
    "total_eviction_exceeded_time",
    "current_eviction_exceeded_time",
    "keyspace_hits",
    "keyspace_misses",
];

const FORKS_AND_TRACKING: &[&str] = &[
    "pubsubshard_channels",
    "latest_fork_usec",
    "total_forks",
    "migrate_cached_sockets",
    "slave_expires_tracked_keys",
    "active_defrag_hits",
    "active_defrag_misses",
    "active_defrag_key_hits",
    "active_defrag_key_misses",
    "total_active_defrag_time",
    "current_active_defrag_time",
    "tracking_total_keys",
    "tracking_total_items",
    "tracking_total_prefixes",
    "unexpected_error_replies",
];

const BUFFERS_AND_EVENT_LOOP: &[&str] = &[
    "reply_buffer_shrinks",
    "reply_buffer_expands",
    "eventloop_cycles",
    "eventloop_duration_sum",
    "eventloop_duration_cmd_sum",
    "instantaneous_eventloop_cycles_per_sec",
    "instantaneous_eventloop_duration_usec",
];

impl CpuInfo {
    fn write(&self, out: &mut Lines) {
        out.section("CPU");
        for (key, micros) in [
            ("used_cpu_sys", self.sys_us),
            ("used_cpu_user", self.user_us),
            ("used_cpu_sys_children", self.sys_children_us),
            ("used_cpu_user_children", self.user_children_us),
            ("used_cpu_sys_main_thread", self.sys_main_us),
            ("used_cpu_user_main_thread", self.user_main_us),
        ] {
            let (seconds, rest) = (micros / 1_000_000, micros % 1_000_000);
            out.line(key, format_args!("{seconds}.{rest:06}"));
        }
    }
}

impl SentinelInfo {
    fn write(&self, out: &mut Lines) {
        out.section("Sentinel");
        out.line("sentinel_masters", self.masters.len());
        out.line("sentinel_tilt", u8::from(self.tilt_since_s.is_some()));
        match self.tilt_since_s {
            Some(seconds) => out.line("sentinel_tilt_since_seconds", seconds),
            None => out.line("sentinel_tilt_since_seconds", -1),
        }
        out.line("sentinel_total_tilt", self.total_tilt);
        out.line("sentinel_running_scripts", self.running_scripts);
        out.line("sentinel_scripts_queue_length", self.script_queue);
        out.line("sentinel_simulate_failure_flags", self.failure_flags);
        for (number, master) in self.masters.iter().enumerate() {
            let MasterLine { name, status, .. } = master;
            let HostPort { host, port } = &master.address;
            out.line(
                format_args!("master{number}"),
                format_args!(
                    "name={name},status={status},address={host}:{port},slaves={},sentinels={}",
                    master.replicas, master.sentinels
                ),
            );
        }
    }
}
