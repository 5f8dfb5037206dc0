//! Where a peer is reached when it moved, or announces another address than the one that works.

use std::sync::Arc;

use sentinel_core::replicated::State;
use sentinel_proto::{HostPort, NodeId};

use super::PeerAcceptor as _;
use super::tests::{Stack, group, listeners, members, settings, start, wait_for};

#[tokio::test]
async fn a_member_at_a_new_address_is_reached_before_anything_is_committed() {
    let (mut doors, addresses) = listeners(3).await;
    let state = members(&[(1, &addresses[0]), (2, &addresses[1])]);
    let one = start(
        settings(1, addresses[0].port, &[]),
        Some(7),
        state.clone(),
        doors.remove(0),
    );
    // Node 2 was committed at addresses[1] and starts at addresses[2].
    let two = start(
        settings(2, addresses[2].port, &[]),
        Some(7),
        state,
        doors.remove(1),
    );
    wait_for("the moved node reaches the other", || two.connected_to(1)).await;
    wait_for("its new address is dialed", || {
        one.view
            .peers
            .load()
            .get(&NodeId(2))
            .is_some_and(|p| p.address == addresses[2] && p.connected)
    })
    .await;
    assert_eq!(one.call(2, b"ab").await.as_deref(), Ok(b"ba".as_slice()));
}

/// The address under which `stack` knows node `n`, while a connection that it dialed itself works.
fn reached_at(stack: &Stack, n: u8) -> Option<HostPort> {
    let peers = stack.view.peers.load();
    let peer = peers.get(&NodeId(n.into()))?;
    let routes = stack.peers.shared.routes.load();
    let links = routes.get(&NodeId(n.into()))?;
    let dialed = links.iter().any(|l| l.is_open() && l.via.dialed().is_some());
    (peer.connected && dialed).then(|| peer.address.clone())
}

#[tokio::test]
async fn a_member_that_announces_an_unreachable_address_stays_connected() {
    let (mut doors, addresses) = listeners(2).await;
    let state = members(&[(1, &addresses[0]), (2, &addresses[1])]);
    let nowhere = HostPort::new("no-such-host.invalid", addresses[1].port);
    let one = settings(1, addresses[0].port, &addresses[1..]);
    let mut two = settings(2, addresses[1].port, &addresses[..1]);
    two.announce_host = Some(nowhere.host.clone());
    let (one, two) = (
        start(one, Some(7), State::default(), doors.remove(0)),
        start(two, Some(7), State::default(), doors.remove(0)),
    );
    for again in [false, true] {
        wait_for("reached where the line says", || {
            reached_at(&one, 2).as_ref() == Some(&nowhere)
        })
        .await;
        if !again {
            one.view.state.store(Arc::new(state.clone()));
            let dialed = one.peers.shared.routes.load()[&NodeId(2)][0].clone();
            assert_eq!(dialed.via.dialed(), Some(&addresses[1]));
            // The member is known now; what works stays, and a lost connection comes back.
            dialed.close("by the test");
            wait_for("that connection ended", || !dialed.is_open()).await;
        }
    }
    assert_eq!(one.call(2, b"ab").await.as_deref(), Ok(b"ba".as_slice()));
    drop(two);
}

#[tokio::test]
async fn a_new_announced_address_is_told_to_peers_that_are_connected() {
    let (stacks, addresses) = group().await;
    let parameters = crate::server::Parameters {
        announce_ip: Some("127.0.0.9".to_owned()),
        ..Default::default()
    };
    stacks[1].peers.reconfigure(&parameters);
    let announced = HostPort::new("127.0.0.9", addresses[1].port);
    for stack in [&stacks[0], &stacks[2]] {
        wait_for("the announced address is shown", || {
            reached_at(stack, 2).as_ref() == Some(&announced)
        })
        .await;
    }
    stacks[1].peers.reconfigure(&Default::default());
    for stack in [&stacks[0], &stacks[2]] {
        wait_for("the address that works is shown", || {
            reached_at(stack, 2).as_ref() == Some(&addresses[1])
        })
        .await;
    }
}
