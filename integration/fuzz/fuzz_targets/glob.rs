//! Patterns of clients (PSUBSCRIBE, CONFIG GET, RESET) against an implementation that tries everything.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sentinel_proto::glob::{matches, matches_ignoring_case};

/// One element of a pattern.
enum Part<'p> {
    Any,
    One(&'p [u8]),
}

/// Cuts a pattern at its stars; everything else is left to `matches` for one byte.
fn elements(mut pattern: &[u8]) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    while let Some(first) = pattern.first() {
        let length = match first {
            b'\\' if pattern.len() > 1 => 2,
            b'[' => set_length(pattern),
            _ => 1,
        };
        let (part, rest) = pattern.split_at(length.min(pattern.len()));
        parts.push(if part == b"*" { Part::Any } else { Part::One(part) });
        pattern = rest;
    }
    parts
}

/// Bytes of the set at the start of `pattern`, with both brackets.
fn set_length(pattern: &[u8]) -> usize {
    let mut at = if pattern.get(1) == Some(&b'^') { 2 } else { 1 };
    loop {
        match pattern.get(at..).unwrap_or_default() {
            [] => return pattern.len(),
            [b']', ..] => return at + 1,
            [b'\\', _, ..] => at += 2,
            [_, b'-', _, ..] => at += 3,
            _ => at += 1,
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let cut = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    let (pattern, text) = data.split_at(cut);
    let text = text.get(1..).unwrap_or_default();
    let (pattern, text) = (&pattern[..pattern.len().min(200)], &text[..text.len().min(200)]);

    // reachable[i]: the elements so far can match the first i bytes.
    let mut reachable = vec![false; text.len() + 1];
    reachable[0] = true;
    for element in elements(pattern) {
        let mut next = vec![false; text.len() + 1];
        for at in (0..=text.len()).filter(|at| reachable[*at]) {
            match element {
                Part::Any => next[at..].fill(true),
                Part::One(part) if at < text.len() => next[at + 1] |= matches(part, &text[at..=at]),
                Part::One(_) => {}
            }
        }
        reachable = next;
    }
    assert_eq!(matches(pattern, text), reachable[text.len()]);
    if matches(pattern, text) && !pattern.contains(&b'[') {
        assert!(matches_ignoring_case(pattern, &text.to_ascii_uppercase()));
    }
});
