//! HELLO, ROLE, PING and the lines of CLIENT LIST.

use std::fmt::{self, Write as _};

use bytes::Bytes;

use crate::resp::{Frame, Protocol};

/// The reply to HELLO: six entries; a data server has a seventh, `role`, which a sentinel must not have.
#[must_use]
pub fn hello(version: &str, protocol: Protocol, client_id: u64) -> Frame {
    let entry = |name: &'static str, value: Frame| (Frame::from(name), value);
    Frame::Map(vec![
        entry("server", "redis".into()),
        entry("version", Frame::bulk(version)),
        entry("proto", Frame::Integer(protocol.number())),
        entry("id", integer(client_id)),
        entry("mode", "sentinel".into()),
        entry("modules", Frame::Array(Vec::new())),
    ])
}

/// The reply to ROLE: how clients recognise a sentinel.
#[must_use]
pub fn role<'a>(masters: impl IntoIterator<Item = &'a str>) -> Frame {
    Frame::Array(vec!["sentinel".into(), Frame::bulks(masters)])
}

/// The reply to PING. A RESP2 client with subscriptions gets an array instead.
#[must_use]
pub fn pong(message: Option<Bytes>, protocol: Protocol, subscribed: bool) -> Frame {
    if subscribed && protocol == Protocol::Resp2 {
        return Frame::Array(vec!["pong".into(), Frame::Bulk(message.unwrap_or_default())]);
    }
    message.map_or(Frame::Simple(Bytes::from_static(b"PONG")), Frame::Bulk)
}

/// A number as an integer reply.
#[must_use]
pub fn integer(number: u64) -> Frame {
    Frame::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

/// One client, as CLIENT LIST and CLIENT INFO show it. `Display` is the line without its line feed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientLine {
    /// Number of the connection, never reused.
    pub id: u64,
    /// `ip:port` of the client.
    pub address: String,
    /// `ip:port` of this side.
    pub local_address: String,
    /// CLIENT SETNAME.
    pub name: String,
    /// Seconds since the connection was accepted.
    pub age_s: u64,
    /// Seconds since the last request.
    pub idle_s: u64,
    /// Channels.
    pub channels: usize,
    /// Patterns.
    pub patterns: usize,
    /// Bytes of input that are not a whole request yet.
    pub query_bytes: usize,
    /// Bytes of output that wait for the client.
    pub output_bytes: usize,
    /// Frames that wait for the client.
    pub output_frames: usize,
    /// The last command, as in the command table; empty = none yet (`NULL`).
    pub command: String,
    /// The ACL user.
    pub user: String,
    /// Connected to a Unix socket.
    pub unix: bool,
    /// Protocol version.
    pub protocol: Protocol,
    /// CLIENT SETINFO LIB-NAME.
    pub lib_name: String,
    /// CLIENT SETINFO LIB-VER.
    pub lib_version: String,
}

impl fmt::Display for ClientLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subscribed = self.channels > 0 || self.patterns > 0;
        let flags = match (subscribed, self.unix) {
            (false, false) => "N",
            (true, false) => "P",
            (false, true) => "U",
            (true, true) => "PU",
        };
        let events = if self.output_bytes > 0 { "rw" } else { "r" };
        let command = if self.command.is_empty() {
            "NULL"
        } else {
            &self.command
        };
        write!(
            f,
            "id={} addr={} laddr={} fd=-1 name={} age={} idle={} flags={flags} db=0 sub={} psub={} ssub=0 \
             multi=-1 qbuf={} qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl={} oll={} omem={} tot-mem={} \
             events={events} cmd={command} user={} redir=-1 resp={} lib-name={} lib-ver={}",
            self.id,
            self.address,
            self.local_address,
            self.name,
            self.age_s,
            self.idle_s,
            self.channels,
            self.patterns,
            self.query_bytes,
            self.output_bytes,
            self.output_frames,
            self.output_bytes,
            self.query_bytes.saturating_add(self.output_bytes),
            self.user,
            self.protocol.number(),
            self.lib_name,
            self.lib_version,
        )
    }
}

/// The reply to CLIENT LIST (all lines) and CLIENT INFO (one): a verbatim string for RESP3.
#[must_use]
pub fn client_lines<'a>(lines: impl IntoIterator<Item = &'a ClientLine>) -> Frame {
    let mut text = String::new();
    for line in lines {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{line}");
    }
    Frame::Verbatim {
        format: *b"txt",
        text: Bytes::from(text),
    }
}

/// The reply to CLIENT TRACKINGINFO: tracking is always off.
#[must_use]
pub fn tracking_info() -> Frame {
    let off = Frame::Set(vec![Frame::bulk_static("off")]);
    Frame::Map(vec![
        ("flags".into(), off),
        ("redirect".into(), Frame::Integer(-1)),
        ("prefixes".into(), Frame::Array(Vec::new())),
    ])
}
