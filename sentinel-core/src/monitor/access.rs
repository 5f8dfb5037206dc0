//! What a monitor shows of itself.

use std::sync::Arc;

use super::core::MonitorCore;
use super::types::Assignment;
use crate::instance::InstanceFacts;
use crate::time::MonoTime;

impl MonitorCore {
    /// Everything known.
    #[must_use]
    pub fn facts(&self) -> &InstanceFacts {
        &self.facts
    }

    /// The assignment in force.
    #[must_use]
    pub fn assignment(&self) -> &Assignment {
        &self.assignment
    }

    /// Oldest probe without an acceptable answer.
    #[must_use]
    pub fn pending_since(&self) -> Option<MonoTime> {
        self.pending_since
    }

    /// Last reply of any kind.
    #[must_use]
    pub fn last_reply(&self) -> MonoTime {
        self.last_reply
    }

    /// When INFO last arrived.
    #[must_use]
    pub fn info_at(&self) -> Option<MonoTime> {
        self.info_at
    }

    /// Generation of the present link.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Text of that INFO.
    #[must_use]
    pub fn info_text(&self) -> Option<&Arc<str>> {
        self.info_text.as_ref()
    }

    /// `replica_announced` of that INFO.
    #[must_use]
    pub fn announced(&self) -> bool {
        self.announced
    }
}
