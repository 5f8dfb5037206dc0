//! One client connection: bytes in, batches of replies out.
//!
//! While replies wait for the client nothing more is read from it, so the memory of a connection is bounded by
//! one reply beyond [`FLUSH_BYTES`]. Events wait in the hub's queue; who is too far behind with them is closed.

mod paused;

use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Poll, ready};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::{Buf as _, Bytes, BytesMut};
use sentinel_proto::reply::{ErrorReply, pubsub};
use sentinel_proto::resp::{Frame, Limits, Protocol, ProtocolError, RequestDecoder, encode};
use tokio::io::{AsyncRead as _, AsyncWrite as _, AsyncWriteExt as _, ReadBuf};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::config::{BufferLimits, OutputLimit};
use crate::net::stream::{Endpoint, Stream};
use crate::pubsub::{Backlog, Delivery, Subscription, replayed};

use super::clients::{ClientInfo, Labels};
use super::context::Context;
use super::control;
use super::dispatch::{Action, Pattern, dispatch, is_peer};
use super::memo::Memo;
use super::pool;
use super::session::{ReplyMode, Session};
use super::sockets::say_goodbye;

/// How often what waits for a client that does not read is compared with its soft limit.
const SOFT_LIMIT_CHECK: Duration = Duration::from_millis(250);
/// Replies are written when so much of them has come together, or when the input is used up.
const FLUSH_BYTES: usize = 64 * 1024;
/// Writes asked for by clients end within about 2 s; this is the net below.
const CONTROL_DEADLINE: Duration = Duration::from_secs(10);

/// How long a connection beyond `maxclients` may take to say that it is a sentinel.
const PEER_DEADLINE: Duration = Duration::from_secs(1);

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// Why a connection ends.
enum End {
    /// By either side.
    Closed,
    /// It becomes a peer connection.
    Upgrade {
        version: u32,
        cluster_id: String,
        auth: Vec<Bytes>,
    },
}

struct Connection {
    context: Arc<Context>,
    stream: Stream,
    info: Arc<ClientInfo>,
    session: Session,
    decoder: RequestDecoder,
    input: BytesMut,
    output: BytesMut,
    deliveries: Option<mpsc::UnboundedReceiver<Delivery>>,
    memo: Memo,
    /// `maxclients` is reached: only `SENTINEL PEER` is served.
    peer_only: bool,
}

/// Serves a connection until it ends. The caller has counted it in `connected`; `peer_only`: beyond `maxclients`.
pub(super) async fn serve(context: Arc<Context>, stream: Stream, addr: Endpoint, peer_only: bool) {
    let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
    let close = context.stop.child_token();
    let now = context.clock.mono();
    let info = Arc::new(ClientInfo {
        id,
        fd: stream.descriptor(),
        blocked: AtomicBool::new(false),
        query_bytes: AtomicUsize::new(0),
        capacities: [const { AtomicUsize::new(0) }; 2],
        backlog: Arc::new(Backlog::new(context.settings.limits.pubsub)),
        laddr: stream.local_end().unwrap_or_else(|| addr.clone()),
        addr,
        since: now,
        last_request: AtomicU64::new(now.0),
        resp3: AtomicBool::new(false),
        channels: AtomicUsize::new(0),
        patterns: AtomicUsize::new(0),
        labels: ArcSwap::from_pointee(Labels::default()),
        recheck: Notify::new(),
        close: close.clone(),
    });
    context.clients.add(Arc::clone(&info));
    let session = Session::new(id, &context.acl);
    let mut connection = Connection {
        decoder: RequestDecoder::new(limits(&context.settings.limits), session.is_authenticated()),
        session,
        input: BytesMut::new(),
        output: BytesMut::new(),
        deliveries: None,
        memo: Memo::default(),
        peer_only,
        context,
        stream,
        info,
    };
    let end = connection.run(&close).await;
    if matches!(end, End::Closed) {
        say_goodbye(&mut connection.stream).await;
    }
    connection.finish(end);
}

impl Connection {
    fn finish(self, end: End) {
        let context = self.context;
        if self.deliveries.is_some() {
            context.hub.detach(self.info.id);
        }
        context.clients.remove(self.info.id);
        context.counters.connected.fetch_sub(1, Ordering::Relaxed);
        if self.session.labels.tracking.is_on() {
            context.counters.tracking.fetch_sub(1, Ordering::Relaxed);
        }
        if self.info.backlog.was_cut() {
            let line = self.info.line(context.clock.mono());
            tracing::warn!(
                "Client {line} scheduled to be closed ASAP for overcoming of output buffer limits."
            );
        }
        if let End::Upgrade {
            version,
            cluster_id,
            auth,
        } = end
        {
            context
                .peers
                .accept(self.stream, self.input, version, cluster_id, auth);
        }
    }

    async fn run(&mut self, close: &CancellationToken) -> End {
        let closed = close.clone().cancelled_owned();
        tokio::pin!(closed);
        loop {
            let idle = idle(self.patience());
            tokio::select! {
                biased;
                () = &mut closed => return End::Closed,
                delivery = next(&mut self.deliveries) => self.deliver(delivery),
                () = self.info.recheck.notified(), if self.deliveries.is_some() => {
                    if !self.session.refresh(&self.context.acl) || !self.session.may_listen() {
                        return End::Closed;
                    }
                }
                count = read(&mut self.stream, &mut self.input) => match count {
                    Ok(count @ 1..) => match self.process(count, close).await {
                        Ok(None) => {}
                        Ok(Some(end)) => return end,
                        Err(()) => {
                            let _ = self.flush(close).await;
                            return End::Closed;
                        }
                    },
                    _ => return End::Closed,
                },
                () = idle => {
                    if self.peer_only {
                        self.refuse_client();
                        let _ = self.flush(close).await;
                    }
                    return End::Closed;
                }
            }
            if self.flush(close).await.is_err() {
                return End::Closed;
            }
            self.release_buffers();
        }
    }

    /// How long nothing may happen: `timeout`, which does not hold for subscribers.
    fn patience(&self) -> Option<Duration> {
        let timeout_s = self.context.settings.timeout_s;
        if self.peer_only {
            Some(PEER_DEADLINE)
        } else if timeout_s == 0 || self.deliveries.is_some() {
            None
        } else {
            Some(Duration::from_secs(u64::from(timeout_s)))
        }
    }

    fn refuse_client(&mut self) {
        let rejected = &self.context.counters.rejected;
        rejected.fetch_add(1, Ordering::Relaxed);
        self.start_output();
        self.write(&ErrorReply::max_clients().into());
    }

    /// Buffers that are empty go back to the pool: an idle connection holds none.
    fn release_buffers(&mut self) {
        if self.input.is_empty() && self.input.capacity() > 0 {
            pool::give_back(std::mem::take(&mut self.input));
        }
        if self.output.is_empty() && self.output.capacity() > 0 {
            pool::give_back(std::mem::take(&mut self.output));
        }
        self.publish_usage();
    }

    /// Shows the sizes of the buffers to CLIENT LIST.
    fn publish_usage(&self) {
        let [input, output] = &self.info.capacities;
        input.store(self.input.capacity(), Ordering::Relaxed);
        output.store(self.output.capacity(), Ordering::Relaxed);
        self.info.query_bytes.store(self.input.len(), Ordering::Relaxed);
    }

    fn query_limit(&self) -> usize {
        usize::try_from(self.context.settings.limits.query).unwrap_or(usize::MAX)
    }

    /// Closes without a reply, as Redis does.
    fn too_much_input<T>(&self) -> Result<T, ()> {
        self.context.counters.query_limit.fetch_add(1, Ordering::Relaxed);
        let line = self.info.line(self.context.clock.mono());
        tracing::warn!("Closing client that reached max query buffer length: {line}");
        Err(())
    }

    /// Answers all whole requests of the input, `count` bytes of which are new. `Err` = close after what is in the output was sent.
    async fn process(&mut self, count: usize, close: &CancellationToken) -> Result<Option<End>, ()> {
        let now = self.context.clock.mono();
        self.info.last_request.store(now.0, Ordering::Relaxed);
        self.start_output();
        let bytes = u64::try_from(count).unwrap_or(0);
        let mut answered = 0u64;
        let result = loop {
            if self.output.len() >= FLUSH_BYTES {
                self.flush(close).await?;
            }
            answered = answered.saturating_add(self.answer_repeated());
            match self.decoder.decode(&mut self.input) {
                Ok(Some(words)) => {
                    answered = answered.saturating_add(1);
                    match self.answer(words, close).await {
                        Ok(None) => {}
                        other => break other,
                    }
                }
                Ok(None) => break Ok(None),
                Err(ProtocolError::TotalTooBig) => break self.too_much_input(),
                Err(error) => {
                    let counters = &self.context.counters;
                    counters.protocol_errors.fetch_add(1, Ordering::Relaxed);
                    self.write(&ErrorReply::from(error).into());
                    break Err(());
                }
            }
        };
        let counters = &self.context.counters;
        counters.commands.fetch_add(answered, Ordering::Relaxed);
        counters.input_bytes.fetch_add(bytes, Ordering::Relaxed);
        counters.reads.fetch_add(1, Ordering::Relaxed);
        result
    }

    /// The fast path: repetitions of the last address query.
    fn answer_repeated(&mut self) -> u64 {
        let memo = &self.memo;
        if self.context.pause.may_hold()
            || !self.decoder.is_idle()
            || !memo.is_valid(&self.context.view)
            || !self.session.is_fresh(&self.context.acl)
        {
            return 0;
        }
        memo.answer(&mut self.input, &mut self.output, FLUSH_BYTES)
    }

    async fn answer(&mut self, words: Vec<Bytes>, close: &CancellationToken) -> Result<Option<End>, ()> {
        self.memo.forget();
        if self.peer_only && !is_peer(&words) {
            self.refuse_client();
            return Err(());
        }
        if self.context.pause.may_hold() {
            self.wait_while_paused(&words, close).await?;
            self.start_output();
        }
        let action = dispatch(&self.context, &mut self.session, &words);
        self.decoder.set_authenticated(self.session.is_authenticated());
        self.publish_labels();
        if let Action::Address(frame, version) = action {
            let (start, is_sent) = (self.output.len(), self.session.reply_mode == ReplyMode::On);
            self.reply(&frame);
            if is_sent {
                let reply = self.output.get(start..).unwrap_or_default();
                self.memo.remember(&words, reply, version);
            }
            return Ok(None);
        }
        self.act(action, close).await
    }

    async fn act(&mut self, action: Action, close: &CancellationToken) -> Result<Option<End>, ()> {
        match action {
            Action::Reply(frame) | Action::Address(frame, _) => self.reply(&frame),
            Action::Silent => {}
            Action::Subscribe(kind, names) => {
                self.subscribe(kind, names);
                self.end_skip();
            }
            Action::Unsubscribe(kind, names) => {
                self.unsubscribe(kind, names);
                self.end_skip();
            }
            Action::Control(operation) => {
                let work = tokio::time::timeout(CONTROL_DEADLINE, control::run(&self.context, operation));
                let frame = tokio::select! {
                    () = close.cancelled() => return Err(()),
                    frame = work => frame.unwrap_or_else(|_| ErrorReply::outcome_unknown("no answer in time").into()),
                };
                self.reply(&frame);
            }
            Action::Track(request) => {
                let frame = control::track(&self.context, &mut self.session, &request).await;
                self.publish_labels();
                self.reply(&frame);
            }
            Action::Clients(operation) => {
                self.publish_usage();
                let id = self.session.id;
                let (frame, close_self) = control::clients(&self.context, id, operation).await;
                self.reply(&frame);
                if close_self {
                    return Err(());
                }
            }
            Action::Refused(refusal) => {
                super::acl::count(&self.context, refusal.denial.reason);
                let client = self.info.line(self.context.clock.mono()).to_string();
                self.context.acl.note(refusal.denial, client);
                self.reply(&refusal.reply.into());
            }
            Action::Acl(operation) => {
                let frame = super::acl::run(&self.context, self.session.id, operation).await;
                self.reply(&frame);
                if !self.session.refresh(&self.context.acl) || !self.session.may_listen() {
                    return Err(());
                }
            }
            Action::Close => return Err(()),
            Action::Shutdown => {
                self.context.stop.cancel();
                return Ok(Some(End::Closed));
            }
            Action::Upgrade {
                version,
                cluster_id,
                auth,
            } => {
                self.flush(close).await?;
                return Ok(Some(End::Upgrade {
                    version,
                    cluster_id,
                    auth,
                }));
            }
        }
        Ok(None)
    }

    /// Shows to others what has changed.
    fn publish_labels(&mut self) {
        if std::mem::take(&mut self.session.labels_changed) {
            self.info.labels.store(Arc::new(self.session.labels.clone()));
            let resp3 = self.session.protocol == Protocol::Resp3;
            self.info.resp3.store(resp3, Ordering::Relaxed);
        }
    }

    fn start_output(&mut self) {
        if self.output.capacity() == 0 {
            self.output = pool::take();
        }
    }

    /// A reply, unless CLIENT REPLY says no.
    fn reply(&mut self, frame: &Frame) {
        match self.session.reply_mode {
            ReplyMode::On => self.write(frame),
            ReplyMode::Off => {}
            ReplyMode::Skip => self.session.reply_mode = ReplyMode::On,
        }
    }

    /// CLIENT REPLY SKIP was about a request whose confirmations are sent in any case.
    fn end_skip(&mut self) {
        if self.session.reply_mode == ReplyMode::Skip {
            self.session.reply_mode = ReplyMode::On;
        }
    }

    fn write(&mut self, frame: &Frame) {
        if matches!(frame, Frame::Error(_)) {
            self.context.counters.errors.fetch_add(1, Ordering::Relaxed);
        }
        encode(frame, self.session.protocol, &mut self.output);
    }

    fn subscribe(&mut self, kind: Pattern, names: Vec<Bytes>) {
        if self.deliveries.is_none() {
            let (backlog, close) = (Arc::clone(&self.info.backlog), self.info.close.clone());
            let queue = self.context.hub.attach(self.info.id, backlog, close);
            self.deliveries = Some(queue);
        }
        for name in names {
            // Its own copy: the word may share a large input buffer.
            let name = Bytes::copy_from_slice(&name);
            let change = match kind {
                Pattern::Channel => {
                    self.session.channels.insert(name.clone());
                    Subscription::Channel(name.clone())
                }
                Pattern::Pattern => {
                    self.session.patterns.insert(name.clone());
                    Subscription::Pattern(name.clone())
                }
            };
            self.context.hub.change(self.info.id, change.clone());
            let word = match kind {
                Pattern::Channel => pubsub::Change::Subscribe,
                Pattern::Pattern => pubsub::Change::Psubscribe,
            };
            self.write(&pubsub::confirmation(
                word,
                Some(name),
                self.session.subscriptions(),
            ));
            if self.context.settings.replay_switch {
                self.replay(&change);
            }
        }
        self.count_subscriptions();
    }

    /// Tells a new subscription what it has missed.
    fn replay(&mut self, subscription: &Subscription) {
        let (state, now) = (self.context.view.state.load(), self.context.clock.wall());
        let pattern = match subscription {
            Subscription::Pattern(pattern) => Some(pattern),
            _ => None,
        };
        for event in replayed(subscription, &state, now) {
            event.encode(pattern, self.session.protocol, &mut self.output);
        }
    }

    fn unsubscribe(&mut self, kind: Pattern, names: Vec<Bytes>) {
        let word = match kind {
            Pattern::Channel => pubsub::Change::Unsubscribe,
            Pattern::Pattern => pubsub::Change::Punsubscribe,
        };
        let all = match kind {
            Pattern::Channel => &self.session.channels,
            Pattern::Pattern => &self.session.patterns,
        };
        let names = if names.is_empty() {
            all.iter().cloned().collect()
        } else {
            names
        };
        if names.is_empty() {
            let count = self.session.subscriptions();
            self.write(&pubsub::confirmation(word, None, count));
        }
        for name in names {
            let change = match kind {
                Pattern::Channel => {
                    self.session.channels.remove(&name);
                    Subscription::NoChannel(name.clone())
                }
                Pattern::Pattern => {
                    self.session.patterns.remove(&name);
                    Subscription::NoPattern(name.clone())
                }
            };
            self.context.hub.change(self.info.id, change);
            self.write(&pubsub::confirmation(
                word,
                Some(name),
                self.session.subscriptions(),
            ));
        }
        self.count_subscriptions();
    }

    fn count_subscriptions(&mut self) {
        let (channels, patterns) = (self.session.channels.len(), self.session.patterns.len());
        self.info.channels.store(channels, Ordering::Relaxed);
        self.info.patterns.store(patterns, Ordering::Relaxed);
        if self.session.subscriptions() > 0 {
            return;
        }
        if let Some(mut queue) = self.deliveries.take() {
            self.context.hub.detach(self.info.id);
            // What is still in it is not sent any more.
            queue.close();
            while let Ok(delivery) = queue.try_recv() {
                self.info.backlog.take(delivery.bytes());
            }
        }
    }

    /// Writes the message at hand and those that wait behind it, up to one flush.
    fn deliver(&mut self, delivery: Option<Delivery>) {
        self.start_output();
        let mut next = delivery;
        while let Some(delivery) = next {
            self.info.backlog.take(delivery.bytes());
            let Delivery { event, pattern } = delivery;
            event.encode(pattern.as_ref(), self.session.protocol, &mut self.output);
            if self.output.len() >= FLUSH_BYTES {
                break;
            }
            next = self.deliveries.as_mut().and_then(|queue| queue.try_recv().ok());
        }
    }

    /// Sends the output. `Err` = the connection is gone, or is to be closed.
    async fn flush(&mut self, close: &CancellationToken) -> Result<(), ()> {
        if self.output.is_empty() {
            return Ok(());
        }
        let bytes = u64::try_from(self.output.len()).unwrap_or(0);
        self.check_backlog()?;
        let check = (self.output_limit().soft != 0).then_some(SOFT_LIMIT_CHECK);
        while !self.output.is_empty() {
            let patience = self.patience();
            let (stream, output) = (&mut self.stream, &self.output);
            let count = tokio::select! {
                biased;
                written = write(stream, output) => written.map_err(|_| ())?,
                () = close.cancelled() => return Err(()),
                () = idle(patience) => return Err(()),
                () = idle(check) => 0,
            };
            self.output.advance(count);
            if count == 0 {
                self.check_backlog()?;
            }
        }
        if self.stream.needs_flush() {
            let patience = self.patience();
            tokio::select! {
                biased;
                flushed = self.stream.flush() => flushed.map_err(|_| ())?,
                () = close.cancelled() => return Err(()),
                () = idle(patience) => return Err(()),
            }
        }
        self.context
            .counters
            .output_bytes
            .fetch_add(bytes, Ordering::Relaxed);
        self.context.counters.writes.fetch_add(1, Ordering::Relaxed);
        self.output.clear();
        self.info.backlog.set_reply_bytes(0);
        Ok(())
    }

    fn output_limit(&self) -> &OutputLimit {
        let limits = &self.context.settings.limits;
        if self.deliveries.is_some() {
            &limits.pubsub
        } else {
            &limits.normal
        }
    }

    /// `Err` = more output waits than the client's class may have.
    fn check_backlog(&self) -> Result<(), ()> {
        self.info.backlog.set_reply_bytes(self.output.len());
        let limit = self.output_limit();
        if limit.hard == 0 && limit.soft == 0 {
            return Ok(());
        }
        if self.info.backlog.judge(limit, self.context.clock.mono()) {
            let counter = &self.context.counters.output_limit;
            counter.fetch_add(1, Ordering::Relaxed);
            return Err(());
        }
        Ok(())
    }
}

/// What a client may send. Sizes are the file's, counts are ours: the longest honest request has some dozen words.
fn limits(limits: &BufferLimits) -> Limits {
    let bytes = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
    Limits {
        max_args: 4096,
        max_bulk_bytes: bytes(limits.bulk),
        max_inline_bytes: 64 * 1024,
        max_depth: 8,
        max_total: bytes(limits.query),
    }
}

/// Waits for input and appends it; 0 = the client is gone. Nothing is allocated while nothing is there. Unlike
/// waiting for readiness first this lets tokio see that the socket is drained, which saves a system call a batch.
async fn read(stream: &mut Stream, input: &mut BytesMut) -> std::io::Result<usize> {
    poll_fn(|cx| {
        pool::with_scratch(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer))?;
            if input.capacity() == 0 {
                *input = pool::take();
            }
            input.extend_from_slice(buffer.filled());
            Poll::Ready(Ok(buffer.filled().len()))
        })
    })
    .await
}

/// Writes what the connection takes at once, at least one byte.
async fn write(stream: &mut Stream, output: &[u8]) -> std::io::Result<usize> {
    let count = poll_fn(|cx| Pin::new(&mut *stream).poll_write(cx, output)).await?;
    if count == 0 {
        return Err(std::io::ErrorKind::WriteZero.into());
    }
    Ok(count)
}

/// The next message of a subscriber; never for others.
async fn next(deliveries: &mut Option<mpsc::UnboundedReceiver<Delivery>>) -> Option<Delivery> {
    match deliveries {
        // `None` comes when the hub cut this subscriber off; `close` ends the connection then.
        Some(queue) => match queue.recv().await {
            Some(delivery) => Some(delivery),
            None => pending().await,
        },
        None => pending().await,
    }
}

/// Ends after so long; never without a limit.
async fn idle(patience: Option<Duration>) {
    match patience {
        Some(patience) => tokio::time::sleep(patience).await,
        None => pending().await,
    }
}
