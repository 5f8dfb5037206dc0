//! Shell of [`MonitorCore`]: one per Redis instance.
//!
//! Mailbox 256; links await delivery, so nothing is lost. Reports to the quorum and failover actors are coalesced:
//! when one of them is full, the newest facts are sent again a moment later.

use std::sync::Arc;

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Recipient, WrapFuture};
use arc_swap::ArcSwap;
use futures::future::BoxFuture;
use sentinel_core::failover::FailoverInput;
use sentinel_core::monitor::{LinkFailure, MonitorCore, MonitorEffect, MonitorInput, Periods};
use sentinel_core::quorum::QuorumInput;
use sentinel_core::time::MonoTime;
use sentinel_proto::HostPort;

use super::messages::{Assign, EventSink, Observed, ShowFlag, Stop, ToFailover, ToQuorum};
use super::timer::Timer;
use crate::clock::SharedClock;
use crate::net::link::LinkHandle;
use crate::tuning::Tuning;
use crate::view::{InstanceView, NodeView, ReportedRole};

/// Messages that may wait.
pub const MAILBOX: usize = 256;
/// A message that did not fit is sent again after this long.
const RESEND_MS: u64 = 10;

/// Where a monitor reports.
#[derive(Clone)]
pub struct MonitorPorts {
    /// Facts and listed replicas.
    pub quorum: Recipient<ToQuorum>,
    /// Facts.
    pub failover: Recipient<ToFailover>,
    /// Events.
    pub events: EventSink,
    /// `SCRIPT KILL`.
    pub kill_script: KillScriptPort,
    /// Periods, TILT, host names.
    pub view: Arc<NodeView>,
}

/// Sends SCRIPT KILL as long as a majority stands behind this node; `false` = it was not sent.
pub type KillScriptPort = Arc<dyn Fn(LinkHandle) -> BoxFuture<'static, bool> + Send + Sync>;

/// The actor.
pub struct Monitor {
    core: MonitorCore,
    clock: SharedClock,
    link: LinkHandle,
    ports: MonitorPorts,
    cell: Arc<ArcSwap<InstanceView>>,
    timer: Timer,
    effects: Vec<MonitorEffect>,
    flag: Option<&'static str>,
    listed: Option<Vec<HostPort>>,
    unsent: bool,
    emptied: bool,
}

fn periods(tuning: &Tuning) -> Periods {
    Periods {
        info_ms: tuning.ms("INFO-PERIOD"),
        probe_ms: tuning.ms("PING-PERIOD"),
    }
}

impl Monitor {
    /// A monitor over `link`, publishing in `cell`.
    #[must_use]
    pub fn new(
        core: MonitorCore,
        clock: SharedClock,
        link: LinkHandle,
        ports: MonitorPorts,
        cell: Arc<ArcSwap<InstanceView>>,
    ) -> Self {
        let (timer, effects) = (Timer::default(), Vec::new());
        Self {
            core,
            clock,
            link,
            ports,
            cell,
            timer,
            effects,
            flag: None,
            listed: None,
            unsent: true,
            emptied: false,
        }
    }

    fn input(&mut self, input: MonitorInput, ctx: &mut Context<Self>) {
        let now = self.clock.mono();
        let mut effects = std::mem::take(&mut self.effects);
        self.core.set_periods(periods(&self.ports.view.tuning), now);
        self.core.set_tilt(self.ports.view.in_tilt());
        let names = self.ports.view.names.names();
        if !Arc::ptr_eq(&names, self.core.names()) {
            self.core.step(now, MonitorInput::Names(names), &mut effects);
        }
        self.core.step(now, input, &mut effects);
        for effect in effects.drain(..) {
            self.run(effect, now, ctx);
        }
        self.effects = effects;
        self.report();
        self.cell.store(Arc::new(instance_view(&self.core, self.flag)));
        let resend = self.unsent.then(|| now.plus(RESEND_MS));
        let next = [self.core.poll_timeout(now), resend].into_iter().flatten().min();
        self.timer.arm(ctx, now, next, Self::wake);
    }

    fn wake(&mut self, ctx: &mut Context<Self>) {
        self.timer.fired();
        if self.core.is_answer_overdue(self.clock.mono()) {
            let read = read_what_arrived().into_actor(self);
            ctx.spawn(read.map(|(), actor: &mut Self, ctx: &mut Context<Self>| {
                actor.input(MonitorInput::Timer, ctx);
            }));
        } else {
            self.input(MonitorInput::Timer, ctx);
        }
    }

    fn run(&mut self, effect: MonitorEffect, now: MonoTime, ctx: &mut Context<Self>) {
        let queued = match effect {
            MonitorEffect::Connect {
                generation,
                timeout_ms,
            } => self.link.connect(generation, timeout_ms),
            MonitorEffect::Disconnect => self.link.disconnect(),
            MonitorEffect::SendProbe {
                generation,
                with_role,
            } => self.link.probe(generation, with_role),
            MonitorEffect::SendInfo { full } => {
                self.link.info(full);
                true
            }
            MonitorEffect::KillScript => {
                let sent = (self.ports.kill_script)(self.link.clone()).into_actor(self);
                ctx.spawn(sent.map(|sent, actor: &mut Self, ctx: &mut Context<Self>| {
                    actor.input(MonitorInput::ScriptKill { sent }, ctx);
                }));
                true
            }
            MonitorEffect::Event(event) => {
                (self.ports.events)(event);
                true
            }
            MonitorEffect::Changed => {
                self.say_emptied();
                self.unsent = true;
                true
            }
            MonitorEffect::ReplicasListed(replicas) => {
                self.listed = Some(replicas);
                self.unsent = true;
                true
            }
            MonitorEffect::LookUp(host) => {
                self.ports.view.names.reported(&host);
                true
            }
        };
        if !queued {
            // The task of the link is far behind: as good as a link that does not answer, which the core handles.
            metrics::counter!("sentinel_link_queue_full").increment(1);
            tracing::debug!("link queue of {} is full at {now:?}", self.core.facts().address);
        }
    }

    /// An operator wants to know why a master that answers is replaced.
    fn say_emptied(&mut self) {
        let emptied = self.core.facts().emptied_since.is_some();
        if emptied && !self.emptied {
            let (master, address) = (&self.core.assignment().master, &self.core.facts().address);
            tracing::warn!("{master}: the master {address} came back from a restart without any data");
        }
        self.emptied = emptied;
    }

    /// Tells quorum and failover the newest facts.
    fn report(&mut self) {
        if !self.unsent {
            return;
        }
        let name = self.core.assignment().master.clone();
        let facts = || Box::new(self.core.facts().clone());
        let quorum = self
            .ports
            .quorum
            .try_send(ToQuorum(QuorumInput::Instance(name.clone(), facts())));
        let failover = self
            .ports
            .failover
            .try_send(ToFailover(FailoverInput::Instance(name.clone(), facts())));
        let listed = match &self.listed {
            None => Ok(()),
            Some(replicas) => {
                let by = self.core.facts().address.clone();
                self.ports
                    .quorum
                    .try_send(ToQuorum(QuorumInput::Listed(name, by, replicas.clone())))
            }
        };
        if listed.is_ok() {
            self.listed = None;
        }
        self.unsent = quorum.is_err() || failover.is_err() || listed.is_err();
        if self.unsent {
            metrics::counter!("sentinel_mailbox_full").increment(1);
        }
    }
}

/// Lets the links of this thread read what is in their sockets, and hand it over: each turn polls all sockets and runs
/// whoever has something; from the socket to the mailbox it is one turn of the reactor and two tasks.
async fn read_what_arrived() {
    for _ in 0..4 {
        tokio::task::yield_now().await;
    }
}

impl Actor for Monitor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX);
        self.input(MonitorInput::Timer, ctx);
    }
}

impl Handler<Observed> for Monitor {
    type Result = ();

    fn handle(&mut self, message: Observed, ctx: &mut Context<Self>) {
        self.input(message.0, ctx);
    }
}

impl Handler<Assign> for Monitor {
    type Result = ();

    fn handle(&mut self, message: Assign, ctx: &mut Context<Self>) {
        if self.link.change_settings(message.settings) && self.link.disconnect() {
            let (generation, failure) = (self.core.generation(), LinkFailure::Closed);
            self.input(MonitorInput::LinkFailed { generation, failure }, ctx);
        }
        self.input(MonitorInput::Assigned(message.assignment), ctx);
    }
}

impl Handler<ShowFlag> for Monitor {
    type Result = ();

    fn handle(&mut self, message: ShowFlag, _: &mut Context<Self>) {
        self.flag = message.0;
        self.cell.store(Arc::new(instance_view(&self.core, self.flag)));
    }
}

impl Handler<Stop> for Monitor {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}

/// What clients see of the instance.
#[must_use]
pub fn instance_view(core: &MonitorCore, reconf_flag: Option<&'static str>) -> InstanceView {
    let facts = core.facts();
    let report = facts.report.as_ref();
    let link_up = report.is_some_and(|r| r.link == sentinel_core::instance::ReplicationLink::Up);
    InstanceView {
        address: facts.address.clone(),
        connected: facts.connected,
        pending: u32::from(core.pending_since().is_some()),
        ping_pending_since: core.pending_since(),
        last_ok: facts.last_ok,
        last_reply: core.last_reply(),
        sdown_since: facts.sdown_since,
        class: facts.class,
        class_since: facts.class_since,
        role: report.map_or(core.assignment().role, |r| r.role),
        role_since: report.map_or(facts.class_since, |r| r.role_since),
        info_at: core.info_at(),
        info_text: core.info_text().cloned(),
        run_id: facts.run_id.clone(),
        master_link_up: report.is_some_and(|r| r.role == ReportedRole::Replica) && link_up,
        master_link_down_ms: report.map_or(0, |r| r.link_down_ms),
        follows: core.followed_raw().cloned(),
        priority: facts.priority,
        offset: report.map_or(0, |r| r.offset),
        announced: core.announced(),
        rebooting: facts.rebooting_since.is_some(),
        script_kill_sent: facts.script_kill_sent,
        reconf_flag,
    }
}
