//! The opinion of this node about a group's master, and when others hear of one.

use sentinel_proto::EvidenceClass;
use sentinel_proto::info::ReportedRole;
use sentinel_proto::peer::Opinion;

use super::core::replica_facts;
use super::open;
use super::types::{GroupSoft, QuorumEffect};
use crate::instance::InstanceFacts;
use crate::lineage::Kinship;
use crate::replicated::Group;
use crate::time::MonoTime;

/// What this node says about the group's master; in TILT never that it is down. `None` = it has not looked yet.
pub(super) fn own_opinion(group: &Group, soft: &GroupSoft, in_tilt: bool, now: MonoTime) -> Option<Opinion> {
    let facts = soft.instances.get(&group.address)?;
    let wrong_role = facts.class == EvidenceClass::Alive && facts.role() == Some(ReportedRole::Replica);
    // An emptied master is given up only if somebody else still has the data.
    let holds_data =
        |r: &InstanceFacts| r.connected && r.keys > Some(0) && r.role() == Some(ReportedRole::Replica);
    let same_data =
        |r: &InstanceFacts| holds_data(r) && r.origin.as_ref().is_some_and(|o| group.lineage.knows(&o.id));
    let foreign =
        matches!(facts.kinship, Kinship::Foreign(_)) && replica_facts(group, soft).into_iter().any(same_data);
    let emptied = facts.emptied_since.is_some() && replica_facts(group, soft).into_iter().any(holds_data);
    Some(Opinion {
        master: group.name.clone(),
        address: group.address.clone(),
        config_epoch: group.config_epoch,
        down: !in_tilt && (facts.sdown_since.is_some() || emptied || foreign),
        class: match (wrong_role, emptied || foreign) {
            (true, _) => EvidenceClass::WrongRole,
            (_, true) => EvidenceClass::Foreign,
            _ => facts.class,
        },
        class_age_ms: now.ms_since(facts.class_since),
        refused_count: facts.refused_count,
        silent_ms: facts.silent_since.map(|since| now.ms_since(since)),
        promotable_replicas: open::promotable(group, soft, now),
    })
}

/// Readers see how old each opinion is: one that only repeats the last is news, too.
pub(super) fn show(opinions: &[Opinion], effects: &mut Vec<QuorumEffect>) {
    effects.extend(opinions.iter().map(|o| QuorumEffect::Changed(o.master.clone())));
}

/// Whether peers must hear of it at once; ages alone can wait for the refresh.
pub(super) fn differs(a: &Opinion, b: &Opinion) -> bool {
    (a.down, a.class, a.config_epoch, &a.address, a.promotable_replicas)
        != (b.down, b.class, b.config_epoch, &b.address, b.promotable_replicas)
}
