//! What the tests of several cores start from.

use sentinel_proto::SentinelId;
use sentinel_proto::types::{HostPort, MasterName, NodeId, WallTime};

use crate::replicated::{Command, GroupOptions, Outcome, State, apply};

/// The group of [`three_nodes`].
pub(crate) fn name() -> MasterName {
    MasterName::new("m").unwrap()
}

/// A port of this machine.
pub(crate) fn at(port: u16) -> HostPort {
    HostPort::new("127.0.0.1", port)
}

/// `odown_quorum` 2, down-after 1 s, failover-timeout 10 s.
pub(crate) fn options() -> GroupOptions {
    let mut options = GroupOptions::with_quorum(2);
    options.down_after_ms = 1_000;
    options.failover_timeout_ms = 10_000;
    options
}

/// Sentinels 1 to 3 at ports from 26379, and a group with its master at 6379 and replicas at 6380 and 6381. Five commands
/// are applied.
pub(crate) fn three_nodes(options: GroupOptions) -> State {
    let members = (1..=3u8).map(|node| Command::SetMember {
        node: NodeId(u64::from(node)),
        myid: SentinelId::from_bytes([node; 20]),
        address: at(26_378 + u16::from(node)),
    });
    let monitor = Command::Monitor {
        master: name(),
        address: at(6379),
        options,
        at: WallTime(1),
    };
    let replicas = Command::AddReplicas {
        master: name(),
        listed_by: at(6379),
        replicas: vec![at(6380), at(6381)],
        at: WallTime(2),
    };
    let mut state = State::default();
    for (index, command) in (1..).zip(members.chain([monitor, replicas])) {
        assert_eq!(apply(&mut state, index, &command).0, Outcome::Done, "{command:?}");
    }
    state
}
