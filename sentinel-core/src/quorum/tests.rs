use sentinel_proto::EvidenceClass;
use sentinel_proto::info::ReportedRole;

use super::*;
use crate::fixture::{at, name, options, three_nodes};
use crate::instance::{ReplicationLink, Report};
use crate::replicated::{PlanOutcome, apply};

struct World {
    core: QuorumCore,
    state: State,
    now: MonoTime,
    effects: Vec<QuorumEffect>,
}

impl World {
    fn new() -> Self {
        let state = three_nodes(options());
        let now = MonoTime(1_000_000);
        let core = QuorumCore::new(NodeId(1), Arc::new(state.clone()), now);
        let mut world = Self {
            core,
            state,
            now,
            effects: vec![],
        };
        world.input(QuorumInput::Raft {
            is_raft_leader: true,
            has_majority: true,
        });
        world.input(QuorumInput::Peers(BTreeSet::from([NodeId(2), NodeId(3)])));
        for port in [6379, 6380, 6381] {
            world.see(port, |_| {});
        }
        world.effects.clear();
        world
    }

    fn input(&mut self, input: QuorumInput) {
        self.core
            .step(self.now, WallTime(self.now.0), input, &mut self.effects);
    }

    fn see(&mut self, port: u16, change: impl FnOnce(&mut InstanceFacts)) {
        let mut facts = InstanceFacts::new(at(port), self.now);
        facts.connected = true;
        facts.class = EvidenceClass::Alive;
        let replica = port != 6379;
        facts.report = Some(Report {
            role: if replica {
                ReportedRole::Replica
            } else {
                ReportedRole::Master
            },
            role_since: MonoTime(0),
            follows: replica.then(|| at(6379)),
            link: ReplicationLink::Down,
            link_down_ms: 0,
            last_io_s: None,
            last_io_at: self.now,
            offset: 5,
            offset_at: self.now,
            at: self.now,
        });
        change(&mut facts);
        self.input(QuorumInput::Instance(name(), Box::new(facts)));
    }

    fn see_master_down(&mut self) {
        let now = self.now;
        self.see(6379, |f| {
            f.connected = false;
            f.class = EvidenceClass::Silent;
            f.silent_since = Some(MonoTime(now.0 - 1_000));
            f.sdown_since = Some(now);
        });
    }

    fn hear(&mut self, from: u64, change: impl FnOnce(&mut Opinion)) {
        let mut opinion = Opinion {
            master: name(),
            address: at(6379),
            config_epoch: 0,
            down: true,
            class: EvidenceClass::Silent,
            class_age_ms: 0,
            refused_count: 0,
            silent_ms: Some(1_000),
            promotable_replicas: 2,
        };
        change(&mut opinion);
        self.input(QuorumInput::Opinions(NodeId(from), vec![opinion]));
    }

    fn proposals(&self) -> Vec<&Command> {
        let mut commands = Vec::new();
        for effect in &self.effects {
            if let QuorumEffect::Propose(_, command) = effect {
                commands.push(command);
            }
        }
        commands
    }

    fn events(&self) -> Vec<String> {
        let text = |e: &QuorumEffect| match e {
            QuorumEffect::Event(event) => Some(event.to_string()),
            _ => None,
        };
        self.effects.iter().filter_map(text).collect()
    }

    fn pass(&mut self, ms: u64) {
        self.now = self.now.plus(ms);
        self.input(QuorumInput::Timer);
    }
}

#[test]
fn two_of_three_opinions_open_a_failover_at_once_with_the_choice_at_hand() {
    let mut world = World::new();
    world.see_master_down();
    assert_eq!(
        world.proposals(),
        Vec::<&Command>::new(),
        "one opinion is not enough"
    );
    assert!(world.effects.contains(&QuorumEffect::Attention(name(), true)));
    world.hear(2, |_| {});
    assert_eq!(world.events(), ["+odown master m 127.0.0.1 6379 #quorum 2/2"]);
    match world.proposals()[..] {
        [
            Command::OpenFailover {
                failover_epoch: 1,
                executor: NodeId(1),
                choice,
                evidence,
                ..
            },
        ] => {
            assert_eq!(choice.as_ref().map(|(c, _)| c.clone()), Some(at(6380)));
            assert_eq!(evidence.len(), 2);
        }
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn only_a_raft_leader_with_a_majority_proposes() {
    for (is_raft_leader, has_majority) in [(false, true), (true, false), (false, false)] {
        let mut world = World::new();
        world.input(QuorumInput::Raft {
            is_raft_leader,
            has_majority,
        });
        world.see_master_down();
        world.hear(2, |_| {});
        assert_eq!(world.events().len(), 1, "everybody sees +odown");
        assert!(world.proposals().is_empty());
    }
}

#[test]
fn opinions_about_another_address_or_epoch_or_of_long_ago_do_not_count() {
    let mut world = World::new();
    world.see_master_down();
    world.hear(2, |o| o.config_epoch = 7);
    world.hear(3, |o| o.address = at(6380));
    assert!(world.proposals().is_empty());
    let mut late = World::new();
    late.hear(2, |_| {});
    late.pass(3_001);
    late.see_master_down();
    assert!(late.proposals().is_empty());
}

#[test]
fn a_node_that_sees_the_master_alone_is_outvoted_after_a_while() {
    let mut world = World::new();
    world.hear(2, |_| {});
    world.hear(3, |_| {});
    assert!(world.proposals().is_empty(), "it may be about to notice");
    for port in [6380, 6381] {
        world.see(port, |_| {});
    }
    world.now = world.now.plus(1_000);
    for port in [6379, 6380, 6381] {
        world.see(port, |_| {});
    }
    assert_eq!(world.proposals().len(), 1);
}

#[test]
fn a_new_epoch_forgets_the_opinions_of_the_old_one() {
    let mut world = World::new();
    world.see_master_down();
    world.hear(2, |_| {});
    let command = world.proposals()[0].clone();
    apply(&mut world.state, 6, &command);
    let switch = Command::Switch {
        master: name(),
        failover_epoch: 1,
        address: at(6380),
        steps: vec![],
        at: WallTime(0),
    };
    apply(&mut world.state, 7, &switch);
    let close = Command::Close {
        master: name(),
        failover_epoch: 1,
        outcome: PlanOutcome::Done,
        loss_bound_bytes: None,
        at: WallTime(0),
    };
    apply(&mut world.state, 8, &close);
    world.effects.clear();
    world.input(QuorumInput::State(Arc::new(world.state.clone())));
    world.hear(2, |_| {});
    world.hear(3, |_| {});
    world.pass(2_000);
    assert!(world.proposals().is_empty());
    assert!(world.core.groups()[&name()].odown_since.is_none());
}

#[test]
fn a_node_that_is_slower_than_the_failover_still_shows_odown() {
    let mut world = World::new();
    world.see_master_down();
    world.hear(2, |_| {});
    let command = world.proposals()[0].clone();
    let mut slow = World::new();
    apply(&mut slow.state, 6, &command);
    slow.input(QuorumInput::State(Arc::new(slow.state.clone())));
    assert_eq!(slow.events(), ["+odown master m 127.0.0.1 6379 #quorum 2/2"]);
    assert!(slow.core.groups()[&name()].odown_since.is_some());
}

#[test]
fn a_witness_holds_the_failover_back_unless_told_otherwise() {
    let mut world = World::new();
    (0..10).for_each(|_| world.pass(1_000));
    let now = world.now;
    world.see(6380, |f| {
        let report = f.report.as_mut().unwrap();
        report.link = ReplicationLink::Up;
        report.last_io_s = Some(0);
    });
    world.see(6381, |_| {});
    world.see(6379, |f| {
        f.connected = false;
        f.class = EvidenceClass::Silent;
        f.silent_since = Some(MonoTime(now.0 - 5_000));
        f.sdown_since = Some(now);
    });
    world.hear(2, |_| {});
    assert!(world.proposals().is_empty());
    assert_eq!(world.core.groups()[&name()].hold, Some(Hold::Witness(at(6380))));
}

#[test]
fn an_executor_that_sees_replicas_is_preferred_to_a_blind_raft_leader() {
    let mut world = World::new();
    for port in [6380, 6381] {
        world.see(port, |f| f.connected = false);
    }
    world.see_master_down();
    world.hear(2, |o| o.promotable_replicas = 1);
    match world.proposals()[..] {
        [
            Command::OpenFailover {
                executor: NodeId(2),
                choice: None,
                ..
            },
        ] => {}
        ref other => panic!("{other:?}"),
    }
}

/// The file that named the true master has not come yet: its replica must not be promoted in its stead.
#[test]
fn a_replica_that_is_a_master_holds_a_new_group_back() {
    let mut world = World::new();
    world.see(6380, |f| f.report.as_mut().unwrap().role = ReportedRole::Master);
    world.see_master_down();
    world.hear(2, |_| {});
    assert!(world.proposals().is_empty());
    assert_eq!(world.core.groups()[&name()].hold, Some(Hold::Unsettled(at(6380))));
    for _ in 0..10 {
        world.pass(crate::settle::SETTLE_MS / 10);
    }
    world.see(6380, |f| f.report.as_mut().unwrap().role = ReportedRole::Master);
    world.see(6381, |_| {});
    world.see_master_down();
    world.hear(2, |_| {});
    world.pass(200);
    assert_eq!(world.proposals().len(), 1);
}

#[test]
fn a_replica_that_the_master_itself_follows_needs_no_other_file() {
    let mut world = World::new();
    world.see(6380, |f| f.report.as_mut().unwrap().role = ReportedRole::Master);
    let now = world.now;
    world.see(6379, |f| {
        let report = f.report.as_mut().unwrap();
        (report.role, report.follows) = (ReportedRole::Replica, Some(at(6380)));
        f.sdown_since = Some(now);
    });
    world.hear(2, |_| {});
    assert_ne!(world.core.groups()[&name()].hold, Some(Hold::Unsettled(at(6380))));
    assert_eq!(world.proposals().len(), 1);
}

#[test]
fn no_good_replica_is_said_once_and_nothing_is_opened() {
    let mut world = World::new();
    for port in [6380, 6381] {
        world.see(port, |f| f.priority = 0);
    }
    world.see_master_down();
    // Others see no better: a replica without a priority is no reason to let them try.
    let own = world.effects.iter().rev().find_map(|effect| match effect {
        QuorumEffect::Broadcast(opinions) => opinions.first(),
        _ => None,
    });
    assert_eq!(own.map(|o| (o.down, o.promotable_replicas)), Some((true, 0)));
    world.hear(2, |o| o.promotable_replicas = 0);
    world.pass(100);
    world.pass(100);
    let said = world.events();
    assert_eq!(
        said.iter()
            .filter(|e| e.starts_with("-failover-abort-no-good-slave"))
            .count(),
        1,
        "{said:?}"
    );
    assert!(world.proposals().is_empty());
}

#[test]
fn replicas_that_the_log_does_not_know_are_proposed_until_it_does() {
    let mut world = World::new();
    world.input(QuorumInput::Listed(name(), at(6379), vec![at(6380), at(6399)]));
    assert!(
        matches!(world.proposals()[..], [Command::AddReplicas { replicas, .. }] if *replicas == vec![at(6399)])
    );
    world.input(QuorumInput::Proposed(name(), None));
    world.pass(100);
    assert_eq!(world.proposals().len(), 2, "tried again");
}

#[test]
fn an_answer_that_comes_before_its_state_proposes_nothing_again() {
    let mut world = World::new();
    world.input(QuorumInput::Listed(name(), at(6379), vec![at(6399)]));
    let add = world.proposals()[0].clone();
    let (index, before) = (world.state.last_applied + 1, world.state.clone());
    apply(&mut world.state, index, &add);
    world.input(QuorumInput::Proposed(name(), Some(index)));
    world.pass(100);
    world.input(QuorumInput::State(Arc::new(before)));
    assert_eq!(world.proposals(), [&add], "its state is still on the way");
    world.input(QuorumInput::Listed(name(), at(6379), vec![at(6398), at(6399)]));
    world.input(QuorumInput::State(Arc::new(world.state.clone())));
    assert_eq!(world.proposals().len(), 2, "what else is new follows at once");
}

#[test]
fn a_switch_that_others_saw_first_does_not_end_odown_before_it_is_applied_here() {
    let mut world = World::new();
    world.see_master_down();
    world.hear(2, |_| {});
    let ended = |world: &World| world.events().iter().any(|event| event.starts_with("-odown"));
    world.hear(2, |o| (o.config_epoch, o.address, o.down) = (1, at(6380), false));
    assert!(!ended(&world), "{:?}", world.events());
    world.hear(2, |o| o.down = false);
    assert!(
        ended(&world),
        "it was the same epoch after all: {:?}",
        world.events()
    );
}

#[test]
fn opinions_are_pushed_on_change_and_refreshed_each_second() {
    let mut world = World::new();
    let pushes = |world: &World| {
        world
            .effects
            .iter()
            .filter(|e| matches!(e, QuorumEffect::Broadcast(_)))
            .count()
    };
    world.see(6379, |_| {});
    assert_eq!(pushes(&world), 0, "nothing new");
    world.see_master_down();
    assert_eq!(pushes(&world), 1);
    world.pass(1_000);
    assert_eq!(pushes(&world), 2);
}

#[test]
fn readers_are_told_of_each_opinion_also_of_one_that_only_repeats_the_last() {
    let mut world = World::new();
    for _ in 0..2 {
        world.effects.clear();
        world.hear(2, |o| o.down = false);
        assert!(world.effects.contains(&QuorumEffect::Changed(name())));
    }
}

#[test]
fn a_long_gap_is_tilt_and_nothing_is_opened_in_it() {
    let mut world = World::new();
    world.input(QuorumInput::Timer);
    world.now = world.now.plus(10_000);
    for port in [6380, 6381] {
        world.see(port, |_| {});
    }
    world.see_master_down();
    world.hear(2, |_| {});
    assert_eq!(world.events()[0], "+tilt #tilt mode entered");
    assert!(world.proposals().is_empty());
    assert!(!world.events().iter().any(|e| e.starts_with("+odown")));
    let told_down =
        |e: &QuorumEffect| matches!(e, QuorumEffect::Broadcast(all) if all.iter().any(|o| o.down));
    assert!(
        !world.effects.iter().any(told_down),
        "a stalled node finds nothing down"
    );
    for step in 0..50 {
        world.pass(100);
        if step % 10 == 0 {
            world.hear(2, |_| {});
        }
        world.see(6380, |_| {});
    }
    let at = |name: &str| world.events().iter().position(|e| e.starts_with(name));
    assert!(at("-tilt") < at("+odown"), "{:?}", world.events());
    assert!(!world.proposals().is_empty(), "what is due is done afterwards");
    assert!(
        world.events().contains(&"-tilt #tilt mode exited".to_owned()),
        "{:?}",
        world.events()
    );
}

#[test]
fn an_emptied_master_is_given_up_at_once_if_a_replica_still_has_the_data() {
    for (keys, opens) in [(Some(9), true), (Some(0), false), (None, false)] {
        let mut world = World::new();
        for port in [6380, 6381] {
            world.see(port, |f| f.keys = keys);
        }
        let now = world.now;
        world.see(6379, |f| f.emptied_since = Some(now));
        world.hear(2, |o| {
            o.class = EvidenceClass::Foreign;
            o.silent_ms = None;
        });
        assert_eq!(!world.proposals().is_empty(), opens);
    }
}

#[path = "lineage_tests.rs"]
mod lineage_news;

#[test]
fn each_foreign_sentinel_is_warned_of_once_and_only_the_raft_leader_listens() {
    let mut world = World::new();
    let listens = |w: &World| {
        let listen = |e: &QuorumEffect| match e {
            QuorumEffect::Listen(_, on) => Some(*on),
            _ => None,
        };
        w.effects.iter().filter_map(listen).collect::<Vec<_>>()
    };
    let hello = |id: u8, host: &str| {
        let id = sentinel_proto::SentinelId::from_bytes([id; 20]);
        let text = format!("{host},26379,{id},9,m,10.0.0.9,6379,9");
        QuorumInput::Hello(name(), text.parse().unwrap())
    };
    for input in [hello(7, "10.0.0.7"), hello(7, "10.0.0.7"), hello(8, "a b")] {
        world.input(input);
    }
    assert_eq!(world.events().len(), 1, "{:?}", world.events());
    let expected = format!(
        "+foreign-sentinel sentinel {} 10.0.0.7 26379 @ m 127.0.0.1 6379 #",
        "07".repeat(20)
    );
    assert!(world.events()[0].starts_with(&expected), "{:?}", world.events());
    assert_eq!(world.state.groups[&name()].address, at(6379));
    world.input(QuorumInput::Raft {
        is_raft_leader: false,
        has_majority: true,
    });
    assert_eq!(listens(&world), [false]);
    world.input(QuorumInput::Raft {
        is_raft_leader: true,
        has_majority: true,
    });
    assert_eq!(listens(&world), [false, true]);
}
