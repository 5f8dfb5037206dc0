//! One request to one action, in the order of Redis (`server.c: processCommand`). No IO, nothing waits.

use bytes::Bytes;
use sentinel_core::acl::{Denial, Reason};
use sentinel_core::time::MonoTime;
use sentinel_proto::command::{
    ClientRequest, CommandSpec, HelloRequest, Renames, ReplyMode as WireReplyMode, Request, TrackingRequest,
    closes_connection, lookup,
};
use sentinel_proto::reply::{ErrorReply, commands, help, session as replies};
use sentinel_proto::resp::Frame;

use crate::config::REDIS_VERSION;

use super::acl::{self, AclOperation, Refusal};
use super::context::Context;
use super::control::{ClientsOperation, Operation};
use super::info;
use super::memo::Version;
use super::sentinel;
use super::session::{MAX_CHANNEL_BYTES, MAX_SUBSCRIPTIONS, ReplyMode, Session};

/// What the connection is to do about a request.
#[derive(Debug)]
pub(super) enum Action {
    /// Send this.
    Reply(Frame),
    /// The answer of an address query, with what it was made from: may be remembered.
    Address(Frame, Version),
    /// Send nothing.
    Silent,
    /// Subscribe to these.
    Subscribe(Pattern, Vec<Bytes>),
    /// Unsubscribe from these; none = all.
    Unsubscribe(Pattern, Vec<Bytes>),
    /// A write: the answer comes later.
    Control(Operation),
    /// Users and ACL LOG: the answer comes later.
    Acl(AclOperation),
    /// An error because of who the client is, to be noted.
    Refused(Box<Refusal>),
    /// CLIENT TRACKING.
    Track(TrackingRequest),
    /// Something about the other connections.
    Clients(ClientsOperation),
    /// Close without a reply.
    Close,
    /// SHUTDOWN.
    Shutdown,
    /// Hand the connection over to the peers.
    Upgrade {
        /// Version spoken.
        version: u32,
        /// Group, `-` for none.
        cluster_id: String,
        /// Credentials.
        auth: Vec<Bytes>,
    },
}

/// What is subscribed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pattern {
    /// Names of channels.
    Channel,
    /// Glob-style patterns.
    Pattern,
}

impl From<ErrorReply> for Action {
    fn from(error: ErrorReply) -> Self {
        Self::Reply(error.into())
    }
}

/// Decides about one request. Changes the session where the request is about the session.
pub(super) fn dispatch(context: &Context, session: &mut Session, words: &[Bytes]) -> Action {
    if closes_connection(words) {
        return Action::Close;
    }
    if !session.refresh(&context.acl) {
        return Action::Close;
    }
    match checked(context, session, words) {
        Ok(request) => perform(context, session, request, words),
        Err(action) => action,
    }
}

fn checked(context: &Context, session: &mut Session, words: &[Bytes]) -> Result<Request, Action> {
    let spec = called(context, words).inspect_err(|error| {
        if error.is_unknown() {
            session.note_command("");
        }
    })?;
    session.note_command(spec.name);
    if !is_peer(words) {
        if !session.is_authenticated() && !spec.before_auth() {
            return Err(ErrorReply::noauth().into());
        }
        acl::check(session, spec, words).map_err(Action::Refused)?;
    }
    if session.is_restricted() && !spec.while_subscribed() {
        return Err(ErrorReply::subscribed_context(spec.name).into());
    }
    Ok((spec.parse)(words)?)
}

/// The command that the words call, by the names of `rename-command`. Sentinels use the original name for connections
/// between them, whatever it is renamed to: their files need not agree.
fn called(context: &Context, words: &[Bytes]) -> Result<&'static CommandSpec, ErrorReply> {
    match &context.settings.renames {
        Some(renames) if !is_peer(words) => renames.lookup(words),
        _ => lookup(words),
    }
}

/// Until when a request has to wait for the end of a CLIENT PAUSE; what is refused does not wait.
pub(super) fn held(context: &Context, session: &Session, words: &[Bytes], now: MonoTime) -> Option<MonoTime> {
    let spec = called(context, words).ok().filter(|_| !is_peer(words))?;
    let allowed = session.is_authenticated() || spec.before_auth();
    let in_context = !session.is_restricted() || spec.while_subscribed();
    (allowed && in_context).then(|| context.pause.holds(spec, now))?
}

/// `SENTINEL PEER`: sentinels authenticate inside it, see the acceptor.
pub(super) fn is_peer(words: &[Bytes]) -> bool {
    matches!(words, [first, second, ..]
        if first.eq_ignore_ascii_case(b"sentinel") && second.eq_ignore_ascii_case(b"peer"))
}

fn perform(context: &Context, session: &mut Session, request: Request, words: &[Bytes]) -> Action {
    if !matches!(request, Request::Client(_)) {
        session.labels.tracking.command_was_run();
    }
    let frame = match request {
        Request::Ping(message) => replies::pong(message, session.protocol, session.subscriptions() > 0),
        Request::Auth { user, password } => {
            return match authenticate(context, session, user.as_deref(), &password, words) {
                Ok(()) => Action::Reply(Frame::OK),
                Err(action) => action,
            };
        }
        Request::Hello(hello) => return self::hello(context, session, hello, words),
        Request::Client(request) => return client(context, session, request),
        Request::Command(request) => {
            let renames = context.settings.renames.as_deref();
            commands::command(&request, renames.unwrap_or(&Renames::none()))
        }
        Request::Info(sections) => info::reply(context, sections),
        Request::Role => {
            let state = context.view.state.load();
            replies::role(state.groups.keys().map(|name| name.as_str()))
        }
        Request::Subscribe(names) => return subscribe(session, Pattern::Channel, names),
        Request::Psubscribe(names) => return subscribe(session, Pattern::Pattern, names),
        Request::Unsubscribe(names) => return Action::Unsubscribe(Pattern::Channel, names),
        Request::Punsubscribe(names) => return Action::Unsubscribe(Pattern::Pattern, names),
        // A hello of a foreign sentinel: accepted, and never believed.
        Request::PublishHello(text) => {
            if let Some(hello) = std::str::from_utf8(&text).ok().and_then(|t| t.parse().ok()) {
                context.control.heard(hello);
            }
            Frame::Integer(1)
        }
        Request::Shutdown => return Action::Shutdown,
        Request::Acl(request) => return acl::perform(context, session, request),
        Request::Sentinel(request) => return sentinel::perform(context, request),
    };
    Action::Reply(frame)
}

/// `words`: the request that asks for it, AUTH or HELLO.
fn authenticate(
    context: &Context,
    session: &mut Session,
    user: Option<&[u8]>,
    password: &[u8],
    words: &[Bytes],
) -> Result<(), Action> {
    if user.is_none() && context.acl.users().default_user().takes_any_password() {
        return Err(ErrorReply::no_password_configured().into());
    }
    let name = user.unwrap_or(b"default");
    match context.acl.authenticate(name, password) {
        Some(user) => {
            session.become_user(user);
            Ok(())
        }
        None => {
            let object = words.first().map_or(&b""[..], |word| word);
            Err(Action::Refused(Box::new(Refusal {
                reply: ErrorReply::wrong_password(),
                denial: Denial::new(Reason::Auth, object, name),
            })))
        }
    }
}

fn hello(context: &Context, session: &mut Session, hello: HelloRequest, words: &[Bytes]) -> Action {
    if let Some((user, password)) = &hello.auth {
        if let Err(action) = authenticate(context, session, Some(user), password, words) {
            return action;
        }
    }
    if !session.is_authenticated() {
        return ErrorReply::hello_noauth().into();
    }
    if let Some(name) = hello.set_name {
        session.labels_mut().name = String::from_utf8_lossy(&name).into_owned();
    }
    if let Some(protocol) = hello.protocol {
        session.protocol = protocol;
        session.labels_changed = true;
    }
    Action::Reply(replies::hello(REDIS_VERSION, session.protocol, session.id))
}

fn client(context: &Context, session: &mut Session, request: ClientRequest) -> Action {
    let text = |value: &Bytes| String::from_utf8_lossy(value).into_owned();
    let frame = match request {
        ClientRequest::SetName(name) => {
            session.labels_mut().name = text(&name);
            Frame::OK
        }
        ClientRequest::GetName if session.labels.name.is_empty() => Frame::NullBulk,
        ClientRequest::GetName => Frame::bulk(session.labels.name.as_str()),
        ClientRequest::SetLibName(name) => {
            session.labels_mut().lib_name = text(&name);
            Frame::OK
        }
        ClientRequest::SetLibVersion(version) => {
            session.labels_mut().lib_ver = text(&version);
            Frame::OK
        }
        ClientRequest::Id => replies::integer(session.id),
        ClientRequest::List(filter) => return Action::Clients(ClientsOperation::List(filter)),
        ClientRequest::Info => return Action::Clients(ClientsOperation::Info),
        ClientRequest::KillAddress(address) => {
            return Action::Clients(ClientsOperation::KillAddress(address));
        }
        ClientRequest::Kill(filter) => {
            let users = context.acl.users();
            if let Some(user) = filter.user.as_ref().filter(|user| users.get(user).is_none()) {
                return ErrorReply::no_such_user(user).into();
            }
            return Action::Clients(ClientsOperation::Kill(filter));
        }
        ClientRequest::Reply(mode) => return reply_mode(session, mode),
        ClientRequest::NoEvict(on) => {
            session.labels_mut().no_evict = on;
            Frame::OK
        }
        ClientRequest::Pause(scope, ms) => {
            context.pause.start(scope, ms, context.clock.mono());
            Frame::OK
        }
        ClientRequest::Unpause => {
            context.pause.end();
            Frame::OK
        }
        ClientRequest::Tracking(request) => return Action::Track(request),
        ClientRequest::Caching(yes) => match session.labels.tracking.set_caching(yes) {
            Ok(()) => Frame::OK,
            Err(error) => error.into(),
        },
        ClientRequest::TrackingInfo => session.labels.tracking.info(),
        ClientRequest::GetRedir => session.labels.tracking.redirect_reply(),
        ClientRequest::Unblock => Frame::Integer(0),
        ClientRequest::Help => help::lines(help::CLIENT),
    };
    Action::Reply(frame)
}

fn reply_mode(session: &mut Session, mode: WireReplyMode) -> Action {
    match mode {
        WireReplyMode::On => {
            session.reply_mode = ReplyMode::On;
            Action::Reply(Frame::OK)
        }
        WireReplyMode::Off => {
            session.reply_mode = ReplyMode::Off;
            Action::Silent
        }
        // Off stays off.
        WireReplyMode::Skip => {
            if session.reply_mode == ReplyMode::On {
                session.reply_mode = ReplyMode::Skip;
            }
            Action::Silent
        }
    }
}

fn subscribe(session: &Session, kind: Pattern, names: Vec<Bytes>) -> Action {
    let room = MAX_SUBSCRIPTIONS.saturating_sub(session.subscriptions());
    if names.len() > room || names.iter().any(|name| name.len() > MAX_CHANNEL_BYTES) {
        return ErrorReply::err("too many or too long channels for one connection").into();
    }
    Action::Subscribe(kind, names)
}
