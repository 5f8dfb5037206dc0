use proptest::prelude::*;

use super::*;
use crate::fixture::{at, name, three_nodes};
use crate::replicated::{GroupOptions, OptionChange, PlanCause};

fn group_of_three() -> State {
    three_nodes(GroupOptions::with_quorum(2))
}

fn open(failover_epoch: u64, choice: Option<HostPort>) -> Command {
    Command::OpenFailover {
        master: name(),
        config_epoch: 0,
        failover_epoch,
        executor: NodeId(1),
        cause: PlanCause::ObjectivelyDown {
            agreeing: 2,
            odown_quorum: 2,
        },
        evidence: Vec::new(),
        before: Vec::new(),
        choice: choice.map(|c| (c, Vec::new())),
        at: WallTime(3),
    }
}

fn switch_to(failover_epoch: u64, port: u16) -> Command {
    Command::Switch {
        master: name(),
        failover_epoch,
        address: at(port),
        steps: Vec::new(),
        at: WallTime(4),
    }
}

fn close_as(failover_epoch: u64, outcome: PlanOutcome) -> Command {
    Command::Close {
        master: name(),
        failover_epoch,
        outcome,
        loss_bound_bytes: None,
        at: WallTime(5),
    }
}

fn rejected(state: &mut State, command: &Command) -> Rejection {
    let before = state.clone();
    let (outcome, changes) = apply(state, before.last_applied + 1, command);
    assert!(changes.is_empty());
    let after = State {
        last_applied: before.last_applied,
        ..state.clone()
    };
    assert_eq!(after, before, "a rejected command changes nothing");
    match outcome {
        Outcome::Rejected(reason) => reason,
        Outcome::Done => panic!("{command:?} should be rejected"),
    }
}

#[test]
fn a_failover_moves_the_address_and_keeps_the_old_master_as_replica() {
    let mut state = group_of_three();
    let (_, changes) = apply(&mut state, 10, &open(1, Some(at(6380))));
    assert_eq!(
        changes,
        vec![
            Change::EpochRaised(1),
            Change::PlanOpened(name()),
            Change::ReplicaChosen(name(), at(6380))
        ]
    );
    let (_, changes) = apply(&mut state, 11, &switch_to(1, 6380));
    assert_eq!(changes.len(), 1);
    let group = &state.groups[&name()];
    assert_eq!((group.address.clone(), group.config_epoch), (at(6380), 1));
    assert_eq!(
        group.replicas.keys().cloned().collect::<Vec<_>>(),
        vec![at(6379), at(6381)]
    );
    assert!(group.plan.is_some(), "open until the replicas follow");
    apply(&mut state, 12, &close_as(1, PlanOutcome::Done));
    let group = &state.groups[&name()];
    assert!(group.plan.is_none());
    assert_eq!(group.history.len(), 1);
}

#[test]
fn a_second_plan_is_refused_while_one_is_open_and_epochs_are_not_reused() {
    let mut state = group_of_three();
    apply(&mut state, 10, &open(1, None));
    assert_eq!(rejected(&mut state, &open(2, None)), Rejection::PlanOpen);
    apply(&mut state, 12, &close_as(1, PlanOutcome::NoGoodReplica));
    assert!(matches!(
        rejected(&mut state, &open(1, None)),
        Rejection::Stale(_)
    ));
    assert_eq!(apply(&mut state, 14, &open(2, None)).0, Outcome::Done);
}

#[test]
fn only_the_chosen_replica_can_become_the_master() {
    let mut state = group_of_three();
    apply(&mut state, 10, &open(1, None));
    assert_eq!(rejected(&mut state, &switch_to(1, 6380)), Rejection::WrongPhase);
    let choose = |port, generation, failed| Command::Choose {
        master: name(),
        failover_epoch: 1,
        executor_generation: generation,
        replica: at(port),
        failed,
        refused: Vec::new(),
        at: WallTime(4),
    };
    assert_eq!(
        rejected(&mut state, &choose(7000, 1, None)),
        Rejection::NotAReplica(at(7000))
    );
    assert_eq!(rejected(&mut state, &choose(6380, 2, None)), Rejection::StalePlan);
    apply(&mut state, 13, &choose(6380, 1, None));
    // A second proposal that was on its way beside the first: the chosen one may have been promoted meanwhile.
    assert_eq!(
        rejected(&mut state, &choose(6381, 1, None)),
        Rejection::WrongPhase
    );
    assert_eq!(rejected(&mut state, &switch_to(1, 6381)), Rejection::WrongPhase);
    apply(&mut state, 15, &choose(6381, 1, Some(at(6380))));
    assert_eq!(
        rejected(&mut state, &choose(6380, 1, None)),
        Rejection::WrongPhase,
        "failed before"
    );
    assert_eq!(apply(&mut state, 17, &switch_to(1, 6381)).0, Outcome::Done);
    assert_eq!(
        apply(&mut state, 18, &switch_to(1, 6381)),
        (Outcome::Done, Vec::new()),
        "told twice"
    );
}

#[test]
fn a_reassigned_plan_refuses_choices_of_the_former_executor() {
    let mut state = group_of_three();
    apply(&mut state, 10, &open(1, None));
    let reassign = |generation, executor| Command::Reassign {
        master: name(),
        failover_epoch: 1,
        executor_generation: generation,
        executor: NodeId(executor),
        at: WallTime(4),
    };
    assert_eq!(
        rejected(&mut state, &reassign(1, 9)),
        Rejection::NotAMember(NodeId(9))
    );
    apply(&mut state, 12, &reassign(1, 2));
    assert_eq!(rejected(&mut state, &reassign(1, 3)), Rejection::StalePlan);
    let plan = state.groups[&name()].plan.clone().unwrap();
    assert_eq!(
        (plan.executor, plan.executor_generation, plan.previous_executor),
        (NodeId(2), 2, Some(NodeId(1)))
    );
}

#[test]
fn a_switched_plan_cannot_be_abandoned_nor_an_unswitched_one_be_done() {
    let mut state = group_of_three();
    apply(&mut state, 10, &open(1, Some(at(6380))));
    assert_eq!(
        rejected(&mut state, &close_as(1, PlanOutcome::Done)),
        Rejection::WrongPhase
    );
    apply(&mut state, 12, &switch_to(1, 6380));
    assert_eq!(
        rejected(&mut state, &close_as(1, PlanOutcome::MasterReturned)),
        Rejection::WrongPhase
    );
}

#[test]
fn monitor_is_idempotent_and_set_is_all_or_nothing() {
    let mut state = group_of_three();
    let monitor = |port, quorum| Command::Monitor {
        master: name(),
        address: at(port),
        options: GroupOptions::with_quorum(quorum),
        at: WallTime(1),
    };
    assert_eq!(
        apply(&mut state, 10, &monitor(6379, 2)),
        (Outcome::Done, Vec::new())
    );
    assert_eq!(
        rejected(&mut state, &monitor(6379, 3)),
        Rejection::DuplicateMaster
    );
    assert_eq!(
        rejected(&mut state, &monitor(6400, 2)),
        Rejection::DuplicateMaster
    );
    let set = |changes| Command::SetOptions {
        master: name(),
        changes,
    };
    let mixed = vec![OptionChange::DownAfterMs(500), OptionChange::ParallelSyncs(0)];
    assert!(matches!(
        rejected(&mut state, &set(mixed)),
        Rejection::InvalidOption { .. }
    ));
    apply(
        &mut state,
        14,
        &set(vec![OptionChange::DownAfterMs(500), OptionChange::OdownQuorum(1)]),
    );
    let options = &state.groups[&name()].options;
    assert_eq!((options.down_after_ms, options.odown_quorum), (500, 1));
}

#[test]
fn replicas_listed_by_a_former_master_are_ignored() {
    let mut state = group_of_three();
    apply(&mut state, 10, &open(1, Some(at(6380))));
    apply(&mut state, 11, &switch_to(1, 6380));
    let add = Command::AddReplicas {
        master: name(),
        listed_by: at(6379),
        replicas: vec![at(6399)],
        at: WallTime(9),
    };
    assert!(matches!(rejected(&mut state, &add), Rejection::Stale(_)));
}

fn any_import() -> impl Strategy<Value = Command> {
    (6379..6383u16, 0..6u64, 0..6u64, 6379..6383u16).prop_map(|(a, config_epoch, current_epoch, b)| {
        Command::Import {
            master: name(),
            address: at(a),
            options: Box::new(GroupOptions::with_quorum(2)),
            config_epoch,
            current_epoch,
            replicas: vec![at(b)],
            at: WallTime(0),
        }
    })
}

fn any_command() -> impl Strategy<Value = Command> {
    let port = prop_oneof![Just(6379u16), Just(6380), Just(6381), Just(6382)];
    let epoch = 0..6u64;
    prop_oneof![
        (epoch.clone(), 0..6u64, prop::option::of(port.clone())).prop_map(|(failover, config, choice)| {
            match open(failover, choice.map(at)) {
                Command::OpenFailover {
                    master,
                    executor,
                    cause,
                    evidence,
                    before,
                    choice,
                    at,
                    ..
                } => Command::OpenFailover {
                    master,
                    config_epoch: config,
                    failover_epoch: failover,
                    executor,
                    cause,
                    evidence,
                    before,
                    choice,
                    at,
                },
                other => other,
            }
        }),
        (epoch.clone(), port.clone(), 1..3u32).prop_map(|(failover_epoch, p, executor_generation)| {
            Command::Choose {
                master: name(),
                failover_epoch,
                executor_generation,
                replica: at(p),
                failed: None,
                refused: Vec::new(),
                at: WallTime(0),
            }
        }),
        (epoch.clone(), port.clone()).prop_map(|(e, p)| switch_to(e, p)),
        (epoch.clone(), 1..3u32, 1..4u64).prop_map(|(failover_epoch, executor_generation, n)| {
            Command::Reassign {
                master: name(),
                failover_epoch,
                executor_generation,
                executor: NodeId(n),
                at: WallTime(0),
            }
        }),
        epoch.clone().prop_map(|e| close_as(e, PlanOutcome::Done)),
        epoch.prop_map(|e| close_as(e, PlanOutcome::NoGoodReplica)),
        (port.clone(), port.clone()).prop_map(|(a, b)| Command::SetAddress {
            master: name(),
            address: at(a),
            expected: at(b)
        }),
        any_import(),
        (port.clone(), port).prop_map(|(a, b)| Command::AddReplicas {
            master: name(),
            listed_by: at(a),
            replicas: vec![at(b)],
            at: WallTime(0)
        }),
        Just(Command::Reset {
            masters: vec![name()]
        }),
    ]
}

proptest! {
    /// Invariants 1 and 2 of DESIGN section 6 over any order of commands.
    #[test]
    fn epochs_never_fall_and_name_one_address(commands in prop::collection::vec(any_command(), 1..80)) {
        let mut state = group_of_three();
        let mut addresses = std::collections::BTreeMap::new();
        let mut opened = std::collections::BTreeSet::new();
        for (i, command) in commands.iter().enumerate() {
            let before = state.clone();
            let (_, changes) = apply(&mut state, before.last_applied + 1 + i as u64, command);
            let (was, is) = (&before.groups[&name()], &state.groups[&name()]);
            prop_assert!(state.current_epoch >= before.current_epoch);
            prop_assert!(is.config_epoch >= was.config_epoch && is.config_epoch <= state.current_epoch);
            let address = addresses.entry(is.config_epoch).or_insert_with(|| is.address.clone());
            prop_assert_eq!(&*address, &is.address);
            prop_assert!(!is.replicas.contains_key(&is.address));
            if changes.contains(&Change::PlanOpened(name())) {
                prop_assert!(was.plan.is_none());
                prop_assert!(opened.insert(is.plan.as_ref().unwrap().failover_epoch));
            }
            if let Some(Change::Switched { to, .. }) = changes.iter().find(|c| matches!(c, Change::Switched { .. })) {
                let plan = was.plan.as_ref().unwrap();
                prop_assert_eq!(plan.phase.replica(), Some(to));
            }
        }
    }

    #[test]
    fn the_same_commands_give_the_same_state(commands in prop::collection::vec(any_command(), 1..60)) {
        let (mut a, mut b) = (group_of_three(), group_of_three());
        for (i, command) in commands.iter().enumerate() {
            prop_assert_eq!(apply(&mut a, 100 + i as u64, command), apply(&mut b, 100 + i as u64, command));
        }
        prop_assert_eq!(a, b);
    }
}

#[test]
fn the_lineage_grows_with_the_master_and_starts_anew_with_an_operators_address() {
    let mut state = group_of_three();
    let record = |from: u16, id: &str| Command::RecordLineage {
        master: name(),
        address: at(from),
        ids: vec![id.to_owned()],
        files: vec!["/etc/redis.conf".to_owned()],
    };
    for id in ["aaaa", "bbbb", "aaaa"] {
        assert_eq!(apply(&mut state, 10, &record(6379, id)), (Outcome::Done, vec![]));
    }
    let (outcome, _) = apply(&mut state, 11, &record(6380, "cccc"));
    assert!(
        matches!(outcome, Outcome::Rejected(Rejection::Stale(_))),
        "{outcome:?}"
    );
    assert_eq!(state.groups[&name()].lineage.ids, ["aaaa", "bbbb"]);
    assert_eq!(state.groups[&name()].lineage.files, ["/etc/redis.conf"]);
    let moved = Command::SetAddress {
        master: name(),
        address: at(6400),
        expected: at(6379),
    };
    assert_eq!(apply(&mut state, 12, &moved).0, Outcome::Done);
    assert!(state.groups[&name()].lineage.ids.is_empty());
}
