//! The rows of SENTINEL subcommands.

use super::sentinel as s;
use super::table::{CommandSpec, Parser};

const fn row(
    name: &'static str,
    arity: i32,
    parse: Parser,
    since: &'static str,
    summary: &'static str,
) -> CommandSpec {
    const CATEGORIES: &[&str] = &["admin", "slow", "dangerous"];
    CommandSpec::new(name, arity, &["admin"], CATEGORIES, parse).doc("sentinel", since, summary)
}

/// Valkey's spellings stand beside Redis's; `raft` and `peer` are ours. The most frequent one comes first:
/// the rows are searched in order.
#[rustfmt::skip]
pub(super) const SENTINEL: &[CommandSpec] = &[
    row("sentinel|get-master-addr-by-name", 3, s::get_master_addr, "2.8.4", "Get port and address of a master"),
    row("sentinel|get-primary-addr-by-name", 3, s::get_master_addr, "8.0.0", "Get port and address of a primary"),
    row("sentinel|ckquorum", 3, s::ckquorum, "2.8.4", "Check for a Sentinel quorum"),
    row("sentinel|config", -3, s::config, "6.2.0", "Configure Sentinel"),
    row("sentinel|debug", -2, s::debug, "7.0.0", "List or update the current configurable parameters"),
    row("sentinel|failover", -3, s::failover, "2.8.4", "Force a failover"),
    row("sentinel|flushconfig", 2, s::flushconfig, "2.8.4", "Rewrite configuration file"),
    CommandSpec::new("sentinel|help", 2, &["loading", "stale"], &["slow"], s::help)
        .doc("sentinel", "6.2.0", "Show helpful text about the different subcommands"),
    row("sentinel|info-cache", -3, s::info_cache, "3.2.0", "Get cached INFO from the instances in the deployment"),
    row("sentinel|is-master-down-by-addr", 6, s::is_master_down, "2.8.4", "Check if a master is down"),
    row("sentinel|is-primary-down-by-addr", 6, s::is_master_down, "8.0.0", "Check if a primary is down"),
    row("sentinel|master", 3, s::master, "2.8.4", "Shows the state of a master"),
    row("sentinel|masters", 2, s::masters, "2.8.4", "List the monitored masters"),
    row("sentinel|monitor", 6, s::monitor, "2.8.4", "Start monitoring"),
    row("sentinel|myid", 2, s::myid, "6.2.0", "Get the Sentinel instance ID"),
    row("sentinel|peer", -4, s::peer, "1.0.0", "Turn this connection into one between Sentinels"),
    row("sentinel|pending-scripts", 2, s::pending_scripts, "2.8.4", "Get information about pending scripts"),
    row("sentinel|primaries", 2, s::masters, "8.0.0", "List the monitored primaries"),
    row("sentinel|primary", 3, s::master, "8.0.0", "Shows the state of a primary"),
    row("sentinel|raft", -3, s::raft, "1.0.0", "Show the state of the Raft log"),
    row("sentinel|remove", 3, s::remove, "2.8.4", "Stop monitoring"),
    row("sentinel|replicas", 3, s::replicas, "5.0.0", "List the monitored replicas"),
    row("sentinel|reset", 3, s::reset, "2.8.4", "Reset masters by name pattern"),
    row("sentinel|sentinels", 3, s::sentinels, "2.8.4", "List the Sentinel instances"),
    row("sentinel|set", -5, s::set, "2.8.4", "Change the configuration of a monitored master"),
    row("sentinel|simulate-failure", -3, s::simulate_failure, "3.2.0", "Simulate failover scenarios"),
    row("sentinel|slaves", 3, s::replicas, "2.8.0", "List the monitored slaves"),
];
