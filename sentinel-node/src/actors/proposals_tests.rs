use std::collections::BTreeSet;

use raft_store::{Applied, DataDir, DirOptions, RaftRole, RaftSettings, Transport, TransportError};
use sentinel_core::replicated::{Outcome, apply};
use sentinel_proto::SentinelId;
use tokio::sync::mpsc;

use super::*;
use crate::clock::{Clock as _, SystemClock};

/// No peer can be reached.
struct Cut;

impl Transport for Cut {
    fn call(
        &self,
        _: NodeId,
        _: Vec<u8>,
        _: Duration,
    ) -> BoxFuture<'static, Result<Vec<u8>, TransportError>> {
        Box::pin(async { Err(TransportError::Unreachable) })
    }
}

fn name() -> MasterName {
    MasterName::new("m").unwrap()
}

fn at(port: u16) -> HostPort {
    HostPort::new("127.0.0.1", port)
}

/// A node founded with itself and these other, unreachable members.
async fn node(others: &[u64]) -> (GatewayHandle, RaftHandle, NodeId, tempfile::TempDir) {
    let root = tempfile::tempdir().unwrap();
    let dir = DataDir::open(&root.path().join("raft"), &DirOptions::default()).unwrap();
    let me = dir.node();
    let (tx, mut applied) = mpsc::channel::<Applied>(16);
    tokio::spawn(async move { while applied.recv().await.is_some() {} });
    let (raft, _) = RaftHandle::open(dir, RaftSettings::default(), Arc::new(Cut), tx)
        .await
        .unwrap();
    let members: Vec<NodeId> = std::iter::once(me)
        .chain(others.iter().map(|n| NodeId(*n)))
        .collect();
    raft.found(&members, 7).await.unwrap();
    let clock = Arc::new(SystemClock::start());
    let handle = GatewayHandle::new(raft.clone(), runtime::Handle::current(), clock);
    (handle, raft, me, root)
}

async fn led(raft: &RaftHandle) {
    let mut status = raft.watch();
    let led = status.wait_for(|s| s.raft_leader.is_some() && s.has_majority);
    tokio::time::timeout(Duration::from_secs(10), led)
        .await
        .expect("a raft_leader in time")
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_go_through_the_log_and_refusals_come_back_by_name() {
    let (handle, raft, me, _root) = node(&[]).await;
    led(&raft).await;
    assert_eq!(handle.monitor(name(), at(6379), 1).await, Ok(()));
    assert_eq!(
        handle.monitor(name(), at(7000), 1).await,
        Err(ControlError::Rejected(Rejection::DuplicateMaster))
    );
    assert_eq!(
        handle.set(name(), vec![OptionChange::DownAfterMs(500)]).await,
        Ok(())
    );
    assert_eq!(raft.state().groups[&name()].options.down_after_ms, 500);

    assert_eq!(
        handle.failover(name(), false).await,
        Err(ControlError::NoGoodReplica)
    );
    let unknown = MasterName::new("x").unwrap();
    assert_eq!(
        handle.failover(unknown, false).await,
        Err(ControlError::Rejected(Rejection::NoSuchMaster))
    );
    let member = Command::SetMember {
        node: me,
        myid: SentinelId::from_bytes([1; 20]),
        address: at(26379),
    };
    assert_eq!(Control::propose(&handle, member).await, Ok(()));
    let (replicas, now) = (vec![at(6380)], SystemClock::start().wall());
    let add = Command::AddReplicas {
        master: name(),
        listed_by: at(6379),
        replicas,
        at: now,
    };
    assert!(handle.propose_port()(add).await.is_some());
    assert_eq!(handle.failover(name(), false).await, Ok(()));
    let plan = raft.state().groups[&name()].plan.clone().expect("open");
    assert_eq!(
        (plan.executor, plan.cause, plan.failover_epoch),
        (me, PlanCause::Forced, 1)
    );
    assert_eq!(
        handle.failover(name(), false).await,
        Err(ControlError::InProgress)
    );

    assert_eq!(handle.remove(name()).await, Ok(()));
    assert_eq!(
        handle.remove(name()).await,
        Err(ControlError::Rejected(Rejection::NoSuchMaster))
    );
    raft.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_majority_the_answer_is_no_within_two_seconds() {
    let (handle, raft, _, _root) = node(&[8, 9]).await;
    let asked = tokio::time::timeout(Duration::from_millis(2_000), handle.monitor(name(), at(6379), 2));
    let answer = asked.await.expect("within 2 s");
    assert!(matches!(answer, Err(ControlError::NoMajority(_))), "{answer:?}");
    raft.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_choice_of_a_forced_failover_comes_from_its_port() {
    let (handle, raft, me, _root) = node(&[]).await;
    led(&raft).await;
    let member = Command::SetMember {
        node: me,
        myid: SentinelId::from_bytes([1; 20]),
        address: at(26379),
    };
    assert_eq!(Control::propose(&handle, member).await, Ok(()));
    assert_eq!(handle.monitor(name(), at(6379), 1).await, Ok(()));
    let add = Command::AddReplicas {
        master: name(),
        listed_by: at(6379),
        replicas: vec![at(6380), at(6381)],
        at: WallTime(1),
    };
    assert_eq!(Control::propose(&handle, add).await, Ok(()));
    handle.choose_forced_with(Arc::new(move |_| {
        Box::pin(async move {
            Ok(ForcedChoice {
                executor: me,
                choice: Some((at(6381), Vec::new())),
                evidence: Vec::new(),
                before: Vec::new(),
            })
        })
    }));
    assert_eq!(handle.failover(name(), false).await, Ok(()));
    let plan = raft.state().groups[&name()].plan.clone().expect("open");
    assert_eq!(plan.phase.replica(), Some(&at(6381)));
    raft.shutdown().await;
}

#[test]
fn who_is_missing_is_told_by_address() {
    let mut state = State::default();
    let (node, myid) = (
        NodeId(11_692_315_155_689_942_098),
        SentinelId::from_bytes([1; 20]),
    );
    let address = at(26379);
    apply(&mut state, 1, &Command::SetMember { node, myid, address });
    let text = "2 of 3 sentinels do not answer: 11692315155689942098 13298511337589454079".to_owned();
    assert_eq!(
        with_addresses(text, &state),
        "2 of 3 sentinels do not answer: 127.0.0.1:26379 13298511337589454079"
    );
}

#[test]
fn status_has_the_fields_of_raft_status_in_order() {
    let mut state = State::default();
    let member = Command::SetMember {
        node: NodeId(1),
        myid: SentinelId::from_bytes([1; 20]),
        address: at(1),
    };
    assert_eq!(apply(&mut state, 1, &member).0, Outcome::Done);
    let status = RaftStatus {
        role: RaftRole::Follower,
        node: NodeId(2),
        raft_leader: Some(NodeId(1)),
        raft_term: 3,
        last_log: 9,
        committed: 8,
        applied: 7,
        snapshot: 6,
        voters: BTreeSet::from([NodeId(1), NodeId(2)]),
        learners: BTreeSet::new(),
        quorum_ack_age_ms: None,
        failed: None,
        unreachable: Default::default(),
        has_majority: true,
    };
    let fields = status_fields(&status, &state);
    let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        names.join(" "),
        "role node-id leader term last-log committed applied snapshot voters learners quorum-ack-age-ms"
    );
    let text = fields
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect::<Vec<_>>()
        .join(" ");
    assert!(text.contains(&format!("leader={}", "01".repeat(20))), "{text}");
    assert!(text.contains(&format!("voters={},2 ", "01".repeat(20))), "{text}");
}
