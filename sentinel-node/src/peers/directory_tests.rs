use super::*;

fn id(n: u8) -> SentinelId {
    SentinelId::from_bytes([n; 20])
}

fn at(port: u16) -> HostPort {
    HostPort::new("127.0.0.1", port)
}

fn hello(n: u8, port: u16) -> PeerHello {
    PeerHello {
        node: NodeId(n.into()),
        myid: id(n),
        cluster_id: None,
        announce_host: None,
        announce_port: port,
        dialed: None,
        initialised: false,
        boot: 1,
    }
}

fn dialed<'a>(hello: &'a PeerHello, address: &'a HostPort) -> Arrival<'a> {
    Arrival {
        hello,
        dialed: Some(address),
        remote: address.ip(),
    }
}

fn accepted(hello: &PeerHello) -> Arrival<'_> {
    Arrival {
        hello,
        dialed: None,
        remote: at(0).ip(),
    }
}

fn directory(listed: &[u16]) -> Directory {
    let listed: Vec<HostPort> = listed.iter().map(|port| at(*port)).collect();
    Directory::new(NodeId(1), id(1), 7, &listed)
}

fn nobody() -> BTreeMap<NodeId, HostPort> {
    BTreeMap::new()
}

fn refused(admission: &Admission, part: &str) -> bool {
    matches!(admission, Admission::Refuse(reason) if reason.contains(part))
}

#[test]
fn a_line_that_names_ourselves_is_dropped() {
    let mut dir = directory(&[1, 2]);
    let mut own = hello(1, 1);
    own.boot = 7;
    assert_eq!(dir.admit(&dialed(&own, &at(1))), Admission::Myself);
    dir.is_myself(&at(1));
    assert_eq!(dir.targets(&nobody()), BTreeSet::from([at(2)]));
    assert_eq!(dir.census().dialed_as, BTreeSet::from([at(1)]));
}

#[test]
fn our_node_id_in_another_process_is_a_copied_data_directory() {
    let dir = directory(&[2]);
    assert!(refused(
        &dir.admit(&dialed(&hello(1, 2), &at(2))),
        "data directory is a copy"
    ));
}

#[test]
fn our_myid_at_another_node_is_a_copied_file() {
    let dir = directory(&[2]);
    let mut twin = hello(2, 2);
    twin.myid = id(1);
    assert!(refused(&dir.admit(&accepted(&twin)), "sentinel myid"));
}

#[test]
fn a_node_of_another_group_is_refused_and_one_without_a_group_is_not() {
    let mut dir = directory(&[2]);
    dir.cluster_id = Some(5);
    let mut other = hello(2, 2);
    assert_eq!(dir.admit(&accepted(&other)), Admission::Welcome);
    other.cluster_id = Some(5);
    assert_eq!(dir.admit(&accepted(&other)), Admission::Welcome);
    other.cluster_id = Some(6);
    assert_eq!(
        dir.admit(&accepted(&other)),
        Admission::Welcome,
        "two agreements, no group"
    );
    other.initialised = true;
    assert!(refused(&dir.admit(&accepted(&other)), "belongs to another group"));
    other.initialised = false;
    dir.initialised = true;
    assert!(refused(&dir.admit(&accepted(&other)), "belongs to another group"));
}

#[test]
fn a_second_process_with_a_peers_node_id_is_refused_while_the_first_is_connected() {
    let mut dir = directory(&[2, 3]);
    let first = hello(2, 2);
    dir.arrived(&dialed(&first, &at(2)), None);
    let mut second = hello(2, 3);
    second.boot = 2;
    assert!(refused(&dir.admit(&dialed(&second, &at(3))), "copy of the other"));
    // The same after the first is gone is a node that moved.
    dir.left(NodeId(2));
    assert_eq!(dir.admit(&dialed(&second, &at(3))), Admission::Welcome);
    // A restart at the same place is welcome even before the old connection is known to be lost.
    dir.arrived(&dialed(&first, &at(2)), None);
    second.announce_port = 2;
    assert_eq!(dir.admit(&dialed(&second, &at(2))), Admission::Welcome);
}

#[test]
fn a_member_is_dialed_where_it_says_it_is() {
    let mut dir = directory(&[]);
    let member = Member {
        myid: id(2),
        address: at(2),
    };
    let me = Member {
        myid: id(1),
        address: at(1),
    };
    dir.set_members(&BTreeMap::from([(NodeId(1), me), (NodeId(2), member)]));
    assert_eq!(dir.targets(&nobody()), BTreeSet::from([at(2)]));
    dir.arrived(&accepted(&hello(2, 22)), None);
    assert_eq!(dir.targets(&nobody()), BTreeSet::from([at(22)]));
    dir.left(NodeId(2));
    assert_eq!(
        dir.targets(&nobody()),
        BTreeSet::from([at(22)]),
        "it says so until it says otherwise"
    );
}

#[test]
fn a_line_is_dialed_until_its_node_is_a_connected_member() {
    let mut dir = directory(&[2]);
    dir.arrived(&dialed(&hello(2, 20), &at(2)), None);
    assert_eq!(dir.targets(&nobody()), BTreeSet::from([at(2)]));
    dir.set_members(&BTreeMap::from([(
        NodeId(2),
        Member {
            myid: id(2),
            address: at(20),
        },
    )]));
    assert_eq!(
        dir.targets(&nobody()),
        BTreeSet::from([at(2), at(20)]),
        "the announced address may not work from here"
    );
    for reached in [2, 20] {
        let connected = BTreeMap::from([(NodeId(2), at(reached))]);
        assert_eq!(dir.targets(&connected), BTreeSet::from([at(reached)]));
    }
}

#[test]
fn an_announced_host_wins_over_the_dialed_one_and_a_seen_one_never_replaces_a_dialed_one() {
    let mut peer = hello(2, 2);
    let line = HostPort::new("sentinel-2.example", 2);
    assert_eq!(address_of(&dialed(&peer, &line)), line);
    let mut dir = directory(&[]);
    dir.arrived(&dialed(&peer, &line), None);
    dir.arrived(&accepted(&peer), None);
    assert_eq!(dir.address(NodeId(2)), Some(line.clone()));
    peer.announce_host = Some("10.0.0.2".to_owned());
    assert_eq!(address_of(&dialed(&peer, &line)), HostPort::new("10.0.0.2", 2));
    assert_eq!(address_of(&accepted(&peer)), HostPort::new("10.0.0.2", 2));
}

#[test]
fn fellows_are_members_and_those_who_say_so() {
    let mut dir = directory(&[2, 3]);
    dir.arrived(&dialed(&hello(3, 3), &at(3)), None);
    assert!(dir.fellows().is_empty(), "no group yet");
    dir.cluster_id = Some(5);
    let mut peer = hello(2, 2);
    peer.cluster_id = Some(5);
    dir.arrived(&dialed(&peer, &at(2)), None);
    assert_eq!(dir.fellows().into_keys().collect::<Vec<_>>(), [NodeId(2)]);
}
