//! Free ports that no other test takes meanwhile.
//!
//! A port is chosen below the range from which the kernel takes ports of outgoing connections, locked by a
//! file that lives as long as the reservation (so that parallel tests, which are processes of their own,
//! never collide), and tried with a bind.

use std::fs::{File, OpenOptions};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use rand::Rng;
use rustix::fs::{FlockOperation, flock};
use rustix::process::geteuid;

const FIRST: u16 = 20_000;
const LAST: u16 = 32_000;
const ATTEMPTS: usize = 4_000;

/// A port of 127.0.0.1 that is ours until dropped, whether something listens there or not.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    /// Takes a free port.
    pub fn reserve() -> Result<Self> {
        let folder = lock_folder()?;
        let mut rng = rand::rng();
        for _ in 0..ATTEMPTS {
            let number = rng.random_range(FIRST..=LAST);
            let path = folder.join(number.to_string());
            let Ok(lock) = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path)
            else {
                continue;
            };
            if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
                continue;
            }
            if TcpListener::bind(("127.0.0.1", number)).is_ok() {
                return Ok(Self { number, _lock: lock });
            }
        }
        bail!("no free port between {FIRST} and {LAST}")
    }

    /// The number.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.number
    }
}

/// The first user who comes makes it; others, who may not write there, have one of their own, and only the bind between them.
fn lock_folder() -> Result<PathBuf> {
    let me = geteuid().as_raw();
    let shared = std::env::temp_dir().join("sentinel-test-ports");
    let own = shared.with_extension(me.to_string());
    for folder in [shared, own] {
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        if std::fs::metadata(&folder).context("folder of ports")?.uid() == me {
            return Ok(folder);
        }
    }
    bail!("the folders for locks of ports belong to somebody else")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_reservations_never_share_a_port() {
        let ports: Vec<Port> = (0..50).map(|_| Port::reserve().unwrap()).collect();
        let distinct: std::collections::BTreeSet<u16> = ports.iter().map(Port::number).collect();
        assert_eq!(distinct.len(), ports.len());
    }
}
