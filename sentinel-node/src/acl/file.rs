//! The ACL file on disk. Blocking.

use std::fs;
use std::path::Path;

use sentinel_core::acl::{Policy, Users, load};

use crate::config::os_text;
use crate::successor::{self, Step};

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

/// Replaces the file in one step.
///
/// # Errors
/// Redis's text for the log.
pub(super) fn write(path: &Path, lines: &[Vec<u8>]) -> Result<(), String> {
    let mut text = lines.join(&b'\n');
    text.push(b'\n');
    successor::replace(path, &text, MODE).map_err(|(step, error)| {
        let doing = match step {
            Step::Open => "Opening temp",
            Step::Write => "Writing",
            Step::Rename => "Renaming",
            Step::Folder => "Syncing the directory of the",
        };
        format!("{doing} ACL file for ACL SAVE: {}", os_text(&error))
    })
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

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
