//! Signals: SIGTERM and SIGINT end the process in an orderly way, the second one at once; SIGHUP ends nothing.
//!
//! SIGHUP is for what is read again while running; the log file needs no signal, since it is opened for each batch of
//! lines. SIGPIPE is ignored by Rust's standard library before `main`.
//!
//! References: server.c `sigShutdownHandler`, `setupSignalHandlers`.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Cancels `stop` at SIGTERM or SIGINT. Returns at once.
///
/// # Errors
/// When the handlers cannot be installed.
pub fn stop_on_signals(stop: &CancellationToken) -> std::io::Result<()> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let mut hup = signal(SignalKind::hangup())?;
    let stop = stop.clone();
    tokio::spawn(async move {
        let mut asked = false;
        loop {
            let name = tokio::select! {
                _ = term.recv() => "SIGTERM",
                _ = int.recv() => "SIGINT",
                _ = hup.recv() => {
                    tracing::debug!("Received SIGHUP, going on");
                    continue;
                }
            };
            if asked {
                tracing::warn!("You insist... exiting now.");
                crate::log::exit(1);
            }
            asked = true;
            tracing::info!("Received {name} scheduling shutdown...");
            stop.cancel();
        }
    });
    Ok(())
}
