//! Whether this node may name a master: `sentinel stale-reads` (DESIGN.md section 8).
//!
//! A node without a majority may be the one that missed a failover. It goes on naming a master only while it
//! can verify it itself; otherwise it answers as for an unknown name, so that clients ask the next sentinel.
//! Never an error: redis-py stops at one.

use crate::config::StaleReads;
use crate::view::{InstanceView, ReportedRole};

/// Judges one group; `master` is this node's own view of the committed master.
pub(super) fn may_name(setting: StaleReads, has_majority: bool, master: Option<&InstanceView>) -> bool {
    if has_majority {
        return true;
    }
    match setting {
        StaleReads::Yes => true,
        StaleReads::No => false,
        StaleReads::Auto => master.is_some_and(|view| {
            view.connected && view.sdown_since.is_none() && view.role == ReportedRole::Master
        }),
    }
}
