//! Small files that are whole or absent: written aside, synced, renamed, and checked when read.
//!
//! ```text
//! magic "SoRf" | kind: 4 bytes | length: u32 LE | payload | crc32 of all before: u32 LE
//! ```
//!
//! * A crash at any point leaves the old file or the new one, and at most a `.tmp` that the next start removes.
//! * A file that fails its check is an error that names the path; it is never overwritten by reading code.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::checksum::crc32;
use crate::error::OpenError;

const MAGIC: [u8; 4] = *b"SoRf";
const HEADER_BYTES: usize = 12;
const CRC_BYTES: usize = 4;
/// No sealed file is larger; checked before reading it into memory.
const MAX_FILE_BYTES: u64 = 256 * 1024 * 1024;

/// What a sealed file holds; part of the file, so that a renamed file is not taken for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Identity of the node.
    Identity,
    /// Identity of the group.
    Group,
    /// Counter of starts.
    Boot,
    /// A local fact of the node.
    Fact,
    /// A snapshot of the state machine.
    Snapshot,
}

impl Kind {
    fn tag(self) -> [u8; 4] {
        match self {
            Self::Identity => *b"iden",
            Self::Group => *b"grou",
            Self::Boot => *b"boot",
            Self::Fact => *b"fact",
            Self::Snapshot => *b"snap",
        }
    }
}

/// Adds header and checksum to a payload.
pub(crate) fn seal(kind: Kind, payload: &[u8]) -> io::Result<Vec<u8>> {
    let length = u32::try_from(payload.len())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "more than 4 GiB in one file"))?;
    let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len() + CRC_BYTES);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&kind.tag());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes.extend_from_slice(&crc32(&bytes).to_le_bytes());
    Ok(bytes)
}

/// Checks header and checksum; the error is the reason as text.
pub(crate) fn unseal(kind: Kind, bytes: &[u8]) -> Result<&[u8], String> {
    if bytes.len() < HEADER_BYTES + CRC_BYTES {
        return Err(format!("only {} bytes long, cut off", bytes.len()));
    }
    let (content, crc) = bytes.split_at(bytes.len() - CRC_BYTES);
    let (header, payload) = content.split_at(HEADER_BYTES);
    if header[..4] != MAGIC {
        return Err("not a file of Sentinel on Raft".to_owned());
    }
    if header[4..8] != kind.tag() {
        return Err("holds something else than its name says".to_owned());
    }
    if header[8..12] != (payload.len() as u64).to_le_bytes()[..4] {
        return Err("cut off or extended".to_owned());
    }
    if crc32(content).to_le_bytes() != *crc {
        return Err("checksum does not match, damaged".to_owned());
    }
    Ok(payload)
}

/// Reads a sealed file; `None` when there is none.
pub(crate) fn read(path: &Path, kind: Kind) -> Result<Option<Vec<u8>>, OpenError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(OpenError::from_io(path, e)),
    };
    let io_error = |e| OpenError::from_io(path, e);
    let corrupt = |reason: String| OpenError::Corrupt {
        path: path.to_path_buf(),
        reason,
    };
    let length = file.metadata().map_err(io_error)?.len();
    if length > MAX_FILE_BYTES {
        return Err(corrupt(format!(
            "{length} bytes are more than this file can have"
        )));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(io_error)?;
    Ok(Some(unseal(kind, &bytes).map_err(corrupt)?.to_vec()))
}

/// Writes a sealed file durably and atomically: when this returns `Ok` it survives a power loss.
pub(crate) fn write(path: &Path, kind: Kind, payload: &[u8]) -> Result<(), OpenError> {
    let io_error = |e| OpenError::from_io(path, e);
    let bytes = seal(kind, payload).map_err(io_error)?;
    let aside = aside(path);
    let written = write_aside(&aside, &bytes).and_then(|()| fs::rename(&aside, path));
    if let Err(e) = written {
        // Best effort: the next start removes what is left.
        let _ = fs::remove_file(&aside);
        return Err(io_error(e));
    }
    sync_parent(path).map_err(io_error)
}

fn write_aside(aside: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(aside)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Where a file is written before it is renamed.
pub(crate) fn aside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    PathBuf::from(name)
}

/// Makes a rename or a new file in the parent directory durable.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

/// Creates a directory for the owner only, durably; fine when it exists.
pub(crate) fn create_dir(path: &Path) -> Result<(), OpenError> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => sync_parent(path).map_err(|e| OpenError::from_io(path, e)),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(e) => Err(OpenError::from_io(path, e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_file_is_read_back_and_leaves_nothing_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fact");
        assert!(read(&path, Kind::Fact).unwrap().is_none());
        write(&path, Kind::Fact, b"one").unwrap();
        write(&path, Kind::Fact, b"two").unwrap();
        assert_eq!(read(&path, Kind::Fact).unwrap().unwrap(), b"two");
        assert!(!aside(&path).exists());
    }

    #[test]
    fn every_flipped_byte_and_every_cut_is_noticed() {
        let whole = seal(Kind::Boot, b"some payload").unwrap();
        assert_eq!(unseal(Kind::Boot, &whole), Ok(&b"some payload"[..]));
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x20;
            assert!(unseal(Kind::Boot, &damaged).is_err(), "byte {at} flipped");
            assert!(unseal(Kind::Boot, &whole[..at]).is_err(), "cut at {at}");
        }
        assert!(unseal(Kind::Fact, &whole).is_err(), "another kind");
    }
}
