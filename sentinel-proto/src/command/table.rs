//! The command table: what exists, and what COMMAND says about it.

use bytes::Bytes;

use super::table_acl::ACL;
use super::table_sentinel::SENTINEL;
use super::{Request, client, session, tracking};
use crate::reply::ErrorReply;

/// How a command's words become a request.
pub(super) type Parser = fn(&[Bytes]) -> Result<Request, ErrorReply>;

/// One command or subcommand.
#[derive(Debug, Clone, Copy)]
pub struct CommandSpec {
    /// Full name in lower case: `ping`, `sentinel|master`. Also the unit of ACL rules.
    pub name: &'static str,
    /// Count of words: exactly so many, or, negative, at least so many.
    pub arity: i32,
    /// Flags of COMMAND.
    pub flags: &'static [&'static str],
    /// ACL categories without `@`.
    pub categories: &'static [&'static str],
    /// Tips of COMMAND.
    pub tips: &'static [&'static str],
    /// Summary of COMMAND DOCS.
    pub summary: &'static str,
    /// First version with it.
    pub since: &'static str,
    /// Group of COMMAND DOCS.
    pub group: &'static str,
    /// Subcommands; not empty = a container.
    pub subcommands: &'static [CommandSpec],
    /// Turns the words into a request, after the count was checked.
    pub parse: Parser,
}

impl CommandSpec {
    /// A row without tips and subcommands.
    pub(super) const fn new(
        name: &'static str,
        arity: i32,
        flags: &'static [&'static str],
        categories: &'static [&'static str],
        parse: Parser,
    ) -> Self {
        Self {
            name,
            arity,
            flags,
            categories,
            tips: &[],
            summary: "",
            since: "1.0.0",
            group: "connection",
            subcommands: &[],
            parse,
        }
    }

    /// The same with its documentation.
    pub(super) const fn doc(
        mut self,
        group: &'static str,
        since: &'static str,
        summary: &'static str,
    ) -> Self {
        self.group = group;
        self.since = since;
        self.summary = summary;
        self
    }

    const fn tips(mut self, tips: &'static [&'static str]) -> Self {
        self.tips = tips;
        self
    }

    const fn with(mut self, subcommands: &'static [CommandSpec]) -> Self {
        self.subcommands = subcommands;
        self
    }

    /// The word that selects it: `master` of `sentinel|master`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self.name.split_once('|') {
            Some((_, word)) => word,
            None => self.name,
        }
    }

    /// True when a request of so many words is well-formed in this respect.
    #[must_use]
    pub fn accepts(&self, words: usize) -> bool {
        let wanted = usize::try_from(self.arity.unsigned_abs()).unwrap_or(usize::MAX);
        if self.arity < 0 {
            words >= wanted
        } else {
            words == wanted
        }
    }

    /// True when it works before authentication (AUTH and HELLO).
    #[must_use]
    pub fn before_auth(&self) -> bool {
        self.flags.contains(&"no_auth")
    }

    /// True when a RESP2 client with subscriptions may send it.
    #[must_use]
    pub fn while_subscribed(&self) -> bool {
        matches!(
            self.name,
            "ping" | "subscribe" | "unsubscribe" | "psubscribe" | "punsubscribe"
        )
    }
}

/// Finds a row by its word, without case.
#[must_use]
pub fn find(table: &'static [CommandSpec], word: &[u8]) -> Option<&'static CommandSpec> {
    table
        .iter()
        .find(|spec| spec.word().as_bytes().eq_ignore_ascii_case(word))
}

/// Finds a command (`ping`) or subcommand (`sentinel|master`), without case.
#[must_use]
pub fn find_by_full_name(name: &str) -> Option<&'static CommandSpec> {
    super::full_name(name, |word| find(TABLE, word.as_bytes()))
}

const LOADING: &[&str] = &["loading", "stale"];
const PLAIN: &[&str] = &["noscript", "loading", "stale"];
const ADMIN: &[&str] = &["admin", "noscript", "loading", "stale"];
const PUBSUB: &[&str] = &["pubsub", "noscript", "loading", "stale"];
const BEFORE_AUTH: &[&str] = &["noscript", "loading", "stale", "fast", "no_auth", "allow_busy"];
const SLOW: &[&str] = &["slow"];
const CONNECTION: &[&str] = &["slow", "connection"];
const ADMIN_CONNECTION: &[&str] = &["admin", "slow", "dangerous", "connection"];
const ADMIN_SLOW: &[&str] = &["admin", "slow", "dangerous"];
const FAST_CONNECTION: &[&str] = &["fast", "connection"];
const SUBSCRIPTION: &[&str] = &["pubsub", "slow"];
const ANY_ORDER: &[&str] = &["nondeterministic_output_order"];

const fn connection(
    word: &'static str,
    arity: i32,
    parse: Parser,
    since: &'static str,
    summary: &'static str,
) -> CommandSpec {
    CommandSpec::new(word, arity, PLAIN, CONNECTION, parse).doc("connection", since, summary)
}

const fn client_admin(
    word: &'static str,
    arity: i32,
    parse: Parser,
    since: &'static str,
    summary: &'static str,
) -> CommandSpec {
    CommandSpec::new(word, arity, ADMIN, ADMIN_CONNECTION, parse).doc("connection", since, summary)
}

const fn server(
    word: &'static str,
    arity: i32,
    parse: Parser,
    since: &'static str,
    summary: &'static str,
) -> CommandSpec {
    CommandSpec::new(word, arity, LOADING, CONNECTION, parse).doc("server", since, summary)
}

const fn pubsub(word: &'static str, arity: i32, parse: Parser, summary: &'static str) -> CommandSpec {
    CommandSpec::new(word, arity, PUBSUB, SUBSCRIPTION, parse).doc("pubsub", "2.0.0", summary)
}

/// All commands of a sentinel; everything else is unknown (QUIT, SELECT and RESET too).
pub const TABLE: &[CommandSpec] = &[
    CommandSpec::new("acl", -2, &[], SLOW, session::container)
        .doc("server", "6.0.0", "A container for Access List Control commands")
        .with(ACL),
    CommandSpec::new("auth", -2, BEFORE_AUTH, FAST_CONNECTION, session::auth).doc(
        "connection",
        "1.0.0",
        "Authenticate to the server",
    ),
    CommandSpec::new("client", -2, &[], SLOW, session::container)
        .doc(
            "connection",
            "2.4.0",
            "A container for client connection commands",
        )
        .with(CLIENT),
    server(
        "command",
        -1,
        session::command_all,
        "2.8.13",
        "Get array of Redis command details",
    )
    .tips(ANY_ORDER)
    .with(COMMAND),
    CommandSpec::new("hello", -1, BEFORE_AUTH, FAST_CONNECTION, session::hello).doc(
        "connection",
        "6.0.0",
        "Handshake with Redis",
    ),
    CommandSpec::new("info", -1, LOADING, &["slow", "dangerous"], session::info)
        .doc(
            "server",
            "1.0.0",
            "Get information and statistics about the server",
        )
        .tips(&[
            "nondeterministic_output",
            "request_policy:all_shards",
            "response_policy:special",
        ]),
    CommandSpec::new("ping", -1, &["fast"], FAST_CONNECTION, session::ping)
        .doc("connection", "1.0.0", "Ping the server")
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"]),
    pubsub(
        "psubscribe",
        -2,
        session::psubscribe,
        "Listen for messages published to channels matching the given patterns",
    ),
    CommandSpec::new(
        "publish",
        3,
        &["pubsub", "loading", "stale", "fast"],
        &["pubsub", "fast"],
        session::publish,
    )
    .doc("pubsub", "2.0.0", "Post a message to a channel"),
    pubsub(
        "punsubscribe",
        -1,
        session::punsubscribe,
        "Stop listening for messages posted to channels matching the given patterns",
    ),
    CommandSpec::new(
        "role",
        1,
        &["noscript", "loading", "stale", "fast"],
        &["admin", "fast", "dangerous"],
        session::role,
    )
    .doc(
        "server",
        "2.8.12",
        "Return the role of the instance in the context of replication",
    ),
    CommandSpec::new("sentinel", -2, &["admin"], ADMIN_SLOW, session::container)
        .doc("sentinel", "2.8.4", "A container for Sentinel commands")
        .with(SENTINEL),
    CommandSpec::new(
        "shutdown",
        -1,
        &["admin", "noscript", "loading", "stale", "no_multi", "allow_busy"],
        ADMIN_SLOW,
        session::shutdown,
    )
    .doc(
        "server",
        "1.0.0",
        "Synchronously save the dataset to disk and then shut down the server",
    ),
    pubsub(
        "subscribe",
        -2,
        session::subscribe,
        "Listen for messages published to the given channels",
    ),
    pubsub(
        "unsubscribe",
        -1,
        session::unsubscribe,
        "Stop listening for messages posted to the given channels",
    ),
];

const CLIENT: &[CommandSpec] = &[
    connection(
        "client|caching",
        3,
        client::caching,
        "6.0.0",
        "Instruct the server about tracking or not keys in the next request",
    ),
    connection(
        "client|getname",
        2,
        client::getname,
        "2.6.9",
        "Get the current connection name",
    ),
    connection(
        "client|getredir",
        2,
        client::getredir,
        "6.0.0",
        "Get tracking notifications redirection client ID if any",
    ),
    CommandSpec::new("client|help", 2, LOADING, CONNECTION, client::help).doc(
        "connection",
        "5.0.0",
        "Show helpful text about the different subcommands",
    ),
    connection(
        "client|id",
        2,
        client::id,
        "5.0.0",
        "Returns the client ID for the current connection",
    ),
    connection(
        "client|info",
        2,
        client::info,
        "6.2.0",
        "Returns information about the current client connection.",
    )
    .tips(&["nondeterministic_output"]),
    client_admin(
        "client|kill",
        -3,
        client::kill,
        "2.4.0",
        "Kill the connection of a client",
    ),
    client_admin(
        "client|list",
        -2,
        client::list,
        "2.4.0",
        "Get the list of client connections",
    )
    .tips(&["nondeterministic_output"]),
    client_admin(
        "client|no-evict",
        3,
        client::no_evict,
        "7.0.0",
        "Set client eviction mode for the current connection",
    ),
    client_admin(
        "client|pause",
        -3,
        client::pause,
        "2.9.50",
        "Stop processing commands from clients for some time",
    ),
    connection(
        "client|reply",
        3,
        client::reply,
        "3.2.0",
        "Instruct the server whether to reply to commands",
    ),
    connection(
        "client|setinfo",
        4,
        client::setinfo,
        "7.2.0",
        "Set client or connection specific info",
    ),
    connection(
        "client|setname",
        3,
        client::setname,
        "2.6.9",
        "Set the current connection name",
    ),
    connection(
        "client|tracking",
        -3,
        tracking::parse,
        "6.0.0",
        "Enable or disable server assisted client side caching support",
    ),
    connection(
        "client|trackinginfo",
        2,
        client::trackinginfo,
        "6.2.0",
        "Return information about server assisted client side caching for the current connection",
    ),
    client_admin(
        "client|unblock",
        -3,
        client::unblock,
        "5.0.0",
        "Unblock a client blocked in a blocking command from a different connection",
    ),
    client_admin(
        "client|unpause",
        2,
        client::unpause,
        "6.2.0",
        "Resume processing of clients that were paused",
    ),
];

const COMMAND: &[CommandSpec] = &[
    server(
        "command|count",
        2,
        session::command_count,
        "2.8.13",
        "Get total number of Redis commands",
    ),
    server(
        "command|docs",
        -2,
        session::command_docs,
        "7.0.0",
        "Get array of specific Redis command documentation",
    )
    .tips(ANY_ORDER),
    server(
        "command|getkeys",
        -3,
        session::command_getkeys,
        "2.8.13",
        "Extract keys given a full Redis command",
    ),
    server(
        "command|getkeysandflags",
        -3,
        session::command_getkeys,
        "7.0.0",
        "Extract keys and access flags given a full Redis command",
    ),
    server(
        "command|help",
        2,
        session::command_help,
        "5.0.0",
        "Show helpful text about the different subcommands",
    ),
    server(
        "command|info",
        -2,
        session::command_info,
        "2.8.13",
        "Get array of specific Redis command details, or all when no argument is given.",
    )
    .tips(ANY_ORDER),
    server(
        "command|list",
        -2,
        session::command_list,
        "7.0.0",
        "Get an array of Redis command names",
    )
    .tips(ANY_ORDER),
];
