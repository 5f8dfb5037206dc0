//! Hand-overs by the master itself: through, refused, stuck, interrupted at each point.

use super::*;

impl World {
    /// What a server does with the commands of a coordinated failover.
    pub(super) fn hand_over(
        &mut self,
        instance: &HostPort,
        what: &Operation,
    ) -> Result<String, &'static str> {
        let server = self.servers.get_mut(instance).unwrap();
        match what {
            Operation::HandOver { to, ms } => {
                server.paused = true;
                if server.handing_to.is_some() {
                    return Err("ERR FAILOVER already in progress.");
                }
                if server.follows.is_some() {
                    return Err("ERR FAILOVER is not valid when server is a replica.");
                }
                server.handing_to = Some(to.clone());
                if server.hands_over {
                    self.finish_hand_over(instance);
                }
                Ok(format!("FAILOVER TO {} {} TIMEOUT {ms}", to.host, to.port))
            }
            Operation::CallOff => {
                server.handing_to = None;
                Ok("FAILOVER ABORT".to_owned())
            }
            Operation::Release { demoted: true } if server.follows.is_none() => Err("it is still a master"),
            _ => {
                server.paused = false;
                Ok("release".to_owned())
            }
        }
    }

    pub(super) fn finish_hand_over(&mut self, instance: &HostPort) {
        let server = self.servers.get_mut(instance).unwrap();
        let Some(to) = server.handing_to.take() else {
            return;
        };
        server.follows = Some(to.clone());
        let offset = server.offset;
        let target = self.servers.get_mut(&to).unwrap();
        (target.follows, target.offset) = (None, offset);
    }
}

impl Server {
    /// What it says after an operation.
    pub(super) fn answer(&self, what: &Operation) -> OperationResult {
        if self.is_mute {
            return OperationResult::Unreachable("no answer in time".into());
        }
        let report = InstanceReport {
            role: Some(match self.follows {
                None => ReportedRole::Master,
                Some(_) => ReportedRole::Replica,
            }),
            master_repl_offset: Some(self.offset),
            failover_state: Some(match self.handing_to {
                None => "no-failover".to_owned(),
                Some(_) => "waiting-for-sync".to_owned(),
            }),
            ..InstanceReport::default()
        };
        let by_role = matches!(
            what,
            Operation::ReadRole | Operation::Promote | Operation::Follow { .. }
        );
        OperationResult::Done {
            role: Some(role(self)),
            report: (!by_role).then(|| Box::new(report)),
        }
    }
}

fn old_master(world: &mut World) -> &mut Server {
    world.servers.get_mut(&at(6379)).unwrap()
}

fn opened(hands_over: bool) -> World {
    opened_with(hands_over, |_, _, _| {})
}

/// All that is not waited for happens in here.
fn opened_with(hands_over: bool, before: fn(&mut World, &HostPort, &Operation)) -> World {
    let mut world = World::new();
    world.before = Some(before);
    old_master(&mut world).hands_over = hands_over;
    // What was reported before the switch is from before it.
    world.now = world.now.plus(1);
    world.open_for(PlanCause::Coordinated, ME, None);
    world
}

fn position(world: &World, text: &str) -> usize {
    let lines = world.lines();
    lines
        .iter()
        .position(|l| l.contains(text))
        .unwrap_or_else(|| panic!("{text}: {lines:#?}"))
}

fn assert_master_writable(world: &World, outcome: &PlanOutcome) {
    assert_eq!(world.group().history[0].outcome, *outcome, "{}", world.transcript);
    assert_eq!(world.group().address, at(6379));
    let master = &world.servers[&at(6379)];
    assert!(!master.paused && master.handing_to.is_none(), "{master:?}");
    assert!(!world.transcript.contains("NO ONE"), "{}", world.transcript);
    assert!(world.group().plan.is_none());
}

#[test]
fn the_master_hands_over_and_both_servers_are_released() {
    let mut world = opened(true);
    world.run(400);
    let (ms, timeout) = (PlanOutcome::Done, options().failover_timeout_ms);
    assert_eq!(world.group().history[0].outcome, ms, "{}", world.transcript);
    let order = [
        "commit: choose 127.0.0.1:6380",
        "6379 FAILOVER TO 127.0.0.1 6380 TIMEOUT ",
        "6380 ROLE",
        "6380 release",
        "commit: switch to 127.0.0.1:6380",
        "6379 release",
        "commit: close done",
    ];
    for pair in order.windows(2) {
        assert!(
            position(&world, pair[0]) < position(&world, pair[1]),
            "{}",
            world.transcript
        );
    }
    position(&world, "+failover-state-wait-promotion slave 127.0.0.1:6380");
    let told = &world.transcript;
    assert!(
        !told.contains("6379 SLAVEOF") && !told.contains("NO ONE"),
        "{told}"
    );
    assert!(world.servers.values().all(|s| !s.paused));
    assert_eq!(world.group().history[0].loss_bound_bytes, Some(0));
    let line = world.lines()[position(&world, "FAILOVER TO")];
    let ms: u64 = line.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(
        ms > timeout - 1_000 && ms <= timeout,
        "what is left of failover-timeout: {line}"
    );
}

#[test]
fn a_refused_hand_over_resumes_writes_and_closes() {
    let mut world = World::new();
    old_master(&mut world).refuses = Some("ERR FAILOVER target replica is not online.");
    world.open_for(PlanCause::Coordinated, ME, None);
    world.run(600);
    assert_master_writable(&world, &PlanOutcome::ReplicaTimeout);
}

#[test]
fn a_hand_over_that_the_master_gave_up_by_itself_resumes_writes_and_closes() {
    let mut world = opened(false);
    world.run(600);
    assert!(world.servers[&at(6379)].paused && world.group().plan.is_some());
    old_master(&mut world).handing_to = None;
    world.run(300);
    assert_master_writable(&world, &PlanOutcome::ReplicaTimeout);
}

#[test]
fn a_hand_over_that_takes_all_of_failover_timeout_is_called_off() {
    let mut world = opened(false);
    world.run(options().failover_timeout_ms + 500);
    position(&world, "6379 FAILOVER ABORT");
    assert_master_writable(&world, &PlanOutcome::ReplicaTimeout);
}

#[test]
fn a_chosen_replica_that_goes_down_is_not_waited_for() {
    let mut world = opened(false);
    world.run(600);
    world.servers.get_mut(&at(6380)).unwrap().up = false;
    world.run(300);
    assert_master_writable(&world, &PlanOutcome::ReplicaTimeout);
}

/// The abort comes too late: the master is a replica by then. Its successor is found once it answers.
#[test]
fn a_hand_over_that_ends_while_it_is_called_off_goes_through() {
    let mut world = opened(false);
    world.run(600);
    world.before = Some(|world, instance, what| {
        if *what == Operation::CallOff {
            world.finish_hand_over(instance);
        }
    });
    world.servers.get_mut(&at(6380)).unwrap().up = false;
    world.run(2_000);
    assert!(world.group().plan.is_some(), "{}", world.transcript);
    world.servers.get_mut(&at(6380)).unwrap().up = true;
    world.run(600);
    assert_eq!(world.group().address, at(6380), "{}", world.transcript);
    assert_eq!(world.group().history[0].outcome, PlanOutcome::Done);
    assert!(world.servers.values().all(|s| !s.paused));
}

#[test]
fn a_master_that_dies_while_it_hands_over_is_replaced_by_the_chosen_replica() {
    let mut world = opened(false);
    world.run(600);
    old_master(&mut world).up = false;
    world.run(600);
    position(&world, "6380 SLAVEOF NO ONE");
    assert_eq!(world.group().address, at(6380), "{}", world.transcript);
    // It comes back as a master: demoted like any other, and its clients are not let in before.
    let master = old_master(&mut world);
    (master.up, master.handing_to, master.paused) = (true, None, false);
    world.run(1_500);
    assert_eq!(
        world.servers[&at(6379)].follows,
        Some(at(6380)),
        "{}",
        world.transcript
    );
}

#[test]
fn nothing_is_begun_with_a_master_that_is_down() {
    let mut world = World::new();
    old_master(&mut world).up = false;
    world.probe();
    world.open_for(PlanCause::Coordinated, ME, None);
    world.run(600);
    assert_eq!(
        world.group().history[0].outcome,
        PlanOutcome::RevokeTimeout,
        "-failover-abort-master-timeout: {}",
        world.transcript
    );
    assert!(!world.transcript.contains("NO ONE") && !world.transcript.contains("FAILOVER TO"));
}

/// The order is lost on its way back: the answer is found by asking.
#[test]
fn a_lost_answer_to_the_order_is_made_up_for_by_asking() {
    for hands_over in [true, false] {
        let mut world = World::new();
        old_master(&mut world).hands_over = hands_over;
        world.before = Some(|world, instance, what| {
            if *what == Operation::ReadReplication {
                world.finish_hand_over(instance);
            }
            let lost = matches!(what, Operation::HandOver { .. });
            world.servers.get_mut(instance).unwrap().is_mute = lost;
        });
        world.open_for(PlanCause::Coordinated, ME, None);
        world.run(600);
        assert_eq!(world.group().address, at(6380), "{}", world.transcript);
        assert!(world.servers.values().all(|s| !s.paused), "{}", world.transcript);
        assert!(!world.transcript.contains("NO ONE"), "{}", world.transcript);
    }
}

#[test]
fn a_switch_is_not_held_up_by_a_new_master_that_does_not_answer() {
    let mut world = opened_with(true, |world, instance, what| {
        let lost = matches!(what, Operation::Release { demoted: false });
        world.servers.get_mut(instance).unwrap().is_mute = lost && world.group().address == at(6379);
    });
    world.run(800);
    let told = &world.transcript;
    assert_eq!(told.matches("6380 release").count(), 2, "{told}");
    assert!(
        position(&world, "6380 release") < position(&world, "commit: switch"),
        "{told}"
    );
    assert_eq!(world.group().history[0].outcome, PlanOutcome::Done, "{told}");
}

/// A former executor died at each point: before it sent the order, while the master is at it, after it was done.
#[test]
fn a_successor_continues_from_what_the_servers_say() {
    for stage in ["not sent", "waiting", "done", "given up"] {
        let mut world = World::new();
        let order = Operation::HandOver {
            to: at(6380),
            ms: 5_000,
        };
        old_master(&mut world).hands_over = stage == "done";
        world.open_for(PlanCause::Coordinated, OTHER, Some(at(6380)));
        if stage != "not sent" {
            world.hand_over(&at(6379), &order).unwrap();
        }
        if stage == "given up" {
            old_master(&mut world).handing_to = None;
        }
        world.probe();
        world.input(FailoverInput::Peers(BTreeSet::from([NodeId(3)])));
        world.run(200);
        world.before = Some(|world, _, what| {
            if *what == Operation::ReadRole {
                world.finish_hand_over(&at(6379));
            }
        });
        world.run(600);
        let told = format!("{stage}: {}", world.transcript);
        assert_eq!(world.group().address, at(6380), "{told}");
        assert_eq!(world.group().history[0].outcome, PlanOutcome::Done, "{told}");
        assert!(world.servers.values().all(|s| !s.paused), "{told}");
        assert!(!world.transcript.contains("NO ONE"), "{told}");
        position(&world, "CLIENT KILL of 02020202");
    }
}

/// Writes must never be resumed on a second master: one that took itself back is demoted first.
#[test]
fn an_old_master_that_took_itself_back_is_demoted_before_it_takes_writes() {
    let mut world = opened_with(true, |world, instance, what| {
        let server = world.servers.get_mut(instance).unwrap();
        match what {
            Operation::Release { demoted: true } => server.follows = None,
            Operation::Follow { .. } => assert!(*instance != at(6379) || server.paused),
            _ => {}
        }
    });
    world.run(1_000);
    assert_eq!(world.group().address, at(6380));
    position(&world, "6379 SLAVEOF 127.0.0.1 6380");
    let old = &world.servers[&at(6379)];
    assert_eq!(old.follows, Some(at(6380)), "{}", world.transcript);
    assert!(!old.paused, "{}", world.transcript);
}

/// The answer to the operation of this number is lost.
fn lose_answer<const NUMBER: usize>(world: &mut World, instance: &HostPort, _: &Operation) {
    let done = world.lines().iter().filter(|l| l.starts_with("  127")).count();
    world.servers.get_mut(instance).unwrap().is_mute = done == NUMBER;
}

#[test]
fn a_lost_answer_to_any_operation_changes_nothing_in_the_end() {
    let faults = [
        lose_answer::<0>,
        lose_answer::<1>,
        lose_answer::<2>,
        lose_answer::<3>,
        lose_answer::<4>,
        lose_answer::<5>,
    ];
    for (number, fault) in faults.into_iter().enumerate() {
        let mut world = opened_with(true, fault);
        world.run(5_000);
        let told = format!("{number}: {}", world.transcript);
        assert_eq!(world.group().address, at(6380), "{told}");
        assert_eq!(world.group().history[0].outcome, PlanOutcome::Done, "{told}");
        assert!(!world.transcript.contains("NO ONE"), "{told}");
        assert!(world.servers.values().all(|s| !s.paused), "{told}");
        let master = Some(at(6380));
        let follow = |port| world.servers[&at(port)].follows == master;
        assert!(follow(6379) && follow(6381), "{told}");
    }
}

/// A server is away for a while, from any moment on: the plan ends, and the group is whole, with nobody paused.
#[test]
fn exhaustive_outages_of_one_server_heal() {
    for victim in [6379, 6380, 6381] {
        for begin_ms in [0, 50, 200, 400, 600, 700] {
            for outage_ms in [50, 400, 1_500, 15_000] {
                let mut world = opened(false);
                world.run(begin_ms);
                world.servers.get_mut(&at(victim)).unwrap().up = false;
                world.run(outage_ms);
                world.servers.get_mut(&at(victim)).unwrap().up = true;
                world.finish_hand_over(&at(6379));
                world.run(30_000);
                let case = format!("{victim} {begin_ms} {outage_ms}: {}", world.transcript);
                let group = world.group().clone();
                assert!(group.plan.is_none(), "{case}");
                assert!(
                    group
                        .replicas
                        .keys()
                        .all(|r| world.servers[r].follows.as_ref() == Some(&group.address)),
                    "{case}"
                );
                let master = &world.servers[&group.address];
                assert!(master.follows.is_none() && !master.paused, "{case}");
            }
        }
    }
}

#[test]
fn the_cause_is_shown() {
    let mut world = opened(false);
    world.run(300);
    let work = world.core.work.get_mut(&name()).unwrap();
    work.shown = None;
    let mut effects = Vec::new();
    world
        .core
        .step(world.now, WallTime(1), FailoverInput::Timer, &mut effects);
    let shown = effects.iter().find_map(|effect| match effect {
        FailoverEffect::Executing {
            state,
            forced,
            coordinated,
            ..
        } => Some((*state, *forced, *coordinated)),
        _ => None,
    });
    assert_eq!(shown, Some((Some("wait_promotion"), false, true)));
}
