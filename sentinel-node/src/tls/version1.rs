//! Certificates of X.509 version 1, which `openssl x509 -req` makes unless told otherwise and which Redis takes: rustls
//! and webpki do not read them.
//!
//! - Such a certificate says nothing about its use and cannot be a CA: here it is only ever the last one of a chain, issued
//!   directly by a trusted certificate.
//! - Everything that is verified of other certificates is verified of it: dates, the issuer's signature, and the
//!   signature of the handshake.

use pkcs8::der::asn1::{AnyRef, BitStringRef, GeneralizedTime, UtcTime};
use pkcs8::der::{Decode as _, Reader, Result, SliceReader, Tag};
use tokio_rustls::rustls::pki_types::{
    CertificateDer, SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer, TrustAnchor, UnixTime,
};
use webpki::{Error, RawPublicKeyEntity, spki_for_anchor};

/// The parts that matter.
#[derive(Debug)]
pub(super) struct Version1<'a> {
    /// What the issuer has signed.
    signed: &'a [u8],
    /// Name of the issuer, without the outermost tag (as in [`TrustAnchor`]).
    issuer: &'a [u8],
    /// Seconds since 1970.
    not_before: u64,
    not_after: u64,
    key: SubjectPublicKeyInfoDer<'a>,
    /// Algorithm of the issuer's signature, without the outermost tag.
    algorithm: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Version1<'a> {
    /// `None` = of another version, or no certificate.
    pub(super) fn parse(certificate: &'a CertificateDer<'_>) -> Option<Self> {
        read(certificate.as_ref()).ok()
    }

    /// Its public key.
    pub(super) fn key(&self) -> &SubjectPublicKeyInfoDer<'a> {
        &self.key
    }

    /// Dates, issuer and the issuer's signature.
    pub(super) fn verify(
        &self,
        anchors: &[TrustAnchor<'_>],
        algorithms: &[&dyn SignatureVerificationAlgorithm],
        now: UnixTime,
    ) -> std::result::Result<(), Error> {
        let time = UnixTime::since_unix_epoch;
        let seconds = std::time::Duration::from_secs;
        if now.as_secs() < self.not_before {
            let not_before = time(seconds(self.not_before));
            return Err(Error::CertNotValidYet {
                time: now,
                not_before,
            });
        }
        if now.as_secs() > self.not_after {
            let not_after = time(seconds(self.not_after));
            return Err(Error::CertExpired { time: now, not_after });
        }
        let mut outcome = Err(Error::UnknownIssuer);
        for anchor in anchors.iter().filter(|a| a.subject.as_ref() == self.issuer) {
            let key = spki_for_anchor(anchor);
            let of_this_kind =
                |a: &&&dyn SignatureVerificationAlgorithm| a.signature_alg_id().as_ref() == self.algorithm;
            for algorithm in algorithms.iter().filter(of_this_kind) {
                let verified = RawPublicKeyEntity::try_from(&key)
                    .and_then(|key| key.verify_signature(*algorithm, self.signed, self.signature));
                match verified {
                    Ok(()) => return Ok(()),
                    // One name stands for the same hash with keys of several kinds.
                    Err(Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_)) => {}
                    Err(error) => outcome = Err(error),
                }
            }
        }
        outcome
    }
}

fn read(certificate: &[u8]) -> Result<Version1<'_>> {
    let mut reader = SliceReader::new(certificate)?;
    let (signed, algorithm, signature) = reader.sequence(envelope)?;
    reader.finish()?;
    let mut reader = SliceReader::new(signed)?;
    let (inner_algorithm, content) = reader.sequence(content)?;
    reader.finish()?;
    if inner_algorithm != algorithm {
        return Err(Tag::Sequence.value_error().into());
    }
    Ok(Version1 {
        signed,
        algorithm: AnyRef::from_der(algorithm)?.value(),
        signature,
        ..content
    })
}

/// What is signed, by which algorithm, and the signature.
fn envelope<'r>(reader: &mut SliceReader<'r>) -> Result<(&'r [u8], &'r [u8], &'r [u8])> {
    let signed = reader.tlv_bytes()?;
    let algorithm = reader.tlv_bytes()?;
    let signature = BitStringRef::decode(reader)?;
    let signature = signature.as_bytes().ok_or(Tag::BitString.value_error())?;
    Ok((signed, algorithm, signature))
}

/// The algorithm once more, and what is said about the holder.
fn content<'r>(reader: &mut SliceReader<'r>) -> Result<(&'r [u8], Version1<'r>)> {
    // Later versions begin with their number.
    Tag::peek(reader)?.assert_eq(Tag::Integer)?;
    let _serial = reader.tlv_bytes()?;
    let algorithm = reader.tlv_bytes()?;
    let issuer = AnyRef::decode(reader)?.value();
    let (not_before, not_after) = reader.sequence(dates)?;
    let _subject = reader.tlv_bytes()?;
    let content = Version1 {
        signed: &[],
        issuer,
        not_before,
        not_after,
        key: SubjectPublicKeyInfoDer::from(reader.tlv_bytes()?),
        algorithm: &[],
        signature: &[],
    };
    Ok((algorithm, content))
}

fn dates(reader: &mut SliceReader<'_>) -> Result<(u64, u64)> {
    Ok((date(reader)?, date(reader)?))
}

fn date(reader: &mut SliceReader<'_>) -> Result<u64> {
    let since = if Tag::peek(reader)? == Tag::UtcTime {
        UtcTime::decode(reader)?.to_unix_duration()
    } else {
        GeneralizedTime::decode(reader)?.to_unix_duration()
    };
    Ok(since.as_secs())
}
