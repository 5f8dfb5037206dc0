//! Acceptance 5: a master that hangs (SIGSTOP), for longer and for shorter than down-after.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use anyhow::{Result, ensure};
use integration::harness::events::Events;
use integration::harness::time::{ms_between, now, pause, pause_ms};
use integration::harness::wait::holds_for;
use integration::harness::watch;
use integration::harness::{Cluster, ClusterOptions, limit_ms, runs, scenario};

const PATIENCE: Duration = Duration::from_secs(30);
const DOWN_AFTER_MS: u64 = 1000;

#[test]
fn a_hung_master_is_failed_over_once_and_demoted_when_it_wakes() {
    scenario(
        "a_hung_master_is_failed_over_once_and_demoted_when_it_wakes",
        ClusterOptions::default(),
        |cluster| {
            for _ in 0..runs(2, 10) {
                hang_and_wake(cluster)?;
            }
            Ok(())
        },
    );
}

fn hang_and_wake(cluster: &mut Cluster) -> Result<()> {
    cluster.wait_ready()?;
    let old = cluster.master_port()?;
    let ours = cluster.is_ours();
    let mut events = cluster.events()?;
    let frozen = now();
    cluster.server_at_mut(old)?.process()?.freeze()?;
    let new = cluster.wait_new_master(old, PATIENCE)?;
    let sdown = events.wait("+sdown of the master", PATIENCE, |event| {
        event.name == "+sdown" && event.payload.starts_with("master ")
    })?;
    let odown = events.wait("+odown", PATIENCE, |event| event.name == "+odown")?;
    let noticed = ms_between(frozen, odown.at);
    println!(
        "hang: +sdown after {:.1} ms, +odown after {noticed:.1} ms",
        ms_between(frozen, sdown.at)
    );
    if ours {
        ensure!(
            noticed <= 1000.0 + limit_ms(100.0),
            "the hang was noticed only after {noticed:.1} ms"
        );
    }
    pause_ms(1000);

    let watch = watch::demotion(old, None);
    let woken = now();
    cluster.server_at_mut(old)?.process()?.thaw()?;
    let demotion = watch.wait("the old master is a replica", PATIENCE)?;
    let contact = events.wait("-sdown of the old master", Duration::from_secs(3), |event| {
        event.name == "-sdown" && event.payload.contains(&format!(":{old} ")) && event.at >= woken
    });
    let after_contact = contact.map_or(f64::NAN, |event| ms_between(event.at, demotion.role_slave));
    let after_wake = ms_between(woken, demotion.role_slave);
    println!("wake: a replica {after_contact:.1} ms after -sdown, {after_wake:.1} ms after SIGCONT");
    if ours {
        let seen = ms_between(demotion.first_contact, demotion.role_slave);
        let least = if after_contact.is_nan() {
            seen
        } else {
            after_contact.min(seen)
        };
        ensure!(
            least <= limit_ms(100.0),
            "demoted only {least:.1} ms after first contact"
        );
    }
    cluster.wait_ready()?;
    let nodes = cluster.running();
    holds_for("failed over once", Duration::from_secs(2), || {
        ensure!(cluster.master_port()? == new, "the master changed again");
        Ok(())
    })?;
    for node in nodes {
        let count = events.count_at(node, "+switch-master");
        ensure!(count == 1, "node {node} published +switch-master {count} times");
    }
    Ok(())
}

/// Freezes the master for `freeze_ms` again and again; no failover may come of it.
fn short_hangs(cluster: &mut Cluster, freeze_ms: u64) -> Result<()> {
    let length = Duration::from_secs(if std::env::var_os("SENTINEL_TEST_SOAK").is_some() {
        30
    } else {
        8
    });
    let master = cluster.master_port()?;
    let mut events = cluster.events()?;
    let start = now();
    let mut count = 0;
    while now().saturating_duration_since(start) < length {
        cluster.server_at_mut(master)?.process()?.freeze()?;
        pause(Duration::from_millis(freeze_ms));
        cluster.server_at_mut(master)?.process()?.thaw()?;
        // Long enough for every node to probe it once more.
        pause_ms(250);
        count += 1;
        no_failover(&mut events)?;
    }
    println!("{count} hangs of {freeze_ms} ms");
    pause_ms(500);
    no_failover(&mut events)?;
    ensure!(cluster.master_port()? == master, "the master was changed");
    cluster.wait_ready()
}

fn no_failover(events: &mut Events) -> Result<()> {
    let zero = now();
    let seen =
        events.first(|event| ["+odown", "+try-failover", "+switch-master"].contains(&event.name.as_str()));
    ensure!(seen.is_none(), "a failover began:\n{}", events.describe(zero));
    Ok(())
}

#[test]
fn hangs_of_half_of_down_after_are_left_alone() {
    let options = ClusterOptions::down_after(DOWN_AFTER_MS);
    scenario("hangs_of_half_of_down_after_are_left_alone", options, |cluster| {
        short_hangs(cluster, DOWN_AFTER_MS / 2)
    });
}

#[test]
fn hangs_of_nine_tenths_of_down_after_are_left_alone() {
    let options = ClusterOptions::down_after(DOWN_AFTER_MS);
    scenario(
        "hangs_of_nine_tenths_of_down_after_are_left_alone",
        options,
        |cluster| short_hangs(cluster, DOWN_AFTER_MS * 9 / 10),
    );
}
