//! Frames to bytes, for protocol 2 or 3.

use bytes::{BufMut as _, Bytes, BytesMut};

use super::frame::Frame;

/// The protocol version that a client chose with `HELLO`; 2 until then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// RESP2: maps are flat arrays, pushes are arrays.
    #[default]
    Resp2,
    /// RESP3.
    Resp3,
}

impl Protocol {
    /// The number shown in `HELLO` and `CLIENT LIST`.
    #[must_use]
    pub fn number(self) -> i64 {
        match self {
            Self::Resp2 => 2,
            Self::Resp3 => 3,
        }
    }
}

/// Appends `frame` to `out`.
///
/// Recursion is as deep as the frame is; frames are built by this workspace or come from a decoder that
/// limits the depth.
pub fn encode(frame: &Frame, protocol: Protocol, out: &mut BytesMut) {
    let resp3 = protocol == Protocol::Resp3;
    match frame {
        Frame::Simple(text) => line(out, b'+', text),
        Frame::Error(text) => line(out, b'-', text),
        Frame::Integer(number) => header(out, b':', *number),
        Frame::Bulk(text) => bulk(out, text),
        Frame::NullBulk if !resp3 => out.put_slice(b"$-1\r\n"),
        Frame::NullArray if !resp3 => out.put_slice(b"*-1\r\n"),
        Frame::NullBulk | Frame::NullArray => out.put_slice(b"_\r\n"),
        Frame::Array(items) => sequence(out, b'*', items, protocol),
        Frame::Set(items) => sequence(out, if resp3 { b'~' } else { b'*' }, items, protocol),
        Frame::Push(items) => sequence(out, if resp3 { b'>' } else { b'*' }, items, protocol),
        Frame::Map(pairs) => map(out, pairs, protocol),
        Frame::Double(text) if resp3 => line(out, b',', text),
        Frame::BigNumber(text) if resp3 => line(out, b'(', text),
        Frame::Double(text) | Frame::BigNumber(text) => bulk(out, text),
        Frame::Boolean(value) if resp3 => {
            out.put_slice(if *value { b"#t\r\n" } else { b"#f\r\n" });
        }
        Frame::Boolean(value) => header(out, b':', i64::from(*value)),
        Frame::Verbatim { format, text } if resp3 => {
            header(out, b'=', count(text.len().saturating_add(4)));
            out.put_slice(format);
            out.put_u8(b':');
            out.put_slice(text);
            out.put_slice(b"\r\n");
        }
        Frame::Verbatim { text, .. } => bulk(out, text),
    }
}

/// Appends a request: an array of bulk strings, as a client sends a command.
pub fn encode_command<T: AsRef<[u8]>>(words: &[T], out: &mut BytesMut) {
    header(out, b'*', count(words.len()));
    for word in words {
        bulk(out, word.as_ref());
    }
}

impl Frame {
    /// The frame as bytes of its own; [`encode`] appends to an existing buffer instead.
    #[must_use]
    pub fn to_bytes(&self, protocol: Protocol) -> Bytes {
        let mut out = BytesMut::new();
        encode(self, protocol, &mut out);
        out.freeze()
    }
}

fn count(len: usize) -> i64 {
    i64::try_from(len).unwrap_or(i64::MAX)
}

fn header(out: &mut BytesMut, kind: u8, number: i64) {
    out.put_u8(kind);
    decimal(out, number);
    out.put_slice(b"\r\n");
}

/// Every element has a header, and `write!` takes longer for its number than all the rest of it.
fn decimal(out: &mut BytesMut, number: i64) {
    if number < 0 {
        out.put_u8(b'-');
    }
    // 64 bits have at most 20 digits.
    let mut digits = [b'0'; 20];
    let mut rest = number.unsigned_abs();
    let mut used = 0usize;
    for digit in digits.iter_mut().rev() {
        *digit = u8::try_from(rest % 10).unwrap_or(0).saturating_add(b'0');
        used = used.saturating_add(1);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    let start = digits.len().saturating_sub(used);
    out.put_slice(digits.get(start..).unwrap_or_default());
}

fn line(out: &mut BytesMut, kind: u8, text: &[u8]) {
    out.reserve(text.len().saturating_add(3));
    out.put_u8(kind);
    if text.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
        out.extend(text.iter().map(|byte| {
            if matches!(byte, b'\r' | b'\n') {
                b' '
            } else {
                *byte
            }
        }));
    } else {
        out.put_slice(text);
    }
    out.put_slice(b"\r\n");
}

fn bulk(out: &mut BytesMut, text: &[u8]) {
    header(out, b'$', count(text.len()));
    out.put_slice(text);
    out.put_slice(b"\r\n");
}

fn sequence(out: &mut BytesMut, kind: u8, items: &[Frame], protocol: Protocol) {
    header(out, kind, count(items.len()));
    for item in items {
        encode(item, protocol, out);
    }
}

fn map(out: &mut BytesMut, pairs: &[(Frame, Frame)], protocol: Protocol) {
    match protocol {
        Protocol::Resp2 => header(out, b'*', count(pairs.len().saturating_mul(2))),
        Protocol::Resp3 => header(out, b'%', count(pairs.len())),
    }
    for (key, value) in pairs {
        encode(key, protocol, out);
        encode(value, protocol, out);
    }
}
