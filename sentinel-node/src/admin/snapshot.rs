//! From the read snapshots to the JSON types.

use std::sync::atomic::Ordering;

use sentinel_core::replicated::Group;
use sentinel_core::time::MonoTime;
use sentinel_proto::reply::info::MasterLine;
use sentinel_proto::{EvidenceClass, HostPort};

use crate::server::Context;
use crate::server::info;
use crate::server::instances::Reader;
use crate::view::{InstanceView, ReportedRole};

use super::{model, plan};

/// `/v1/status`.
pub(super) fn status(context: &Context) -> model::Status {
    let reader = reader(context);
    model::Status {
        node: node(context, &reader),
        raft: raft(context),
        sentinels: sentinels(&reader),
        masters: masters(&reader),
    }
}

/// One look at the snapshots.
pub(super) fn reader(context: &Context) -> Reader<'_> {
    Reader::new(&context.view, context.clock.mono(), context.settings.stale_reads)
}

fn node(context: &Context, reader: &Reader<'_>) -> model::Node {
    let tilt_since = context.view.tilt_since.load(Ordering::Relaxed);
    model::Node {
        myid: context.view.myid.to_string(),
        node_id: context.view.node.to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_ms: reader.now.ms_since(context.started),
        has_majority: reader.has_majority(),
        tilt_ms: (tilt_since != 0).then(|| reader.now.ms_since(MonoTime(tilt_since))),
        last_applied: reader.state.last_applied,
        current_epoch: reader.state.current_epoch,
    }
}

/// `/v1/raft`.
pub(super) fn raft(context: &Context) -> serde_json::Map<String, serde_json::Value> {
    let pairs = context.control.raft_status().into_iter();
    pairs
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect()
}

fn sentinels(reader: &Reader<'_>) -> Vec<model::Sentinel> {
    let mut all: Vec<model::Sentinel> = reader
        .state
        .members
        .iter()
        .map(|(node, member)| {
            let this = *node == reader.view.node;
            let peer = reader.peer(*node);
            model::Sentinel {
                myid: member.myid.to_string(),
                node_id: node.to_string(),
                address: member.address.to_string(),
                this,
                connected: this || peer.is_some_and(|peer| peer.connected),
                s_down: peer.is_some_and(|peer| peer.sdown_since.is_some()),
                last_seen_ms: peer.map(|peer| reader.now.ms_since(peer.last_ok)),
            }
        })
        .collect();
    all.sort_by_key(|sentinel| !sentinel.this);
    all
}

/// `/v1/masters`.
pub(super) fn masters(reader: &Reader<'_>) -> Vec<model::MasterSummary> {
    let lines = info::masters(reader);
    let groups = reader.state.groups.values();
    groups
        .zip(&lines)
        .map(|(group, line)| summary(reader, group, line))
        .collect()
}

fn summary(reader: &Reader<'_>, group: &Group, line: &MasterLine) -> model::MasterSummary {
    let attached = |address: &&HostPort| {
        reader.instance(group, address).is_some_and(|view| {
            let follows = view.follows.as_ref();
            let attached = follows.is_some_and(|master| reader.view.names.same(master, &group.address));
            view.master_link_up && view.sdown_since.is_none() && attached
        })
    };
    let agreeing = reader.group_view(group).map_or(0, |soft| {
        let opinions = soft.opinions.values();
        opinions
            .filter(|(opinion, _)| opinion.down && opinion.address == group.address)
            .count()
    });
    model::MasterSummary {
        name: group.name.to_string(),
        status: line.status.to_string(),
        address: group.address.to_string(),
        config_epoch: group.config_epoch,
        replicas: group.replicas.len(),
        replicas_attached: group.replicas.keys().filter(attached).count(),
        sentinels: line.sentinels,
        odown_quorum: group.options.odown_quorum,
        agreeing,
        plan_phase: group
            .plan
            .as_ref()
            .map(|open| plan::phase(&open.phase).to_owned()),
    }
}

/// `/v1/masters/{name}`; `None` = unknown name.
pub(super) fn master(reader: &Reader<'_>, name: &str) -> Option<model::Master> {
    let group = reader.group(name)?;
    let line = info::masters(reader)
        .into_iter()
        .find(|line| line.name == group.name)?;
    let options = &group.options;
    Some(model::Master {
        summary: summary(reader, group, &line),
        hold: reader.group_view(group).and_then(|soft| soft.hold.clone()),
        options: model::Options {
            odown_quorum: options.odown_quorum,
            down_after_ms: options.down_after_ms,
            crash_down_after_ms: options.crash_down_after_ms,
            failover_timeout_ms: options.failover_timeout_ms,
            parallel_syncs: options.parallel_syncs,
            replica_witness: options.replica_witness,
            auth_user: options.auth_user.clone(),
            auth_pass_set: options.auth_pass.is_some(),
        },
        instances: instances(reader, group),
        opinions: opinions(reader, group),
        lineage: model::Lineage {
            replication_ids: group.lineage.ids.clone(),
            config_files: group.lineage.files.clone(),
        },
        plan: group.plan.as_ref().map(|open| plan::plan(open, &reader.state)),
        history: group
            .history
            .iter()
            .rev()
            .map(|closed| plan::closed(closed, &reader.state))
            .collect(),
    })
}

fn instances(reader: &Reader<'_>, group: &Group) -> Vec<model::Instance> {
    let master = reader.instance(group, &group.address);
    let master_offset = master.as_ref().map(|view| view.offset);
    let flags = reader.master(group).summary.flags.to_string();
    let mut all = vec![instance(
        reader,
        "master",
        &group.address,
        flags,
        master.as_deref(),
    )];
    for address in group.replicas.keys() {
        let view = reader.instance(group, address);
        let flags = reader.replica(group, address).summary.flags.to_string();
        let mut replica = instance(reader, "slave", address, flags, view.as_deref());
        if let Some(view) = &view {
            replica.link_up = Some(view.master_link_up);
            replica.follows = view.follows.as_ref().map(ToString::to_string);
            replica.priority = Some(view.priority);
            replica.lag_bytes = master_offset.map(|offset| offset.saturating_sub(view.offset));
        }
        all.push(replica);
    }
    all
}

fn instance(
    reader: &Reader<'_>,
    role: &str,
    address: &HostPort,
    flags: String,
    view: Option<&InstanceView>,
) -> model::Instance {
    let age = |since: MonoTime| reader.now.ms_since(since);
    let reported = view.map(|view| match view.role {
        ReportedRole::Master => "master",
        ReportedRole::Replica => "slave",
    });
    model::Instance {
        role: role.to_owned(),
        address: address.to_string(),
        flags,
        evidence: view
            .map_or(EvidenceClass::Unknown, |view| view.class)
            .name()
            .to_owned(),
        evidence_ms: view.map_or(0, |view| age(view.class_since)),
        last_ok_ms: view.map(|view| age(view.last_ok)),
        s_down_ms: view.and_then(|view| view.sdown_since).map(age),
        role_reported: reported.unwrap_or(role).to_owned(),
        info_ms: view.and_then(|view| view.info_at).map(age),
        run_id: view.map_or_else(String::new, |view| view.run_id.clone()),
        offset: view.map_or(0, |view| view.offset),
        lag_bytes: None,
        link_up: None,
        follows: None,
        priority: None,
    }
}

fn opinions(reader: &Reader<'_>, group: &Group) -> Vec<model::Opinion> {
    let Some(soft) = reader.group_view(group) else {
        return Vec::new();
    };
    soft.opinions
        .iter()
        .map(|(node, (opinion, at))| model::Opinion {
            sentinel: reader
                .state
                .members
                .get(node)
                .map_or_else(|| node.to_string(), |member| member.myid.to_string()),
            down: opinion.down,
            address: opinion.address.to_string(),
            evidence: opinion.class.name().to_owned(),
            evidence_ms: opinion.class_age_ms,
            silent_ms: opinion.silent_ms,
            refused_count: opinion.refused_count,
            promotable_replicas: opinion.promotable_replicas,
            age_ms: reader.now.ms_since(*at),
        })
        .collect()
}
