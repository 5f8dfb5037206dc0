//! Files that Redis and Valkey rewrote, and what is taken over from them.

use sentinel_core::replicated::{Command, Outcome, State, apply};
use sentinel_proto::{HostPort, WallTime};

use crate::config::{Config, NoIncludes, Supervised, parse, seed};

const REDIS: &str = include_str!("testdata/redis-7.0-rewritten.conf");
const VALKEY: &str = include_str!("testdata/valkey-8-rewritten.conf");

fn ok(text: &str) -> Config {
    parse("sentinel.conf", text, &mut NoIncludes).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn refused(text: &str) -> (usize, String) {
    let error = parse("sentinel.conf", text, &mut NoIncludes).expect_err(text);
    (error.line, error.reason)
}

fn ports(replicas: &[HostPort]) -> Vec<&str> {
    replicas.iter().map(|replica| replica.host.as_str()).collect()
}

#[test]
fn a_file_that_redis_rewrote_loads_unchanged() {
    let config = ok(REDIS);
    assert_eq!(
        config.sentinel.myid.as_ref().map(ToString::to_string).as_deref(),
        Some("b638b5f008580a608905987b0f15fece932c9b90")
    );
    let master = &config.masters[0];
    assert_eq!(master.address, HostPort::new("10.1.0.12", 6379));
    assert_eq!(ports(&master.learned.replicas), ["10.1.0.11", "10.1.0.13"]);
    assert_eq!(
        (master.learned.config_epoch, master.learned.current_epoch),
        (1, 1)
    );
    assert!(config.daemonize && config.supervised == Supervised::No);
    let hint = config.warnings.iter().find(|w| w.contains("known-sentinel"));
    assert!(
        hint.is_some_and(|w| w.ends_with("'sentinel peer 10.1.0.22 26379', 'sentinel peer 10.1.0.23 26379'")),
        "{:?}",
        config.warnings
    );
    let with_peers = ok(&format!("{REDIS}sentinel peer 10.1.0.22 26379\n"));
    assert!(!with_peers.warnings.concat().contains("known-sentinel"));
}

#[test]
fn a_file_that_valkey_rewrote_loads_unchanged() {
    let config = ok(VALKEY);
    let [cache, queue] = &config.masters[..] else {
        panic!("{:?}", config.masters);
    };
    assert_eq!(
        ports(&cache.learned.replicas),
        ["valkey-0.example", "valkey-2.example"]
    );
    assert_eq!(cache.options.master_reboot_down_after_ms, 7000);
    assert_eq!((cache.learned.config_epoch, queue.learned.config_epoch), (12, 3));
    assert_eq!(
        cache.learned.sentinels.len(),
        1,
        "the form without an id is ignored"
    );
    // A vote of epoch 14 was given: that epoch may have been used.
    assert_eq!(
        (cache.learned.current_epoch, queue.learned.current_epoch),
        (14, 14)
    );
}

#[test]
fn lines_that_sentinel_writes_have_its_error_texts() {
    let with = "sentinel monitor m 127.0.0.1 1 1\n";
    let unrecognized = "Unrecognized sentinel configuration statement.";
    let unknown = "No such master with specified name.";
    let cases = [
        ("sentinel config-epoch m", unrecognized),
        ("sentinel config-epoch n 1", unknown),
        ("sentinel leader-epoch m 1 2", unrecognized),
        ("sentinel leader-epoch n 1", unknown),
        ("sentinel current-epoch", unrecognized),
        ("sentinel known-replica m 127.0.0.1", unrecognized),
        ("sentinel known-slave n 127.0.0.1 1", unknown),
        (
            "sentinel known-replica m host 1",
            "Can't resolve instance hostname.",
        ),
        ("sentinel known-slave m 127.0.0.1 65536", "Invalid port number."),
        ("sentinel known-sentinel m 127.0.0.1", unrecognized),
        ("sentinel known-sentinel n 127.0.0.1 1 id", unknown),
        (
            "sentinel known-sentinel m host 1 id",
            "Can't resolve instance hostname.",
        ),
        (
            "sentinel known-sentinel m 127.0.0.1 -1 id",
            "Invalid port number.",
        ),
    ];
    for (line, reason) in cases {
        assert_eq!(
            refused(&format!("{with}{line}")),
            (2, reason.to_owned()),
            "{line}"
        );
    }
    let twice = "sentinel known-replica m 127.0.0.1 2\nsentinel known-slave m 127.0.0.1 2";
    assert_eq!(
        refused(&format!("{with}{twice}")),
        (3, "Duplicate hostname and port for replica.".to_owned())
    );
    let twice = "sentinel known-sentinel m 127.0.0.1 2 id\nsentinel known-sentinel m 127.0.0.1 3 id";
    assert_eq!(
        refused(&format!("{with}{twice}")),
        (3, "Duplicate runid for sentinel.".to_owned())
    );
    // Accepted as Sentinel accepts them.
    let odd = ok(&format!(
        "{with}sentinel known-sentinel n host 1\nsentinel config-epoch m x\nsentinel current-epoch -5\n\
         sentinel leader-epoch m 99999999999999999999999\n"
    ));
    assert_eq!(odd.masters[0].learned.config_epoch, 0);
    assert_eq!(odd.masters[0].learned.current_epoch, i64::MAX.unsigned_abs());
}

fn plan(config: &Config, remembered: Option<&str>, state: &State) -> seed::Seeding {
    seed::plan_seeding(&config.masters, remembered, state, WallTime(1))
}

/// Plans as a node does at its start, and applies what it proposes.
fn start_node(config: &Config, remembered: Option<&str>, state: &mut State) -> seed::Seeding {
    let seeding = plan(config, remembered, state);
    for command in &seeding.commands {
        let index = state.last_applied + 1;
        assert_eq!(apply(state, index, command).0, Outcome::Done, "{command:?}");
    }
    seeding
}

fn seen(state: &State) -> (String, u64, u64, usize) {
    let group = state.groups.values().next().unwrap();
    (
        group.address.to_string(),
        group.config_epoch,
        state.current_epoch,
        group.replicas.len(),
    )
}

#[test]
fn what_was_learned_is_taken_over_once() {
    let config = ok(REDIS);
    let mut state = State::default();
    let seeding = start_node(&config, None, &mut state);
    assert!(matches!(&seeding.commands[..], [Command::Import { .. }]));
    assert_eq!(seen(&state), ("10.1.0.12:6379".into(), 1, 1, 2));
    // The other nodes have the same file; this one starts again later.
    assert_eq!(start_node(&config, None, &mut state), seed::Seeding::default());
    let remembered = seed::to_lines(&config.masters);
    assert_eq!(plan(&config, Some(&remembered), &state), seed::Seeding::default());
    // REMOVE and MONITOR at run time made another group of the same name: an unchanged file does not touch it.
    let mut other = State::default();
    start_node(&ok("sentinel monitor mymaster 10.9.9.9 6379 2"), None, &mut other);
    assert_eq!(plan(&config, Some(&remembered), &other), seed::Seeding::default());
    let gone = plan(&config, Some(&remembered), &State::default());
    assert_eq!((gone.commands.len(), gone.warnings.len()), (0, 1));
}

#[test]
fn of_different_files_the_highest_config_epoch_wins_whichever_comes_first() {
    let file = |host: &str, config_epoch: u64, current_epoch: u64| {
        ok(&format!(
            "sentinel monitor m {host} 6379 2\nsentinel config-epoch m {config_epoch}\n\
             sentinel current-epoch {current_epoch}\nsentinel known-replica m 10.0.0.9 6379\n"
        ))
    };
    let files = [
        file("10.0.0.1", 1, 9),
        file("10.0.0.2", 4, 4),
        file("10.0.0.3", 2, 3),
    ];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut state = State::default();
        for at in order {
            start_node(&files[at], None, &mut state);
        }
        assert_eq!(seen(&state), ("10.0.0.2:6379".into(), 4, 9, 1), "{order:?}");
        for file in &files {
            assert_eq!(plan(file, None, &state), seed::Seeding::default(), "{order:?}");
        }
    }
}

#[test]
fn two_addresses_of_one_config_epoch_are_pointed_out() {
    let mut state = State::default();
    start_node(&ok(REDIS), None, &mut state);
    let other = ok(&REDIS.replace("10.1.0.12", "10.1.0.99"));
    let seeding = start_node(&other, None, &mut state);
    assert_eq!((seeding.commands.len(), seeding.warnings.len()), (0, 1));
    assert!(
        seeding.warnings[0].contains("10.1.0.99"),
        "{:?}",
        seeding.warnings
    );
    assert_eq!(seen(&state).0, "10.1.0.12:6379");
}

/// Back to Redis Sentinel for a while, which failed over, and then here again.
#[test]
fn a_file_rewritten_since_is_taken_over_again_unless_the_group_went_on() {
    let before = ok(REDIS);
    let remembered = seed::to_lines(&before.masters);
    let rewritten = ok(&REDIS
        .replace("10.1.0.13", "10.1.0.x")
        .replace("10.1.0.12", "10.1.0.13")
        .replace("10.1.0.x", "10.1.0.12")
        .replace("epoch mymaster 1", "epoch mymaster 5"));
    let mut state = State::default();
    start_node(&before, None, &mut state);
    let seeding = start_node(&rewritten, Some(&remembered), &mut state);
    assert_eq!(
        (seeding.commands.len(), seeding.warnings.len()),
        (1, 0),
        "{seeding:?}"
    );
    assert_eq!(seen(&state), ("10.1.0.13:6379".into(), 5, 5, 2));
}
