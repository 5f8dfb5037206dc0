//! The one place that knows how values become bytes, on disk and between peers.
//!
//! ```text
//! [version: 1 byte] [bincode 2, standard configuration]
//! ```
//!
//! * The version is checked before anything else; another one is [`CodecError::Version`], never a guess.
//! * Decoding is bounded: by the length of the input, and by [`MAX_FRAME_BYTES`] for what it may allocate.
//! * Bytes left over after the value are an error: they mean that the two sides disagree on the layout.
//!
//! bincode is no longer developed. Replacing it means another version byte here, and nothing elsewhere.
//! Its format is positional: fields of encoded types are only ever appended together with a new version.

use sentinel_proto::peer::{MAX_FRAME_BYTES, PeerFrame};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Layout written by this build.
pub const CODEC_VERSION: u8 = 2;

/// Why bytes are not a value, or a value cannot become bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// No bytes at all.
    #[error("empty input")]
    Empty,
    /// Written by a build that uses another layout.
    #[error(
        "encoded with layout version {found}, this build reads version {CODEC_VERSION}: mixed builds, or a damaged file"
    )]
    Version {
        /// The version byte found.
        found: u8,
    },
    /// More than [`MAX_FRAME_BYTES`].
    #[error("{bytes} bytes are more than the limit of {MAX_FRAME_BYTES}")]
    TooLarge {
        /// Size of the input or the encoded value.
        bytes: usize,
    },
    /// The value ended before the input did.
    #[error("{left} bytes left over after the value")]
    Trailing {
        /// Number of bytes not consumed.
        left: usize,
    },
    /// Not a value of the type asked for.
    #[error("malformed: {0}")]
    Malformed(String),
}

/// Encodes a value.
///
/// # Errors
/// [`CodecError::TooLarge`], and [`CodecError::Malformed`] for types that bincode cannot represent.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    let mut bytes = vec![CODEC_VERSION];
    bincode::serde::encode_into_std_write(value, &mut bytes, bincode::config::standard())
        .map_err(|e| CodecError::Malformed(e.to_string()))?;
    if bytes.len() > MAX_FRAME_BYTES {
        return Err(CodecError::TooLarge { bytes: bytes.len() });
    }
    Ok(bytes)
}

/// Decodes exactly one value.
///
/// # Errors
/// Each variant of [`CodecError`]; never panics, never allocates more than the limit.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    if bytes.len() > MAX_FRAME_BYTES {
        return Err(CodecError::TooLarge { bytes: bytes.len() });
    }
    let (version, body) = bytes.split_first().ok_or(CodecError::Empty)?;
    if *version != CODEC_VERSION {
        return Err(CodecError::Version { found: *version });
    }
    let (value, used) = decode_within(body).map_err(|e| CodecError::Malformed(e.to_string()))?;
    match body.len().saturating_sub(used) {
        0 => Ok(value),
        left => Err(CodecError::Trailing { left }),
    }
}

/// What a text announces as its length is reserved before it is read, so a short input gets a small limit. bincode counts
/// what numbers take in memory: at most sixteen bytes for each byte of the input.
fn decode_within<T: DeserializeOwned>(body: &[u8]) -> Result<(T, usize), bincode::error::DecodeError> {
    use bincode::{config::standard, serde::decode_from_slice};
    const KIB: usize = 1024;
    if body.len() <= KIB {
        decode_from_slice(body, standard().with_limit::<{ 16 * KIB }>())
    } else if body.len() <= 32 * KIB {
        decode_from_slice(body, standard().with_limit::<{ 512 * KIB }>())
    } else {
        decode_from_slice(body, standard().with_limit::<MAX_FRAME_BYTES>())
    }
}

/// Encodes a frame for a peer, without the 4-byte length that the transport puts before it.
///
/// # Errors
/// As [`encode`].
pub fn encode_frame(frame: &PeerFrame) -> Result<Vec<u8>, CodecError> {
    encode(frame)
}

/// Decodes a frame from a peer.
///
/// # Errors
/// As [`decode`].
pub fn decode_frame(bytes: &[u8]) -> Result<PeerFrame, CodecError> {
    decode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentinel_proto::peer::PeerBody;

    #[test]
    fn frames_round_trip() {
        let frame = PeerFrame {
            id: 7,
            body: PeerBody::Raft(vec![1, 2, 3]),
        };
        assert_eq!(decode_frame(&encode_frame(&frame).unwrap()).unwrap(), frame);
    }

    #[test]
    fn each_kind_of_bad_input_has_its_error() {
        let good = encode(&(1u64, "name")).unwrap();
        assert_eq!(decode::<(u64, String)>(&[]), Err(CodecError::Empty));
        let mut other = good.clone();
        other[0] = 9;
        assert_eq!(
            decode::<(u64, String)>(&other),
            Err(CodecError::Version { found: 9 })
        );
        let mut longer = good.clone();
        longer.push(0);
        assert_eq!(
            decode::<(u64, String)>(&longer),
            Err(CodecError::Trailing { left: 1 })
        );
        assert!(matches!(
            decode::<(u64, String)>(&good[..3]),
            Err(CodecError::Malformed(_))
        ));
    }

    /// Found by fuzzing: an identity of less than eight characters ended the process when it was logged.
    #[test]
    fn names_and_identities_of_peers_are_checked() {
        use sentinel_proto::{MasterName, SentinelId};
        for id in [
            "",
            "7",
            "\u{20ac}\u{20ac}\u{20ac}",
            "zz00000000000000000000000000000000000000",
        ] {
            let bytes = encode(&id).unwrap();
            assert!(
                matches!(decode::<SentinelId>(&bytes), Err(CodecError::Malformed(_))),
                "{id}"
            );
        }
        for name in ["", "a b", "a\r\n"] {
            let bytes = encode(&name).unwrap();
            assert!(
                matches!(decode::<MasterName>(&bytes), Err(CodecError::Malformed(_))),
                "{name:?}"
            );
        }
        let good = SentinelId::from_bytes([7; 20]);
        assert_eq!(decode::<SentinelId>(&encode(&good).unwrap()), Ok(good));
    }

    #[test]
    fn a_length_beyond_the_input_does_not_allocate() {
        // Version, then the variable-length marker for a u64 of 2^60 as the length of a byte vector.
        let mut bytes = vec![CODEC_VERSION, 253];
        bytes.extend_from_slice(&(1u64 << 60).to_le_bytes());
        assert!(matches!(decode::<Vec<u8>>(&bytes), Err(CodecError::Malformed(_))));
        // Found by fuzzing: sixteen megabytes for eleven bytes. Refused by the limit, not by the end of the input.
        let bytes = [CODEC_VERSION, 252, 5, 4, 1, 1];
        let refused = decode::<String>(&bytes);
        let limit = bincode::error::DecodeError::LimitExceeded.to_string();
        assert_eq!(refused, Err(CodecError::Malformed(limit)));
    }

    #[test]
    fn numbers_take_no_more_memory_than_a_short_input_may() {
        for count in [1usize, 500, 1020, 1030, 20_000, 40_000] {
            let many = vec![0u64; count];
            assert_eq!(decode::<Vec<u64>>(&encode(&many).unwrap()), Ok(many), "{count}");
        }
    }
}
