use std::time::Duration;

use sentinel_proto::{MasterName, SentinelId};

use super::*;
use crate::view::PeerView;
use sentinel_core::time::MonoTime;

#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Opinions(NodeId, usize),
    Quorum(BTreeSet<NodeId>),
    Failover(BTreeSet<NodeId>),
    Event(String),
}

struct Fake(mpsc::UnboundedSender<Seen>);

impl Actor for Fake {
    type Context = Context<Self>;
}

impl Handler<ToQuorum> for Fake {
    type Result = ();
    fn handle(&mut self, ToQuorum(input): ToQuorum, _: &mut Self::Context) {
        let _ = self.0.send(match input {
            QuorumInput::Opinions(from, opinions) => Seen::Opinions(from, opinions.len()),
            QuorumInput::Peers(connected) => Seen::Quorum(connected),
            other => panic!("{other:?}"),
        });
    }
}

impl Handler<ToFailover> for Fake {
    type Result = ();
    fn handle(&mut self, ToFailover(input): ToFailover, _: &mut Self::Context) {
        if let FailoverInput::Peers(connected) = input {
            let _ = self.0.send(Seen::Failover(connected));
        }
    }
}

fn peer(n: u8, connected: bool) -> (NodeId, Arc<PeerView>) {
    let view = PeerView {
        node: NodeId(n.into()),
        myid: SentinelId::from_bytes([n; 20]),
        address: HostPort::new("127.0.0.1", 26379),
        connected,
        ping_pending_since: None,
        last_ok: MonoTime(1),
        last_opinions: MonoTime(1),
        sdown_since: None,
    };
    (view.node, Arc::new(view))
}

async fn expect(seen: &mut mpsc::UnboundedReceiver<Seen>, what: &Seen) {
    let arrived = async {
        while let Some(one) = seen.recv().await {
            if one == *what {
                return;
            }
        }
    };
    assert!(
        tokio::time::timeout(Duration::from_secs(5), arrived)
            .await
            .is_ok(),
        "{what:?} did not come"
    );
}

#[test]
fn opinions_liveness_and_s_down_reach_their_actors() {
    actix::System::new().block_on(async {
        let (log, mut seen) = mpsc::unbounded_channel();
        let mut state = sentinel_core::replicated::State::default();
        let command = sentinel_core::replicated::Command::Monitor {
            master: MasterName::new("m").unwrap(),
            address: HostPort::new("127.0.0.1", 6379),
            options: sentinel_core::replicated::GroupOptions::with_quorum(1),
            at: sentinel_proto::WallTime(1),
        };
        sentinel_core::replicated::apply(&mut state, 1, &command);
        let view = Arc::new(NodeView::new(
            NodeId(1),
            SentinelId::from_bytes([1; 20]),
            Arc::new(state),
        ));
        view.peers.store(Arc::new([peer(2, true), peer(3, false)].into()));
        let (bridge, news) = PeerBridge::new();
        let events = log.clone();
        let ports = PeersPorts {
            quorum: Fake(log.clone()).start().recipient(),
            failover: Fake(log.clone()).start().recipient(),
            events: Arc::new(move |event| {
                let _ = events.send(Seen::Event(event.to_string()));
            }),
        };
        PeersActor::start_with(&runtime::Handle::current(), Arc::clone(&view), ports, news);
        let one = BTreeSet::from([NodeId(2)]);
        expect(&mut seen, &Seen::Quorum(one.clone())).await;
        expect(&mut seen, &Seen::Failover(one)).await;
        bridge.opinions(NodeId(2), Vec::new());
        expect(&mut seen, &Seen::Opinions(NodeId(2), 0)).await;
        view.peers.store(Arc::new([peer(2, true), peer(3, true)].into()));
        bridge.changed();
        expect(&mut seen, &Seen::Quorum(BTreeSet::from([NodeId(2), NodeId(3)]))).await;
        bridge.sdown(
            &SentinelId::from_bytes([3; 20]),
            &HostPort::new("127.0.0.1", 26381),
            true,
        );
        let sdown = format!(
            "+sdown sentinel {} 127.0.0.1 26381 @ m 127.0.0.1 6379",
            "03".repeat(20)
        );
        expect(&mut seen, &Seen::Event(sdown)).await;
    });
}

#[test]
fn a_flood_of_opinions_is_dropped_and_counted_and_changes_are_not() {
    let (bridge, mut ends) = PeerBridge::new();
    for _ in 0..NEWS + 10 {
        bridge.opinions(NodeId(2), Vec::new());
        bridge.changed();
    }
    assert_eq!(bridge.dropped(), 10);
    let mut queued = 0;
    while ends.news.try_recv().is_ok() {
        queued += 1;
    }
    assert_eq!(queued, NEWS);
    assert!(ends.changes.has_changed().unwrap());
}
