//! Incremental decoder of any RESP2 or RESP3 value: replies and pushes.

use bytes::{Buf, Bytes, BytesMut};

use super::frame::Frame;
use super::limits::{Limits, ProtocolError};
use super::number::{parse_integer, position_from};

/// Turns the bytes of one connection into [`Frame`]s.
///
/// Nested values are kept on a stack of at most [`Limits::max_depth`] entries instead of the call stack;
/// nothing is reserved by an announced length. RESP3 attributes are read and dropped; streamed types
/// (`$?`) are not known. After an error every further call gives the same error.
#[derive(Debug)]
pub struct FrameDecoder {
    limits: Limits,
    stack: Vec<Open>,
    blob: Option<Blob>,
    scanned: usize,
    total: usize,
    failed: Option<ProtocolError>,
}

/// An aggregate whose elements are still coming.
#[derive(Debug)]
struct Open {
    kind: u8,
    missing: usize,
    items: Vec<Frame>,
}

/// A length-prefixed text whose header was read.
#[derive(Debug, Clone, Copy)]
struct Blob {
    kind: u8,
    len: usize,
}

impl FrameDecoder {
    /// A decoder at the start of a connection.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            stack: Vec::new(),
            blob: None,
            scanned: 0,
            total: 0,
            failed: None,
        }
    }

    /// The next whole frame in `input`, whose bytes are removed from it; `None` = more input is needed.
    ///
    /// # Errors
    /// [`ProtocolError`]: the bytes are not RESP or exceed a limit; close the connection.
    pub fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Frame>, ProtocolError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let result = self.advance(input);
        if let Err(error) = &result {
            self.failed = Some(error.clone());
            self.stack = Vec::new();
        }
        result
    }

    fn advance(&mut self, input: &mut BytesMut) -> Result<Option<Frame>, ProtocolError> {
        loop {
            let value = if let Some(blob) = self.blob {
                match blob_text(blob.len, input)? {
                    None => return Ok(None),
                    Some(text) => {
                        self.blob = None;
                        Some(blob_frame(blob.kind, text)?)
                    }
                }
            } else {
                match self.line(input)? {
                    None => return Ok(None),
                    Some((kind, text)) => self.value(kind, text)?,
                }
            };
            if let Some(frame) = value.and_then(|value| self.close(value)) {
                self.total = 0;
                return Ok(Some(frame));
            }
        }
    }

    /// The next line: its first byte and the rest without CR LF.
    fn line(&mut self, input: &mut BytesMut) -> Result<Option<(u8, Bytes)>, ProtocolError> {
        let Some(kind) = input.first().copied() else {
            return Ok(None);
        };
        if !b"+-:,#(_$=!*%~>|".contains(&kind) {
            return Err(ProtocolError::MalformedReply(kind));
        }
        let end = position_from(input, b'\n', &mut self.scanned);
        if end.unwrap_or(input.len()) > self.limits.max_inline_bytes {
            return Err(ProtocolError::InlineTooBig);
        }
        let Some(end) = end else {
            return Ok(None);
        };
        self.scanned = 0;
        self.charge(Limits::ELEMENT_BYTES.saturating_add(end))?;
        let mut line = input.split_to(end.saturating_add(1)).freeze();
        if !line.ends_with(b"\r\n") {
            return Err(ProtocolError::MalformedReply(kind));
        }
        line.truncate(line.len().saturating_sub(2));
        line.advance(1);
        Ok(Some((kind, line)))
    }

    fn charge(&mut self, bytes: usize) -> Result<(), ProtocolError> {
        self.total = self.total.saturating_add(bytes);
        if self.total > self.limits.max_total {
            return Err(ProtocolError::TotalTooBig);
        }
        Ok(())
    }

    /// A value that is complete with its line, or `None` after the header of a longer one.
    fn value(&mut self, kind: u8, text: Bytes) -> Result<Option<Frame>, ProtocolError> {
        let malformed = ProtocolError::MalformedReply(kind);
        let frame = match kind {
            b'+' => Frame::Simple(text),
            b'-' => Frame::Error(text),
            b',' => Frame::Double(text),
            b'(' => Frame::BigNumber(text),
            b':' => Frame::Integer(integer(&text).ok_or(malformed)?),
            b'_' if text.is_empty() => Frame::NullBulk,
            b'#' if text == "t" => Frame::Boolean(true),
            b'#' if text == "f" => Frame::Boolean(false),
            b'$' | b'=' | b'!' => return self.blob_header(kind, &text),
            b'*' | b'%' | b'~' | b'>' | b'|' => return self.open(kind, &text),
            _ => return Err(malformed),
        };
        Ok(Some(frame))
    }

    fn blob_header(&mut self, kind: u8, text: &[u8]) -> Result<Option<Frame>, ProtocolError> {
        if kind == b'$' && text == b"-1" {
            return Ok(Some(Frame::NullBulk));
        }
        let len = parse_integer(text).and_then(|len| usize::try_from(len).ok());
        let len = len.filter(|len| *len <= self.limits.max_bulk_bytes);
        let len = len.ok_or(ProtocolError::BulkLength)?;
        self.charge(len)?;
        self.blob = Some(Blob { kind, len });
        Ok(None)
    }

    fn open(&mut self, kind: u8, text: &[u8]) -> Result<Option<Frame>, ProtocolError> {
        if kind == b'*' && text == b"-1" {
            return Ok(Some(Frame::NullArray));
        }
        let count = parse_integer(text).and_then(|count| usize::try_from(count).ok());
        let count = count.filter(|count| *count <= self.limits.max_args);
        let count = count.ok_or(ProtocolError::MultibulkLength)?;
        let per_entry = if matches!(kind, b'%' | b'|') { 2 } else { 1 };
        let missing = count.saturating_mul(per_entry);
        if missing == 0 {
            return Ok(aggregate(kind, Vec::new()));
        }
        if self.stack.len() >= self.limits.max_depth {
            return Err(ProtocolError::TooDeep);
        }
        self.stack.push(Open {
            kind,
            missing,
            items: Vec::new(),
        });
        Ok(None)
    }

    /// Puts a complete value into the innermost open aggregate, and closes those that it completes.
    /// The outermost value, when it is complete.
    fn close(&mut self, mut value: Frame) -> Option<Frame> {
        loop {
            let Some(mut top) = self.stack.pop() else {
                return Some(value);
            };
            top.items.push(value);
            top.missing = top.missing.saturating_sub(1);
            if top.missing > 0 {
                self.stack.push(top);
                return None;
            }
            value = aggregate(top.kind, top.items)?;
        }
    }
}

/// A finished aggregate; `None` for an attribute, which is no value.
fn aggregate(kind: u8, items: Vec<Frame>) -> Option<Frame> {
    match kind {
        b'%' => {
            let mut pairs = Vec::with_capacity(items.len() / 2);
            let mut items = items.into_iter();
            while let (Some(key), Some(value)) = (items.next(), items.next()) {
                pairs.push((key, value));
            }
            Some(Frame::Map(pairs))
        }
        b'~' => Some(Frame::Set(items)),
        b'>' => Some(Frame::Push(items)),
        b'|' => None,
        _ => Some(Frame::Array(items)),
    }
}

/// The text of a blob and its CR LF, or `None` while they are incomplete.
fn blob_text(len: usize, input: &mut BytesMut) -> Result<Option<Bytes>, ProtocolError> {
    let end = len.saturating_add(2);
    match input.get(len..end) {
        None => Ok(None),
        Some(b"\r\n") => {
            let text = input.split_to(len).freeze();
            input.advance(2);
            Ok(Some(text))
        }
        Some(_) => Err(ProtocolError::MalformedReply(b'$')),
    }
}

fn blob_frame(kind: u8, mut text: Bytes) -> Result<Frame, ProtocolError> {
    match (kind, &*text) {
        (b'!', _) => Ok(Frame::Error(text)),
        (b'=', [a, b, c, b':', ..]) => {
            let format = [*a, *b, *c];
            text.advance(4);
            Ok(Frame::Verbatim { format, text })
        }
        (b'=', _) => Err(ProtocolError::MalformedReply(b'=')),
        _ => Ok(Frame::Bulk(text)),
    }
}

fn integer(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
