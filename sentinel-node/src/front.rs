//! Everything that outsiders connect to, started together: the client port, the admin port, the pid file.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::runtime::Handle;

use crate::admin;
use crate::config::{Config, os_text};
use crate::server::{self, Bound, Context};
use crate::tls::Tls;

/// Open listeners: bound before anything is written to disk, so that a second process on the same port changes nothing.
#[derive(Debug)]
pub struct Listeners {
    clients: Bound,
    admin: Option<TcpListener>,
}

impl Listeners {
    /// Opens the client ports, to be served by the runtime `clients`, and the admin port unless it is off.
    ///
    /// # Errors
    /// Text for the log: the process cannot run without them.
    pub async fn open(config: &Config, tls: Option<&Tls>, clients: &Handle) -> Result<Self, String> {
        let mut clients = Bound::on(clients);
        let backlog = config.tcp_backlog;
        if config.port != 0 {
            clients.tcp(&config.bind, config.port, backlog, None)?;
        }
        if let (Some(tls), true) = (tls, config.tls.port != 0) {
            clients.tcp(&config.bind, config.tls.port, backlog, Some(&tls.server()))?;
        }
        if let Some(path) = &config.unixsocket {
            clients.unix(path, config.unixsocketperm, backlog)?;
        }
        if clients.is_empty() {
            return Err(
                "Configured to not listen anywhere, exiting. Set port or tls-port, and bind to an address."
                    .to_owned(),
            );
        }
        let admin = match config.admin_port() {
            Some(port) => match admin::bind(SocketAddr::new(config.admin.bind, port)).await {
                Ok(listener) => Some(listener),
                // Nobody asked for this port: a stock file must not fail because something else has it.
                Err(reason) if config.admin.port.is_none() => {
                    tracing::warn!("{reason}");
                    None
                }
                Err(reason) => return Err(reason),
            },
            None => None,
        };
        Ok(Self { clients, admin })
    }

    /// Addresses of the client ports.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.clients.addresses
    }

    /// Starts serving; returns at once. Everything ends when `context.stop` is cancelled.
    pub fn serve(self, context: &Arc<Context>, config: &Config, recorded: Option<PrometheusHandle>) {
        server::serve(context, self.clients);
        if let Some(listener) = self.admin {
            let admin = admin::Admin {
                context: Arc::clone(context),
                token: config.admin.token.clone(),
                recorded,
            };
            tokio::spawn(admin::serve(listener, admin));
        }
    }
}

/// A pid file, removed when dropped.
#[derive(Debug)]
pub struct PidFile(PathBuf);

impl PidFile {
    /// Writes it. As in Redis a failure is only logged.
    #[must_use]
    pub fn write(path: &Path) -> Option<Self> {
        match std::fs::write(path, format!("{}\n", std::process::id())) {
            Ok(()) => Some(Self(path.to_path_buf())),
            Err(error) => {
                tracing::warn!("Failed to write PID file {}: {}", path.display(), os_text(&error));
                None
            }
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        tracing::info!("Removing the pid file.");
        // It may have been removed by hand.
        let _ = std::fs::remove_file(&self.0);
    }
}
