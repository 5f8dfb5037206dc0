//! The gateway between the log and the node: applied entries in, proposals out.
//!
//! ```text
//! raft-store --Applied (bounded)--> forwarder --send().await--> Gateway
//!     1. NodeView::state is swapped    2. events of the changes are published, scripts called    3. supervisor, quorum, failover are told
//! RaftStatus --watch (latest wins)--> forwarder --> Gateway --> NodeView::has_majority, then quorum, failover
//! anybody --GatewayHandle--> RaftHandle (proposals do not pass the mailbox, see [`super::proposals`])
//! ```
//!
//! * A client that hears `+switch-master` and asks finds the new address: the swap comes before the event.
//! * Nothing is lost or reordered: the forwarder sends the next entry when all three took the last one, and
//!   raft-store waits when the channel is full.
//! * Entries of an earlier run of the process publish nothing, except what a snapshot changed that nobody was told.
//!
//! Mailbox: [`MAILBOX`], fed by two forwarders with one message each under way. Overflow policy: never; producers wait.
//!
//! Replaced: handlers that call the log directly; cost: one hop to this thread per entry, some tens of microseconds.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use actix::{Actor, Context, Handler, Message, Recipient, ResponseFuture};
use futures::join;
use raft_store::{Applied, RaftHandle, RaftStatus};
use sentinel_core::failover::FailoverInput;
use sentinel_core::quorum::QuorumInput;
use sentinel_core::replicated::State;
use sentinel_proto::{Event, NodeId};
use tokio::runtime;
use tokio::sync::mpsc;

use super::messages::{EventSink, StateApplied, ToFailover, ToQuorum};
use crate::events::{self, jumped, startup_events};
use crate::scripts::{ReconfigSink, client_reconfigs};
use crate::view::NodeView;

/// Messages waiting.
pub const MAILBOX: usize = 16;

/// Who is told.
#[derive(Clone)]
pub struct GatewayPorts {
    /// Each applied entry; starts and stops monitors.
    pub supervisor: Recipient<StateApplied>,
    /// Each applied state, each change of the Raft role.
    pub quorum: Recipient<ToQuorum>,
    /// The same.
    pub failover: Recipient<ToFailover>,
    /// Events.
    pub events: EventSink,
    /// Client-reconfig scripts.
    pub reconfigured: ReconfigSink,
}

/// An applied entry on its way from the forwarder.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Entry(Applied);

/// A Raft status on its way from the forwarder.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Status(RaftStatus);

/// See the module's documentation.
pub struct Gateway {
    view: Arc<NodeView>,
    ports: GatewayPorts,
    /// State after the last entry that was published.
    published: Arc<State>,
}

impl Gateway {
    /// Starts the actor on the present actix System, and its forwarders on `main`.
    ///
    /// `recovered`: the state that [`RaftHandle::open`] returned together with `applied`; its masters are announced with
    /// `+monitor`, as Sentinel does at start.
    pub fn start_with(
        main: &runtime::Handle,
        view: Arc<NodeView>,
        ports: GatewayPorts,
        raft: &RaftHandle,
        recovered: Arc<State>,
        applied: mpsc::Receiver<Applied>,
    ) {
        let gateway = Self {
            view,
            ports,
            published: recovered,
        };
        let address = gateway.start();
        main.spawn(forward_entries(applied, address.clone().recipient()));
        main.spawn(forward_status(raft.clone(), address.recipient()));
    }
}

impl Actor for Gateway {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        self.view.state.store(Arc::clone(&self.published));
        startup_events(&self.published)
            .into_iter()
            .for_each(|event| (self.ports.events)(event));
    }
}

impl Handler<Entry> for Gateway {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, Entry(entry): Entry, _: &mut Self::Context) -> Self::Result {
        let before = std::mem::replace(&mut self.published, Arc::clone(&entry.state));
        self.view.state.store(Arc::clone(&entry.state));
        for event in events_of(&entry, &before, self.view.node) {
            (self.ports.events)(event);
        }
        if !entry.replayed || entry.changes.is_empty() {
            client_reconfigs(&entry.changes, &before, &entry.state, self.view.node)
                .into_iter()
                .for_each(|call| (self.ports.reconfigured)(call));
        }
        self.tell_state(StateApplied {
            index: entry.index,
            state: entry.state,
            changes: entry.changes.into(),
            replayed: entry.replayed,
        })
    }
}

impl Handler<Status> for Gateway {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, Status(status): Status, _: &mut Self::Context) -> Self::Result {
        self.view
            .has_majority
            .store(status.has_majority, Ordering::Relaxed);
        self.tell_role(status.raft_leader == Some(self.view.node), status.has_majority)
    }
}

impl Gateway {
    /// Resolves when all have handled it. One that is gone is skipped: then the process is about to end.
    fn tell_state(&self, applied: StateApplied) -> ResponseFuture<()> {
        let quorum = self
            .ports
            .quorum
            .send(ToQuorum(QuorumInput::State(Arc::clone(&applied.state))));
        let failover = self
            .ports
            .failover
            .send(ToFailover(FailoverInput::State(Arc::clone(&applied.state))));
        let supervisor = self.ports.supervisor.send(applied);
        Box::pin(async move {
            let _ = join!(supervisor, quorum, failover);
        })
    }

    fn tell_role(&self, is_raft_leader: bool, has_majority: bool) -> ResponseFuture<()> {
        let quorum = QuorumInput::Raft {
            is_raft_leader,
            has_majority,
        };
        let failover = FailoverInput::Raft {
            is_raft_leader,
            has_majority,
        };
        let quorum = self.ports.quorum.send(ToQuorum(quorum));
        let failover = self.ports.failover.send(ToFailover(failover));
        Box::pin(async move {
            let _ = join!(quorum, failover);
        })
    }
}

/// What an entry publishes. Pure.
fn events_of(entry: &Applied, before: &State, me: NodeId) -> Vec<Event> {
    if entry.changes.is_empty() {
        return jumped(before, &entry.state, me);
    }
    if entry.replayed {
        return Vec::new();
    }
    entry
        .changes
        .iter()
        .flat_map(|change| events::events(change, before, &entry.state, me))
        .collect()
}

async fn forward_entries(mut applied: mpsc::Receiver<Applied>, gateway: Recipient<Entry>) {
    while let Some(entry) = applied.recv().await {
        if gateway.send(Entry(entry)).await.is_err() {
            return;
        }
    }
}

async fn forward_status(raft: RaftHandle, gateway: Recipient<Status>) {
    let mut status = raft.watch();
    let mut told = None;
    loop {
        let latest = status.borrow_and_update().clone();
        // Every entry changes the status; the actors only need the role.
        let role = (latest.raft_leader, latest.has_majority);
        if told != Some(role) && gateway.send(Status(latest)).await.is_err() {
            return;
        }
        told = Some(role);
        if status.changed().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
#[path = "gateway_tests.rs"]
mod tests;
