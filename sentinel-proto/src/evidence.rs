//! The classes of evidence that a node can hold about a Redis instance.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What one observer last saw of an instance. Which classes count as down, and after which deadline,
/// is decided in `sentinel-core`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EvidenceClass {
    /// Nothing seen yet in the present role.
    Unknown,
    /// An acceptable reply (`PONG`, `LOADING`, `MASTERDOWN`) in time.
    Alive,
    /// ECONNREFUSED or a reset while connecting: host up, process gone.
    Refused,
    /// EHOSTUNREACH or ENETUNREACH.
    Unreachable,
    /// The connect or reply deadline passed.
    Silent,
    /// TCP accepts, no reply.
    Hung,
    /// Replies `-BUSY`: a script or function runs.
    Busy,
    /// Replies `-LOADING`.
    Loading,
    /// Replies `-MISCONF`: cannot persist.
    PersistFail,
    /// Reports a role that contradicts the committed one.
    WrongRole,
    /// NOAUTH, WRONGPASS or NOPERM: never counts as down.
    Auth,
    /// Another lineage answers at this address.
    Foreign,
    /// Any other error reply, or bytes that are not RESP.
    ErrorReply,
}

impl EvidenceClass {
    /// The name used in events' details, the admin API and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Alive => "alive",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Silent => "silent",
            Self::Hung => "hung",
            Self::Busy => "busy",
            Self::Loading => "loading",
            Self::PersistFail => "persist-fail",
            Self::WrongRole => "wrong-role",
            Self::Auth => "auth",
            Self::Foreign => "foreign",
            Self::ErrorReply => "error-reply",
        }
    }
}

impl fmt::Display for EvidenceClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
