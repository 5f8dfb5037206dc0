//! One line.

use chrono::{DateTime, Local, TimeZone as _};
use sentinel_core::time::WallTime;
use serde_json::json;

use crate::config::{LogFormat, LogLevel, LogStyle, LogTimestamps};

/// Redis: `LOG_MAX_LEN`, bytes of a message.
const MAX_MESSAGE_BYTES: usize = 1024;

/// The line without its line end.
#[must_use]
pub fn format_line(style: LogStyle, pid: u32, at: WallTime, level: LogLevel, message: &str) -> String {
    let (when, message) = (timestamp(style.timestamps, at), cut(message));
    match style.format {
        LogFormat::Legacy => format!("{pid}:X {when} {} {message}", mark(level)),
        LogFormat::Logfmt => format!(
            "pid={pid} role=sentinel timestamp=\"{when}\" level={} message=\"{}\"",
            level.name(),
            message.replace('"', "'")
        ),
        LogFormat::Json => {
            let level = level.name();
            json!({"pid": pid, "role": "sentinel", "timestamp": when, "level": level, "message": message})
                .to_string()
        }
    }
}

/// Local time; the number where the machine's calendar has no such time.
fn timestamp(format: LogTimestamps, at: WallTime) -> String {
    let ms = i64::try_from(at.0).unwrap_or(i64::MAX);
    let local: Option<DateTime<Local>> = Local.timestamp_millis_opt(ms).earliest();
    match (format, local) {
        (LogTimestamps::Legacy, Some(when)) => when.format("%d %b %Y %H:%M:%S%.3f").to_string(),
        (LogTimestamps::Iso8601, Some(when)) => when.format("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string(),
        (LogTimestamps::Milliseconds, _) | (_, None) => ms.to_string(),
    }
}

fn mark(level: LogLevel) -> char {
    match level {
        LogLevel::Debug => '.',
        LogLevel::Verbose => '-',
        LogLevel::Notice => '*',
        LogLevel::Warning | LogLevel::Nothing => '#',
    }
}

/// At most [`MAX_MESSAGE_BYTES`], on one line, never in the middle of a character.
pub(super) fn cut(message: &str) -> String {
    let mut end = message.len().min(MAX_MESSAGE_BYTES);
    while !message.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    message.get(..end).unwrap_or_default().replace(['\r', '\n'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: WallTime = WallTime(1_692_272_660_854);

    fn line(format: LogFormat, timestamps: LogTimestamps, message: &str) -> String {
        format_line(
            LogStyle { format, timestamps },
            17785,
            AT,
            LogLevel::Warning,
            message,
        )
    }

    #[test]
    fn a_line_has_redis_s_form() {
        let line = line(
            LogFormat::Legacy,
            LogTimestamps::Legacy,
            "+sdown master m 127.0.0.1 6379",
        );
        assert!(line.starts_with("17785:X "), "{line}");
        // The hour depends on the time zone of the machine.
        assert!(line.contains(" Aug 2023 "), "{line}");
        assert!(
            line.ends_with(":20.854 # +sdown master m 127.0.0.1 6379"),
            "{line}"
        );
    }

    #[test]
    fn the_forms_of_valkey() {
        assert_eq!(
            line(LogFormat::Logfmt, LogTimestamps::Milliseconds, "say \"hi\"\r\n"),
            "pid=17785 role=sentinel timestamp=\"1692272660854\" level=warning message=\"say 'hi'  \""
        );
        assert_eq!(
            line(LogFormat::Legacy, LogTimestamps::Milliseconds, "m"),
            "17785:X 1692272660854 # m"
        );
        let iso = line(LogFormat::Logfmt, LogTimestamps::Iso8601, "m");
        let when = iso.split('"').nth(1).unwrap();
        let read = DateTime::parse_from_rfc3339(when).unwrap();
        assert_eq!(
            (read.timestamp_millis(), when.len()),
            (1_692_272_660_854, 29),
            "{iso}"
        );
    }

    #[test]
    fn json_can_be_read_back() {
        let text = line(LogFormat::Json, LogTimestamps::Milliseconds, "a \"b\" \\");
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["message"], "a \"b\" \\");
        assert_eq!((&read["level"], &read["pid"]), (&json!("warning"), &json!(17785)));
    }

    #[test]
    fn long_and_broken_messages_stay_one_line() {
        let long = format!("a\nb{}", "\u{e4}".repeat(2000));
        let line = line(LogFormat::Legacy, LogTimestamps::Legacy, &long);
        assert!(line.len() < 1100 && !line.contains('\n'));
    }
}
