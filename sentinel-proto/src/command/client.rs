//! CLIENT subcommands.

use bytes::Bytes;

use super::tracking::TrackingRequest;
use super::{Request, rest, text};
use crate::reply::ErrorReply;
use crate::resp::parse_integer;

pub(super) type Parsed = Result<Request, ErrorReply>;

/// Longest CLIENT PAUSE: beyond this its end overflows a clock of microseconds.
const MAX_PAUSE_MS: u64 = i64::MAX as u64 / 1000;

/// CLIENT and its subcommands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientRequest {
    /// SETNAME; checked, empty = no name.
    SetName(Bytes),
    /// GETNAME; no name is a null.
    GetName,
    /// SETINFO LIB-NAME.
    SetLibName(Bytes),
    /// SETINFO LIB-VER.
    SetLibVersion(Bytes),
    /// ID.
    Id,
    /// LIST.
    List(ClientFilter),
    /// INFO.
    Info,
    /// KILL in its old form: the address; the reply is OK or an error.
    KillAddress(String),
    /// KILL with filters; the reply is the number of clients killed.
    Kill(KillFilter),
    /// NO-EVICT: nothing is ever evicted here.
    NoEvict(bool),
    /// REPLY.
    Reply(ReplyMode),
    /// TRACKINGINFO: always off.
    TrackingInfo,
    /// GETREDIR: always -1.
    GetRedir,
    /// TRACKING ON and OFF: kept and shown; without keys there is nothing to track.
    Tracking(TrackingRequest),
    /// CACHING YES and NO; what else was given is judged after the mode.
    Caching(Option<bool>),
    /// PAUSE: requests of clients wait for so long.
    Pause(PauseScope, u64),
    /// UNPAUSE.
    Unpause,
    /// UNBLOCK: no client is ever blocked; the reply is 0.
    Unblock,
    /// HELP.
    Help,
}

/// Whose requests CLIENT PAUSE holds back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PauseScope {
    /// WRITE: of a sentinel's commands only PUBLISH.
    Write,
    /// ALL, and the default.
    All,
}

/// CLIENT LIST: `None` = no restriction.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientFilter {
    /// TYPE.
    pub kind: Option<ClientKind>,
    /// ID: only these.
    pub ids: Option<Vec<u64>>,
}

/// CLIENT KILL with filters: all that are given must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KillFilter {
    /// TYPE.
    pub kind: Option<ClientKind>,
    /// ID.
    pub id: Option<u64>,
    /// ADDR.
    pub address: Option<String>,
    /// LADDR.
    pub local_address: Option<String>,
    /// USER.
    pub user: Option<Bytes>,
    /// MAXAGE: at least this old, in seconds.
    pub max_age_s: Option<u64>,
    /// SKIPME: spares the caller.
    pub skip_me: bool,
}

/// Types of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientKind {
    /// Any client without subscriptions.
    Normal,
    /// A client with subscriptions.
    PubSub,
    /// There are none of these (`master`, `replica`, `slave`).
    Replication,
}

/// CLIENT REPLY.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyMode {
    /// Replies are sent; this command's too.
    On,
    /// No replies, not even to this command.
    Off,
    /// No reply to this and the next command.
    Skip,
}

/// True for names that do not break the format of CLIENT LIST: no blanks, no control characters, no bytes above `~`.
pub(super) fn printable(name: &[u8]) -> bool {
    name.iter().all(|byte| (b'!'..=b'~').contains(byte))
}

pub(super) fn request(request: ClientRequest) -> Parsed {
    Ok(Request::Client(request))
}

pub(super) fn setname(words: &[Bytes]) -> Parsed {
    let name = words.get(2).cloned().unwrap_or_default();
    if !printable(&name) {
        return Err(ErrorReply::client_name());
    }
    request(ClientRequest::SetName(name))
}

pub(super) fn setinfo(words: &[Bytes]) -> Parsed {
    let [attribute, value] = rest(words, 2) else {
        return Err(ErrorReply::syntax());
    };
    let name = text(attribute).to_ascii_lowercase();
    let make: fn(Bytes) -> ClientRequest = match name.as_str() {
        "lib-name" => ClientRequest::SetLibName,
        "lib-ver" => ClientRequest::SetLibVersion,
        _ => return Err(ErrorReply::client_info_attribute(attribute)),
    };
    if !printable(value) {
        return Err(ErrorReply::client_info_value(&name));
    }
    request(make(value.clone()))
}

pub(super) fn getname(_: &[Bytes]) -> Parsed {
    request(ClientRequest::GetName)
}

pub(super) fn id(_: &[Bytes]) -> Parsed {
    request(ClientRequest::Id)
}

pub(super) fn info(_: &[Bytes]) -> Parsed {
    request(ClientRequest::Info)
}

pub(super) fn help(_: &[Bytes]) -> Parsed {
    request(ClientRequest::Help)
}

pub(super) fn trackinginfo(_: &[Bytes]) -> Parsed {
    request(ClientRequest::TrackingInfo)
}

pub(super) fn getredir(_: &[Bytes]) -> Parsed {
    request(ClientRequest::GetRedir)
}

pub(super) fn caching(words: &[Bytes]) -> Parsed {
    request(ClientRequest::Caching(match argument(words).as_str() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }))
}

pub(super) fn unpause(_: &[Bytes]) -> Parsed {
    request(ClientRequest::Unpause)
}

pub(super) fn list(words: &[Bytes]) -> Parsed {
    let mut filter = ClientFilter::default();
    match rest(words, 2) {
        [] => {}
        [option, given] if option.eq_ignore_ascii_case(b"type") => {
            filter.kind = Some(kind(given)?);
        }
        [option, ids @ ..] if option.eq_ignore_ascii_case(b"id") && !ids.is_empty() => {
            // Any number may be asked for; no client has one below 1.
            let ids = ids
                .iter()
                .map(|id| parse_integer(id).ok_or_else(ErrorReply::client_id));
            let ids: Result<Vec<i64>, ErrorReply> = ids.collect();
            filter.ids = Some(ids?.into_iter().filter_map(|id| u64::try_from(id).ok()).collect());
        }
        _ => return Err(ErrorReply::syntax()),
    }
    request(ClientRequest::List(filter))
}

pub(super) fn kill(words: &[Bytes]) -> Parsed {
    let mut options = rest(words, 2);
    if let [address] = options {
        return request(ClientRequest::KillAddress(text(address)));
    }
    let mut filter = KillFilter {
        skip_me: true,
        ..KillFilter::default()
    };
    while let [option, value, more @ ..] = options {
        match option.to_ascii_lowercase().as_slice() {
            b"id" => filter.id = Some(client_id(value).map_err(|_| kill_id())?),
            b"type" => filter.kind = Some(kind(value)?),
            b"addr" => filter.address = Some(text(value)),
            b"laddr" => filter.local_address = Some(text(value)),
            b"user" => filter.user = Some(value.clone()),
            b"maxage" => filter.max_age_s = Some(max_age(value)?),
            b"skipme" if value.eq_ignore_ascii_case(b"yes") => filter.skip_me = true,
            b"skipme" if value.eq_ignore_ascii_case(b"no") => filter.skip_me = false,
            _ => return Err(ErrorReply::syntax()),
        }
        options = more;
    }
    if !options.is_empty() {
        return Err(ErrorReply::syntax());
    }
    request(ClientRequest::Kill(filter))
}

pub(super) fn no_evict(words: &[Bytes]) -> Parsed {
    match argument(words).as_str() {
        "on" => request(ClientRequest::NoEvict(true)),
        "off" => request(ClientRequest::NoEvict(false)),
        _ => Err(ErrorReply::syntax()),
    }
}

pub(super) fn reply(words: &[Bytes]) -> Parsed {
    let mode = match argument(words).as_str() {
        "on" => ReplyMode::On,
        "off" => ReplyMode::Off,
        "skip" => ReplyMode::Skip,
        _ => return Err(ErrorReply::syntax()),
    };
    request(ClientRequest::Reply(mode))
}

pub(super) fn pause(words: &[Bytes]) -> Parsed {
    let scope = match rest(words, 3) {
        [] => PauseScope::All,
        [word] if word.eq_ignore_ascii_case(b"all") => PauseScope::All,
        [word] if word.eq_ignore_ascii_case(b"write") => PauseScope::Write,
        [_] => return Err(ErrorReply::err("CLIENT PAUSE mode must be WRITE or ALL")),
        _ => return Err(misused(words)),
    };
    let timeout = parse_integer(words.get(2).map_or(&b""[..], |word| word))
        .ok_or_else(|| ErrorReply::err("timeout is not an integer or out of range"))?;
    match u64::try_from(timeout) {
        Err(_) => Err(ErrorReply::err("timeout is negative")),
        // The end of the pause would be beyond any clock.
        Ok(ms) if ms > MAX_PAUSE_MS => Err(ErrorReply::err("timeout is out of range")),
        Ok(ms) => request(ClientRequest::Pause(scope, ms)),
    }
}

pub(super) fn unblock(words: &[Bytes]) -> Parsed {
    if words.len() > 4 {
        return Err(misused(words));
    }
    match words.get(3).map(|word| text(word).to_ascii_lowercase()) {
        Some(mode) if mode != "timeout" && mode != "error" => Err(ErrorReply::err(
            "CLIENT UNBLOCK reason should be TIMEOUT or ERROR",
        )),
        _ => match parse_integer(words.get(2).map_or(&b""[..], |word| word)) {
            None => Err(ErrorReply::not_an_integer()),
            Some(_) => request(ClientRequest::Unblock),
        },
    }
}

/// Redis's error for a subcommand with too many words.
fn misused(words: &[Bytes]) -> ErrorReply {
    let given = words.get(1).map_or(&b""[..], |word| word);
    ErrorReply::misused_subcommand("client", given)
}

fn argument(words: &[Bytes]) -> String {
    super::text_at(words, 2).to_ascii_lowercase()
}

fn kind(given: &Bytes) -> Result<ClientKind, ErrorReply> {
    match given.to_ascii_lowercase().as_slice() {
        b"normal" => Ok(ClientKind::Normal),
        b"pubsub" => Ok(ClientKind::PubSub),
        b"master" | b"slave" | b"replica" => Ok(ClientKind::Replication),
        _ => Err(ErrorReply::client_type(given)),
    }
}

fn client_id(given: &Bytes) -> Result<u64, ErrorReply> {
    parse_integer(given)
        .filter(|id| *id > 0)
        .and_then(|id| u64::try_from(id).ok())
        .ok_or_else(ErrorReply::client_id)
}

fn kill_id() -> ErrorReply {
    ErrorReply::err("client-id should be greater than 0")
}

fn max_age(given: &Bytes) -> Result<u64, ErrorReply> {
    let seconds =
        parse_integer(given).ok_or_else(|| ErrorReply::err("maxage is not an integer or out of range"))?;
    u64::try_from(seconds)
        .ok()
        .filter(|seconds| *seconds > 0)
        .ok_or_else(|| ErrorReply::err("maxage should be greater than 0"))
}
