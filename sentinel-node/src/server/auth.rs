//! Comparing secrets.

/// Equality in a time that depends on the lengths only.
pub(crate) fn same(expected: &[u8], given: &[u8]) -> bool {
    let mut difference = expected.len() ^ given.len();
    for (at, byte) in given.iter().enumerate() {
        let other = expected.get(at).copied().unwrap_or(0);
        difference |= usize::from(byte ^ other);
    }
    difference == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_compared_whole() {
        assert!(same(b"p", b"p") && same(b"", b""));
        for wrong in [&b""[..], b"q", b"pp", b"p\0"] {
            assert!(!same(b"p", wrong));
        }
    }
}
