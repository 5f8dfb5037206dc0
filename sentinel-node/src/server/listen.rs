//! Listeners and the accept loop.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arc_swap::ArcSwap;
use sentinel_proto::literal::literal_ip;
use sentinel_proto::reply::ErrorReply;
use sentinel_proto::resp::{Frame, Protocol};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Handle;
use tokio_rustls::rustls::ServerConfig;

use crate::config::BindAddress;
use crate::net::stream::{Endpoint, Stream};

use super::connection;
use super::context::Context;
use super::sockets::{self, Incoming, Listener, TlsRules};

/// Pause after `accept` failed (no descriptors left): long enough not to spin, short enough to recover.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Open listeners.
#[derive(Debug)]
pub struct Bound {
    runtime: Handle,
    listeners: Vec<Listener>,
    /// Addresses of those of TCP.
    pub addresses: Vec<SocketAddr>,
}

/// Connections taken beyond `maxclients` from addresses of sentinels: clients that use up the limit must not cut this
/// node off from its group.
const RESERVED_PEERS: u32 = 64;

impl Bound {
    /// None yet. Connections will be served by this runtime.
    #[must_use]
    pub fn on(runtime: &Handle) -> Self {
        Self {
            runtime: runtime.clone(),
            listeners: Vec::new(),
            addresses: Vec::new(),
        }
    }

    /// Opens the listeners of `bind` and a port, in TLS where `tls` is given.
    ///
    /// # Errors
    /// Text for the log, when an address without a leading `-` cannot be bound.
    pub fn tcp(
        &mut self,
        addresses: &[BindAddress],
        port: u16,
        backlog: u32,
        tls: Option<&Arc<ArcSwap<ServerConfig>>>,
    ) -> Result<(), String> {
        let _on = self.runtime.enter();
        for (listener, local) in open(addresses, port, backlog)? {
            self.addresses.push(local);
            self.listeners.push(match tls {
                Some(rules) => Listener::Tls(listener, TlsRules(Arc::clone(rules))),
                None => Listener::Tcp(listener),
            });
        }
        Ok(())
    }

    /// Opens `unixsocket` with the permissions of `unixsocketperm`.
    ///
    /// # Errors
    /// Text for the log.
    pub fn unix(&mut self, path: &Path, mode: Option<u32>, backlog: u32) -> Result<(), String> {
        let _on = self.runtime.enter();
        self.listeners.push(sockets::listen_unix(path, mode, backlog)?);
        Ok(())
    }

    /// Nothing is listened on.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.listeners.is_empty()
    }
}

fn open(
    addresses: &[BindAddress],
    port: u16,
    backlog: u32,
) -> Result<Vec<(TcpListener, SocketAddr)>, String> {
    let mut bound = Vec::new();
    for address in addresses {
        let opened = parse(&address.host).and_then(|ip| listen(SocketAddr::new(ip, port), backlog));
        match opened {
            Ok(listener) => bound.push(listener),
            Err(_) if address.optional => {}
            Err(reason) => {
                return Err(format!(
                    "Could not create server TCP listening socket {}:{port}: {reason}",
                    address.host
                ));
            }
        }
    }
    if bound.is_empty() && !addresses.is_empty() {
        return Err(format!("Could not listen on any address, port {port}"));
    }
    Ok(bound)
}

/// A name stands for its first IPv4 address, as in Redis.
fn parse(host: &str) -> Result<IpAddr, String> {
    match host {
        "*" => Ok(Ipv4Addr::UNSPECIFIED.into()),
        "::*" => Ok(Ipv6Addr::UNSPECIFIED.into()),
        host => {
            let found = literal_ip(host).or_else(|| {
                let mut all = (host, 0).to_socket_addrs().ok()?.map(|address| address.ip());
                all.find(IpAddr::is_ipv4)
            });
            found.ok_or_else(|| "Name or service not known".to_owned())
        }
    }
}

fn listen(address: SocketAddr, backlog: u32) -> Result<(TcpListener, SocketAddr), String> {
    let open = || -> std::io::Result<(TcpListener, SocketAddr)> {
        let socket = if address.is_ipv6() {
            let socket = TcpSocket::new_v6()?;
            // `::*` must not take the IPv4 addresses that `*` listens on.
            rustix::net::sockopt::set_ipv6_v6only(&socket, true)?;
            socket
        } else {
            TcpSocket::new_v4()?
        };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(backlog)?;
        let local = listener.local_addr()?;
        Ok((listener, local))
    };
    open().map_err(|error| crate::config::os_text(&error))
}

/// Accepts connections until the context is stopped. One task per listener; returns at once.
pub fn serve(context: &Arc<Context>, bound: Bound) {
    tokio::spawn(super::rates::sample(Arc::clone(context)));
    for listener in bound.listeners {
        let context = Arc::clone(context);
        bound.runtime.spawn(async move {
            let stop = context.stop.clone();
            tokio::select! {
                () = stop.cancelled() => {}
                () = accept_loop(&context, &listener) => {}
            }
        });
    }
}

async fn accept_loop(context: &Arc<Context>, listener: &Listener) {
    let mut failing = false;
    loop {
        match listener.accept().await {
            Ok(incoming) => {
                failing = false;
                accept(context, incoming);
            }
            Err(error) => {
                if !failing {
                    tracing::warn!("Accepting client connection: {}", crate::config::os_text(&error));
                }
                failing = true;
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn accept(context: &Arc<Context>, incoming: Incoming) {
    let addr = incoming.endpoint();
    let counters = &context.counters;
    let connected = counters.connected.load(Ordering::Relaxed);
    let maxclients = context.settings.maxclients;
    let full = connected >= maxclients;
    let reserve_left = connected < maxclients.saturating_add(RESERVED_PEERS);
    let may_be_sentinel = || addr.ip().is_some_and(|ip| context.may_be_sentinel(ip));
    if full && !(reserve_left && may_be_sentinel()) {
        counters.rejected.fetch_add(1, Ordering::Relaxed);
        incoming.refuse(&text(ErrorReply::max_clients()));
        return;
    }
    let settings = &context.settings;
    let open = context.acl.users().default_user().takes_any_password();
    let denied = settings.protected_mode && open && !addr.is_local();
    if denied && !matches!(incoming, Incoming::Tls(..)) {
        counters.rejected.fetch_add(1, Ordering::Relaxed);
        incoming.refuse(&text(ErrorReply::protected_mode()));
        return;
    }
    counters.accepted.fetch_add(1, Ordering::Relaxed);
    // Counted here and not in the task, so that a burst cannot exceed the limit.
    counters.connected.fetch_add(1, Ordering::Relaxed);
    let (context, keepalive_s) = (Arc::clone(context), settings.tcp_keepalive_s);
    match incoming {
        Incoming::Tcp(stream, _) => {
            configure(&stream, keepalive_s);
            tokio::spawn(connection::serve(context, stream.into(), addr, full));
        }
        Incoming::Unix(stream, path) => {
            let stream = Stream::Unix(stream, path);
            tokio::spawn(connection::serve(context, stream, addr, full));
        }
        Incoming::Tls(stream, _, rules) => {
            configure(&stream, keepalive_s);
            tokio::spawn(serve_tls(context, stream, rules, addr, full, denied));
        }
    }
}

/// The handshake has its own task: a client that is slow with it keeps nobody waiting.
async fn serve_tls(
    context: Arc<Context>,
    stream: TcpStream,
    rules: TlsRules,
    addr: Endpoint,
    full: bool,
    denied: bool,
) {
    // In a box of its own: it is large, and needed only at the start.
    let handshake = Box::pin(sockets::handshake(stream, &rules));
    let secured = tokio::select! {
        secured = handshake => secured,
        () = context.stop.cancelled() => Err("shutting down".to_owned()),
    };
    match secured {
        Ok(stream) if !denied => return connection::serve(context, stream, addr, full).await,
        Ok(stream) => {
            context.counters.rejected.fetch_add(1, Ordering::Relaxed);
            sockets::refuse(stream, &text(ErrorReply::protected_mode())).await;
        }
        Err(reason) => tracing::debug!("Error accepting a client connection: {reason} (addr={addr})"),
    }
    context.counters.connected.fetch_sub(1, Ordering::Relaxed);
}

fn text(reply: ErrorReply) -> Vec<u8> {
    Frame::from(reply).to_bytes(Protocol::Resp2).to_vec()
}

fn configure(stream: &TcpStream, keepalive_s: u32) {
    use rustix::net::sockopt;
    // A connection that refuses these options still works.
    let _ = stream.set_nodelay(true);
    if keepalive_s > 0 {
        let interval = Duration::from_secs(u64::from((keepalive_s / 3).max(1)));
        let _ = sockopt::set_socket_keepalive(stream, true);
        let _ = sockopt::set_tcp_keepidle(stream, Duration::from_secs(u64::from(keepalive_s)));
        let _ = sockopt::set_tcp_keepintvl(stream, interval);
        let _ = sockopt::set_tcp_keepcnt(stream, 3);
    }
}
