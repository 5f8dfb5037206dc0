//! A CA and what it issues, as PEM files in a folder.

use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;

/// A CA; its certificate is a file.
pub(crate) struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
    pub(crate) file: PathBuf,
}

/// A certificate and its key as files.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
    /// The certificate as it is shown in a handshake.
    pub(crate) der: Vec<u8>,
}

fn params(name: &str) -> CertificateParams {
    // A name that no node has: names are not verified, by Redis neither.
    let mut params = CertificateParams::new(vec![format!("{name}.test.invalid")]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

impl Ca {
    pub(crate) fn new(folder: &Path, name: &str) -> Self {
        let mut params = params(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let file = folder.join(format!("{name}.pem"));
        std::fs::write(&file, issuer.pem()).unwrap();
        Self { issuer, file }
    }

    /// Issues a certificate. Files of the same name are replaced by a rename, the key first: for a moment they do not match.
    pub(crate) fn issue(&self, folder: &Path, name: &str) -> Pair {
        self.issue_as(folder, name, params(name))
    }

    /// Issues one for 127.0.0.1: client libraries verify that.
    pub(crate) fn issue_for_address(&self, folder: &Path, name: &str) -> Pair {
        let mut params = CertificateParams::new(vec![String::from("127.0.0.1")]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        self.issue_as(folder, name, params)
    }

    fn issue_as(&self, folder: &Path, name: &str, params: CertificateParams) -> Pair {
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        let pair = Pair {
            cert: folder.join(format!("{name}.crt")),
            key: folder.join(format!("{name}.key")),
            der: cert.der().to_vec(),
        };
        replace(&pair.key, &key.serialize_pem());
        replace(&pair.cert, &cert.pem());
        pair
    }

    /// Issues one as `openssl x509 -req` does by itself: up to OpenSSL 3.0 of version 1, without any extension.
    pub(crate) fn issue_by_openssl(&self, folder: &Path, name: &str) -> Pair {
        let path = |ending: &str| folder.join(format!("{name}.{ending}"));
        let shown = |path: &Path| path.display().to_string();
        let (key, request, cert, ca_key) = (path("key"), path("csr"), path("crt"), path("ca-key"));
        std::fs::write(&key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
        std::fs::write(&ca_key, self.issuer.key().serialize_pem()).unwrap();
        let run = |line: String| {
            let done = Command::new("openssl").args(line.split(' ')).output().unwrap();
            assert!(
                done.status.success(),
                "{line}: {}",
                String::from_utf8_lossy(&done.stderr)
            );
        };
        let (key_text, request_text) = (shown(&key), shown(&request));
        run(format!(
            "req -new -key {key_text} -subj /CN={name} -out {request_text}"
        ));
        run(format!(
            "x509 -req -in {request_text} -CA {} -CAkey {} -set_serial 5 -days 30 -out {}",
            shown(&self.file),
            shown(&ca_key),
            shown(&cert)
        ));
        let der = CertificateDer::from_pem_file(&cert).unwrap().to_vec();
        Pair { cert, key, der }
    }
}

/// Writes beside and renames over.
pub(crate) fn replace(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(&beside, path).unwrap();
}
