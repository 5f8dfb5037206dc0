use proptest::prelude::*;

use super::*;
use crate::replicated::{GroupOptions, Outcome, apply};

fn name() -> MasterName {
    MasterName::new("m").unwrap()
}

fn at(port: u16) -> HostPort {
    HostPort::new("127.0.0.1", port)
}

fn import(port: u16, config_epoch: u64, current_epoch: u64, replicas: &[u16]) -> Command {
    Command::Import {
        master: name(),
        address: at(port),
        options: Box::new(GroupOptions::with_quorum(2)),
        config_epoch,
        current_epoch,
        replicas: replicas.iter().copied().map(at).collect(),
        at: WallTime(1),
    }
}

fn run(state: &mut State, command: &Command) -> Vec<Change> {
    let index = state.last_applied + 1;
    let (outcome, changes) = apply(state, index, command);
    assert_eq!(outcome, Outcome::Done, "{command:?}");
    changes
}

/// Address, config epoch and current epoch.
fn seen(state: &State) -> (HostPort, u64, u64) {
    let group = &state.groups[&name()];
    (group.address.clone(), group.config_epoch, state.current_epoch)
}

fn replicas(state: &State) -> Vec<u16> {
    state.groups[&name()].replicas.keys().map(|r| r.port).collect()
}

#[test]
fn an_unknown_group_comes_with_everything_that_was_learned() {
    let mut state = State::default();
    let changes = run(&mut state, &import(6380, 3, 5, &[6379, 6380, 6381]));
    assert_eq!(seen(&state), (at(6380), 3, 5));
    assert_eq!(replicas(&state), [6379, 6381], "never the master itself");
    assert!(
        matches!(
            &changes[..],
            [
                Change::EpochRaised(5),
                Change::Monitored(_),
                Change::ReplicaAdded(..),
                Change::ReplicaAdded(..)
            ]
        ),
        "{changes:?}"
    );
    let again = run(&mut state, &import(6380, 3, 5, &[6379, 6381]));
    assert!(again.is_empty(), "{again:?}");
}

#[test]
fn a_higher_config_epoch_moves_a_group_and_a_lower_one_does_not() {
    let mut state = State::default();
    let monitor = Command::Monitor {
        master: name(),
        address: at(6379),
        options: GroupOptions::with_quorum(2),
        at: WallTime(1),
    };
    run(&mut state, &monitor);
    run(&mut state, &import(6380, 2, 2, &[6379]));
    let changes = run(&mut state, &import(6381, 4, 4, &[6380, 6382]));
    assert!(
        matches!(&changes[..], [Change::EpochRaised(4), Change::AddressSet { from, to, .. }]
            if *from == at(6380) && *to == at(6381)),
        "{changes:?}"
    );
    assert_eq!(replicas(&state), [6380, 6382]);
    assert!(run(&mut state, &import(6379, 3, 4, &[6399])).is_empty());
    assert!(
        run(&mut state, &import(6379, 4, 4, &[6399])).is_empty(),
        "another address of the same epoch is not believed"
    );
    assert_eq!(
        run(&mut state, &import(6379, 1, 7, &[])),
        [Change::EpochRaised(7)]
    );
    assert_eq!(seen(&state), (at(6381), 4, 7));
    assert_eq!(
        run(&mut state, &import(6381, 4, 4, &[6379])),
        [Change::ReplicaAdded(name(), at(6379))]
    );
}

#[test]
fn once_a_failover_was_opened_no_file_moves_the_group() {
    let mut state = State::default();
    run(&mut state, &import(6379, 1, 1, &[6380]));
    let node = sentinel_proto::types::NodeId(1);
    let member = Command::SetMember {
        node,
        myid: sentinel_proto::SentinelId::from_bytes([1; 20]),
        address: at(26379),
    };
    run(&mut state, &member);
    let open = |config_epoch, failover_epoch| Command::OpenFailover {
        master: name(),
        config_epoch,
        failover_epoch,
        executor: node,
        cause: crate::replicated::PlanCause::Forced,
        evidence: Vec::new(),
        before: Vec::new(),
        choice: Some((at(6380), Vec::new())),
        at: WallTime(2),
    };
    let (outcome, _) = apply(&mut state, 3, &open(1, 1));
    assert!(
        matches!(outcome, Outcome::Rejected(_)),
        "imported epochs are used up"
    );
    run(&mut state, &open(1, 2));
    run(&mut state, &import(6390, 9, 9, &[]));
    let switch = Command::Switch {
        master: name(),
        failover_epoch: 2,
        address: at(6380),
        steps: Vec::new(),
        at: WallTime(3),
    };
    run(&mut state, &switch);
    assert_eq!(seen(&state), (at(6380), 2, 9));
    let close = Command::Close {
        master: name(),
        failover_epoch: 2,
        outcome: crate::replicated::PlanOutcome::Done,
        loss_bound_bytes: None,
        at: WallTime(4),
    };
    run(&mut state, &close);
    run(&mut state, &import(6390, 10, 10, &[6399]));
    assert_eq!(seen(&state), (at(6380), 2, 10));
    assert_eq!(replicas(&state), [6379]);
}

#[test]
fn options_that_may_not_be_change_nothing() {
    let mut state = State::default();
    let mut command = import(6379, 4, 4, &[]);
    if let Command::Import { options, .. } = &mut command {
        options.odown_quorum = 0;
    }
    let (outcome, changes) = apply(&mut state, 1, &command);
    assert!(matches!(outcome, Outcome::Rejected(_)) && changes.is_empty());
    assert_eq!((state.current_epoch, state.groups.len()), (0, 0));
}

proptest! {
    /// Whichever file comes first: the highest config epoch wins, and no epoch of any file can be used again.
    #[test]
    fn the_order_of_files_does_not_matter(
        files in prop::collection::btree_map(0..9u64, (6379..6390u16, 0..9u64), 1..5)
            .prop_map(|files| files.into_iter().collect::<Vec<_>>())
            .prop_flat_map(|files| (Just(files.clone()), Just(files).prop_shuffle())),
    ) {
        let (sorted, shuffled) = files;
        let mut state = State::default();
        for (config_epoch, (port, current_epoch)) in &shuffled {
            run(&mut state, &import(*port, *config_epoch, *current_epoch, &[6379]));
            prop_assert!(!state.groups[&name()].replicas.contains_key(&state.groups[&name()].address));
        }
        let (config_epoch, (port, _)) = sorted.last().unwrap();
        let current = sorted.iter().map(|(config, (_, current))| (*config).max(*current)).max().unwrap();
        prop_assert_eq!(seen(&state), (at(*port), *config_epoch, current));
    }
}
