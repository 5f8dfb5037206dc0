//! Redis's glob-style patterns (`util.c: stringmatchlen`): PSUBSCRIBE, RESET, CONFIG GET.
//!
//! `*` any text, `?` any byte, `[abc]`, `[a-z]`, `[^...]` a set, `\x` the byte x. Bytes, not characters.
//! Redis's recursion takes exponential time on patterns like `*a*a*a*b`; here only the last `*` is ever
//! tried again, which is enough because what an earlier one could take the later one can take as well:
//! time is at most pattern length times text length.

/// True when the whole text matches.
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    run(pattern, text, false)
}

/// The same, with ASCII letters compared without case.
#[must_use]
pub fn matches_ignoring_case(pattern: &[u8], text: &[u8]) -> bool {
    run(pattern, text, true)
}

fn run(mut pattern: &[u8], mut text: &[u8], ignore_case: bool) -> bool {
    // After the last `*`: the pattern behind it, and the text from where it is tried next.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        if let [b'*', rest @ ..] = pattern {
            if rest.is_empty() {
                return true;
            }
            retry = Some((rest, text));
            pattern = rest;
            continue;
        }
        if pattern.is_empty() && text.is_empty() {
            return true;
        }
        if let Some(rest) = text.first().and_then(|byte| one(pattern, *byte, ignore_case)) {
            pattern = rest;
            text = text.get(1..).unwrap_or_default();
            continue;
        }
        match retry {
            Some((behind, [_, later @ ..])) => {
                retry = Some((behind, later));
                (pattern, text) = (behind, later);
            }
            _ => return false,
        }
    }
}

/// Matches one byte against the first element of the pattern; the pattern behind it when it matches.
fn one(pattern: &[u8], byte: u8, ignore_case: bool) -> Option<&[u8]> {
    let same = |wanted: u8| {
        if ignore_case {
            wanted.eq_ignore_ascii_case(&byte)
        } else {
            wanted == byte
        }
    };
    match pattern {
        [] => None,
        [b'?', rest @ ..] => Some(rest),
        [b'[', set @ ..] => {
            let (member, rest) = set_member(set, byte, ignore_case);
            member.then_some(rest)
        }
        [b'\\', wanted, rest @ ..] | [wanted, rest @ ..] => same(*wanted).then_some(rest),
    }
}

/// Matches a byte against a set whose `[` was read; the pattern behind its `]`. A set that is not closed
/// ends with the pattern, and `]` always closes it, as in Redis.
fn set_member(mut set: &[u8], byte: u8, ignore_case: bool) -> (bool, &[u8]) {
    let fold = |byte: u8| {
        if ignore_case {
            byte.to_ascii_lowercase()
        } else {
            byte
        }
    };
    let byte = fold(byte);
    let mut member = false;
    let mut negated = false;
    if let [b'^', rest @ ..] = set {
        negated = true;
        set = rest;
    }
    loop {
        match set {
            [] => break,
            [b']', rest @ ..] => {
                set = rest;
                break;
            }
            [b'\\', wanted, rest @ ..] => {
                member |= fold(*wanted) == byte;
                set = rest;
            }
            [first, b'-', last, rest @ ..] => {
                let (low, high) = (fold(*first.min(last)), fold(*first.max(last)));
                member |= (low..=high).contains(&byte);
                set = rest;
            }
            [wanted, rest @ ..] => {
                member |= fold(*wanted) == byte;
                set = rest;
            }
        }
    }
    (member != negated, set)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_match_as_in_redis() {
        let cases: &[(&str, &str, bool)] = &[
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "+switch-master", true),
            ("[-+]sdown", "+sdown", true),
            ("[-+]sdown", "-sdown", true),
            ("[-+]sdown", "sdown", false),
            ("+s*", "+slave", true),
            ("?slave", "+slave", true),
            ("?slave", "slave", false),
            ("h[ae]llo", "hello", true),
            ("h[^e]llo", "hello", false),
            ("h[^e]llo", "hallo", true),
            ("h[a-c]llo", "hbllo", true),
            ("h[c-a]llo", "hbllo", true),
            ("h[a-c]llo", "hdllo", false),
            (r"\*", "*", true),
            (r"\*", "a", false),
            (r"[\]]", "]", true),
            (r"[\-a]", "-", true),
            ("[]a]", "a]", false),
            ("[", "a", false),
            ("[a", "a", true),
            ("[^a", "b", true),
            (r"a\", r"a\", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("**a**", "bab", true),
            ("*?", "", false),
            ("my*", "My", false),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(
                matches(pattern.as_bytes(), text.as_bytes()),
                *expected,
                "{pattern} {text}"
            );
        }
        assert!(matches_ignoring_case(b"SENTINEL-*", b"sentinel-User"));
        assert!(matches_ignoring_case(b"[A-C]", b"b"));
    }

    #[test]
    fn pathologic_patterns_take_bounded_time() {
        let pattern = "*a".repeat(2000) + "b";
        assert!(!matches(pattern.as_bytes(), "a".repeat(20_000).as_bytes()));
    }

    /// The recursive definition, for small inputs.
    fn reference(pattern: &[u8], text: &[u8]) -> bool {
        match pattern {
            [] => text.is_empty(),
            [b'*', rest @ ..] => (0..=text.len()).any(|skip| reference(rest, &text[skip..])),
            _ => match text {
                [byte, later @ ..] => one(pattern, *byte, false).is_some_and(|rest| reference(rest, later)),
                [] => false,
            },
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in r"[ab*?\[\]^\\-]{0,10}", text in "[ab-]{0,8}") {
            prop_assert_eq!(
                matches(pattern.as_bytes(), text.as_bytes()),
                reference(pattern.as_bytes(), text.as_bytes())
            );
        }

        #[test]
        fn bytes_never_panic(pattern: Vec<u8>, text: Vec<u8>) {
            let _ = matches(&pattern, &text);
        }
    }
}
