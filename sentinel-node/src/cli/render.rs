//! The page of `status`: plain text, columns padded to their widest cell.

use crate::admin::model::{ClosedPlan, Instance, Master, Plan, Status};

/// The whole page.
pub(super) fn page(status: &Status, masters: &[Master]) -> String {
    let mut out = head(status);
    out.push_str(&table(&sentinels(status)));
    out.push('\n');
    if status.masters.is_empty() {
        out.push_str("No master is monitored.\n");
        return out;
    }
    out.push_str(&table(&overview(status)));
    for master in masters {
        out.push_str(&format!("\n{}\n", master.summary.name));
        out.push_str(&table(&instances(master)));
        if let Some(hold) = &master.hold {
            out.push_str(&format!("  held back: {hold}\n"));
        }
        if let Some(plan) = &master.plan {
            out.push_str(&open_plan(plan));
        }
        if let Some(closed) = master.history.first() {
            out.push_str(&last_plan(closed));
        }
    }
    out
}

fn head(status: &Status) -> String {
    let node = &status.node;
    let raft = |key: &str| {
        let value = status.raft.get(key).and_then(|value| value.as_str());
        value.unwrap_or("?").to_owned()
    };
    let majority = if node.has_majority {
        "majority reached"
    } else {
        "NO MAJORITY: nothing is failed over"
    };
    let tilt = node
        .tilt_ms
        .map_or_else(String::new, |ms| format!(", TILT for {}", duration(ms)));
    format!(
        "sentinel {} version {}, up {}{tilt}\nraft {}, term {}, applied {}, epoch {}, {majority}\n\n",
        short(&node.myid),
        node.version,
        duration(node.uptime_ms),
        raft("role"),
        raft("term"),
        node.last_applied,
        node.current_epoch,
    )
}

fn sentinels(status: &Status) -> Vec<Vec<String>> {
    let leader = status.raft.get("leader").and_then(|value| value.as_str());
    let mut rows = vec![row(["SENTINEL", "ADDRESS", "STATE", "LAST SEEN", "RAFT"])];
    for sentinel in &status.sentinels {
        let state = if sentinel.this {
            "this node"
        } else if sentinel.s_down {
            "down"
        } else if sentinel.connected {
            "up"
        } else {
            "disconnected"
        };
        let role = if leader == Some(sentinel.myid.as_str()) {
            "leader"
        } else {
            ""
        };
        rows.push(row([
            short(&sentinel.myid),
            &sentinel.address,
            state,
            &sentinel.last_seen_ms.map_or_else(|| "-".to_owned(), ago),
            role,
        ]));
    }
    rows
}

fn overview(status: &Status) -> Vec<Vec<String>> {
    let mut rows = vec![row([
        "MASTER", "STATUS", "ADDRESS", "EPOCH", "REPLICAS", "AGREE", "FAILOVER",
    ])];
    for master in &status.masters {
        rows.push(row([
            &master.name,
            &master.status,
            &master.address,
            &master.config_epoch.to_string(),
            &format!("{}/{}", master.replicas_attached, master.replicas),
            &format!("{}/{}", master.agreeing, master.odown_quorum),
            master.plan_phase.as_deref().unwrap_or("-"),
        ]));
    }
    rows
}

fn instances(master: &Master) -> Vec<Vec<String>> {
    let mut rows = vec![row([
        "  ROLE", "ADDRESS", "FLAGS", "EVIDENCE", "LINK", "LAG", "LAST OK",
    ])];
    for instance in &master.instances {
        rows.push(row([
            &format!("  {}", instance.role),
            &instance.address,
            &instance.flags,
            &instance.evidence,
            link(instance),
            &instance.lag_bytes.map_or_else(|| "-".to_owned(), bytes),
            &instance.last_ok_ms.map_or_else(|| "-".to_owned(), ago),
        ]));
    }
    rows
}

fn link(instance: &Instance) -> &'static str {
    match instance.link_up {
        None => "-",
        Some(true) => "up",
        Some(false) => "DOWN",
    }
}

fn open_plan(plan: &Plan) -> String {
    format!(
        "  failover {} ({}), executor {}{}: {}\n  {}\n",
        plan.failover_epoch,
        plan.cause,
        short(&plan.executor),
        if plan.executor_generation > 1 {
            " after a take-over"
        } else {
            ""
        },
        way(plan),
        timeline(plan),
    )
}

fn last_plan(closed: &ClosedPlan) -> String {
    let loss = closed
        .loss_bound_bytes
        .map_or_else(|| "unknown".to_owned(), bytes);
    format!(
        "  last failover {} ({}): {}, {}, loss at most {loss}\n  {}\n",
        closed.plan.failover_epoch,
        closed.plan.cause,
        way(&closed.plan),
        closed.outcome,
        timeline(&closed.plan),
    )
}

fn way(plan: &Plan) -> String {
    format!("{} -> {}", plan.from, plan.to.as_deref().unwrap_or("?"))
}

fn timeline(plan: &Plan) -> String {
    let steps: Vec<String> = plan
        .timeline
        .iter()
        .map(|step| format!("{} +{} ms", step.step, step.offset_ms))
        .collect();
    steps.join(", ")
}

fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}

fn ago(ms: u64) -> String {
    format!("{} ago", duration(ms))
}

fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0 => format!("{ms} ms"),
        1..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

fn bytes(count: u64) -> String {
    match count {
        0..=9_999 => format!("{count} B"),
        10_000..=9_999_999 => format!("{} kB", count / 1000),
        _ => format!("{} MB", count / 1_000_000),
    }
}

fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.iter().map(|cell| (*cell).to_owned()).collect()
}

fn table(rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            line.push_str(&format!("{cell:width$}  ", width = width(column)));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}
