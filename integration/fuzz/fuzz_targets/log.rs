//! Entries of the log and snapshots, which come from other sentinels and from the disk: whatever a command says, `apply`
//! takes it or refuses it, keeps its invariants, and its state is the same after it was written and read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use raft_store::codec;
use sentinel_core::replicated::{
    Command, EvidenceNote, GroupOptions, OptionChange, Outcome, PlanCause, PlanOutcome, Refusal,
    RefusalReason, State, Step, apply,
};
use sentinel_fuzz::offer_seeds;
use sentinel_proto::{EvidenceClass, HostPort, MasterName, NodeId, SentinelId, WallTime};

/// The life of a group, each command with the byte of length that the target expects.
fn seeds() -> Option<Vec<u8>> {
    let mut seed = Vec::new();
    for command in &commands(&MasterName::new("m").ok()?) {
        let body = codec::encode(command).ok()?;
        seed.push(u8::try_from(body.len()).ok()?);
        seed.extend_from_slice(&body);
    }
    Some(seed)
}

fn commands(master: &MasterName) -> Vec<Command> {
    let at = WallTime(1);
    let (a, b, c) = (
        HostPort::new("::1", 1),
        HostPort::new("b", 2),
        HostPort::new("10.0.0.1", 3),
    );
    let (node, myid) = (NodeId(7), SentinelId::from_bytes([7; 20]));
    let options = GroupOptions::with_quorum(2);
    let mut commands = vec![
        Command::SetMember {
            node,
            myid,
            address: c.clone(),
        },
        Command::Monitor {
            master: master.clone(),
            address: a.clone(),
            options: options.clone(),
            at,
        },
        Command::SetAddress {
            master: master.clone(),
            address: c.clone(),
            expected: a.clone(),
        },
        Command::AddReplicas {
            master: master.clone(),
            listed_by: c.clone(),
            replicas: vec![a.clone(), b.clone()],
            at,
        },
        Command::SetOptions {
            master: master.clone(),
            changes: vec![OptionChange::AuthPass(Some("x".into()))],
        },
    ];
    commands.extend(failover(master, node, &a, &b));
    commands.push(Command::Reset {
        masters: vec![master.clone()],
    });
    commands.push(Command::Import {
        master: master.clone(),
        address: a,
        options: Box::new(options),
        config_epoch: 9,
        current_epoch: 10,
        replicas: vec![c],
        at,
    });
    commands.push(Command::Remove {
        master: master.clone(),
    });
    commands
}

/// From `Open` to `Close`: first `a` is chosen, then `b`, which becomes the master.
fn failover(master: &MasterName, node: NodeId, a: &HostPort, b: &HostPort) -> [Command; 5] {
    let (master, at, failover_epoch) = (master.clone(), WallTime(2), 1);
    let refused = vec![Refusal {
        replica: b.clone(),
        reason: RefusalReason::Syncing,
    }];
    [
        Command::OpenFailover {
            master: master.clone(),
            config_epoch: 0,
            failover_epoch,
            executor: node,
            cause: PlanCause::Forced,
            evidence: vec![EvidenceNote {
                observer: SentinelId::from_bytes([7; 20]),
                class: EvidenceClass::Silent,
                age_ms: 9,
            }],
            before: vec![(Step::FirstDown, at)],
            choice: Some((a.clone(), refused.clone())),
            at,
        },
        Command::Reassign {
            master: master.clone(),
            failover_epoch,
            executor_generation: 1,
            executor: node,
            at,
        },
        Command::Choose {
            master: master.clone(),
            failover_epoch,
            executor_generation: 2,
            replica: b.clone(),
            failed: Some(a.clone()),
            refused,
            at,
        },
        Command::Switch {
            master: master.clone(),
            failover_epoch,
            address: b.clone(),
            steps: vec![(Step::Promoted, at)],
            at,
        },
        Command::Close {
            master,
            failover_epoch,
            outcome: PlanOutcome::Done,
            loss_bound_bytes: Some(5),
            at,
        },
    ]
}

/// Invariants that `sentinel-core/src/replicated/mod.rs` states.
fn check(state: &State, before: &State) {
    assert!(state.current_epoch >= before.current_epoch, "current_epoch fell");
    for (name, group) in &state.groups {
        assert_eq!(*name, group.name);
        assert!(
            !group.replicas.contains_key(&group.address),
            "the master is its own replica"
        );
        assert!(
            group.config_epoch <= state.current_epoch,
            "config_epoch above current_epoch"
        );
        let Some(old) = before.groups.get(name) else {
            continue;
        };
        if old.incarnation == group.incarnation {
            assert!(group.config_epoch >= old.config_epoch, "config_epoch fell");
            let same_epoch = group.config_epoch == old.config_epoch && old.config_epoch > 0;
            assert!(
                !same_epoch || group.address == old.address,
                "two addresses of one epoch"
            );
        }
    }
}

fuzz_target!(init: offer_seeds(seeds().map(|seed| ("life", seed))), |data: &[u8]| {
    if let Ok(state) = codec::decode::<State>(data) {
        drop(format!("{state:?}"));
    }
    let mut state = State::default();
    // Commands with a byte of length before each; each as `codec` writes it.
    let mut rest = data;
    let mut index = 0;
    while let Some((length, later)) = rest.split_first() {
        let (body, later) = later.split_at(usize::from(*length).min(later.len()));
        rest = later;
        let Ok(command) = codec::decode::<Command>(body) else {
            continue;
        };
        index += 1;
        let before = state.clone();
        let (outcome, changes) = apply(&mut state, index, &command);
        drop(format!("{command:?} {outcome:?} {changes:?}"));
        if let Outcome::Rejected(_) = outcome {
            let unchanged = State { last_applied: index, ..before.clone() };
            assert!(state == unchanged && changes.is_empty(), "refused, but changed: {command:?}");
        }
        check(&state, &before);
    }
    let bytes = codec::encode(&state).expect("a state can be written");
    assert!(codec::decode::<State>(&bytes).expect("and read") == state);
});
