use super::*;

fn master() -> InstanceRef {
    InstanceRef::master(&name(), &HostPort::new("127.0.0.1", 6379))
}

fn name() -> MasterName {
    MasterName::new("redis-master-node").unwrap()
}

fn replica(host: &str, port: u16) -> InstanceRef {
    InstanceRef::replica(&HostPort::new(host, port), &name(), master().address())
}

fn id() -> SentinelId {
    SentinelId::new("8c9ec52ac1a98be6e5a2eca98e9b880d2f39381d").unwrap()
}

fn sentinel() -> InstanceRef {
    let address = HostPort::new("127.0.0.1", 16380);
    InstanceRef::sentinel(&id(), &address, &name(), master().address())
}

/// Lines of a real log of redis-sentinel, with their level marks.
#[test]
fn events_read_like_the_reference_log() {
    use EventName as E;
    let replica = replica("127.0.0.1", 6380);
    let new = HostPort::new("127.0.0.1", 6380);
    let cases = [
        (
            Event::monitor(&master(), 2),
            "# +monitor master redis-master-node 127.0.0.1 6379 quorum 2",
        ),
        (
            Event::about(E::Slave, &replica),
            "* +slave slave 127.0.0.1:6380 127.0.0.1 6380 @ redis-master-node 127.0.0.1 6379",
        ),
        (
            Event::about(E::Sentinel, &sentinel()),
            "* +sentinel sentinel 8c9ec52ac1a98be6e5a2eca98e9b880d2f39381d 127.0.0.1 16380 @ redis-master-node 127.0.0.1 6379",
        ),
        (
            Event::about(E::Sdown, &master()),
            "# +sdown master redis-master-node 127.0.0.1 6379",
        ),
        (
            Event::odown(&master(), 2, 2),
            "# +odown master redis-master-node 127.0.0.1 6379 #quorum 2/2",
        ),
        (Event::new_epoch(&name(), 1), "# +new-epoch 1"),
        (
            Event::vote_for_leader(&name(), &id(), 1),
            "# +vote-for-leader 8c9ec52ac1a98be6e5a2eca98e9b880d2f39381d 1",
        ),
        (
            Event::switch_master(&name(), master().address(), &new),
            "# +switch-master redis-master-node 127.0.0.1 6379 127.0.0.1 6380",
        ),
        (
            Event::about(E::ConfigUpdateFrom, &sentinel()),
            "# +config-update-from sentinel 8c9ec52ac1a98be6e5a2eca98e9b880d2f39381d 127.0.0.1 16380 @ redis-master-node 127.0.0.1 6379",
        ),
        (
            Event::role_change(&replica, ReportedRole::Master, false),
            "- -role-change slave 127.0.0.1:6380 127.0.0.1 6380 @ redis-master-node 127.0.0.1 6379 new reported role is master",
        ),
        (
            Event::set(&master(), "rename-command", &["CONFIG", "cfg"]),
            "# +set master redis-master-node 127.0.0.1 6379 rename-command CONFIG cfg",
        ),
        (
            Event::sentinel_address_switch(&master(), &new, &id()),
            "* +sentinel-address-switch master redis-master-node 127.0.0.1 6379 ip 127.0.0.1 port 6380 for 8c9ec52ac1a98be6e5a2eca98e9b880d2f39381d",
        ),
        (Event::tilt_entered(), "# +tilt #tilt mode entered"),
        (Event::script_error("/x.sh", 99, 0), "# -script-error /x.sh 99 0"),
        (
            Event::link_failed(&master(), false, "Connection refused"),
            ". -cmd-link-reconnection master redis-master-node 127.0.0.1 6379 #Connection refused",
        ),
    ];
    for (event, line) in cases {
        assert_eq!(format!("{} {event}", event.level.mark()), line);
    }
}

#[test]
fn ipv6_is_bracketed_in_the_name_only() {
    assert_eq!(
        replica("::1", 6380).to_string(),
        "slave [::1]:6380 ::1 6380 @ redis-master-node 127.0.0.1 6379"
    );
}

#[test]
fn scripts_and_channels_follow_the_level() {
    let warning = Event::about(EventName::Sdown, &master());
    assert!(warning.calls_notification_script() && warning.is_published());
    let notice = Event::about(EventName::Slave, &replica("h", 1));
    assert!(!notice.calls_notification_script() && notice.is_published());
    assert!(!Event::tilt_entered().calls_notification_script());
    assert!(!Event::script_started(1).is_published());
}

#[test]
fn names_are_distinct_and_signed() {
    let mut names: Vec<&str> = EventName::ALL.iter().map(|name| name.as_str()).collect();
    assert!(names.iter().all(|name| name.starts_with(['+', '-'])));
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), EventName::ALL.len());
}

#[test]
fn addresses_are_shown_in_another_spelling() {
    let at = |text: &str| text.parse::<HostPort>().unwrap();
    let spell = |address: &HostPort| match address.host.as_str() {
        "db1" => HostPort::new("10.0.0.1", address.port),
        "db2" => HostPort::new("::1", address.port),
        _ => address.clone(),
    };
    let name = MasterName::new("m").unwrap();
    let replica = InstanceRef::replica(&at("db2:2"), &name, &at("db1:1"));
    let id = SentinelId::from_bytes([1; 20]);
    let sentinel = InstanceRef::sentinel(&id, &at("db1:3"), &name, &at("10.9.9.9:1"));
    for (event, expected) in [
        (
            Event::about(EventName::Slave, &replica),
            "slave [::1]:2 ::1 2 @ m 10.0.0.1 1".to_owned(),
        ),
        (
            Event::monitor(&InstanceRef::master(&name, &at("db1:1")), 2),
            "master m 10.0.0.1 1 quorum 2".to_owned(),
        ),
        (
            Event::about(EventName::Sdown, &sentinel),
            format!("sentinel {id} 10.0.0.1 3 @ m 10.9.9.9 1"),
        ),
        (
            Event::switch_master(&name, &at("db1:1"), &at("db2:2")),
            "m 10.0.0.1 1 ::1 2".to_owned(),
        ),
        (
            Event::sentinel_address_switch(&InstanceRef::master(&name, &at("db1:1")), &at("db2:2"), &id),
            format!("master m 10.0.0.1 1 ip ::1 port 2 for {id}"),
        ),
        (Event::new_epoch(&name, 7), "7".to_owned()),
    ] {
        assert_eq!(event.respelled(&spell).payload, expected);
    }
}
