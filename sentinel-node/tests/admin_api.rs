//! The admin API over HTTP, and `status` against it.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    unreachable_pub,
    dead_code
)]

mod server_support;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use sentinel_core::replicated::{
    ClosedPlan, EvidenceNote, Phase, Plan, PlanCause, PlanOutcome, Refusal, RefusalReason, Step,
};
use sentinel_core::time::WallTime;
use sentinel_node::admin::{self, Admin};
use sentinel_node::view::{GroupView, ReportedRole};
use sentinel_proto::peer::Opinion;
use sentinel_proto::{Event, EvidenceClass, NodeId, SentinelId};
use serde_json::Value;
use server_support::{Server, at, healthy, name, start, state};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

async fn serve(server: &Server, token: Option<&str>) -> SocketAddr {
    let listener = admin::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let admin = Admin {
        context: Arc::clone(&server.context),
        token: token.map(str::to_owned),
        recorded: None,
    };
    tokio::spawn(admin::serve(listener, admin));
    address
}

async fn http(address: SocketAddr, request: &str, headers: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let text = format!("{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), body.to_owned())
}

async fn json(address: SocketAddr, path: &str) -> Value {
    let (status, body) = http(address, &format!("GET {path}"), "").await;
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap()
}

fn finished() -> ClosedPlan {
    ClosedPlan {
        plan: Plan {
            failover_epoch: 1,
            cause: PlanCause::ObjectivelyDown {
                agreeing: 2,
                odown_quorum: 2,
            },
            executor: NodeId(2),
            executor_generation: 1,
            previous_executor: None,
            old_address: at(6379),
            phase: Phase::Switched { replica: at(6380) },
            evidence: vec![EvidenceNote {
                observer: SentinelId::from_bytes([2; 20]),
                class: EvidenceClass::Refused,
                age_ms: 210,
            }],
            refused: vec![Refusal {
                replica: at(6381),
                reason: RefusalReason::RankedLower,
            }],
            failed: Vec::new(),
            timeline: vec![
                (Step::FirstDown, WallTime(1000)),
                (Step::Switched, WallTime(1018)),
            ],
        },
        outcome: PlanOutcome::Done,
        loss_bound_bytes: Some(14),
    }
}

fn with_history(server: &Server) {
    let mut state = (*state(9, 6380)).clone();
    let group = Arc::make_mut(state.groups.get_mut(&name("m")).unwrap());
    group.options.auth_pass = Some("secret-password".to_owned());
    group.history = VecDeque::from([finished()]);
    server.view.state.store(Arc::new(state));
    let opinion = Opinion {
        master: name("m"),
        address: at(6380),
        config_epoch: 0,
        down: true,
        class: EvidenceClass::Hung,
        class_age_ms: 5,
        refused_count: 0,
        silent_ms: None,
        promotable_replicas: 2,
    };
    let now = server.context.clock.mono();
    let soft = GroupView {
        opinions: [(NodeId(2), (opinion, now))].into(),
        hold: Some("its replicas still receive from it".to_owned()),
        ..GroupView::default()
    };
    server
        .view
        .groups
        .store(Arc::new([(name("m"), Arc::new(soft))].into()));
}

#[tokio::test]
async fn one_master_is_told_in_full_without_its_password() {
    let server = start(|_| {});
    with_history(&server);
    let address = serve(&server, None).await;
    let master = json(address, "/v1/masters/m").await;
    assert_eq!(master["address"], "127.0.0.1:6380");
    assert_eq!(master["agreeing"], 1);
    assert_eq!(master["hold"], "its replicas still receive from it");
    assert_eq!(master["options"]["auth_pass_set"], true);
    assert_eq!(master["opinions"][0]["evidence"], "hung");
    assert_eq!(master["instances"][0]["role"], "master");
    let last = &master["history"][0];
    assert_eq!(last["outcome"], "done");
    assert_eq!(last["executor"], "0202020202020202020202020202020202020202");
    assert_eq!(last["evidence"][0]["evidence"], "refused");
    assert_eq!(last["refused"][0]["reason"], "ranked-lower");
    assert_eq!(last["timeline"][1]["step"], "switched");
    assert_eq!(last["timeline"][1]["offset_ms"], 18);
    assert!(!master.to_string().contains("secret-password"));
    let status = json(address, "/v1/status").await;
    assert_eq!(status["sentinels"].as_array().unwrap().len(), 3);
    assert_eq!(status["sentinels"][0]["this"], true);
    assert_eq!(json(address, "/v1/raft").await["term"], "7");
    server.hub.publish(Event::tilt_entered());
    assert_eq!(json(address, "/v1/events?limit=5").await[0]["name"], "+tilt");
}

#[tokio::test]
async fn instances_carry_the_flags_of_sentinel_replicas() {
    let server = start(|_| {});
    let address = serve(&server, None).await;
    let now = server.context.clock.mono();
    let mut down = healthy(6380, ReportedRole::Replica, now);
    down.sdown_since = Some(now);
    server.view.instances.load()[&(name("m"), at(6380))].store(Arc::new(down));
    let master = json(address, "/v1/masters/m").await;
    assert_eq!(master["instances"][1]["flags"], "s_down,slave");
    assert_eq!(master["instances"][1]["lag_bytes"], 0);
    assert_eq!(master["replicas_attached"], 1);
}

#[tokio::test]
async fn probes_metrics_and_errors() {
    let server = start(|_| {});
    let address = serve(&server, None).await;
    assert_eq!(json(address, "/healthz").await["status"], "ok");
    assert_eq!(json(address, "/readyz").await["status"], "ok");
    server.view.has_majority.store(false, Ordering::Relaxed);
    let (status, body) = http(address, "GET /readyz", "").await;
    assert!(status == 503 && body.contains("Raft majority"), "{status} {body}");
    let (_, page) = http(address, "GET /metrics", "").await;
    assert!(page.contains("\nsentinel_has_majority 0\n"), "{page}");
    assert!(
        page.contains("\nsentinel_master_replicas{master=\"m\"} 2\n"),
        "{page}"
    );
    for (request, expected) in [
        ("GET /nothing", 404),
        ("GET /v1/masters/x", 404),
        ("POST /v1/status", 405),
        ("POST /v1/masters/m/failover", 403),
    ] {
        let (status, body) = http(address, request, "").await;
        let problem: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(status, expected, "{request}");
        assert!(
            problem["error"].is_string() && problem["remedy"].is_string(),
            "{request}: {body}"
        );
    }
}

#[tokio::test]
async fn changes_need_the_token() {
    let mut server = start(|_| {});
    let address = serve(&server, Some("t0ken")).await;
    let request = "POST /v1/masters/m/failover";
    assert_eq!(http(address, request, "").await.0, 401);
    assert_eq!(
        http(address, request, "Authorization: Bearer t0kem\r\n").await.0,
        401
    );
    assert!(server.writes.try_recv().is_err());
    let right = "Authorization: Bearer t0ken\r\n";
    assert_eq!(http(address, request, right).await.0, 200);
    assert_eq!(server.writes.recv().await.unwrap(), "failover m");
    assert_eq!(http(address, "POST /v1/masters/x/failover", right).await.0, 404);
}

#[tokio::test]
async fn status_prints_a_page_for_people() {
    let server = start(|_| {});
    with_history(&server);
    let address = serve(&server, None).await;
    let status = move || {
        std::process::Command::new(env!("CARGO_BIN_EXE_sentinel-node"))
            .args(["status", "--admin", &address.to_string()])
            .output()
    };
    let output = tokio::task::spawn_blocking(status).await.unwrap().unwrap();
    let page = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{page}");
    for expected in [
        "raft leader, term 7",
        "majority reached",
        "01010101  127.0.0.1:26379  this node",
        "127.0.0.1:6381  slave",
        "held back: its replicas still receive from it",
        "last failover 1 (odown): 127.0.0.1:6379 -> 127.0.0.1:6380, done, loss at most 14 B",
        "switched +18 ms",
    ] {
        assert!(page.contains(expected), "'{expected}' is missing in\n{page}");
    }
}
