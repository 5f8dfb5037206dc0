//! What tests, benchmarks and the demonstration share: real `redis-server` and sentinel processes,
//! started on free ports in directories of their own, watched with deadlines, and ended for sure.
//!
//! The programs are chosen by the environment:
//!
//! | Variable | Meaning |
//! |---|---|
//! | `SENTINEL_PROGRAM` | `stock` = the system's `redis-sentinel`; else the path of a `sentinel-node`. Unset: the one beside the test's own binary |
//! | `REDIS_SERVER` | the data server, default `redis-server` |
//! | `SENTINEL_TEST_RUNS` | repetitions of the tests that repeat (each has a small default) |
//! | `SENTINEL_TEST_SOAK` | set: full numbers of repetitions (`make soak`) |
//! | `SENTINEL_TEST_SLACK` | factor on the limits of time that tests assert, default 1 |
//! | `SENTINEL_TEST_KEEP` | keep the directories of a run and print where they are |
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod bench;
pub mod harness;
