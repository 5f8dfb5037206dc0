//! Incremental decoder of what clients send (`networking.c: processMultibulkBuffer, processInlineBuffer`).

use bytes::{Buf, Bytes, BytesMut};

use super::limits::{Limits, ProtocolError};
use super::number::{line_end, parse_integer};
use super::words::split_words;

/// Turns the bytes of one connection into requests.
///
/// Single pass: it remembers how far it has looked for a line end and which words are complete. A word is
/// split off the input without copying. After an error every further call gives the same error: the
/// connection must be closed.
#[derive(Debug)]
pub struct RequestDecoder {
    limits: Limits,
    authenticated: bool,
    state: State,
    scanned: usize,
    total: usize,
    words: Vec<Bytes>,
    failed: Option<ProtocolError>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Between requests.
    Start,
    /// In an array: so many words are missing, the next byte is a bulk header.
    Header { missing: usize },
    /// In an array: a word of `len` bytes comes; `missing` includes it.
    Word { len: usize, missing: usize },
}

impl RequestDecoder {
    /// A decoder at the start of a connection. Not `authenticated` means that the stricter limits of Redis
    /// apply until [`RequestDecoder::set_authenticated`].
    #[must_use]
    pub fn new(limits: Limits, authenticated: bool) -> Self {
        Self {
            limits,
            authenticated,
            state: State::Start,
            scanned: 0,
            total: 0,
            words: Vec::new(),
            failed: None,
        }
    }

    /// Lifts (or restores) the limits for clients that have not authenticated.
    pub fn set_authenticated(&mut self, authenticated: bool) {
        self.authenticated = authenticated;
    }

    /// True when no request is half read: the connection can be handed to another protocol.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.state == State::Start
    }

    /// The next whole request in `input`, whose bytes are removed from it; `None` = more input is needed.
    /// Never an empty request: blank lines and `*0` are skipped.
    ///
    /// # Errors
    /// [`ProtocolError`]; its text, after `-ERR `, is the last thing to send before closing.
    pub fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Vec<Bytes>>, ProtocolError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let result = self.advance(input);
        if let Err(error) = &result {
            self.failed = Some(error.clone());
            self.words = Vec::new();
        }
        result
    }

    fn advance(&mut self, input: &mut BytesMut) -> Result<Option<Vec<Bytes>>, ProtocolError> {
        loop {
            let request = match self.state {
                State::Start => match input.first() {
                    None => return Ok(None),
                    Some(b'*') => {
                        let Some(missing) = self.array_header(input)? else {
                            return Ok(None);
                        };
                        if missing > 0 {
                            self.state = State::Header { missing };
                        }
                        None
                    }
                    Some(_) => match self.inline(input)? {
                        None => return Ok(None),
                        Some(words) => (!words.is_empty()).then_some(words),
                    },
                },
                State::Header { missing } => {
                    let Some(len) = self.bulk_header(input)? else {
                        return Ok(None);
                    };
                    self.state = State::Word { len, missing };
                    None
                }
                State::Word { len, missing } => {
                    if input.len() < len.saturating_add(2) {
                        return Ok(None);
                    }
                    self.words.push(input.split_to(len).freeze());
                    // Like Redis: the two bytes that end a word are not looked at.
                    input.advance(2);
                    self.finish_word(missing)
                }
            };
            if request.is_some() {
                return Ok(request);
            }
        }
    }

    fn finish_word(&mut self, missing: usize) -> Option<Vec<Bytes>> {
        match missing.checked_sub(1) {
            None | Some(0) => {
                self.state = State::Start;
                self.total = 0;
                Some(std::mem::take(&mut self.words))
            }
            Some(missing) => {
                self.state = State::Header { missing };
                None
            }
        }
    }

    /// A header line without its CR LF and its first byte; `None` = incomplete.
    fn header_line(&mut self, input: &[u8], too_long: ProtocolError) -> Result<Option<usize>, ProtocolError> {
        let end = line_end(input, b'\r', &mut self.scanned);
        let length = end.unwrap_or(input.len());
        if length > self.limits.max_inline_bytes {
            return Err(too_long);
        }
        // The byte after CR must be there too: it is skipped together with it.
        Ok(end.filter(|end| end.saturating_add(1) < input.len()))
    }

    fn array_header(&mut self, input: &mut BytesMut) -> Result<Option<usize>, ProtocolError> {
        let Some(end) = self.header_line(input, ProtocolError::MultibulkHeaderTooBig)? else {
            return Ok(None);
        };
        let count = input.get(1..end).and_then(parse_integer);
        let count = count.ok_or(ProtocolError::MultibulkLength)?;
        // A count of zero or below is an empty request.
        let count = usize::try_from(count.max(0)).map_err(|_| ProtocolError::MultibulkLength)?;
        if count > self.limits.max_args {
            return Err(ProtocolError::MultibulkLength);
        }
        if count > Limits::UNAUTHENTICATED_ARGS && !self.authenticated {
            return Err(ProtocolError::UnauthenticatedMultibulk);
        }
        self.consume(input, end.saturating_add(2));
        Ok(Some(count))
    }

    fn bulk_header(&mut self, input: &mut BytesMut) -> Result<Option<usize>, ProtocolError> {
        let Some(end) = self.header_line(input, ProtocolError::BulkHeaderTooBig)? else {
            return Ok(None);
        };
        match input.first() {
            Some(b'$') | None => {}
            Some(other) => return Err(ProtocolError::ExpectedBulk(*other)),
        }
        let len = input.get(1..end).and_then(parse_integer);
        let len = len.and_then(|len| usize::try_from(len).ok());
        let len = len.filter(|len| *len <= self.limits.max_bulk_bytes);
        let len = len.ok_or(ProtocolError::BulkLength)?;
        if len > Limits::UNAUTHENTICATED_BULK_BYTES && !self.authenticated {
            return Err(ProtocolError::UnauthenticatedBulk);
        }
        let cost = len.saturating_add(Limits::ELEMENT_BYTES);
        self.total = self.total.saturating_add(cost);
        if self.total > self.limits.max_total {
            return Err(ProtocolError::TotalTooBig);
        }
        self.consume(input, end.saturating_add(2));
        Ok(Some(len))
    }

    fn inline(&mut self, input: &mut BytesMut) -> Result<Option<Vec<Bytes>>, ProtocolError> {
        let end = line_end(input, b'\n', &mut self.scanned);
        if end.unwrap_or(input.len()) > self.limits.max_inline_bytes {
            return Err(ProtocolError::InlineTooBig);
        }
        let Some(end) = end else {
            return Ok(None);
        };
        let line = input.get(..end).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let words = split_words(line).ok_or(ProtocolError::UnbalancedQuotes)?;
        self.consume(input, end.saturating_add(1));
        Ok(Some(words.into_iter().map(Bytes::from).collect()))
    }

    fn consume(&mut self, input: &mut BytesMut, count: usize) {
        input.advance(count.min(input.len()));
        self.scanned = 0;
    }
}
