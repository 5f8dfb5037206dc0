//! What is listened on: plain TCP, TLS, a Unix socket; and what comes in there.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixSocket, UnixStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use crate::config::os_text;
use crate::net::stream::{Endpoint, Stream};

/// A client that takes longer for its handshake holds a place for nothing.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);
/// A last word to a client takes at most so long.
const GOODBYE_DEADLINE: Duration = Duration::from_millis(500);

/// One open listener.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    Tls(TcpListener, TlsRules),
    Unix(UnixListener, SocketFile),
}

/// Certificates and rules as loaded last.
#[derive(Clone)]
pub(super) struct TlsRules(pub(super) Arc<ArcSwap<ServerConfig>>);

impl std::fmt::Debug for TlsRules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsRules")
    }
}

/// A connection right after `accept`.
#[derive(Debug)]
pub(super) enum Incoming {
    Tcp(TcpStream, SocketAddr),
    Tls(TcpStream, SocketAddr, TlsRules),
    Unix(UnixStream, Arc<str>),
}

impl Listener {
    pub(super) async fn accept(&self) -> io::Result<Incoming> {
        match self {
            Self::Tcp(listener) => {
                let (stream, addr) = listener.accept().await?;
                Ok(Incoming::Tcp(stream, addr))
            }
            Self::Tls(listener, rules) => {
                let (stream, addr) = listener.accept().await?;
                Ok(Incoming::Tls(stream, addr, rules.clone()))
            }
            Self::Unix(listener, file) => {
                let (stream, _) = listener.accept().await?;
                Ok(Incoming::Unix(stream, Arc::clone(&file.shown)))
            }
        }
    }
}

impl Incoming {
    /// Who is there.
    pub(super) fn endpoint(&self) -> Endpoint {
        match self {
            Self::Tcp(_, addr) | Self::Tls(_, addr, _) => Endpoint::Ip(*addr),
            Self::Unix(_, path) => Endpoint::Unix(Arc::clone(path)),
        }
    }

    /// Writes this and closes. Best effort, and nothing before a handshake: plain text would mean nothing there.
    pub(super) fn refuse(self, reply: &[u8]) {
        let _ = match self {
            Self::Tcp(stream, _) => stream.try_write(reply),
            Self::Unix(stream, _) => stream.try_write(reply),
            Self::Tls(..) => Ok(0),
        };
    }
}

/// The handshake; an error is for the log.
pub(super) async fn handshake(stream: TcpStream, rules: &TlsRules) -> Result<Stream, String> {
    let accept = TlsAcceptor::from(rules.0.load_full()).accept(stream);
    match tokio::time::timeout(HANDSHAKE_DEADLINE, accept).await {
        Ok(Ok(stream)) => Ok(Stream::Tls(Box::new(stream.into()))),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!(
            "no TLS handshake within {} s",
            HANDSHAKE_DEADLINE.as_secs()
        )),
    }
}

/// Ends TLS in the way that tells the client that nothing is missing; nothing to do elsewhere.
pub(super) async fn say_goodbye(stream: &mut Stream) {
    if stream.needs_flush() {
        let _ = tokio::time::timeout(GOODBYE_DEADLINE, stream.shutdown()).await;
    }
}

/// Writes a last reply and closes.
pub(super) async fn refuse(mut stream: Stream, reply: &[u8]) {
    let last = async {
        stream.write_all(reply).await?;
        stream.flush().await?;
        stream.shutdown().await
    };
    let _ = tokio::time::timeout(GOODBYE_DEADLINE, last).await;
}

/// The file of a Unix socket; removed when dropped.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    shown: Arc<str>,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // It may have been removed by hand.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Opens `unixsocket`. What a process that is gone has left there is removed, as in Redis; one that still answers is not.
pub(super) fn listen_unix(path: &Path, mode: Option<u32>, backlog: u32) -> Result<Listener, String> {
    let failed = |error: &io::Error| {
        format!(
            "Failed opening Unix socket {}: bind: {}",
            path.display(),
            os_text(error)
        )
    };
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(failed(&io::ErrorKind::AddrInUse.into()));
    }
    let _ = std::fs::remove_file(path);
    let open = || -> io::Result<UnixListener> {
        let socket = UnixSocket::new_stream()?;
        socket.bind(path)?;
        let listener = socket.listen(backlog)?;
        if let Some(mode) = mode {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
        }
        Ok(listener)
    };
    let listener = open().map_err(|error| failed(&error))?;
    let file = SocketFile {
        path: path.to_path_buf(),
        shown: Arc::from(path.display().to_string()),
    };
    Ok(Listener::Unix(listener, file))
}
