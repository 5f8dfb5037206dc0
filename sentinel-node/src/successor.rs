//! Replacing a file by a new one under its name: a reader sees the old one or the new one, whatever happens. Blocks.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::process::{Gid, Uid, getegid, geteuid, getgroups};

/// Appended to the name of the file for its successor.
const ASIDE: &str = ".new";

/// What was being done when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Creating the new file.
    Open,
    /// Writing it, with owner and mode of the old one.
    Write,
    /// Giving it the name.
    Rename,
    /// Making the name durable: the new file is there, and may be gone after a power failure.
    Folder,
}

/// Replaces `target`; owner and mode stay, `new_mode` is for a file that was not there.
///
/// # Errors
/// The step and the error of the system. Before [`Step::Folder`] the old file is untouched and nothing else is left.
pub(crate) fn replace(target: &Path, text: &[u8], new_mode: u32) -> Result<(), (Step, io::Error)> {
    let at = |step: Step| move |error: io::Error| (step, error);
    let mut name = target.as_os_str().to_owned();
    name.push(ASIDE);
    let aside = PathBuf::from(name);
    // Left by a process that was killed here.
    let _ = fs::remove_file(&aside);
    // Passwords are in it: it is nobody else's before it has the mode of the old one.
    let mut options = OpenOptions::new();
    let options = options.write(true).create_new(true).mode(0o600);
    let file = options.open(&aside).map_err(at(Step::Open))?;
    let done = fill(file, target, text, new_mode)
        .map_err(at(Step::Write))
        .and_then(|()| fs::rename(&aside, target).map_err(at(Step::Rename)));
    if done.is_err() {
        let _ = fs::remove_file(&aside);
        return done;
    }
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all());
    folder.map_err(at(Step::Folder))
}

fn fill(mut file: File, target: &Path, text: &[u8], new_mode: u32) -> io::Result<()> {
    match fs::metadata(target) {
        Ok(old) => {
            let new = file.metadata()?;
            keep_owner(&file, (new.uid(), new.gid()), (old.uid(), old.gid()))?;
            file.set_permissions(Permissions::from_mode(old.mode() & 0o7777))?;
        }
        Err(_) => file.set_permissions(Permissions::from_mode(new_mode))?,
    }
    file.write_all(text)?;
    file.sync_all()
}

/// Where the kernel would refuse it the call is not made: in the sandbox of Debian's `redis-sentinel.service` a call of
/// `fchown` ends the process, whatever it would have answered.
fn keep_owner(file: &File, new: (u32, u32), old: (u32, u32)) -> io::Result<()> {
    if new == old {
        return Ok(());
    }
    let mut groups = getgroups()?;
    groups.push(getegid());
    if !may_give(geteuid(), &groups, new, old) {
        return Err(Errno::PERM.into());
    }
    fchown(file, Some(old.0), Some(old.1))
}

/// chown(2): root gives to anyone, others their own files to groups that they are in. Users and groups of the file.
fn may_give(me: Uid, groups: &[Gid], from: (u32, u32), to: (u32, u32)) -> bool {
    me.is_root() || (from.0 == to.0 && groups.iter().any(|group| group.as_raw() == to.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_given_as_the_kernel_allows_it() {
        let groups = [101, 7].map(Gid::from_raw);
        let redis = Uid::from_raw(100);
        assert!(may_give(redis, &groups, (100, 101), (100, 7)));
        assert!(!may_give(redis, &groups, (100, 101), (100, 0)));
        assert!(!may_give(redis, &groups, (100, 101), (0, 101)));
        assert!(may_give(Uid::ROOT, &[], (0, 0), (100, 101)));
    }
}
