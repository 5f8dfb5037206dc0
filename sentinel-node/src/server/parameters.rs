//! `SENTINEL CONFIG GET` and `SET`: seven parameters of this node that change while it runs. They are not kept: the
//! file says them again at the next start.

use sentinel_proto::command::CONFIG_PARAMETERS;
use sentinel_proto::reply::ErrorReply;
use sentinel_proto::resp::parse_integer;

use crate::config::{Config, LogLevel};

/// The parameters as they are at this moment, without `loglevel`, which the log itself holds.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Parameters {
    /// `resolve-hostnames`: whether MONITOR takes host names.
    pub resolve_hostnames: bool,
    /// `announce-hostnames`.
    pub announce_hostnames: bool,
    /// `announce-ip`; `None` = the address under which the peers reach this node.
    pub announce_ip: Option<String>,
    /// `announce-port`; `None` = `port`.
    pub announce_port: Option<u16>,
    /// `sentinel-user`.
    pub sentinel_user: Option<String>,
    /// `sentinel-pass`.
    pub sentinel_pass: Option<String>,
}

impl std::fmt::Debug for Parameters {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parameters")
            .field("resolve_hostnames", &self.resolve_hostnames)
            .field("announce_hostnames", &self.announce_hostnames)
            .field("announce_ip", &self.announce_ip)
            .field("announce_port", &self.announce_port)
            .field("sentinel_user", &self.sentinel_user)
            .finish_non_exhaustive()
    }
}

/// One checked pair of CONFIG SET.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change<'a> {
    Flag(&'a str, bool),
    Text(&'a str, &'a str),
    AnnouncePort(u16),
    Level(LogLevel),
}

impl Parameters {
    /// Taken from the file.
    #[must_use]
    pub fn from_config(config: &Config) -> Self {
        let sentinel = &config.sentinel;
        Self {
            resolve_hostnames: sentinel.resolve_hostnames,
            announce_hostnames: sentinel.announce_hostnames,
            announce_ip: sentinel.announce_ip.clone(),
            announce_port: sentinel.announce_port,
            sentinel_user: sentinel.sentinel_user.clone(),
            sentinel_pass: sentinel.sentinel_pass.clone(),
        }
    }

    /// CONFIG GET *, in its order. As in Sentinel the password is shown in clear.
    #[must_use]
    pub fn shown(&self) -> [(&'static str, String); CONFIG_PARAMETERS.len()] {
        let yes_no = |flag: bool| if flag { "yes" } else { "no" }.to_owned();
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        [
            ("resolve-hostnames", yes_no(self.resolve_hostnames)),
            ("announce-hostnames", yes_no(self.announce_hostnames)),
            ("announce-ip", text(&self.announce_ip)),
            ("announce-port", self.announce_port.unwrap_or(0).to_string()),
            ("sentinel-user", text(&self.sentinel_user)),
            ("sentinel-pass", text(&self.sentinel_pass)),
            ("loglevel", crate::log::level().name().to_owned()),
        ]
    }

    /// Takes over a checked pair.
    pub(super) fn apply(&mut self, change: &Change<'_>) {
        let set = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        match *change {
            Change::Flag("resolve-hostnames", flag) => self.resolve_hostnames = flag,
            Change::Flag(_, flag) => self.announce_hostnames = flag,
            Change::Text("announce-ip", text) => self.announce_ip = set(text),
            Change::Text("sentinel-user", text) => self.sentinel_user = set(text),
            Change::Text(_, text) => self.sentinel_pass = set(text),
            Change::AnnouncePort(port) => self.announce_port = (port > 0).then_some(port),
            Change::Level(_) => {}
        }
    }
}

/// Checks all pairs; the names are known and in lower case. Nothing is applied when one is bad.
pub(super) fn changes(pairs: &[(String, String)]) -> Result<Vec<Change<'_>>, ErrorReply> {
    pairs.iter().map(|(name, value)| change(name, value)).collect()
}

fn change<'a>(name: &'a str, value: &'a str) -> Result<Change<'a>, ErrorReply> {
    let invalid = || ErrorReply::config_invalid(name, value);
    Ok(match name {
        "resolve-hostnames" | "announce-hostnames" => match value.to_ascii_lowercase().as_str() {
            "yes" => Change::Flag(name, true),
            "no" => Change::Flag(name, false),
            _ => return Err(invalid()),
        },
        "announce-port" => {
            let port = parse_integer(value.as_bytes()).and_then(|port| u16::try_from(port).ok());
            Change::AnnouncePort(port.ok_or_else(invalid)?)
        }
        "loglevel" => Change::Level(LogLevel::from_name(value).ok_or_else(invalid)?),
        _ => Change::Text(name, value),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(words: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        words.iter().map(owned).collect()
    }

    #[test]
    fn one_bad_value_refuses_all() {
        for (name, value) in [
            ("announce-port", "65536"),
            ("announce-port", "x"),
            ("announce-port", "-1"),
            ("resolve-hostnames", "maybe"),
            ("loglevel", "loud"),
        ] {
            let all = pairs(&[("announce-ip", "10.0.0.1"), (name, value)]);
            let error = changes(&all).unwrap_err().to_string();
            let expected = format!("ERR Invalid value '{value}' to SENTINEL CONFIG SET '{name}'");
            assert_eq!(error, expected);
        }
    }

    #[test]
    fn values_are_taken_over_and_unset() {
        let mut parameters = Parameters::default();
        let set = [
            ("resolve-hostnames", "YES"),
            ("announce-ip", "10.0.0.1"),
            ("announce-port", "26380"),
            ("sentinel-user", "u"),
            ("sentinel-pass", "p w"),
        ];
        for change in changes(&pairs(&set)).unwrap() {
            parameters.apply(&change);
        }
        let shown = parameters.shown();
        let values: Vec<&str> = shown.iter().take(6).map(|(_, value)| value.as_str()).collect();
        assert_eq!(values, ["yes", "no", "10.0.0.1", "26380", "u", "p w"]);
        let unset = [
            ("resolve-hostnames", "no"),
            ("announce-ip", ""),
            ("announce-port", "0"),
            ("sentinel-user", ""),
            ("sentinel-pass", ""),
        ];
        for change in changes(&pairs(&unset)).unwrap() {
            parameters.apply(&change);
        }
        assert_eq!(parameters, Parameters::default());
    }
}
