//! Replacing an executor that is gone, or makes no progress.

use super::core::FailoverCore;
use super::types::FailoverEffect;
use super::work::{Scene, wake_at};
use crate::replicated::{Command, Phase, Plan, PlanCause};

/// Grace for an executor whose connection is missing: it may just be reconnecting.
const EXECUTOR_GRACE_MS: u64 = 100;
/// An executor that makes no progress before the switch for this long is replaced.
const PROGRESS_PATIENCE_MS: u64 = 3_000;
/// ... and for a forced plan, which may wait for offsets to become equal.
const FORCED_PATIENCE_MS: u64 = 12_000;
/// A step that may take all of failover-timeout gets this much longer.
const TIMEOUT_GRACE_MS: u64 = 5_000;

impl FailoverCore {
    /// One look at a plan of another executor: the raft_leader takes it over when it has to.
    pub(super) fn consider_take_over(
        &mut self,
        scene: &Scene<'_>,
        plan: &Plan,
        effects: &mut Vec<FailoverEffect>,
    ) {
        let connected = self.connected.contains(&plan.executor);
        let leads = self.is_raft_leader && self.has_majority;
        let Some(work) = self.work.get_mut(scene.name) else {
            return;
        };
        // Also noted while another node leads: whoever is elected next need not wait any more.
        let missing_since = (!connected).then(|| work.executor_missing_since.unwrap_or(scene.now));
        work.executor_missing_since = missing_since;
        if !leads {
            return;
        }
        let seen = work.plan_seen.as_ref().map_or(scene.now, |(_, at)| *at);
        let whole_timeout = scene
            .group
            .options
            .failover_timeout_ms
            .saturating_add(TIMEOUT_GRACE_MS);
        let patience = match (&plan.phase, &plan.cause) {
            (Phase::Switched { .. }, _) | (_, PlanCause::Coordinated) => whole_timeout,
            (_, PlanCause::Forced) => FORCED_PATIENCE_MS,
            _ => PROGRESS_PATIENCE_MS,
        };
        let due = match missing_since {
            Some(since) => since.plus(EXECUTOR_GRACE_MS).min(seen.plus(patience)),
            None => seen.plus(patience),
        };
        if scene.now < due {
            wake_at(work, due);
            return;
        }
        let command = Command::Reassign {
            master: scene.name.clone(),
            failover_epoch: plan.failover_epoch,
            executor_generation: plan.executor_generation,
            executor: self.me,
            at: scene.wall,
        };
        self.propose(scene, command, effects);
    }
}
