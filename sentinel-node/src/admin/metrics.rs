//! Prometheus text: what the snapshots and counters say, then whatever was recorded through `metrics`.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::log;
use crate::server::Context;
use crate::server::info;
use crate::server::instances::Reader;

/// Text under construction.
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(
            self.0,
            "# HELP sentinel_{name} {help}\n# TYPE sentinel_{name} {kind}"
        );
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        let labels: Vec<String> = labels
            .iter()
            .map(|(key, text)| format!("{key}=\"{}\"", escape(text)))
            .collect();
        let labels = if labels.is_empty() {
            String::new()
        } else {
            format!("{{{}}}", labels.join(","))
        };
        let _ = writeln!(self.0, "sentinel_{name}{labels} {value}");
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// The page without recorded metrics.
pub(super) fn page(context: &Context, reader: &Reader<'_>) -> String {
    let mut page = Page(String::new());
    let flag = |value: bool| u64::from(value);
    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let tilt = context.view.tilt_since.load(Ordering::Relaxed) != 0;
    page.single(
        "has_majority",
        "gauge",
        "In touch with a Raft majority.",
        flag(reader.has_majority()),
    );
    page.single("tilt", "gauge", "In TILT mode.", flag(tilt));
    page.single(
        "applied_index",
        "counter",
        "Last applied log entry.",
        reader.state.last_applied,
    );
    page.single(
        "current_epoch",
        "counter",
        "Highest failover or config epoch.",
        reader.state.current_epoch,
    );
    let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    page.single(
        "masters",
        "gauge",
        "Monitored masters.",
        count(reader.state.groups.len()),
    );
    page.single(
        "sentinels",
        "gauge",
        "Members of the group.",
        count(reader.state.members.len()),
    );
    page.single(
        "usable_sentinels",
        "gauge",
        "Members that are not subjectively down, this one included.",
        count(reader.usable_sentinels()),
    );
    clients(&mut page, context, &get);
    masters(&mut page, reader);
    page.0
}

fn clients(page: &mut Page, context: &Context, get: &dyn Fn(&AtomicU64) -> u64) {
    let counters = &context.counters;
    let hub = context.hub.counters();
    let connected = u64::from(counters.connected.load(Ordering::Relaxed));
    page.single(
        "connected_clients",
        "gauge",
        "Open client connections.",
        connected,
    );
    page.single(
        "subscribed_clients",
        "gauge",
        "Clients with subscriptions.",
        get(&hub.subscribers),
    );
    for (name, help, counter) in [
        ("connections_total", "Connections accepted.", &counters.accepted),
        (
            "rejected_connections_total",
            "Connections refused.",
            &counters.rejected,
        ),
        ("commands_total", "Requests answered.", &counters.commands),
        ("error_replies_total", "Error replies.", &counters.errors),
        (
            "protocol_errors_total",
            "Connections closed by a protocol error.",
            &counters.protocol_errors,
        ),
        ("events_total", "Events published.", &hub.published),
        (
            "messages_total",
            "Messages queued for subscribers.",
            &hub.delivered,
        ),
        (
            "slow_subscribers_total",
            "Subscribers closed because they did not read.",
            &hub.overflowed,
        ),
    ] {
        page.single(name, "counter", help, get(counter));
    }
    page.single(
        "log_lines_lost_total",
        "counter",
        "Log lines dropped.",
        log::dropped_lines(),
    );
}

fn masters(page: &mut Page, reader: &Reader<'_>) {
    let lines = info::masters(reader);
    let mut family = |name: &str, help: &str, value: &dyn Fn(usize) -> u64| {
        page.family(name, "gauge", help);
        for (at, line) in lines.iter().enumerate() {
            page.sample(name, &[("master", line.name.as_str())], value(at));
        }
    };
    let groups: Vec<_> = reader.state.groups.values().collect();
    let of = |at: usize, value: &dyn Fn(&sentinel_core::replicated::Group) -> u64| {
        groups.get(at).map_or(0, |group| value(group))
    };
    let status = |at: usize| lines.get(at).map_or(0, |line| line.status as u64);
    family("master_status", "0 = ok, 1 = sdown, 2 = odown.", &status);
    family("master_config_epoch", "Epoch of the committed address.", &|at| {
        of(at, &|g| g.config_epoch)
    });
    family("master_replicas", "Known replicas.", &|at| {
        of(at, &|g| u64::try_from(g.replicas.len()).unwrap_or(u64::MAX))
    });
    family("master_failover_open", "A failover plan is open.", &|at| {
        of(at, &|g| u64::from(g.plan.is_some()))
    });
}
