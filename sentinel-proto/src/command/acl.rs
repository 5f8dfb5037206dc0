//! ACL.

use bytes::Bytes;

use super::{Request, rest};
use crate::reply::ErrorReply;
use crate::resp::parse_integer;

type Parsed = Result<Request, ErrorReply>;

/// Entries that ACL LOG shows when no count is given.
const LOG_ENTRIES: usize = 10;
/// Bits of a password that GENPASS makes when no number is given, and at most.
const PASSWORD_BITS: (u32, i64) = (256, 4096);

/// ACL and its subcommands. Names and rules are as given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AclRequest {
    /// CAT: the categories, or the commands of one.
    Cat(Option<Bytes>),
    /// DELUSER: at least one name.
    DelUser(Vec<Bytes>),
    /// DRYRUN.
    DryRun {
        /// Whose rights are asked for.
        user: Bytes,
        /// The request, not checked in any way.
        words: Vec<Bytes>,
    },
    /// GENPASS: bits, 1 to 4096.
    GenPass(u32),
    /// GETUSER.
    GetUser(Bytes),
    /// HELP.
    Help,
    /// LIST.
    List,
    /// LOAD.
    Load,
    /// LOG: at most so many entries.
    Log(usize),
    /// LOG RESET.
    LogReset,
    /// SAVE.
    Save,
    /// SETUSER.
    SetUser {
        /// Whom to change or make.
        user: Bytes,
        /// Rules; a selector may be spread over several.
        rules: Vec<Bytes>,
    },
    /// USERS.
    Users,
    /// WHOAMI.
    WhoAmI,
}

fn parsed(request: AclRequest) -> Parsed {
    Ok(Request::Acl(request))
}

pub(super) fn cat(words: &[Bytes]) -> Parsed {
    match rest(words, 2) {
        [] => parsed(AclRequest::Cat(None)),
        [category] => parsed(AclRequest::Cat(Some(category.clone()))),
        _ => Err(usage(words)),
    }
}

pub(super) fn deluser(words: &[Bytes]) -> Parsed {
    parsed(AclRequest::DelUser(rest(words, 2).to_vec()))
}

pub(super) fn dryrun(words: &[Bytes]) -> Parsed {
    match rest(words, 2) {
        [user, words @ ..] => parsed(AclRequest::DryRun {
            user: user.clone(),
            words: words.to_vec(),
        }),
        [] => Err(usage(words)),
    }
}

pub(super) fn genpass(words: &[Bytes]) -> Parsed {
    let (usual, most) = PASSWORD_BITS;
    match rest(words, 2) {
        [] => parsed(AclRequest::GenPass(usual)),
        [bits] => match parse_integer(bits).ok_or_else(ErrorReply::not_an_integer)? {
            bits if (1..=most).contains(&bits) => {
                parsed(AclRequest::GenPass(u32::try_from(bits).unwrap_or(usual)))
            }
            _ => Err(ErrorReply::acl_genpass_bits()),
        },
        _ => Err(usage(words)),
    }
}

pub(super) fn getuser(words: &[Bytes]) -> Parsed {
    match rest(words, 2) {
        [user] => parsed(AclRequest::GetUser(user.clone())),
        _ => Err(usage(words)),
    }
}

pub(super) fn log(words: &[Bytes]) -> Parsed {
    match rest(words, 2) {
        [] => parsed(AclRequest::Log(LOG_ENTRIES)),
        [word] if word.eq_ignore_ascii_case(b"reset") => parsed(AclRequest::LogReset),
        [count] => {
            let count = parse_integer(count).ok_or_else(ErrorReply::not_an_integer)?;
            parsed(AclRequest::Log(usize::try_from(count).unwrap_or(0)))
        }
        _ => Err(usage(words)),
    }
}

pub(super) fn setuser(words: &[Bytes]) -> Parsed {
    match rest(words, 2) {
        [user, rules @ ..] => parsed(AclRequest::SetUser {
            user: user.clone(),
            rules: rules.to_vec(),
        }),
        [] => Err(usage(words)),
    }
}

pub(super) fn help(_: &[Bytes]) -> Parsed {
    parsed(AclRequest::Help)
}

pub(super) fn list(_: &[Bytes]) -> Parsed {
    parsed(AclRequest::List)
}

pub(super) fn load(_: &[Bytes]) -> Parsed {
    parsed(AclRequest::Load)
}

pub(super) fn save(_: &[Bytes]) -> Parsed {
    parsed(AclRequest::Save)
}

pub(super) fn users(_: &[Bytes]) -> Parsed {
    parsed(AclRequest::Users)
}

pub(super) fn whoami(_: &[Bytes]) -> Parsed {
    parsed(AclRequest::WhoAmI)
}

fn usage(words: &[Bytes]) -> ErrorReply {
    ErrorReply::acl_usage(words.get(1).map_or(&b""[..], |word| word))
}
