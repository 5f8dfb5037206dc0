//! The value type shared by RESP2 and RESP3.

use bytes::Bytes;

/// One RESP value. The same value is written differently for protocol 2 and 3, see [`super::encode`].
///
/// Numbers with a fraction are carried as text: nothing here computes with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// `+text`: never contains CR or LF on the wire (they are written as blanks).
    Simple(Bytes),
    /// `-CODE text`: without the minus sign; CR and LF are written as blanks.
    Error(Bytes),
    /// `:n`.
    Integer(i64),
    /// `$n`: binary-safe text.
    Bulk(Bytes),
    /// Absence of a bulk string: `$-1` in RESP2, `_` in RESP3.
    NullBulk,
    /// Absence of an array: `*-1` in RESP2, `_` in RESP3. A decoded `_` is [`Frame::NullBulk`].
    NullArray,
    /// `*n`.
    Array(Vec<Frame>),
    /// `%n` in RESP3; a flat array of `2n` elements in RESP2.
    Map(Vec<(Frame, Frame)>),
    /// `~n` in RESP3; an array in RESP2.
    Set(Vec<Frame>),
    /// `>n` in RESP3; an array in RESP2.
    Push(Vec<Frame>),
    /// `,text` in RESP3; a bulk string in RESP2.
    Double(Bytes),
    /// `#t` or `#f` in RESP3; `:1` or `:0` in RESP2.
    Boolean(bool),
    /// `(digits` in RESP3; a bulk string in RESP2.
    BigNumber(Bytes),
    /// `=n` with a three-letter format in RESP3; a bulk string without it in RESP2.
    Verbatim {
        /// Three bytes, usually `txt`.
        format: [u8; 3],
        /// The text itself.
        text: Bytes,
    },
}

impl Frame {
    /// The reply `+OK`.
    pub const OK: Self = Self::Simple(Bytes::from_static(b"OK"));

    /// A simple string from owned or static text.
    #[must_use]
    pub fn simple(text: impl Into<String>) -> Self {
        Self::Simple(Bytes::from(text.into()))
    }

    /// An error, `text` starting with its code (`ERR ...`).
    #[must_use]
    pub fn error(text: impl Into<String>) -> Self {
        Self::Error(Bytes::from(text.into()))
    }

    /// A bulk string from text.
    #[must_use]
    pub fn bulk(text: impl Into<String>) -> Self {
        Self::Bulk(Bytes::from(text.into()))
    }

    /// A bulk string from static text, without copying it.
    #[must_use]
    pub const fn bulk_static(text: &'static str) -> Self {
        Self::Bulk(Bytes::from_static(text.as_bytes()))
    }

    /// A number as a bulk string, as Sentinel writes all of its numbers.
    #[must_use]
    pub fn bulk_number(number: impl std::fmt::Display) -> Self {
        Self::bulk(number.to_string())
    }

    /// An array of bulk strings.
    #[must_use]
    pub fn bulks<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Self {
        Self::Array(texts.into_iter().map(Self::bulk).collect())
    }

    /// A request: an array of bulk strings, as a client sends a command.
    #[must_use]
    pub fn command<T: AsRef<[u8]>>(words: impl IntoIterator<Item = T>) -> Self {
        let bulk = |word: T| Self::Bulk(Bytes::copy_from_slice(word.as_ref()));
        Self::Array(words.into_iter().map(bulk).collect())
    }

    /// The bytes of a text-like value (simple, bulk, verbatim, double, big number); `None` for the others.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Simple(text) | Self::Bulk(text) | Self::Double(text) | Self::BigNumber(text) => Some(text),
            Self::Verbatim { text, .. } => Some(text),
            _ => None,
        }
    }

    /// The text of a text-like value when it is UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(self.as_bytes()?).ok()
    }

    /// The integer, also when it is written as text.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            other => other.as_str()?.parse().ok(),
        }
    }

    /// The text of an error, or `None`.
    #[must_use]
    pub fn as_error(&self) -> Option<&str> {
        match self {
            Self::Error(text) => std::str::from_utf8(text).ok(),
            _ => None,
        }
    }

    /// The elements of an array, set or push; `None` for the others.
    #[must_use]
    pub fn elements(&self) -> Option<&[Self]> {
        match self {
            Self::Array(items) | Self::Set(items) | Self::Push(items) => Some(items),
            _ => None,
        }
    }

    /// True for both absences.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::NullBulk | Self::NullArray)
    }
}

impl From<&'static str> for Frame {
    fn from(text: &'static str) -> Self {
        Self::bulk_static(text)
    }
}

impl From<String> for Frame {
    fn from(text: String) -> Self {
        Self::bulk(text)
    }
}

impl From<Bytes> for Frame {
    fn from(text: Bytes) -> Self {
        Self::Bulk(text)
    }
}

impl From<i64> for Frame {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}
