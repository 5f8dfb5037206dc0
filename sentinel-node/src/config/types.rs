//! The configuration as the rest of the process sees it.

use std::net::IpAddr;
use std::path::PathBuf;

use sentinel_core::replicated::{GroupOptions, OptionChange};
use sentinel_proto::command::Renames;
use sentinel_proto::{HostPort, MasterName, SentinelId};

use super::acl::AclConfig;
use super::learned::Learned;
use super::limits::BufferLimits;
use super::log::{LogStyle, SyslogConfig};
use super::seed;
use super::tls::TlsConfig;

/// `loglevel`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum LogLevel {
    /// `debug`: everything.
    Debug,
    /// `verbose`.
    Verbose,
    /// `notice`.
    #[default]
    Notice,
    /// `warning`.
    Warning,
    /// `nothing`: the log is silent; events are still published.
    Nothing,
}

impl LogLevel {
    /// The value of `loglevel`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Verbose => "verbose",
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Nothing => "nothing",
        }
    }

    /// Parses the value of `loglevel`, without case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "debug" => Some(Self::Debug),
            "verbose" => Some(Self::Verbose),
            "notice" => Some(Self::Notice),
            "warning" => Some(Self::Warning),
            "nothing" => Some(Self::Nothing),
            _ => None,
        }
    }
}

/// What `ps` shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcTitle {
    /// `set-proc-title`.
    pub set: bool,
    /// `proc-title-template`.
    pub template: String,
}

impl Default for ProcTitle {
    fn default() -> Self {
        Self {
            set: true,
            template: "{title} {listen-addr} {server-mode}".to_owned(),
        }
    }
}

/// `supervised`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Supervised {
    /// `no`.
    #[default]
    No,
    /// `upstart`.
    Upstart,
    /// `systemd`.
    Systemd,
    /// `auto`: whichever the environment shows.
    Auto,
}

impl Supervised {
    /// Parses the value, without case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "no" => Some(Self::No),
            "upstart" => Some(Self::Upstart),
            "systemd" => Some(Self::Systemd),
            "auto" => Some(Self::Auto),
            _ => None,
        }
    }
}

/// `sentinel stale-reads`: what a node without a majority answers to address queries (DESIGN.md section 8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StaleReads {
    /// Only what this node can itself verify.
    #[default]
    Auto,
    /// The last committed address, whatever its age.
    Yes,
    /// Nothing, as for an unknown name.
    No,
}

/// One address of a `bind` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindAddress {
    /// `*`, `::*` or an address.
    pub host: String,
    /// Written with a leading `-`: an address that is not available is skipped.
    pub optional: bool,
}

impl BindAddress {
    fn new(host: &str, optional: bool) -> Self {
        Self {
            host: host.to_owned(),
            optional,
        }
    }
}

/// `admin-*` directives.
#[derive(Clone, PartialEq, Eq)]
pub struct AdminConfig {
    /// `admin-port`; `None` = not set: `port` (or `tls-port`) + 20000 where that is a port. `Some(0)` = off.
    pub port: Option<u16>,
    /// `admin-bind`.
    pub bind: IpAddr,
    /// `admin-token`; `None` = changes over HTTP are refused.
    pub token: Option<String>,
}

impl std::fmt::Debug for AdminConfig {
    /// The token never reaches a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdminConfig")
            .field("port", &self.port)
            .field("bind", &self.bind)
            .field("token", &self.token.as_ref().map(|_| "******"))
            .finish()
    }
}

/// Global `sentinel` lines.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct SentinelConfig {
    /// `myid`; normally absent: the identity lives in the data directory.
    pub myid: Option<SentinelId>,
    /// `announce-ip`.
    pub announce_ip: Option<String>,
    /// `announce-port`; `None` = `port`.
    pub announce_port: Option<u16>,
    /// `sentinel-user`.
    pub sentinel_user: Option<String>,
    /// `sentinel-pass`.
    pub sentinel_pass: Option<String>,
    /// `peer` lines in file order.
    pub peers: Vec<HostPort>,
    /// `stale-reads`.
    pub stale_reads: StaleReads,
    /// `rewrite-config`: the file is written as Sentinel writes it.
    pub rewrite_config: bool,
    /// `replay-switch`: who subscribes to `+switch-master` gets the last one of each master first.
    pub replay_switch: bool,
    /// `deny-scripts-reconfig`, default yes.
    pub deny_scripts_reconfig: bool,
    /// `resolve-hostnames`.
    pub resolve_hostnames: bool,
    /// `announce-hostnames`.
    pub announce_hostnames: bool,
    /// `current-epoch`, which Sentinel wrote at run time; 0 = no such line.
    pub current_epoch: u64,
}

impl std::fmt::Debug for SentinelConfig {
    /// Passwords never reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SentinelConfig")
            .field("myid", &self.myid)
            .field("announce_ip", &self.announce_ip)
            .field("announce_port", &self.announce_port)
            .field("sentinel_user", &self.sentinel_user)
            .field("sentinel_pass", &self.sentinel_pass.as_ref().map(|_| "******"))
            .field("peers", &self.peers)
            .field("stale_reads", &self.stale_reads)
            .finish_non_exhaustive()
    }
}

/// A `sentinel monitor` line with all per-master lines of the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MasterConfig {
    /// Name.
    pub name: MasterName,
    /// Address in the `monitor` line.
    pub address: HostPort,
    /// Options, `odown_quorum` from the `monitor` line, Sentinel's defaults where no line says otherwise.
    pub options: GroupOptions,
    /// Options that a line of the file names, in file order, with their values.
    pub given: Vec<OptionChange>,
    /// What Sentinel wrote at run time.
    pub learned: Learned,
}

/// A whole `sentinel.conf`.
#[derive(Clone, PartialEq, Eq)]
pub struct Config {
    /// The file, absolute; empty for a configuration built in a test.
    pub path: PathBuf,
    /// Its text as read, without included files.
    pub main_text: String,
    /// Further lines, from standard input and the command line.
    pub extra: String,
    /// `port`; 0 = no plain listener.
    pub port: u16,
    /// `bind`; empty = no TCP.
    pub bind: Vec<BindAddress>,
    /// `bind-source-addr`: of all outgoing connections.
    pub bind_source: Option<IpAddr>,
    /// `unixsocket`, absolute after [`super::load`].
    pub unixsocket: Option<PathBuf>,
    /// `unixsocketperm`; `None` = as the umask leaves it.
    pub unixsocketperm: Option<u32>,
    /// `tls-*` lines.
    pub tls: TlsConfig,
    /// `dir`, absolute after [`super::load`]; the data directory is made in it.
    pub dir: PathBuf,
    /// `logfile`; `None` = stdout. Absolute after [`super::load`].
    pub logfile: Option<PathBuf>,
    /// `loglevel`.
    pub loglevel: LogLevel,
    /// `log-format`, `log-timestamp-format`.
    pub log_style: LogStyle,
    /// `syslog-*`.
    pub syslog: SyslogConfig,
    /// `set-proc-title`, `proc-title-template`.
    pub proc_title: ProcTitle,
    /// `requirepass`.
    pub requirepass: Option<String>,
    /// `user` lines and `acl*` directives.
    pub acl: AclConfig,
    /// `protected-mode`, default no in sentinel mode.
    pub protected_mode: bool,
    /// `maxclients`.
    pub maxclients: u32,
    /// `timeout` in seconds; 0 = never.
    pub timeout_s: u32,
    /// `tcp-keepalive` in seconds; 0 = off.
    pub tcp_keepalive_s: u32,
    /// `tcp-backlog`.
    pub tcp_backlog: u32,
    /// `client-output-buffer-limit` and its like.
    pub limits: BufferLimits,
    /// `rename-command`.
    pub renames: Renames,
    /// `pidfile`, absolute after [`super::load`].
    pub pidfile: Option<PathBuf>,
    /// `daemonize`.
    pub daemonize: bool,
    /// `supervised`.
    pub supervised: Supervised,
    /// Global `sentinel` lines.
    pub sentinel: SentinelConfig,
    /// `admin-*` lines.
    pub admin: AdminConfig,
    /// Monitored masters in file order.
    pub masters: Vec<MasterConfig>,
    /// What was accepted but has no effect; one line each, to be logged at start.
    pub warnings: Vec<String>,
}

impl Config {
    /// Sentinel's defaults, no master.
    #[must_use]
    pub fn new() -> Self {
        Self {
            path: PathBuf::new(),
            main_text: String::new(),
            extra: String::new(),
            port: 26_379,
            bind: vec![BindAddress::new("*", false), BindAddress::new("::*", true)],
            bind_source: None,
            unixsocket: None,
            unixsocketperm: None,
            tls: TlsConfig::default(),
            dir: PathBuf::from("."),
            logfile: None,
            loglevel: LogLevel::default(),
            log_style: LogStyle::default(),
            syslog: SyslogConfig::default(),
            proc_title: ProcTitle::default(),
            requirepass: None,
            acl: AclConfig::default(),
            protected_mode: false,
            maxclients: 10_000,
            timeout_s: 0,
            tcp_keepalive_s: 300,
            tcp_backlog: 511,
            limits: BufferLimits::default(),
            renames: Renames::none(),
            pidfile: None,
            daemonize: false,
            supervised: Supervised::No,
            sentinel: SentinelConfig {
                deny_scripts_reconfig: true,
                ..SentinelConfig::default()
            },
            admin: AdminConfig {
                port: None,
                bind: IpAddr::from([127, 0, 0, 1]),
                token: None,
            },
            masters: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// The admin port in effect; `None` = no admin server.
    #[must_use]
    pub fn admin_port(&self) -> Option<u16> {
        match self.admin.port {
            Some(0) => None,
            Some(port) => Some(port),
            None if self.main_port() == 0 => None,
            None => self.main_port().checked_add(20_000),
        }
    }

    /// `port`, or `tls-port` where that is 0: the number by which this node is known, on disk and in INFO.
    #[must_use]
    pub fn main_port(&self) -> u16 {
        if self.port == 0 { self.tls.port } else { self.port }
    }

    /// What other sentinels and clients are told unless `announce-port` says otherwise: with `tls-replication` the
    /// port of TLS, since that is how sentinels then connect.
    #[must_use]
    pub fn announced_port(&self) -> u16 {
        if self.tls.replication && self.tls.port != 0 {
            self.tls.port
        } else {
            self.main_port()
        }
    }

    /// `<dir>/raft-<port>`: everything this node keeps on disk.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.dir.join(format!("raft-{}", self.main_port()))
    }

    /// The per-master lines in canonical form: what a node remembers as "last applied here".
    /// Holds passwords: keep it in a file that only the owner can read.
    #[must_use]
    pub fn seed_lines(&self) -> String {
        seed::to_lines(&self.masters)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Config {
    /// Passwords never reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("path", &self.path)
            .field("port", &self.port)
            .field("bind", &self.bind)
            .field("tls", &self.tls)
            .field("dir", &self.dir)
            .field("logfile", &self.logfile)
            .field("requirepass", &self.requirepass.as_ref().map(|_| "******"))
            .field("sentinel", &self.sentinel)
            .field("admin", &self.admin)
            .field("masters", &self.masters)
            .finish_non_exhaustive()
    }
}
