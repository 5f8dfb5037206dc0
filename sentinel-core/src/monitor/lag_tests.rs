use super::*;

/// More groups than this process has time for: every queue is long, and each answer passes several.
#[test]
fn who_is_late_itself_calls_nobody_down_for_it() {
    for pass_ms in [100, 300, 700, 1_200] {
        let mut world = World::new(assignment(3_000));
        world.run(3_000);
        world.pass_ms = pass_ms;
        let connects = world.connects;
        world.run(60_000);
        assert_eq!(world.events, vec![], "a pass takes {pass_ms} ms");
        assert_eq!(world.connects, connects, "no link is given up: {pass_ms} ms");
    }
}

#[test]
fn who_is_late_itself_still_finds_a_dead_master_and_is_as_quick_as_before_afterwards() {
    for pass_ms in [100, 300, 500] {
        let mut world = World::new(assignment(3_000));
        world.pass_ms = pass_ms;
        world.run(10_000);
        world.mode = Mode::Stopped;
        world.run(12_000);
        assert!(world.sdown_after(0).is_some(), "a pass takes {pass_ms} ms");
    }
    let mut world = World::new(assignment(3_000));
    world.pass_ms = 700;
    world.run(10_000);
    world.pass_ms = 0;
    world.run(5_000);
    world.mode = Mode::Stopped;
    world.run(3_700);
    assert!(world.sdown_after(0).is_some(), "the lag is forgotten");
}
