//! Replacing a text file so that at every moment the old or the new text is there. Blocks.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rustix::io::Errno;

use crate::config::{journaled, os_text};
use crate::successor;

/// Mode of a file that was not there, as of Redis without a umask.
const NEW_MODE: u32 = 0o644;

/// Sentinel's check at start.
///
/// # Errors
/// The reason of the system.
pub fn check_writable(path: &Path) -> Result<(), String> {
    rustix::fs::access(path, rustix::fs::Access::WRITE_OK).map_err(|error| os_text(&io::Error::from(error)))
}

/// Replaces the text: by a new file under the same name, or in place where that cannot be (a bind mount of the single
/// file, a folder that is not writable, an owner that cannot be kept). Owner and mode stay.
pub(super) fn replace(path: &Path, text: &str) -> io::Result<()> {
    // A symbolic link stays one.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    match successor::replace(&target, text.as_bytes(), NEW_MODE).map_err(|(_, error)| error) {
        Err(error) if in_place_may_do(&error) && target.exists() => in_place(&target, text),
        done => done,
    }
}

fn in_place_may_do(error: &io::Error) -> bool {
    let errors = [Errno::ACCESS, Errno::PERM, Errno::ROFS, Errno::BUSY, Errno::XDEV];
    Errno::from_io_error(error).is_some_and(|error| errors.contains(&error))
}

/// See `config::journal`.
fn in_place(target: &Path, text: &str) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(target)?;
    let old_len = file.metadata()?.len();
    let plan = journaled(usize::try_from(old_len).unwrap_or(usize::MAX), text);
    let written = file
        .write_all_at(&plan.tail, old_len)
        .and_then(|()| file.sync_all());
    if let Err(error) = written {
        // Disk full, most likely: the old text is as it was.
        let _ = file.set_len(old_len);
        return Err(error);
    }
    file.write_all_at(&plan.head, 0)?;
    file.sync_all()?;
    file.set_len(u64::try_from(text.len()).unwrap_or(u64::MAX))?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use super::*;

    fn read(path: &Path) -> (String, u32) {
        let mode = fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        (fs::read_to_string(path).unwrap(), mode)
    }

    #[test]
    fn the_new_file_has_the_mode_of_the_old_one_and_nothing_is_left_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sentinel.conf");
        replace(&path, "a\n").unwrap();
        assert_eq!(read(&path), ("a\n".to_owned(), NEW_MODE));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        fs::write(dir.path().join("sentinel.conf.new"), "left").unwrap();
        let link = dir.path().join("link.conf");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        replace(&link, "b\n").unwrap();
        assert_eq!(read(&path), ("b\n".to_owned(), 0o640));
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn in_place_the_file_is_the_same_one_with_the_new_text() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sentinel.conf");
        for (old, new) in [
            ("long old text\n", "new\n"),
            ("old\n", "a much longer new text\n"),
        ] {
            fs::write(&path, old).unwrap();
            let inode = fs::metadata(&path).unwrap().ino();
            in_place(&path, new).unwrap();
            assert_eq!(read(&path).0, new);
            assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
        }
    }

    #[test]
    fn an_error_leaves_the_old_text() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("folder").join("sentinel.conf");
        assert!(replace(&path, "a\n").is_err());
        assert!(!in_place_may_do(&io::Error::from(Errno::NOSPC)));
        assert!(in_place_may_do(&io::Error::from(Errno::BUSY)));
    }
}
