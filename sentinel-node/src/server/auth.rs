//! AUTH against `requirepass`. Users other than `default` do not exist yet.

/// What AUTH and HELLO ... AUTH answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Accepted,
    /// `-WRONGPASS ...`
    Wrong,
    /// A password alone, but none is set.
    NoneConfigured,
}

/// Judges credentials; `user` is `None` for the form with a password alone.
pub(super) fn judge(requirepass: Option<&str>, user: Option<&[u8]>, password: &[u8]) -> Verdict {
    match (requirepass, user) {
        (None, None) => Verdict::NoneConfigured,
        // Without a password the default user takes any, as Redis's `nopass`.
        (None, Some(b"default")) => Verdict::Accepted,
        (Some(expected), None | Some(b"default")) if same(expected.as_bytes(), password) => Verdict::Accepted,
        _ => Verdict::Wrong,
    }
}

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
    fn credentials_are_judged_as_redis_does() {
        assert_eq!(judge(None, None, b"x"), Verdict::NoneConfigured);
        assert_eq!(judge(None, Some(b"default"), b"x"), Verdict::Accepted);
        assert_eq!(judge(None, Some(b"other"), b"x"), Verdict::Wrong);
        assert_eq!(judge(Some("p"), None, b"p"), Verdict::Accepted);
        assert_eq!(judge(Some("p"), Some(b"default"), b"p"), Verdict::Accepted);
        assert_eq!(judge(Some("p"), Some(b"other"), b"p"), Verdict::Wrong);
        for wrong in [&b""[..], b"q", b"pp", b"p\0"] {
            assert_eq!(judge(Some("p"), None, wrong), Verdict::Wrong);
        }
    }
}
