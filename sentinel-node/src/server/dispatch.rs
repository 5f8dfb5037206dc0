//! One request to one action, in the order of Redis (`server.c: processCommand`). No IO, nothing waits.

use std::sync::Arc;

use bytes::Bytes;
use sentinel_core::replicated::State;
use sentinel_proto::command::{
    ClientRequest, HelloRequest, ReplyMode as WireReplyMode, Request, closes_connection, lookup,
};
use sentinel_proto::reply::{ErrorReply, commands, help, session as replies};
use sentinel_proto::resp::Frame;

use crate::config::REDIS_VERSION;

use super::auth::{self, Verdict};
use super::context::Context;
use super::control::{ClientsOperation, Operation};
use super::info;
use super::sentinel;
use super::session::{MAX_CHANNEL_BYTES, MAX_SUBSCRIPTIONS, ReplyMode, Session};

/// What the connection is to do about a request.
#[derive(Debug)]
pub(super) enum Action {
    /// Send this.
    Reply(Frame),
    /// The answer of an address query, with the state it was made from: may be remembered.
    Address(Frame, Arc<State>),
    /// Send nothing.
    Silent,
    /// Subscribe to these.
    Subscribe(Pattern, Vec<Bytes>),
    /// Unsubscribe from these; none = all.
    Unsubscribe(Pattern, Vec<Bytes>),
    /// A write: the answer comes later.
    Control(Operation),
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
    match checked(session, words) {
        Ok(request) => perform(context, session, request),
        Err(error) => error.into(),
    }
}

fn checked(session: &mut Session, words: &[Bytes]) -> Result<Request, ErrorReply> {
    let spec = lookup(words)?;
    if !session.authenticated && !spec.before_auth() && !is_peer(words) {
        return Err(ErrorReply::noauth());
    }
    if session.is_restricted() && !spec.while_subscribed() {
        return Err(ErrorReply::subscribed_context(spec.name));
    }
    session.note_command(spec.name);
    (spec.parse)(words)
}

/// `SENTINEL PEER`: sentinels authenticate inside it, see the acceptor.
pub(super) fn is_peer(words: &[Bytes]) -> bool {
    matches!(words, [first, second, ..]
        if first.eq_ignore_ascii_case(b"sentinel") && second.eq_ignore_ascii_case(b"peer"))
}

fn perform(context: &Context, session: &mut Session, request: Request) -> Action {
    let frame = match request {
        Request::Ping(message) => replies::pong(message, session.protocol, session.subscriptions() > 0),
        Request::Auth { user, password } => {
            return match authenticate(context, session, user.as_deref(), &password) {
                Ok(()) => Action::Reply(Frame::OK),
                Err(error) => error.into(),
            };
        }
        Request::Hello(hello) => return self::hello(context, session, hello),
        Request::Client(request) => return client(session, request),
        Request::Command(request) => commands::command(&request),
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
        Request::PublishHello(_) => Frame::Integer(1),
        Request::Shutdown => return Action::Shutdown,
        Request::AclWhoami => Frame::bulk_static("default"),
        Request::AclUsers => Frame::bulks(["default"]),
        Request::AclList => Frame::bulks([match context.settings.requirepass {
            // The password's hash is nobody's business here.
            Some(_) => "user default on sanitize-payload ~* &* +@all",
            None => "user default on nopass sanitize-payload ~* &* +@all",
        }]),
        Request::AclHelp => help::lines(help::ACL),
        Request::Sentinel(request) => return sentinel::perform(context, request),
    };
    Action::Reply(frame)
}

fn authenticate(
    context: &Context,
    session: &mut Session,
    user: Option<&[u8]>,
    password: &[u8],
) -> Result<(), ErrorReply> {
    match auth::judge(context.settings.requirepass.as_deref(), user, password) {
        Verdict::Accepted => {
            session.authenticated = true;
            Ok(())
        }
        Verdict::NoneConfigured => Err(ErrorReply::no_password_configured()),
        Verdict::Wrong => {
            let denied = &context.counters.denied_auth;
            denied.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Err(ErrorReply::wrong_password())
        }
    }
}

fn hello(context: &Context, session: &mut Session, hello: HelloRequest) -> Action {
    if let Some((user, password)) = &hello.auth {
        if let Err(error) = authenticate(context, session, Some(user), password) {
            return error.into();
        }
    }
    if !session.authenticated {
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

fn client(session: &mut Session, request: ClientRequest) -> Action {
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
            if let Some(user) = filter.user.as_ref().filter(|user| *user != "default") {
                return ErrorReply::no_such_user(user).into();
            }
            return Action::Clients(ClientsOperation::Kill(filter));
        }
        ClientRequest::Reply(mode) => return reply_mode(session, mode),
        ClientRequest::NoEvict(_) | ClientRequest::Tracking | ClientRequest::Pause => Frame::OK,
        ClientRequest::TrackingInfo => replies::tracking_info(),
        ClientRequest::GetRedir => Frame::Integer(-1),
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
