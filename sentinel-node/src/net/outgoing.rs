//! How connections leave this node, to Redis servers and to other sentinels: from which address, and in TLS or not.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use arc_swap::ArcSwap;
use futures::FutureExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use super::race::race;
use super::stream::Stream;
use crate::names::Resolver;

/// Source address and TLS of all outgoing connections. Cheap to clone.
#[derive(Clone, Default)]
pub struct Outgoing {
    source: Option<IpAddr>,
    tls: Option<Arc<ArcSwap<ClientConfig>>>,
    names: Resolver,
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing")
            .field("source", &self.source)
            .field("tls", &self.tls.is_some())
            .finish()
    }
}

impl PartialEq for Outgoing {
    /// Certificates loaded again are no difference: they count from the next connection on.
    fn eq(&self, other: &Self) -> bool {
        let tls = match (&self.tls, &other.tls) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        tls && self.source == other.source
    }
}

impl Eq for Outgoing {}

impl Outgoing {
    /// `source`: `bind-source-addr`; `tls`: what `tls-replication yes` needs, `None` = plain TCP.
    #[must_use]
    pub fn new(source: Option<IpAddr>, tls: Option<Arc<ArcSwap<ClientConfig>>>) -> Self {
        Self {
            source,
            tls,
            names: Resolver::default(),
        }
    }

    /// The same with the names of this process; without, only IPs can be connected to.
    #[must_use]
    pub fn with_names(self, names: Resolver) -> Self {
        Self { names, ..self }
    }

    /// The names of this process.
    #[must_use]
    pub fn names(&self) -> &Resolver {
        &self.names
    }

    /// Connects to an address, or to the first IP of a name that answers. What the name resolved to last is tried at once,
    /// while it is looked up again.
    ///
    /// # Errors
    /// Of the last attempt.
    pub async fn tcp(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        if let Ok(ip) = host.parse() {
            return self.tcp_to(SocketAddr::new(ip, port)).await;
        }
        let known = self.names.ips(host);
        let refreshed = self.names.refreshed(host);
        let connect = |ip| self.tcp_to(SocketAddr::new(ip, port)).boxed();
        let (ip, stream) = race(known, refreshed, connect).await?;
        self.names.connected(host, ip);
        Ok(stream)
    }

    /// Connects to an address.
    ///
    /// # Errors
    /// As `connect(2)`; also when the source address cannot be used, or is of the other family.
    pub async fn tcp_to(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let Some(source) = self.source else {
            return TcpStream::connect(address).await;
        };
        let socket = if address.is_ipv6() {
            TcpSocket::new_v6()?
        } else {
            TcpSocket::new_v4()?
        };
        // Only the address is chosen, not a port: many connections may leave from it.
        let named = |error: io::Error| {
            io::Error::new(
                error.kind(),
                format!("cannot use bind-source-addr {source}: {error}"),
            )
        };
        socket.bind(SocketAddr::new(source, 0)).map_err(named)?;
        socket.connect(address).await
    }

    /// Begins TLS where it is configured. The certificate's chain is verified, its names are not (as in Redis), so the
    /// address is only a label here and no name is sent.
    ///
    /// # Errors
    /// When the handshake fails.
    pub async fn secure(&self, stream: TcpStream) -> io::Result<Stream> {
        let Some(tls) = &self.tls else {
            return Ok(Stream::Tcp(stream));
        };
        let label = ServerName::from(stream.peer_addr()?.ip());
        let stream = TlsConnector::from(tls.load_full())
            .connect(label, stream)
            .await
            .map_err(|error| explain(&error))?;
        Ok(Stream::Tls(Box::new(stream.into())))
    }
}

/// Says that it was TLS that failed, and what an answer in plain text means.
fn explain(error: &io::Error) -> io::Error {
    let text = error.to_string();
    let hint = if text.contains("InvalidContentType") {
        " (it answers in plain text: is that its tls-port?)"
    } else {
        ""
    };
    io::Error::new(error.kind(), format!("TLS handshake failed: {text}{hint}"))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn connections_leave_from_the_source_address() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let outgoing = Outgoing::new(Some(IpAddr::from([127, 0, 0, 7])), None);
        let stream = outgoing.tcp("127.0.0.1", port).await.unwrap();
        let (_, from) = listener.accept().await.unwrap();
        assert_eq!(from.ip(), IpAddr::from([127, 0, 0, 7]));
        assert!(matches!(outgoing.secure(stream).await.unwrap(), Stream::Tcp(_)));
        let foreign = Outgoing::new(Some(IpAddr::from([192, 0, 2, 1])), None);
        let error = foreign.tcp("127.0.0.1", port).await.unwrap_err();
        assert!(
            error.to_string().contains("bind-source-addr 192.0.2.1"),
            "{error}"
        );
    }
}
