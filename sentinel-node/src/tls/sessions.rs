//! Sessions that clients may resume, for as long as `tls-session-cache-timeout` says.

use std::sync::Arc;

use sentinel_core::time::MonoTime;
use tokio_rustls::rustls::server::{ServerSessionMemoryCache, StoresServerSessions};

use crate::clock::SharedClock;
use crate::config::TlsConfig;

/// Sessions kept at most, whatever the file says: each takes one to two kilobytes.
const MAX_SESSIONS: u32 = 65_536;
/// Bytes of the time before each session.
const TIME_BYTES: usize = 8;

/// A cache of rustls whose entries begin with the time at which they were put there.
#[derive(Debug)]
pub(super) struct Sessions {
    cache: Arc<ServerSessionMemoryCache>,
    timeout_ms: u64,
    clock: SharedClock,
}

impl Sessions {
    /// As `tls-session-cache-size` and `tls-session-cache-timeout` say.
    pub(super) fn new(settings: &TlsConfig, clock: &SharedClock) -> Self {
        let size = match settings.session_cache_size {
            0 => MAX_SESSIONS,
            size => size.min(MAX_SESSIONS),
        };
        Self {
            cache: ServerSessionMemoryCache::new(usize::try_from(size).unwrap_or(1)),
            timeout_ms: u64::from(settings.session_cache_timeout_s).saturating_mul(1000),
            clock: Arc::clone(clock),
        }
    }

    fn fresh(&self, value: &[u8]) -> Option<Vec<u8>> {
        let (time, session) = value.split_at_checked(TIME_BYTES)?;
        let since = MonoTime(u64::from_be_bytes(time.try_into().ok()?));
        let age_ms = self.clock.mono().ms_since(since);
        (age_ms < self.timeout_ms).then(|| session.to_vec())
    }
}

impl StoresServerSessions for Sessions {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        let mut stamped = self.clock.mono().0.to_be_bytes().to_vec();
        stamped.extend_from_slice(&value);
        self.cache.put(key, stamped)
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.fresh(&self.cache.get(key)?)
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.fresh(&self.cache.take(key)?)
    }

    fn can_cache(&self) -> bool {
        true
    }
}
