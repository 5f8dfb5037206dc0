//! Reboots, busy servers, TILT.

use sentinel_proto::info::InstanceReport;

use super::*;

fn info(run_id: &str) -> MonitorInput {
    let text = format!("run_id:{run_id}\nrole:master\n");
    MonitorInput::Info(Box::new(InstanceReport::parse(text)))
}

fn rebooting(period_ms: u64) -> World {
    let mut assignment = assignment(30_000);
    assignment.reboot_down_after_ms = period_ms;
    let mut world = World::new(assignment);
    world.give(info("a"));
    world.run(2_000);
    world.mode = Mode::Says("LOADING Redis is loading the dataset in memory");
    world.give(info("b"));
    world
}

#[test]
fn a_master_that_loads_for_longer_than_the_reboot_period_is_down_until_it_answers_pong() {
    let mut world = rebooting(3_000);
    assert!(world.core.facts().rebooting_since.is_some());
    world.run(10_000);
    let named = |start: &str| {
        world
            .events
            .iter()
            .find(|(_, e)| e.starts_with(start))
            .map(|(at, _)| *at)
    };
    let (rebooted, down) = (named("+reboot").unwrap(), named("+sdown").unwrap());
    assert_eq!(down - rebooted, 3_000);
    world.mode = Mode::Fine;
    world.run(2_000);
    assert!(world.events.last().unwrap().1.starts_with("-sdown master m"));
    assert_eq!(world.core.facts().rebooting_since, None);
}

#[test]
fn without_the_option_or_with_a_quick_start_a_reboot_is_only_told() {
    let mut off = rebooting(0);
    off.run(10_000);
    let mut quick = rebooting(3_000);
    quick.run(2_000);
    quick.mode = Mode::Fine;
    quick.run(10_000);
    for world in [off, quick] {
        assert_eq!(world.events.len(), 1, "{:?}", world.events);
        assert_eq!(world.events[0].1, "+reboot master m 127.0.0.1 6379");
        assert_eq!(world.core.facts().rebooting_since, None);
    }
}

#[test]
fn a_busy_server_is_told_once_to_kill_its_script_and_is_down_only_much_later() {
    let mut world = World::new(assignment(1_000));
    world.run(3_000);
    world.mode = Mode::Says("BUSY Redis is busy running a script.");
    world.run(900);
    assert_eq!(world.kills, 0);
    world.run(300);
    assert_eq!(world.kills, 1);
    world.run(10_000);
    assert_eq!((world.kills, world.sdown_after(0)), (1, None));
    assert!(world.core.facts().script_kill_sent);
    world.run(5_000);
    assert!(world.sdown_after(0).is_some(), "patience has an end");
    world.mode = Mode::Fine;
    world.run(200);
    assert!(!world.core.facts().script_kill_sent);
    assert!(world.events.last().unwrap().1.starts_with("-sdown"));
}

#[test]
fn without_a_majority_the_script_goes_on_and_is_killed_as_soon_as_there_is_one() {
    let mut world = World::new(assignment(1_000));
    world.mode = Mode::Says("BUSY Redis is busy running a script.");
    world.run(1_500);
    assert_eq!(world.kills, 1);
    world.give(MonitorInput::ScriptKill { sent: false });
    assert!(!world.core.facts().script_kill_sent);
    world.run(900);
    assert_eq!(world.kills, 1);
    world.run(300);
    assert_eq!(world.kills, 2);
}

#[test]
fn in_tilt_no_verdict_changes() {
    let mut world = World::new(assignment(1_000));
    world.run(3_000);
    world.core.set_tilt(true);
    world.mode = Mode::Stopped;
    world.run(5_000);
    assert_eq!(world.events, vec![]);
    world.core.set_tilt(false);
    world.give(MonitorInput::Timer);
    assert!(world.sdown_after(0).is_some());
    world.core.set_tilt(true);
    world.mode = Mode::Fine;
    world.run(5_000);
    assert_eq!(world.events.len(), 1, "{:?}", world.events);
    world.core.set_tilt(false);
    world.run(1_000);
    assert_eq!(world.events.len(), 2, "{:?}", world.events);
}

#[test]
fn a_refused_connect_is_said_once_until_the_link_is_up_again() {
    let mut core = MonitorCore::new(at(6379), assignment(1_000), START);
    let mut said = 0;
    let mut give = |core: &mut MonitorCore, input: MonitorInput| {
        let mut effects = Vec::new();
        core.step(START, input, &mut effects);
        said += effects
            .iter()
            .filter(|e| matches!(e, MonitorEffect::Event(e) if e.to_string() == "-cmd-link-reconnection master m 127.0.0.1 6379 #Connection refused"))
            .count();
        said
    };
    let generation = 0;
    let failure = LinkFailure::Refused;
    give(&mut core, MonitorInput::LinkFailed { generation, failure });
    let generation = core.generation;
    assert_eq!(
        give(&mut core, MonitorInput::LinkFailed { generation, failure }),
        1
    );
    let generation = core.generation;
    give(&mut core, MonitorInput::LinkUp { generation });
    assert_eq!(
        give(&mut core, MonitorInput::LinkFailed { generation, failure }),
        2
    );
}
