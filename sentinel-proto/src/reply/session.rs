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
    /// The socket's file descriptor; `None` = not known (-1).
    pub fd: Option<i32>,
    /// CLIENT SETNAME.
    pub name: String,
    /// Waits for the end of a CLIENT PAUSE.
    pub blocked: bool,
    /// CLIENT TRACKING ON.
    pub tracking: bool,
    /// CLIENT TRACKING ON BCAST.
    pub broadcasting: bool,
    /// CLIENT NO-EVICT ON.
    pub no_evict: bool,
    /// CLIENT TRACKING ON REDIRECT; `None` = no tracking, 0 = no redirection.
    pub redirect: Option<u64>,
    /// Seconds since the connection was accepted.
    pub age_s: u64,
    /// Seconds since the last request.
    pub idle_s: u64,
    /// Channels.
    pub channels: usize,
    /// Patterns.
    pub patterns: usize,
    /// Bytes of input that are not answered yet.
    pub query_bytes: usize,
    /// Room in the input buffer beyond them.
    pub query_free_bytes: usize,
    /// Size of the reply buffer.
    pub reply_buffer_bytes: usize,
    /// Bytes in the reply buffer that wait for the client.
    pub reply_bytes: usize,
    /// Messages that wait behind the reply buffer.
    pub queued: usize,
    /// Their bytes.
    pub queued_bytes: usize,
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

impl ClientLine {
    fn flags(&self) -> String {
        let subscribed = self.channels > 0 || self.patterns > 0;
        let flags = [
            (subscribed, 'P'),
            (self.blocked, 'b'),
            (self.tracking, 't'),
            (self.broadcasting, 'B'),
            (self.unix, 'U'),
            (self.no_evict, 'e'),
        ];
        let set: String = flags.iter().filter(|flag| flag.0).map(|flag| flag.1).collect();
        if set.is_empty() { "N".to_owned() } else { set }
    }
}

impl fmt::Display for ClientLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let command = match self.command.as_str() {
            "" => "NULL",
            command => command,
        };
        let output = self.reply_bytes.saturating_add(self.queued_bytes);
        let events = if output > 0 { "rw" } else { "r" };
        let input = self.query_bytes.saturating_add(self.query_free_bytes);
        let buffers = input.saturating_add(self.reply_buffer_bytes);
        write!(
            f,
            "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={} db=0 sub={} psub={} ssub=0 multi=-1 ",
            self.id,
            self.address,
            self.local_address,
            self.fd.unwrap_or(-1),
            self.name,
            self.age_s,
            self.idle_s,
            self.flags(),
            self.channels,
            self.patterns,
        )?;
        write!(
            f,
            "qbuf={} qbuf-free={} argv-mem=0 multi-mem=0 rbs={} rbp={} obl={} oll={} omem={} tot-mem={} ",
            self.query_bytes,
            self.query_free_bytes,
            self.reply_buffer_bytes,
            self.reply_bytes,
            self.reply_bytes,
            self.queued,
            self.queued_bytes,
            buffers.saturating_add(self.queued_bytes),
        )?;
        let redirect = self.redirect.and_then(|id| i64::try_from(id).ok());
        write!(
            f,
            "events={events} cmd={command} user={} redir={} resp={} lib-name={} lib-ver={}",
            self.user,
            redirect.unwrap_or(-1),
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
