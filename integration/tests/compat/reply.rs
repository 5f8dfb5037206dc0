//! Replies as trees that keep every byte that matters: types, both kinds of null, lengths of aggregates.

use anyhow::{Context, Result, bail};

/// One reply of RESP2 or RESP3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    /// `+`, `-`, `:`, `_`, `#`, `,` or `(` with the rest of its line; `$-1` and `*-1` too.
    Line(u8, String),
    /// `$` or `=` with its bytes as text.
    Bulk(u8, String),
    /// `*`, `~`, `>` or `%` with its elements; a map's are names and values in turn.
    Many(u8, Vec<Reply>),
}

impl Reply {
    /// A readable form with one line an element. Two replies are equal byte for byte exactly if these are.
    pub(crate) fn shown(&self) -> String {
        let mut text = String::new();
        self.show(0, &mut text);
        text
    }

    fn show(&self, depth: usize, out: &mut String) {
        let indent = " ".repeat(depth);
        match self {
            Self::Line(kind, rest) => out.push_str(&format!("{indent}{}{rest}\n", char::from(*kind))),
            Self::Bulk(kind, text) => {
                out.push_str(&format!("{indent}{} {text:?}\n", char::from(*kind)));
            }
            Self::Many(kind, items) => {
                out.push_str(&format!("{indent}{}{}\n", char::from(*kind), items.len()));
                for item in items {
                    item.show(depth + 1, out);
                }
            }
        }
    }
}

/// All replies in `bytes`. An incomplete last one is an error.
pub(crate) fn read_all(mut bytes: &[u8]) -> Result<Vec<Reply>> {
    let mut replies = Vec::new();
    while !bytes.is_empty() {
        replies.push(read(&mut bytes)?);
    }
    Ok(replies)
}

fn line(bytes: &mut &[u8]) -> Result<String> {
    let end = bytes
        .windows(2)
        .position(|pair| pair == b"\r\n")
        .with_context(|| format!("no line end: {:?}", String::from_utf8_lossy(bytes)))?;
    let text = String::from_utf8_lossy(&bytes[..end]).into_owned();
    *bytes = &bytes[end + 2..];
    Ok(text)
}

fn read(bytes: &mut &[u8]) -> Result<Reply> {
    let text = line(bytes)?;
    let kind = *text.as_bytes().first().context("an empty line")?;
    let rest = text.get(1..).context("not a reply")?.to_owned();
    match kind {
        b'$' | b'=' | b'*' | b'~' | b'>' | b'%' if rest != "-1" => {
            let count: usize = rest.parse().with_context(|| format!("bad length {text:?}"))?;
            if matches!(kind, b'$' | b'=') {
                let body = bytes.get(..count).context("a cut bulk")?;
                let body = String::from_utf8_lossy(body).into_owned();
                if bytes.get(count..count + 2) != Some(b"\r\n") {
                    bail!("a bulk without its end");
                }
                *bytes = &bytes[count + 2..];
                return Ok(Reply::Bulk(kind, body));
            }
            let count = if kind == b'%' { count * 2 } else { count };
            let items = (0..count).map(|_| read(bytes)).collect::<Result<_>>()?;
            Ok(Reply::Many(kind, items))
        }
        b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' | b'$' | b'*' => Ok(Reply::Line(kind, rest)),
        _ => bail!("not a reply: {text:?}"),
    }
}
