//! Listens on a master for the hello messages of classic sentinels: there should be none.
//!
//! One connection per master of the node that leads the group, none to replicas. It carries nothing but AUTH, its name,
//! SUBSCRIBE and a PING now and then, so a connection that died silently is noticed.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use sentinel_proto::hello::{HELLO_CHANNEL, Hello};
use sentinel_proto::resp::{Frame, FrameDecoder, Limits, Protocol};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::link::LinkSettings;
use super::stream::Stream;

const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// Without any message for this long the server is asked for one; without an answer for as long again the link is dead.
const QUIET: Duration = Duration::from_secs(5);
/// Pause between two attempts.
const RETRY: Duration = Duration::from_secs(2);
/// A hello has some two hundred bytes.
const LIMITS: Limits = Limits {
    max_args: 16,
    max_bulk_bytes: 64 * 1024,
    max_inline_bytes: 64 * 1024,
    max_depth: 2,
    max_total: 128 * 1024,
};

/// Where hellos go. Never blocks.
pub type Heard = Arc<dyn Fn(Hello) + Send + Sync>;

/// A running listener; ends when dropped.
#[derive(Debug)]
pub struct HelloLink {
    settings: LinkSettings,
    task: AbortHandle,
}

impl HelloLink {
    /// Listens at the address of `settings`, again and again.
    #[must_use]
    pub fn start(settings: LinkSettings, runtime: &Handle, heard: Heard, failed: Failed) -> Self {
        let (with, mut told) = (settings.clone(), false);
        let task = runtime.spawn(async move {
            loop {
                let error = listen(&with, &heard, &mut told).await;
                // Said once, until it works again.
                if !std::mem::replace(&mut told, true) {
                    failed(&error.to_string());
                }
                tokio::time::sleep(RETRY).await;
            }
        });
        Self {
            settings,
            task: task.abort_handle(),
        }
    }

    /// Whether it listens with these settings.
    #[must_use]
    pub fn uses(&self, settings: &LinkSettings) -> bool {
        self.settings == *settings
    }
}

impl Drop for HelloLink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Told why a connection could not be made or ended, once until the next success.
pub type Failed = Arc<dyn Fn(&str) + Send + Sync>;

/// Until the connection ends; the reason.
async fn listen(settings: &LinkSettings, heard: &Heard, failing: &mut bool) -> io::Error {
    let connected = tokio::time::timeout(CONNECT_LIMIT, subscribe(settings)).await;
    let mut stream = match connected {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return error,
        Err(_) => return io::ErrorKind::TimedOut.into(),
    };
    let (mut decoder, mut buffer, mut asked) =
        (FrameDecoder::new(LIMITS), BytesMut::with_capacity(1024), false);
    loop {
        match decoder.decode(&mut buffer) {
            Ok(Some(Frame::Error(text))) => {
                return io::Error::other(String::from_utf8_lossy(&text).into_owned());
            }
            Ok(Some(frame)) => {
                *failing = false;
                if let Some(hello) = message(&frame) {
                    heard(hello);
                }
                continue;
            }
            Ok(None) => {}
            Err(error) => return io::Error::other(error.to_string()),
        }
        match tokio::time::timeout(QUIET, stream.read_buf(&mut buffer)).await {
            Ok(Ok(0)) => return io::ErrorKind::UnexpectedEof.into(),
            Ok(Ok(_)) => asked = false,
            Ok(Err(error)) => return error,
            Err(_) if asked => return io::ErrorKind::TimedOut.into(),
            Err(_) => {
                asked = true;
                if let Err(error) = stream.write_all(&encoded(&[settings.name("PING")])).await {
                    return error;
                }
            }
        }
    }
}

async fn subscribe(settings: &LinkSettings) -> io::Result<Stream> {
    let LinkSettings {
        address, outgoing, ..
    } = settings;
    let stream = outgoing.tcp(&address.host, address.port).await?;
    let mut stream = outgoing.secure(stream).await?;
    let name = format!("sentinel-{}-pubsub", settings.short_id);
    if let Some(password) = &settings.password {
        let mut words = vec![settings.name("AUTH")];
        words.extend(settings.user.as_deref());
        words.push(password);
        stream.write_all(&encoded(&words)).await?;
        expect_reply(&mut stream).await?;
    }
    stream
        .write_all(&encoded(&[settings.name("CLIENT"), "SETNAME", &name]))
        .await?;
    // A user without the right to name connections may listen all the same.
    let _ = expect_reply(&mut stream).await?;
    stream
        .write_all(&encoded(&[settings.name("SUBSCRIBE"), HELLO_CHANNEL]))
        .await?;
    Ok(stream)
}

/// One line, byte by byte: what follows belongs to the next command.
async fn expect_reply(stream: &mut Stream) -> io::Result<String> {
    let mut line = Vec::new();
    while !line.ends_with(b"\n") && line.len() < LIMITS.max_inline_bytes {
        line.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

fn encoded(words: &[&str]) -> bytes::Bytes {
    Frame::command(words).to_bytes(Protocol::Resp2)
}

fn message(frame: &Frame) -> Option<Hello> {
    match frame.elements()? {
        [kind, channel, payload] if kind.as_str() == Some("message") => {
            let text = payload
                .as_str()
                .filter(|_| channel.as_str() == Some(HELLO_CHANNEL))?;
            text.parse().ok()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use sentinel_core::replicated::GroupOptions;
    use sentinel_proto::{HostPort, SentinelId};
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;

    use super::*;
    use crate::net::outgoing::Outgoing;

    /// Answers as a server does, with two messages of which one is a hello; then is asked again by another connection.
    #[tokio::test]
    async fn hellos_are_heard_and_a_lost_connection_is_made_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut options = GroupOptions::with_quorum(1);
        (options.auth_user, options.auth_pass) = (Some("u".to_owned()), Some("p w".to_owned()));
        let address = HostPort::from(listener.local_addr().unwrap());
        let id = SentinelId::from_bytes([1; 20]);
        let settings = LinkSettings::new(address, &options, &id, &Outgoing::default());
        let (sender, mut heard) = mpsc::unbounded_channel();
        let (failure, mut failures) = mpsc::unbounded_channel();
        let link = HelloLink::start(
            settings,
            &Handle::current(),
            Arc::new(move |hello| sender.send(hello).unwrap()),
            Arc::new(move |why| failure.send(why.to_owned()).unwrap()),
        );
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut received = String::new();
            let mut buffer = [0; 1024];
            while !received.contains(HELLO_CHANNEL) {
                let length = stream.read(&mut buffer).await.unwrap();
                received.push_str(&String::from_utf8_lossy(&buffer[..length]));
                if !received.contains("SUBSCRIBE") {
                    stream.write_all(b"+OK\r\n").await.unwrap();
                }
            }
            assert!(received.contains("$3\r\np w\r\n"), "{received}");
            assert!(received.contains("sentinel-01010101-pubsub"), "{received}");
            let text = format!("::1,26379,{},3,mymaster,127.0.0.1,6380,2", "ab".repeat(20));
            for payload in ["nonsense", &text] {
                let message = Frame::bulks(["message", HELLO_CHANNEL, payload]);
                stream
                    .write_all(&message.to_bytes(Protocol::Resp2))
                    .await
                    .unwrap();
            }
            assert_eq!(heard.recv().await.unwrap().to_string(), text);
        }
        assert!(failures.recv().await.is_some());
        drop(link);
    }
}
