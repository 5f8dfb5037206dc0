//! Server directives that have an effect in sentinel mode.

use std::net::IpAddr;
use std::path::PathBuf;

use sentinel_proto::resp::parse_integer;

use super::limits;
use super::lines::{ConfigError, Line};
use super::log;
use super::tls;
use super::types::{BindAddress, Config, LogLevel, Supervised};

/// Redis: `CONFIG_MIN_RESERVED_FDS` and room for the log; only the type's range is checked here.
const MAX_CLIENTS_RANGE: (i64, i64) = (1, u32::MAX as i64);

/// Redis: `CONFIG_BINDADDR_MAX`.
const MAX_BIND_ADDRESSES: usize = 16;

/// Applies one line; false when the directive is not one of ours.
pub(super) fn apply(config: &mut Config, line: &Line) -> Result<bool, ConfigError> {
    let directive = line.words.first().map_or("", String::as_str);
    match directive {
        "port" => config.port = port(line)?,
        "bind" => config.bind = bind(line)?,
        "bind-source-addr" => config.bind_source = bind_source(line)?,
        "unixsocket" => {
            let path = value(line)?;
            config.unixsocket = (!path.is_empty()).then(|| PathBuf::from(path));
        }
        "unixsocketperm" => config.unixsocketperm = permissions(line)?,
        // As if by `chdir`: from where the line before went.
        "dir" if value(line)?.is_empty() => return Err(line.error("No such file or directory")),
        "dir" => config.dir = config.dir.join(value(line)?),
        "logfile" => {
            let path = value(line)?;
            config.logfile = (!path.is_empty()).then(|| PathBuf::from(path));
        }
        "loglevel" => config.loglevel = loglevel(line)?,
        "requirepass" => {
            let password = value(line)?;
            config.requirepass = (!password.is_empty()).then(|| password.to_owned());
        }
        "aclfile" => {
            let path = value(line)?;
            config.acl.file = (!path.is_empty()).then(|| PathBuf::from(path));
        }
        "acllog-max-len" => {
            config.acl.log_max_len = usize::try_from(integer(line, 0, i64::MAX)?).unwrap_or(usize::MAX);
        }
        "acl-pubsub-default" => config.acl.all_channels = value(line)?.eq_ignore_ascii_case("allchannels"),
        "protected-mode" => config.protected_mode = is_yes(line)?,
        "maxclients" => {
            let (low, high) = MAX_CLIENTS_RANGE;
            config.maxclients = u32::try_from(integer(line, low, high)?).unwrap_or(u32::MAX);
        }
        "timeout" => config.timeout_s = seconds(line)?,
        "tcp-keepalive" => config.tcp_keepalive_s = seconds(line)?,
        "tcp-backlog" => config.tcp_backlog = seconds(line)?,
        "pidfile" => {
            let path = value(line)?;
            config.pidfile = (!path.is_empty()).then(|| PathBuf::from(path));
        }
        "daemonize" => config.daemonize = is_yes(line)?,
        "supervised" => {
            config.supervised = Supervised::from_name(value(line)?).ok_or_else(|| {
                line.error("argument(s) must be one of the following: upstart, systemd, auto, no")
            })?;
        }
        "admin-port" => config.admin.port = Some(port(line)?),
        "admin-bind" => config.admin.bind = admin_bind(line)?,
        "admin-token" => {
            let token = value(line)?;
            config.admin.token = (!token.is_empty()).then(|| token.to_owned());
        }
        "rename-command" => rename(config, line)?,
        _ if limits::apply(&mut config.limits, line) => {}
        "set-proc-title" => config.proc_title.set = is_yes(line)?,
        "proc-title-template" => value(line)?.clone_into(&mut config.proc_title.template),
        _ if log::apply(&mut config.log_style, &mut config.syslog, &line.words) => {}
        _ => return tls::apply(config, line),
    }
    Ok(true)
}

fn rename(config: &mut Config, line: &Line) -> Result<(), ConfigError> {
    let [old, new] = line.args() else {
        return Err(line.error(super::kind::BAD_DIRECTIVE));
    };
    config
        .renames
        .rename(old, new)
        .map_err(|reason| line.error(reason))
}

/// The one value of a directive.
pub(super) fn value(line: &Line) -> Result<&str, ConfigError> {
    match line.args() {
        [value] => Ok(value),
        _ => Err(line.error("wrong number of arguments")),
    }
}

/// A yes/no value.
pub(super) fn is_yes(line: &Line) -> Result<bool, ConfigError> {
    let value = value(line)?;
    if value.eq_ignore_ascii_case("yes") {
        Ok(true)
    } else if value.eq_ignore_ascii_case("no") {
        Ok(false)
    } else {
        Err(line.error("argument must be 'yes' or 'no'"))
    }
}

pub(super) fn integer(line: &Line, low: i64, high: i64) -> Result<i64, ConfigError> {
    let number = parse_integer(value(line)?.as_bytes())
        .ok_or_else(|| line.error("argument couldn't be parsed into an integer"))?;
    if (low..=high).contains(&number) {
        Ok(number)
    } else {
        Err(line.error(format!("argument must be between {low} and {high} inclusive")))
    }
}

pub(super) fn port(line: &Line) -> Result<u16, ConfigError> {
    Ok(u16::try_from(integer(line, 0, 65_535)?).unwrap_or(0))
}

fn seconds(line: &Line) -> Result<u32, ConfigError> {
    Ok(u32::try_from(integer(line, 0, i64::from(i32::MAX))?).unwrap_or(0))
}

fn loglevel(line: &Line) -> Result<LogLevel, ConfigError> {
    LogLevel::from_name(value(line)?).ok_or_else(|| {
        line.error("argument(s) must be one of the following: debug, verbose, notice, warning, nothing")
    })
}

/// `bind ""` and `bind` without a word mean: no TCP at all.
fn bind(line: &Line) -> Result<Vec<BindAddress>, ConfigError> {
    let words = match line.args() {
        [none] if none.is_empty() => return Ok(Vec::new()),
        words if words.len() > MAX_BIND_ADDRESSES => {
            return Err(line.error("Too many bind addresses specified."));
        }
        words => words,
    };
    let address = |word: &String| BindAddress {
        host: word.strip_prefix('-').unwrap_or(word).to_owned(),
        optional: word.starts_with('-'),
    };
    Ok(words.iter().map(address).collect())
}

/// Octal; 0 = not set, as in Redis.
fn permissions(line: &Line) -> Result<Option<u32>, ConfigError> {
    // Checked before, as an octal number up to 777.
    let mode = u32::from_str_radix(value(line)?, 8).unwrap_or(0);
    Ok((mode != 0).then_some(mode))
}

/// `bind-source-addr ""` means: the system chooses.
fn bind_source(line: &Line) -> Result<Option<IpAddr>, ConfigError> {
    let text = value(line)?;
    if text.is_empty() {
        return Ok(None);
    }
    let ip = text.parse();
    ip.map(Some)
        .map_err(|_| line.error("bind-source-addr must be a literal IP address of this machine"))
}

fn admin_bind(line: &Line) -> Result<IpAddr, ConfigError> {
    let text = value(line)?;
    if text == "*" {
        return Ok(IpAddr::from([0, 0, 0, 0]));
    }
    text.parse()
        .map_err(|_| line.error("admin-bind must be a literal IP address"))
}
