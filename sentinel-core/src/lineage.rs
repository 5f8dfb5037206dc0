//! Whether the server that answers at an address of a group belongs to it: addresses are given away again, and a foreign
//! database must be neither overwritten nor adopted (DESIGN.md, invariant 4; FAULTS.md, I6).
//!
//! ```text
//! nothing to lose (no keys), or nothing known of the group yet       ours
//! the same process as when it was a member                           ours
//! a replica in sync with the group's master                          ours
//! a replication id of the group (its own, or the one before)         ours
//! another history, replicas of others, another master it is in       foreign
//!   sync with
//! no sign at all: a server with an append-only file, or one that      ours if it runs from a configuration file that
//!   was written to after it started empty, has a new replication id   servers of this group run from, else foreign
//! ```
//!
//! Redis keeps the replication id over a restart only in a snapshot (RDB), so the last row is common and needs a sign that
//! outlives the process.

use std::collections::BTreeSet;

use sentinel_proto::info::{InstanceReport, ReportedRole};
use sentinel_proto::types::HostPort;
use serde::{Deserialize, Serialize};

use crate::instance::{ReplicationLink, Report};
use crate::names::{Names, Spelling};

/// Replication ids kept per group; one comes with each promotion and each restart of a master.
const MAX_IDS: usize = 64;
/// Configuration files kept per group.
const MAX_FILES: usize = 64;
/// What `master_replid2` says when there is none.
const NO_ID: char = '0';

/// What is known of a group's data and servers; part of the replicated state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    /// Replication ids that its masters had, the newest last.
    pub ids: Vec<String>,
    /// `config_file` of its servers; one may be empty.
    pub files: Vec<String>,
}

impl Lineage {
    /// Whether this id was one of the group's.
    #[must_use]
    pub fn knows(&self, id: &str) -> bool {
        self.ids.iter().any(|known| known == id)
    }

    /// Adds what is not known yet, and forgets the oldest above the limits. Returns whether anything changed.
    pub fn add(&mut self, ids: &[String], files: &[String]) -> bool {
        let changed = add(&mut self.ids, ids, MAX_IDS);
        add(&mut self.files, files, MAX_FILES) || changed
    }
}

fn add(known: &mut Vec<String>, new: &[String], limit: usize) -> bool {
    let mut changed = false;
    for text in new {
        if !known.contains(text) {
            known.push(text.clone());
            changed = true;
        }
    }
    let surplus = known.len().saturating_sub(limit);
    known.drain(..surplus);
    changed
}

/// What a process says about where its data comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// `run_id` of the process.
    pub run_id: String,
    /// `master_replid`; empty = not said.
    pub id: String,
    /// `master_replid2`; `None` = no other id before.
    pub former_id: Option<String>,
    /// `config_file`; empty when it was started without one.
    pub file: String,
    /// Replicas that are attached to it, if it is a master that should not be one.
    pub attached: Vec<HostPort>,
    /// Keys in all databases.
    pub keys: u64,
}

impl Origin {
    /// From a full INFO; `None` while the server is loading, or when the text names no role.
    #[must_use]
    pub fn of(info: &InstanceReport, should_be: ReportedRole) -> Option<Self> {
        let stray = info.role == Some(ReportedRole::Master) && should_be == ReportedRole::Replica;
        if info.role.is_none() || info.loading == Some(true) {
            return None;
        }
        Some(Self {
            run_id: info.run_id.clone().unwrap_or_default(),
            id: info.replid.clone().unwrap_or_default(),
            former_id: former(info),
            file: info.config_file.clone().unwrap_or_default(),
            attached: if stray { info.replicas.clone() } else { Vec::new() },
            // A server that does not count its keys may have some.
            keys: info.keys.unwrap_or(u64::MAX),
        })
    }

    /// From a later `INFO replication` of the same process.
    pub fn update(&mut self, info: &InstanceReport) {
        if let Some(id) = &info.replid {
            self.id.clone_from(id);
            self.former_id = former(info);
        }
    }
}

fn former(info: &InstanceReport) -> Option<String> {
    let id = info.replid2.clone()?;
    id.chars().any(|c| c != NO_ID).then_some(id)
}

/// How a server is foreign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sign {
    /// Its data comes from a master that was never one of this group.
    OtherHistory,
    /// Replicas of others are attached to it.
    OtherReplicas,
    /// It is in sync with a master of others.
    OtherMaster,
    /// Nothing says that it was ever one of this group.
    NoHistory,
}

impl Sign {
    /// Text for the warning.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::OtherHistory => "its data comes from a master that was never one of this group",
            Self::OtherReplicas => "replicas that are not of this group are attached to it",
            Self::OtherMaster => "it replicates a master that is not of this group",
            Self::NoHistory => "neither its replication ids nor its configuration file are of this group",
        }
    }
}

/// Whether a server belongs to the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kinship {
    /// Nobody has looked at this process yet.
    Unknown,
    /// It does, or has nothing to lose.
    Ours,
    /// It does not: it must not be touched.
    Foreign(Sign),
}

/// What a judgement is based on.
#[derive(Debug)]
pub struct Evidence<'a> {
    /// What the process says.
    pub origin: &'a Origin,
    /// Its role, and whom it follows.
    pub report: Option<&'a Report>,
    /// This very process was seen as a member, or is in its place: the master, or a replica in sync with the master,
    /// whose data is the group's whatever its ids say.
    pub is_member: bool,
    /// Addresses of the group.
    pub group: &'a BTreeSet<HostPort>,
    /// Which other addresses are the same.
    pub names: &'a Names,
    /// What is known of the group.
    pub lineage: &'a Lineage,
}

/// The judgement. Total.
#[must_use]
pub fn judge(evidence: &Evidence<'_>) -> Kinship {
    let Evidence { origin, lineage, .. } = evidence;
    let ours = evidence.is_member
        || origin.keys == 0
        || lineage.ids.is_empty()
        || lineage.knows(&origin.id)
        || origin.former_id.as_ref().is_some_and(|id| lineage.knows(id));
    if ours {
        return Kinship::Ours;
    }
    // As long as a name was not looked up, its server is not called a stranger.
    let stranger = |address: &HostPort| evidence.names.spelling(address, evidence.group) == Spelling::New;
    let other_master = evidence
        .report
        .filter(|r| r.role == ReportedRole::Replica && r.link == ReplicationLink::Up)
        .and_then(|r| r.follows.as_ref());
    if other_master.is_some_and(stranger) {
        Kinship::Foreign(Sign::OtherMaster)
    } else if origin.attached.iter().any(stranger) {
        Kinship::Foreign(Sign::OtherReplicas)
    } else if origin.former_id.is_some() {
        Kinship::Foreign(Sign::OtherHistory)
    } else if lineage.files.contains(&origin.file) {
        Kinship::Ours
    } else {
        Kinship::Foreign(Sign::NoHistory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::at;
    use crate::time::MonoTime;

    const GROUP: &str = "aaaa";

    fn origin() -> Origin {
        Origin {
            run_id: "r".to_owned(),
            id: "ffff".to_owned(),
            former_id: None,
            file: "/etc/other.conf".to_owned(),
            attached: Vec::new(),
            keys: 7,
        }
    }

    fn report(follows: Option<HostPort>) -> Report {
        Report {
            role: if follows.is_some() {
                ReportedRole::Replica
            } else {
                ReportedRole::Master
            },
            role_since: MonoTime(0),
            follows,
            link: ReplicationLink::Up,
            link_down_ms: 0,
            last_io_s: None,
            last_io_at: MonoTime(0),
            offset: 0,
            offset_at: MonoTime(0),
            at: MonoTime(0),
        }
    }

    fn judged(origin: &Origin, follows: Option<HostPort>, is_member: bool, ids: &[&str]) -> Kinship {
        let lineage = Lineage {
            ids: ids.iter().map(|id| (*id).to_owned()).collect(),
            files: vec!["/etc/redis.conf".to_owned()],
        };
        judge(&Evidence {
            origin,
            report: Some(&report(follows)),
            is_member,
            group: &BTreeSet::from([at(6379), at(6380)]),
            names: &Names::default(),
            lineage: &lineage,
        })
    }

    #[test]
    fn each_row_of_the_table() {
        use Kinship::{Foreign, Ours};
        let edit = |change: fn(&mut Origin)| {
            let mut edited = origin();
            change(&mut edited);
            edited
        };
        let cases = [
            (origin(), None, Foreign(Sign::NoHistory)),
            (edit(|o| o.keys = 0), None, Ours),
            (edit(|o| o.id = GROUP.to_owned()), None, Ours),
            (edit(|o| o.former_id = Some(GROUP.to_owned())), None, Ours),
            (
                edit(|o| o.former_id = Some("bbbb".to_owned())),
                None,
                Foreign(Sign::OtherHistory),
            ),
            (
                edit(|o| o.attached = vec![at(6380), at(1)]),
                None,
                Foreign(Sign::OtherReplicas),
            ),
            (origin(), Some(at(1)), Foreign(Sign::OtherMaster)),
            (edit(|o| o.file = "/etc/redis.conf".to_owned()), None, Ours),
            // A path alone proves nothing against a known history.
            (
                edit(|o| {
                    o.file = "/etc/redis.conf".to_owned();
                    o.former_id = Some("bbbb".to_owned());
                }),
                None,
                Foreign(Sign::OtherHistory),
            ),
        ];
        for (number, (origin, follows, expected)) in cases.into_iter().enumerate() {
            assert_eq!(
                judged(&origin, follows, false, &[GROUP]),
                expected,
                "case {number}"
            );
        }
    }

    #[test]
    fn a_known_process_and_a_group_without_history_are_never_foreign() {
        let stray = Some(at(1));
        assert_eq!(judged(&origin(), stray.clone(), true, &[GROUP]), Kinship::Ours);
        assert_eq!(judged(&origin(), stray, false, &[]), Kinship::Ours);
    }

    #[test]
    fn the_lineage_is_bounded_and_keeps_the_newest() {
        let mut lineage = Lineage::default();
        let names: Vec<String> = (0..200).map(|n| n.to_string()).collect();
        assert!(lineage.add(&names, &names));
        assert!(!lineage.add(&names[190..], &names[190..]));
        assert_eq!((lineage.ids.len(), lineage.files.len()), (MAX_IDS, MAX_FILES));
        assert!(lineage.knows("199") && !lineage.knows("0"));
    }

    #[test]
    fn a_server_that_loads_has_no_origin_yet() {
        let text = "run_id:a\nrole:master\nconfig_file:\nloading:1\nmaster_replid:ffff\nmaster_replid2:0000\n# Keyspace\n";
        let role = ReportedRole::Replica;
        assert_eq!(Origin::of(&InstanceReport::parse(text), role), None);
        let loaded = text.replace("loading:1", "loading:0") + "db0:keys=2,expires=0\n";
        let seen = Origin::of(&InstanceReport::parse(loaded), role).unwrap();
        assert_eq!((seen.former_id, seen.keys, seen.file.as_str()), (None, 2, ""));
    }
}
