//! One connection to a peer: handshake by `Hello`, then requests and replies in both directions.
//!
//! ```text
//!   requests --commands--> core task --lanes--> writer task --> socket
//!                            ^   \--spawn--> serve (one task per request, bounded)
//!                          reader
//! ```
//!
//! * The core task owns the table of unanswered requests; it never waits for the socket to take bytes.
//! * The writer sends small frames first, then opinions (latest per master), then one piece of a large frame.
//! * Silence of `lost_after` closes the connection, unless this process itself was stalled.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use raft_store::transport::TransportError;
use sentinel_core::time::MonoTime;
use sentinel_proto::peer::{Opinion, PeerBody, PeerFrame, PeerHello};
use sentinel_proto::{HostPort, MasterName, NodeId};
use tokio::io::{AsyncWrite, AsyncWriteExt as _, ReadHalf, split};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::{MissedTickBehavior, timeout};

use super::frame::{Encoded, FrameError, FrameReader, PIECE_BYTES, encode, next_piece};
use super::roster::{Note, Verdict};
use super::service::{FoundQuestion, Shared};
use crate::net::stream::Stream;

/// Requests handed to a connection and not yet written.
const COMMANDS: usize = 256;
/// Small frames waiting for the socket.
const FAST_LANE: usize = 512;
/// Large frames waiting for the socket.
const BULK_LANE: usize = 4;
/// Requests without a reply on one connection.
const MAX_PENDING: usize = 1024;
/// Requests of one peer that are served at the same time.
const MAX_SERVING: usize = 128;
/// For the end of the stream.
const GOODBYE_DEADLINE: Duration = Duration::from_millis(50);
/// Id of messages that expect no reply.
const ONE_WAY: u64 = 0;

/// How a connection came to be.
#[derive(Debug, Clone)]
pub(super) enum Via {
    /// We dialed this address.
    Dialed(HostPort),
    /// The peer dialed us from there.
    Accepted(SocketAddr),
}

impl Via {
    /// The address we dialed, `None` when accepted.
    pub(super) fn dialed(&self) -> Option<&HostPort> {
        match self {
            Self::Dialed(address) => Some(address),
            Self::Accepted(_) => None,
        }
    }
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    /// The other end is this process.
    Myself,
    /// There is a connection to that node already.
    Duplicate(NodeId),
    /// One side does not want the other; the text says why.
    Refused(String),
    /// It worked for a while.
    Lost(String),
    /// It never worked.
    Failed(String),
}

/// What a connection is asked to do.
#[derive(Debug)]
enum Command {
    Request(PeerBody, oneshot::Sender<PeerBody>),
    Tell(PeerBody),
    Close(String),
}

/// A connection that said hello, as others see it.
#[derive(Debug)]
pub(super) struct Link {
    /// Number of the connection in this process.
    pub(super) id: u64,
    /// Who is there.
    pub(super) node: NodeId,
    /// Which run of it.
    pub(super) boot: u64,
    /// How it came to be.
    pub(super) via: Via,
    commands: mpsc::Sender<Command>,
    opinions: watch::Sender<BTreeMap<MasterName, Opinion>>,
    last_heard: AtomicU64,
    last_opinions: AtomicU64,
    ping_pending: AtomicU64,
}

impl Link {
    /// Whether it still takes requests.
    pub(super) fn is_open(&self) -> bool {
        !self.commands.is_closed()
    }

    /// When a frame last came in.
    pub(super) fn last_heard(&self) -> MonoTime {
        MonoTime(self.last_heard.load(Ordering::Relaxed))
    }

    /// When opinions last came in; 0 = never.
    pub(super) fn last_opinions(&self) -> MonoTime {
        MonoTime(self.last_opinions.load(Ordering::Relaxed))
    }

    /// When the oldest unanswered ping was sent.
    pub(super) fn ping_pending_since(&self) -> Option<MonoTime> {
        match self.ping_pending.load(Ordering::Relaxed) {
            0 => None,
            at => Some(MonoTime(at)),
        }
    }

    /// Replaces what was not sent yet about the same masters.
    pub(super) fn push_opinions(&self, opinions: &[Opinion]) {
        self.opinions.send_modify(|waiting| {
            for opinion in opinions {
                waiting.insert(opinion.master.clone(), opinion.clone());
            }
        });
    }

    /// Sends without expecting a reply; dropped when the queue is full.
    pub(super) fn tell(&self, body: PeerBody) {
        let _ = self.commands.try_send(Command::Tell(body));
    }

    /// Closes it with a reason that the other side logs.
    pub(super) fn close(&self, reason: &str) {
        let _ = self.commands.try_send(Command::Close(reason.to_owned()));
    }

    /// Sends a request and waits for the reply.
    pub(super) async fn request(
        &self,
        body: PeerBody,
        deadline: Duration,
    ) -> Result<PeerBody, TransportError> {
        let (tx, rx) = oneshot::channel();
        if self.commands.try_send(Command::Request(body, tx)).is_err() {
            return Err(TransportError::Unreachable);
        }
        match timeout(deadline, rx).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(_)) => Err(TransportError::Closed("connection lost".to_owned())),
            Err(_) => Err(TransportError::Timeout),
        }
    }
}

/// Runs a connection from the first `Hello` to its end.
pub(super) async fn run(shared: Arc<Shared>, stream: Stream, unread: BytesMut, via: Via) -> Ended {
    // Without it heartbeats would wait for acknowledgements of earlier ones.
    stream.set_nodelay();
    let local = stream.local_addr();
    let (read, mut write) = split(stream);
    let mut reader = FrameReader::new(read, unread);
    let patience = shared.settings.timing.connect_timeout;
    let hello = PeerBody::Hello(shared.hello(via.dialed()));
    if let Err(e) = write_frame(&mut write, hello, patience).await {
        return Ended::Failed(e);
    }
    let hello = match timeout(patience, reader.next()).await {
        Ok(Ok(PeerFrame {
            body: PeerBody::Hello(hello),
            ..
        })) => hello,
        Ok(Ok(PeerFrame {
            body: PeerBody::Goodbye(reason),
            ..
        })) => return Ended::Refused(reason),
        Ok(Ok(_)) => return Ended::Failed("the first frame was not a hello".to_owned()),
        Ok(Err(e)) => return Ended::Failed(e.to_string()),
        Err(_) => return Ended::Failed("no hello in time".to_owned()),
    };
    let (link, inbox) = Link::new(&shared, &hello, via);
    let verdict = ask_roster(&shared, &link, &hello, local).await;
    match verdict {
        Verdict::Welcome => {}
        Verdict::Myself => return Ended::Myself,
        Verdict::Duplicate => return Ended::Duplicate(hello.node),
        Verdict::Refuse(reason) => {
            let _ = write_frame(&mut write, PeerBody::Goodbye(reason.clone()), patience).await;
            return Ended::Refused(reason);
        }
    }
    reader.raise_limit();
    let id = link.id;
    let why = Core::serve(Arc::clone(&shared), link, hello, reader, write, inbox).await;
    let _ = shared
        .notes
        .send(Note::Gone {
            connection: id,
            reason: why.clone(),
        })
        .await;
    Ended::Lost(why)
}

async fn ask_roster(
    shared: &Shared,
    link: &Arc<Link>,
    hello: &PeerHello,
    local: Option<SocketAddr>,
) -> Verdict {
    let (verdict, answer) = oneshot::channel();
    let note = Note::Arrived {
        link: Arc::clone(link),
        hello: hello.clone(),
        local,
        verdict,
    };
    if shared.notes.send(note).await.is_err() {
        return Verdict::Refuse("shutting down".to_owned());
    }
    answer
        .await
        .unwrap_or(Verdict::Refuse("shutting down".to_owned()))
}

async fn write_frame<W: AsyncWrite + Unpin>(
    io: &mut W,
    body: PeerBody,
    patience: Duration,
) -> Result<(), String> {
    let encoded = encode(&PeerFrame { id: ONE_WAY, body }).map_err(|e| e.to_string())?;
    let Encoded::Whole(bytes) = encoded else {
        return Err("a handshake frame is too large".to_owned());
    };
    match timeout(patience, send(io, &bytes)).await {
        Ok(done) => done.map_err(|e| e.to_string()),
        Err(_) => Err("the peer takes no bytes".to_owned()),
    }
}

/// TLS keeps what it cannot write at once until a flush.
async fn send<W: AsyncWrite + Unpin>(io: &mut W, bytes: &[u8]) -> std::io::Result<()> {
    io.write_all(bytes).await?;
    io.flush().await
}

impl Link {
    fn new(shared: &Shared, hello: &PeerHello, via: Via) -> (Arc<Self>, mpsc::Receiver<Command>) {
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let link = Self {
            id: shared.next_connection(),
            node: hello.node,
            boot: hello.boot,
            via,
            commands,
            opinions: watch::Sender::new(BTreeMap::new()),
            last_heard: AtomicU64::new(shared.clock.mono().0),
            last_opinions: AtomicU64::new(0),
            ping_pending: AtomicU64::new(0),
        };
        (Arc::new(link), inbox)
    }
}

/// Queues in front of the writer.
#[derive(Debug, Clone)]
struct Lanes {
    fast: mpsc::Sender<Bytes>,
    bulk: mpsc::Sender<Bytes>,
}

impl Lanes {
    /// `false` when it cannot be queued: the peer does not read, or the frame is over the limit.
    fn push(&self, id: u64, body: PeerBody) -> bool {
        match encode(&PeerFrame { id, body }) {
            Ok(Encoded::Whole(bytes)) => self.fast.try_send(bytes).is_ok(),
            Ok(Encoded::Bulk(bytes)) => self.bulk.try_send(bytes).is_ok(),
            Err(e) => {
                tracing::warn!(target: "sentinel::peers", "cannot encode a frame: {e}");
                false
            }
        }
    }
}

struct Core {
    shared: Arc<Shared>,
    link: Arc<Link>,
    /// What the peer last said of itself.
    hello: PeerHello,
    lanes: Lanes,
    pending: BTreeMap<u64, oneshot::Sender<PeerBody>>,
    next_id: u64,
    serving: Arc<Semaphore>,
}

impl Core {
    /// Runs until the connection ends; returns why.
    async fn serve<W: AsyncWrite + Unpin + Send + 'static>(
        shared: Arc<Shared>,
        link: Arc<Link>,
        hello: PeerHello,
        mut reader: FrameReader<ReadHalf<Stream>>,
        write: W,
        mut inbox: mpsc::Receiver<Command>,
    ) -> String {
        let (fast, fast_rx) = mpsc::channel(FAST_LANE);
        let (bulk, bulk_rx) = mpsc::channel(BULK_LANE);
        let timing = shared.settings.timing;
        let mut writer = tokio::spawn(write_loop(
            write,
            fast_rx,
            bulk_rx,
            Arc::clone(&link),
            timing.lost_after,
        ));
        let mut core = Self {
            shared,
            link,
            hello,
            lanes: Lanes { fast, bulk },
            pending: BTreeMap::new(),
            next_id: ONE_WAY,
            serving: Arc::new(Semaphore::new(MAX_SERVING)),
        };
        let mut tick = tokio::time::interval(timing.ping_every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last_tick = core.shared.clock.mono();
        let why = loop {
            let step = tokio::select! {
                frame = reader.next() => core.on_frame(frame).await,
                command = inbox.recv() => core.on_command(command),
                _ = tick.tick() => core.on_tick(&mut last_tick),
                end = &mut writer => Err(end.unwrap_or_else(|e| e.to_string())),
            };
            if let Err(why) = step {
                break why;
            }
        };
        // Refuses further requests; those queued are answered by the drop of their reply senders.
        inbox.close();
        core.pending.clear();
        drop(core.lanes);
        // Gives a last Goodbye the chance to leave; ends by itself when the socket is stuck.
        if !writer.is_finished() && timeout(Duration::from_millis(100), &mut writer).await.is_err() {
            writer.abort();
        }
        why
    }

    fn on_command(&mut self, command: Option<Command>) -> Result<(), String> {
        match command {
            Some(Command::Request(body, reply)) => {
                if self.pending.len() >= MAX_PENDING {
                    self.pending.retain(|_, waiting| !waiting.is_closed());
                }
                if self.pending.len() >= MAX_PENDING {
                    let _ = reply.send(PeerBody::Refused("too many requests under way".to_owned()));
                    return Ok(());
                }
                self.next_id = self.next_id.wrapping_add(1).max(1);
                if self.lanes.push(self.next_id, body) {
                    self.pending.insert(self.next_id, reply);
                } else {
                    let _ = reply.send(PeerBody::Refused("the peer does not keep up".to_owned()));
                }
                Ok(())
            }
            Some(Command::Tell(body)) => {
                self.lanes.push(ONE_WAY, body);
                Ok(())
            }
            Some(Command::Close(reason)) => {
                self.lanes.push(ONE_WAY, PeerBody::Goodbye(reason.clone()));
                Err(reason)
            }
            None => Err("dropped".to_owned()),
        }
    }

    fn on_tick(&mut self, last_tick: &mut MonoTime) -> Result<(), String> {
        let now = self.shared.clock.mono();
        let lost_after =
            u64::try_from(self.shared.settings.timing.lost_after.as_millis()).unwrap_or(u64::MAX);
        let stalled = now.ms_since(*last_tick) >= lost_after;
        *last_tick = now;
        // After a stall of ours the peer's bytes are still waiting to be read: judge at the next tick.
        if !stalled && now.ms_since(self.link.last_heard()) >= lost_after {
            return Err(format!("silent for {} ms", now.ms_since(self.link.last_heard())));
        }
        self.pending.retain(|_, waiting| !waiting.is_closed());
        let _ = self
            .link
            .ping_pending
            .compare_exchange(0, now.0, Ordering::Relaxed, Ordering::Relaxed);
        self.lanes.push(ONE_WAY, PeerBody::Ping);
        Ok(())
    }

    async fn on_frame(&mut self, frame: Result<PeerFrame, FrameError>) -> Result<(), String> {
        let PeerFrame { id, body } = frame.map_err(|e| e.to_string())?;
        let now = self.shared.clock.mono();
        self.link.last_heard.store(now.0, Ordering::Relaxed);
        match body {
            PeerBody::Ping => {
                self.lanes.push(id, PeerBody::Pong);
            }
            PeerBody::Pong => self.link.ping_pending.store(0, Ordering::Relaxed),
            PeerBody::Opinions(opinions) => {
                self.link.last_opinions.store(now.0, Ordering::Relaxed);
                if self.same_group() {
                    self.shared.ports.opinions(self.link.node, opinions);
                }
            }
            PeerBody::Raft(request) => self.serve_raft(id, request),
            PeerBody::Found {
                cluster_id,
                members,
                binding,
            } => {
                let (answer, reply) = oneshot::channel();
                let from = self.link.node;
                self.serve_found(
                    id,
                    FoundQuestion {
                        from,
                        cluster_id,
                        members,
                        binding,
                        answer,
                    },
                    reply,
                );
            }
            reply @ (PeerBody::RaftReply(_) | PeerBody::FoundReply(_) | PeerBody::Refused(_)) => {
                if let Some(waiting) = self.pending.remove(&id) {
                    let _ = waiting.send(reply);
                }
            }
            PeerBody::Hello(hello) => return self.on_hello(hello).await,
            PeerBody::Goodbye(reason) => return Err(reason),
        }
        Ok(())
    }

    /// Another hello on the same connection: only what may change during a run may differ.
    async fn on_hello(&mut self, hello: PeerHello) -> Result<(), String> {
        if hello.node != self.link.node || hello.boot != self.link.boot {
            return Err("the peer changed its identity".to_owned());
        }
        self.hello = hello.clone();
        let note = Note::Hello {
            connection: self.link.id,
            hello,
        };
        self.shared
            .notes
            .send(note)
            .await
            .map_err(|_| "shutting down".to_owned())
    }

    /// Both sides know that they belong to one group: the condition for Raft requests and opinions.
    fn same_group(&self) -> bool {
        let ours = self.shared.identity.load().cluster_id;
        ours.is_some() && ours == self.hello.cluster_id
    }

    fn serve_raft(&mut self, id: u64, request: Vec<u8>) {
        let (Some(raft), true) = (self.shared.raft.get(), self.same_group()) else {
            self.lanes
                .push(id, PeerBody::Refused("not in one group (yet)".to_owned()));
            return;
        };
        let Ok(permit) = Arc::clone(&self.serving).try_acquire_owned() else {
            self.lanes
                .push(id, PeerBody::Refused("too many requests under way".to_owned()));
            return;
        };
        let (answer, lanes) = (raft.serve(request), self.lanes.clone());
        tokio::spawn(async move {
            let reply = answer.await;
            lanes.push(id, PeerBody::RaftReply(reply));
            drop(permit);
        });
    }

    fn serve_found(&mut self, id: u64, question: FoundQuestion, reply: oneshot::Receiver<Option<String>>) {
        let asked = self.shared.founding.get().map(|tx| tx.try_send(question));
        if !matches!(asked, Some(Ok(()))) {
            self.lanes
                .push(id, PeerBody::Refused("not ready to found a group".to_owned()));
            return;
        }
        let lanes = self.lanes.clone();
        tokio::spawn(async move {
            let body = match reply.await {
                Ok(reply) => PeerBody::FoundReply(reply),
                Err(_) => PeerBody::Refused("not ready to found a group".to_owned()),
            };
            lanes.push(id, body);
        });
    }
}

/// Writes until all senders are gone (`Ok`-like end) or the socket fails; returns why it ended.
async fn write_loop<W: AsyncWrite + Unpin>(
    mut io: W,
    mut fast: mpsc::Receiver<Bytes>,
    mut bulk: mpsc::Receiver<Bytes>,
    link: Arc<Link>,
    patience: Duration,
) -> String {
    let mut opinions = link.opinions.subscribe();
    let mut current = Bytes::new();
    let mut out = BytesMut::new();
    loop {
        tokio::select! {
            biased;
            frame = fast.recv() => match frame {
                Some(frame) => out.extend_from_slice(&frame),
                None => {
                    // The end of TLS, and of the stream: the other side knows that nothing is missing.
                    let _ = timeout(GOODBYE_DEADLINE, io.shutdown()).await;
                    return "closed".to_owned();
                }
            },
            Ok(()) = opinions.changed() => take_opinions(&link, &mut out),
            () = std::future::ready(()), if !current.is_empty() => next_piece(&mut current, &mut out),
            Some(frame) = bulk.recv(), if current.is_empty() => current = frame,
        }
        while out.len() < PIECE_BYTES {
            match fast.try_recv() {
                Ok(frame) => out.extend_from_slice(&frame),
                Err(_) => break,
            }
        }
        if out.is_empty() {
            continue;
        }
        match timeout(patience, send(&mut io, &out)).await {
            Ok(Ok(())) => out.clear(),
            Ok(Err(e)) => return e.to_string(),
            Err(_) => return "the peer takes no bytes".to_owned(),
        }
    }
}

fn take_opinions(link: &Link, out: &mut BytesMut) {
    let mut taken = BTreeMap::new();
    link.opinions.send_if_modified(|waiting| {
        taken = std::mem::take(waiting);
        false
    });
    let opinions: Vec<Opinion> = taken.into_values().collect();
    // In groups that surely fit one piece each, so that thousands of masters do not become one bulk frame.
    for part in opinions.chunks(100) {
        let frame = PeerFrame {
            id: ONE_WAY,
            body: PeerBody::Opinions(part.to_vec()),
        };
        match encode(&frame) {
            Ok(Encoded::Whole(bytes)) => out.extend_from_slice(&bytes),
            Ok(Encoded::Bulk(_)) | Err(_) => {
                tracing::warn!(target: "sentinel::peers", "opinions do not fit a frame");
            }
        }
    }
}
