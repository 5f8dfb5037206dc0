//! `sentinel` lines, applied in three rounds: global, `monitor`, the rest.
//!
//! References: sentinel.c `sentinelHandleConfiguration`, `queueSentinelConfig`, `loadSentinelConfigFromQueue`.

use sentinel_core::replicated::{GroupOptions, OptionChange};
use sentinel_proto::{HostPort, MasterName, SentinelId};

use super::learned::{self, Learned, address, epoch};
use super::lines::{ConfigError, Includes, Line, lenient_number};
use super::plain;
use super::types::{Config, MasterConfig, StaleReads};

const UNRECOGNIZED: &str = "Unrecognized sentinel configuration statement.";
const NO_SUCH_MASTER: &str = "No such master with specified name.";

/// Applies all queued lines.
pub(super) fn apply_all(
    config: &mut Config,
    queued: &[Line],
    disk: &dyn Includes,
) -> Result<(), ConfigError> {
    let round = |line: &Line| match subcommand(line).as_str() {
        "monitor" => 1,
        sub if is_global(sub) => 0,
        _ => 2,
    };
    for wanted in 0..=2 {
        for line in queued.iter().filter(|line| round(line) == wanted) {
            match wanted {
                0 => global(config, line)?,
                1 => monitor(config, line)?,
                _ => per_master(config, line, disk)?,
            }
        }
    }
    learned::conclude(config);
    Ok(())
}

fn subcommand(line: &Line) -> String {
    line.args()
        .first()
        .map(|word| word.to_ascii_lowercase())
        .unwrap_or_default()
}

fn is_global(sub: &str) -> bool {
    matches!(
        sub,
        "announce-ip"
            | "announce-port"
            | "deny-scripts-reconfig"
            | "sentinel-user"
            | "sentinel-pass"
            | "current-epoch"
            | "myid"
            | "resolve-hostnames"
            | "announce-hostnames"
            | "peer"
            | "stale-reads"
            | "rewrite-config"
            | "replay-switch"
            | "state-config-file"
            | "admin-port"
            | "admin-bind"
            | "admin-token"
    )
}

/// Arguments after the sub-command.
fn rest(line: &Line) -> &[String] {
    line.args().get(1..).unwrap_or_default()
}

fn global(config: &mut Config, line: &Line) -> Result<(), ConfigError> {
    let sub = subcommand(line);
    if sub == "peer" {
        return peer(config, line);
    }
    if sub.starts_with("admin-") {
        // The same directive without the word `sentinel` in front.
        let words = std::iter::once(sub).chain(rest(line).iter().cloned()).collect();
        let plain_line = Line {
            words,
            ..line.clone()
        };
        return plain::apply(config, &plain_line).map(|_| ());
    }
    let [value] = rest(line) else {
        return Err(line.error(UNRECOGNIZED));
    };
    let text = || (!value.is_empty()).then(|| value.clone());
    match sub.as_str() {
        "announce-ip" => config.sentinel.announce_ip = text(),
        "announce-port" => {
            let port = u16::try_from(lenient_number(value));
            if port.is_err() {
                config.warnings.push(format!(
                    "{}, line {}: {value} is not a port: the own port is announced",
                    line.file, line.number
                ));
            }
            config.sentinel.announce_port = port.ok().filter(|port| *port > 0);
        }
        "sentinel-user" => config.sentinel.sentinel_user = text(),
        "sentinel-pass" => config.sentinel.sentinel_pass = text(),
        // The plural is Sentinel's.
        "deny-scripts-reconfig" => {
            config.sentinel.deny_scripts_reconfig = yes_no(line, value, "deny-scripts-reconfig options")?;
        }
        "resolve-hostnames" => {
            config.sentinel.resolve_hostnames = yes_no(line, value, "resolve-hostnames option")?;
        }
        "announce-hostnames" => {
            config.sentinel.announce_hostnames = yes_no(line, value, "announce-hostnames option")?;
        }
        "myid" => {
            let id = SentinelId::new(value.as_str());
            config.sentinel.myid = Some(id.map_err(|_| line.error("Malformed Sentinel id in myid option."))?);
        }
        "stale-reads" => config.sentinel.stale_reads = stale_reads(line, value)?,
        "rewrite-config" => {
            config.sentinel.rewrite_config = yes_no(line, value, "rewrite-config option")?;
        }
        "replay-switch" => {
            config.sentinel.replay_switch = yes_no(line, value, "replay-switch option")?;
        }
        "current-epoch" => {
            config.sentinel.current_epoch = config.sentinel.current_epoch.max(epoch(value));
        }
        // `state-config-file`: state lives in the log and the data directory.
        _ => {}
    }
    Ok(())
}

fn peer(config: &mut Config, line: &Line) -> Result<(), ConfigError> {
    let [host, port] = rest(line) else {
        return Err(line.error(UNRECOGNIZED));
    };
    let port = port
        .parse::<u16>()
        .ok()
        .filter(|port| *port > 0)
        .ok_or_else(|| line.error("Invalid port number."))?;
    if host.is_empty() {
        return Err(line.error("Can't resolve instance hostname."));
    }
    let peer = HostPort::new(host.as_str(), port);
    if !config.sentinel.peers.contains(&peer) {
        config.sentinel.peers.push(peer);
    }
    Ok(())
}

fn monitor(config: &mut Config, line: &Line) -> Result<(), ConfigError> {
    let [name, host, port, odown_quorum] = rest(line) else {
        return Err(line.error(UNRECOGNIZED));
    };
    let odown_quorum = match lenient_number(odown_quorum) {
        quorum @ 1.. => u32::try_from(quorum).unwrap_or(u32::MAX),
        _ => return Err(line.error("Quorum must be 1 or greater.")),
    };
    let address = address(line, host, port, config.sentinel.resolve_hostnames)?;
    let name = MasterName::new(name.as_str()).map_err(|error| line.error(error.to_string()))?;
    if config.masters.iter().any(|master| master.name == name) {
        return Err(line.error("Duplicate master name."));
    }
    config.masters.push(MasterConfig {
        name,
        address,
        options: GroupOptions::with_quorum(odown_quorum),
        given: Vec::new(),
        learned: Learned::default(),
    });
    Ok(())
}

fn per_master(config: &mut Config, line: &Line, disk: &dyn Includes) -> Result<(), ConfigError> {
    let sub = subcommand(line);
    let args = rest(line);
    let expected = match sub.as_str() {
        "down-after-milliseconds"
        | "failover-timeout"
        | "parallel-syncs"
        | "auth-pass"
        | "auth-user"
        | "notification-script"
        | "client-reconfig-script"
        | "master-reboot-down-after-period"
        | "primary-reboot-down-after-period"
        | "crash-down-after-milliseconds"
        | "replica-witness"
        | "config-epoch"
        | "leader-epoch" => 2..=2,
        "rename-command" | "known-replica" | "known-slave" => 3..=3,
        "known-sentinel" => 3..=4,
        _ => return Err(line.error(UNRECOGNIZED)),
    };
    let Some(name) = args.first().filter(|_| expected.contains(&args.len())) else {
        return Err(line.error(UNRECOGNIZED));
    };
    // The form without an id, of old versions: ignored before the name is looked at, as Sentinel does.
    if sub == "known-sentinel" && args.len() == 3 {
        return Ok(());
    }
    let Some(at) = config.masters.iter().position(|m| m.name.as_str() == name) else {
        return Err(line.error(NO_SUCH_MASTER));
    };
    match sub.as_str() {
        "notification-script" => executable(config, line, disk, "Notification script")?,
        "client-reconfig-script" => executable(config, line, disk, "Client reconfiguration script")?,
        _ => {}
    }
    let hostnames = config.sentinel.resolve_hostnames;
    let Some(master) = config.masters.get_mut(at) else {
        return Err(line.error(NO_SUCH_MASTER));
    };
    match sub.as_str() {
        "config-epoch" | "leader-epoch" | "known-replica" | "known-slave" | "known-sentinel" => {
            master.learned.take(line, &sub, args, hostnames)
        }
        _ => option(master, line, &sub, args),
    }
}

fn executable(config: &Config, line: &Line, disk: &dyn Includes, what: &str) -> Result<(), ConfigError> {
    let path = rest(line).get(1).map_or("", String::as_str);
    if disk.is_executable(&config.dir, path) {
        return Ok(());
    }
    Err(line.error(format!("{what} seems non existing or non executable.")))
}

fn option(master: &mut MasterConfig, line: &Line, sub: &str, args: &[String]) -> Result<(), ConfigError> {
    let value = args.get(1).map_or("", String::as_str);
    let text = || (!value.is_empty()).then(|| value.to_owned());
    let change = match sub {
        "down-after-milliseconds" => OptionChange::DownAfterMs(positive_ms(line, value)?),
        "failover-timeout" => OptionChange::FailoverTimeoutMs(positive_ms(line, value)?),
        // Sentinel takes any number here; below 1 no replica would ever be pointed at a new master.
        "parallel-syncs" => {
            OptionChange::ParallelSyncs(u32::try_from(lenient_number(value).max(1)).unwrap_or(u32::MAX))
        }
        "auth-user" => OptionChange::AuthUser(text()),
        "auth-pass" => OptionChange::AuthPass(text()),
        "crash-down-after-milliseconds" => OptionChange::CrashDownAfterMs(unsigned_ms(line, value)?),
        "replica-witness" => OptionChange::ReplicaWitness(yes_no(line, value, "replica-witness option")?),
        "notification-script" => OptionChange::NotificationScript(text()),
        "client-reconfig-script" => OptionChange::ClientReconfigScript(text()),
        "rename-command" => {
            let old = value.to_ascii_uppercase();
            if master.options.rename_commands.contains_key(&old) {
                return Err(line.error("Same command renamed multiple times with rename-command."));
            }
            OptionChange::RenameCommand(old, args.get(2).cloned().unwrap_or_default())
        }
        _ => OptionChange::MasterRebootDownAfterMs(unsigned_ms(line, value)?),
    };
    set_option(&mut master.options, &change);
    master.given.push(change);
    Ok(())
}

/// Writes one changed option into the options.
pub(super) fn set_option(options: &mut GroupOptions, change: &OptionChange) {
    match change.clone() {
        OptionChange::OdownQuorum(n) => options.odown_quorum = n,
        OptionChange::DownAfterMs(n) => options.down_after_ms = n,
        OptionChange::FailoverTimeoutMs(n) => options.failover_timeout_ms = n,
        OptionChange::ParallelSyncs(n) => options.parallel_syncs = n,
        OptionChange::AuthUser(v) => options.auth_user = v,
        OptionChange::AuthPass(v) => options.auth_pass = v,
        OptionChange::CrashDownAfterMs(n) => options.crash_down_after_ms = n,
        OptionChange::ReplicaWitness(b) => options.replica_witness = b,
        OptionChange::NotificationScript(v) => options.notification_script = v,
        OptionChange::ClientReconfigScript(v) => options.client_reconfig_script = v,
        OptionChange::MasterRebootDownAfterMs(n) => options.master_reboot_down_after_ms = n,
        OptionChange::RenameCommand(old, new) => {
            if old.eq_ignore_ascii_case(&new) {
                options.rename_commands.remove(&old.to_ascii_uppercase());
            } else {
                options.rename_commands.insert(old.to_ascii_uppercase(), new);
            }
        }
    }
}

fn positive_ms(line: &Line, value: &str) -> Result<u64, ConfigError> {
    u64::try_from(lenient_number(value))
        .ok()
        .filter(|ms| *ms > 0)
        .ok_or_else(|| line.error("negative or zero time parameter."))
}

fn unsigned_ms(line: &Line, value: &str) -> Result<u64, ConfigError> {
    u64::try_from(lenient_number(value)).map_err(|_| line.error("negative time parameter."))
}

/// `what` completes Sentinel's error text.
fn yes_no(line: &Line, value: &str, what: &str) -> Result<bool, ConfigError> {
    if value.eq_ignore_ascii_case("yes") {
        Ok(true)
    } else if value.eq_ignore_ascii_case("no") {
        Ok(false)
    } else {
        Err(line.error(format!("Please specify yes or no for the {what}.")))
    }
}

fn stale_reads(line: &Line, value: &str) -> Result<StaleReads, ConfigError> {
    match value.to_ascii_lowercase().as_str() {
        "auto" => Ok(StaleReads::Auto),
        "yes" => Ok(StaleReads::Yes),
        "no" => Ok(StaleReads::No),
        _ => Err(line.error("Please specify auto, yes or no for the stale-reads option.")),
    }
}
