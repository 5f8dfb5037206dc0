//! What a data node (or a sentinel) answers to `ROLE`.

use crate::resp::Frame;
use crate::types::HostPort;

/// State of a replica's link to its master, as `ROLE` spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReplicaLink {
    /// `connect`: must still connect (also `none` and `handshake`).
    Connect,
    /// `connecting`: connecting or in the handshake.
    Connecting,
    /// `sync`: receiving the full copy.
    Sync,
    /// `connected`: receiving the stream.
    Connected,
}

/// A parsed answer to `ROLE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoleReport {
    /// `master`.
    Master {
        /// End of its replication stream.
        offset: i64,
        /// Attached replicas and what they acknowledged; malformed entries are left out.
        replicas: Vec<(HostPort, i64)>,
    },
    /// `slave`.
    Replica {
        /// Whom it follows.
        master: HostPort,
        /// The state of that link.
        link: ReplicaLink,
        /// What it processed; -1 = nothing yet.
        offset: i64,
    },
    /// `sentinel`.
    Sentinel {
        /// Names of the monitored masters.
        masters: Vec<String>,
    },
}

/// Why an answer is not usable as a role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RoleError {
    /// An error reply (`NOPERM`, `LOADING`, ...): its text.
    #[error("ROLE answered: {0}")]
    Refused(String),
    /// Not the shape of an answer to ROLE.
    #[error("ROLE answered something that is not a role")]
    Malformed,
}

impl RoleReport {
    /// Reads the reply.
    ///
    /// # Errors
    /// [`RoleError::Refused`] for an error reply, [`RoleError::Malformed`] for any other shape.
    pub fn from_frame(reply: &Frame) -> Result<Self, RoleError> {
        if let Frame::Error(text) = reply {
            return Err(RoleError::Refused(String::from_utf8_lossy(text).into_owned()));
        }
        let items = reply.elements().ok_or(RoleError::Malformed)?;
        let kind = items.first().and_then(Frame::as_str);
        match (kind, items.get(1..).unwrap_or_default()) {
            (Some("master"), [offset, rest @ ..]) => master(offset, rest.first()),
            (Some("slave" | "replica"), [host, port, state, offset, ..]) => {
                replica(host, port, state, offset)
            }
            (Some("sentinel"), [masters, ..]) => sentinel(masters),
            _ => None,
        }
        .ok_or(RoleError::Malformed)
    }
}

fn master(offset: &Frame, replicas: Option<&Frame>) -> Option<RoleReport> {
    let entry = |frame: &Frame| match frame.elements()? {
        [host, port, offset, ..] => Some((address(host, port)?, offset.as_i64()?)),
        _ => None,
    };
    let replicas = replicas.and_then(Frame::elements).unwrap_or_default();
    Some(RoleReport::Master {
        offset: offset.as_i64()?,
        replicas: replicas.iter().filter_map(entry).collect(),
    })
}

fn replica(host: &Frame, port: &Frame, state: &Frame, offset: &Frame) -> Option<RoleReport> {
    let link = match state.as_str()? {
        "connected" => ReplicaLink::Connected,
        "sync" => ReplicaLink::Sync,
        "connecting" | "handshake" => ReplicaLink::Connecting,
        // `connect`, `none`, and whatever a later version calls a link that does not work.
        _ => ReplicaLink::Connect,
    };
    Some(RoleReport::Replica {
        master: address(host, port)?,
        link,
        offset: offset.as_i64()?,
    })
}

fn sentinel(masters: &Frame) -> Option<RoleReport> {
    let names = masters.elements()?.iter();
    Some(RoleReport::Sentinel {
        masters: names.filter_map(Frame::as_str).map(str::to_owned).collect(),
    })
}

fn address(host: &Frame, port: &Frame) -> Option<HostPort> {
    let port = u16::try_from(port.as_i64()?).ok()?;
    Some(HostPort::new(host.as_str()?, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_roles_are_read() {
        let attached = Frame::Array(vec![
            Frame::bulks(["127.0.0.1", "6380", "1400"]),
            Frame::bulks(["x"]),
        ]);
        let master = Frame::Array(vec![Frame::bulk("master"), Frame::Integer(1402), attached]);
        assert_eq!(
            RoleReport::from_frame(&master),
            Ok(RoleReport::Master {
                offset: 1402,
                replicas: vec![(HostPort::new("127.0.0.1", 6380), 1400)],
            })
        );
        let replica = Frame::Array(vec![
            Frame::bulk("slave"),
            Frame::bulk("127.0.0.1"),
            Frame::Integer(6379),
            Frame::bulk("connected"),
            Frame::Integer(-1),
        ]);
        assert_eq!(
            RoleReport::from_frame(&replica),
            Ok(RoleReport::Replica {
                master: HostPort::new("127.0.0.1", 6379),
                link: ReplicaLink::Connected,
                offset: -1,
            })
        );
        let sentinel = Frame::Array(vec![Frame::bulk("sentinel"), Frame::bulks(["m1", "m2"])]);
        assert_eq!(
            RoleReport::from_frame(&sentinel),
            Ok(RoleReport::Sentinel {
                masters: vec!["m1".to_owned(), "m2".to_owned()]
            })
        );
    }

    #[test]
    fn other_shapes_are_errors() {
        assert_eq!(
            RoleReport::from_frame(&Frame::error("NOPERM no")),
            Err(RoleError::Refused("NOPERM no".to_owned()))
        );
        for frame in [
            Frame::OK,
            Frame::Array(vec![]),
            Frame::bulks(["king", "1"]),
            Frame::bulks(["master"]),
            Frame::bulks(["slave", "h", "70000", "connected", "1"]),
        ] {
            assert_eq!(
                RoleReport::from_frame(&frame),
                Err(RoleError::Malformed),
                "{frame:?}"
            );
        }
    }
}
