use std::collections::BTreeMap;

use sentinel_core::replicated::{Command, GroupOptions, Outcome, PlanCause, apply};
use sentinel_proto::{HostPort, MasterName, SentinelId, WallTime};

use super::*;

const ME: NodeId = NodeId(1);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    /// An event, and the index that the view showed when it was published.
    Event(String, u64),
    /// A call of the client-reconfig script.
    Script(String),
    Supervisor(u64),
    Quorum(u64),
    Failover(u64),
    Raft(bool, bool),
}

type Log = mpsc::UnboundedSender<Seen>;

/// Stands for all three actors.
struct Fake(Log);

impl Actor for Fake {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(1);
    }
}

impl Handler<StateApplied> for Fake {
    type Result = ();
    fn handle(&mut self, message: StateApplied, _: &mut Self::Context) {
        let _ = self.0.send(Seen::Supervisor(message.index));
    }
}

impl Handler<ToQuorum> for Fake {
    type Result = ();
    fn handle(&mut self, ToQuorum(input): ToQuorum, _: &mut Self::Context) {
        let _ = self.0.send(match input {
            QuorumInput::State(state) => Seen::Quorum(state.last_applied),
            QuorumInput::Raft {
                is_raft_leader,
                has_majority,
            } => Seen::Raft(is_raft_leader, has_majority),
            other => panic!("{other:?}"),
        });
    }
}

impl Handler<ToFailover> for Fake {
    type Result = ();
    fn handle(&mut self, ToFailover(input): ToFailover, _: &mut Self::Context) {
        if let FailoverInput::State(state) = input {
            let _ = self.0.send(Seen::Failover(state.last_applied));
        }
    }
}

fn at(port: u16) -> HostPort {
    HostPort::new("127.0.0.1", port)
}

fn name() -> MasterName {
    MasterName::new("m").unwrap()
}

/// A log of entries as raft-store hands them out.
#[derive(Default)]
struct Entries {
    state: State,
    all: Vec<Applied>,
}

impl Entries {
    fn add(&mut self, command: &Command) -> &mut Self {
        let index = self.state.last_applied + 1;
        let (outcome, changes) = apply(&mut self.state, index, command);
        assert_eq!(outcome, Outcome::Done);
        self.all.push(Applied {
            index,
            state: Arc::new(self.state.clone()),
            changes,
            replayed: false,
        });
        self
    }

    fn reference() -> Self {
        let mut entries = Self::default();
        let myid = SentinelId::from_bytes([1; 20]);
        entries.add(&Command::SetMember {
            node: ME,
            myid,
            address: at(26379),
        });
        entries.add(&Command::Monitor {
            master: name(),
            address: at(6379),
            options: GroupOptions::with_quorum(1),
            at: WallTime(1),
        });
        entries.add(&Command::AddReplicas {
            master: name(),
            listed_by: at(6379),
            replicas: vec![at(6380)],
            at: WallTime(1),
        });
        entries.add(&Command::OpenFailover {
            master: name(),
            config_epoch: 0,
            failover_epoch: 1,
            executor: ME,
            cause: PlanCause::Forced,
            evidence: Vec::new(),
            before: Vec::new(),
            choice: Some((at(6380), Vec::new())),
            at: WallTime(2),
        });
        entries.add(&Command::Switch {
            master: name(),
            failover_epoch: 1,
            address: at(6380),
            steps: Vec::new(),
            at: WallTime(3),
        });
        entries
    }
}

/// Runs a gateway over these entries and returns all that was seen.
fn run(recovered: State, entries: Vec<Applied>) -> Vec<Seen> {
    actix::System::new().block_on(async move {
        let (log, mut seen) = mpsc::unbounded_channel();
        let myid = SentinelId::from_bytes([1; 20]);
        let view = Arc::new(NodeView::new(ME, myid, Arc::default()));
        let fake = || Fake(log.clone()).start();
        let (shown, events, calls) = (Arc::clone(&view), log.clone(), log.clone());
        let ports = GatewayPorts {
            supervisor: fake().recipient(),
            quorum: fake().recipient(),
            failover: fake().recipient(),
            events: Arc::new(move |event| {
                let _ = events.send(Seen::Event(event.to_string(), shown.state.load().last_applied));
            }),
            reconfigured: Arc::new(move |call| {
                let _ = calls.send(Seen::Script(call.argv("/s".to_owned()).join(" ")));
            }),
        };
        let gateway = Gateway {
            view: Arc::clone(&view),
            ports,
            published: Arc::new(recovered),
        }
        .start();
        let (tx, rx) = mpsc::channel(1);
        let forwarder = tokio::spawn(forward_entries(rx, gateway.recipient()));
        for entry in entries {
            tx.send(entry).await.unwrap();
        }
        drop(tx);
        forwarder.await.unwrap();
        let mut all = Vec::new();
        while let Ok(one) = seen.try_recv() {
            all.push(one);
        }
        all
    })
}

fn events(seen: &[Seen]) -> Vec<&str> {
    let text = |s: &'_ Seen| matches!(s, Seen::Event(..));
    let all = seen.iter().filter(|s| text(s));
    all.map(|s| {
        if let Seen::Event(text, _) = s {
            text.as_str()
        } else {
            ""
        }
    })
    .collect()
}

#[test]
fn the_view_is_swapped_before_the_events_and_the_actors_come_last() {
    let entries = Entries::reference().all;
    let seen = run(State::default(), entries);
    let switched = seen
        .iter()
        .position(|s| matches!(s, Seen::Event(e, _) if e.starts_with("+switch-master")))
        .unwrap();
    assert_eq!(
        seen[switched],
        Seen::Event("+switch-master m 127.0.0.1 6379 127.0.0.1 6380".to_owned(), 5)
    );
    let scripts: Vec<&Seen> = seen.iter().filter(|s| matches!(s, Seen::Script(_))).collect();
    let call = "/s m leader start 127.0.0.1 6379 127.0.0.1 6380";
    assert_eq!(scripts, [&Seen::Script(call.to_owned())]);
    for (i, one) in seen.iter().enumerate() {
        if let Seen::Supervisor(5) | Seen::Quorum(5) | Seen::Failover(5) = one {
            assert!(i > switched, "{one:?} before the event");
        }
    }
}

#[test]
fn no_entry_is_lost_or_reordered_with_the_smallest_mailboxes() {
    let mut entries = Entries::default();
    for i in 0..500u16 {
        let myid = SentinelId::from_bytes([2; 20]);
        entries.add(&Command::SetMember {
            node: NodeId(2),
            myid,
            address: at(i + 1),
        });
    }
    let mut told: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for one in run(State::default(), entries.all) {
        match one {
            Seen::Supervisor(i) => told.entry("supervisor").or_default().push(i),
            Seen::Quorum(i) => told.entry("quorum").or_default().push(i),
            Seen::Failover(i) => told.entry("failover").or_default().push(i),
            _ => {}
        }
    }
    for (who, indexes) in told {
        assert!(indexes.iter().copied().eq(1..=500), "{who}: {indexes:?}");
    }
}

#[test]
fn a_replay_publishes_nothing_but_the_masters_of_the_recovered_state() {
    let mut entries = Entries::reference().all;
    let after = entries.split_off(4);
    for entry in &mut entries {
        entry.replayed = true;
    }
    assert!(events(&run(State::default(), entries.clone())).is_empty());
    let recovered = State::clone(&entries[3].state);
    let seen = run(recovered, after);
    let events = events(&seen);
    assert_eq!(events[0], "+monitor master m 127.0.0.1 6379 quorum 1");
    assert_eq!(
        events.iter().filter(|e| e.starts_with("+switch-master")).count(),
        1
    );
}

#[test]
fn a_snapshot_that_skips_a_switch_still_tells_the_clients() {
    let entries = Entries::reference();
    let (before, last) = (entries.all[3].state.clone(), entries.all[4].clone());
    let snapshot = Applied {
        changes: Vec::new(),
        replayed: true,
        ..last
    };
    let seen = run(State::clone(&before), vec![snapshot]);
    assert_eq!(
        events(&seen)[1..],
        [
            "+switch-master m 127.0.0.1 6379 127.0.0.1 6380",
            "+slave slave 127.0.0.1:6379 127.0.0.1 6379 @ m 127.0.0.1 6380"
        ]
    );
}

#[test]
fn the_raft_role_reaches_the_view_and_the_actors() {
    let seen = actix::System::new().block_on(async {
        let (log, mut seen) = mpsc::unbounded_channel();
        let view = Arc::new(NodeView::new(ME, SentinelId::from_bytes([1; 20]), Arc::default()));
        let fake = || Fake(log.clone()).start();
        let ports = GatewayPorts {
            supervisor: fake().recipient(),
            quorum: fake().recipient(),
            failover: fake().recipient(),
            events: Arc::new(|_| {}),
            reconfigured: Arc::new(|_| {}),
        };
        let gateway = Gateway {
            view: Arc::clone(&view),
            ports,
            published: Arc::default(),
        }
        .start();
        let status = RaftStatus {
            role: raft_store::RaftRole::Leader,
            node: ME,
            raft_leader: Some(ME),
            raft_term: 1,
            last_log: 1,
            committed: 1,
            applied: 1,
            snapshot: 0,
            voters: Default::default(),
            learners: Default::default(),
            quorum_ack_age_ms: None,
            failed: None,
            unreachable: Default::default(),
            has_majority: true,
        };
        gateway.send(Status(status)).await.unwrap();
        assert!(view.has_majority.load(Ordering::Relaxed));
        seen.recv().await
    });
    assert_eq!(seen, Some(Seen::Raft(true, true)));
}
