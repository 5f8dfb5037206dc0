//! A CA and what it issues, as PEM files in a folder.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

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
        let key = KeyPair::generate().unwrap();
        let cert = params(name).signed_by(&key, &self.issuer).unwrap();
        let pair = Pair {
            cert: folder.join(format!("{name}.crt")),
            key: folder.join(format!("{name}.key")),
            der: cert.der().to_vec(),
        };
        replace(&pair.key, &key.serialize_pem());
        replace(&pair.cert, &cert.pem());
        pair
    }
}

/// Writes beside and renames over.
pub(crate) fn replace(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(&beside, path).unwrap();
}
