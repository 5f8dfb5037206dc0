//! Certificates of version 1. `testdata/` was made with OpenSSL 3.0 (`openssl ca`, without extensions).
//! The keys are used for nothing else.

use std::path::Path;

use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, UnixTime};

use super::tests::handshake;
use super::*;

const CA: &str = include_str!("testdata/ca.crt");
const EC_KEY: &str = include_str!("testdata/ec.key");
const EC: &str = include_str!("testdata/ec.crt");
const RSA_KEY: &str = include_str!("testdata/rsa.key");
const RSA: &str = include_str!("testdata/rsa.crt");
/// `ec.key` again.
const EXPIRED: &str = include_str!("testdata/expired.crt");
/// `ec.key` again; of another CA that has the same name.
const STRANGER: &str = include_str!("testdata/stranger.crt");

fn side(folder: &Path, cert: &str, key: &str) -> TlsConfig {
    std::fs::create_dir_all(folder).unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        Some(path)
    };
    let mut config = TlsConfig {
        port: 1,
        replication: true,
        ..TlsConfig::default()
    };
    config.server.cert_file = write("own.crt", cert);
    config.server.key_file = write("own.key", key);
    config.ca_file = write("ca.crt", CA);
    config
}

#[tokio::test]
async fn they_are_good_on_both_sides() {
    let folder = tempfile::tempdir().unwrap();
    let ec = side(&folder.path().join("ec"), EC, EC_KEY);
    let rsa = side(&folder.path().join("rsa"), RSA, RSA_KEY);
    for protocols in ["TLSv1.3", "TLSv1.2"] {
        for (server, client) in [(&ec, &rsa), (&rsa, &ec)] {
            let mut client = client.clone();
            ciphers::set_protocols(&mut client.choice, protocols).unwrap();
            handshake(server, &client).await.unwrap();
        }
    }
}

#[tokio::test]
async fn dates_and_signatures_are_verified() {
    let folder = tempfile::tempdir().unwrap();
    let right = side(&folder.path().join("right"), EC, EC_KEY);
    let expired = side(&folder.path().join("expired"), EXPIRED, EC_KEY);
    let stranger = side(&folder.path().join("stranger"), STRANGER, EC_KEY);
    for (wrong, reason) in [(&expired, "Expired"), (&stranger, "BadSignature")] {
        for (server, client) in [(wrong, &right), (&right, wrong)] {
            let error = handshake(server, client).await.unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
    let mismatched = side(&folder.path().join("mismatched"), RSA, EC_KEY);
    let clock: SharedClock = Arc::new(crate::clock::SystemClock::start());
    let error = Tls::load(&mismatched, &clock).unwrap_err();
    assert!(error.reason.contains("does not belong"), "{error}");
}

/// No byte of what was signed can be changed, and no change of any byte panics.
#[test]
fn every_byte_counts() {
    let ca = CertificateDer::from_pem_slice(CA.as_bytes()).unwrap();
    let whole = CertificateDer::from_pem_slice(EC.as_bytes()).unwrap();
    let anchor = [webpki::anchor_from_trusted_cert(&ca).unwrap()];
    let algorithms = ciphers::Choice::default()
        .provider()
        .signature_verification_algorithms;
    // In the middle of the dates of the files.
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(2_000_000_000));
    let is_good = |der: &[u8]| {
        let certificate = CertificateDer::from(der);
        let parsed = version1::Version1::parse(&certificate);
        parsed.is_some_and(|v| v.verify(&anchor, algorithms.all, now).is_ok())
    };
    assert!(is_good(&whole));
    for at in 0..whole.len() {
        for flip in [1, 0x80, 0xff] {
            let mut changed = whole.to_vec();
            changed[at] ^= flip;
            assert!(!is_good(&changed), "byte {at} ^ {flip}");
        }
        assert!(!is_good(&whole[..at]), "cut at {at}");
    }
}
