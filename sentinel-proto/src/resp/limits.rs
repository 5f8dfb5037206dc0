//! Limits of the decoders, and their errors with Redis's texts.

/// Upper bounds that a decoder enforces before it allocates anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Elements of one array (a request's words).
    pub max_args: usize,
    /// Bytes of one bulk string (`proto-max-bulk-len`).
    pub max_bulk_bytes: usize,
    /// Bytes of one inline command or one header line. Redis: 64 KiB.
    pub max_inline_bytes: usize,
    /// Nesting of arrays, maps, sets and pushes in a reply. A request is never nested.
    pub max_depth: usize,
    /// Bytes of one whole request or reply, counting [`Limits::ELEMENT_BYTES`] for each element
    /// (`client-query-buffer-limit`).
    pub max_total: usize,
}

impl Limits {
    /// What an element costs beyond its text: counted so that a million empty strings are not free.
    pub const ELEMENT_BYTES: usize = 64;
    /// Words of a request before the client has authenticated (Redis: `unauthenticated multibulk length`).
    pub const UNAUTHENTICATED_ARGS: usize = 10;
    /// Bytes of a word before the client has authenticated (Redis: `unauthenticated bulk length`).
    pub const UNAUTHENTICATED_BULK_BYTES: usize = 16_384;

    /// For clients: generous for a sentinel, whose longest honest request is some kilobytes.
    pub const CLIENT: Self = Self {
        max_args: 64 * 1024,
        max_bulk_bytes: 16 * 1024 * 1024,
        max_inline_bytes: 64 * 1024,
        max_depth: 8,
        max_total: 32 * 1024 * 1024,
    };

    /// For replies of a server that we talk to (INFO of a node with thousands of replicas, CLIENT LIST).
    pub const REPLY: Self = Self {
        max_args: 1024 * 1024,
        max_bulk_bytes: 64 * 1024 * 1024,
        max_inline_bytes: 64 * 1024,
        max_depth: 32,
        max_total: 128 * 1024 * 1024,
    };
}

/// Why bytes are not RESP, or more than is allowed. `Display` is Redis's text without the leading `ERR `;
/// the connection is closed after it was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// An array header that is not a number, or above [`Limits::max_args`].
    #[error("Protocol error: invalid multibulk length")]
    MultibulkLength,
    /// More than ten words before AUTH.
    #[error("Protocol error: unauthenticated multibulk length")]
    UnauthenticatedMultibulk,
    /// A word of a request that does not start with `$`.
    #[error("Protocol error: expected '$', got '{}'", shown(*.0))]
    ExpectedBulk(u8),
    /// A bulk header that is not a number, negative, or above [`Limits::max_bulk_bytes`].
    #[error("Protocol error: invalid bulk length")]
    BulkLength,
    /// A word above 16 KiB before AUTH.
    #[error("Protocol error: unauthenticated bulk length")]
    UnauthenticatedBulk,
    /// An inline command without an end within [`Limits::max_inline_bytes`].
    #[error("Protocol error: too big inline request")]
    InlineTooBig,
    /// An array header without an end within [`Limits::max_inline_bytes`].
    #[error("Protocol error: too big mbulk count string")]
    MultibulkHeaderTooBig,
    /// A bulk header without an end within [`Limits::max_inline_bytes`].
    #[error("Protocol error: too big bulk count string")]
    BulkHeaderTooBig,
    /// An inline command with an open quote.
    #[error("Protocol error: unbalanced quotes in request")]
    UnbalancedQuotes,
    /// A whole request or reply above [`Limits::max_total`]. Not a text of Redis, which closes silently.
    #[error("Protocol error: too big request")]
    TotalTooBig,
    /// A reply nested deeper than [`Limits::max_depth`].
    #[error("Protocol error: nested too deeply")]
    TooDeep,
    /// A reply whose first byte, or whose content, is none of RESP's.
    #[error("Protocol error: malformed reply of type '{}'", .0.escape_ascii())]
    MalformedReply(u8),
}

/// The byte as it is where it is one that shows; an end of a line as a blank.
fn shown(byte: u8) -> String {
    match byte {
        b'\r' | b'\n' => " ".to_owned(),
        b' '..=b'~' => char::from(byte).to_string(),
        _ => byte.escape_ascii().to_string(),
    }
}
