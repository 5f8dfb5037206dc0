//! Integers and line ends as Redis reads them.

/// An integer as Redis reads it in headers, arguments and directives (`util.c: string2ll`): an optional minus, digits
/// without leading zeros, nothing else.
#[must_use]
pub fn parse_integer(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let canonical = match digits {
        [b'0'] => text.len() == 1,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if !canonical {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Position of `wanted` in `input`, looking only at bytes from `*scanned` on; remembers how far it looked.
pub(crate) fn position_from(input: &[u8], wanted: u8, scanned: &mut usize) -> Option<usize> {
    let start = (*scanned).min(input.len());
    let found = input
        .get(start..)?
        .iter()
        .position(|byte| *byte == wanted)
        .map(|offset| start.saturating_add(offset));
    *scanned = found.unwrap_or(input.len());
    found
}

/// The end of a line that a client wrote: like [`position_from`], but Redis looks for it with C's `strchr`, which stops
/// at a NUL byte, so that a line with one never ends.
pub(crate) fn line_end(input: &[u8], wanted: u8, scanned: &mut usize) -> Option<usize> {
    let start = (*scanned).min(input.len());
    let stop = |byte: &u8| *byte == wanted || *byte == 0;
    let found = input.get(start..)?.iter().position(stop);
    let found = found.map(|offset| start.saturating_add(offset));
    *scanned = found.unwrap_or(input.len());
    found.filter(|at| input.get(*at) == Some(&wanted))
}
