use sentinel_proto::role::{ReplicaLink, RoleReport};
use sentinel_proto::types::MasterName;

use super::*;
use crate::fixture::at;

/// A monitor with a model instance: answers each effect after a round trip of 1 ms, or not at all.
struct World {
    core: MonitorCore,
    now: MonoTime,
    /// How the instance behaves.
    mode: Mode,
    due: Vec<(MonoTime, MonitorInput)>,
    events: Vec<(u64, String)>,
    probes: u64,
    connects: u64,
    kills: u64,
    /// What one pass of this process's queue takes: none here is idle for long.
    pass_ms: u64,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Mode {
    Fine,
    Stopped,
    Dead,
    /// Refuses the credentials when the link is made.
    Denies,
    /// Accepts connections, and closes each at the first request.
    HangsUp,
    Says(&'static str),
}

const START: MonoTime = MonoTime(1_000_000);

fn assignment(down_after_ms: u64) -> Assignment {
    Assignment {
        master: MasterName::new("m").unwrap(),
        master_address: HostPort::new("127.0.0.1", 6379),
        role: ReportedRole::Master,
        config_epoch: 0,
        down_after_ms,
        crash_down_after_ms: 0,
        reboot_down_after_ms: 0,
        group: Arc::new([6379, 6380].map(at).into()),
        lineage: Arc::default(),
        attention: false,
    }
}

impl World {
    fn new(assignment: Assignment) -> Self {
        let core = MonitorCore::new(HostPort::new("127.0.0.1", 6379), assignment, START);
        let mut world = Self {
            core,
            now: START,
            mode: Mode::Fine,
            due: vec![(START, MonitorInput::Timer)],
            events: vec![],
            probes: 0,
            connects: 0,
            kills: 0,
            pass_ms: 0,
        };
        world.run(50);
        world.events.clear();
        world
    }

    fn give(&mut self, input: MonitorInput) {
        let mut effects = Vec::new();
        self.core.step(self.now, input, &mut effects);
        for effect in effects {
            self.answer(effect);
        }
    }

    fn answer(&mut self, effect: MonitorEffect) {
        let soon = self.now.plus(1 + 3 * self.pass_ms);
        match effect {
            MonitorEffect::KillScript => self.kills += 1,
            MonitorEffect::Connect {
                generation,
                timeout_ms,
            } => {
                self.connects += 1;
                match self.mode {
                    Mode::Fine | Mode::Says(_) | Mode::HangsUp => {
                        self.due.push((soon, MonitorInput::LinkUp { generation }));
                    }
                    Mode::Dead | Mode::Denies => {
                        let denies = self.mode == Mode::Denies;
                        let failure = if denies {
                            LinkFailure::Auth
                        } else {
                            LinkFailure::Refused
                        };
                        self.due
                            .push((soon, MonitorInput::LinkFailed { generation, failure }));
                    }
                    Mode::Stopped => {
                        let failure = LinkFailure::HandshakeTimeout;
                        let at = self.now.plus(timeout_ms);
                        self.due
                            .push((at, MonitorInput::LinkFailed { generation, failure }));
                    }
                }
            }
            MonitorEffect::SendProbe { generation, .. } => {
                self.probes += 1;
                let ping = match self.mode {
                    Mode::Fine => Ok("PONG".to_owned()),
                    Mode::Says(text) => Err(text.to_owned()),
                    Mode::Stopped | Mode::Dead | Mode::Denies => return,
                    Mode::HangsUp => {
                        let failure = LinkFailure::Closed;
                        let failed = MonitorInput::LinkFailed { generation, failure };
                        return self.due.push((soon, failed));
                    }
                };
                let role = RoleAnswer::Role(RoleReport::Master {
                    offset: 7,
                    replicas: vec![],
                });
                self.due.push((
                    soon,
                    MonitorInput::Probed {
                        generation,
                        ping,
                        role,
                    },
                ));
            }
            MonitorEffect::Event(event) if event.is_published() => {
                let ms = self.now.ms_since(START);
                self.events.push((ms, event.to_string()));
            }
            _ => {}
        }
    }

    /// Runs the model for `ms` milliseconds, jumping from deadline to deadline.
    fn run(&mut self, ms: u64) {
        let end = self.now.plus(ms);
        let mut steps = 0;
        loop {
            steps += 1;
            assert!(steps < 100_000, "busy loop at {:?}", self.now);
            let timer = self.core.poll_timeout(self.now).map(|at| at.plus(self.pass_ms));
            let next = self.due.iter().map(|(at, _)| *at).chain(timer).min();
            match next.filter(|at| *at <= end) {
                None => break,
                Some(at) => self.now = self.now.max(at),
            }
            let position = self.due.iter().position(|(at, _)| *at <= self.now);
            let input = position.map_or(MonitorInput::Timer, |i| self.due.remove(i).1);
            self.give(input);
        }
        self.now = end;
    }

    fn become_dead(&mut self) {
        self.mode = Mode::Dead;
        let generation = self.core.generation;
        self.give(MonitorInput::LinkFailed {
            generation,
            failure: LinkFailure::Closed,
        });
    }

    fn sdown_after(&self, since: u64) -> Option<u64> {
        self.events
            .iter()
            .find(|(_, e)| e.starts_with("+sdown"))
            .map(|(at, _)| at - since)
    }
}

#[test]
fn a_hang_is_noticed_within_down_after_and_a_tenth() {
    for down_after in [200, 1_000, 5_000, 30_000] {
        for phase in [0, 13, 57, 99] {
            let mut world = World::new(assignment(down_after));
            world.run(3 * down_after + phase);
            let since = world.now.ms_since(START);
            world.mode = Mode::Stopped;
            world.run(2 * down_after);
            let took = world.sdown_after(since).expect("+sdown");
            // One millisecond is the probe that was on its way when the hang began.
            assert!(
                took + 1 >= down_after && took <= down_after + down_after / 10,
                "{down_after}: {took}"
            );
            assert_eq!(world.events.len(), 1, "{:?}", world.events);
        }
    }
}

#[test]
fn a_hang_of_nine_tenths_is_never_down() {
    let mut world = World::new(assignment(1_000));
    for _ in 0..20 {
        world.mode = Mode::Stopped;
        let before = world.due.len();
        world.run(900);
        world.mode = Mode::Fine;
        // What was sent while it was stopped is answered now: connects and probes wait in its socket buffers.
        world.due.truncate(before.max(world.due.len()));
        for (_, input) in &mut world.due {
            if let MonitorInput::LinkFailed { generation, .. } = *input {
                *input = MonitorInput::LinkUp { generation };
            }
        }
        let now = world.now;
        world
            .due
            .iter_mut()
            .for_each(|(at, _)| *at = (*at).min(now.plus(1)));
        world.run(60);
    }
    assert_eq!(world.events, vec![], "no +sdown");
}

#[test]
fn a_killed_instance_is_reconnected_at_once_then_every_100_ms_and_down_at_the_deadline() {
    let mut world = World::new(assignment(1_000));
    world.run(5_000);
    let (since, connects) = (world.now.ms_since(START), world.connects);
    world.become_dead();
    assert_eq!(world.connects, connects + 1, "reconnects at once");
    world.run(1_500);
    let took = world.sdown_after(since).expect("+sdown");
    assert!((900..=1_000).contains(&took), "{took}");
    assert!(
        (13..=17).contains(&(world.connects - connects)),
        "{}",
        world.connects - connects
    );
    world.mode = Mode::Fine;
    world.run(300);
    assert_eq!(world.events.last().unwrap().1, "-sdown master m 127.0.0.1 6379");
}

#[test]
fn refused_counts_early_only_when_asked_for() {
    let mut fast = assignment(30_000);
    fast.crash_down_after_ms = 200;
    let mut world = World::new(fast);
    world.run(5_000);
    let since = world.now.ms_since(START);
    world.become_dead();
    world.run(1_000);
    let took = world.sdown_after(since).expect("+sdown");
    assert!((200..=260).contains(&took), "{took}");

    let mut slow = World::new(assignment(30_000));
    slow.become_dead();
    slow.run(5_000);
    assert_eq!(slow.events, vec![]);
}

#[test]
fn error_replies_count_as_sentinel_counts_them() {
    for (reply, down) in [
        ("LOADING Redis is loading the dataset in memory", false),
        ("MASTERDOWN Link with MASTER is down", false),
        ("NOAUTH Authentication required.", false),
        ("WRONGPASS invalid username-password pair", false),
        ("MISCONF Redis is configured to save RDB snapshots", true),
        ("ERR unknown command", true),
    ] {
        let mut world = World::new(assignment(1_000));
        world.mode = Mode::Says(reply);
        world.run(3_000);
        assert_eq!(world.sdown_after(0).is_some(), down, "{reply}");
    }
    let mut busy = World::new(assignment(1_000));
    busy.mode = Mode::Says("BUSY Redis is busy running a script.");
    busy.run(14_000);
    assert_eq!(busy.sdown_after(0), None, "a script gets 15 s");
    busy.run(3_000);
    assert!(busy.sdown_after(0).is_some());
}

#[test]
fn the_time_of_wrong_credentials_is_no_silence_when_they_are_put_right() {
    for refusal in [
        Mode::Denies,
        Mode::Says("WRONGPASS invalid username-password pair"),
    ] {
        let mut world = World::new(assignment(1_000));
        let cut = |world: &mut World| {
            let (generation, failure) = (world.core.generation, LinkFailure::Closed);
            world.give(MonitorInput::LinkFailed { generation, failure });
        };
        world.mode = refusal;
        cut(&mut world);
        world.run(5_000);
        // New credentials cut the link; the next one is not made at once.
        world.mode = Mode::Stopped;
        cut(&mut world);
        world.run(400);
        assert_eq!(world.events, vec![], "{refusal:?}");
        world.mode = Mode::Fine;
        world.run(3_000);
        assert_eq!(world.events, vec![], "{refusal:?}");
        // A server that dies after it refused us is down as any other.
        world.mode = refusal;
        cut(&mut world);
        world.run(5_000);
        world.become_dead();
        world.run(2_500);
        assert!(world.sdown_after(0).is_some(), "{refusal:?}");
    }
}

#[test]
fn evidence_starts_afresh_when_the_role_changes() {
    let mut world = World::new(assignment(1_000));
    world.become_dead();
    world.run(2_000);
    assert!(world.core.facts().sdown_since.is_some());
    let mut replica = assignment(1_000);
    replica.role = ReportedRole::Replica;
    replica.config_epoch = 1;
    replica.master_address = HostPort::new("127.0.0.1", 6380);
    world.events.clear();
    let since = world.now.ms_since(START);
    world.give(MonitorInput::Assigned(replica));
    assert_eq!(world.core.facts().sdown_since, None, "no event, a clean slate");
    world.run(1_500);
    let took = world.sdown_after(since).expect("+sdown slave");
    assert!((990..=1_010).contains(&took), "{took}");
    assert!(
        world.events[0].1.starts_with("+sdown slave 127.0.0.1:6379"),
        "{:?}",
        world.events
    );
}

/// A server without room for clients, or no Redis server at all.
#[test]
fn who_hangs_up_at_each_request_is_not_besieged() {
    let mut world = World::new(assignment(2_000));
    world.run(5_000);
    world.mode = Mode::HangsUp;
    let before = world.connects;
    world.run(10_000);
    let connects = world.connects - before;
    assert!((50..=105).contains(&connects), "{connects} connects in 10 s");
    assert!(world.sdown_after(0).is_some());
}

/// Measured on redis-sentinel 7.0: its entries are new after a switch, so a former master that returns as one is said.
#[test]
fn a_role_is_compared_with_the_one_that_was_given() {
    let mut world = World::new(assignment(1_000));
    let mut replica = assignment(1_000);
    replica.role = ReportedRole::Replica;
    replica.config_epoch = 1;
    replica.master_address = at(6380);
    world.give(MonitorInput::Assigned(replica));
    world.run(1_000);
    let texts: Vec<&str> = world.events.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(
        texts,
        ["-role-change slave 127.0.0.1:6379 127.0.0.1 6379 @ m 127.0.0.1 6380 new reported role is master"]
    );
}

#[test]
fn a_stall_of_this_process_is_not_silence_of_the_instance() {
    let mut world = World::new(assignment(1_000));
    world.mode = Mode::Stopped;
    world.run(300);
    // This process does not run for ten seconds; the instance's answer is not read meanwhile.
    world.now = world.now.plus(10_000);
    world.give(MonitorInput::Timer);
    assert_eq!(
        world.events,
        vec![],
        "no verdict about time in which nobody looked"
    );
    world.run(1_500);
    assert!(world.sdown_after(0).is_some(), "but the clock goes on");
}

#[test]
fn only_the_timer_takes_a_late_answer_for_silence() {
    let mut world = World::new(assignment(1_000));
    world.mode = Mode::Stopped;
    world.run(900);
    let verdict_at = world.core.facts().silent_since.unwrap().plus(1_000);
    world.run(verdict_at.ms_since(world.now).saturating_sub(1));
    world.now = verdict_at.plus(1);
    assert!(world.core.is_answer_overdue(world.now));
    let names = Arc::clone(world.core.names());
    world.give(MonitorInput::Names(names));
    assert_eq!(world.events, vec![], "the answer may be in the socket");
    assert_eq!(world.core.poll_timeout(world.now), Some(world.now));
    world.give(MonitorInput::Timer);
    assert!(world.sdown_after(0).is_some());
}

#[test]
fn a_master_that_says_it_is_a_replica_is_down_after_down_after() {
    let mut world = World::new(assignment(500));
    let role = RoleReport::Replica {
        master: HostPort::new("127.0.0.1", 6380),
        link: ReplicaLink::Connected,
        offset: 1,
    };
    for _ in 0..9 {
        world.give(MonitorInput::RoleSeen(role.clone()));
        assert_eq!(world.sdown_after(0), None);
        world.now = world.now.plus(49);
    }
    world.now = world.now.plus(200);
    world.give(MonitorInput::RoleSeen(role));
    world.give(MonitorInput::Timer);
    let names: Vec<&str> = world
        .events
        .iter()
        .filter_map(|(_, e)| e.split(' ').next())
        .collect();
    assert_eq!(names, ["-role-change", "+sdown"]);
}

#[test]
fn a_replica_that_never_was_in_sync_is_blank_until_it_has_data_or_a_link() {
    use sentinel_proto::info::InstanceReport;
    let mut replica = assignment(1_000);
    replica.role = ReportedRole::Replica;
    let mut world = World::new(replica);
    let info = |since: &str, up: &str, keys: &str| {
        let text = format!(
            "role:slave\r\nmaster_host:127.0.0.1\r\nmaster_port:6379\r\nmaster_link_status:{up}\r\n{since}# Keyspace\r\n{keys}"
        );
        MonitorInput::Info(Box::new(InstanceReport::parse(text)))
    };
    let never = "master_link_down_since_seconds:-1\r\n";
    for (input, blank) in [
        (info(never, "down", ""), true),
        (info(never, "down", "db0:keys=3,expires=0,avg_ttl=0\r\n"), false),
        (info("", "up", ""), false),
        (info("master_link_down_since_seconds:2\r\n", "down", ""), false),
    ] {
        world.give(input);
        assert_eq!(world.core.facts().is_blank, blank);
    }
}

/// ROLE says -1 for a replica whose link is down: taken for 0, it would make the most complete replica look empty.
#[test]
fn the_offset_of_a_replica_whose_link_is_down_is_what_info_says() {
    use sentinel_proto::info::InstanceReport;
    let mut replica = assignment(1_000);
    replica.role = ReportedRole::Replica;
    let mut world = World::new(replica);
    let role = |link, offset| {
        let master = HostPort::new("127.0.0.1", 6379);
        MonitorInput::RoleSeen(RoleReport::Replica { master, link, offset })
    };
    world.give(role(ReplicaLink::Connected, 4_000));
    assert_eq!(
        world
            .core
            .facts()
            .report
            .as_ref()
            .map(|r| (r.offset, r.offset_at)),
        Some((4_000, world.now))
    );
    world.give(role(ReplicaLink::Connect, -1));
    let stale = world.core.facts().report.clone().unwrap();
    assert_eq!(
        (stale.offset, stale.offset_at),
        (4_000, MonoTime(0)),
        "known, but not the last word"
    );
    let text =
        "role:slave\nmaster_link_status:down\nmaster_link_down_since_seconds:1\nslave_repl_offset:4157\n";
    world.give(MonitorInput::Info(Box::new(InstanceReport::parse(text))));
    world.now = world.now.plus(10);
    world.give(role(ReplicaLink::Connect, -1));
    let fresh = world.core.facts().report.clone().unwrap();
    assert_eq!((fresh.offset, world.now.ms_since(fresh.offset_at)), (4_157, 10));
}

#[test]
fn a_master_that_restarts_without_its_data_is_noticed_but_not_one_that_was_flushed_or_loads() {
    use sentinel_proto::info::InstanceReport;
    let info = |run_id: &str, loading: u8, keys: &str| {
        let text = format!("run_id:{run_id}\nrole:master\nloading:{loading}\n# Keyspace\n{keys}");
        MonitorInput::Info(Box::new(InstanceReport::parse(text)))
    };
    let full = "db0:keys=7,expires=0,avg_ttl=0\n";
    for (second, emptied) in [
        (info("b", 0, ""), true),
        (info("a", 0, ""), false),
        (info("b", 1, ""), false),
        (info("b", 0, full), false),
    ] {
        let mut world = World::new(assignment(1_000));
        world.give(info("a", 0, full));
        world.give(second);
        assert_eq!(world.core.facts().emptied_since.is_some(), emptied);
        world.run(11_000);
        assert_eq!(
            world.core.facts().emptied_since,
            None,
            "after a while there is nothing left to save"
        );
    }
}

/// As after SIGSTOP of this process right after a link was lost: nobody was there to see it come back.
#[test]
fn a_stall_while_connecting_is_not_silence_either() {
    let mut world = World::new(assignment(1_000));
    world.run(3_000);
    let generation = world.core.generation;
    world.give(MonitorInput::LinkFailed {
        generation,
        failure: LinkFailure::Closed,
    });
    world.now = world.now.plus(4_000);
    world.give(MonitorInput::Timer);
    world.run(500);
    assert_eq!(world.events, vec![]);
}

#[path = "kinship_tests.rs"]
mod kinship;
#[path = "lag_tests.rs"]
mod lag;
#[path = "restart_tests.rs"]
mod restarts;
