//! A file that cannot be replaced (a bind mount of a single file, a folder that is not writable) is written in place, and
//! must not be lost when that is cut short. So the new text is first put behind the old one, as comments with a checksum:
//!
//! ```text
//! 1. old text, blank lines, journal of the new text     synced: the old text counts, the journal are comments
//! 2. new text, blank lines, journal of the new text     synced: torn here, the journal counts
//! 3. new text
//! ```
//!
//! Whatever is found at the next start is the old text or the new one. The journal lies in the file itself: where another
//! copy would be is only known once the file has been read. Pure.

/// Begins the journal's first line; length and checksum of the text follow.
const HEAD: &str = "#> sentinel-node is rewriting this file, which will be: ";
/// In front of each line of the text.
const MARK: &str = "#>|";

/// What is written behind the old text, and from which offset: beyond both texts.
pub(crate) struct Journaled {
    /// Step 1: to be written at the old text's end.
    pub(crate) tail: Vec<u8>,
    /// Step 2: to be written at the beginning; ends where the journal begins.
    pub(crate) head: Vec<u8>,
}

/// Plans the rewriting of a file of `old_len` bytes.
pub(crate) fn journaled(old_len: usize, new: &str) -> Journaled {
    let start = old_len.max(new.len());
    let mut tail = vec![b'\n'; start.saturating_sub(old_len)];
    let mut journal = format!("\n{HEAD}{} {:016x}\n", new.len(), checksum(new.as_bytes()));
    for line in new.split_inclusive('\n') {
        journal.push_str(MARK);
        journal.push_str(line);
    }
    if !new.ends_with('\n') {
        journal.push('\n');
    }
    tail.extend_from_slice(journal.as_bytes());
    let mut head = new.as_bytes().to_vec();
    head.resize(start, b'\n');
    Journaled { tail, head }
}

/// The text that a file with a journal stands for; `None` when there is none, and the file is what it says.
pub(crate) fn recover(bytes: &[u8]) -> Option<String> {
    let head = format!("\n{HEAD}");
    let at = bytes
        .windows(head.len())
        .rposition(|window| window == head.as_bytes())?;
    let (before, journal) = bytes.split_at_checked(at)?;
    Some(journal_text(journal, &head).unwrap_or_else(|| {
        // Cut short before anything else was touched.
        let mut text = String::from_utf8_lossy(before).trim_end().to_owned();
        text.push('\n');
        text
    }))
}

/// The text in a journal, if all of it is there.
fn journal_text(journal: &[u8], head: &str) -> Option<String> {
    let journal = std::str::from_utf8(journal).ok()?;
    let (first, rest) = journal.strip_prefix(head)?.split_once('\n')?;
    let (length, sum) = first.split_once(' ')?;
    let length: usize = length.parse().ok()?;
    let mut text = String::with_capacity(length);
    for line in rest.split_inclusive('\n') {
        text.push_str(line.strip_prefix(MARK)?);
    }
    text.truncate(length);
    let sum = u64::from_str_radix(sum, 16).ok()?;
    (text.len() == length && checksum(text.as_bytes()) == sum).then_some(text)
}

/// FNV-1a: against torn writes, not against anybody.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "port 1\n# old\nsentinel monitor m 127.0.0.1 1 1\n";

    fn texts() -> [String; 3] {
        [
            "port 1\n# new\n".to_owned(),
            format!("{OLD}sentinel myid x\n# \u{e4} much longer than the old one\n"),
            "no line end".to_owned(),
        ]
    }

    #[test]
    fn wherever_it_is_cut_one_of_the_two_texts_is_found() {
        for new in texts() {
            let plan = journaled(OLD.len(), &new);
            let mut file = OLD.as_bytes().to_vec();
            for cut in 0..=plan.tail.len() {
                let mut torn = file.clone();
                torn.extend_from_slice(&plan.tail[..cut]);
                let text = recover(&torn);
                let whole = cut == plan.tail.len();
                let is_old = text.as_deref().is_none_or(|text| text == OLD);
                assert!(if whole {
                    text.as_deref() == Some(&new)
                } else {
                    is_old || text.as_deref() == Some(&new)
                });
                if text.is_none() {
                    // Only comments and blanks, or the beginning of them, were added.
                    let added = String::from_utf8_lossy(&torn[OLD.len()..]).into_owned();
                    assert!(
                        added.trim().is_empty() || added.trim().starts_with("#"),
                        "{added}"
                    );
                }
            }
            file.extend_from_slice(&plan.tail);
            for cut in 0..=plan.head.len() {
                let mut torn = file.clone();
                torn[..cut].copy_from_slice(&plan.head[..cut]);
                assert_eq!(recover(&torn).as_ref(), Some(&new), "cut at {cut}");
                // Pages may reach the disk in any order.
                let mut torn = file.clone();
                torn[cut..plan.head.len()].copy_from_slice(&plan.head[cut..]);
                assert_eq!(recover(&torn).as_ref(), Some(&new), "begun at {cut}");
            }
            assert_eq!(recover(new.as_bytes()), None);
        }
    }

    #[test]
    fn a_damaged_journal_does_not_count() {
        let plan = journaled(OLD.len(), "port 2\n");
        let mut file = OLD.as_bytes().to_vec();
        file.extend_from_slice(&plan.tail);
        let end = file.len() - 3;
        file[end] ^= 1;
        assert_eq!(recover(&file).as_deref(), Some(OLD));
    }
}
