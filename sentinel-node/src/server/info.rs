//! INFO: counters and snapshots to the typed reply.

use std::sync::atomic::Ordering;

use sentinel_core::time::MonoTime;
use sentinel_proto::command::InfoSections;
use sentinel_proto::reply::info::{
    ClientsInfo, CpuInfo, Info, MasterLine, MasterStatus, SentinelInfo, ServerInfo, StatsInfo,
};
use sentinel_proto::resp::Frame;

use crate::config::REDIS_VERSION;

use super::context::Context;
use super::instances::Reader;

/// The reply to INFO.
pub(super) fn reply(context: &Context, sections: InfoSections) -> Frame {
    let mut info = Info::default();
    if sections.server {
        info.server = server(context);
    }
    if sections.clients {
        info.clients = clients(context);
    }
    if sections.stats {
        info.stats = stats(context);
    }
    if sections.cpu {
        info.cpu = cpu();
    }
    if sections.sentinel {
        info.sentinel = sentinel(context);
    }
    info.reply(sections)
}

fn size(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn server(context: &Context) -> ServerInfo {
    let uname = rustix::system::uname();
    let part = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let executable = std::env::current_exe().map(|path| path.display().to_string());
    let now = context.clock.mono();
    ServerInfo {
        redis_version: REDIS_VERSION.to_owned(),
        build_id: env!("CARGO_PKG_VERSION").to_owned(),
        os: format!(
            "{} {} {}",
            part(uname.sysname()),
            part(uname.release()),
            part(uname.machine())
        ),
        process_id: std::process::id(),
        supervised: context.settings.supervised,
        run_id: context.run_id.clone(),
        tcp_port: context.settings.port,
        server_time_usec: context.clock.wall().0.saturating_mul(1000),
        uptime_s: now.ms_since(context.started) / 1000,
        executable: executable.unwrap_or_default(),
        config_file: context.settings.config_file.clone(),
        listeners: context.settings.listeners.clone(),
    }
}

fn clients(context: &Context) -> ClientsInfo {
    let connected = context.counters.connected.load(Ordering::Relaxed);
    ClientsInfo {
        connected: size(u64::from(connected)),
        max_clients: size(u64::from(context.settings.maxclients)),
        blocked: size(u64::from(context.counters.blocked.load(Ordering::Relaxed))),
        tracking: size(u64::from(context.counters.tracking.load(Ordering::Relaxed))),
        subscribers: size(context.hub.counters().subscribers.load(Ordering::Relaxed)),
        ..ClientsInfo::default()
    }
}

fn stats(context: &Context) -> StatsInfo {
    let (counters, hub) = (&context.counters, context.hub.counters());
    let get = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    StatsInfo {
        connections: get(&counters.accepted),
        commands: get(&counters.commands),
        input_bytes: get(&counters.input_bytes),
        output_bytes: get(&counters.output_bytes),
        rejected_connections: get(&counters.rejected),
        error_replies: get(&counters.errors),
        ops_per_s: get(&context.rates.commands),
        input_bytes_per_s: get(&context.rates.input_bytes),
        output_bytes_per_s: get(&context.rates.output_bytes),
        channels: size(get(&hub.channels)),
        patterns: size(get(&hub.patterns)),
        reads: get(&counters.reads),
        writes: get(&counters.writes),
        query_limit_disconnections: get(&counters.query_limit),
        output_limit_disconnections: get(&hub.overflowed).saturating_add(get(&counters.output_limit)),
        auth_denied: get(&counters.denied_auth),
        command_denied: get(&counters.denied_command),
        channel_denied: get(&counters.denied_channel),
    }
}

/// From `/proc/self/stat`, in clock ticks of 10 ms; zeros where there is none.
fn cpu() -> CpuInfo {
    const TICK_US: u64 = 10_000;
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field is the program's name in parentheses and may contain anything.
    let fields: Vec<&str> = text
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().collect())
        .unwrap_or_default();
    let ticks = |index: usize| {
        let ticks = fields.get(index).and_then(|field| field.parse::<u64>().ok());
        ticks.unwrap_or(0).saturating_mul(TICK_US)
    };
    CpuInfo {
        user_us: ticks(11),
        sys_us: ticks(12),
        user_children_us: ticks(13),
        sys_children_us: ticks(14),
        user_main_us: ticks(11),
        sys_main_us: ticks(12),
    }
}

fn sentinel(context: &Context) -> SentinelInfo {
    let now = context.clock.mono();
    let reader = Reader::new(&context.view, now, context.settings.stale_reads);
    let scripts = context.view.scripts.load();
    let tilt_since = context.view.tilt_since.load(Ordering::Relaxed);
    SentinelInfo {
        tilt_since_s: (tilt_since != 0).then(|| now.ms_since(MonoTime(tilt_since)) / 1000),
        total_tilt: context.view.total_tilt.load(Ordering::Relaxed),
        running_scripts: scripts.iter().filter(|job| job.is_running()).count(),
        script_queue: scripts.len(),
        failure_flags: context.simulated.load(Ordering::Relaxed),
        masters: masters(&reader),
    }
}

/// One line per master; also used for the admin API.
pub(crate) fn masters(reader: &Reader<'_>) -> Vec<MasterLine> {
    let sentinels = reader.other_sentinels().saturating_add(1);
    let groups = reader.state.groups.values();
    groups
        .map(|group| {
            let odown = reader
                .group_view(group)
                .is_some_and(|soft| soft.odown_since.is_some());
            let sdown = || {
                let view = reader.instance(group, &group.address);
                !reader.may_name(group) || view.is_some_and(|view| view.sdown_since.is_some())
            };
            MasterLine {
                name: group.name.clone(),
                status: if odown {
                    MasterStatus::Odown
                } else if sdown() {
                    MasterStatus::Sdown
                } else {
                    MasterStatus::Ok
                },
                address: reader.shown(&group.address),
                replicas: group.replicas.len(),
                sentinels,
            }
        })
        .collect()
}
