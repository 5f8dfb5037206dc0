//! Shell of [`FailoverCore`]: one per node.
//!
//! Mailbox 8192; monitors coalesce when it is full. Operations run in the tasks of the links; their guard is checked there,
//! against the newest applied state and a fresh authority, right before the first byte is sent.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Recipient, WrapFuture};
use futures::future::BoxFuture;
use sentinel_core::failover::{
    Conditions, Crash, FailoverCore, FailoverEffect, FailoverInput, Guard, Operation, OperationResult,
};
use sentinel_proto::{HostPort, MasterName};

use super::messages::{EventSink, Executing, LinkChanged, ToFailover, ToSupervisor};
use super::quorum::ProposePort;
use super::timer::Timer;
use crate::clock::SharedClock;
use crate::net::link::LinkHandle;
use crate::view::{InstanceKey, NodeView};

/// Messages that may wait.
pub const MAILBOX: usize = 8192;

/// Checks a guard, then does the operation.
pub type ExecutePort =
    Arc<dyn Fn(LinkHandle, Operation, Guard) -> BoxFuture<'static, OperationResult> + Send + Sync>;

/// Where the failover actor reports.
#[derive(Clone)]
pub struct FailoverPorts {
    /// Proposals.
    pub propose: ProposePort,
    /// Operations on Redis servers.
    pub execute: ExecutePort,
    /// Flags for the monitors' snapshots.
    pub supervisor: Recipient<ToSupervisor>,
    /// The group's `failover-state`.
    pub quorum: Recipient<Executing>,
    /// Events.
    pub events: EventSink,
    /// A simulated crash; does not return.
    pub crash: Arc<dyn Fn(Crash) + Send + Sync>,
}

/// The actor.
pub struct Failover {
    core: FailoverCore,
    clock: SharedClock,
    ports: FailoverPorts,
    view: Arc<NodeView>,
    links: BTreeMap<InstanceKey, LinkHandle>,
    timer: Timer,
    effects: Vec<FailoverEffect>,
}

impl Failover {
    /// The actor of a core.
    #[must_use]
    pub fn new(core: FailoverCore, clock: SharedClock, ports: FailoverPorts, view: Arc<NodeView>) -> Self {
        Self {
            core,
            clock,
            ports,
            view,
            links: BTreeMap::new(),
            timer: Timer::default(),
            effects: Vec::new(),
        }
    }

    fn input(&mut self, input: FailoverInput, ctx: &mut Context<Self>) {
        let (now, wall) = (self.clock.mono(), self.clock.wall());
        let mut effects = std::mem::take(&mut self.effects);
        self.core.set_conditions(Conditions {
            in_tilt: self.view.in_tilt(),
            reconf_timeout_ms: self.view.tuning.ms("SLAVE-RECONF-TIMEOUT"),
        });
        self.core.step(now, wall, input, &mut effects);
        for effect in effects.drain(..) {
            self.run(effect, ctx);
        }
        self.effects = effects;
        self.timer.arm(ctx, now, self.core.poll_timeout(now), Self::wake);
    }

    fn wake(&mut self, ctx: &mut Context<Self>) {
        self.timer.fired();
        self.input(FailoverInput::Timer, ctx);
    }

    fn run(&mut self, effect: FailoverEffect, ctx: &mut Context<Self>) {
        match effect {
            FailoverEffect::Execute {
                operation,
                instance,
                what,
                guard,
            } => {
                self.execute(operation, instance, what, guard, ctx);
            }
            FailoverEffect::Propose(master, command) => {
                let answer = (self.ports.propose)(command).into_actor(self);
                ctx.spawn(
                    answer.map(move |answer, actor: &mut Self, ctx: &mut Context<Self>| {
                        actor.input(FailoverInput::Proposed(master, answer), ctx);
                    }),
                );
            }
            FailoverEffect::Event(event) => (self.ports.events)(event),
            FailoverEffect::Executing {
                master,
                state,
                forced,
                coordinated,
            } => {
                let sent = self.ports.quorum.try_send(Executing {
                    master,
                    state,
                    forced,
                    coordinated,
                });
                count_if_full(sent.is_err());
            }
            FailoverEffect::ReplicaFlag(master, replica, flag) => {
                let sent = self
                    .ports
                    .supervisor
                    .try_send(ToSupervisor::ReplicaFlag(master, replica, flag));
                count_if_full(sent.is_err());
            }
            FailoverEffect::Crash(crash) => (self.ports.crash)(crash),
        }
    }

    fn execute(
        &mut self,
        operation: u64,
        instance: HostPort,
        what: Operation,
        guard: Guard,
        ctx: &mut Context<Self>,
    ) {
        let master: MasterName = guard.master.clone();
        let work: BoxFuture<'static, OperationResult> = match self.links.get(&(master.clone(), instance)) {
            Some(link) => (self.ports.execute)(link.clone(), what, guard),
            None => Box::pin(async { OperationResult::Unreachable("not monitored here yet".to_owned()) }),
        };
        ctx.spawn(
            work.into_actor(self)
                .map(move |result, actor: &mut Self, ctx: &mut Context<Self>| {
                    actor.input(
                        FailoverInput::Operated {
                            operation,
                            master,
                            result,
                        },
                        ctx,
                    );
                }),
        );
    }
}

fn count_if_full(full: bool) {
    if full {
        metrics::counter!("sentinel_mailbox_full").increment(1);
    }
}

impl Actor for Failover {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX);
        self.input(FailoverInput::Timer, ctx);
    }
}

impl Handler<ToFailover> for Failover {
    type Result = ();

    fn handle(&mut self, message: ToFailover, ctx: &mut Context<Self>) {
        self.input(message.0, ctx);
    }
}

impl Handler<LinkChanged> for Failover {
    type Result = ();

    fn handle(&mut self, message: LinkChanged, _: &mut Context<Self>) {
        let key = (message.master, message.address);
        match message.link {
            Some(link) => self.links.insert(key, link),
            None => self.links.remove(&key),
        };
    }
}
