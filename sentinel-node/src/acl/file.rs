//! The ACL file on disk. Blocking.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use sentinel_core::acl::{Policy, Users, load};

use crate::config::os_text;

/// Of a file that does not exist yet: it holds hashes of passwords. One that exists keeps its mode.
const MODE: u32 = 0o600;

/// Reads the file whole.
///
/// # Errors
/// Redis's text: the file cannot be read, or everything that is wrong in it.
pub(super) fn read(path: &Path, policy: &Policy) -> Result<Users, String> {
    let shown = path.display().to_string();
    let text = fs::read(path)
        .map_err(|error| format!("Error loading ACLs, opening file '{shown}': {}", os_text(&error)))?;
    load(&shown, &text, policy)
}

/// Replaces the file in one step: a reader sees the old one or the new one, whatever happens.
///
/// # Errors
/// Text for the log.
pub(super) fn write(path: &Path, lines: &[Vec<u8>]) -> Result<(), String> {
    let temporary = PathBuf::from(format!("{}.tmp-{}", path.display(), std::process::id()));
    let result = replace(path, &temporary, lines);
    if result.is_err() {
        // What was written so far is of no use; it may not exist.
        let _ = fs::remove_file(&temporary);
    }
    result
}

fn replace(path: &Path, temporary: &Path, lines: &[Vec<u8>]) -> Result<(), String> {
    let failed = |what: &'static str| move |error: io::Error| format!("{what} ACL SAVE: {}", os_text(&error));
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(MODE)
        .open(temporary)
        .map_err(failed("Opening temp ACL file for"))?;
    let mut text = lines.join(&b'\n');
    text.push(b'\n');
    file.write_all(&text).map_err(failed("Writing ACL file for"))?;
    if let Ok(present) = fs::metadata(path) {
        let mode = Permissions::from_mode(present.permissions().mode());
        file.set_permissions(mode)
            .map_err(failed("Writing ACL file for"))?;
    }
    file.sync_all().map_err(failed("Syncing ACL file for"))?;
    fs::rename(temporary, path).map_err(failed("Renaming ACL file for"))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all());
    folder.map_err(failed("Syncing the directory of the ACL file for"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acl::policy;

    #[test]
    fn what_is_written_is_read_and_nothing_else_is_left_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users.acl");
        let mut users = Users::default();
        let rules = ["on", ">p", "+@all", "-sentinel", "(&a +publish)"];
        users.set(b"a", &rules, &policy(false)).unwrap();
        write(&path, &users.lines()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        write(&path, &users.lines()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(read(&path, &policy(false)).unwrap().lines(), users.lines());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        let error = write(&dir.path().join("none/users.acl"), &[]).unwrap_err();
        assert_eq!(
            error,
            "Opening temp ACL file for ACL SAVE: No such file or directory"
        );
        let missing = dir.path().join("none");
        let error = read(&missing, &policy(false)).unwrap_err();
        let shown = missing.display();
        assert_eq!(
            error,
            format!("Error loading ACLs, opening file '{shown}': No such file or directory")
        );
    }
}
