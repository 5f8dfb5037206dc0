//! `client-output-buffer-limit`, `client-query-buffer-limit` and `proto-max-bulk-len`.

use super::kind::memory;
use super::lines::Line;

const MIB: u64 = 1024 * 1024;

/// How much output may wait for one client; 0 = no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OutputLimit {
    /// Bytes at which it is closed at once.
    pub hard: u64,
    /// Bytes above which it may not stay for longer than [`Self::soft_s`].
    pub soft: u64,
    /// Seconds.
    pub soft_s: u32,
}

/// What one client may make this process hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BufferLimits {
    /// Clients without subscriptions.
    pub normal: OutputLimit,
    /// Clients with subscriptions.
    pub pubsub: OutputLimit,
    /// `client-query-buffer-limit`: bytes of one request.
    pub query: u64,
    /// `proto-max-bulk-len`: bytes of one word.
    pub bulk: u64,
}

impl Default for BufferLimits {
    /// Output as in Redis. Requests of a sentinel's clients are short: less input than Redis allows (1 GiB), so that many
    /// clients cannot hold much.
    fn default() -> Self {
        Self {
            normal: OutputLimit::default(),
            pubsub: OutputLimit {
                hard: 32 * MIB,
                soft: 8 * MIB,
                soft_s: 60,
            },
            query: MIB,
            bulk: MIB / 2,
        }
    }
}

/// Applies one line, whose form was checked; false when the directive is none of these.
pub(super) fn apply(limits: &mut BufferLimits, line: &Line) -> bool {
    let bytes = |word: &String| memory(word).ok().and_then(|bytes| u64::try_from(bytes).ok());
    let directive = line.words.first().map_or("", String::as_str);
    match (directive, line.args()) {
        ("client-output-buffer-limit", args) => {
            for group in args.chunks_exact(4) {
                let [class, hard, soft, seconds] = group else {
                    continue;
                };
                let limit = OutputLimit {
                    hard: bytes(hard).unwrap_or(0),
                    soft: bytes(soft).unwrap_or(0),
                    soft_s: seconds.parse().unwrap_or(0),
                };
                match class.to_ascii_lowercase().as_str() {
                    "normal" => limits.normal = limit,
                    "pubsub" => limits.pubsub = limit,
                    // A sentinel has no replicas.
                    _ => {}
                }
            }
        }
        ("client-query-buffer-limit", [value]) => limits.query = bytes(value).unwrap_or(limits.query),
        ("proto-max-bulk-len", [value]) => limits.bulk = bytes(value).unwrap_or(limits.bulk),
        _ => return false,
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{NoIncludes, parse};

    fn limits(line: &str) -> Result<BufferLimits, String> {
        let parsed = parse("f", line, &mut NoIncludes);
        parsed.map(|config| config.limits).map_err(|error| error.reason)
    }

    #[test]
    fn sizes_and_classes_are_read() {
        let got = limits("client-output-buffer-limit normal 1mb 2k 3 PubSub 1gb 0 0").unwrap();
        let expected = OutputLimit {
            hard: MIB,
            soft: 2000,
            soft_s: 3,
        };
        assert_eq!((got.normal, got.pubsub.hard), (expected, 1024 * MIB));
        let got = limits("client-query-buffer-limit 2mb\nproto-max-bulk-len 1mb").unwrap();
        assert_eq!((got.query, got.bulk), (2 * MIB, MIB));
    }

    #[test]
    fn errors_are_those_of_redis() {
        let class = "Invalid client class specified in buffer limit configuration.";
        let number = "Error in hard, soft or soft_seconds setting in buffer limit configuration.";
        let count = "Wrong number of arguments in buffer limit configuration.";
        let range = "argument must be between 1048576 and 9223372036854775807 inclusive";
        for (line, reason) in [
            ("client-output-buffer-limit normal 1", count),
            ("client-output-buffer-limit normal 1 2 3 pubsub 1 2", count),
            ("client-output-buffer-limit master 1 1 1", class),
            ("client-output-buffer-limit normal x 2 3", number),
            ("client-output-buffer-limit normal -1 0 0", number),
            ("client-output-buffer-limit normal 1mb 2kb 3s", number),
            ("client-query-buffer-limit 1kb", range),
            ("client-query-buffer-limit x", "argument must be a memory value"),
            ("client-query-buffer-limit 1 2", "wrong number of arguments"),
            ("proto-max-bulk-len -1", "argument must be a memory value"),
        ] {
            assert_eq!(limits(line).unwrap_err(), reason, "{line}");
        }
    }
}
