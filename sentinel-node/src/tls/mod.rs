//! TLS on all links: what the `tls-*` lines and their files become, loaded again when the files change.
//!
//! ```text
//! config/tls.rs (lines) -> files (PEM) -> verify (who is trusted) -> ServerConfig, ClientConfig
//!                            ^                                            |  swapped as a whole
//!                          watch (SIGHUP, changed files)                  v
//!                                            server/listen.rs accepts, net/outgoing.rs connects
//! ```
//!
//! - Names in certificates are not verified, only that a trusted CA has issued them, as in Redis: certificates of
//!   Redis servers rarely carry the addresses under which sentinels know them. A certificate that a CA has issued
//!   to anybody is therefore good for every server and every client of that CA.
//! - A new connection uses what was loaded last; those that exist stay as they are.
//! - References: Redis `tls.c` (`tlsConfigure`, `createSSLContext`).

pub mod ciphers;
mod files;
mod sessions;
mod verify;
mod version1;
mod watch;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod version1_tests;

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::server::{NoClientAuth, NoServerSessionStorage};
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::{ClientConfig, ServerConfig, server};

use crate::clock::SharedClock;
use crate::config::{AuthClients, TlsConfig};
use sessions::Sessions;
use verify::{CheckClient, CheckServer, Trust};

/// Why there can be no TLS: the directive to look at, and a text with the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{directive}: {reason}")]
pub struct TlsError {
    /// Directive of `sentinel.conf`.
    pub directive: &'static str,
    /// What is wrong, and what to do.
    pub reason: String,
}

impl TlsError {
    fn new(directive: &'static str, reason: impl Into<String>) -> Self {
        Self {
            directive,
            reason: reason.into(),
        }
    }
}

/// Certificates, keys and rules in force. Cheap to clone; all clones see a reload.
#[derive(Clone)]
pub struct Tls {
    settings: Arc<TlsConfig>,
    clock: SharedClock,
    server: Arc<ArcSwap<ServerConfig>>,
    client: Arc<ArcSwap<ClientConfig>>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files; `None` when neither `tls-port` nor `tls-replication` asks for TLS.
    ///
    /// # Errors
    /// What is missing or wrong in the lines or in the files they name.
    pub fn load(settings: &TlsConfig, clock: &SharedClock) -> Result<Option<Self>, TlsError> {
        if !settings.is_used() {
            return Ok(None);
        }
        let (server, client) = build(settings, clock)?;
        Ok(Some(Self {
            settings: Arc::new(settings.clone()),
            clock: Arc::clone(clock),
            server: Arc::new(ArcSwap::from_pointee(server)),
            client: Arc::new(ArcSwap::from_pointee(client)),
        }))
    }

    /// For incoming connections.
    #[must_use]
    pub fn server(&self) -> Arc<ArcSwap<ServerConfig>> {
        Arc::clone(&self.server)
    }

    /// For outgoing connections; `None` without `tls-replication`.
    #[must_use]
    pub fn client(&self) -> Option<Arc<ArcSwap<ClientConfig>>> {
        self.settings.replication.then(|| Arc::clone(&self.client))
    }

    /// Reads the files again. On an error everything stays as it is.
    ///
    /// # Errors
    /// As [`Tls::load`].
    pub fn reload(&self) -> Result<(), TlsError> {
        let (server, client) = build(&self.settings, &self.clock)?;
        self.server.store(Arc::new(server));
        self.client.store(Arc::new(client));
        Ok(())
    }

    /// All files and folders that the lines name.
    fn paths(&self) -> Vec<PathBuf> {
        let tls = &self.settings;
        let paths = [
            &tls.server.cert_file,
            &tls.server.key_file,
            &tls.client.cert_file,
            &tls.client.key_file,
            &tls.ca_file,
            &tls.ca_dir,
        ];
        paths.into_iter().flatten().cloned().collect()
    }
}

fn build(settings: &TlsConfig, clock: &SharedClock) -> Result<(ServerConfig, ClientConfig), TlsError> {
    let provider = Arc::new(settings.choice.provider());
    let own = files::own(&settings.server, files::SERVER, &provider)?;
    let Some(own) = own else {
        return Err(TlsError::new(
            "tls-cert-file",
            "No tls-cert-file configured! TLS needs tls-cert-file and tls-key-file: name the PEM files of this node's certificate and key",
        ));
    };
    let asks_clients = settings.auth_clients != AuthClients::No;
    let trust = files::trust(settings.ca_file.as_deref(), settings.ca_dir.as_deref())?;
    if trust.is_none() && (asks_clients || settings.replication) {
        let directive = if settings.port == 0 {
            "tls-replication"
        } else {
            "tls-port"
        };
        return Err(TlsError::new(
            directive,
            "Either tls-ca-cert-file or tls-ca-cert-dir must be specified when tls-replication or tls-auth-clients are enabled! \
             (tls-auth-clients is, unless set to 'no')",
        ));
    }
    let trust = Arc::new(trust.unwrap_or_default());
    let shown = files::own(&settings.client, files::CLIENT, &provider)?.unwrap_or_else(|| Arc::clone(&own));
    let server = server_config(settings, &provider, own, &trust, clock)?;
    let client = client_config(settings, &provider, shown, trust)?;
    Ok((server, client))
}

/// The versions and the suites must go together: checked here, since each line alone may be right.
fn no_version(error: &tokio_rustls::rustls::Error) -> TlsError {
    TlsError::new(
        "tls-protocols",
        format!("tls-protocols, tls-ciphers and tls-ciphersuites leave nothing to offer: {error}"),
    )
}

fn server_config(
    settings: &TlsConfig,
    provider: &Arc<CryptoProvider>,
    own: Arc<CertifiedKey>,
    trust: &Arc<Trust>,
    clock: &SharedClock,
) -> Result<ServerConfig, TlsError> {
    let verifier: Arc<dyn server::danger::ClientCertVerifier> = match settings.auth_clients {
        AuthClients::No => Arc::new(NoClientAuth),
        AuthClients::Required => Arc::new(CheckClient::new(Arc::clone(trust), true)),
        AuthClients::Optional => Arc::new(CheckClient::new(Arc::clone(trust), false)),
    };
    let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&settings.choice.versions())
        .map_err(|error| no_version(&error))?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(own)));
    config.ignore_client_order = settings.prefer_server_ciphers;
    if settings.session_caching {
        config.session_storage = Arc::new(Sessions::new(settings, clock));
        // One is enough for the next connection; each takes room in the cache.
        config.send_tls13_tickets = 1;
    } else {
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(config)
}

fn client_config(
    settings: &TlsConfig,
    provider: &Arc<CryptoProvider>,
    own: Arc<CertifiedKey>,
    trust: Arc<Trust>,
) -> Result<ClientConfig, TlsError> {
    let mut config = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&settings.choice.versions())
        .map_err(|error| no_version(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(CheckServer::new(trust)))
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own)));
    config.enable_sni = false;
    // Links live long, and each new one shall see the certificate of the other side, as in Redis.
    config.resumption = Resumption::disabled();
    Ok(config)
}
