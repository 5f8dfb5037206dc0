//! Whole handshakes in memory between two configurations, with certificates made here.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};
use sentinel_core::time::{MonoTime, WallTime};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::server::StoresServerSessions as _;
use tokio_rustls::rustls::version::TLS12;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::sessions::Sessions;
use super::*;
use crate::clock::Clock;

type Issuer = CertifiedIssuer<'static, KeyPair>;

/// A clock that stands where it is put.
#[derive(Debug, Default)]
struct Hand(AtomicU64);

impl Clock for Hand {
    fn mono(&self) -> MonoTime {
        MonoTime(self.0.load(Ordering::Relaxed))
    }

    fn wall(&self) -> WallTime {
        WallTime(self.0.load(Ordering::Relaxed))
    }
}

fn clock() -> SharedClock {
    Arc::new(Hand::default())
}

fn params(change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params = CertificateParams::new(vec!["elsewhere.invalid".to_owned()]).unwrap();
    change(&mut params);
    params
}

fn ca(parent: Option<&Issuer>) -> Issuer {
    let key = KeyPair::generate().unwrap();
    let params = params(|p| {
        p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let name = key.public_key_pem();
        p.distinguished_name.push(DnType::CommonName, name);
    });
    match parent {
        None => CertifiedIssuer::self_signed(params, key).unwrap(),
        Some(parent) => CertifiedIssuer::signed_by(params, key, parent).unwrap(),
    }
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// Certificate chain, key and trusted certificates of one side.
fn side(folder: &Path, chain: &str, key: &KeyPair, trusted: &str) -> TlsConfig {
    std::fs::create_dir_all(folder).unwrap();
    let mut config = TlsConfig {
        port: 1,
        replication: true,
        ..TlsConfig::default()
    };
    config.server.cert_file = Some(write(folder, "own.crt", chain));
    config.server.key_file = Some(write(folder, "own.key", &key.serialize_pem()));
    config.ca_file = Some(write(folder, "ca.crt", trusted));
    config
}

fn issued(
    folder: &Path,
    by: &Issuer,
    trusted: &str,
    change: impl FnOnce(&mut CertificateParams),
) -> TlsConfig {
    let key = KeyPair::generate().unwrap();
    let cert = params(change).signed_by(&key, by).unwrap();
    side(folder, &cert.pem(), &key, trusted)
}

/// Bytes go there and back, or the reason of the side that refused.
pub(super) async fn handshake(server: &TlsConfig, client: &TlsConfig) -> Result<(), String> {
    let server = Tls::load(server, &clock()).unwrap().unwrap();
    let client = Tls::load(client, &clock()).unwrap().unwrap();
    let (near, far) = tokio::io::duplex(64 * 1024);
    let serving = tokio::spawn(async move {
        let mut stream = TlsAcceptor::from(server.server().load_full()).accept(far).await?;
        let mut bytes = [0; 2];
        stream.read_exact(&mut bytes).await?;
        stream.write_all(&bytes).await?;
        stream.flush().await
    });
    let connector = TlsConnector::from(client.client().unwrap().load_full());
    let asked = async {
        let name = ServerName::try_from("another.name").unwrap();
        let mut stream = connector.connect(name, near).await?;
        stream.write_all(b"ab").await?;
        stream.flush().await?;
        let mut bytes = [0; 2];
        stream.read_exact(&mut bytes).await.map(|_| ())
    };
    let asked: std::io::Result<()> = asked.await;
    let served = serving.await.unwrap();
    match (asked, served) {
        (Ok(()), Ok(())) => Ok(()),
        (asked, served) => Err(format!("client: {asked:?}, server: {served:?}")),
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[tokio::test]
async fn a_chain_is_verified_and_names_are_not() {
    let (folder, root) = (folder(), ca(None));
    let middle = ca(Some(&root));
    let key = KeyPair::generate().unwrap();
    let leaf = params(|_| {}).signed_by(&key, &middle).unwrap();
    let chain = format!("{}{}", leaf.pem(), middle.pem());
    let server = side(&folder.path().join("s"), &chain, &key, &root.pem());
    let client = issued(&folder.path().join("c"), &root, &root.pem(), |_| {});
    handshake(&server, &client).await.unwrap();
    let mut old = client.clone();
    ciphers::set_protocols(&mut old.choice, "TLSv1.2").unwrap();
    assert_eq!(old.choice.versions(), [&TLS12]);
    handshake(&server, &old).await.unwrap();
    let alone = side(&folder.path().join("a"), &leaf.pem(), &key, &root.pem());
    let error = handshake(&alone, &client).await.unwrap_err();
    assert!(
        error.contains("UnknownIssuer"),
        "without the certificate between: {error}"
    );
    let stranger = ca(None);
    let other = issued(&folder.path().join("o"), &stranger, &root.pem(), |_| {});
    assert!(
        handshake(&server, &other).await.is_err(),
        "a client of another CA"
    );
}

#[tokio::test]
async fn dates_and_uses_are_verified() {
    let (folder, root) = (folder(), ca(None));
    let make = |name: &str, change: fn(&mut CertificateParams)| {
        issued(&folder.path().join(name), &root, &root.pem(), change)
    };
    let right = make("right", |_| {});
    let expired = make("expired", |p| p.not_after = date_time_ymd(2020, 1, 1));
    let error = handshake(&expired, &right).await.unwrap_err();
    assert!(error.contains("Expired"), "{error}");
    let early = make("early", |p| p.not_before = date_time_ymd(2999, 1, 1));
    assert!(
        handshake(&early, &right)
            .await
            .unwrap_err()
            .contains("NotValidYet")
    );
    let server_only = make("server", |p| {
        p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]
    });
    let client_only = make("client", |p| {
        p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]
    });
    handshake(&server_only, &client_only).await.unwrap();
    assert!(
        handshake(&client_only, &server_only).await.is_err(),
        "uses swapped"
    );
    let mut both = server_only.clone();
    both.client = client_only.server.clone();
    handshake(&both, &both).await.unwrap();
}

#[tokio::test]
async fn one_self_signed_certificate_in_all_places() {
    let folder = folder();
    let key = KeyPair::generate().unwrap();
    for (name, is_ca) in [
        ("ca", IsCa::Ca(BasicConstraints::Unconstrained)),
        ("plain", IsCa::NoCa),
    ] {
        let cert = params(|p| p.is_ca = is_ca).self_signed(&key).unwrap();
        let all = side(&folder.path().join(name), &cert.pem(), &key, &cert.pem());
        handshake(&all, &all).await.unwrap();
    }
    let gone = params(|p| {
        p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        p.not_after = date_time_ymd(2020, 1, 1);
    });
    let gone = gone.self_signed(&key).unwrap();
    let all = side(&folder.path().join("gone"), &gone.pem(), &key, &gone.pem());
    assert!(handshake(&all, &all).await.unwrap_err().contains("Expired"));
    // A CA that is trusted only through another one is no server.
    let root = ca(None);
    let middle = ca(Some(&root));
    let server = side(&folder.path().join("m"), &middle.pem(), middle.key(), &root.pem());
    assert!(handshake(&server, &server).await.is_err());
}

#[tokio::test]
async fn a_folder_of_certificates_is_trusted() {
    let (folder, one, two) = (folder(), ca(None), ca(None));
    let trusted = folder.path().join("trusted");
    std::fs::create_dir(&trusted).unwrap();
    write(&trusted, "0a1b2c3d.0", &one.pem());
    write(&trusted, "two.crt", &two.pem());
    write(&trusted, "README", "not a certificate");
    let mut server = issued(&folder.path().join("s"), &one, "", |_| {});
    let mut client = issued(&folder.path().join("c"), &two, "", |_| {});
    for config in [&mut server, &mut client] {
        config.ca_file = None;
        config.ca_dir = Some(trusted.clone());
    }
    handshake(&server, &client).await.unwrap();
}

#[tokio::test]
async fn a_reload_is_all_or_nothing() {
    let (folder, root) = (folder(), ca(None));
    let own = folder.path().join("s");
    let config = issued(&own, &root, &root.pem(), |_| {});
    let tls = Tls::load(&config, &clock()).unwrap().unwrap();
    let before = tls.server().load_full();
    write(&own, "ca.crt", "gone");
    let error = tls.reload().unwrap_err();
    assert_eq!(error.directive, "tls-ca-cert-file");
    assert!(
        Arc::ptr_eq(&before, &tls.server().load_full()),
        "the old one stays"
    );
    write(&own, "ca.crt", &root.pem());
    tls.reload().unwrap();
    assert!(!Arc::ptr_eq(&before, &tls.server().load_full()));
}

#[test]
fn sessions_are_forgotten_in_time() {
    let hand = Arc::new(Hand::default());
    let clock: SharedClock = Arc::<Hand>::clone(&hand);
    let sessions = Sessions::new(&TlsConfig::default(), &clock);
    assert!(sessions.put(vec![1], vec![7, 8]));
    assert!(sessions.put(vec![2], vec![9]));
    hand.0.store(299_999, Ordering::Relaxed);
    assert_eq!(sessions.get(&[1]), Some(vec![7, 8]));
    assert_eq!(sessions.take(&[2]), Some(vec![9]));
    assert_eq!(sessions.take(&[2]), None);
    hand.0.store(300_000, Ordering::Relaxed);
    assert_eq!(sessions.get(&[1]), None);
}

#[test]
fn nothing_is_read_when_nothing_asks_for_tls() {
    let mut config = TlsConfig::default();
    config.server.cert_file = Some(PathBuf::from("/no/such/file"));
    assert!(Tls::load(&config, &clock()).unwrap().is_none());
    config.port = 1;
    assert!(Tls::load(&config, &clock()).is_err());
}
