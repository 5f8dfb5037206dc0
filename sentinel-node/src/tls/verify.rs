//! Who is trusted: certificates that a CA of `tls-ca-cert-file` or `tls-ca-cert-dir` has issued, whatever their names.
//!
//! - The chain, the dates, the use (client or server, where the certificate says one) and the signature of the
//!   handshake are verified. Names are not: see the module above.
//! - A certificate that is itself among the trusted ones is good, also when it is a CA's (a self-signed certificate in
//!   all places, as small installations have it). OpenSSL does the same.

use std::sync::Arc;

use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{
    WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
    verify_tls13_signature_with_raw_key,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};
use webpki::{EndEntityCert, KeyUsage, RawPublicKeyEntity, anchor_from_trusted_cert};

use super::version1::Version1;

/// Trusted certificates.
#[derive(Debug, Default)]
pub(super) struct Trust {
    anchors: Vec<TrustAnchor<'static>>,
    /// The same as they are in the files.
    certificates: Vec<CertificateDer<'static>>,
}

impl Trust {
    /// Trusts one more certificate, and those that it has issued.
    pub(super) fn add(&mut self, certificate: CertificateDer<'static>) -> Result<(), String> {
        let anchor = anchor_from_trusted_cert(&certificate).map_err(|error| error.to_string())?;
        self.anchors.push(anchor.to_owned());
        self.certificates.push(certificate);
        Ok(())
    }

    /// Nobody is trusted.
    pub(super) fn is_empty(&self) -> bool {
        self.anchors.is_empty()
    }

    fn verify(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        usage: KeyUsage,
    ) -> Result<(), Error> {
        let algorithms = algorithms();
        if let Some(old) = Version1::parse(certificate) {
            return old.verify(&self.anchors, algorithms.all, now).map_err(refusal);
        }
        let parsed = EndEntityCert::try_from(certificate).map_err(refusal)?;
        let verified = parsed.verify_for_usage(
            algorithms.all,
            &self.anchors,
            intermediates,
            now,
            usage,
            None,
            None,
        );
        match verified {
            Ok(_) => Ok(()),
            // The dates have been found right before this.
            Err(webpki::Error::CaUsedAsEndEntity)
                if self.certificates.iter().any(|trusted| trusted == certificate) =>
            {
                Ok(())
            }
            Err(error) => Err(refusal(error)),
        }
    }
}

fn algorithms() -> WebPkiSupportedAlgorithms {
    ring::default_provider().signature_verification_algorithms
}

/// The error that makes rustls send the fitting alert.
fn refusal(error: webpki::Error) -> Error {
    let reason = match error {
        webpki::Error::BadDer | webpki::Error::BadDerTime => CertificateError::BadEncoding,
        webpki::Error::CertExpired { .. } => CertificateError::Expired,
        webpki::Error::CertNotValidYet { .. } => CertificateError::NotValidYet,
        webpki::Error::UnknownIssuer => CertificateError::UnknownIssuer,
        webpki::Error::InvalidSignatureForPublicKey => CertificateError::BadSignature,
        other => CertificateError::Other(OtherError(Arc::new(other))),
    };
    Error::InvalidCertificate(reason)
}

/// The signature of a handshake of TLS 1.3.
fn signature13(
    message: &[u8],
    cert: &CertificateDer<'_>,
    dss: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    match Version1::parse(cert) {
        Some(old) => verify_tls13_signature_with_raw_key(message, old.key(), dss, &algorithms()),
        None => verify_tls13_signature(message, cert, dss, &algorithms()),
    }
}

/// The signature of a handshake of TLS 1.2.
fn signature12(
    message: &[u8],
    cert: &CertificateDer<'_>,
    dss: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    let Some(old) = Version1::parse(cert) else {
        return verify_tls12_signature(message, cert, dss, &algorithms());
    };
    let key = RawPublicKeyEntity::try_from(old.key()).map_err(refusal)?;
    let mapping = algorithms().mapping;
    let named = mapping.iter().filter(|(scheme, _)| *scheme == dss.scheme);
    let verified = named
        .flat_map(|(_, algorithms)| algorithms.iter())
        .any(|algorithm| key.verify_signature(*algorithm, message, dss.signature()).is_ok());
    if verified {
        Ok(HandshakeSignatureValid::assertion())
    } else {
        Err(Error::InvalidCertificate(CertificateError::BadSignature))
    }
}

/// Verifies servers: Redis, and other sentinels.
#[derive(Debug)]
pub(super) struct CheckServer(Arc<Trust>);

impl CheckServer {
    pub(super) fn new(trust: Arc<Trust>) -> Self {
        Self(trust)
    }
}

impl ServerCertVerifier for CheckServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.0
            .verify(end_entity, intermediates, now, KeyUsage::server_auth())?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signature12(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signature13(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        algorithms().supported_schemes()
    }
}

/// Verifies clients, other sentinels among them.
#[derive(Debug)]
pub(super) struct CheckClient {
    trust: Arc<Trust>,
    mandatory: bool,
}

impl CheckClient {
    /// `mandatory`: a client without a certificate is refused.
    pub(super) fn new(trust: Arc<Trust>, mandatory: bool) -> Self {
        Self { trust, mandatory }
    }
}

impl ClientCertVerifier for CheckClient {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    /// None, as Redis: clients send the certificate they have.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.trust
            .verify(end_entity, intermediates, now, KeyUsage::client_auth())?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signature12(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signature13(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        algorithms().supported_schemes()
    }
}
