//! One node against a model log (commits at once) and model Redis servers. Output is Sentinel event lines.

use std::fmt::Write as _;

use sentinel_proto::info::InstanceReport;
use sentinel_proto::role::{ReplicaLink, RoleReport};

#[path = "coordinated_tests.rs"]
mod coordinated;

use super::*;
use crate::fixture::{at, name, options, three_nodes};
use crate::instance::{InstanceFacts, ReplicationLink, Report, ReportedRole};
use crate::lineage::{Kinship, Sign};
use crate::replicated::{Group, Outcome, PlanOutcome, apply};

#[path = "reconf_tests.rs"]
mod reconf;
#[path = "settle_tests.rs"]
mod settle;

#[derive(Clone, Debug)]
struct Server {
    up: bool,
    follows: Option<HostPort>,
    offset: i64,
    paused: bool,
    refuses: Option<&'static str>,
    kinship: Kinship,
    /// `FAILOVER TO` is waiting for this replica.
    handing_to: Option<HostPort>,
    /// Does what `FAILOVER TO` asks at once; else it waits.
    hands_over: bool,
    /// Does what it is told, but the answer is lost.
    is_mute: bool,
}

struct World {
    core: FailoverCore,
    state: State,
    now: MonoTime,
    servers: BTreeMap<HostPort, Server>,
    transcript: String,
    commits: bool,
    crashed: Option<Crash>,
    /// Reconf flags shown now.
    flags: BTreeMap<HostPort, &'static str>,
    /// Runs before each operation: a fault at that moment.
    before: Option<fn(&mut World, &HostPort, &Operation)>,
}

const ME: NodeId = NodeId(1);
const OTHER: NodeId = NodeId(2);

impl World {
    fn new() -> Self {
        let state = three_nodes(options());
        let server = |follows| Server {
            up: true,
            follows,
            offset: 100,
            paused: false,
            refuses: None,
            kinship: Kinship::Ours,
            handing_to: None,
            hands_over: true,
            is_mute: false,
        };
        let servers = BTreeMap::from([
            (at(6379), server(None)),
            (at(6380), server(Some(at(6379)))),
            (at(6381), server(Some(at(6379)))),
        ]);
        let now = MonoTime(1_000_000);
        // Long ago: what the files of the sentinels know is in the log.
        let begun = MonoTime(now.0 - crate::settle::SETTLE_MS);
        let core = FailoverCore::new(ME, Arc::new(state.clone()), begun);
        let mut world = Self {
            core,
            state,
            now,
            servers,
            transcript: String::new(),
            commits: true,
            crashed: None,
            before: None,
            flags: BTreeMap::new(),
        };
        world.input(FailoverInput::Raft {
            is_raft_leader: true,
            has_majority: true,
        });
        world.input(FailoverInput::Peers(BTreeSet::from([OTHER, NodeId(3)])));
        world.probe();
        world
    }

    fn commit(&mut self, command: &Command) -> bool {
        let index = self.state.last_applied + 1;
        let (outcome, _) = apply(&mut self.state, index, command);
        let _ = writeln!(self.transcript, "  {}", summary(command, &outcome));
        self.input(FailoverInput::State(Arc::new(self.state.clone())));
        outcome == Outcome::Done
    }

    fn open(&mut self, executor: NodeId, forced: bool, choice: Option<HostPort>) {
        let cause = if forced {
            PlanCause::Forced
        } else {
            PlanCause::ObjectivelyDown {
                agreeing: 2,
                odown_quorum: 2,
            }
        };
        self.open_for(cause, executor, choice);
    }

    fn open_for(&mut self, cause: PlanCause, executor: NodeId, choice: Option<HostPort>) {
        let command = Command::OpenFailover {
            master: name(),
            config_epoch: self.group().config_epoch,
            failover_epoch: self.state.current_epoch + 1,
            executor,
            cause,
            evidence: vec![],
            before: vec![],
            choice: choice.map(|c| (c, vec![])),
            at: WallTime(1),
        };
        assert!(self.commit(&command));
    }

    fn group(&self) -> &Group {
        &self.state.groups[&name()]
    }

    fn input(&mut self, input: FailoverInput) {
        if self.crashed.is_some() {
            return;
        }
        let mut effects = Vec::new();
        self.core
            .step(self.now, WallTime(self.now.0), input, &mut effects);
        for effect in effects {
            match effect {
                FailoverEffect::Crash(crash) => {
                    self.crashed = Some(crash);
                    let _ = writeln!(self.transcript, "crash {crash:?}");
                    return;
                }
                FailoverEffect::Event(event) => {
                    let _ = writeln!(self.transcript, "{event}");
                }
                FailoverEffect::Propose(master, command) => {
                    let accepted = self.commits && self.commit(&command);
                    let answer = accepted.then_some(self.state.last_applied);
                    self.input(FailoverInput::Proposed(master, answer));
                }
                FailoverEffect::Execute {
                    operation,
                    instance,
                    what,
                    guard,
                } => {
                    let result = self.operate(&instance, &what, &guard);
                    self.input(FailoverInput::Operated {
                        operation,
                        master: guard.master,
                        result,
                    });
                }
                FailoverEffect::ReplicaFlag(_, replica, Some(flag)) => {
                    self.flags.insert(replica, flag);
                }
                FailoverEffect::ReplicaFlag(_, replica, None) => {
                    self.flags.remove(&replica);
                }
                FailoverEffect::Executing { .. } => {}
            }
        }
    }

    fn operate(&mut self, instance: &HostPort, what: &Operation, guard: &Guard) -> OperationResult {
        if let Some(fault) = self.before {
            fault(self, instance, what);
        }
        if !guard.holds(&self.state) {
            return OperationResult::Denied("stale".into());
        }
        let server = self.servers.get_mut(instance).unwrap();
        if !server.up {
            let _ = writeln!(self.transcript, "  {instance} unreachable");
            return OperationResult::Unreachable("down".into());
        }
        let refusal = server.refuses.filter(|_| is_order(what));
        if let Some(error) = refusal {
            // What comes before FAILOVER in the transaction was done.
            server.paused |= matches!(what, Operation::HandOver { .. });
            let _ = writeln!(self.transcript, "  {instance} refuses");
            return OperationResult::Refused(error.into());
        }
        let text = match what {
            Operation::Promote => {
                // Invariant 3 of DESIGN section 6.
                let plan = self.state.groups[&name()].plan.as_ref().expect("an open plan");
                assert_eq!(plan.executor, ME);
                assert_eq!(
                    plan.phase,
                    Phase::Chosen {
                        replica: instance.clone()
                    }
                );
                server.follows = None;
                "SLAVEOF NO ONE".to_owned()
            }
            Operation::Follow {
                master,
                resume_writes,
            } => {
                server.follows = Some(master.clone());
                server.paused &= !resume_writes;
                format!("SLAVEOF {} {}", master.host, master.port)
            }
            Operation::PauseWrites { .. } => {
                server.paused = true;
                "CLIENT PAUSE".to_owned()
            }
            Operation::KillScript => "SCRIPT KILL".to_owned(),
            Operation::ResumeWrites => {
                server.paused = false;
                "CLIENT UNPAUSE".to_owned()
            }
            Operation::ReadRole => "ROLE".to_owned(),
            Operation::ReadReplication => "INFO".to_owned(),
            Operation::HandOver { .. } | Operation::CallOff | Operation::Release { .. } => {
                match self.hand_over(instance, what) {
                    Ok(text) => text,
                    Err(error) => return OperationResult::Refused(error.to_owned()),
                }
            }
            Operation::CutConnections { of } => format!("CLIENT KILL of {}", of.short()),
        };
        let _ = writeln!(self.transcript, "  {instance} {text}");
        self.servers[instance].answer(what)
    }

    /// Gives the core what its monitors would see now.
    fn probe(&mut self) {
        for (address, server) in self.servers.clone() {
            let mut facts = InstanceFacts::new(address.clone(), self.now);
            facts.connected = server.up;
            facts.kinship = server.kinship;
            facts.sdown_since = (!server.up).then_some(self.now);
            facts.report = Some(Report {
                role: if server.follows.is_none() {
                    ReportedRole::Master
                } else {
                    ReportedRole::Replica
                },
                role_since: self.now,
                link: match &server.follows {
                    Some(master) if self.servers[master].up => ReplicationLink::Up,
                    _ => ReplicationLink::Down,
                },
                follows: server.follows,
                link_down_ms: 0,
                last_io_s: None,
                last_io_at: self.now,
                offset: server.offset as u64,
                offset_at: self.now,
                at: self.now,
            });
            self.input(FailoverInput::Instance(name(), Box::new(facts)));
        }
    }

    /// Lets time pass: a probe each 50 ms, timers when due.
    fn run(&mut self, ms: u64) {
        let end = self.now.plus(ms);
        while self.now < end && self.crashed.is_none() {
            let probe_at = self.now.plus(50);
            let mut guard = 0;
            while let Some(due) = self.core.poll_timeout(self.now).filter(|t| *t < probe_at) {
                guard += 1;
                assert!(guard < 1_000, "busy loop");
                self.now = due.max(self.now.plus(1));
                self.input(FailoverInput::Timer);
            }
            self.now = probe_at;
            self.probe();
        }
    }

    fn lines(&self) -> Vec<&str> {
        self.transcript.lines().collect()
    }
}

fn is_order(what: &Operation) -> bool {
    use Operation::{Follow, HandOver, Promote};
    matches!(what, Promote | HandOver { .. } | Follow { .. })
}

fn role(server: &Server) -> RoleReport {
    match &server.follows {
        None => RoleReport::Master {
            offset: server.offset,
            replicas: vec![],
        },
        Some(master) => RoleReport::Replica {
            master: master.clone(),
            link: ReplicaLink::Connected,
            offset: server.offset,
        },
    }
}

fn summary(command: &Command, outcome: &Outcome) -> String {
    let text = match command {
        Command::OpenFailover { .. } => "open".to_owned(),
        Command::Choose { replica, .. } => format!("choose {replica}"),
        Command::Switch { address, .. } => format!("switch to {address}"),
        Command::Reassign { executor, .. } => format!("reassign to {executor}"),
        Command::Close { outcome, .. } => format!("close {}", outcome.name()),
        other => format!("{other:?}"),
    };
    match outcome {
        Outcome::Done => format!("commit: {text}"),
        Outcome::Rejected(reason) => format!("rejected: {text}: {reason}"),
    }
}

#[test]
fn a_dead_master_is_replaced_and_the_other_replica_follows() {
    let mut world = World::new();
    world.servers.get_mut(&at(6379)).unwrap().up = false;
    world.probe();
    world.open(ME, false, Some(at(6381)));
    world.run(300);
    let expected = "  commit: open
+failover-state-wait-promotion slave 127.0.0.1:6381 127.0.0.1 6381 @ m 127.0.0.1 6379
  127.0.0.1:6381 SLAVEOF NO ONE
  commit: switch to 127.0.0.1:6381
+slave-reconf-sent slave 127.0.0.1:6380 127.0.0.1 6380 @ m 127.0.0.1 6381
  127.0.0.1:6380 SLAVEOF 127.0.0.1 6381
+slave-reconf-inprog slave 127.0.0.1:6380 127.0.0.1 6380 @ m 127.0.0.1 6381
+slave-reconf-done slave 127.0.0.1:6380 127.0.0.1 6380 @ m 127.0.0.1 6381
  commit: close done
";
    // The order of an event and the operation that it announces within one step is that of the effects.
    let normal = |text: &str| {
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        lines.join("\n")
    };
    assert_eq!(
        normal(&world.transcript),
        normal(expected),
        "{}",
        world.transcript
    );
    // A library that wants a plain `slave` would find none.
    assert!(
        world.flags.is_empty(),
        "flags outlive the plan: {:?}",
        world.flags
    );
}

#[test]
fn without_a_choice_at_hand_the_executor_chooses_from_fresh_reports() {
    let mut world = World::new();
    world.servers.get_mut(&at(6379)).unwrap().up = false;
    world.servers.get_mut(&at(6381)).unwrap().offset = 200;
    world.probe();
    world.open(ME, false, None);
    world.run(300);
    assert!(
        world.transcript.contains("commit: choose 127.0.0.1:6381"),
        "{}",
        world.transcript
    );
    assert_eq!(world.group().address, at(6381));
}

#[test]
fn a_replica_that_dies_between_choice_and_promotion_is_given_up_within_a_second() {
    let mut world = World::new();
    world.servers.get_mut(&at(6379)).unwrap().up = false;
    world.probe();
    world.before = Some(|world, instance, what| {
        if *what == Operation::Promote && *instance == at(6380) {
            world.servers.get_mut(instance).unwrap().up = false;
        }
    });
    world.open(ME, false, Some(at(6380)));
    world.run(1_000);
    assert_eq!(world.group().address, at(6381), "{}", world.transcript);
    let failed = &world.group().history.back().map_or_else(
        || world.group().plan.as_ref().unwrap().failed.clone(),
        |closed| closed.plan.failed.clone(),
    );
    assert_eq!(*failed, vec![at(6380)]);
}

#[test]
fn a_replica_that_refuses_the_promotion_is_passed_over() {
    let mut world = World::new();
    world.servers.get_mut(&at(6379)).unwrap().up = false;
    world.servers.get_mut(&at(6380)).unwrap().refuses = Some("NOPERM no permissions");
    world.probe();
    world.open(ME, false, Some(at(6380)));
    world.run(500);
    assert_eq!(world.group().address, at(6381), "{}", world.transcript);
}

#[test]
fn with_nobody_to_promote_the_plan_is_closed_and_the_master_left_alone() {
    let mut world = World::new();
    for port in [6380, 6381] {
        world.servers.get_mut(&at(port)).unwrap().up = false;
    }
    world.probe();
    world.open(ME, false, None);
    world.run(2_000);
    assert_eq!(world.group().history[0].outcome, PlanOutcome::NoGoodReplica);
    assert_eq!(world.group().address, at(6379));
    assert!(!world.transcript.contains("SLAVEOF"), "{}", world.transcript);
}

#[test]
fn a_forced_failover_pauses_waits_for_equal_offsets_and_demotes_at_once() {
    let mut world = World::new();
    world.servers.get_mut(&at(6379)).unwrap().offset = 500;
    world.probe();
    world.before = Some(|world, instance, what| {
        // The replica catches up while writes are paused.
        if *what == Operation::ReadRole {
            let server = world.servers.get_mut(instance).unwrap();
            server.offset = (server.offset + 100).min(500);
        }
        if *what == Operation::Promote {
            assert!(world.servers[&at(6379)].paused, "writes must be paused");
            assert_eq!(world.servers[instance].offset, 500, "nothing may be lost");
        }
    });
    world.open(ME, true, Some(at(6380)));
    world.run(400);
    let lines = world.lines();
    let position = |text: &str| {
        lines
            .iter()
            .position(|l| l.contains(text))
            .unwrap_or_else(|| panic!("{text}: {lines:?}"))
    };
    assert!(position("CLIENT PAUSE") < position("6380 SLAVEOF NO ONE"));
    assert!(position("commit: switch") < position("6379 SLAVEOF 127.0.0.1 6380"));
    assert!(!world.servers[&at(6379)].paused);
    assert!(
        world
            .transcript
            .contains("+convert-to-slave slave 127.0.0.1:6379")
    );
    assert_eq!(world.group().history[0].outcome, PlanOutcome::Done);
    assert_eq!(world.group().history[0].loss_bound_bytes, Some(0));
}

#[test]
fn a_forced_failover_whose_replica_never_catches_up_is_undone() {
    let mut world = World::new();
    world.servers.get_mut(&at(6379)).unwrap().offset = 500;
    world.probe();
    world.open(ME, true, Some(at(6380)));
    world.run(4_000);
    assert_eq!(
        world.group().history[0].outcome,
        PlanOutcome::RevokeTimeout,
        "{}",
        world.transcript
    );
    assert!(!world.servers[&at(6379)].paused);
    assert_eq!(world.group().address, at(6379));
    assert!(!world.transcript.contains("NO ONE"));
}

#[test]
fn a_plan_of_a_dead_executor_is_taken_over_and_finished() {
    let mut world = World::new();
    world.servers.get_mut(&at(6379)).unwrap().up = false;
    world.probe();
    world.open(OTHER, false, Some(at(6380)));
    world.run(1_000);
    assert!(
        !world.transcript.contains("reassign"),
        "the executor is alive: {}",
        world.transcript
    );
    world.input(FailoverInput::Peers(BTreeSet::from([NodeId(3)])));
    world.run(400);
    let lines = world.lines();
    let position = |text: &str| {
        lines
            .iter()
            .position(|l| l.contains(text))
            .unwrap_or_else(|| panic!("{text}: {lines:?}"))
    };
    assert!(position("reassign to 1") < position("CLIENT KILL of 02020202"));
    assert!(position("6380 CLIENT KILL of 02020202") < position("6380 SLAVEOF NO ONE"));
    assert_eq!(world.group().address, at(6380));
    assert_eq!(world.group().history[0].plan.failover_epoch, 1, "the same plan");
}

#[test]
fn a_take_over_after_the_promotion_only_commits_what_is_a_fact() {
    let mut world = World::new();
    world.servers.get_mut(&at(6379)).unwrap().up = false;
    world.servers.get_mut(&at(6380)).unwrap().follows = None;
    world.open(OTHER, false, Some(at(6380)));
    world.input(FailoverInput::Peers(BTreeSet::new()));
    world.run(400);
    assert_eq!(world.group().address, at(6380), "{}", world.transcript);
}

#[test]
fn an_executor_without_progress_is_replaced_even_if_it_is_connected() {
    let mut world = World::new();
    world.servers.get_mut(&at(6379)).unwrap().up = false;
    world.open(OTHER, false, Some(at(6380)));
    world.run(4_000);
    assert_eq!(world.group().address, at(6380), "{}", world.transcript);
}

#[test]
fn a_returned_old_master_is_demoted_at_the_first_look() {
    let mut world = World::new();
    world.servers.get_mut(&at(6379)).unwrap().up = false;
    world.probe();
    world.open(ME, false, Some(at(6380)));
    world.run(1_000);
    assert!(world.group().plan.is_none());
    world.transcript.clear();
    world.servers.get_mut(&at(6379)).unwrap().up = true;
    world.probe();
    assert!(
        world
            .transcript
            .contains("+convert-to-slave slave 127.0.0.1:6379")
    );
    assert_eq!(world.servers[&at(6379)].follows, Some(at(6380)));
}

#[test]
fn replicas_are_repaired_only_while_the_master_is_sane_and_only_by_the_raft_leader() {
    let stray = |world: &mut World| world.servers.get_mut(&at(6381)).unwrap().follows = Some(at(6380));
    let mut world = World::new();
    stray(&mut world);
    world.run(500);
    assert!(
        world
            .transcript
            .contains("+fix-slave-config slave 127.0.0.1:6381"),
        "{}",
        world.transcript
    );

    let mut follower = World::new();
    follower.input(FailoverInput::Raft {
        is_raft_leader: false,
        has_majority: true,
    });
    stray(&mut follower);
    follower.run(500);
    assert_eq!(follower.transcript, "");

    let mut headless = World::new();
    headless.servers.get_mut(&at(6379)).unwrap().up = false;
    stray(&mut headless);
    headless.run(500);
    assert_eq!(
        headless.transcript, "",
        "nothing is done to replicas of a master that is down"
    );

    let mut minority = World::new();
    minority.input(FailoverInput::Raft {
        is_raft_leader: true,
        has_majority: false,
    });
    stray(&mut minority);
    minority.run(500);
    assert_eq!(minority.transcript, "");
}

#[test]
fn parallel_syncs_are_honoured() {
    let mut world = World::new();
    let replicas: Vec<HostPort> = (6382..6386).map(at).collect();
    for replica in &replicas {
        let server = world.servers[&at(6380)].clone();
        world.servers.insert(replica.clone(), server);
    }
    let add = Command::AddReplicas {
        master: name(),
        listed_by: at(6379),
        replicas,
        at: WallTime(0),
    };
    assert!(world.commit(&add));
    world.servers.get_mut(&at(6379)).unwrap().up = false;
    world.probe();
    world.transcript.clear();
    world.open(ME, false, Some(at(6380)));
    world.run(2_000);
    let mut under_way = 0i32;
    for line in world.lines() {
        under_way += i32::from(line.starts_with("+slave-reconf-sent"));
        under_way -= i32::from(line.starts_with("+slave-reconf-done"));
        assert!(under_way <= 1, "{}", world.transcript);
    }
    assert!(world.group().plan.is_none(), "{}", world.transcript);
}

#[test]
fn simulated_crashes_come_at_their_step_and_before_anything_else() {
    for (crash, before, after) in [
        (Crash::AfterOpen, "commit: open", "SLAVEOF"),
        (Crash::AfterChoose, "commit: open", "SLAVEOF"),
        (Crash::AfterPromotion, "6380 SLAVEOF NO ONE", "switch"),
        (Crash::AfterSwitch, "commit: switch", "6381 SLAVEOF"),
    ] {
        let mut world = World::new();
        world.servers.get_mut(&at(6379)).unwrap().up = false;
        world.probe();
        world.input(FailoverInput::Arm(BTreeSet::from([crash])));
        world.open(ME, false, Some(at(6380)));
        world.run(500);
        assert_eq!(world.crashed, Some(crash));
        assert!(world.transcript.contains(before), "{}", world.transcript);
        assert!(!world.transcript.contains(after), "{}", world.transcript);
    }
}

/// Whatever the order of faults, only what invariant 3 allows is sent (asserted in `operate`), and the group heals.
#[test]
fn exhaustive_faults_of_one_server_at_each_operation_heal() {
    for victim in [6380, 6381] {
        for forced in [false, true] {
            for outage_ms in [50, 400, 1_500] {
                let mut world = World::new();
                world.servers.get_mut(&at(6379)).unwrap().up = forced;
                world.probe();
                world.open(ME, forced, None);
                world.run(60);
                world.servers.get_mut(&at(victim)).unwrap().up = false;
                world.probe();
                world.run(outage_ms);
                world.servers.values_mut().for_each(|s| s.up = true);
                world.run(15_000);
                let group = world.group().clone();
                assert!(
                    group.plan.is_none(),
                    "{victim} {forced} {outage_ms}: {}",
                    world.transcript
                );
                for replica in group.replicas.keys() {
                    let follows = world.servers[replica].follows.as_ref();
                    assert_eq!(follows, Some(&group.address), "{replica}: {}", world.transcript);
                }
                assert_eq!(world.servers[&group.address].follows, None);
            }
        }
    }
}

/// The transaction with CLIENT KILL cuts this node's own probe link for a moment: no reason to call it done.
#[test]
fn a_replica_that_is_out_of_sight_right_after_it_was_re_pointed_keeps_the_plan_open() {
    let mut world = World::new();
    world.servers.get_mut(&at(6379)).unwrap().up = false;
    world.probe();
    world.before = Some(|world, instance, what| {
        if matches!(what, Operation::Follow { .. }) {
            let mut facts = InstanceFacts::new(instance.clone(), world.now);
            facts.connected = false;
            world.input(FailoverInput::Instance(name(), Box::new(facts)));
        }
    });
    world.open(ME, false, Some(at(6380)));
    world.run(500);
    let lines = world.lines();
    let position = |text: &str| lines.iter().position(|l| l.contains(text));
    assert!(position("+slave-reconf-done").is_some(), "{}", world.transcript);
    assert!(
        position("+slave-reconf-done") < position("commit: close done"),
        "{}",
        world.transcript
    );
}

/// FAULTS: nothing is begun or continued by a node that was stalled; what is due is done when TILT is over.
#[test]
fn nothing_is_done_in_tilt() {
    let mut world = World::new();
    world.servers.get_mut(&at(6379)).unwrap().up = false;
    world.probe();
    world.core.set_conditions(Conditions {
        in_tilt: true,
        ..Conditions::default()
    });
    world.open(ME, false, Some(at(6380)));
    world.servers.get_mut(&at(6381)).unwrap().follows = Some(at(6380));
    world.run(1_000);
    assert!(!world.transcript.contains("SLAVEOF"), "{}", world.transcript);
    world.core.set_conditions(Conditions::default());
    world.run(1_000);
    assert!(
        world.transcript.contains("6380 SLAVEOF NO ONE"),
        "{}",
        world.transcript
    );
}

/// I6: a foreign server at a known address is neither demoted nor promoted, and holds nothing up.
#[test]
fn a_foreign_server_is_left_alone() {
    for follows in [None, Some(at(6380))] {
        let mut world = World::new();
        let server = world.servers.get_mut(&at(6381)).unwrap();
        (server.follows, server.kinship) = (follows, Kinship::Foreign(Sign::OtherHistory));
        world.run(3_000);
        assert_eq!(world.lines(), Vec::<&str>::new());
        world.servers.get_mut(&at(6379)).unwrap().up = false;
        world.open(ME, false, None);
        world.run(3_000);
        assert!(world.group().plan.is_none(), "{}", world.transcript);
        assert_eq!(world.group().address, at(6380));
        assert!(!world.transcript.contains("6381 SLAVEOF"), "{}", world.transcript);
    }
}

#[test]
fn a_server_that_nobody_has_looked_at_waits() {
    let mut world = World::new();
    let server = world.servers.get_mut(&at(6381)).unwrap();
    (server.follows, server.kinship) = (None, Kinship::Unknown);
    world.run(1_000);
    assert_eq!(world.lines(), Vec::<&str>::new());
    world.servers.get_mut(&at(6381)).unwrap().kinship = Kinship::Ours;
    world.run(100);
    assert!(world.transcript.contains("6381 SLAVEOF"), "{}", world.transcript);
}

/// A name of the group that leads to the new master by now (a script moved it) is the master, not another one.
#[test]
fn the_master_under_a_second_address_is_never_told_to_follow_itself() {
    let mut world = World::new();
    world.servers.get_mut(&at(6379)).unwrap().up = false;
    world.probe();
    world.open(ME, false, Some(at(6380)));
    world.run(500);
    assert_eq!(world.group().address, at(6380));
    let alias = |run_id: &str, kinship| {
        let mut facts = InstanceFacts::new(at(6379), MonoTime::default());
        (facts.connected, facts.kinship) = (true, kinship);
        facts.run_id = run_id.to_owned();
        facts
    };
    let mut work = Work::default();
    let mut master = alias("b", Kinship::Ours);
    master.address = at(6380);
    work.instances.insert(at(6380), master);
    for (facts, expected) in [
        (alias("b", Kinship::Ours), "Nothing"),
        (alias("a", Kinship::Unknown), "Unknown"),
        (alias("a", Kinship::Ours), "Demotion"),
    ] {
        let facts = InstanceFacts {
            report: Some(Report {
                role: ReportedRole::Master,
                role_since: world.now,
                link: ReplicationLink::Down,
                follows: None,
                link_down_ms: 0,
                last_io_s: None,
                last_io_at: world.now,
                offset: 0,
                offset_at: world.now,
                at: world.now,
            }),
            ..facts
        };
        work.instances.insert(at(6379), facts);
        let need = super::super::reconf::need(&work, &at(6379), &at(6380), world.now);
        assert_eq!(format!("{need:?}"), expected);
    }
}
