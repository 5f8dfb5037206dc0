//! Whole transcripts, as the log of a node shows them: mark of the level, name, payload.

use super::*;
use sentinel_core::replicated::{Command, GroupOptions, OptionChange, Outcome, PlanCause, apply};
use sentinel_proto::{SentinelId, WallTime};

const EXECUTOR: NodeId = NodeId(1);
const OBSERVER: NodeId = NodeId(2);

fn at(port: u16) -> HostPort {
    HostPort::new("127.0.0.1", port)
}

fn name() -> MasterName {
    MasterName::new("redis-master-node").unwrap()
}

/// A node that applies commands and keeps what each of two nodes would log.
struct Transcript {
    state: State,
    executor: Vec<String>,
    observer: Vec<String>,
}

impl Transcript {
    fn new() -> Self {
        Self {
            state: State::default(),
            executor: Vec::new(),
            observer: Vec::new(),
        }
    }

    fn apply(&mut self, command: &Command) -> &mut Self {
        let before = self.state.clone();
        let (outcome, changes) = apply(&mut self.state, before.last_applied + 1, command);
        assert_eq!(outcome, Outcome::Done, "{command:?}");
        let lines = |me: NodeId| -> Vec<String> {
            let all = changes.iter().flat_map(|c| events(c, &before, &self.state, me));
            all.map(|e| format!("{} {e}", e.level.mark())).collect()
        };
        self.executor.extend(lines(EXECUTOR));
        self.observer.extend(lines(OBSERVER));
        self
    }

    /// Forgets what was logged so far.
    fn fresh(&mut self) -> &mut Self {
        self.executor.clear();
        self.observer.clear();
        self
    }
}

fn member(n: u8, port: u16) -> Command {
    Command::SetMember {
        node: NodeId(n.into()),
        myid: SentinelId::from_bytes([n; 20]),
        address: at(port),
    }
}

fn monitor(master: MasterName) -> Command {
    Command::Monitor {
        master,
        address: at(6379),
        options: GroupOptions::with_quorum(2),
        at: WallTime(1),
    }
}

fn replicas(ports: &[u16]) -> Command {
    Command::AddReplicas {
        master: name(),
        listed_by: at(6379),
        replicas: ports.iter().map(|p| at(*p)).collect(),
        at: WallTime(1),
    }
}

fn open(choice: Option<u16>) -> Command {
    Command::OpenFailover {
        master: name(),
        config_epoch: 0,
        failover_epoch: 1,
        executor: EXECUTOR,
        cause: PlanCause::ObjectivelyDown {
            agreeing: 2,
            odown_quorum: 2,
        },
        evidence: Vec::new(),
        before: Vec::new(),
        choice: choice.map(|port| (at(port), Vec::new())),
        at: WallTime(2),
    }
}

fn choose(port: u16, executor_generation: u32) -> Command {
    Command::Choose {
        master: name(),
        failover_epoch: 1,
        executor_generation,
        replica: at(port),
        failed: None,
        refused: Vec::new(),
        at: WallTime(3),
    }
}

fn switch(port: u16) -> Command {
    Command::Switch {
        master: name(),
        failover_epoch: 1,
        address: at(port),
        steps: Vec::new(),
        at: WallTime(4),
    }
}

fn close(outcome: PlanOutcome) -> Command {
    Command::Close {
        master: name(),
        failover_epoch: 1,
        outcome,
        loss_bound_bytes: None,
        at: WallTime(5),
    }
}

fn reference() -> Transcript {
    let mut t = Transcript::new();
    t.apply(&member(1, 16379))
        .apply(&member(2, 16380))
        .apply(&monitor(name()))
        .apply(&replicas(&[6380, 6381]));
    t
}

#[track_caller]
fn assert_lines(lines: &[String], golden: &str) {
    let golden: Vec<&str> = golden.trim().lines().map(str::trim).collect();
    assert_eq!(lines, golden, "\ngot:\n{}\n", lines.join("\n"));
}

#[test]
fn a_first_start_reads_as_in_sentinel() {
    assert_lines(
        &reference().executor,
        "# +monitor master redis-master-node 127.0.0.1 6379 quorum 2
         * +sentinel sentinel 0202020202020202020202020202020202020202 127.0.0.1 16380 @ redis-master-node 127.0.0.1 6379
         * +slave slave 127.0.0.1:6380 127.0.0.1 6380 @ redis-master-node 127.0.0.1 6379
         * +slave slave 127.0.0.1:6381 127.0.0.1 6381 @ redis-master-node 127.0.0.1 6379",
    );
}

#[test]
fn a_failover_reads_as_the_leaders_and_a_followers_log() {
    let mut t = reference();
    t.fresh()
        .apply(&open(None))
        .apply(&choose(6380, 1))
        .apply(&switch(6380))
        .apply(&close(PlanOutcome::Done));
    assert_lines(
        &t.executor,
        "# +new-epoch 1
         # +try-failover master redis-master-node 127.0.0.1 6379
         # +vote-for-leader 0101010101010101010101010101010101010101 1
         # +elected-leader master redis-master-node 127.0.0.1 6379
         # +failover-state-select-slave master redis-master-node 127.0.0.1 6379
         # +selected-slave slave 127.0.0.1:6380 127.0.0.1 6380 @ redis-master-node 127.0.0.1 6379
         * +failover-state-send-slaveof-noone slave 127.0.0.1:6380 127.0.0.1 6380 @ redis-master-node 127.0.0.1 6379
         # +promoted-slave slave 127.0.0.1:6380 127.0.0.1 6380 @ redis-master-node 127.0.0.1 6379
         # +switch-master redis-master-node 127.0.0.1 6379 127.0.0.1 6380
         * +slave slave 127.0.0.1:6381 127.0.0.1 6381 @ redis-master-node 127.0.0.1 6380
         * +slave slave 127.0.0.1:6379 127.0.0.1 6379 @ redis-master-node 127.0.0.1 6380
         # +failover-state-reconf-slaves master redis-master-node 127.0.0.1 6380
         # +failover-end master redis-master-node 127.0.0.1 6380",
    );
    assert_lines(
        &t.observer,
        "# +new-epoch 1
         # +vote-for-leader 0101010101010101010101010101010101010101 1
         # +config-update-from sentinel 0101010101010101010101010101010101010101 127.0.0.1 16379 @ redis-master-node 127.0.0.1 6379
         # +switch-master redis-master-node 127.0.0.1 6379 127.0.0.1 6380
         * +slave slave 127.0.0.1:6381 127.0.0.1 6381 @ redis-master-node 127.0.0.1 6380
         * +slave slave 127.0.0.1:6379 127.0.0.1 6379 @ redis-master-node 127.0.0.1 6380",
    );
}

#[test]
fn a_choice_that_came_with_the_opening_reads_the_same() {
    let (mut one, mut two) = (reference(), reference());
    one.fresh().apply(&open(Some(6380)));
    two.fresh().apply(&open(None)).apply(&choose(6380, 1));
    assert_eq!(one.executor, two.executor);
    assert_eq!(one.observer, two.observer);
}

#[test]
fn a_new_executor_says_where_it_takes_over() {
    let reassign = Command::Reassign {
        master: name(),
        failover_epoch: 1,
        executor_generation: 1,
        executor: OBSERVER,
        at: WallTime(3),
    };
    let mut t = reference();
    t.apply(&open(Some(6380)))
        .fresh()
        .apply(&reassign)
        .apply(&switch(6380))
        .apply(&close(PlanOutcome::DoneForTimeout));
    assert_lines(
        &t.observer,
        "# +vote-for-leader 0202020202020202020202020202020202020202 1
         # +elected-leader master redis-master-node 127.0.0.1 6379
         * +failover-state-send-slaveof-noone slave 127.0.0.1:6380 127.0.0.1 6380 @ redis-master-node 127.0.0.1 6379
         # +promoted-slave slave 127.0.0.1:6380 127.0.0.1 6380 @ redis-master-node 127.0.0.1 6379
         # +switch-master redis-master-node 127.0.0.1 6379 127.0.0.1 6380
         * +slave slave 127.0.0.1:6381 127.0.0.1 6381 @ redis-master-node 127.0.0.1 6380
         * +slave slave 127.0.0.1:6379 127.0.0.1 6379 @ redis-master-node 127.0.0.1 6380
         # +failover-state-reconf-slaves master redis-master-node 127.0.0.1 6380
         # +failover-end-for-timeout master redis-master-node 127.0.0.1 6380
         # +failover-end master redis-master-node 127.0.0.1 6380",
    );
    assert_lines(
        &t.executor,
        "# +vote-for-leader 0202020202020202020202020202020202020202 1
         # +config-update-from sentinel 0202020202020202020202020202020202020202 127.0.0.1 16380 @ redis-master-node 127.0.0.1 6379
         # +switch-master redis-master-node 127.0.0.1 6379 127.0.0.1 6380
         * +slave slave 127.0.0.1:6381 127.0.0.1 6381 @ redis-master-node 127.0.0.1 6380
         * +slave slave 127.0.0.1:6379 127.0.0.1 6379 @ redis-master-node 127.0.0.1 6380",
    );
}

#[test]
fn each_way_to_give_up_has_its_event_on_the_executor_only() {
    let cases = [
        (PlanOutcome::NoGoodReplica, "-failover-abort-no-good-slave"),
        (PlanOutcome::ReplicaTimeout, "-failover-abort-slave-timeout"),
        (PlanOutcome::RevokeTimeout, "-failover-abort-master-timeout"),
        (PlanOutcome::MasterReturned, "-failover-abort-not-elected"),
    ];
    for (outcome, event) in cases {
        let mut t = reference();
        t.apply(&open(None)).fresh().apply(&close(outcome));
        assert_lines(
            &t.executor,
            &format!("# {event} master redis-master-node 127.0.0.1 6379"),
        );
        assert!(t.observer.is_empty());
    }
}

#[test]
fn administration_is_told_by_every_node() {
    let second = MasterName::new("second").unwrap();
    let mut t = reference();
    t.apply(&monitor(second.clone())).fresh();
    t.apply(&Command::SetOptions {
        master: name(),
        changes: vec![
            OptionChange::DownAfterMs(500),
            OptionChange::AuthPass(Some("hush".to_owned())),
        ],
    });
    t.apply(&Command::SetAddress {
        master: second.clone(),
        address: at(7000),
        expected: at(6379),
    });
    t.apply(&member(3, 16381))
        .apply(&member(3, 17000))
        .apply(&Command::Remove { master: second });
    let golden = "# +set master redis-master-node 127.0.0.1 6379 down-after-milliseconds 500
         # +set master redis-master-node 127.0.0.1 6379 auth-pass ******
         # +switch-master second 127.0.0.1 6379 127.0.0.1 7000
         * +sentinel sentinel 0303030303030303030303030303030303030303 127.0.0.1 16381 @ redis-master-node 127.0.0.1 6379
         * +sentinel sentinel 0303030303030303030303030303030303030303 127.0.0.1 16381 @ second 127.0.0.1 7000
         * +sentinel-address-switch master redis-master-node 127.0.0.1 6379 ip 127.0.0.1 port 17000 for 0303030303030303030303030303030303030303
         * +sentinel-address-update sentinel 0303030303030303030303030303030303030303 127.0.0.1 17000 @ redis-master-node 127.0.0.1 6379 1 additional matching instances
         # -monitor master second 127.0.0.1 7000";
    assert_lines(&t.executor, golden);
    assert_lines(&t.observer, golden);
    t.fresh().apply(&Command::Reset {
        masters: vec![name()],
    });
    assert_eq!(
        t.executor[0],
        "# +reset-master master redis-master-node 127.0.0.1 6379"
    );
}

#[test]
fn a_node_does_not_announce_itself() {
    let mut t = Transcript::new();
    t.apply(&monitor(name()))
        .fresh()
        .apply(&member(1, 16379))
        .apply(&member(1, 17000));
    assert!(t.executor.is_empty());
    assert_eq!(t.observer.len(), 2);
}

#[test]
fn start_and_sentinels_down() {
    let t = reference();
    let lines = |events: Vec<Event>| -> Vec<String> {
        events.iter().map(|e| format!("{} {e}", e.level.mark())).collect()
    };
    assert_lines(
        &lines(startup_events(&t.state)),
        "# +monitor master redis-master-node 127.0.0.1 6379 quorum 2",
    );
    assert_lines(
        &lines(sentinel_sdown(&t.state.members[&OBSERVER], true, &t.state)),
        "# +sdown sentinel 0202020202020202020202020202020202020202 127.0.0.1 16380 @ redis-master-node 127.0.0.1 6379",
    );
}
