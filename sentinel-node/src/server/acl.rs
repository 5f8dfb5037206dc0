//! ACL, and the check of every request of a restricted user.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use sentinel_core::acl::{CATEGORIES, Denial, Denied, LogEntry, Reason, Selector, User, commands_in};
use sentinel_proto::command::{AclRequest, CommandSpec, Renames};
use sentinel_proto::reply::{ErrorReply, acl as texts, help};
use sentinel_proto::resp::Frame;

use super::context::Context;
use super::dispatch::Action;
use super::session::Session;

/// What must wait for the task that owns the users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AclOperation {
    Set(Bytes, Vec<Bytes>),
    Delete(Vec<Bytes>),
    Load,
    Save,
    Log(usize),
    ResetLog,
}

/// A request that is answered with an error, and noted in ACL LOG.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) reply: ErrorReply,
    pub(super) denial: Denial,
}

/// Whether the session's user may run this request.
pub(super) fn check(session: &Session, spec: &CommandSpec, words: &[Bytes]) -> Result<(), Box<Refusal>> {
    let user = &session.user;
    if user.is_unrestricted() {
        return Ok(());
    }
    let Err(denied) = user.check(spec, words) else {
        return Ok(());
    };
    let (reply, reason, object) = match denied {
        Denied::Command => (
            ErrorReply::noperm(user.name(), spec.name),
            Reason::Command,
            spec.name.as_bytes(),
        ),
        Denied::Channel(at) => (
            ErrorReply::noperm_channel(),
            Reason::Channel,
            words.get(at).map_or(&b""[..], |word| word),
        ),
    };
    let denial = Denial::new(reason, object, user.name());
    Err(Box::new(Refusal { reply, denial }))
}

/// Counts a refusal for INFO.
pub(super) fn count(context: &Context, reason: Reason) {
    let counters = &context.counters;
    let counter = match reason {
        Reason::Auth => &counters.denied_auth,
        Reason::Command => &counters.denied_command,
        Reason::Channel => &counters.denied_channel,
    };
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Answers ACL, or says what to wait for.
pub(super) fn perform(context: &Context, session: &Session, request: AclRequest) -> Action {
    let users = context.acl.users();
    let frame = match request {
        AclRequest::Cat(None) => Frame::Array(CATEGORIES.iter().copied().map(Frame::from).collect()),
        AclRequest::Cat(Some(name)) => match commands_in(&name) {
            Some(commands) => Frame::Array(commands.into_iter().map(Frame::from).collect()),
            None => ErrorReply::acl_unknown_category(&name).into(),
        },
        AclRequest::DryRun { user, words } => match users.get(&user) {
            Some(user) => dry_run(context, user, &words),
            None => ErrorReply::acl_no_user(&user).into(),
        },
        AclRequest::GenPass(bits) => password(bits),
        AclRequest::GetUser(name) => users.get(&name).map_or(Frame::NullBulk, |user| describe(user)),
        AclRequest::Help => help::lines(help::ACL),
        AclRequest::List => Frame::Array(users.lines().into_iter().map(bulk).collect()),
        AclRequest::Users => {
            let all = users.all().into_iter();
            Frame::Array(all.map(|user| bulk(user.name().to_vec())).collect())
        }
        AclRequest::WhoAmI => bulk(session.user.name().to_vec()),
        AclRequest::SetUser { user, rules } => return Action::Acl(AclOperation::Set(user, rules)),
        AclRequest::DelUser(names) => return Action::Acl(AclOperation::Delete(names)),
        AclRequest::Load => return Action::Acl(AclOperation::Load),
        AclRequest::Save => return Action::Acl(AclOperation::Save),
        AclRequest::Log(count) => return Action::Acl(AclOperation::Log(count)),
        AclRequest::LogReset => return Action::Acl(AclOperation::ResetLog),
    };
    Action::Reply(frame)
}

/// Runs what had to wait, for connection `me`.
pub(super) async fn run(context: &Context, me: u64, operation: AclOperation) -> Frame {
    let acl = &context.acl;
    let done = |()| Frame::OK;
    let result = match operation {
        AclOperation::Set(name, rules) => acl.set(me, name, rules).await.map(done),
        AclOperation::Delete(names) => {
            let count = acl.delete(me, names).await;
            count.map(|count| Frame::Integer(i64::try_from(count).unwrap_or(i64::MAX)))
        }
        AclOperation::Load => acl.load(me).await.map(done),
        AclOperation::Save => acl.save().await.map(done),
        AclOperation::Log(count) => acl.log(count).await.map(|entries| {
            let now = context.clock.mono();
            let entry = |entry| log_entry(entry, now);
            Frame::Array(entries.into_iter().map(entry).collect())
        }),
        AclOperation::ResetLog => acl.reset_log().await.map(done),
    };
    result.unwrap_or_else(Frame::from)
}

fn bulk(text: Vec<u8>) -> Frame {
    Frame::Bulk(Bytes::from(text))
}

/// Finds the request in the table, then asks the rules; nothing is run.
fn dry_run(context: &Context, user: &User, words: &[Bytes]) -> Frame {
    let name = words.first().map_or(&b""[..], |word| word);
    let renames = context.settings.renames.as_deref();
    let Some(spec) = renames.unwrap_or(&Renames::none()).named(words) else {
        return ErrorReply::acl_no_command(name).into();
    };
    if !spec.accepts(words.len()) {
        return ErrorReply::wrong_arity(spec.name).into();
    }
    match user.check(spec, words) {
        Ok(()) => Frame::OK,
        Err(Denied::Command) => Frame::bulk(texts::no_command(user.name(), spec.name)),
        Err(Denied::Channel(at)) => {
            let channel = words.get(at).map_or(&b""[..], |word| word);
            Frame::bulk(texts::no_channel(user.name(), channel))
        }
    }
}

/// Random hexadecimal digits, four bits each.
fn password(bits: u32) -> Frame {
    let digits = bits.div_ceil(4);
    let digit = |_| char::from_digit(u32::from(rand::random::<u8>() & 15), 16).unwrap_or('0');
    Frame::bulk((0..digits).map(digit).collect::<String>())
}

/// ACL GETUSER.
fn describe(user: &User) -> Frame {
    let flags = user.flags().into_iter().map(Frame::from).collect();
    let mut fields = vec![
        ("flags".into(), Frame::Set(flags)),
        ("passwords".into(), Frame::bulks(user.password_hashes())),
    ];
    fields.extend(permissions(user.root()));
    let selectors = user.selectors().iter();
    let selectors = selectors.map(|selector| Frame::Map(permissions(selector)));
    fields.push(("selectors".into(), Frame::Array(selectors.collect())));
    Frame::Map(fields)
}

fn permissions(selector: &Selector) -> Vec<(Frame, Frame)> {
    vec![
        ("commands".into(), bulk(selector.command_rules())),
        ("keys".into(), bulk(selector.key_rules())),
        ("channels".into(), bulk(selector.channel_rules())),
    ]
}

/// One entry of ACL LOG.
fn log_entry(entry: LogEntry, now: sentinel_core::time::MonoTime) -> Frame {
    let age = seconds(now.ms_since(entry.at));
    Frame::Map(vec![
        (
            "count".into(),
            Frame::Integer(i64::try_from(entry.count).unwrap_or(i64::MAX)),
        ),
        ("reason".into(), entry.denial.reason.name().into()),
        ("context".into(), "toplevel".into()),
        ("object".into(), bulk(entry.denial.object)),
        ("username".into(), bulk(entry.denial.username)),
        ("age-seconds".into(), Frame::Double(Bytes::from(age))),
        ("client-info".into(), Frame::bulk(entry.client)),
    ])
}

/// Milliseconds as seconds: `0`, `0.001`, `1.5`.
fn seconds(ms: u64) -> String {
    let text = format!("{}.{:03}", ms / 1000, ms % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_shown_without_trailing_zeros() {
        for (ms, text) in [
            (0, "0"),
            (1, "0.001"),
            (1500, "1.5"),
            (10_000, "10"),
            (61_030, "61.03"),
        ] {
            assert_eq!(seconds(ms), text);
        }
    }

    #[test]
    fn passwords_have_four_bits_a_digit() {
        for (bits, digits) in [(1, 1), (4, 1), (5, 2), (256, 64), (4096, 1024)] {
            let frame = password(bits);
            assert_eq!(frame.as_str().map(str::len), Some(digits));
        }
        assert_ne!(password(256), password(256));
    }
}
