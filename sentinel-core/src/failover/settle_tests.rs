//! A group that was just taken from files, one of which named a former master.

use super::*;
use crate::settle::{ABSENT_MS, SETTLE_MS};

/// The stale file came first: it names 6379, which is a master of its own, while 6381 follows the true master 6380.
fn stale() -> World {
    let mut world = World::new();
    world.core = FailoverCore::new(ME, Arc::new(world.state.clone()), world.now);
    world.input(FailoverInput::Raft {
        is_raft_leader: true,
        has_majority: true,
    });
    world.input(FailoverInput::Peers(BTreeSet::from([OTHER, NodeId(3)])));
    world.servers.get_mut(&at(6380)).unwrap().follows = None;
    world.servers.get_mut(&at(6381)).unwrap().follows = Some(at(6380));
    world
}

#[test]
fn nothing_is_put_right_before_all_files_had_the_time_to_come() {
    let mut world = stale();
    world.run(SETTLE_MS - 100);
    assert_eq!(world.lines(), Vec::<&str>::new());
    world.run(400);
    assert!(world.transcript.contains("6380 SLAVEOF"), "{}", world.transcript);
}

#[test]
fn the_file_that_knows_better_comes_in_time_and_the_true_master_is_kept() {
    let mut world = stale();
    world.run(SETTLE_MS - 1_000);
    let import = Command::Import {
        master: name(),
        address: at(6380),
        options: Box::new(options()),
        config_epoch: 7,
        current_epoch: 7,
        replicas: vec![at(6379), at(6381)],
        at: WallTime(3),
    };
    assert!(world.commit(&import));
    world.transcript.clear();
    // A still newer file may be on its way.
    world.run(SETTLE_MS - 100);
    assert_eq!(world.lines(), Vec::<&str>::new());
    world.run(400);
    assert!(world.transcript.contains("6379 SLAVEOF"), "{}", world.transcript);
    let follows: Vec<_> = world.servers.values().map(|s| s.follows.clone()).collect();
    assert_eq!(follows, [Some(at(6380)), None, Some(at(6380))]);
}

#[test]
fn a_sentinel_that_is_away_is_waited_for_because_its_file_may_name_the_master_that_others_follow() {
    let mut world = stale();
    world.input(FailoverInput::Peers(BTreeSet::from([OTHER])));
    world.run(3 * SETTLE_MS);
    assert_eq!(world.lines(), Vec::<&str>::new());
    // It is back, and proposes its file.
    world.input(FailoverInput::Peers(BTreeSet::from([OTHER, NodeId(3)])));
    world.run(SETTLE_MS - 500);
    assert_eq!(world.lines(), Vec::<&str>::new());
    world.run(1_000);
    assert!(world.transcript.contains("6380 SLAVEOF"), "{}", world.transcript);

    let mut gone = stale();
    gone.input(FailoverInput::Peers(BTreeSet::from([OTHER])));
    gone.run(ABSENT_MS + 500);
    assert!(gone.transcript.contains("6380 SLAVEOF"), "{}", gone.transcript);

    // A master that nobody follows is a stray: the first seconds are enough.
    let mut stray = stale();
    stray.input(FailoverInput::Peers(BTreeSet::from([OTHER])));
    stray.servers.get_mut(&at(6381)).unwrap().follows = Some(at(6379));
    stray.run(SETTLE_MS + 500);
    assert!(stray.transcript.contains("6380 SLAVEOF"), "{}", stray.transcript);
}
