//! Loads certificates again: at SIGHUP, and when the files have changed.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{Tls, files};

/// Between two looks at the files. A change counts when it is the same at two looks, so that a certificate and its key
/// that are replaced one after the other are loaded together.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a look at one file shows; `None` = it cannot be seen.
type Look = Vec<(PathBuf, Option<(SystemTime, u64)>)>;

impl Tls {
    /// Watches until `stop`. Returns at once.
    ///
    /// # Errors
    /// When the handler of SIGHUP cannot be installed.
    pub fn watch(&self, stop: &CancellationToken) -> std::io::Result<()> {
        let mut hangup = signal(SignalKind::hangup())?;
        let (tls, stop) = (self.clone(), stop.clone());
        tokio::spawn(async move {
            let mut loaded = look(tls.paths()).await;
            let mut before = loaded.clone();
            loop {
                let asked = tokio::select! {
                    () = stop.cancelled() => return,
                    signal = hangup.recv() => signal.is_some(),
                    () = tokio::time::sleep(LOOK_EVERY) => false,
                };
                let now = look(tls.paths()).await;
                let changed = now != loaded && now == before;
                before.clone_from(&now);
                if asked || changed {
                    // Also after a failure: the same wrong files are complained about once.
                    loaded = now;
                    load(tls.clone()).await;
                }
            }
        });
        Ok(())
    }
}

async fn load(tls: Tls) {
    // Reading files and decrypting a key take their time.
    let outcome = tokio::task::spawn_blocking(move || tls.reload()).await;
    match outcome {
        Ok(Ok(())) => tracing::info!("TLS certificates loaded again: new connections use them."),
        Ok(Err(error)) => {
            tracing::warn!("TLS certificates not loaded again, those from before stay in use: {error}")
        }
        Err(_) => tracing::warn!("TLS certificates not loaded again, those from before stay in use."),
    }
}

async fn look(paths: Vec<PathBuf>) -> Look {
    let looking = tokio::task::spawn_blocking(move || {
        let mut seen = Vec::new();
        for path in paths {
            // A file replaced by a rename in a folder changes the folder; one written in place only itself.
            let inside = if path.is_dir() {
                files::entries(&path)
            } else {
                Ok(Vec::new())
            };
            for path in std::iter::once(path).chain(inside.unwrap_or_default()) {
                let state = state(&path);
                seen.push((path, state));
            }
        }
        seen
    });
    looking.await.unwrap_or_default()
}

fn state(path: &Path) -> Option<(SystemTime, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = std::fs::metadata(path).ok()?;
    let modified = metadata.modified().ok()?;
    // The inode tells a file renamed into place from the one before, however fast that was.
    Some((modified, metadata.ino() ^ metadata.len().rotate_left(32)))
}
