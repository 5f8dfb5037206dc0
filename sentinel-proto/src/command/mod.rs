//! Requests: words to typed commands.
//!
//! What a server does with one request, in the order of Redis (`server.c: processCommand`); each step
//! that fails is the reply:
//!
//! 1. [`closes_connection`]: an HTTP client, close without a reply;
//! 2. [`lookup`]: unknown command or subcommand, wrong count of words;
//! 3. not authenticated and not [`CommandSpec::before_auth`]: [`ErrorReply::noauth`];
//! 4. RESP2, subscribed, and not [`CommandSpec::while_subscribed`]: [`ErrorReply::subscribed_context`];
//! 5. [`CommandSpec::parse`]: all other errors in the arguments.
//!
//! [`Request::parse`] does 2 and 5 in one step.

mod acl;
mod client;
mod rename;
mod sentinel;
mod session;
mod table;
mod table_acl;
mod table_sentinel;
mod tracking;

use bytes::Bytes;

pub use acl::AclRequest;
pub use client::{ClientFilter, ClientKind, ClientRequest, KillFilter, PauseScope, ReplyMode};
pub use rename::Renames;
pub use sentinel::{
    CONFIG_PARAMETERS, MonitorArgs, SET_OPTIONS, SentinelRequest, SetPair, SimulatedFailure, SimulationReply,
};
pub use session::{CommandFilter, CommandRequest, HelloRequest, InfoSections};
pub use table::{CommandSpec, TABLE, find, find_by_full_name};
pub use tracking::{Tracking, TrackingRequest};

use crate::reply::ErrorReply;

/// A request that is well-formed. Words that may be any bytes stay [`Bytes`]; names are text (bytes that are
/// not UTF-8 are replaced, which never equals an existing name).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// PING, with the text to repeat.
    Ping(Option<Bytes>),
    /// AUTH.
    Auth {
        /// `None` = the default user.
        user: Option<Bytes>,
        /// Password.
        password: Bytes,
    },
    /// HELLO.
    Hello(HelloRequest),
    /// CLIENT.
    Client(ClientRequest),
    /// COMMAND.
    Command(CommandRequest),
    /// INFO.
    Info(InfoSections),
    /// ROLE.
    Role,
    /// SUBSCRIBE: at least one channel.
    Subscribe(Vec<Bytes>),
    /// UNSUBSCRIBE: none = all channels.
    Unsubscribe(Vec<Bytes>),
    /// PSUBSCRIBE: at least one pattern.
    Psubscribe(Vec<Bytes>),
    /// PUNSUBSCRIBE: none = all patterns.
    Punsubscribe(Vec<Bytes>),
    /// PUBLISH to the hello channel: its payload. The reply is always `:1`.
    PublishHello(Bytes),
    /// SHUTDOWN: no reply on success.
    Shutdown,
    /// ACL.
    Acl(AclRequest),
    /// SENTINEL.
    Sentinel(SentinelRequest),
}

impl Request {
    /// Reads a request as it comes from [`crate::resp::RequestDecoder`].
    ///
    /// # Errors
    /// The reply to send instead.
    pub fn parse(words: &[Bytes]) -> Result<Self, ErrorReply> {
        (lookup(words)?.parse)(words)
    }
}

/// Finds the command (for a container with subcommands: the subcommand) and checks the count of words.
///
/// # Errors
/// Unknown command, unknown subcommand, wrong count.
pub fn lookup(words: &[Bytes]) -> Result<&'static CommandSpec, ErrorReply> {
    resolve(find(TABLE, words.first().map_or(&b""[..], |word| word)), words)
}

/// From the command to the subcommand, if it has any.
fn subcommand(
    command: Option<&'static CommandSpec>,
    words: &[Bytes],
) -> Result<&'static CommandSpec, ErrorReply> {
    let spec = command.ok_or_else(|| ErrorReply::unknown_command(words))?;
    match words {
        [given, word, ..] if !spec.subcommands.is_empty() => {
            find(spec.subcommands, word).ok_or_else(|| ErrorReply::unknown_subcommand(&text(given), word))
        }
        _ => Ok(spec),
    }
}

/// The command or subcommand, if it takes so many words.
fn resolve(
    command: Option<&'static CommandSpec>,
    words: &[Bytes],
) -> Result<&'static CommandSpec, ErrorReply> {
    let spec = subcommand(command, words)?;
    if spec.accepts(words.len()) {
        Ok(spec)
    } else {
        Err(ErrorReply::wrong_arity(spec.name))
    }
}

/// A command or, with a bar in the name, a subcommand.
fn full_name(
    name: &str,
    command: impl Fn(&str) -> Option<&'static CommandSpec>,
) -> Option<&'static CommandSpec> {
    match name.split_once('|') {
        None => command(name),
        Some((container, word)) => find(command(container)?.subcommands, word.as_bytes()),
    }
}

/// First words of an HTTP request: Redis closes such a connection at once, so that a browser cannot be
/// made to send commands.
#[must_use]
pub fn closes_connection(words: &[Bytes]) -> bool {
    words
        .first()
        .is_some_and(|word| word.eq_ignore_ascii_case(b"post") || word.eq_ignore_ascii_case(b"host:"))
}

/// A word as text.
fn text(word: &[u8]) -> String {
    String::from_utf8_lossy(word).into_owned()
}

/// The word at `index` as text, empty when it is missing (the count of words was checked before).
fn text_at(words: &[Bytes], index: usize) -> String {
    words.get(index).map(|word| text(word)).unwrap_or_default()
}

/// The words from `index` on.
fn rest(words: &[Bytes], index: usize) -> &[Bytes] {
    words.get(index..).unwrap_or_default()
}

#[cfg(test)]
mod tests;
