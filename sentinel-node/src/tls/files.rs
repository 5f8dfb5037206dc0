//! From PEM files to certificates and keys; every error names the file and what to do.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pkcs8::{EncryptedPrivateKeyInfoRef, SecretDocument};
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{Error, InconsistentKeys};

use super::TlsError;
use super::verify::Trust;
use super::version1::Version1;
use crate::config::{KeyPair, os_text};

/// Directives of a certificate, its key and the key's password.
#[derive(Debug, Clone, Copy)]
pub(super) struct Directives {
    cert: &'static str,
    key: &'static str,
    pass: &'static str,
}

/// This node's certificate.
pub(super) const SERVER: Directives = Directives {
    cert: "tls-cert-file",
    key: "tls-key-file",
    pass: "tls-key-file-pass",
};
/// The one for outgoing connections.
pub(super) const CLIENT: Directives = Directives {
    cert: "tls-client-cert-file",
    key: "tls-client-key-file",
    pass: "tls-client-key-file-pass",
};

/// Largest file that is read: a bundle of all public CAs has a quarter of a megabyte.
const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// A certificate and its key, `None` when neither is configured. Of the pair for outgoing connections half is like
/// none, as in Redis.
pub(super) fn own(
    pair: &KeyPair,
    names: Directives,
    provider: &CryptoProvider,
) -> Result<Option<Arc<CertifiedKey>>, TlsError> {
    let (cert_file, key_file) = match (&pair.cert_file, &pair.key_file) {
        (Some(cert), Some(key)) => (cert, key),
        (Some(_), None) if names.cert == SERVER.cert => {
            let reason = "No tls-key-file configured! Name the PEM file of the certificate's private key";
            return Err(TlsError::new(names.cert, reason));
        }
        _ => return Ok(None),
    };
    let chain = certificates(cert_file, names.cert)?;
    let key = private_key(key_file, pair.key_pass.as_deref(), names)?;
    let key = provider.key_provider.load_private_key(key).map_err(|error| {
        TlsError::new(
            names.key,
            format!(
                "the key in '{}' cannot be used: {error}. Keys are RSA (2048 bits and more), ECDSA (P-256, P-384) or Ed25519",
                key_file.display()
            ),
        )
    })?;
    let own = CertifiedKey::new(chain, key);
    match belong_together(&own) {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(Some(Arc::new(own))),
        Err(Error::InconsistentKeys(_)) => Err(TlsError::new(
            names.key,
            format!(
                "the key in '{}' does not belong to the certificate in '{}': name the key it was made with",
                key_file.display(),
                cert_file.display()
            ),
        )),
        Err(error) => Err(TlsError::new(
            names.cert,
            format!(
                "the certificate in '{}' cannot be used: {error}",
                cert_file.display()
            ),
        )),
    }
}

/// Whether the key is that of the certificate.
fn belong_together(own: &CertifiedKey) -> Result<(), Error> {
    match (
        own.end_entity_cert().ok().and_then(Version1::parse),
        own.key.public_key(),
    ) {
        (Some(old), Some(key)) if *old.key() == key => Ok(()),
        (Some(_), Some(_)) => Err(InconsistentKeys::KeyMismatch.into()),
        _ => own.keys_match(),
    }
}

/// What `tls-ca-cert-file` and `tls-ca-cert-dir` trust; `None` when neither is configured.
pub(super) fn trust(file: Option<&Path>, dir: Option<&Path>) -> Result<Option<Trust>, TlsError> {
    if file.is_none() && dir.is_none() {
        return Ok(None);
    }
    let mut trust = Trust::default();
    if let Some(file) = file {
        for certificate in certificates(file, "tls-ca-cert-file")? {
            trust.add(certificate).map_err(|reason| {
                TlsError::new(
                    "tls-ca-cert-file",
                    format!("a certificate in '{}' cannot be used: {reason}", file.display()),
                )
            })?;
        }
    }
    if let Some(dir) = dir {
        let named = |reason: String| TlsError::new("tls-ca-cert-dir", reason);
        let paths = entries(dir)
            .map_err(|reason| named(format!("cannot read the folder '{}': {reason}", dir.display())))?;
        // Such a folder may hold anything; what is no certificate is passed over, as OpenSSL does.
        let found = paths
            .iter()
            .filter_map(|path| certificates(path, "tls-ca-cert-dir").ok());
        for certificate in found.flatten() {
            let _ = trust.add(certificate);
        }
        if trust.is_empty() {
            return Err(named(format!(
                "the folder '{}' holds no CA certificate in PEM form",
                dir.display()
            )));
        }
    }
    Ok(Some(trust))
}

/// Files of a folder by name.
pub(super) fn entries(dir: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = std::fs::read_dir(dir).map_err(|error| os_text(&error))?;
    let mut paths: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect();
    paths.sort();
    Ok(paths)
}

fn read(path: &Path, directive: &'static str) -> Result<Vec<u8>, TlsError> {
    let failed = |reason: String| {
        let text = format!(
            "cannot read '{}': {reason}. Check the path, and that the user of this process may read it",
            path.display()
        );
        TlsError::new(directive, text)
    };
    let metadata = std::fs::metadata(path).map_err(|error| failed(os_text(&error)))?;
    if metadata.len() > MAX_FILE_BYTES {
        return Err(failed("it is too large for a PEM file".to_owned()));
    }
    std::fs::read(path).map_err(|error| failed(os_text(&error)))
}

fn certificates(path: &Path, directive: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(path, directive)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(TlsError::new(
            directive,
            format!(
                "'{}' holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)",
                path.display()
            ),
        )),
        Err(error) => Err(TlsError::new(
            directive,
            format!("'{}' is not a PEM file: {error}", path.display()),
        )),
    }
}

fn private_key(
    path: &Path,
    password: Option<&str>,
    names: Directives,
) -> Result<PrivateKeyDer<'static>, TlsError> {
    let bytes = read(path, names.key)?;
    let text = String::from_utf8_lossy(&bytes);
    let place = path.display();
    if let Some(start) = text.find("-----BEGIN ENCRYPTED PRIVATE KEY-----") {
        let Some(password) = password else {
            let reason = format!("the key in '{place}' is encrypted: set {}", names.pass);
            return Err(TlsError::new(names.key, reason));
        };
        let pem = text.get(start..).unwrap_or_default();
        return decrypt(pem, password).map_err(|reason| {
            TlsError::new(
                names.key,
                format!("the key in '{place}' cannot be decrypted: {reason}"),
            )
        });
    }
    if text.contains("Proc-Type: 4,ENCRYPTED") {
        let reason = format!(
            "the key in '{place}' is encrypted in OpenSSL's old form, which is not supported: convert it with \
             'openssl pkcs8 -topk8 -v2 aes-256-cbc -in OLD -out NEW'"
        );
        return Err(TlsError::new(names.key, reason));
    }
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| {
        TlsError::new(
            names.key,
            format!("'{place}' holds no private key in PEM form (-----BEGIN PRIVATE KEY-----): {error}"),
        )
    })
}

/// PKCS#8 with PBES2, what `openssl genpkey` and `openssl pkcs8 -topk8` write.
fn decrypt(pem: &str, password: &str) -> Result<PrivateKeyDer<'static>, String> {
    const END: &str = "-----END ENCRYPTED PRIVATE KEY-----";
    let end = pem.find(END).ok_or("the end of the PEM section is missing")?;
    let section = pem.get(..end.saturating_add(END.len())).unwrap_or(pem);
    let (_, document) = SecretDocument::from_pem(section).map_err(|error| error.to_string())?;
    let encrypted = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes()).map_err(|error| {
        format!("{error}. Convert it with 'openssl pkcs8 -topk8 -v2 aes-256-cbc -in OLD -out NEW'")
    })?;
    let key = encrypted.decrypt(password).map_err(|_| {
        "the password is wrong, or the key was encrypted with something else than AES".to_owned()
    })?;
    Ok(PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(
        key.as_bytes().to_vec(),
    )))
}
