//! The limit of open files against `maxclients` (server.c `adjustOpenFilesLimit`).
//!
//! Redis reserves 32 descriptors. Here clients must never take those that the group lives on: connections to the other
//! sentinels, two to each Redis server, the admin port, the log's files.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors beside those of clients, whatever is monitored.
const RESERVED: u64 = 256;
/// More for each master in the file: it, its replicas, and both connections to each.
const RESERVED_PER_MASTER: u64 = 8;
/// Below this nothing works (Redis: `CONFIG_MIN_RESERVED_FDS`).
const LEAST: u64 = 32;

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenFiles {
    /// The limit was high enough.
    Enough,
    /// It was raised: the line to log.
    Raised(String),
    /// It could not be raised so far: fewer clients, and lines to log.
    Fewer(u32, Vec<String>),
    /// The process cannot run: the line to log.
    TooFew(String),
}

/// Raises the limit of open files to what `maxclients` and so many masters need.
#[must_use]
pub fn raise_open_files(maxclients: u32, masters: usize) -> OpenFiles {
    let limit = getrlimit(Resource::Nofile);
    let current = limit.current.unwrap_or(u64::MAX);
    let reserved = reserved(masters);
    let wanted = u64::from(maxclients).saturating_add(reserved);
    if current >= wanted {
        return OpenFiles::Enough;
    }
    let raise = |to: u64| {
        setrlimit(
            Resource::Nofile,
            Rlimit {
                current: Some(to),
                // Above it only with the privilege to raise it.
                maximum: limit.maximum.map(|maximum| maximum.max(to)),
            },
        )
    };
    let Err(first) = raise(wanted) else {
        return OpenFiles::Raised(format!(
            "Increased maximum number of open files to {wanted} (it was originally set to {current})."
        ));
    };
    let highest = limit.maximum.unwrap_or(wanted).min(wanted);
    let best = if highest > current && raise(highest).is_ok() {
        highest
    } else {
        current
    };
    fewer(maxclients, wanted, best, reserved, &std::io::Error::from(first))
}

fn reserved(masters: usize) -> u64 {
    let masters = u64::try_from(masters).unwrap_or(u64::MAX);
    RESERVED.saturating_add(masters.saturating_mul(RESERVED_PER_MASTER))
}

/// With a limit of `best` instead of `wanted`: at least half of it is for clients.
fn fewer(maxclients: u32, wanted: u64, best: u64, reserved: u64, error: &std::io::Error) -> OpenFiles {
    if best <= LEAST {
        return OpenFiles::TooFew(format!(
            "Your current 'ulimit -n' of {best} is not enough for the server to start. Please increase your open file \
             limit to at least {wanted}. Exiting."
        ));
    }
    let clients = best.saturating_sub(reserved.min(best / 2));
    let clients = u32::try_from(clients).unwrap_or(u32::MAX);
    let error = crate::config::os_text(error);
    OpenFiles::Fewer(
        clients,
        vec![
            format!(
                "You requested maxclients of {maxclients} requiring at least {wanted} max file descriptors."
            ),
            format!("Server can't set maximum open files to {wanted} because of OS error: {error}."),
            format!(
                "Current maximum open files is {best}. maxclients has been reduced to {clients} to compensate for low \
                 ulimit. If you need higher maxclients increase 'ulimit -n'."
            ),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_low_limit_leaves_fewer_clients_or_none() {
        let error = std::io::Error::from(rustix::io::Errno::PERM);
        let few = |best| fewer(10_000, 10_264, best, reserved(1), &error);
        let OpenFiles::Fewer(clients, lines) = few(1024) else {
            panic!("{:?}", few(1024));
        };
        assert_eq!(clients, 760);
        assert!(
            lines[1].ends_with("because of OS error: Operation not permitted."),
            "{lines:?}"
        );
        assert!(matches!(few(200), OpenFiles::Fewer(100, _)));
        assert!(matches!(few(20), OpenFiles::TooFew(_)));
        // The limit of a test process is above this.
        assert_eq!(raise_open_files(1, 0), OpenFiles::Enough);
    }
}
