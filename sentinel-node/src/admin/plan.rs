//! Plans of the replicated state as JSON.

use sentinel_core::replicated::{ClosedPlan, Phase, Plan, PlanCause, State};

use super::model;

/// An open or finished plan.
pub(super) fn plan(plan: &Plan, state: &State) -> model::Plan {
    let started = plan.timeline.iter().map(|(_, at)| *at).min();
    let (cause, agreeing) = match &plan.cause {
        PlanCause::ObjectivelyDown { agreeing, .. } => ("odown", Some(*agreeing)),
        PlanCause::Forced => ("forced", None),
        PlanCause::Coordinated => ("coordinated", None),
    };
    model::Plan {
        failover_epoch: plan.failover_epoch,
        cause: cause.to_owned(),
        agreeing,
        executor: state
            .members
            .get(&plan.executor)
            .map_or_else(|| plan.executor.to_string(), |member| member.myid.to_string()),
        executor_generation: plan.executor_generation,
        from: plan.old_address.to_string(),
        to: plan.phase.replica().map(ToString::to_string),
        phase: phase(&plan.phase).to_owned(),
        evidence: plan
            .evidence
            .iter()
            .map(|note| model::Evidence {
                observer: note.observer.to_string(),
                evidence: note.class.name().to_owned(),
                age_ms: note.age_ms,
            })
            .collect(),
        refused: plan
            .refused
            .iter()
            .map(|refusal| model::Refusal {
                replica: refusal.replica.to_string(),
                reason: refusal.reason.name().to_owned(),
            })
            .collect(),
        failed: plan.failed.iter().map(ToString::to_string).collect(),
        started_at: started.map(|at| at.0),
        timeline: plan
            .timeline
            .iter()
            .map(|(step, at)| model::Step {
                step: step.name().to_owned(),
                offset_ms: started.map_or(0, |started| at.ms_since(started)),
            })
            .collect(),
    }
}

/// A finished plan.
pub(super) fn closed(closed: &ClosedPlan, state: &State) -> model::ClosedPlan {
    model::ClosedPlan {
        plan: plan(&closed.plan, state),
        outcome: closed.outcome.name().to_owned(),
        loss_bound_bytes: closed.loss_bound_bytes,
    }
}

/// Name of a phase.
pub(super) fn phase(phase: &Phase) -> &'static str {
    match phase {
        Phase::Opened => "opened",
        Phase::Chosen { .. } => "chosen",
        Phase::Switched { .. } => "switched",
    }
}
