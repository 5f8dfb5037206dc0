//! The thread that serves clients: a runtime of its own, so that many requests hold up neither the log nor the peers, and
//! the other way round.
//!
//! One thread, as in Redis. A request takes a few microseconds, nearly all of them in the kernel; several threads that
//! share connections spend more than that on waking each other.

use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::supervise::Pulse;

/// The running thread.
#[derive(Debug)]
pub struct ClientThread {
    handle: Handle,
    end: CancellationToken,
    thread: JoinHandle<()>,
}

impl ClientThread {
    /// Starts it; it serves nobody yet.
    ///
    /// # Errors
    /// When the system gives no thread or no descriptors.
    pub fn start() -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (handle, end) = (runtime.handle().clone(), CancellationToken::new());
        let ended = end.clone();
        let body = move || runtime.block_on(ended.cancelled());
        let thread = std::thread::Builder::new()
            .name("clients".to_owned())
            .spawn(body)?;
        Ok(Self { handle, end, thread })
    }

    /// Where listeners are opened and connections are served.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Asks this thread for a sign of life, which it gives once `other` has given one.
    #[must_use]
    pub fn pulse(handle: &Handle, other: Pulse) -> Pulse {
        let handle = handle.clone();
        Box::new(move || {
            let (beat, felt) = oneshot::channel();
            let heard = other();
            handle.spawn(async move {
                if heard.await.is_ok() {
                    let _ = beat.send(());
                }
            });
            felt
        })
    }

    /// Ends it. Connections of sentinels that came in over TLS are read by it, so it is the last to go.
    pub fn stop(self) {
        self.end.cancel();
        if self.thread.join().is_err() {
            tracing::error!("the thread of the clients ended badly");
        }
    }
}
