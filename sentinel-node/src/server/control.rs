//! Requests that wait for something: writes through [`Control`](crate::control::Control), and the client table.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sentinel_core::replicated::{Command, GroupOptions, OptionChange, Rejection};
use sentinel_core::time::MonoTime;
use sentinel_proto::command::{ClientFilter, ClientKind, KillFilter, TrackingRequest};
use sentinel_proto::reply::ErrorReply;
use sentinel_proto::reply::session::{ClientLine, client_lines, integer};
use sentinel_proto::resp::Frame;
use sentinel_proto::{HostPort, MasterName};

use crate::control::ControlError;

use super::clients::ClientInfo;
use super::context::Context;
use super::session::Session;

/// A write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Operation {
    Monitor(MasterName, HostPort, u32),
    /// A MONITOR that fails: for its port, unless its host cannot be resolved, which Sentinel finds out first.
    MonitorBadPort(String),
    Remove(MasterName),
    Set(MasterName, Vec<OptionChange>),
    /// Never empty.
    Reset(Vec<MasterName>),
    /// With `true`: COORDINATED.
    Failover(MasterName, bool),
    /// Write the file; `force` overwrites an operator's edit, too.
    Save {
        force: bool,
    },
}

/// A look at the other connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ClientsOperation {
    List(ClientFilter),
    Info,
    KillAddress(String),
    Kill(KillFilter),
}

/// Runs a write and words its answer.
pub(super) async fn run(context: &Context, operation: Operation) -> Frame {
    let control = &context.control;
    let mut done = Frame::OK;
    let result = match operation {
        Operation::Monitor(name, address, odown_quorum) => {
            let Some(address) = resolved(context, &name, address).await else {
                return ErrorReply::invalid_host().into();
            };
            monitor(context, name, address, odown_quorum).await
        }
        Operation::MonitorBadPort(host) => {
            let host = HostPort::new(host, 0);
            return match resolves(context, &host).await {
                true => ErrorReply::port_out_of_range().into(),
                false => ErrorReply::invalid_host().into(),
            };
        }
        Operation::Remove(name) => control.remove(name).await,
        Operation::Set(name, changes) => control.set(name, changes).await,
        Operation::Reset(names) => {
            done = Frame::Integer(i64::try_from(names.len()).unwrap_or(i64::MAX));
            control.reset(names).await
        }
        Operation::Failover(name, coordinated) => control.failover(name, coordinated).await,
        Operation::Save { force } => {
            return match context.settings.rewriter.save(force).await {
                true => done,
                false => ErrorReply::config_not_saved().into(),
            };
        }
    };
    match result {
        Ok(()) => done,
        Err(error) => refusal(error).into(),
    }
}

/// How long MONITOR waits for the lookup of a name.
const LOOK_UP_WITHIN: Duration = Duration::from_secs(1);

/// The address in the spelling that the group has for it already; a new name has to resolve now.
async fn resolved(context: &Context, master: &MasterName, address: HostPort) -> Option<HostPort> {
    let names = &context.view.names;
    let known = || {
        let state = context.view.state.load();
        let group = state.groups.get(master)?;
        let first = group.history.front().map(|closed| &closed.plan.old_address);
        let mut known = std::iter::once(&group.address).chain(first);
        known.find(|known| names.same(known, &address)).cloned()
    };
    if let Some(same) = known() {
        return Some(same);
    }
    if !resolves(context, &address).await {
        return None;
    }
    Some(known().unwrap_or(address))
}

/// Whether there is an IP address to connect to.
async fn resolves(context: &Context, address: &HostPort) -> bool {
    let look_up = context.view.names.look_up(&address.host, LOOK_UP_WITHIN);
    address.ip().is_some() || !look_up.await.is_empty()
}

/// A new master gets the usual defaults, or those that SENTINEL DEBUG set on this node.
async fn monitor(
    context: &Context,
    master: MasterName,
    address: HostPort,
    odown_quorum: u32,
) -> Result<(), ControlError> {
    let usual = GroupOptions::with_quorum(odown_quorum);
    let options = GroupOptions {
        down_after_ms: context.view.tuning.ms("DEFAULT-DOWN-AFTER"),
        failover_timeout_ms: context.view.tuning.ms("DEFAULT-FAILOVER-TIMEOUT"),
        ..usual.clone()
    };
    if options == usual {
        return context.control.monitor(master, address, odown_quorum).await;
    }
    let at = context.clock.wall();
    let command = Command::Monitor {
        master,
        address,
        options,
        at,
    };
    context.control.propose(command).await
}

/// The error reply of a write that was not done.
pub(crate) fn refusal(error: ControlError) -> ErrorReply {
    match error {
        ControlError::Rejected(Rejection::NoSuchMaster) => ErrorReply::no_such_master(),
        ControlError::Rejected(Rejection::DuplicateMaster) => ErrorReply::duplicate_master(),
        ControlError::Rejected(Rejection::PlanOpen) | ControlError::InProgress => {
            ErrorReply::failover_in_progress()
        }
        ControlError::Rejected(Rejection::InvalidOption { option, value }) => {
            ErrorReply::set_invalid(&option, &value)
        }
        ControlError::Rejected(other) => ErrorReply::err(other),
        ControlError::NoMajority(text) => ErrorReply::noquorum(text),
        ControlError::Unknown(text) => ErrorReply::outcome_unknown(text),
        ControlError::NoGoodReplica => ErrorReply::no_good_replica(),
    }
}

/// CLIENT TRACKING.
pub(super) async fn track(context: &Context, session: &mut Session, request: &TrackingRequest) -> Frame {
    if let Some(id) = request.redirect {
        let all = context.clients.list().await;
        if !all.iter().any(|client| u64::try_from(id) == Ok(client.id)) {
            return ErrorReply::err("The client ID you want redirect to does not exist").into();
        }
    }
    let tracking = &mut session.labels_mut().tracking;
    let before = tracking.is_on();
    if let Err(error) = tracking.change(request) {
        return error.into();
    }
    match (before, tracking.is_on()) {
        (false, true) => context.counters.tracking.fetch_add(1, Ordering::Relaxed),
        (true, false) => context.counters.tracking.fetch_sub(1, Ordering::Relaxed),
        _ => 0,
    };
    Frame::OK
}

/// CLIENT LIST, INFO and KILL. The flag says that the caller itself is to be closed after its reply.
pub(super) async fn clients(context: &Context, me: u64, operation: ClientsOperation) -> (Frame, bool) {
    let all = context.clients.list().await;
    let now = context.clock.mono();
    match operation {
        ClientsOperation::Info => (lines(all.iter().filter(|client| client.id == me), now), false),
        ClientsOperation::List(filter) => {
            let of_kind = |client: &&Arc<ClientInfo>| filter.kind.is_none_or(|kind| is_kind(client, kind));
            let listed = match filter.ids {
                None => lines(all.iter().filter(of_kind), now),
                // In the order of the request, and as often as it says.
                Some(ids) => {
                    let by_id: BTreeMap<u64, &Arc<ClientInfo>> =
                        all.iter().map(|client| (client.id, client)).collect();
                    lines(ids.iter().filter_map(|id| by_id.get(id).copied()), now)
                }
            };
            (listed, false)
        }
        ClientsOperation::KillAddress(address) => {
            let found = all.iter().find(|client| client.addr.to_string() == address);
            match found {
                Some(client) => (Frame::OK, kill(client, me)),
                None => (ErrorReply::no_such_client().into(), false),
            }
        }
        ClientsOperation::Kill(filter) => {
            let mut close_me = false;
            let mut killed = 0u64;
            for client in all.iter().filter(|client| matches(client, &filter, me, now)) {
                close_me |= kill(client, me);
                killed = killed.saturating_add(1);
            }
            (integer(killed), close_me)
        }
    }
}

/// Closes another client; says that the caller is meant.
fn kill(client: &ClientInfo, me: u64) -> bool {
    if client.id != me {
        client.close.cancel();
    }
    client.id == me
}

fn matches(client: &ClientInfo, filter: &KillFilter, me: u64, now: MonoTime) -> bool {
    let age_s = now.ms_since(client.since) / 1000;
    !(filter.skip_me && client.id == me)
        && filter.id.is_none_or(|id| id == client.id)
        && filter.kind.is_none_or(|kind| is_kind(client, kind))
        && filter
            .address
            .as_ref()
            .is_none_or(|addr| *addr == client.addr.to_string())
        && filter
            .local_address
            .as_ref()
            .is_none_or(|addr| *addr == client.laddr.to_string())
        && filter
            .user
            .as_ref()
            .is_none_or(|user| *user == client.labels.load().user.as_bytes())
        && filter.max_age_s.is_none_or(|age| age_s >= age)
}

fn is_kind(client: &ClientInfo, kind: ClientKind) -> bool {
    match kind {
        ClientKind::Normal => !client.is_subscribed(),
        ClientKind::PubSub => client.is_subscribed(),
        ClientKind::Replication => false,
    }
}

fn lines<'a>(clients: impl Iterator<Item = &'a Arc<ClientInfo>>, now: MonoTime) -> Frame {
    let lines: Vec<ClientLine> = clients.map(|client| client.line(now)).collect();
    client_lines(&lines)
}
