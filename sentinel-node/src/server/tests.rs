//! Dispatch never panics, whatever the words, and every reply can be encoded.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use sentinel_core::replicated::{Command, GroupOptions, OptionChange, State, apply};
use sentinel_proto::command::{CommandSpec, TABLE};
use sentinel_proto::resp::{FrameDecoder, Limits, Protocol, encode};
use sentinel_proto::{HostPort, MasterName, NodeId, SentinelId, WallTime};
use tokio_util::sync::CancellationToken;

use super::dispatch::{Action, dispatch};
use super::session::Session;
use super::{Context, NoPeers, Settings};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::control::{Control, ControlError, SimulatedCrash};
use crate::pubsub::Hub;
use crate::view::NodeView;

/// Dispatch must not get as far as a write.
struct NoWrites;

type Answer = BoxFuture<'static, Result<(), ControlError>>;

fn refuse() -> Answer {
    std::future::ready(Err(ControlError::InProgress)).boxed()
}

impl Control for NoWrites {
    fn monitor(&self, _: MasterName, _: HostPort, _: u32) -> Answer {
        refuse()
    }
    fn remove(&self, _: MasterName) -> Answer {
        refuse()
    }
    fn set(&self, _: MasterName, _: Vec<OptionChange>) -> Answer {
        refuse()
    }
    fn reset(&self, _: Vec<MasterName>) -> Answer {
        refuse()
    }
    fn failover(&self, _: MasterName, _: bool) -> Answer {
        refuse()
    }
    fn simulate(&self, _: Vec<SimulatedCrash>) {}
    fn heard(&self, _: sentinel_proto::hello::Hello) {}

    fn propose(&self, _: Command) -> Answer {
        refuse()
    }
    fn raft_status(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}

fn context() -> Context {
    let mut state = State::default();
    for (index, name) in [(1, "m"), (2, "other")] {
        let monitor = Command::Monitor {
            master: MasterName::new(name).unwrap(),
            address: HostPort::new("::1", 6379),
            options: GroupOptions::with_quorum(2),
            at: WallTime(1),
        };
        apply(&mut state, index, &monitor);
    }
    let clock = Arc::new(SystemClock::start());
    let view = NodeView::new(NodeId(1), SentinelId::from_bytes([1; 20]), Arc::new(state));
    Context::new(
        Arc::new(view),
        Arc::new(NoWrites),
        Hub::start(clock.clone()),
        Arc::new(NoPeers),
        clock,
        Settings::from_config(&Config::new()),
        CancellationToken::new(),
    )
}

fn names(table: &[CommandSpec], out: &mut Vec<Bytes>) {
    for spec in table {
        out.extend(
            spec.name
                .split('|')
                .map(|word| Bytes::copy_from_slice(word.as_bytes())),
        );
        names(spec.subcommands, out);
    }
}

fn vocabulary() -> Vec<Bytes> {
    let mut words = Vec::new();
    names(TABLE, &mut words);
    for word in [
        "",
        "m",
        "other",
        "x",
        "*",
        "m*",
        "[",
        "\\",
        "127.0.0.1",
        "::1",
        "host",
        "0",
        "1",
        "-1",
        "2",
        "3",
        "6379",
        "65536",
        "9223372036854775807",
        "-9223372036854775808",
        "18446744073709551616",
        "1e3",
        "+1",
        "yes",
        "no",
        "get",
        "set",
        "status",
        "auth",
        "setname",
        "type",
        "normal",
        "id",
        "filterby",
        "pattern",
        "lib-name",
        "lib-ver",
        "loglevel",
        "quorum",
        "down-after-milliseconds",
        "auth-pass",
        "rename-command",
        "parallel-syncs",
        "__sentinel__:hello",
        "on",
        "off",
        "skip",
        "coordinated",
        "crash-after-open",
        "-",
        "default",
    ] {
        words.push(Bytes::from(word));
    }
    words.push(Bytes::from_static(b"\xff\xfe\0\r\n"));
    words.push(Bytes::from(vec![b'a'; 5000]));
    words
}

#[tokio::test]
async fn any_words_get_an_answer() {
    let context = context();
    let seed: u64 = std::env::var("SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(rand::random);
    println!("REPRODUCE WITH: SEED={seed} cargo test -p sentinel-node --lib any_words_get_an_answer");
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let words = vocabulary();
    let mut session = Session::new(1, &context.acl);
    let mut out = BytesMut::new();
    let mut answered = 0;
    for round in 0..30_000u32 {
        let count = random.random_range(1..8);
        let request: Vec<Bytes> = (0..count)
            .filter_map(|_| words.choose(&mut random).cloned())
            .collect();
        context.view.has_majority.store(round % 2 == 0, Ordering::Relaxed);
        let action = dispatch(&context, &mut session, &request);
        if let Action::Reply(frame) | Action::Address(frame, _) = action {
            for protocol in [Protocol::Resp2, Protocol::Resp3] {
                out.clear();
                encode(&frame, protocol, &mut out);
                let decoded = FrameDecoder::new(Limits::REPLY).decode(&mut out);
                assert!(matches!(decoded, Ok(Some(_))), "{request:?}: {frame:?}");
                assert!(out.is_empty(), "{request:?}: {frame:?}");
            }
            answered += 1;
        }
    }
    assert!(answered > 1000, "{answered}");
}
