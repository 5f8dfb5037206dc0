//! Everything but CLIENT and SENTINEL.

use bytes::Bytes;

use super::client::printable;
use super::{Request, rest, text};
use crate::hello::HELLO_CHANNEL;
use crate::reply::ErrorReply;
use crate::resp::{Protocol, parse_integer};

type Parsed = Result<Request, ErrorReply>;

/// HELLO with its options. AUTH is tried first; then, still not authenticated, the reply is
/// [`ErrorReply::hello_noauth`]; then the rest takes effect.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HelloRequest {
    /// `None` = keep the present version.
    pub protocol: Option<Protocol>,
    /// User and password.
    pub auth: Option<(Bytes, Bytes)>,
    /// Name for the connection; checked.
    pub set_name: Option<Bytes>,
}

/// COMMAND and its subcommands. Names are as given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandRequest {
    /// Everything about all commands.
    All,
    /// COUNT.
    Count,
    /// DOCS; none = all.
    Docs(Vec<String>),
    /// INFO; none = all.
    Info(Vec<String>),
    /// LIST.
    List(CommandFilter),
    /// GETKEYS and GETKEYSANDFLAGS: a whole request.
    GetKeys(Vec<Bytes>),
    /// HELP.
    Help,
}

/// COMMAND LIST FILTERBY.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandFilter {
    /// No filter.
    None,
    /// MODULE: there are none, so nothing passes.
    Module,
    /// ACLCAT: name without `@`, lower case.
    Category(String),
    /// PATTERN, glob-style, without case.
    Pattern(Bytes),
}

/// Sections of INFO to show. Unknown and foreign names are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InfoSections {
    /// `# Server`.
    pub server: bool,
    /// `# Clients`.
    pub clients: bool,
    /// `# Stats`.
    pub stats: bool,
    /// `# CPU`.
    pub cpu: bool,
    /// `# Sentinel`.
    pub sentinel: bool,
}

impl InfoSections {
    /// All five.
    pub const ALL: Self = Self {
        server: true,
        clients: true,
        stats: true,
        cpu: true,
        sentinel: true,
    };

    fn of(names: &[Bytes]) -> Self {
        if names.is_empty() {
            return Self::ALL;
        }
        let mut sections = Self::default();
        for name in names {
            match text(name).to_ascii_lowercase().as_str() {
                "default" | "all" | "everything" => return Self::ALL,
                "server" => sections.server = true,
                "clients" => sections.clients = true,
                "stats" => sections.stats = true,
                "cpu" => sections.cpu = true,
                "sentinel" => sections.sentinel = true,
                _ => {}
            }
        }
        sections
    }
}

pub(super) fn ping(words: &[Bytes]) -> Parsed {
    match rest(words, 1) {
        [] => Ok(Request::Ping(None)),
        [message] => Ok(Request::Ping(Some(message.clone()))),
        _ => Err(ErrorReply::wrong_arity("ping")),
    }
}

pub(super) fn auth(words: &[Bytes]) -> Parsed {
    let (user, password) = match rest(words, 1) {
        [password] => (None, password),
        [user, password] => (Some(user.clone()), password),
        _ => return Err(ErrorReply::syntax()),
    };
    Ok(Request::Auth {
        user,
        password: password.clone(),
    })
}

pub(super) fn hello(words: &[Bytes]) -> Parsed {
    let mut request = HelloRequest::default();
    let mut words = rest(words, 1);
    if let [version, options @ ..] = words {
        request.protocol = Some(match parse_integer(version) {
            None => return Err(ErrorReply::hello_version()),
            Some(2) => Protocol::Resp2,
            Some(3) => Protocol::Resp3,
            Some(_) => return Err(ErrorReply::noproto()),
        });
        words = options;
    }
    while let [option, values @ ..] = words {
        words = match (option.to_ascii_lowercase().as_slice(), values) {
            (b"auth", [user, password, rest @ ..]) => {
                request.auth = Some((user.clone(), password.clone()));
                rest
            }
            (b"setname", [name, rest @ ..]) => {
                if !printable(name) {
                    return Err(ErrorReply::client_name());
                }
                request.set_name = Some(name.clone());
                rest
            }
            _ => return Err(ErrorReply::hello_option(option)),
        };
    }
    Ok(Request::Hello(request))
}

pub(super) fn info(words: &[Bytes]) -> Parsed {
    Ok(Request::Info(InfoSections::of(rest(words, 1))))
}

pub(super) fn role(_: &[Bytes]) -> Parsed {
    Ok(Request::Role)
}

pub(super) fn subscribe(words: &[Bytes]) -> Parsed {
    Ok(Request::Subscribe(rest(words, 1).to_vec()))
}

pub(super) fn unsubscribe(words: &[Bytes]) -> Parsed {
    Ok(Request::Unsubscribe(rest(words, 1).to_vec()))
}

pub(super) fn psubscribe(words: &[Bytes]) -> Parsed {
    Ok(Request::Psubscribe(rest(words, 1).to_vec()))
}

pub(super) fn punsubscribe(words: &[Bytes]) -> Parsed {
    Ok(Request::Punsubscribe(rest(words, 1).to_vec()))
}

pub(super) fn publish(words: &[Bytes]) -> Parsed {
    match rest(words, 1) {
        [channel, payload] if channel == HELLO_CHANNEL => Ok(Request::PublishHello(payload.clone())),
        _ => Err(ErrorReply::only_hello()),
    }
}

pub(super) fn shutdown(words: &[Bytes]) -> Parsed {
    let options: Vec<String> = rest(words, 1)
        .iter()
        .map(|word| text(word).to_ascii_lowercase())
        .collect();
    let has = |wanted: &str| options.iter().any(|option| option == wanted);
    let known = ["nosave", "save", "now", "force", "abort"];
    let all_known = options.iter().all(|option| known.contains(&option.as_str()));
    let contradiction =
        (has("save") && has("nosave")) || (has("abort") && options.iter().any(|option| option != "abort"));
    if !all_known || contradiction {
        return Err(ErrorReply::syntax());
    }
    if has("abort") {
        return Err(ErrorReply::no_shutdown());
    }
    Ok(Request::Shutdown)
}

fn names(words: &[Bytes]) -> Vec<String> {
    rest(words, 2).iter().map(|word| text(word)).collect()
}

pub(super) fn command_all(_: &[Bytes]) -> Parsed {
    Ok(Request::Command(CommandRequest::All))
}

pub(super) fn command_count(_: &[Bytes]) -> Parsed {
    Ok(Request::Command(CommandRequest::Count))
}

pub(super) fn command_docs(words: &[Bytes]) -> Parsed {
    Ok(Request::Command(CommandRequest::Docs(names(words))))
}

pub(super) fn command_info(words: &[Bytes]) -> Parsed {
    Ok(Request::Command(CommandRequest::Info(names(words))))
}

pub(super) fn command_help(_: &[Bytes]) -> Parsed {
    Ok(Request::Command(CommandRequest::Help))
}

pub(super) fn command_list(words: &[Bytes]) -> Parsed {
    let filter = match rest(words, 2) {
        [] => CommandFilter::None,
        [word, kind, value] if word.eq_ignore_ascii_case(b"filterby") => {
            match kind.to_ascii_lowercase().as_slice() {
                b"module" => CommandFilter::Module,
                b"aclcat" => CommandFilter::Category(text(value).to_ascii_lowercase()),
                b"pattern" => CommandFilter::Pattern(value.clone()),
                _ => return Err(ErrorReply::syntax()),
            }
        }
        _ => return Err(ErrorReply::syntax()),
    };
    Ok(Request::Command(CommandRequest::List(filter)))
}

pub(super) fn command_getkeys(words: &[Bytes]) -> Parsed {
    Ok(Request::Command(CommandRequest::GetKeys(rest(words, 2).to_vec())))
}

/// A container whose subcommand was not given; the count of words refuses it before.
pub(super) fn container(words: &[Bytes]) -> Parsed {
    let name = words.first().map(|word| text(word).to_ascii_lowercase());
    Err(ErrorReply::wrong_arity(&name.unwrap_or_default()))
}
