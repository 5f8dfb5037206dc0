use super::*;
use sentinel_core::replicated::Member;
use sentinel_proto::peer::PeerHello;

fn at(port: u16) -> HostPort {
    HostPort::new("127.0.0.1", port)
}

fn id(n: u64) -> SentinelId {
    SentinelId::from_bytes([n as u8; 20])
}

fn own(n: u64) -> Own {
    Own {
        node: NodeId(n),
        myid: id(n),
        announce_host: None,
        announce_port: 100 + n as u16,
        fallback_host: "127.0.0.1".to_owned(),
        initialised: false,
        cluster_id: None,
    }
}

/// What node `me` knows when its file lists `lines` and it met `met`; node `n` lives at port 100 + n.
fn census(me: u64, lines: &[u64], met: &[u64]) -> Census {
    let mut census = Census::default();
    for n in lines {
        let status = match n {
            n if *n == me => ListedStatus::Myself,
            n if met.contains(n) => ListedStatus::Node(NodeId(*n)),
            _ => ListedStatus::Unknown("connection refused".to_owned()),
        };
        census.listed.push((at(100 + *n as u16), status));
    }
    for n in met {
        let hello = PeerHello {
            node: NodeId(*n),
            myid: id(*n),
            cluster_id: None,
            announce_host: None,
            announce_port: 100 + *n as u16,
            dialed: None,
            initialised: false,
            boot: 1,
        };
        census.met.insert(
            NodeId(*n),
            Met {
                hello,
                address: at(100 + *n as u16),
                connected: true,
            },
        );
    }
    census
}

fn waits(step: &Step, part: &str) -> bool {
    matches!(step, Step::Wait(text) if text.contains(part))
}

#[test]
fn exactly_one_of_the_nodes_founds_and_all_others_agree() {
    let lines = [1, 2, 3];
    let mut proposals = Vec::new();
    for me in lines {
        let met: Vec<u64> = lines.into_iter().filter(|n| *n != me).collect();
        match step(&own(me), &census(me, &lines, &met), &[2], 0) {
            Step::Propose { cluster_id, members } => proposals.push((me, cluster_id, members)),
            other => assert!(matches!(other, Step::Expect(_)), "{other:?}"),
        }
    }
    let [(founder, cluster, members)] = proposals.as_slice() else {
        panic!("{proposals:?}")
    };
    assert_eq!((*founder, members.len()), (1, 3));
    for me in 2..=3 {
        let met: Vec<u64> = lines.into_iter().filter(|n| *n != me).collect();
        assert_eq!(
            agree(&own(me), &census(me, &lines, &met), *cluster, members),
            Ok(())
        );
    }
}

#[test]
fn two_founders_of_one_set_found_the_same_group() {
    let late = |me| step(&own(me), &census(me, &[1, 2], &[3 - me]), &[2], 2 * PATIENCE_MS);
    let (Step::Propose { cluster_id: a, .. }, Step::Propose { cluster_id: b, .. }) = (late(1), late(2))
    else {
        panic!("both found after long enough");
    };
    assert_eq!(a, b);
    let other = vec![(NodeId(1), id(1), at(1)), (NodeId(3), id(3), at(3))];
    assert_ne!(a, cluster_id(&other));
}

#[test]
fn nobody_founds_while_a_listed_peer_is_missing_or_lost() {
    let s = step(&own(1), &census(1, &[1, 2, 3], &[2]), &[2], 60_000);
    assert!(
        waits(&s, "waiting for 127.0.0.1:103 (connection refused)"),
        "{s:?}"
    );
    let mut lost = census(1, &[1, 2, 3], &[2, 3]);
    lost.met.get_mut(&NodeId(3)).unwrap().connected = false;
    assert!(waits(
        &step(&own(1), &lost, &[2], 60_000),
        "127.0.0.1:103 (connection lost)"
    ));
    assert!(agree(&own(1), &lost, 1, &[(NodeId(1), id(1), at(101))]).is_err());
}

#[test]
fn an_initialised_node_founds_nothing_and_agrees_to_nothing() {
    let mut me = own(1);
    me.initialised = true;
    me.cluster_id = Some(9);
    let c = census(1, &[1, 2], &[2]);
    assert_eq!(step(&me, &c, &[2], 0), Step::Initialised);
    let members = founders(&me, &c);
    assert!(
        agree(&me, &c, cluster_id(&members), &members)
            .unwrap_err()
            .contains("belongs to a group already")
    );
}

#[test]
fn a_group_that_we_agreed_to_is_waited_for_and_any_other_is_explained() {
    let mut c = census(1, &[1, 2], &[2]);
    let met = c.met.get_mut(&NodeId(2)).unwrap();
    met.hello.initialised = true;
    met.hello.cluster_id = Some(5);
    assert!(waits(&step(&own(1), &c, &[2], 0), "not possible yet"));
    let mut agreed = own(1);
    agreed.cluster_id = Some(5);
    assert!(waits(
        &step(&agreed, &c, &[2], 0),
        "waiting for the log of the group from 127.0.0.1:102"
    ));
}

#[test]
fn without_peer_lines_only_quorum_one_founds_alone() {
    let alone = Census::default();
    for quorums in [&[][..], &[1], &[1, 1]] {
        let Step::Propose { members, .. } = step(&own(1), &alone, quorums, 0) else {
            panic!("{quorums:?}")
        };
        assert_eq!(members, [(NodeId(1), id(1), at(101))]);
    }
    assert!(waits(&step(&own(1), &alone, &[1, 2], 0), "Add 'sentinel peer"));
}

#[test]
fn a_founder_without_a_peer_of_our_file_is_refused_and_one_with_more_is_not() {
    let members = |nodes: &[u64]| -> Vec<Founder> {
        nodes
            .iter()
            .map(|n| (NodeId(*n), id(*n), at(100 + *n as u16)))
            .collect()
    };
    let c = census(1, &[1, 2], &[2]);
    let ask = |nodes: &[u64]| agree(&own(1), &c, cluster_id(&members(nodes)), &members(nodes));
    assert!(
        ask(&[1, 3])
            .unwrap_err()
            .contains("give all sentinels the same lines")
    );
    assert!(ask(&[2, 3]).unwrap_err().contains("not among the members"));
    assert_eq!(ask(&[1, 2, 3]), Ok(()));
    assert!(
        agree(&own(1), &c, 1, &members(&[1, 2]))
            .unwrap_err()
            .contains("same build")
    );
}

#[test]
fn our_own_member_entry_follows_the_file_and_what_peers_dial() {
    let mut state = State::default();
    let c = census(1, &[], &[]);
    assert_eq!(
        own_member_change(&own(1), &c, &state),
        Some(at(101)),
        "not a member yet"
    );
    state.members.insert(
        NodeId(1),
        Member {
            myid: id(1),
            address: at(101),
        },
    );
    assert_eq!(own_member_change(&own(1), &c, &state), None);
    let mut moved = own(1);
    moved.announce_port = 999;
    assert_eq!(own_member_change(&moved, &c, &state), Some(at(999)));
    moved.announce_host = Some("10.0.0.1".to_owned());
    assert_eq!(
        own_member_change(&moved, &c, &state),
        Some(HostPort::new("10.0.0.1", 999))
    );

    let mut dialed = census(1, &[], &[]);
    dialed.local_ips.insert("10.0.0.7".parse().unwrap());
    assert_eq!(
        own_member_change(&own(1), &dialed, &state),
        None,
        "our end of a connection proves nothing"
    );
    dialed.dialed_as.insert(HostPort::new("10.0.0.7", 101));
    assert_eq!(
        own_member_change(&own(1), &dialed, &state),
        Some(HostPort::new("10.0.0.7", 101))
    );
    dialed.dialed_as.insert(at(101));
    assert_eq!(
        own_member_change(&own(1), &dialed, &state),
        None,
        "both addresses are ours"
    );
}
