//! The forms that values of plain directives have: Redis's checks with its texts, and how it writes them again.
//!
//! References: config.c `numericConfigSet`, `boolConfigSet`, `enumConfigSet`, `setConfig*Option`, `rewriteConfig*Option`.

use sentinel_proto::resp::parse_integer;

use super::seed::quoted;

/// Form of the value(s) of a directive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `yes` or `no`.
    Flag,
    /// A decimal number from, to.
    Number(i64, i64),
    /// An octal number up to 0777.
    Octal,
    /// Bytes with an optional unit, at least so many.
    Memory(i64),
    /// The same, or a percentage.
    MemoryOrPercent,
    /// Any one word.
    Text,
    /// One word that is no path: the directive, and what it names.
    FileName(&'static str, &'static str),
    /// One word of letters, digits, `-` and `.`.
    HostName,
    /// One word with known `{variables}`.
    Template,
    /// One of these, without case.
    OneOf(&'static [&'static str]),
    /// One or more of these.
    AnyOf(&'static [&'static str]),
    /// `save`.
    Save,
    /// `client-output-buffer-limit`.
    BufferLimit,
    /// `oom-score-adj-values`.
    OomValues,
    /// `notify-keyspace-events`.
    KeyspaceEvents,
    /// `replicaof`.
    ReplicaOf,
    /// `latency-tracking-info-percentiles`.
    Percentiles,
    /// At least so many words.
    Words(usize),
    /// Exactly so many words; else it is not that directive.
    Exactly(usize),
    /// Another spelling of this one.
    Alias(&'static str),
}

const WRONG_NUMBER: &str = "wrong number of arguments";
/// Redis's text where a directive is unknown.
pub(super) const BAD_DIRECTIVE: &str = "Bad directive or wrong number of arguments";
const TEMPLATE_VARIABLES: &[&str] = &[
    "title",
    "listen-addr",
    "server-mode",
    "port",
    "tls-port",
    "unixsocket",
    "config-file",
];

impl Kind {
    /// Checks the words after the directive; the error is Redis's reason.
    pub(super) fn check(self, args: &[String]) -> Result<(), String> {
        match self {
            Self::Save => save(args),
            Self::BufferLimit => buffer_limit(args),
            Self::OomValues => oom_values(args),
            Self::Percentiles => percentiles(args),
            Self::AnyOf(names) => any_of(args, names),
            Self::Words(least) if args.len() >= least => Ok(()),
            Self::Exactly(count) if args.len() == count => Ok(()),
            Self::Words(_) | Self::Exactly(_) => Err(BAD_DIRECTIVE.to_owned()),
            Self::ReplicaOf => match args {
                [host, port] if host.eq_ignore_ascii_case("no") && port.eq_ignore_ascii_case("one") => Ok(()),
                [_, port] => number(port)
                    .and_then(|port| in_range(port, 0, 65_535))
                    .map_err(|_| "Invalid master port".to_owned()),
                _ => Err(WRONG_NUMBER.to_owned()),
            },
            _ => match args {
                [value] => self.check_one(value),
                _ => Err(WRONG_NUMBER.to_owned()),
            },
        }
    }

    fn check_one(self, value: &str) -> Result<(), String> {
        match self {
            Self::Flag if is_flag(value) => Ok(()),
            Self::Flag => Err("argument must be 'yes' or 'no'".to_owned()),
            Self::Number(low, high) => in_range(number(value)?, low, high),
            Self::Octal => octal(value),
            Self::Memory(low) => in_range(memory(value)?, low, i64::MAX),
            Self::MemoryOrPercent => match value.strip_suffix('%') {
                Some(percent) if number(percent)? <= 100 => Ok(()),
                Some(_) => Err("percentage argument must be less or equal to 100".to_owned()),
                None => memory(value)
                    .map(|_| ())
                    .map_err(|_| "argument must be a memory or percent value".to_owned()),
            },
            Self::OneOf(names) => any_of(&[value.to_owned()], names),
            Self::FileName(name, _) if value.is_empty() && name.starts_with("append") => {
                Err(format!("{name} can't be empty"))
            }
            Self::FileName(name, what) if value.contains('/') => {
                Err(format!("{name} can't be a path, just a {what}"))
            }
            Self::HostName
                if value
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-.".contains(c)) =>
            {
                Ok(())
            }
            Self::HostName => {
                Err("Hostnames may only contain alphanumeric characters, hyphens or dots".to_owned())
            }
            Self::Template if !value.is_empty() && is_template(value) => Ok(()),
            Self::Template => Err("template format is invalid or contains unknown variables".to_owned()),
            Self::KeyspaceEvents => match value.chars().all(|c| "Ag$lshzxeKEtmdn".contains(c)) {
                true => Ok(()),
                false => Err("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.".to_owned()),
            },
            _ => Ok(()),
        }
    }

    /// Whether Redis takes several values.
    pub(super) fn takes_several(self) -> bool {
        matches!(
            self,
            Self::Save | Self::BufferLimit | Self::OomValues | Self::Percentiles | Self::AnyOf(_)
        )
    }

    /// Whether a file has at most one line of this kind that counts: the last.
    pub(super) fn is_single(self) -> bool {
        !matches!(
            self,
            Self::Save | Self::BufferLimit | Self::ReplicaOf | Self::Words(_) | Self::Exactly(_)
        )
    }

    /// The words as Redis writes them; `directive` is the canonical name.
    pub(super) fn line(self, directive: &str, args: &[String]) -> String {
        let written = |value: &String| match self {
            Self::Flag | Self::OneOf(_) | Self::AnyOf(_) => value.to_ascii_lowercase(),
            Self::Memory(_) | Self::MemoryOrPercent => memory(value).map_or(value.clone(), shown_memory),
            Self::Text | Self::Template | Self::KeyspaceEvents => quoted(value),
            Self::FileName(..) | Self::HostName => quoted(value),
            _ => value.clone(),
        };
        let words: Vec<String> = args.iter().map(written).collect();
        format!("{directive} {}", words.join(" ")).trim_end().to_owned()
    }
}

fn is_flag(value: &str) -> bool {
    value.eq_ignore_ascii_case("yes") || value.eq_ignore_ascii_case("no")
}

fn number(value: &str) -> Result<i64, String> {
    parse_integer(value.as_bytes()).ok_or_else(|| "argument couldn't be parsed into an integer".to_owned())
}

fn in_range(number: i64, low: i64, high: i64) -> Result<(), String> {
    if (low..=high).contains(&number) {
        return Ok(());
    }
    Err(format!("argument must be between {low} and {high} inclusive"))
}

fn octal(value: &str) -> Result<(), String> {
    match i64::from_str_radix(value, 8) {
        Ok(0..=0o777) => Ok(()),
        Ok(_) => Err("argument must be between 0 and 777 inclusive".to_owned()),
        Err(_) => Err("argument couldn't be parsed as an octal number".to_owned()),
    }
}

/// util.c `memtoull`.
pub(super) fn memory(value: &str) -> Result<i64, String> {
    let split = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    let (digits, unit) = value.split_at(split);
    let factor: i64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1024,
        "m" => 1_000_000,
        "mb" => 1024 * 1024,
        "g" => 1_000_000_000,
        "gb" => 1024 * 1024 * 1024,
        _ => 0,
    };
    let bytes = digits.parse::<i64>().ok().filter(|_| factor > 0);
    bytes
        .and_then(|bytes| bytes.checked_mul(factor))
        .ok_or_else(|| "argument must be a memory value".to_owned())
}

/// config.c `rewriteConfigFormatMemory`.
fn shown_memory(bytes: i64) -> String {
    for (unit, size) in [("gb", 1_073_741_824), ("mb", 1_048_576), ("kb", 1024)] {
        if bytes > 0 && bytes % size == 0 {
            return format!("{}{unit}", bytes / size);
        }
    }
    bytes.to_string()
}

fn any_of(args: &[String], names: &[&str]) -> Result<(), String> {
    let given = |name: &str| args.iter().any(|arg| arg.eq_ignore_ascii_case(name));
    if given("save") && given("nosave") {
        return Err("shutdown options SAVE and NOSAVE can't be used simultaneously".to_owned());
    }
    let known = |arg: &String| names.iter().any(|name| name.eq_ignore_ascii_case(arg));
    if !args.is_empty() && args.iter().all(known) {
        return Ok(());
    }
    if args.is_empty() {
        return Err(WRONG_NUMBER.to_owned());
    }
    Err(format!(
        "argument(s) must be one of the following: {}",
        names.join(", ")
    ))
}

fn is_template(value: &str) -> bool {
    let mut rest = value;
    while let Some((_, after)) = rest.split_once('{') {
        let Some((name, after)) = after.split_once('}') else {
            return false;
        };
        if !TEMPLATE_VARIABLES.contains(&name) {
            return false;
        }
        rest = after;
    }
    true
}

fn save(args: &[String]) -> Result<(), String> {
    if args.is_empty() || matches!(args, [none] if none.is_empty()) {
        return Ok(());
    }
    let pair = |pair: &[String]| {
        let [seconds, changes] = pair else {
            return false;
        };
        number(seconds).is_ok_and(|n| n >= 1) && number(changes).is_ok_and(|n| n >= 0)
    };
    if args.chunks(2).all(pair) {
        return Ok(());
    }
    Err("Invalid save parameters".to_owned())
}

fn buffer_limit(args: &[String]) -> Result<(), String> {
    if args.len() % 4 != 0 {
        return Err("Wrong number of arguments in buffer limit configuration.".to_owned());
    }
    for limit in args.chunks(4) {
        let [class, hard, soft, seconds] = limit else {
            return Err(WRONG_NUMBER.to_owned());
        };
        if !["normal", "slave", "replica", "pubsub"]
            .iter()
            .any(|known| known.eq_ignore_ascii_case(class))
        {
            return Err("Invalid client class specified in buffer limit configuration.".to_owned());
        }
        let bad = memory(hard).is_err() || memory(soft).is_err() || number(seconds).is_ok_and(|n| n < 0);
        if bad || number(seconds).is_err() {
            return Err(
                "Error in hard, soft or soft_seconds setting in buffer limit configuration.".to_owned(),
            );
        }
    }
    Ok(())
}

fn oom_values(args: &[String]) -> Result<(), String> {
    if args.len() != 3 {
        return Err(WRONG_NUMBER.to_owned());
    }
    let fits = |value: &String| number(value).is_ok_and(|n| (-2000..=2000).contains(&n));
    match args.iter().all(fits) {
        true => Ok(()),
        false => Err("Invalid oom-score-adj-values, elements must be between -2000 and 2000.".to_owned()),
    }
}

fn percentiles(args: &[String]) -> Result<(), String> {
    const REASON: &str = "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]";
    if matches!(args, [none] if none.is_empty()) {
        return Ok(());
    }
    let is_percent = |value: &String| {
        let whole = value.split('.').next().unwrap_or_default();
        let digits = value.chars().all(|c| c.is_ascii_digit() || c == '.') && value.matches('.').count() <= 1;
        let fraction = value.split('.').nth(1).unwrap_or_default();
        digits
            && match whole.parse::<u32>() {
                Ok(100) => fraction.chars().all(|c| c == '0'),
                Ok(whole) => whole < 100,
                Err(_) => whole.is_empty() && !fraction.is_empty(),
            }
    };
    if !args.iter().all(|value| value.parse::<f64>().is_ok()) {
        return Err("Invalid latency-tracking-info-percentiles parameters".to_owned());
    }
    match args.iter().all(is_percent) {
        true => Ok(()),
        false => Err(REASON.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::known;

    /// Reasons as Redis 7.0.15 gave them.
    const REFUSED: &[(&str, &str)] = &[
        (
            "loglevel foo",
            "argument(s) must be one of the following: debug, verbose, notice, warning, nothing",
        ),
        ("maxmemory foo", "argument must be a memory value"),
        (
            "maxclients 0",
            "argument must be between 1 and 4294967295 inclusive",
        ),
        ("maxclients 5 6", "wrong number of arguments"),
        ("hz x", "argument couldn't be parsed into an integer"),
        (
            "io-threads 999999999999999999999",
            "argument couldn't be parsed into an integer",
        ),
        ("io-threads 200", "argument must be between 1 and 128 inclusive"),
        (
            "tcp-backlog -1",
            "argument must be between 0 and 2147483647 inclusive",
        ),
        ("appendonly maybe", "argument must be 'yes' or 'no'"),
        (
            "unixsocketperm 9",
            "argument couldn't be parsed as an octal number",
        ),
        (
            "unixsocketperm 7777",
            "argument must be between 0 and 777 inclusive",
        ),
        ("save 1", "Invalid save parameters"),
        ("save a b", "Invalid save parameters"),
        (
            "client-output-buffer-limit foo 1 2 3",
            "Invalid client class specified in buffer limit configuration.",
        ),
        (
            "client-output-buffer-limit pubsub 1",
            "Wrong number of arguments in buffer limit configuration.",
        ),
        ("oom-score-adj-values 1 2", "wrong number of arguments"),
        (
            "oom-score-adj-values 1 2 99999",
            "Invalid oom-score-adj-values, elements must be between -2000 and 2000.",
        ),
        (
            "notify-keyspace-events Q",
            "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.",
        ),
        (
            "unixsocketperm -1",
            "argument must be between 0 and 777 inclusive",
        ),
        ("replicaof a", "wrong number of arguments"),
        ("replicaof a b", "Invalid master port"),
        ("dbfilename a/b", "dbfilename can't be a path, just a filename"),
        (
            "appenddirname a/b",
            "appenddirname can't be a path, just a dirname",
        ),
        ("appendfilename \"\"", "appendfilename can't be empty"),
        (
            "shutdown-on-sigterm save nosave",
            "shutdown options SAVE and NOSAVE can't be used simultaneously",
        ),
        (
            "proc-title-template \"\"",
            "template format is invalid or contains unknown variables",
        ),
        (
            "latency-tracking-info-percentiles x",
            "Invalid latency-tracking-info-percentiles parameters",
        ),
        (
            "latency-tracking-info-percentiles 101",
            "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]",
        ),
        (
            "proto-max-bulk-len 1",
            "argument must be between 1048576 and 9223372036854775807 inclusive",
        ),
        ("rename-command a", "Bad directive or wrong number of arguments"),
        ("loadmodule", "Bad directive or wrong number of arguments"),
        (
            "enable-debug-command foo",
            "argument(s) must be one of the following: no, yes, local",
        ),
        (
            "maxmemory-clients 120%",
            "percentage argument must be less or equal to 100",
        ),
        (
            "proc-title-template {foo}",
            "template format is invalid or contains unknown variables",
        ),
        (
            "slowlog-log-slower-than -5",
            "argument must be between -1 and 9223372036854775807 inclusive",
        ),
        ("lua-time-limit x", "argument couldn't be parsed into an integer"),
        (
            "cluster-announce-hostname a_b",
            "Hostnames may only contain alphanumeric characters, hyphens or dots",
        ),
    ];

    const TAKEN: &[&str] = &[
        "bind",
        "save",
        "save \"\"",
        "client-output-buffer-limit",
        "replicaof no one",
        "dbfilename \"\"",
        "lua-enable-deprecated-api yes",
        "save 3600 1 300 100",
        "shutdown-on-sigint default now",
        "replicaof h 1",
        "maxmemory-clients 5%",
        "maxmemory 1Gb",
        "latency-tracking-info-percentiles 50 99.9 100.0",
        "latency-tracking-info-percentiles",
        "syslog-ident \"\"",
        "LogLevel NOTICE",
        "client-output-buffer-limit normal 0 0 0 pubsub 32mb 8mb 60",
        "oom-score-adj-values 0 200 800",
    ];

    fn words(line: &str) -> (String, Vec<String>) {
        let mut words: Vec<String> = sentinel_proto::conf::tokenize(line).unwrap().remove(0).words;
        (words.remove(0), words)
    }

    fn check(line: &str) -> Result<(), String> {
        let (directive, args) = words(line);
        known::kind(&directive).unwrap().check(&args)
    }

    #[test]
    fn values_are_refused_with_the_reasons_of_redis() {
        for (line, reason) in REFUSED {
            assert_eq!(check(line), Err((*reason).to_owned()), "{line}");
        }
        for line in TAKEN {
            assert_eq!(check(line), Ok(()), "{line}");
        }
    }

    #[test]
    fn values_are_written_as_redis_writes_them() {
        for (line, written) in [
            ("logfile a.log", "logfile \"a.log\""),
            ("maxmemory 1073741824", "maxmemory 1gb"),
            ("maxmemory 1500", "maxmemory 1500"),
            ("maxmemory 0", "maxmemory 0"),
            ("timeout 5", "timeout 5"),
            ("appendonly YES", "appendonly yes"),
            ("loglevel NOTICE", "loglevel notice"),
            ("requirepass \"a b\"", "requirepass \"a b\""),
        ] {
            let (directive, args) = words(line);
            assert_eq!(known::kind(&directive).unwrap().line(&directive, &args), written);
        }
    }
}
