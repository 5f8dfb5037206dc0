//! SENTINEL subcommands: reads from the snapshots, writes as [`Operation`]s.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use sentinel_core::replicated::Group;
use sentinel_core::scripts::{ScriptJob, ScriptPhase};
use sentinel_proto::command::{MonitorArgs, SentinelRequest, SimulatedFailure, SimulationReply};
use sentinel_proto::info::InstanceReport;
use sentinel_proto::reply::sentinel::{CachedInfo, ScriptTiming};
use sentinel_proto::reply::{ErrorReply, help, sentinel as replies};
use sentinel_proto::resp::{Frame, parse_integer};
use sentinel_proto::{HostPort, MasterName, glob};

use crate::config::is_executable;
use crate::control::SimulatedCrash;
use crate::tuning::Tuning;

use super::context::Context;
use super::control::Operation;
use super::dispatch::Action;
use super::instances::{Reader, master_address};
use super::memo::Version;
use super::parameters::{self, Change, Parameters};
use super::set;

/// Answers a SENTINEL request.
pub(super) fn perform(context: &Context, request: SentinelRequest) -> Action {
    match try_perform(context, request) {
        Ok(action) => action,
        Err(error) => error.into(),
    }
}

fn reader(context: &Context) -> Reader<'_> {
    Reader::new(&context.view, context.clock.mono(), context.settings.stale_reads)
}

fn known<'r>(reader: &'r Reader<'_>, name: &str) -> Result<&'r Arc<Group>, ErrorReply> {
    reader.group(name).ok_or_else(ErrorReply::no_such_master)
}

fn try_perform(context: &Context, request: SentinelRequest) -> Result<Action, ErrorReply> {
    let frame = match request {
        SentinelRequest::GetMasterAddr(name) => {
            let version = Version::of(&context.view);
            let address = master_address(&context.view, context.settings.stale_reads, &name);
            let frame = replies::master_address(address.as_ref());
            return Ok(Action::Address(frame, version));
        }
        SentinelRequest::Masters => {
            let reader = reader(context);
            let groups = reader.state.groups.values();
            Frame::Array(groups.map(|group| Frame::from(&reader.master(group))).collect())
        }
        SentinelRequest::Master(name) => {
            let reader = reader(context);
            Frame::from(&reader.master(known(&reader, &name)?))
        }
        SentinelRequest::Replicas(name) => {
            let reader = reader(context);
            let replicas = reader.replicas(known(&reader, &name)?);
            Frame::Array(replicas.iter().map(Frame::from).collect())
        }
        SentinelRequest::Sentinels(name) => {
            let reader = reader(context);
            let sentinels = reader.sentinels(known(&reader, &name)?);
            Frame::Array(sentinels.iter().map(Frame::from).collect())
        }
        SentinelRequest::MyId => replies::myid(&context.view.myid),
        SentinelRequest::IsMasterDown { address, .. } => is_master_down(&reader(context), &address),
        SentinelRequest::CkQuorum(name) => {
            let reader = reader(context);
            let odown_quorum = known(&reader, &name)?.options.odown_quorum;
            replies::ckquorum(reader.usable_sentinels(), odown_quorum, reader.has_majority())
        }
        SentinelRequest::InfoCache(names) => info_cache(&reader(context), &names),
        SentinelRequest::PendingScripts => pending_scripts(context),
        SentinelRequest::FlushConfig => return Ok(Action::Control(Operation::Save { force: true })),
        SentinelRequest::ConfigGet(patterns) => config_get(context, &patterns),
        SentinelRequest::ConfigSet(pairs, malformed) => {
            config_set(context, &pairs, malformed)?;
            return Ok(Action::Control(Operation::Save { force: false }));
        }
        SentinelRequest::Debug(pairs, incomplete) => {
            let frame = debug(context, &pairs)?;
            incomplete.map_or(frame, Frame::from)
        }
        SentinelRequest::SimulateFailure(failures, reply) => simulate(context, &failures, reply),
        SentinelRequest::Help => help::lines(help::SENTINEL),
        SentinelRequest::RaftStatus => replies::text_map(context.control.raft_status()),
        write => return self::write(context, write),
    };
    Ok(Action::Reply(frame))
}

/// Whether the master knows the command FAILOVER: since Redis 6.2 its INFO tells how far one is.
fn hands_over(context: &Context, name: &MasterName) -> bool {
    let state = context.view.state.load();
    let group = state.groups.get(name);
    let master = group.and_then(|group| context.view.instance(name, &group.address));
    let info = master.and_then(|master| master.info_text.clone());
    info.is_some_and(|text| InstanceReport::parse(text.as_bytes()).failover_state.is_some())
}

/// The requests that change something, or hand the connection over.
fn write(context: &Context, request: SentinelRequest) -> Result<Action, ErrorReply> {
    let operation = match request {
        SentinelRequest::Monitor(args) => monitor(context, &args)?,
        SentinelRequest::Remove(name) => Operation::Remove(existing(context, &name)?),
        SentinelRequest::Failover { master, coordinated } => {
            let name = existing(context, &master)?;
            let coordinated = coordinated?;
            if coordinated && !hands_over(context, &name) {
                return Err(ErrorReply::no_good_primary());
            }
            Operation::Failover(name, coordinated)
        }
        SentinelRequest::Set {
            master,
            pairs,
            malformed,
        } => {
            let name = existing(context, &master)?;
            let executable: &dyn Fn(&str) -> bool = &|path| is_executable(&context.settings.dir, path);
            let scripts = (!context.settings.deny_scripts_reconfig).then_some(executable);
            let changes = set::changes(&pairs, scripts)?;
            match malformed {
                Some(error) => return Err(error),
                None => Operation::Set(name, changes),
            }
        }
        SentinelRequest::Reset(pattern) => {
            let state = context.view.state.load();
            let matching = |name: &&MasterName| glob::matches(&pattern, name.as_str().as_bytes());
            let names: Vec<MasterName> = state.groups.keys().filter(matching).cloned().collect();
            if names.is_empty() {
                return Ok(Action::Reply(Frame::Integer(0)));
            }
            Operation::Reset(names)
        }
        SentinelRequest::Peer {
            version,
            cluster_id,
            rest,
        } => {
            return Ok(Action::Upgrade {
                version,
                cluster_id: cluster_id.map_or_else(|| "-".to_owned(), |id| format!("{id:016x}")),
                auth: rest,
            });
        }
        // All other requests were answered before.
        _ => return Err(ErrorReply::syntax()),
    };
    Ok(Action::Control(operation))
}

fn existing(context: &Context, name: &str) -> Result<MasterName, ErrorReply> {
    let state = context.view.state.load();
    MasterName::new(name)
        .ok()
        .filter(|name| state.groups.contains_key(name))
        .ok_or_else(ErrorReply::no_such_master)
}

fn monitor(context: &Context, args: &MonitorArgs) -> Result<Operation, ErrorReply> {
    let address = if context.view.names.accepts() && !args.host.is_empty() {
        let Ok(port) = u16::try_from(args.port) else {
            return Ok(Operation::MonitorBadPort(args.host.clone()));
        };
        HostPort::new(args.host.as_str(), port)
    } else {
        args.literal_address()?
    };
    let name = MasterName::new(args.name.as_str()).map_err(ErrorReply::err)?;
    Ok(Operation::Monitor(name, address, args.odown_quorum))
}

/// The truth about the down part; the vote fields echo the open plan, and no epoch is ever raised.
fn is_master_down(reader: &Reader<'_>, address: &HostPort) -> Frame {
    let found = reader
        .state
        .groups
        .values()
        .find(|group| reader.view.names.same(&group.address, address));
    let Some(group) = found else {
        return replies::is_master_down(false, None);
    };
    let tilt = reader.view.tilt_since.load(Ordering::Relaxed) != 0;
    let sdown = reader
        .instance(group, &group.address)
        .is_some_and(|view| view.sdown_since.is_some());
    let executor = group.plan.as_ref().and_then(|plan| {
        let member = reader.state.members.get(&plan.executor)?;
        Some((&member.myid, plan.failover_epoch))
    });
    replies::is_master_down(sdown && !tilt, executor)
}

fn info_cache(reader: &Reader<'_>, names: &[String]) -> Frame {
    let cached = |group: &Group, address: &HostPort| {
        let view = reader.instance(group, address);
        CachedInfo {
            age_ms: view
                .as_ref()
                .and_then(|view| view.info_at)
                .map_or(0, |at| reader.now.ms_since(at)),
            text: view
                .and_then(|view| view.info_text.clone())
                .map(|text| Bytes::copy_from_slice(text.as_bytes())),
        }
    };
    let groups = names.iter().filter_map(|name| reader.group(name));
    replies::info_cache(groups.map(|group| {
        let addresses = std::iter::once(&group.address).chain(group.replicas.keys());
        let instances = addresses.map(|address| cached(group, address)).collect();
        (group.name.to_string(), instances)
    }))
}

fn pending_scripts(context: &Context) -> Frame {
    let now = context.clock.mono();
    let scripts = context.view.scripts.load();
    let shown = |job: &ScriptJob| replies::PendingScript {
        argv: job.argv.to_vec(),
        pid: job.pid(),
        timing: match job.phase {
            ScriptPhase::Waiting { due } => ScriptTiming::RunDelay(due.ms_since(now)),
            ScriptPhase::Starting { since } | ScriptPhase::Running { since, .. } => {
                ScriptTiming::RunTime(now.ms_since(since))
            }
        },
        runs: job.runs,
    };
    replies::pending_scripts(scripts.iter().map(shown))
}

fn config_get(context: &Context, patterns: &[Bytes]) -> Frame {
    let mut left = context.parameters.load().shown().to_vec();
    // Pattern by pattern, each parameter once.
    let mut shown = Vec::new();
    for pattern in patterns {
        let pattern = pattern.to_ascii_lowercase();
        let matching = |(name, _): &(&str, String)| glob::matches(&pattern, name.as_bytes());
        let (found, rest): (Vec<_>, Vec<_>) = left.into_iter().partition(matching);
        shown.extend(found);
        left = rest;
    }
    replies::text_map(shown)
}

/// All or nothing; node-local, until the next start unless the file is written.
fn config_set(
    context: &Context,
    pairs: &[(String, String)],
    malformed: Option<ErrorReply>,
) -> Result<(), ErrorReply> {
    let changes = parameters::changes(pairs)?;
    if let Some(error) = malformed {
        return Err(error);
    }
    context.parameters.rcu(|old| {
        let mut new = Parameters::clone(old);
        changes.iter().for_each(|change| new.apply(change));
        new
    });
    for change in &changes {
        if let Change::Level(level) = change {
            crate::log::set_level(*level);
        }
    }
    let parameters = context.parameters.load();
    context.peers.reconfigure(&parameters);
    let names = &context.view.names;
    names.set_policy(parameters.resolve_hostnames, parameters.announce_hostnames);
    Ok(())
}

/// Sentinel's periods: shown, or changed in this process. As in Sentinel the pairs before a bad one stay in force.
fn debug(context: &Context, pairs: &[(String, String)]) -> Result<Frame, ErrorReply> {
    let tuning = &context.view.tuning;
    if pairs.is_empty() {
        return Ok(replies::text_map(tuning.shown()));
    }
    for (name, value) in pairs {
        if !Tuning::knows(name) {
            return Err(ErrorReply::debug_unknown(name));
        }
        let ms = parse_integer(value.as_bytes()).and_then(|ms| u64::try_from(ms).ok());
        let ms = ms.filter(|ms| *ms > 0);
        tuning.set(name, ms.ok_or_else(|| ErrorReply::debug_invalid(name, value))?);
    }
    Ok(Frame::OK)
}

fn simulate(context: &Context, failures: &[SimulatedFailure], reply: SimulationReply) -> Frame {
    let crashes = failures.iter().map(|failure| match failure {
        SimulatedFailure::AfterElection => SimulatedCrash::AfterElection,
        SimulatedFailure::AfterPromotion => SimulatedCrash::AfterPromotion,
        SimulatedFailure::AfterOpen => SimulatedCrash::AfterOpen,
        SimulatedFailure::AfterChoose => SimulatedCrash::AfterChoose,
        SimulatedFailure::AfterSwitch => SimulatedCrash::AfterSwitch,
    });
    let mut bits = 0;
    for failure in failures {
        match failure {
            SimulatedFailure::AfterElection => {
                bits |= 1;
                tracing::warn!(
                    "Failure simulation: this Sentinel will crash after being successfully elected as failover leader"
                );
            }
            SimulatedFailure::AfterPromotion => {
                bits |= 2;
                tracing::warn!(
                    "Failure simulation: this Sentinel will crash after promoting the selected replica to master"
                );
            }
            other => tracing::warn!("Failure simulation: this Sentinel will crash ({other:?})"),
        }
    }
    context.simulated.store(bits, Ordering::Relaxed);
    context.control.simulate(crashes.collect());
    match reply {
        SimulationReply::Armed => Frame::OK,
        SimulationReply::Help => Frame::bulks(help::SIMULATE_FAILURE.iter().copied()),
        SimulationReply::Unknown => ErrorReply::unknown_simulation().into(),
    }
}
