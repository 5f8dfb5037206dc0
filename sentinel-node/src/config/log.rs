//! How log lines look, and whether they go to syslog, too.

/// `log-format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// `legacy`: `PID:X TIME MARK message`.
    #[default]
    Legacy,
    /// `logfmt`: `pid=1 role=sentinel timestamp="..." level=notice message="..."`.
    Logfmt,
    /// `json`, our own: an object with the same fields.
    Json,
}

/// `log-timestamp-format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogTimestamps {
    /// `legacy`: `17 Aug 2023 13:44:20.854`.
    #[default]
    Legacy,
    /// `iso8601`: `2024-10-25T00:36:32.123+02:00`.
    Iso8601,
    /// `milliseconds` since 1970.
    Milliseconds,
}

/// The form of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogStyle {
    /// `log-format`.
    pub format: LogFormat,
    /// `log-timestamp-format`.
    pub timestamps: LogTimestamps,
}

/// `syslog-*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyslogConfig {
    /// `syslog-enabled`.
    pub enabled: bool,
    /// `syslog-ident`.
    pub ident: String,
    /// `syslog-facility` by its number.
    pub facility: u8,
}

impl Default for SyslogConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            ident: "redis".to_owned(),
            facility: LOCAL0,
        }
    }
}

/// `LOG_USER` and `LOG_LOCAL0` of syslog.h, as numbers of facilities.
const USER: u8 = 1;
const LOCAL0: u8 = 16;

/// Takes a directive of this subject; false for any other. Its value was checked.
pub(super) fn apply(style: &mut LogStyle, syslog: &mut SyslogConfig, words: &[String]) -> bool {
    let [directive, value] = words else {
        return false;
    };
    let lower = value.to_ascii_lowercase();
    match (directive.as_str(), lower.as_str()) {
        ("log-format", "logfmt") => style.format = LogFormat::Logfmt,
        ("log-format", "json") => style.format = LogFormat::Json,
        ("log-format", _) => style.format = LogFormat::Legacy,
        ("log-timestamp-format", "iso8601") => style.timestamps = LogTimestamps::Iso8601,
        ("log-timestamp-format", "milliseconds") => style.timestamps = LogTimestamps::Milliseconds,
        ("log-timestamp-format", _) => style.timestamps = LogTimestamps::Legacy,
        ("syslog-enabled", flag) => syslog.enabled = flag == "yes",
        ("syslog-ident", _) => syslog.ident.clone_from(value),
        ("syslog-facility", name) => {
            let number = name.strip_prefix("local").and_then(|n| n.parse::<u8>().ok());
            syslog.facility = number.map_or(USER, |number| LOCAL0.saturating_add(number));
        }
        _ => return false,
    }
    true
}
