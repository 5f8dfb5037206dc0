//! The tree: starts and stops monitors as the committed topology changes, and routes what concerns a group to them.
//!
//! Mailbox 8192 (applied states are never dropped: the gateway awaits delivery). A panic anywhere aborts the process
//! (see `main.rs`), so there is nothing to restart.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use actix::{Actor, Addr, Context, Handler, Recipient};
use arc_swap::ArcSwap;
use futures::FutureExt;
use sentinel_core::failover::FailoverInput;
use sentinel_core::monitor::{Assignment, MonitorCore, MonitorInput};
use sentinel_core::quorum::QuorumInput;
use sentinel_core::replicated::{Group, State};
use sentinel_proto::event::{Event, InstanceRef};
use sentinel_proto::info::ReportedRole;
use sentinel_proto::{HostPort, MasterName};
use tokio::runtime::Handle;

use super::messages::{
    Assign, LinkChanged, Observed, ShowFlag, StateApplied, Stop, ToFailover, ToQuorum, ToSupervisor,
};
use super::monitor::{Monitor, MonitorPorts, instance_view};
use crate::clock::SharedClock;
use crate::net::hello::{Failed, Heard, HelloLink};
use crate::net::link::{Deliver, LinkHandle, LinkSettings};
use crate::net::outgoing::Outgoing;
use crate::view::{InstanceKey, InstanceView, NodeView};

/// Messages that may wait.
pub const MAILBOX: usize = 8192;

/// What the supervisor needs to start monitors.
pub struct SupervisorParts {
    /// Clock of the process.
    pub clock: SharedClock,
    /// Runtime of the links' tasks.
    pub runtime: Handle,
    /// Snapshots.
    pub view: Arc<NodeView>,
    /// Where monitors report.
    pub ports: MonitorPorts,
    /// Links for operations.
    pub links: Recipient<LinkChanged>,
    /// Source address and TLS of the links.
    pub outgoing: Outgoing,
}

struct Child {
    monitor: Addr<Monitor>,
    assignment: Assignment,
    settings: LinkSettings,
    incarnation: u64,
}

/// The actor.
pub struct Supervisor {
    parts: SupervisorParts,
    state: Arc<State>,
    children: BTreeMap<InstanceKey, Child>,
    attention: BTreeMap<MasterName, bool>,
    /// Listeners for classic sentinels, by group; `None` = wanted, its group is not known yet.
    listeners: BTreeMap<MasterName, Option<HelloLink>>,
    /// Snapshots of the children, published as a whole when the topology changed.
    cells: BTreeMap<InstanceKey, Arc<ArcSwap<InstanceView>>>,
}

impl Supervisor {
    /// A supervisor without children; they come with the first applied state.
    #[must_use]
    pub fn new(parts: SupervisorParts) -> Self {
        Self {
            parts,
            state: Arc::default(),
            children: BTreeMap::new(),
            attention: BTreeMap::new(),
            listeners: BTreeMap::new(),
            cells: BTreeMap::new(),
        }
    }

    fn adopt(&mut self, state: Arc<State>) {
        let before = std::mem::replace(&mut self.state, Arc::clone(&state));
        let mut topology = false;
        for group in state.groups_changed_since(&before) {
            topology |= self.reconcile(group);
        }
        let gone: Vec<InstanceKey> = self
            .children
            .iter()
            .filter(|((name, address), child)| !belongs(&state, name, address, child.incarnation))
            .map(|(key, _)| key.clone())
            .collect();
        for key in &gone {
            self.stop(key);
        }
        self.attention.retain(|name, _| state.groups.contains_key(name));
        self.listeners.retain(|name, _| state.groups.contains_key(name));
        if topology || !gone.is_empty() {
            self.parts.view.instances.store(Arc::new(self.cells.clone()));
        }
    }

    /// Starts or re-assigns the monitors of one group. Returns whether any is new.
    fn reconcile(&mut self, group: &Group) -> bool {
        let mut started = false;
        let addresses = std::iter::once(&group.address).chain(group.replicas.keys());
        let members: Arc<BTreeSet<HostPort>> = Arc::new(addresses.cloned().collect());
        for address in members.iter() {
            let key = (group.name.clone(), address.clone());
            let assignment = self.assignment(group, &members, address);
            let settings = LinkSettings::new(
                address.clone(),
                &group.options,
                &self.parts.view.myid,
                &self.parts.outgoing,
            );
            match self.children.get_mut(&key) {
                Some(child) if child.incarnation == group.incarnation => {
                    if child.assignment != assignment || child.settings != settings {
                        child.assignment = assignment.clone();
                        child.settings = settings.clone();
                        deliver(&child.monitor, Assign { assignment, settings });
                    }
                }
                _ => {
                    self.stop(&key);
                    self.start(key, group.incarnation, assignment, settings);
                    started = true;
                }
            }
        }
        self.listen(group);
        started
    }

    /// Makes sure that the listener of a group, if there is to be one, listens on its present master.
    fn listen(&mut self, group: &Group) {
        let settings = LinkSettings::new(
            group.address.clone(),
            &group.options,
            &self.parts.view.myid,
            &self.parts.outgoing,
        );
        let Some(listener) = self.listeners.get_mut(&group.name) else {
            return;
        };
        if listener.as_ref().is_some_and(|l| l.uses(&settings)) {
            return;
        }
        let quorum = self.parts.ports.quorum.clone();
        let name = group.name.clone();
        let heard: Heard = Arc::new(move |hello| {
            let hello = QuorumInput::Hello(name.clone(), hello);
            if quorum.try_send(ToQuorum(hello)).is_err() {
                metrics::counter!("sentinel_mailbox_full").increment(1);
            }
        });
        let (events, master) = (
            Arc::clone(&self.parts.ports.events),
            InstanceRef::master(&group.name, &group.address),
        );
        let failed: Failed = Arc::new(move |why| events(Event::link_failed(&master, true, why)));
        *listener = Some(HelloLink::start(settings, &self.parts.runtime, heard, failed));
    }

    fn assignment(&self, group: &Group, members: &Arc<BTreeSet<HostPort>>, address: &HostPort) -> Assignment {
        let role = if *address == group.address {
            ReportedRole::Master
        } else {
            ReportedRole::Replica
        };
        Assignment {
            master: group.name.clone(),
            master_address: group.address.clone(),
            role,
            config_epoch: group.config_epoch,
            down_after_ms: group.options.down_after_ms,
            crash_down_after_ms: group.options.crash_down_after_ms,
            reboot_down_after_ms: group.options.master_reboot_down_after_ms,
            group: Arc::clone(members),
            lineage: Arc::clone(&group.lineage),
            attention: self.attention.get(&group.name).copied().unwrap_or(false),
        }
    }

    fn start(&mut self, key: InstanceKey, incarnation: u64, assignment: Assignment, settings: LinkSettings) {
        let now = self.parts.clock.mono();
        let core = MonitorCore::new(key.1.clone(), assignment.clone(), now);
        let cell = Arc::new(ArcSwap::from_pointee(instance_view(&core, None)));
        self.cells.insert(key.clone(), Arc::clone(&cell));

        let (clock, ports) = (Arc::clone(&self.parts.clock), self.parts.ports.clone());
        let links = self.parts.links.clone();
        let (initial, target) = (settings.clone(), key.clone());
        let monitor = Monitor::create(move |ctx| {
            let address = actix::AsyncContext::address(ctx);
            let sink: Deliver = Arc::new(move |input: MonitorInput| {
                // A monitor that has ended needs no more news.
                address.send(Observed(input)).map(|_| ()).boxed()
            });
            // On this thread: what delays a reply, delays the judge of its absence just as long.
            let link = LinkHandle::start(initial, &Handle::current(), sink);
            let change = LinkChanged {
                master: target.0,
                address: target.1,
                link: Some(link.clone()),
            };
            if links.try_send(change).is_err() {
                metrics::counter!("sentinel_mailbox_full").increment(1);
            }
            Monitor::new(core, clock, link, ports, cell)
        });
        self.children.insert(
            key,
            Child {
                monitor,
                assignment,
                settings,
                incarnation,
            },
        );
    }

    fn stop(&mut self, key: &InstanceKey) {
        let Some(child) = self.children.remove(key) else {
            return;
        };
        self.cells.remove(key);
        deliver(&child.monitor, Stop);
        let (name, address) = key.clone();
        let quorum = QuorumInput::InstanceGone(name.clone(), address.clone());
        let failover = FailoverInput::InstanceGone(name.clone(), address.clone());
        let change = LinkChanged {
            master: name,
            address,
            link: None,
        };
        let sent = [
            self.parts.ports.quorum.try_send(ToQuorum(quorum)).is_ok(),
            self.parts.ports.failover.try_send(ToFailover(failover)).is_ok(),
            self.parts.links.try_send(change).is_ok(),
        ];
        if sent.contains(&false) {
            metrics::counter!("sentinel_mailbox_full").increment(1);
        }
    }
}

fn belongs(state: &State, name: &MasterName, address: &HostPort, incarnation: u64) -> bool {
    state.groups.get(name).is_some_and(|group| {
        group.incarnation == incarnation
            && (group.address == *address || group.replicas.contains_key(address))
    })
}

/// Tells a child. Its mailbox is only full when it is far behind with probes; assignments are rare and must arrive.
fn deliver<M>(monitor: &Addr<Monitor>, message: M)
where
    M: actix::Message + Send + 'static,
    M::Result: Send,
    Monitor: Handler<M>,
{
    let sending = monitor.send(message);
    actix::spawn(async move {
        // A monitor that has ended needs no more news.
        let _ = sending.await;
    });
}

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX);
    }
}

impl Handler<StateApplied> for Supervisor {
    type Result = ();

    fn handle(&mut self, message: StateApplied, _: &mut Context<Self>) {
        self.adopt(message.state);
    }
}

impl Handler<ToSupervisor> for Supervisor {
    type Result = ();

    fn handle(&mut self, message: ToSupervisor, _: &mut Context<Self>) {
        match message {
            ToSupervisor::Attention(name, on) => {
                self.attention.insert(name.clone(), on);
                if let Some(group) = self.state.groups.get(&name).cloned() {
                    self.reconcile(&group);
                }
            }
            ToSupervisor::Listen(name, false) => {
                self.listeners.remove(&name);
            }
            ToSupervisor::Listen(name, true) => {
                self.listeners.entry(name.clone()).or_default();
                if let Some(group) = self.state.groups.get(&name).cloned() {
                    self.listen(&group);
                }
            }
            ToSupervisor::ReplicaFlag(name, address, flag) => {
                if let Some(child) = self.children.get(&(name, address)) {
                    deliver(&child.monitor, ShowFlag(flag));
                }
            }
        }
    }
}
