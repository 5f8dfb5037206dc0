//! Shell of [`QuorumCore`]: one per node.
//!
//! Mailbox 8192; monitors coalesce when it is full. Publishes the groups' soft state for readers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Recipient, WrapFuture};
use futures::future::BoxFuture;
use sentinel_core::quorum::{QuorumCore, QuorumEffect, QuorumInput};
use sentinel_core::replicated::Command;
use sentinel_proto::MasterName;
use sentinel_proto::peer::Opinion;

use super::messages::{EventSink, Executing, ToQuorum, ToSupervisor};
use super::timer::Timer;
use crate::clock::SharedClock;
use crate::view::{GroupView, NodeView};

/// Messages that may wait.
pub const MAILBOX: usize = 8192;

/// Proposes a command; `Some` = applied at that log index.
pub type ProposePort = Arc<dyn Fn(Command) -> BoxFuture<'static, Option<u64>> + Send + Sync>;

/// Where the quorum actor reports.
#[derive(Clone)]
pub struct QuorumPorts {
    /// Opinions to all peers at once; never blocks.
    pub broadcast: Arc<dyn Fn(Vec<Opinion>) + Send + Sync>,
    /// Proposals.
    pub propose: ProposePort,
    /// Attention to a group's monitors.
    pub supervisor: Recipient<ToSupervisor>,
    /// Events.
    pub events: EventSink,
}

/// The actor.
pub struct Quorum {
    core: QuorumCore,
    clock: SharedClock,
    ports: QuorumPorts,
    view: Arc<NodeView>,
    timer: Timer,
    effects: Vec<QuorumEffect>,
    executing: BTreeMap<MasterName, Executing>,
}

impl Quorum {
    /// The actor of a core.
    #[must_use]
    pub fn new(core: QuorumCore, clock: SharedClock, ports: QuorumPorts, view: Arc<NodeView>) -> Self {
        let (timer, effects, executing) = (Timer::default(), Vec::new(), BTreeMap::new());
        Self {
            core,
            clock,
            ports,
            view,
            timer,
            effects,
            executing,
        }
    }

    fn input(&mut self, input: QuorumInput, ctx: &mut Context<Self>) {
        let (now, wall) = (self.clock.mono(), self.clock.wall());
        let topology = matches!(input, QuorumInput::State(_));
        let mut effects = std::mem::take(&mut self.effects);
        self.core.set_tilt_times(self.view.tuning.tilt());
        self.core.step(now, wall, input, &mut effects);
        let mut changed = BTreeSet::new();
        for effect in effects.drain(..) {
            self.run(effect, &mut changed, ctx);
        }
        self.effects = effects;
        if topology || !changed.is_empty() {
            self.publish(&changed, topology);
        }
        self.timer
            .arm(ctx, now, Some(self.core.poll_timeout(now)), Self::wake);
    }

    fn wake(&mut self, ctx: &mut Context<Self>) {
        self.timer.fired();
        self.input(QuorumInput::Timer, ctx);
    }

    fn run(&mut self, effect: QuorumEffect, changed: &mut BTreeSet<MasterName>, ctx: &mut Context<Self>) {
        match effect {
            QuorumEffect::Broadcast(opinions) => (self.ports.broadcast)(opinions),
            QuorumEffect::Attention(master, on) => {
                if self
                    .ports
                    .supervisor
                    .try_send(ToSupervisor::Attention(master, on))
                    .is_err()
                {
                    metrics::counter!("sentinel_mailbox_full").increment(1);
                }
            }
            QuorumEffect::Listen(master, on) => {
                let sent = self.ports.supervisor.try_send(ToSupervisor::Listen(master, on));
                if sent.is_err() {
                    metrics::counter!("sentinel_mailbox_full").increment(1);
                }
            }
            QuorumEffect::Event(event) => (self.ports.events)(event),
            QuorumEffect::Changed(master) => {
                changed.insert(master);
            }
            QuorumEffect::Tilt(since) => {
                self.view
                    .tilt_since
                    .store(since.map_or(0, |t| t.0), Ordering::Release);
                if since.is_some() {
                    self.view.total_tilt.fetch_add(1, Ordering::Relaxed);
                }
            }
            QuorumEffect::Propose(master, command) => {
                let answer = (self.ports.propose)(command).into_actor(self);
                ctx.spawn(
                    answer.map(move |answer, actor: &mut Self, ctx: &mut Context<Self>| {
                        actor.input(QuorumInput::Proposed(master, answer), ctx);
                    }),
                );
            }
        }
    }

    /// Publishes the groups named, or all of them.
    fn publish(&self, changed: &BTreeSet<MasterName>, all: bool) {
        let mut groups = BTreeMap::clone(&self.view.groups.load());
        groups.retain(|name, _| self.core.groups().contains_key(name));
        for (name, soft) in self.core.groups() {
            if !all && !changed.contains(name) && groups.contains_key(name) {
                continue;
            }
            let executing = self.executing.get(name);
            let view = GroupView {
                odown_since: soft.odown_since,
                hold: soft.hold.as_ref().map(ToString::to_string),
                executing: executing.and_then(|e| e.state),
                forced: executing.is_some_and(|e| e.forced),
                coordinated: executing.is_some_and(|e| e.coordinated),
                opinions: soft.opinions.clone(),
            };
            groups.insert(name.clone(), Arc::new(view));
        }
        self.view.groups.store(Arc::new(groups));
    }
}

impl Actor for Quorum {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX);
        self.input(QuorumInput::Timer, ctx);
        self.publish(&BTreeSet::new(), true);
    }
}

impl Handler<ToQuorum> for Quorum {
    type Result = ();

    fn handle(&mut self, message: ToQuorum, ctx: &mut Context<Self>) {
        self.input(message.0, ctx);
    }
}

impl Handler<Executing> for Quorum {
    type Result = ();

    fn handle(&mut self, message: Executing, _: &mut Context<Self>) {
        let master = message.master.clone();
        self.executing.insert(master.clone(), message);
        self.publish(&BTreeSet::from([master]), false);
    }
}
