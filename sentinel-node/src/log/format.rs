//! One line.

use chrono::{Local, TimeZone as _};
use sentinel_core::time::WallTime;

/// Redis: `LOG_MAX_LEN`, bytes of a message.
const MAX_MESSAGE_BYTES: usize = 1024;

/// The line without its line end; `mark` is `.`, `-`, `*` or `#`.
#[must_use]
pub fn format_line(pid: u32, at: WallTime, mark: char, message: &str) -> String {
    let ms = i64::try_from(at.0).unwrap_or(i64::MAX);
    let when = match Local.timestamp_millis_opt(ms).earliest() {
        Some(when) => when.format("%d %b %Y %H:%M:%S%.3f").to_string(),
        None => format!("{ms}ms"),
    };
    format!("{pid}:X {when} {mark} {}", cut(message))
}

/// At most [`MAX_MESSAGE_BYTES`], on one line, never in the middle of a character.
fn cut(message: &str) -> String {
    let mut end = message.len().min(MAX_MESSAGE_BYTES);
    while !message.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    message.get(..end).unwrap_or_default().replace(['\r', '\n'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_redis_s_form() {
        let line = format_line(
            17785,
            WallTime(1_692_272_660_854),
            '#',
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
    fn long_and_broken_messages_stay_one_line() {
        let line = format_line(1, WallTime(0), '*', &format!("a\nb{}", "\u{e4}".repeat(2000)));
        assert!(line.len() < 1100 && !line.contains('\n'));
    }
}
