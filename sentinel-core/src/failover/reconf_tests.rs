//! Replicas that do not do as they are told.

use super::*;

#[test]
fn a_server_that_refuses_orders_is_asked_ever_less_often() {
    let mut world = World::new();
    let server = world.servers.get_mut(&at(6381)).unwrap();
    (server.follows, server.refuses) = (Some(at(6380)), Some("NOPERM no permissions"));
    world.run(120_000);
    let asked = world.transcript.matches("+fix-slave-config").count();
    assert!((4..=8).contains(&asked), "{}", world.transcript);
}
