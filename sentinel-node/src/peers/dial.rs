//! Keeps one connection to an address: connect, `SENTINEL PEER`, run, again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use sentinel_proto::peer::PEER_VERSION;
use sentinel_proto::{HostPort, NodeId};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::link::{self, Ended, Via};
use super::roster::Note;
use super::service::Shared;
use crate::net::stream::Stream;

/// Longest reply to `SENTINEL PEER`.
const MAX_REPLY_LINE: usize = 1024;

/// How a TLS server answers plain text: an alert, version 3.
const TLS_ALERT: &[u8] = &[0x15, 3];

/// Between two looks whether a duplicate connection became the only one.
const DUPLICATE_WAIT: Duration = Duration::from_millis(500);

/// Handle of a dialing task.
#[derive(Debug)]
pub(super) struct Dialer {
    stopped: Arc<AtomicBool>,
    kick: Arc<Notify>,
}

impl Dialer {
    /// Starts dialing.
    pub(super) fn start(shared: Arc<Shared>, address: HostPort) -> Self {
        let kick = Arc::new(Notify::new());
        let stopped = Arc::new(AtomicBool::new(false));
        tokio::spawn(dial_loop(
            shared,
            address,
            Arc::clone(&kick),
            Arc::clone(&stopped),
        ));
        Self { stopped, kick }
    }

    /// Ends the present wait between two attempts.
    pub(super) fn kick(&self) {
        self.kick.notify_one();
    }

    /// Ends the task when its present attempt or connection ends; the roster closes the connection.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.kick.notify_one();
    }
}

async fn dial_loop(shared: Arc<Shared>, address: HostPort, kick: Arc<Notify>, stopped: Arc<AtomicBool>) {
    let timing = shared.settings.timing;
    let mut wait = timing.retry_first;
    while !stopped.load(Ordering::Relaxed) {
        let ended = match connect(&shared, &address).await {
            Ok((stream, unread)) => {
                link::run(Arc::clone(&shared), stream, unread, Via::Dialed(address.clone())).await
            }
            Err(ended) => ended,
        };
        let note = match ended {
            Ended::Myself => {
                let _ = shared.notes.send(Note::Myself(address)).await;
                return;
            }
            Ended::Duplicate(node) => {
                wait_while_duplicate(&shared, node, &stopped).await;
                continue;
            }
            Ended::Lost(_) => {
                wait = timing.retry_first;
                None
            }
            Ended::Refused(reason) => Some((reason, true)),
            Ended::Failed(reason) => Some((reason, false)),
        };
        if let Some((reason, refused)) = note {
            let note = Note::DialFailed {
                address: address.clone(),
                reason,
                refused,
            };
            if shared.notes.send(note).await.is_err() {
                return;
            }
        }
        match timeout(wait, kick.notified()).await {
            Ok(()) => wait = timing.retry_first,
            Err(_) => wait = wait.saturating_mul(2).min(timing.retry_max),
        }
    }
}

async fn wait_while_duplicate(shared: &Shared, node: NodeId, stopped: &AtomicBool) {
    while !stopped.load(Ordering::Relaxed) {
        tokio::time::sleep(DUPLICATE_WAIT).await;
        let routes = shared.routes.load();
        let dialed = routes
            .get(&node)
            .is_some_and(|l| l.iter().any(|l| l.is_open() && l.via.dialed().is_some()));
        if !dialed {
            return;
        }
    }
}

/// Connects and upgrades; returns the stream and what came after the reply.
async fn connect(shared: &Shared, address: &HostPort) -> Result<(Stream, BytesMut), Ended> {
    let patience = shared.settings.timing.connect_timeout;
    let failed = |e: std::io::Error| Ended::Failed(e.to_string());
    let late = |what: &str| Ended::Failed(format!("{what} took longer than {} ms", patience.as_millis()));
    let stream = timeout(
        patience,
        shared.settings.outgoing.tcp(&address.host, address.port),
    )
    .await
    .map_err(|_| late("connecting"))?
    .map_err(failed)?;
    let _ = stream.set_nodelay(true);
    let mut stream = timeout(patience, shared.settings.outgoing.secure(stream))
        .await
        .map_err(|_| late("the TLS handshake (is that its tls-port?)"))?
        .map_err(failed)?;
    let request = upgrade_request(shared);
    timeout(patience, async {
        stream.write_all(&request).await?;
        stream.flush().await
    })
    .await
    .map_err(|_| late("sending"))?
    .map_err(failed)?;
    let (line, unread) = timeout(patience, read_line(&mut stream))
        .await
        .map_err(|_| late("the reply"))??;
    match line.as_str() {
        "+OK" => Ok((stream, unread)),
        other => Err(Ended::Refused(format!(
            "the sentinel at {address} refuses the connection: {}",
            explain(other)
        ))),
    }
}

/// `SENTINEL PEER <version> <cluster-id or -> [<user>] [<pass>]` as a RESP array.
fn upgrade_request(shared: &Shared) -> Vec<u8> {
    let cluster = shared.identity.load().cluster_id;
    let mut words = vec![
        "SENTINEL".to_owned(),
        "PEER".to_owned(),
        PEER_VERSION.to_string(),
        cluster_text(cluster),
    ];
    words.extend(shared.live.load().secret.outgoing());
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// The cluster id as it is written in the request.
pub(super) fn cluster_text(cluster_id: Option<u64>) -> String {
    cluster_id.map_or_else(|| "-".to_owned(), |id| format!("{id:016x}"))
}

async fn read_line(stream: &mut Stream) -> Result<(String, BytesMut), Ended> {
    let mut buf = BytesMut::with_capacity(256);
    loop {
        if let Some(end) = buf.windows(2).position(|w| w == b"\r\n") {
            let line = buf.split_to(end);
            let _ = buf.split_to(2);
            return Ok((String::from_utf8_lossy(&line).into_owned(), buf));
        }
        if buf.len() > MAX_REPLY_LINE {
            return Err(Ended::Failed("not a sentinel: the reply is too long".to_owned()));
        }
        match stream.read_buf(&mut buf).await {
            Ok(0) if buf.starts_with(TLS_ALERT) => {
                return Err(Ended::Failed(
                    "it speaks TLS there: set 'tls-replication yes', or name its plain port in the 'sentinel peer' line"
                        .to_owned(),
                ));
            }
            Ok(0) => return Err(Ended::Failed("closed before the reply".to_owned())),
            Ok(_) => {}
            Err(e) => return Err(Ended::Failed(e.to_string())),
        }
    }
}

/// Adds what to do to replies that do not say it themselves.
fn explain(reply: &str) -> String {
    let reply = reply.trim_start_matches('-');
    let lower = reply.to_ascii_lowercase();
    if lower.contains("unknown") {
        format!("{reply} (it is a classic Sentinel, or another server: correct the 'sentinel peer' line)")
    } else if lower.starts_with("noauth") || lower.starts_with("wrongpass") {
        format!("{reply} (set the same requirepass, or sentinel-user and sentinel-pass, on all sentinels)")
    } else {
        reply.to_owned()
    }
}
