//! What was asked for. Redis's conventions for the daemon (`server.c: main`), clap for `status`.

use clap::Parser;
use sentinel_proto::resp::split_words;

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Invocation {
    /// Run a sentinel.
    Daemon {
        /// The configuration file; mandatory, but its absence is the daemon's error to report.
        file: Option<String>,
        /// Lines that follow the file's text: `--name value` options.
        extra: String,
        /// `-`: more lines come from stdin, before the options.
        stdin: bool,
    },
    /// Print the version.
    Version,
    /// Print the usage.
    Help,
    /// `status`.
    Status(StatusArgs),
    /// Something clap has to say (usage of `status`): text, and whether it is an error.
    Message(String, bool),
}

/// Arguments of `status`.
#[derive(Debug, Clone, PartialEq, Eq, Parser)]
#[command(name = "sentinel-node status", about = "Shows what a running sentinel knows")]
pub struct StatusArgs {
    /// Shows it again each second
    #[arg(long)]
    pub watch: bool,
    /// Admin address of the sentinel, host:port
    #[arg(long, default_value = "127.0.0.1:46379")]
    pub admin: String,
    /// Prints the JSON of /v1/status instead of a table
    #[arg(long)]
    pub json: bool,
}

/// Printed by `--help`.
pub const USAGE: &str = "\
Usage: sentinel-node /path/to/sentinel.conf [--name value ...] [-]
       sentinel-node status [--watch] [--json] [--admin host:port]
       sentinel-node -v | --version
       sentinel-node -h | --help

Options after the file are further lines of it, the last one wins:
       sentinel-node /etc/sentinel.conf --port 26380 --loglevel verbose
A single - reads more lines from standard input.
";

/// What `--version` prints. Called as `redis-sentinel` (a link), it is the line that scripts read there.
#[must_use]
pub fn version(program: Option<&str>) -> String {
    let (ours, theirs, bits) = (
        env!("CARGO_PKG_VERSION"),
        crate::config::REDIS_VERSION,
        usize::BITS,
    );
    let name = program
        .and_then(|path| path.rsplit('/').next())
        .unwrap_or_default();
    if name.starts_with("redis-") {
        format!(
            "Redis server v={theirs} sha=00000000:0 malloc=libc bits={bits} build=sentinel-on-raft-{ours}"
        )
    } else {
        format!("Sentinel on Raft v={ours} (Redis Sentinel {theirs} compatible) bits={bits}")
    }
}

/// Reads the arguments after the program's name.
#[must_use]
pub fn parse(args: &[String]) -> Invocation {
    match args.first().map(String::as_str) {
        Some("-v" | "--version") => return Invocation::Version,
        Some("-h" | "--help") => return Invocation::Help,
        Some("status") => return status(args),
        _ => {}
    }
    let mut words = args;
    let mut file = None;
    let mut stdin = false;
    if let [first, rest @ ..] = words {
        if first == "-" {
            stdin = true;
            words = rest;
        } else if !first.starts_with('-') {
            file = Some(first.clone());
            words = rest;
        }
    }
    if let [rest @ .., last] = words {
        if last == "-" {
            stdin = true;
            words = rest;
        }
    }
    Invocation::Daemon {
        file,
        extra: lines(words),
        stdin,
    }
}

fn status(args: &[String]) -> Invocation {
    match StatusArgs::try_parse_from(args) {
        Ok(args) => Invocation::Status(args),
        Err(error) => Invocation::Message(error.render().to_string(), error.use_stderr()),
    }
}

/// `--name value value` to `name "value" "value"` lines, as `server.c: main` reads them: what follows a name is its value,
/// also when it begins with two dashes (but not after `--save` and `--sentinel`, which need none); `"--name value"` in one
/// word is a whole line.
fn lines(words: &[String]) -> String {
    let mut text = String::new();
    let mut value_is_due = false;
    for (at, word) in words.iter().enumerate() {
        let Some(name) = word.strip_prefix("--").filter(|_| !value_is_due) else {
            text.push_str(&crate::config::quoted(word));
            text.push(' ');
            value_is_due = false;
            continue;
        };
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(name);
        text.push(' ');
        let is = |option: &str| name.eq_ignore_ascii_case(option);
        let alone = words
            .get(at.saturating_add(1))
            .is_none_or(|next| next.starts_with("--"));
        if is("save") && alone {
            text.push_str("\"\"");
        }
        let is_whole = split_words(name.as_bytes()).is_some_and(|words| words.len() > 1);
        value_is_due = !is_whole && !(alone && (is("save") || is("sentinel")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &str) -> Invocation {
        parse(&words.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn options_become_lines_of_the_file() {
        assert_eq!(
            of("/a.conf --port 2 --sentinel --sentinel monitor m 127.0.0.1 1 2 -"),
            Invocation::Daemon {
                file: Some("/a.conf".into()),
                extra: "port \"2\" \nsentinel \nsentinel \"monitor\" \"m\" \"127.0.0.1\" \"1\" \"2\" ".into(),
                stdin: true
            }
        );
        assert!(matches!(of("--port 2"), Invocation::Daemon { file: None, .. }));
        assert!(matches!(of(""), Invocation::Daemon { file: None, .. }));
    }

    #[test]
    fn what_follows_a_name_is_its_value() {
        for (words, expected) in [
            (
                &["--requirepass", "--x", "--port", "1"][..],
                "requirepass \"--x\" \nport \"1\" ",
            ),
            (
                &["--port 1", "--loglevel", "debug"],
                "port 1 \nloglevel \"debug\" ",
            ),
            (&["--save", "--port", "1"], "save \"\"\nport \"1\" "),
            (&["--port", "1", "--SAVE"], "port \"1\" \nSAVE \"\""),
            (&["--sentinel", "--port", "1"], "sentinel \nport \"1\" "),
            (&["--save", ""], "save \"\" "),
            (&["--bind", "a", "b"], "bind \"a\" \"b\" "),
            (&["bad"], "\"bad\" "),
        ] {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(lines(&words), expected, "{words:?}");
        }
    }

    #[test]
    fn the_other_forms_are_known() {
        assert_eq!(of("-v"), Invocation::Version);
        assert_eq!(of("--help"), Invocation::Help);
        assert_eq!(of("--version --port 1"), Invocation::Version);
        assert!(version(Some("/usr/bin/redis-sentinel")).starts_with("Redis server v=7."));
        assert!(version(Some("/opt/sentinel-node")).starts_with("Sentinel on Raft v="));
        let Invocation::Status(args) = of("status --watch --admin 127.0.0.1:1") else {
            panic!("not status");
        };
        assert!(args.watch && args.admin == "127.0.0.1:1");
        assert!(matches!(of("status --nonsense"), Invocation::Message(_, true)));
    }
}
