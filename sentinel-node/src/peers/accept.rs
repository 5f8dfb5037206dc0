//! Incoming connections: what the client port hands over after `SENTINEL PEER`.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use sentinel_proto::peer::PEER_VERSION;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use super::dial::cluster_text;
use super::link::{self, Ended, Via};
use super::roster::Note;
use super::service::{Peers, Shared};
use super::settings::Live;
use crate::net::stream::Stream;
use crate::server::Parameters;

/// Takes over a client connection that asked to become a peer connection. Called on the runtime of the clients.
pub trait PeerAcceptor: Send + Sync + 'static {
    /// `unread`: bytes that came after the request; `version`, `cluster_id` and `auth`: its arguments.
    fn accept(&self, stream: Stream, unread: BytesMut, version: u32, cluster_id: String, auth: Vec<Bytes>);

    /// SENTINEL CONFIG SET changed what peers are told, or how they prove themselves. Connections that exist stay.
    fn reconfigure(&self, _parameters: &Parameters) {}
}

impl PeerAcceptor for Peers {
    fn accept(&self, stream: Stream, unread: BytesMut, version: u32, cluster_id: String, auth: Vec<Bytes>) {
        let shared = Arc::clone(&self.shared);
        // Many clients must not hold up what sentinels tell each other.
        self.shared.runtime.spawn(async move {
            if let Ok(stream) = stream.adopt() {
                serve(shared, stream, unread, version, cluster_id, auth).await;
            }
        });
    }

    fn reconfigure(&self, parameters: &Parameters) {
        let settings = &self.shared.settings;
        let (user, pass) = (parameters.sentinel_user.clone(), parameters.sentinel_pass.clone());
        self.shared.live.store(Arc::new(Live {
            announce_host: parameters.announce_ip.clone(),
            announce_port: parameters.announce_port.unwrap_or(settings.port),
            secret: settings.secret.with_sentinel(user, pass),
        }));
        self.state_changed();
    }
}

async fn serve(
    shared: Arc<Shared>,
    mut stream: Stream,
    unread: BytesMut,
    version: u32,
    cluster_id: String,
    auth: Vec<Bytes>,
) {
    // A Unix socket has no address by which a peer could be known.
    let Some(remote) = stream.peer_addr() else { return };
    let permit = Arc::clone(&shared.incoming).try_acquire_owned();
    let refusal = match (&permit, refuse(&shared, remote, version, &cluster_id, &auth)) {
        (Err(_), _) => Some(Refusal::same("ERR too many connections of sentinels")),
        (Ok(_), refusal) => refusal,
    };
    let reply = refusal
        .as_ref()
        .map_or_else(|| "+OK".to_owned(), |refusal| format!("-{}", refusal.reply));
    let patience = shared.settings.timing.connect_timeout;
    let sent = timeout(patience, send(&mut stream, &reply)).await;
    if let Some(refusal) = refusal {
        let reason = refusal.log;
        let _ = shared.notes.send(Note::TurnedAway { remote, reason }).await;
        return;
    }
    if !matches!(sent, Ok(Ok(()))) {
        return;
    }
    let ended = link::run(Arc::clone(&shared), stream, unread, Via::Accepted(remote)).await;
    if let Ended::Refused(reason) = ended {
        let _ = shared.notes.send(Note::TurnedAway { remote, reason }).await;
    }
}

async fn send(stream: &mut Stream, reply: &str) -> std::io::Result<()> {
    stream.write_all(format!("{reply}\r\n").as_bytes()).await?;
    stream.flush().await
}

/// Why somebody may not connect.
struct Refusal {
    /// Told to it, and logged there.
    reply: String,
    /// Logged here.
    log: String,
}

impl Refusal {
    fn same(text: impl Into<String>) -> Self {
        let text = text.into();
        Self {
            reply: text.clone(),
            log: text,
        }
    }
}

/// Why this connection is not wanted, `None` when it may go on.
fn refuse(
    shared: &Shared,
    remote: SocketAddr,
    version: u32,
    cluster_id: &str,
    auth: &[Bytes],
) -> Option<Refusal> {
    let secret = &shared.live.load().secret;
    let acl = shared.acl.get();
    let is_user = acl.is_some_and(|acl| acl.proves_peer(auth));
    // Where clients need a password, sentinels do.
    let is_open = secret.is_none() && acl.is_none_or(|acl| acl.users().default_user().is_open());
    let knows_secret = !secret.is_none() && secret.accepts(auth);
    if !(is_user || is_open || knows_secret) {
        return Some(Refusal::same(if auth.is_empty() {
            "NOAUTH Authentication required."
        } else {
            "WRONGPASS invalid username-password pair or user is disabled."
        }));
    }
    let ip = remote.ip().to_canonical();
    if is_open && !is_user && !shared.allowed.load().contains(&ip) {
        return Some(Refusal::same(format!(
            "DENIED {ip} is neither a member nor named by a 'sentinel peer' line here, and no password is set: \
             add the line, or set requirepass on all sentinels"
        )));
    }
    if version != PEER_VERSION {
        return Some(Refusal::same(format!(
            "ERR sentinels of this build speak version {PEER_VERSION} with each other, not {version}: run the same build everywhere"
        )));
    }
    // Without a log our group is only an agreement: the hello decides.
    let ours = Some(shared.identity.load())
        .filter(|i| i.initialised)
        .and_then(|i| i.cluster_id);
    match (ours, parse_cluster(cluster_id)) {
        (_, Err(())) => Some(Refusal::same(
            "ERR the cluster id is neither '-' nor 16 hexadecimal digits",
        )),
        (Some(ours), Ok(Some(theirs))) if ours != theirs => Some(Refusal {
            reply: format!(
                "ERR this sentinel belongs to another group ({ours:016x}, yours is {theirs:016x}): remove its address from \
                 your 'sentinel peer' lines, or, to let your sentinel join this group, stop it and remove its data directory"
            ),
            log: format!("it belongs to another group ({theirs:016x}, this one is {ours:016x})"),
        }),
        _ => None,
    }
}

fn parse_cluster(text: &str) -> Result<Option<u64>, ()> {
    if text == cluster_text(None) {
        return Ok(None);
    }
    u64::from_str_radix(text, 16).map(Some).map_err(|_| ())
}
