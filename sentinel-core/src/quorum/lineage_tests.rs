//! What is recorded of a group's lineage, and a foreign server in the master's place.

use super::*;
use crate::lineage::{Origin, Sign};

fn with_origin(id: &'static str, file: &'static str) -> impl Fn(&mut InstanceFacts) {
    move |facts| {
        facts.kinship = Kinship::Ours;
        facts.keys = Some(5);
        facts.origin = Some(Arc::new(Origin {
            run_id: "r".to_owned(),
            id: id.to_owned(),
            former_id: Some("0aaa".to_owned()),
            file: file.to_owned(),
            attached: vec![],
            keys: 5,
        }));
        if let Some(report) = &mut facts.report {
            report.link = ReplicationLink::Up;
        }
    }
}

fn known() -> World {
    let mut world = World::new();
    world.see(6379, with_origin("aaaa", "/m"));
    world.see(6380, with_origin("aaaa", "/r"));
    world
}

#[test]
fn news_are_gathered_and_recorded_in_one_command() {
    let mut world = known();
    assert_eq!(world.proposals(), Vec::<&Command>::new());
    world.pass(1_000);
    let expected = Command::RecordLineage {
        master: name(),
        address: at(6379),
        ids: vec!["0aaa".to_owned(), "aaaa".to_owned()],
        files: vec!["/m".to_owned(), "/r".to_owned()],
    };
    assert_eq!(world.proposals(), [&expected]);
    apply(&mut world.state, 6, &expected);
    world.input(QuorumInput::Proposed(name(), Some(6)));
    world.input(QuorumInput::State(Arc::new(world.state.clone())));
    world.effects.clear();
    world.pass(5_000);
    assert_eq!(world.proposals(), Vec::<&Command>::new(), "nothing is new");
}

#[test]
fn the_id_of_a_promotion_is_recorded_at_once() {
    let mut world = World::new();
    let lineage = Command::RecordLineage {
        master: name(),
        address: at(6379),
        ids: vec!["0aaa".to_owned()],
        files: vec!["/m".to_owned()],
    };
    apply(&mut world.state, 6, &lineage);
    world.input(QuorumInput::State(Arc::new(world.state.clone())));
    world.see(6379, with_origin("bbbb", "/m"));
    let expected = Command::RecordLineage {
        master: name(),
        address: at(6379),
        ids: vec!["bbbb".to_owned()],
        files: vec![],
    };
    assert_eq!(world.proposals(), [&expected]);
}

#[test]
fn a_foreign_server_in_the_masters_place_is_down_while_a_replica_holds_the_data() {
    for (id, down) in [("aaaa", true), ("ffff", false)] {
        let mut world = known();
        let lineage = Command::RecordLineage {
            master: name(),
            address: at(6379),
            ids: vec!["aaaa".to_owned()],
            files: vec![],
        };
        apply(&mut world.state, 6, &lineage);
        world.input(QuorumInput::State(Arc::new(world.state.clone())));
        world.see(6380, with_origin(id, "/r"));
        world.effects.clear();
        world.see(6379, |f| {
            with_origin("ffff", "/x")(f);
            f.kinship = Kinship::Foreign(Sign::OtherHistory);
        });
        let told = world.effects.iter().find_map(|e| match e {
            QuorumEffect::Broadcast(all) => all.first().map(|o| (o.down, o.class)),
            _ => None,
        });
        assert_eq!(told, down.then_some((true, EvidenceClass::Foreign)));
        world.hear(2, |o| o.class = EvidenceClass::Foreign);
        assert_eq!(world.events().iter().any(|e| e.starts_with("+odown")), down);
    }
}
