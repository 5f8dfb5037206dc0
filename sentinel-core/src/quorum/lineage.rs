//! What the raft_leader records of the group's data and servers, see [`crate::lineage`].

use sentinel_proto::EvidenceClass;
use sentinel_proto::info::ReportedRole;
use sentinel_proto::types::{HostPort, MasterName};

use super::core::{QuorumCore, replica_facts};
use super::types::{GroupSoft, QuorumEffect};
use crate::instance::{InstanceFacts, ReplicationLink};
use crate::lineage::Kinship;
use crate::proposing::Proposing;
use crate::replicated::{Command, Group, Phase, Plan};
use crate::time::MonoTime;

/// News are gathered for this long: at a start the servers are heard of one after the other.
const GATHER_MS: u64 = 1_000;

/// Proposes what the log does not know yet, unless the master is suspected or being replaced. An id that goes back to a
/// known one (a promotion) is recorded at once: after a second promotion without it, nobody could tell that the servers
/// with the newest id are of this group.
pub(super) fn record(
    core: &mut QuorumCore,
    name: &MasterName,
    group: &Group,
    now: MonoTime,
    effects: &mut Vec<QuorumEffect>,
) {
    let leads = core.is_raft_leader && core.has_majority;
    let Some(soft) = core.groups.get_mut(name) else {
        return;
    };
    let switched = |plan: &Plan| matches!(plan.phase, Phase::Switched { .. });
    let calm = leads && group.plan.as_ref().is_none_or(switched) && !soft.attention;
    let Some(News { ids, files, is_heir }) = calm.then(|| news(group, soft)).flatten() else {
        soft.lineage_since = None;
        return;
    };
    let since = *soft.lineage_since.get_or_insert(now);
    let waiting = soft.proposing.busy(now).is_some();
    if waiting || !is_heir && now.ms_since(since) < GATHER_MS {
        return;
    }
    soft.lineage_since = Some(now);
    soft.proposing = Proposing::sent(now);
    let command = Command::RecordLineage {
        master: name.clone(),
        address: group.address.clone(),
        ids,
        files,
    };
    effects.push(QuorumEffect::Propose(name.clone(), command));
}

/// What the log does not know.
struct News {
    ids: Vec<String>,
    files: Vec<String>,
    /// The new id goes back to one that the log knows.
    is_heir: bool,
}

/// `None` = nothing is new.
fn news(group: &Group, soft: &GroupSoft) -> Option<News> {
    let lineage = &group.lineage;
    let master = soft.instances.get(&group.address).filter(|m| is_sound(m))?;
    let origin = master
        .origin
        .as_ref()
        .filter(|_| master.role() == Some(ReportedRole::Master))?;
    // The id before counts only when there is no other history: later on it is known, or somebody else's.
    let former = origin.former_id.iter().filter(|_| lineage.ids.is_empty());
    let ids = former
        .chain([&origin.id])
        .filter(|id| !id.is_empty() && !lineage.knows(id));
    let members = replica_facts(group, soft)
        .into_iter()
        .filter(|r| is_sound(r) && follows(r, &group.address));
    let files = members.filter_map(|r| r.origin.as_ref()).chain([origin]);
    let (ids, mut files): (Vec<String>, Vec<String>) = (
        ids.cloned().collect(),
        files
            .filter(|o| !lineage.files.contains(&o.file))
            .map(|o| o.file.clone())
            .collect(),
    );
    files.sort();
    files.dedup();
    let known = |id: &String| lineage.knows(id);
    let is_heir = !ids.is_empty() && origin.former_id.as_ref().is_some_and(known);
    (!ids.is_empty() || !files.is_empty()).then_some(News { ids, files, is_heir })
}

fn is_sound(facts: &InstanceFacts) -> bool {
    facts.connected && facts.class == EvidenceClass::Alive && facts.kinship == Kinship::Ours
}

fn follows(facts: &InstanceFacts, master: &HostPort) -> bool {
    let report = facts.report.as_ref();
    report.is_some_and(|r| r.follows.as_ref() == Some(master) && r.link == ReplicationLink::Up)
}
