//! A connection of any kind: plain TCP, TLS over TCP, or a Unix socket. Everything above it is the same for all.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsStream;

/// A connection, established and past the TLS handshake.
#[derive(Debug)]
pub enum Stream {
    /// Plain TCP.
    Tcp(TcpStream),
    /// TLS over TCP; boxed because its state is large and most connections are plain.
    Tls(Box<TlsStream<TcpStream>>),
    /// A Unix socket, accepted on this path.
    Unix(UnixStream, Arc<str>),
}

impl Stream {
    fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Tcp(stream) => Some(stream),
            Self::Tls(stream) => Some(stream.get_ref().0),
            Self::Unix(..) => None,
        }
    }

    /// Written bytes may wait inside until a flush; elsewhere a flush does nothing.
    #[must_use]
    pub fn needs_flush(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Lets the current runtime watch it from now on. Beneath TLS it cannot be taken out: there its old runtime goes on
    /// watching it, and must live as long.
    ///
    /// # Errors
    /// When there are no descriptors left; the connection is gone.
    pub fn adopt(self) -> io::Result<Self> {
        match self {
            Self::Tcp(stream) => Ok(Self::Tcp(TcpStream::from_std(stream.into_std()?)?)),
            other => Ok(other),
        }
    }

    /// Address of this end; `None` = a Unix socket, or the connection is gone.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.tcp().and_then(|stream| stream.local_addr().ok())
    }

    /// Address of the other end; `None` = a Unix socket, or the connection is gone.
    #[must_use]
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.tcp().and_then(|stream| stream.peer_addr().ok())
    }

    /// This end as CLIENT LIST shows it; `None` = the connection is gone.
    #[must_use]
    pub fn local_end(&self) -> Option<Endpoint> {
        match self {
            Self::Unix(_, path) => Some(Endpoint::Unix(Arc::clone(path))),
            other => other.local_addr().map(Endpoint::Ip),
        }
    }

    /// Its file descriptor.
    #[must_use]
    pub fn descriptor(&self) -> Option<i32> {
        match self {
            Self::Unix(stream, _) => Some(stream.as_raw_fd()),
            other => other.tcp().map(AsRawFd::as_raw_fd),
        }
    }

    /// Sends small writes at once. Best effort: the connection works without, too.
    pub fn set_nodelay(&self) {
        if let Some(stream) = self.tcp() {
            let _ = stream.set_nodelay(true);
        }
    }
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self::Tcp(stream)
    }
}

impl AsyncRead for Stream {
    #[inline]
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream, _) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    #[inline]
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream, _) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream, _) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream, _) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// One end of a client connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// TCP, with or without TLS.
    Ip(SocketAddr),
    /// The path of the Unix socket: both ends have it, as in Redis.
    Unix(Arc<str>),
}

impl Endpoint {
    /// The IP address; `None` = a Unix socket.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(address) => Some(address.ip().to_canonical()),
            Self::Unix(_) => None,
        }
    }

    /// On this machine.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.ip().is_none_or(|ip| ip.is_loopback())
    }
}

impl fmt::Display for Endpoint {
    /// `ip:port`, or `path:0`, as CLIENT LIST shows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "{path}:0"),
        }
    }
}
