//! Error replies: the only place where their texts are spelled (those of ACL: `acl.rs`).

use std::fmt;

use bytes::Bytes;

use crate::resp::{Frame, ProtocolError};

/// An error reply: its code and text, without the leading minus sign. `Display` is that text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorReply(String);

impl fmt::Display for ErrorReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ErrorReply {}

impl From<ErrorReply> for Frame {
    fn from(error: ErrorReply) -> Self {
        Self::error(error.0)
    }
}

impl From<ProtocolError> for ErrorReply {
    fn from(error: ProtocolError) -> Self {
        Self::err(error)
    }
}

/// Bytes of an unknown command's name and arguments that are repeated in the error.
pub(super) const QUOTED_BYTES: usize = 128;

/// At most `limit` bytes of `word` as text; it ends at a zero byte, as a text of C does.
pub(super) fn cut(word: &[u8], limit: usize) -> String {
    let end = word.iter().take(limit).position(|byte| *byte == 0);
    let kept = word
        .get(..end.unwrap_or(limit.min(word.len())))
        .unwrap_or_default();
    String::from_utf8_lossy(kept).into_owned()
}

/// General errors, in the order of a request's life.
impl ErrorReply {
    /// Any text; `text` starts with its code.
    #[must_use]
    pub fn raw(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// A text with the code `ERR`.
    #[must_use]
    pub fn err(text: impl fmt::Display) -> Self {
        Self(format!("ERR {text}"))
    }

    /// Over `maxclients`: sent, then the connection is closed.
    #[must_use]
    pub fn max_clients() -> Self {
        Self::err("max number of clients reached")
    }

    /// `protected-mode yes`, no password, and a peer that is not local: sent, then closed.
    #[must_use]
    pub fn protected_mode() -> Self {
        Self::raw(
            "DENIED Redis is running in protected mode because protected mode is enabled and no password \
             is set for the default user. In this mode connections are only accepted from the loopback \
             interface. If you want to connect from external computers to Redis you may adopt one of the \
             following solutions: 1) Just disable protected mode sending the command 'CONFIG SET \
             protected-mode no' from the loopback interface by connecting to Redis from the same host the \
             server is running, however MAKE SURE Redis is not publicly accessible from internet if you \
             do so. Use CONFIG REWRITE to make this change permanent. 2) Alternatively you can just \
             disable the protected mode by editing the Redis configuration file, and setting the \
             protected mode option to 'no', and then restarting the server. 3) If you started the server \
             manually just for testing, restart it with the '--protected-mode no' option. 4) Set up an \
             authentication password for the default user. NOTE: You only need to do one of the above \
             things in order for the server to start accepting connections from the outside.",
        )
    }

    /// A command that does not exist, with its arguments, cut as Redis cuts them.
    #[must_use]
    pub fn unknown_command(words: &[Bytes]) -> Self {
        let name = words.first().map_or(&b""[..], |word| word);
        let mut quoted = String::new();
        for word in words.iter().skip(1) {
            let Some(room) = QUOTED_BYTES.checked_sub(quoted.len()).filter(|room| *room > 0) else {
                break;
            };
            quoted.push_str(&format!("'{}' ", cut(word, room)));
        }
        let name = cut(name, QUOTED_BYTES);
        Self::err(format!(
            "unknown command '{name}', with args beginning with: {quoted}"
        ))
    }

    /// The command, or its subcommand, does not exist.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.0.starts_with("ERR unknown ")
    }

    /// A subcommand that does not exist.
    #[must_use]
    pub fn unknown_subcommand(container: &str, given: &[u8]) -> Self {
        let container = container.to_ascii_uppercase();
        let given = cut(given, QUOTED_BYTES);
        Self::err(format!("unknown subcommand '{given}'. Try {container} HELP."))
    }

    /// A known subcommand with words that it does not take.
    #[must_use]
    pub fn misused_subcommand(container: &str, given: &[u8]) -> Self {
        let container = container.to_ascii_uppercase();
        let given = cut(given, QUOTED_BYTES);
        Self::err(format!(
            "unknown subcommand or wrong number of arguments for '{given}'. Try {container} HELP."
        ))
    }

    /// Wrong count of words; `name` as in the command table (`sentinel|master`).
    #[must_use]
    pub fn wrong_arity(name: &str) -> Self {
        Self::err(format!("wrong number of arguments for '{name}' command"))
    }

    /// The client must authenticate first.
    #[must_use]
    pub fn noauth() -> Self {
        Self::raw("NOAUTH Authentication required.")
    }

    /// A RESP2 client with subscriptions sent something else.
    #[must_use]
    pub fn subscribed_context(command: &str) -> Self {
        Self::err(format!(
            "Can't execute '{command}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are \
             allowed in this context"
        ))
    }

    /// `ERR syntax error`.
    #[must_use]
    pub fn syntax() -> Self {
        Self::err("syntax error")
    }

    /// A number was expected.
    #[must_use]
    pub fn not_an_integer() -> Self {
        Self::err("value is not an integer or out of range")
    }
}

/// AUTH, HELLO, CLIENT, PUBLISH, SHUTDOWN.
impl ErrorReply {
    /// Wrong user or password.
    #[must_use]
    pub fn wrong_password() -> Self {
        Self::raw("WRONGPASS invalid username-password pair or user is disabled.")
    }

    /// AUTH with one argument although no password is set.
    #[must_use]
    pub fn no_password_configured() -> Self {
        Self::err(
            "AUTH <password> called without any password configured for the default user. Are you sure \
             your configuration is correct?",
        )
    }

    /// HELLO before authentication, without AUTH.
    #[must_use]
    pub fn hello_noauth() -> Self {
        Self::raw(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO \
             <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP \
             protocol version at the same time",
        )
    }

    /// HELLO with a version other than 2 and 3.
    #[must_use]
    pub fn noproto() -> Self {
        Self::raw("NOPROTO unsupported protocol version")
    }

    /// HELLO with a version that is no number.
    #[must_use]
    pub fn hello_version() -> Self {
        Self::err("Protocol version is not an integer or out of range")
    }

    /// HELLO with an unknown or incomplete option.
    #[must_use]
    pub fn hello_option(option: &[u8]) -> Self {
        let option = cut(option, QUOTED_BYTES);
        Self::err(format!("Syntax error in HELLO option '{option}'"))
    }

    /// CLIENT SETNAME with blanks or unprintable bytes.
    #[must_use]
    pub fn client_name() -> Self {
        Self::err("Client names cannot contain spaces, newlines or special characters.")
    }

    /// The same for CLIENT SETINFO; `attribute` is `lib-name` or `lib-ver`.
    #[must_use]
    pub fn client_info_value(attribute: &str) -> Self {
        Self::err(format!(
            "{attribute} cannot contain spaces, newlines or special characters."
        ))
    }

    /// CLIENT SETINFO with an unknown attribute.
    #[must_use]
    pub fn client_info_attribute(attribute: &[u8]) -> Self {
        let attribute = cut(attribute, QUOTED_BYTES);
        Self::err(format!("Unrecognized option '{attribute}'"))
    }

    /// CLIENT LIST or KILL with an unknown TYPE.
    #[must_use]
    pub fn client_type(given: &[u8]) -> Self {
        let given = cut(given, QUOTED_BYTES);
        Self::err(format!("Unknown client type '{given}'"))
    }

    /// CLIENT LIST or KILL with a malformed ID.
    #[must_use]
    pub fn client_id() -> Self {
        Self::err("Invalid client ID")
    }

    /// CLIENT KILL in its old form: no client at that address.
    #[must_use]
    pub fn no_such_client() -> Self {
        Self::err("No such client")
    }

    /// CLIENT KILL USER: no such user.
    #[must_use]
    pub fn no_such_user(user: &[u8]) -> Self {
        let user = cut(user, QUOTED_BYTES);
        Self::err(format!("No such user '{user}'"))
    }

    /// CLIENT CACHING without CLIENT TRACKING ON.
    #[must_use]
    pub fn client_caching() -> Self {
        Self::err(
            "CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT \
             mode enabled",
        )
    }

    /// PUBLISH to any other channel.
    #[must_use]
    pub fn only_hello() -> Self {
        Self::err("Only HELLO messages are accepted by Sentinel instances.")
    }

    /// SHUTDOWN ABORT.
    #[must_use]
    pub fn no_shutdown() -> Self {
        Self::err("No shutdown in progress.")
    }
}

/// SENTINEL subcommands.
impl ErrorReply {
    /// Unknown master.
    #[must_use]
    pub fn no_such_master() -> Self {
        Self::err("No such master with that name")
    }

    /// MONITOR: the quorum is no number.
    #[must_use]
    pub fn invalid_quorum() -> Self {
        Self::err("Invalid quorum")
    }

    /// MONITOR: the port is no number.
    #[must_use]
    pub fn invalid_port() -> Self {
        Self::err("Invalid port")
    }

    /// MONITOR: quorum of zero or below.
    #[must_use]
    pub fn quorum_too_low() -> Self {
        Self::err("Quorum must be 1 or greater.")
    }

    /// MONITOR: not a literal address while host names are off, or a name that does not resolve.
    #[must_use]
    pub fn invalid_host() -> Self {
        Self::err("Invalid IP address or hostname specified")
    }

    /// MONITOR: the name exists.
    #[must_use]
    pub fn duplicate_master() -> Self {
        Self::err("Duplicate master name.")
    }

    /// MONITOR: the port is not in 0..=65535.
    #[must_use]
    pub fn port_out_of_range() -> Self {
        Self::err("Invalid port number.")
    }

    /// SET: a value that may not be.
    #[must_use]
    pub fn set_invalid(option: &str, value: &str) -> Self {
        Self::err(format!("Invalid argument '{value}' for SENTINEL SET '{option}'"))
    }

    /// SET: unknown option, or its value is missing.
    #[must_use]
    pub fn set_unknown(option: &str) -> Self {
        Self::err(format!(
            "Unknown option or number of arguments for SENTINEL SET '{option}'"
        ))
    }

    /// SET, MONITOR, CONFIG SET (`command`): control characters in the word at `index` (0 = `SENTINEL`).
    #[must_use]
    pub fn control_characters(command: &str, index: usize) -> Self {
        Self::err(format!(
            "Invalid argument at index {index} for SENTINEL {command}: control characters are not allowed"
        ))
    }

    /// SET of a script path while `deny-scripts-reconfig yes`.
    #[must_use]
    pub fn scripts_denied() -> Self {
        Self::err(
            "Reconfiguration of scripts path is denied for security reasons. Check the \
             deny-scripts-reconfig configuration directive in your Sentinel configuration",
        )
    }

    /// SET notification-script to something that cannot be run.
    #[must_use]
    pub fn notification_script() -> Self {
        Self::err("Notification script seems non existing or non executable")
    }

    /// SET client-reconfig-script to something that cannot be run.
    #[must_use]
    pub fn client_reconfig_script() -> Self {
        Self::err("Client reconfiguration script seems non existing or non executable")
    }

    /// FAILOVER while one runs.
    #[must_use]
    pub fn failover_in_progress() -> Self {
        Self::raw("INPROG Failover already in progress")
    }

    /// FAILOVER without a replica to promote.
    #[must_use]
    pub fn no_good_replica() -> Self {
        Self::raw("NOGOODSLAVE No suitable replica to promote")
    }

    /// FAILOVER ... COORDINATED of a master that has no FAILOVER command.
    #[must_use]
    pub fn no_good_primary() -> Self {
        Self::raw("NOGOODPRIMARY Primary does not support FAILOVER command")
    }

    /// FAILOVER with a second word other than COORDINATED.
    #[must_use]
    pub fn failover_option() -> Self {
        Self::err("Unknown failover option specified")
    }

    /// CONFIG with other words than GET and SET, or too few of them.
    #[must_use]
    pub fn config_usage() -> Self {
        Self::err(
            "Only SENTINEL CONFIG GET <param> [<param> <param> ...] / SET <param> <value> [<param> <value> \
             ...] are supported.",
        )
    }

    /// CONFIG SET of an unknown parameter.
    #[must_use]
    pub fn config_unknown(parameter: &str) -> Self {
        Self::err(format!("Invalid argument '{parameter}' to SENTINEL CONFIG SET"))
    }

    /// CONFIG SET of the same parameter twice.
    #[must_use]
    pub fn config_duplicate(parameter: &str) -> Self {
        Self::err(format!("Duplicate argument '{parameter}' to SENTINEL CONFIG SET"))
    }

    /// CONFIG SET without the last value.
    #[must_use]
    pub fn config_missing(parameter: &str) -> Self {
        Self::err(format!("Missing argument '{parameter}' value"))
    }

    /// CONFIG SET of a value that may not be.
    #[must_use]
    pub fn config_invalid(parameter: &str, value: &str) -> Self {
        Self::err(format!(
            "Invalid value '{value}' to SENTINEL CONFIG SET '{parameter}'"
        ))
    }

    /// DEBUG of an unknown parameter, or without its value.
    #[must_use]
    pub fn debug_unknown(parameter: &str) -> Self {
        Self::err(format!(
            "Unknown option or number of arguments for SENTINEL DEBUG '{parameter}'"
        ))
    }

    /// DEBUG of a value that is not a positive number.
    #[must_use]
    pub fn debug_invalid(parameter: &str, value: &str) -> Self {
        Self::err(format!(
            "Invalid argument '{value}' for SENTINEL DEBUG '{parameter}'"
        ))
    }

    /// SIMULATE-FAILURE of an unknown mode.
    #[must_use]
    pub fn unknown_simulation() -> Self {
        Self::err("Unknown failure simulation specified")
    }

    /// FLUSHCONFIG and every saving command.
    #[must_use]
    pub fn config_not_saved() -> Self {
        Self::err("Failed to save config file. Check server logs.")
    }

    /// A write without a Raft majority (ours), or CKQUORUM's failure: `text` says what is missing.
    #[must_use]
    pub fn noquorum(text: impl fmt::Display) -> Self {
        Self(format!("NOQUORUM {text}"))
    }

    /// A write whose fate is not known (ours): it was proposed, and no Raft majority confirmed it in time. The same
    /// error code as of one that was surely not accepted: for a client both say that there is no majority.
    #[must_use]
    pub fn outcome_unknown(text: impl fmt::Display) -> Self {
        Self::noquorum(format_args!("outcome unknown: {text}"))
    }
}
