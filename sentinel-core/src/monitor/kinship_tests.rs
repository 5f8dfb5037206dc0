//! Processes that come and go at the address of a replica.

use sentinel_proto::info::InstanceReport;

use super::*;
use crate::lineage::{Kinship, Lineage, Sign};

fn full_info(run_id: &str, replid: &str, follows: Option<u16>, keys: u64) -> MonitorInput {
    let role = match follows {
        None => "role:master\n".to_owned(),
        Some(port) => {
            format!("role:slave\nmaster_host:127.0.0.1\nmaster_port:{port}\nmaster_link_status:up\n")
        }
    };
    let text = format!(
        "run_id:{run_id}\nconfig_file:/{run_id}.conf\nloading:0\n{role}master_replid:{replid}\n\
         master_replid2:0000\n# Keyspace\ndb0:keys={keys},expires=0\n"
    );
    MonitorInput::FullInfo(Box::new(InstanceReport::parse(&text)), text.into())
}

/// A replica at 6379 of a master at 6380, seen in its place as process `a`.
fn member() -> World {
    let mut assignment = assignment(1_000);
    assignment.role = ReportedRole::Replica;
    assignment.master_address = at(6380);
    assignment.lineage = Arc::new(Lineage {
        ids: vec!["aaaa".to_owned()],
        files: vec!["/a.conf".to_owned()],
    });
    let mut world = World::new(assignment);
    world.give(full_info("a", "aaaa", Some(6380), 5));
    assert_eq!(world.core.facts().kinship, Kinship::Ours);
    world
}

/// Another connection, on which this answers.
fn replaced(world: &mut World, info: MonitorInput) -> Kinship {
    world.become_dead();
    world.mode = Mode::Fine;
    world.run(200);
    assert_eq!(
        world.core.facts().kinship,
        Kinship::Unknown,
        "nobody has looked yet"
    );
    world.events.clear();
    world.give(info);
    world.core.facts().kinship
}

#[test]
fn a_foreign_process_is_warned_of_once_and_a_member_is_known_again() {
    let mut world = member();
    let foreign = Kinship::Foreign(Sign::NoHistory);
    assert_eq!(replaced(&mut world, full_info("x", "ffff", None, 3)), foreign);
    let warnings = |w: &World| {
        w.events
            .iter()
            .filter(|(_, e)| e.starts_with("+foreign-instance"))
            .count()
    };
    assert_eq!(warnings(&world), 0, "not before it stood for a while");
    world.run(1_200);
    assert_eq!(warnings(&world), 1);
    assert!(
        world.events[0].1.starts_with("+reboot")
            || world.events[0]
                .1
                .starts_with("+foreign-instance slave 127.0.0.1:6379")
    );
    assert_eq!(replaced(&mut world, full_info("x", "ffff", None, 4)), foreign);
    world.run(2_000);
    assert_eq!(warnings(&world), 0, "once per process");
    // The same process as before, whatever it says now.
    assert_eq!(
        replaced(&mut world, full_info("a", "eeee", None, 5)),
        Kinship::Ours
    );
    // Empty: there is nothing to lose.
    assert_eq!(
        replaced(&mut world, full_info("y", "dddd", None, 0)),
        Kinship::Ours
    );
}

#[test]
fn a_process_that_was_foreign_belongs_here_once_it_follows_the_master() {
    let mut world = member();
    replaced(&mut world, full_info("x", "ffff", None, 3));
    world.give(full_info("x", "aaaa", Some(6380), 5));
    assert_eq!(world.core.facts().kinship, Kinship::Ours);
    assert_eq!(
        replaced(&mut world, full_info("x", "ffff", None, 3)),
        Kinship::Ours,
        "it was a member"
    );
}

/// Two failovers while nobody could record the first one: neither id is known to a sentinel that was not there.
#[test]
fn a_replica_in_sync_with_the_master_is_a_member_whatever_its_ids() {
    let mut world = member();
    let judged = replaced(&mut world, full_info("r", "cccc", Some(6380), 5));
    assert_eq!(judged, Kinship::Ours);
    let judged = replaced(&mut world, full_info("r2", "cccc", Some(6390), 5));
    assert_eq!(judged, Kinship::Foreign(Sign::OtherMaster));
}

#[test]
fn the_committed_master_is_trusted_until_it_is_replaced() {
    let mut world = World::new(assignment(1_000));
    world.core.assignment.lineage = Arc::new(Lineage {
        ids: vec!["aaaa".to_owned()],
        files: vec![],
    });
    world.give(full_info("m", "bbbb", None, 5));
    assert_eq!(
        world.core.facts().kinship,
        Kinship::Ours,
        "this node came too late to know"
    );
    let foreign = Kinship::Foreign(Sign::NoHistory);
    assert_eq!(replaced(&mut world, full_info("x", "ffff", None, 5)), foreign);
}

/// Whether the server holds the group's data decides about a foreign master: what the last INFO said may be long ago.
#[test]
fn once_the_master_is_suspect_all_of_info_is_asked_for_until_it_is_there() {
    let mut world = member();
    let mut asked = |input: MonitorInput| {
        let mut effects = Vec::new();
        world.now = world.now.plus(100);
        world.core.step(world.now, input, &mut effects);
        effects.into_iter().find_map(|effect| match effect {
            MonitorEffect::SendInfo { full } => Some(full),
            _ => None,
        })
    };
    let mut suspect = assignment(1_000);
    suspect.role = ReportedRole::Replica;
    suspect.master_address = at(6380);
    suspect.attention = true;
    assert_eq!(asked(MonitorInput::Assigned(suspect)), Some(true));
    assert_eq!(asked(MonitorInput::Timer), Some(true), "no answer yet");
    let report = full_info("a", "aaaa", Some(6380), 6);
    asked(report);
    assert_eq!(asked(MonitorInput::Timer), Some(false));
}
