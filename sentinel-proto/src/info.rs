//! What a data node says about itself in `INFO` (`sentinel.c: sentinelRefreshInstanceInfo`).
//!
//! The text comes from another process: every field may be missing, malformed, huge or repeated (the last
//! one counts). A field that does not parse is as good as missing; nothing here fails.

use serde::{Deserialize, Serialize};

use crate::types::HostPort;

/// The role that a data node reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ReportedRole {
    /// `role:master`.
    Master,
    /// `role:slave` (or `replica`, should a server ever say so).
    Replica,
}

impl ReportedRole {
    /// The spelling of the wire: `master` or `slave`.
    #[must_use]
    pub fn wire(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Replica => "slave",
        }
    }
}

/// One `slaveN:` line of a master.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachedReplica {
    /// The address that the replica announces to its master.
    pub address: HostPort,
    /// `state=online`: it receives the stream. `None` = not said.
    pub online: Option<bool>,
    /// Acknowledged offset.
    pub offset: Option<i64>,
    /// Seconds since its last acknowledgement.
    pub lag_s: Option<i64>,
}

/// Everything that is read from `INFO`. `None` = not said, or not readable.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct InstanceReport {
    /// `run_id`: changes at each start of the process.
    pub run_id: Option<String>,
    /// `config_file`; empty when the server runs without one.
    pub config_file: Option<String>,
    /// `redis_version` (a Valkey server gives its Redis compatibility version here).
    pub version: Option<String>,
    /// `valkey_version`.
    pub valkey_version: Option<String>,
    /// `uptime_in_seconds`.
    pub uptime_s: Option<u64>,
    /// `role`.
    pub role: Option<ReportedRole>,
    /// Addresses of the `slaveN:` lines, in their order.
    pub replicas: Vec<HostPort>,
    /// The same lines with their state.
    pub attached: Vec<AttachedReplica>,
    /// `connected_slaves`.
    pub connected_replicas: Option<u64>,
    /// `master_host` of a replica.
    pub master_host: Option<String>,
    /// `master_port` of a replica.
    pub master_port: Option<u16>,
    /// `master_link_status:up` (`Some(true)`) or anything else (`Some(false)`).
    pub master_link_up: Option<bool>,
    /// `master_link_down_since_seconds`; only present while the link is down. -1 = never was up.
    pub master_link_down_since_s: Option<i64>,
    /// `master_last_io_seconds_ago`; -1 while the link is down.
    pub master_last_io_s: Option<i64>,
    /// `master_sync_in_progress`.
    pub master_sync_in_progress: Option<bool>,
    /// `slave_priority`; 0 = never promote. Absent means 100, see [`InstanceReport::priority`].
    pub slave_priority: Option<i64>,
    /// `slave_repl_offset`: what this replica has processed.
    pub slave_repl_offset: Option<i64>,
    /// `slave_read_repl_offset`: what this replica has read from its master's socket. `[7.0]`
    pub slave_read_repl_offset: Option<i64>,
    /// `slave_read_only`.
    pub slave_read_only: Option<bool>,
    /// `replica_announced`; `Some(false)` hides it from `SENTINEL REPLICAS`.
    pub replica_announced: Option<bool>,
    /// `master_repl_offset`: end of this node's own replication stream.
    pub master_repl_offset: Option<i64>,
    /// `master_replid`: the lineage of its data.
    pub replid: Option<String>,
    /// `master_replid2`: the lineage before its last promotion.
    pub replid2: Option<String>,
    /// `second_repl_offset`: up to where `replid2` is valid; -1 = not.
    pub second_repl_offset: Option<i64>,
    /// `master_failover_state` (`no-failover`, `waiting-for-sync`, ...).
    pub failover_state: Option<String>,
    /// `loading`.
    pub loading: Option<bool>,
    /// `rdb_last_bgsave_status:ok`.
    pub last_bgsave_ok: Option<bool>,
    /// `redis_mode` or `server_mode` (`standalone`, `cluster`, `sentinel`).
    pub mode: Option<String>,
    /// Keys in all databases; `None` = the text has no `# Keyspace` section.
    pub keys: Option<u64>,
}

/// `slaveN:` lines taken from one text, at most: a bound on memory, far above any real master.
const MAX_REPLICAS: usize = 10_000;

impl InstanceReport {
    /// Reads a whole INFO text, or any part of one. Lines may end in CR LF or LF.
    #[must_use]
    pub fn parse(text: impl AsRef<[u8]>) -> Self {
        let mut report = Self::default();
        for line in text.as_ref().split(|byte| *byte == b'\n') {
            let Ok(line) = std::str::from_utf8(line) else {
                continue;
            };
            match line.trim_end().split_once(':') {
                Some((key, value)) => report.take(key, value),
                None if line.trim_end() == "# Keyspace" => report.keys = Some(report.keys.unwrap_or(0)),
                None => {}
            }
        }
        report
    }

    /// The priority used for selection: Redis's default where the field is missing.
    #[must_use]
    pub fn priority(&self) -> i64 {
        self.slave_priority.unwrap_or(100)
    }

    /// The address of the master that a replica names.
    #[must_use]
    pub fn master(&self) -> Option<HostPort> {
        Some(HostPort::new(self.master_host.clone()?, self.master_port?))
    }

    /// The replication offset that counts for the reported role.
    #[must_use]
    pub fn offset(&self) -> Option<i64> {
        match self.role {
            Some(ReportedRole::Replica) => self.slave_repl_offset,
            _ => self.master_repl_offset,
        }
    }

    fn take(&mut self, key: &str, value: &str) {
        match key {
            "run_id" => self.run_id = text(value),
            "config_file" => self.config_file = Some(value.to_owned()),
            "redis_version" => self.version = text(value),
            "valkey_version" => self.valkey_version = text(value),
            "uptime_in_seconds" => self.uptime_s = value.parse().ok(),
            "role" => self.role = role(value),
            "connected_slaves" => self.connected_replicas = value.parse().ok(),
            "master_host" => self.master_host = text(value),
            "master_port" => self.master_port = value.parse().ok(),
            "master_link_status" => self.master_link_up = Some(value == "up"),
            "master_link_down_since_seconds" => {
                self.master_link_down_since_s = value.parse().ok();
            }
            "master_last_io_seconds_ago" => self.master_last_io_s = value.parse().ok(),
            "master_sync_in_progress" => self.master_sync_in_progress = flag(value),
            "slave_priority" => self.slave_priority = value.parse().ok(),
            "slave_repl_offset" => self.slave_repl_offset = value.parse().ok(),
            "slave_read_repl_offset" => self.slave_read_repl_offset = value.parse().ok(),
            "slave_read_only" => self.slave_read_only = flag(value),
            "replica_announced" => self.replica_announced = flag(value),
            "master_repl_offset" => self.master_repl_offset = value.parse().ok(),
            "master_replid" => self.replid = text(value),
            "master_replid2" => self.replid2 = text(value),
            "second_repl_offset" => self.second_repl_offset = value.parse().ok(),
            "master_failover_state" => self.failover_state = text(value),
            "loading" => self.loading = flag(value),
            "rdb_last_bgsave_status" => self.last_bgsave_ok = Some(value == "ok"),
            "redis_mode" | "server_mode" => self.mode = text(value),
            _ if key.starts_with("db") => self.take_database_line(key, value),
            _ => self.take_replica_line(key, value),
        }
    }

    /// `db0:keys=1,expires=0,avg_ttl=0`.
    fn take_database_line(&mut self, key: &str, value: &str) {
        let number = key.strip_prefix("db").unwrap_or_default();
        let is_database = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let keys = value.split(',').find_map(|field| field.strip_prefix("keys="));
        if let Some(keys) = keys
            .filter(|_| is_database)
            .and_then(|keys| keys.parse::<u64>().ok())
        {
            self.keys = Some(self.keys.unwrap_or(0).saturating_add(keys));
        }
    }

    fn take_replica_line(&mut self, key: &str, value: &str) {
        let number = key.strip_prefix("slave").unwrap_or_default();
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return;
        }
        if self.replicas.len() >= MAX_REPLICAS {
            return;
        }
        let replica = if value.contains("ip=") {
            named_fields(value)
        } else {
            positional_fields(value)
        };
        if let Some(replica) = replica {
            self.replicas.push(replica.address.clone());
            self.attached.push(replica);
        }
    }
}

fn text(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| value.to_owned())
}

fn flag(value: &str) -> Option<bool> {
    match value {
        "1" => Some(true),
        "0" => Some(false),
        _ => None,
    }
}

fn role(value: &str) -> Option<ReportedRole> {
    match value {
        "master" | "primary" => Some(ReportedRole::Master),
        "slave" | "replica" => Some(ReportedRole::Replica),
        _ => None,
    }
}

fn address(host: &str, port: &str) -> Option<HostPort> {
    let port: u16 = port.parse().ok()?;
    (!host.is_empty() && port != 0).then(|| HostPort::new(host, port))
}

/// `ip=127.0.0.1,port=6380,state=online,offset=14,lag=0`, in any order.
fn named_fields(value: &str) -> Option<AttachedReplica> {
    let field = |wanted: &str| {
        value
            .split(',')
            .filter_map(|field| field.split_once('='))
            .find(|(name, _)| *name == wanted)
            .map(|(_, value)| value)
    };
    Some(AttachedReplica {
        address: address(field("ip")?, field("port")?)?,
        online: field("state").map(|state| state == "online"),
        offset: field("offset").and_then(|offset| offset.parse().ok()),
        lag_s: field("lag").and_then(|lag| lag.parse().ok()),
    })
}

/// `127.0.0.1,6380,online`, as servers before 2.8 wrote it.
fn positional_fields(value: &str) -> Option<AttachedReplica> {
    let mut fields = value.split(',');
    let (host, port) = (fields.next()?, fields.next()?);
    Some(AttachedReplica {
        address: address(host, port)?,
        online: fields.next().map(|state| state == "online"),
        offset: None,
        lag_s: None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MASTER: &str = "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\nrun_id:ff6c\r\n\
        uptime_in_seconds:12\r\n\r\n# Persistence\r\nloading:0\r\nrdb_last_bgsave_status:ok\r\n\
        # Replication\r\nrole:master\r\nconnected_slaves:2\r\n\
        slave0:ip=127.0.0.1,port=6380,state=online,offset=1400,lag=0\r\n\
        slave1:ip=::1,port=6381,state=wait_bgsave,offset=0,lag=1\r\nslave_weird:x\r\nslave2:10.0.0.9,7000,online\r\n\
        master_failover_state:no-failover\r\nmaster_replid:aa\r\nmaster_replid2:0000\r\n\
        master_repl_offset:1400\r\nsecond_repl_offset:-1\r\n";

    const REPLICA: &str = "role:slave\nmaster_host:fe80::1\nmaster_port:6379\nmaster_link_status:down\n\
        master_last_io_seconds_ago:-1\nmaster_sync_in_progress:1\nslave_repl_offset:77\n\
        master_link_down_since_seconds:5\nslave_priority:0\nslave_read_only:1\nreplica_announced:0\n";

    #[test]
    fn a_master_is_read() {
        let report = InstanceReport::parse(MASTER);
        assert_eq!(report.role, Some(ReportedRole::Master));
        assert_eq!(report.run_id.as_deref(), Some("ff6c"));
        assert_eq!(report.loading, Some(false));
        assert_eq!(
            report.replicas,
            [
                HostPort::new("127.0.0.1", 6380),
                HostPort::new("::1", 6381),
                HostPort::new("10.0.0.9", 7000)
            ]
        );
        assert_eq!(report.attached[0].offset, Some(1400));
        assert_eq!(report.attached[1].online, Some(false));
        assert_eq!(report.offset(), Some(1400));
        assert_eq!(report.second_repl_offset, Some(-1));
        assert_eq!(report.priority(), 100);
    }

    #[test]
    fn a_replica_is_read() {
        let report = InstanceReport::parse(REPLICA);
        assert_eq!(report.role, Some(ReportedRole::Replica));
        assert_eq!(report.master(), Some(HostPort::new("fe80::1", 6379)));
        assert_eq!(report.master_link_up, Some(false));
        assert_eq!(report.master_link_down_since_s, Some(5));
        assert_eq!(report.priority(), 0);
        assert_eq!(report.replica_announced, Some(false));
        assert_eq!(report.offset(), Some(77));
    }

    #[test]
    fn malformed_fields_count_as_missing() {
        let report = InstanceReport::parse(
            "role:king\nmaster_port:99999999999999999999\nslave0:ip=,port=1\nslave1:ip=h,port=0\n\
             slave2:ip=h\nslave3:\nslave:\nslave_repl_offset:1e5\nmaster_host:\n:::\nreplica_announced:2\n",
        );
        assert_eq!(report, InstanceReport::default());
    }

    #[test]
    fn the_last_of_repeated_fields_counts() {
        let report = InstanceReport::parse("role:master\nrole:slave\nrun_id:a\nrun_id:b");
        assert_eq!(report.role, Some(ReportedRole::Replica));
        assert_eq!(report.run_id.as_deref(), Some("b"));
    }

    #[test]
    fn replica_lines_are_bounded() {
        let text: String = (0..20_000)
            .map(|n| format!("slave{n}:ip=h{n},port=1\n"))
            .collect();
        assert_eq!(InstanceReport::parse(text).replicas.len(), MAX_REPLICAS);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let _ = InstanceReport::parse(&bytes);
        }

        #[test]
        fn mutilated_info_never_panics(cut in 0usize..MASTER.len(), insert in ".{0,20}") {
            let text = format!("{}{insert}{}", &MASTER[..cut], &MASTER[cut..]);
            let _ = InstanceReport::parse(text);
        }
    }
}
