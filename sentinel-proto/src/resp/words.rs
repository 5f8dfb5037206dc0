//! Redis's way to split a line into words (`sds.c: sdssplitargs`): inline commands and the configuration file.

/// Splits a line into words. `None` when a quote is not closed, or a closing quote is followed by
/// something other than white space.
///
/// `"..."` knows `\n \r \t \b \a \xHH`, any other escaped byte stands for itself; `'...'` only knows
/// `\'`; quotes may open in the middle of a word; `""` is an empty word. A NUL byte ends the line.
#[must_use]
pub fn split_words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let end = line.iter().position(|byte| *byte == 0).unwrap_or(line.len());
    let mut rest = line.get(..end)?;
    let mut words = Vec::new();
    loop {
        let start = rest.iter().position(|byte| !is_space(*byte));
        let Some(start) = start else {
            return Some(words);
        };
        let (word, used) = word(rest.get(start..)?)?;
        words.push(word);
        rest = rest.get(start.checked_add(used)?..)?;
    }
}

/// C's `isspace`.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// One word that starts at the first byte: its text and the number of bytes used.
fn word(text: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut word = Vec::new();
    let mut at = 0usize;
    loop {
        match text.get(at).copied() {
            // Unlike between words, a vertical tab or form feed inside one is an ordinary byte.
            None | Some(b' ' | b'\n' | b'\r' | b'\t') => return Some((word, at)),
            Some(quote @ (b'"' | b'\'')) => {
                at = quoted(text, at.checked_add(1)?, quote, &mut word)?;
                if text.get(at).is_some_and(|next| !is_space(*next)) {
                    return None;
                }
                return Some((word, at));
            }
            Some(byte) => {
                word.push(byte);
                at = at.checked_add(1)?;
            }
        }
    }
}

/// The rest of a quoted part; returns the position after the closing quote.
fn quoted(text: &[u8], mut at: usize, quote: u8, word: &mut Vec<u8>) -> Option<usize> {
    loop {
        let byte = *text.get(at)?;
        at = at.checked_add(1)?;
        if byte == quote {
            return Some(at);
        }
        if byte != b'\\' {
            word.push(byte);
            continue;
        }
        match (quote, text.get(at).copied()) {
            (b'\'', Some(b'\'')) => word.push(b'\''),
            (b'\'', _) => {
                word.push(b'\\');
                continue;
            }
            (_, Some(b'x')) if hex_pair(text, at).is_some() => {
                word.push(hex_pair(text, at)?);
                at = at.checked_add(2)?;
            }
            (_, Some(escaped)) => word.push(unescape(escaped)),
            // `"\` at the end: the quote is open.
            (_, None) => return None,
        }
        at = at.checked_add(1)?;
    }
}

fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

/// The byte of `xHH` at `at`.
fn hex_pair(text: &[u8], at: usize) -> Option<u8> {
    let digit =
        |offset: usize| -> Option<u32> { char::from(*text.get(at.checked_add(offset)?)?).to_digit(16) };
    u8::try_from(digit(1)?.checked_mul(16)?.checked_add(digit(2)?)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> Option<Vec<String>> {
        let words = split_words(line.as_bytes())?;
        Some(
            words
                .into_iter()
                .map(|word| String::from_utf8_lossy(&word).into_owned())
                .collect(),
        )
    }

    #[test]
    fn words_follow_sdssplitargs() {
        let cases: &[(&str, Option<&[&str]>)] = &[
            ("", Some(&[])),
            ("  \t ", Some(&[])),
            ("a b\tc", Some(&["a", "b", "c"])),
            (
                "sentinel auth-pass m \"a b\"",
                Some(&["sentinel", "auth-pass", "m", "a b"]),
            ),
            (r#""\x41\n\r\t\b\a\q\"""#, Some(&["A\n\r\t\x08\x07q\""])),
            (r#""\x4""#, Some(&["x4"])),
            (r"'it\'s \n'", Some(&[r"it's \n"])),
            (r#"ab"c d" e"#, Some(&["abc d", "e"])),
            (r#""" x"#, Some(&["", "x"])),
            (r#""a"b"#, None),
            (r#""a"#, None),
            ("'a", None),
            (r#""a\"#, None),
            ("a\0b c", Some(&["a"])),
            ("\u{b}a\u{b}b", Some(&["a\u{b}b"])),
        ];
        for (line, expected) in cases {
            let expected = expected.map(|words| words.iter().map(|w| (*w).to_owned()).collect());
            assert_eq!(split(line), expected, "{line:?}");
        }
    }
}
