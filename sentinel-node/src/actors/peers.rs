//! The actor between the peer connections (main runtime) and the actors that judge.
//!
//! ```text
//! connections --PeerBridge (bounded)--> forwarder --send().await--> PeersActor --> quorum, failover, events
//! ```
//!
//! The other direction needs no message: [`crate::peers::Peers::broadcast`] never blocks.
//!
//! Owns nothing but its ports: connections and liveness belong to the roster task of [`crate::peers`].
//! Mailbox: [`MAILBOX`]. Overflow policy: opinions are dropped and counted (they are refreshed each second); changes of
//! the peers are coalesced, the latest always arrives.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use actix::{Actor, Context, Handler, Message, Recipient};
use sentinel_core::failover::FailoverInput;
use sentinel_core::quorum::QuorumInput;
use sentinel_core::replicated::Member;
use sentinel_proto::peer::Opinion;
use sentinel_proto::{HostPort, NodeId, SentinelId};
use tokio::runtime;
use tokio::sync::{mpsc, watch};

use super::messages::{EventSink, ToFailover, ToQuorum};
use crate::events;
use crate::peers::PeerPorts;
use crate::view::NodeView;

/// Messages waiting.
pub const MAILBOX: usize = 256;
/// Frames of opinions between the connections and the actor.
const NEWS: usize = 256;

/// Who is told.
#[derive(Clone)]
pub struct PeersPorts {
    /// Opinions and liveness.
    pub quorum: Recipient<ToQuorum>,
    /// Liveness.
    pub failover: Recipient<ToFailover>,
    /// `+sdown` and `-sdown` of sentinels.
    pub events: EventSink,
}

/// News of the connections.
#[derive(Debug, Message)]
#[rtype(result = "()")]
enum News {
    Opinions(NodeId, Vec<Opinion>),
    Sdown(Member, bool),
    Changed,
}

/// The end of the bridge that the connections hold; made before the actors exist.
#[derive(Debug)]
pub struct PeerBridge {
    news: mpsc::Sender<News>,
    changes: watch::Sender<u64>,
    dropped: AtomicU64,
}

/// The other end, for [`PeersActor::start_with`].
#[derive(Debug)]
pub struct PeerNews {
    news: mpsc::Receiver<News>,
    changes: watch::Receiver<u64>,
}

impl PeerBridge {
    /// Both ends.
    #[must_use]
    pub fn new() -> (Arc<Self>, PeerNews) {
        let (news, news_rx) = mpsc::channel(NEWS);
        let (changes, changes_rx) = watch::channel(0);
        let bridge = Self {
            news,
            changes,
            dropped: AtomicU64::new(0),
        };
        (
            Arc::new(bridge),
            PeerNews {
                news: news_rx,
                changes: changes_rx,
            },
        )
    }

    /// Frames of opinions dropped because the actors did not keep up.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl PeerPorts for PeerBridge {
    fn opinions(&self, from: NodeId, opinions: Vec<Opinion>) {
        if self.news.try_send(News::Opinions(from, opinions)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn sdown(&self, myid: &SentinelId, address: &HostPort, down: bool) {
        let member = Member {
            myid: myid.clone(),
            address: address.clone(),
        };
        if self.news.try_send(News::Sdown(member, down)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// See the module's documentation.
pub struct PeersActor {
    view: Arc<NodeView>,
    ports: PeersPorts,
}

impl PeersActor {
    /// Starts the actor on the present actix System, and its forwarder on `main`.
    pub fn start_with(main: &runtime::Handle, view: Arc<NodeView>, ports: PeersPorts, news: PeerNews) {
        let address = Self { view, ports }.start();
        main.spawn(forward(news, address.recipient()));
    }

    fn publish_sdown(&self, member: &Member, down: bool) {
        let state = self.view.state.load();
        events::sentinel_sdown(member, down, &state)
            .into_iter()
            .for_each(|event| (self.ports.events)(event));
    }

    fn tell_connected(&self) {
        let peers = self.view.peers.load();
        let connected: BTreeSet<NodeId> = peers
            .values()
            .filter(|peer| peer.connected)
            .map(|peer| peer.node)
            .collect();
        count_if_full(
            self.ports
                .quorum
                .try_send(ToQuorum(QuorumInput::Peers(connected.clone())))
                .is_err(),
        );
        count_if_full(
            self.ports
                .failover
                .try_send(ToFailover(FailoverInput::Peers(connected)))
                .is_err(),
        );
    }
}

impl Actor for PeersActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        self.tell_connected();
    }
}

impl Handler<News> for PeersActor {
    type Result = ();

    fn handle(&mut self, news: News, _: &mut Self::Context) {
        match news {
            News::Opinions(from, opinions) => {
                let sent = self
                    .ports
                    .quorum
                    .try_send(ToQuorum(QuorumInput::Opinions(from, opinions)));
                count_if_full(sent.is_err());
            }
            News::Sdown(member, down) => self.publish_sdown(&member, down),
            News::Changed => self.tell_connected(),
        }
    }
}

fn count_if_full(full: bool) {
    if full {
        metrics::counter!("sentinel_mailbox_full").increment(1);
    }
}

async fn forward(mut ends: PeerNews, actor: Recipient<News>) {
    loop {
        let news = tokio::select! {
            news = ends.news.recv() => news,
            changed = ends.changes.changed() => changed.ok().map(|()| News::Changed),
        };
        let Some(news) = news else { return };
        if actor.send(news).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
#[path = "peers_tests.rs"]
mod tests;
