//! The committed index, remembered across a crash of the process but not synced to the disk.
//!
//! ```text
//! term: u64 LE | node: u64 LE | index: u64 LE | crc32: u32 LE      (one write at offset 0)
//! ```
//!
//! It is written before the entries are applied, so after `kill -9` every entry whose changes may have been
//! published is known (`Applied::replayed`). Losing it (power loss) costs no committed entry: the log decides
//! what is committed; then all entries present at boot count as replayed.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use crate::checksum::crc32;
use crate::error::OpenError;
use crate::types::LogId;

const RECORD_BYTES: usize = 28;

/// The open file.
#[derive(Debug)]
pub(crate) struct CommittedFile {
    file: File,
}

impl CommittedFile {
    /// Opens the file, creating it when missing, and reads it; `None` when it is new or torn.
    pub(crate) fn open(path: &Path) -> Result<(Self, Option<LogId>), OpenError> {
        let io_error = |e| OpenError::from_io(path, e);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(io_error)?;
        let mut bytes = Vec::with_capacity(RECORD_BYTES);
        file.by_ref()
            .take(RECORD_BYTES as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(io_error)?;
        Ok((Self { file }, decode(&bytes)))
    }

    /// Overwrites the record. Page cache only: microseconds, no sync.
    pub(crate) fn write(&self, id: &LogId) -> io::Result<()> {
        self.file.write_all_at(&encode(id), 0)
    }
}

fn encode(id: &LogId) -> [u8; RECORD_BYTES] {
    let mut bytes = [0; RECORD_BYTES];
    bytes[..8].copy_from_slice(&id.leader_id.term.to_le_bytes());
    bytes[8..16].copy_from_slice(&id.leader_id.node_id.to_le_bytes());
    bytes[16..24].copy_from_slice(&id.index.to_le_bytes());
    let crc = crc32(&bytes[..24]);
    bytes[24..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<LogId> {
    let record: &[u8; RECORD_BYTES] = bytes.try_into().ok()?;
    let (content, crc) = record.split_at(24);
    if crc32(content).to_le_bytes() != *crc {
        return None;
    }
    let number = |at: usize| content[at..at + 8].try_into().ok().map(u64::from_le_bytes);
    let leader_id = openraft::impls::leader_id_adv::LeaderId {
        term: number(0)?,
        node_id: number(8)?,
    };
    Some(LogId {
        leader_id,
        index: number(16)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(term: u64, index: u64) -> LogId {
        LogId {
            leader_id: openraft::impls::leader_id_adv::LeaderId { term, node_id: 7 },
            index,
        }
    }

    #[test]
    fn the_last_record_is_read_back_and_a_torn_one_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("committed");
        let (file, found) = CommittedFile::open(&path).unwrap();
        assert_eq!(found, None);
        file.write(&id(3, 10)).unwrap();
        file.write(&id(3, 11)).unwrap();
        assert_eq!(CommittedFile::open(&path).unwrap().1, Some(id(3, 11)));
        let whole = encode(&id(3, 11));
        for cut in 0..RECORD_BYTES {
            assert_eq!(decode(&whole[..cut]), None, "cut at {cut}");
        }
        for at in 0..RECORD_BYTES {
            let mut torn = whole;
            torn[at] ^= 1;
            assert_eq!(decode(&torn), None, "byte {at}");
        }
    }
}
