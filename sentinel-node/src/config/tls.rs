//! `tls-*` lines. The files they name are read by [`crate::tls`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::lines::{ConfigError, Line};
use super::plain::{integer, is_yes, port, value};
use super::types::Config;
use crate::tls::ciphers::{self, Choice};

/// `tls-auth-clients`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AuthClients {
    /// `yes`: a client must show a certificate.
    #[default]
    Required,
    /// `optional`: a certificate is verified if the client shows one.
    Optional,
    /// `no`: none is asked for.
    No,
}

/// A certificate with its private key.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct KeyPair {
    /// PEM file: the certificate, then its chain.
    pub cert_file: Option<PathBuf>,
    /// PEM file: the private key.
    pub key_file: Option<PathBuf>,
    /// Password of an encrypted key.
    pub key_pass: Option<String>,
}

/// `tls-*` lines.
#[derive(Clone, PartialEq, Eq)]
pub struct TlsConfig {
    /// `tls-port`; 0 = no listener.
    pub port: u16,
    /// `tls-replication`: links to Redis servers and to other sentinels are TLS.
    pub replication: bool,
    /// `tls-cert-file`, `tls-key-file`, `tls-key-file-pass`.
    pub server: KeyPair,
    /// `tls-client-cert-file`, `tls-client-key-file`, `tls-client-key-file-pass`.
    pub client: KeyPair,
    /// `tls-ca-cert-file`.
    pub ca_file: Option<PathBuf>,
    /// `tls-ca-cert-dir`.
    pub ca_dir: Option<PathBuf>,
    /// `tls-auth-clients`.
    pub auth_clients: AuthClients,
    /// What `tls-protocols`, `tls-ciphers` and `tls-ciphersuites` leave.
    pub choice: Choice,
    /// `tls-prefer-server-ciphers`.
    pub prefer_server_ciphers: bool,
    /// `tls-session-caching`.
    pub session_caching: bool,
    /// `tls-session-cache-size`; 0 = the largest that this program keeps.
    pub session_cache_size: u32,
    /// `tls-session-cache-timeout`, in seconds.
    pub session_cache_timeout_s: u32,
    /// Lines that leave nothing to offer, by directive: they stop the start if TLS is used, as in Redis.
    pub unusable: BTreeMap<String, ConfigError>,
}

impl Default for TlsConfig {
    /// Redis's defaults.
    fn default() -> Self {
        Self {
            port: 0,
            replication: false,
            server: KeyPair::default(),
            client: KeyPair::default(),
            ca_file: None,
            ca_dir: None,
            auth_clients: AuthClients::Required,
            choice: Choice::default(),
            prefer_server_ciphers: false,
            session_caching: true,
            session_cache_size: 20_480,
            session_cache_timeout_s: 300,
            unusable: BTreeMap::new(),
        }
    }
}

impl TlsConfig {
    /// The files are only looked at when there is TLS at all, as in Redis.
    #[must_use]
    pub fn is_used(&self) -> bool {
        self.port != 0 || self.replication
    }

    /// Paths are relative to `dir`.
    pub(super) fn resolve(&mut self, dir: &Path) {
        let paths = [
            &mut self.server.cert_file,
            &mut self.server.key_file,
            &mut self.client.cert_file,
            &mut self.client.key_file,
            &mut self.ca_file,
            &mut self.ca_dir,
        ];
        for path in paths.into_iter().flatten() {
            *path = dir.join(&*path);
        }
    }
}

/// Applies one line; false when it is not about TLS.
pub(super) fn apply(config: &mut Config, line: &Line) -> Result<bool, ConfigError> {
    let directive = line.words.first().map_or("", String::as_str);
    let tls = &mut config.tls;
    match directive {
        "tls-port" => tls.port = port(line)?,
        "tls-replication" => tls.replication = is_yes(line)?,
        // There is no cluster here, nor in Sentinel.
        "tls-cluster" => drop(is_yes(line)?),
        "tls-cert-file" => tls.server.cert_file = path(line)?,
        "tls-key-file" => tls.server.key_file = path(line)?,
        "tls-key-file-pass" => tls.server.key_pass = text(line)?,
        "tls-client-cert-file" => tls.client.cert_file = path(line)?,
        "tls-client-key-file" => tls.client.key_file = path(line)?,
        "tls-client-key-file-pass" => tls.client.key_pass = text(line)?,
        "tls-ca-cert-file" => tls.ca_file = path(line)?,
        "tls-ca-cert-dir" => tls.ca_dir = path(line)?,
        "tls-auth-clients" => tls.auth_clients = auth_clients(line)?,
        "tls-prefer-server-ciphers" => tls.prefer_server_ciphers = is_yes(line)?,
        "tls-session-caching" => tls.session_caching = is_yes(line)?,
        "tls-session-cache-size" => tls.session_cache_size = number(line)?,
        "tls-session-cache-timeout" => tls.session_cache_timeout_s = number(line)?,
        "tls-protocols" => {
            let ignored = ciphers::set_protocols(&mut tls.choice, value(line)?);
            note(config, line, ignored);
        }
        "tls-ciphers" => {
            let ignored = ciphers::set_ciphers(&mut tls.choice, value(line)?);
            note(config, line, ignored);
        }
        "tls-ciphersuites" => {
            let ignored = ciphers::set_suites(&mut tls.choice, value(line)?);
            note(config, line, ignored);
        }
        "tls-dh-params-file" => {
            if path(line)?.is_some() {
                let text = "has no effect: only ciphers with elliptic curves are offered, which need no such parameters";
                note(config, line, Ok(Some(text.to_owned())));
            }
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// What of the value is left out becomes a warning; what cannot be used at all is kept for [`finish`].
fn note(config: &mut Config, line: &Line, outcome: Result<Option<String>, String>) {
    let directive = line.words.first().cloned().unwrap_or_default();
    // The last line of a directive counts.
    config.tls.unusable.remove(&directive);
    match outcome {
        Ok(None) => {}
        Ok(Some(text)) => config.warnings.push(format!(
            "{}, line {}: '{directive}' {text}",
            line.file, line.number
        )),
        Err(reason) => {
            config.tls.unusable.insert(directive, line.error(reason));
        }
    }
}

/// To be called after the last line: what cannot be used stops the start where TLS is used, and is a warning elsewhere.
pub(super) fn finish(config: &mut Config) -> Result<(), ConfigError> {
    let unusable = std::mem::take(&mut config.tls.unusable);
    let first = unusable.values().min_by_key(|error| error.line);
    if let Some(error) = first.filter(|_| config.tls.is_used()) {
        return Err(error.clone());
    }
    let warnings = unusable
        .values()
        .map(|error| format!("{error} (of no effect without TLS)"));
    config.warnings.extend(warnings);
    Ok(())
}

fn text(line: &Line) -> Result<Option<String>, ConfigError> {
    let text = value(line)?;
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

fn path(line: &Line) -> Result<Option<PathBuf>, ConfigError> {
    Ok(text(line)?.map(PathBuf::from))
}

fn number(line: &Line) -> Result<u32, ConfigError> {
    Ok(u32::try_from(integer(line, 0, i64::from(i32::MAX))?).unwrap_or(0))
}

fn auth_clients(line: &Line) -> Result<AuthClients, ConfigError> {
    match value(line)?.to_ascii_lowercase().as_str() {
        "yes" => Ok(AuthClients::Required),
        "no" => Ok(AuthClients::No),
        "optional" => Ok(AuthClients::Optional),
        _ => Err(line.error("argument(s) must be one of the following: no, yes, optional")),
    }
}

impl std::fmt::Debug for KeyPair {
    /// Passwords never reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyPair")
            .field("cert_file", &self.cert_file)
            .field("key_file", &self.key_file)
            .field("key_pass", &self.key_pass.as_ref().map(|_| "******"))
            .finish()
    }
}

impl std::fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsConfig")
            .field("port", &self.port)
            .field("replication", &self.replication)
            .field("server", &self.server)
            .field("client", &self.client)
            .field("ca_file", &self.ca_file)
            .field("ca_dir", &self.ca_dir)
            .field("auth_clients", &self.auth_clients)
            .finish_non_exhaustive()
    }
}
