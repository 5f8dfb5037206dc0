//! Frames on a byte stream: 4-byte big-endian length, then the encoded frame; large ones in pieces.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use raft_store::codec::{self, CodecError};
use sentinel_proto::peer::{LAST_PIECE_BIT, MAX_FRAME_BYTES, PIECE_BIT, PeerFrame};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Frames above this size are sent in pieces of it: at 1 Gbit/s a piece takes half a millisecond.
pub(super) const PIECE_BYTES: usize = 64 * 1024;

/// Largest first frame: a stranger cannot make us hold more than this.
pub(super) const MAX_HELLO_BYTES: usize = 16 * 1024;

/// Bytes of the length before each frame or piece.
const HEADER_BYTES: usize = 4;

/// Why no further frame comes.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The stream ended, or failed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The other side closed the stream.
    #[error("closed by the peer")]
    Eof,
    /// Longer than allowed.
    #[error("a frame of {0} bytes is over the limit")]
    TooLarge(usize),
    /// Not a frame.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// A frame ready for the wire, and whether it has to go in pieces.
#[derive(Debug)]
pub(super) enum Encoded {
    /// With its length in front.
    Whole(Bytes),
    /// Without lengths: [`next_piece`] adds them.
    Bulk(Bytes),
}

/// Encodes a frame.
pub(super) fn encode(frame: &PeerFrame) -> Result<Encoded, CodecError> {
    let body = codec::encode_frame(frame)?;
    if body.len() > PIECE_BYTES {
        return Ok(Encoded::Bulk(body.into()));
    }
    let mut out = BytesMut::with_capacity(HEADER_BYTES.saturating_add(body.len()));
    out.put_u32(u32::try_from(body.len()).unwrap_or(0));
    out.extend_from_slice(&body);
    Ok(Encoded::Whole(out.freeze()))
}

/// Moves the next piece of a bulk frame to `out`; leaves `rest` empty after the last one.
pub(super) fn next_piece(rest: &mut Bytes, out: &mut BytesMut) {
    let piece = rest.split_to(rest.len().min(PIECE_BYTES));
    let last = if rest.is_empty() { LAST_PIECE_BIT } else { 0 };
    out.put_u32(u32::try_from(piece.len()).unwrap_or(0) | PIECE_BIT | last);
    out.extend_from_slice(&piece);
}

/// Cuts the bytes of one connection into frames: at most one cut frame and one unfinished piece are held.
#[derive(Debug)]
pub struct FrameDecoder {
    pieces: BytesMut,
    limit: usize,
}

impl FrameDecoder {
    /// At the start of a connection, with the limit of a first frame.
    #[must_use]
    pub fn new() -> Self {
        Self {
            pieces: BytesMut::new(),
            limit: MAX_HELLO_BYTES,
        }
    }

    /// The speaker is known: frames of full size are allowed.
    pub fn raise_limit(&mut self) {
        self.limit = MAX_FRAME_BYTES;
    }

    /// The next frame in `input`, whose bytes are removed from it; `None` = more input is needed.
    ///
    /// # Errors
    /// [`FrameError::TooLarge`] and [`FrameError::Codec`]: the connection must be closed.
    pub fn decode(&mut self, input: &mut BytesMut) -> Result<Option<PeerFrame>, FrameError> {
        loop {
            let Some(header) = input.get(..HEADER_BYTES) else {
                return Ok(None);
            };
            let header = header.try_into().map_or(0, u32::from_be_bytes);
            let length = (header & !(PIECE_BIT | LAST_PIECE_BIT)) as usize;
            let piece = header & PIECE_BIT != 0;
            let total = if piece {
                self.pieces.len().saturating_add(length)
            } else {
                length
            };
            if total > self.limit {
                return Err(FrameError::TooLarge(total));
            }
            if input.len() < HEADER_BYTES.saturating_add(length) {
                return Ok(None);
            }
            input.advance(HEADER_BYTES);
            let body = input.split_to(length);
            if !piece {
                return Ok(Some(codec::decode_frame(&body)?));
            }
            self.pieces.extend_from_slice(&body);
            if header & LAST_PIECE_BIT != 0 {
                let whole = std::mem::take(&mut self.pieces);
                return Ok(Some(codec::decode_frame(&whole)?));
            }
        }
    }
}

impl Default for FrameDecoder {
    fn default() -> Self {
        Self::new()
    }
}

/// Reads frames. [`FrameReader::next`] may be dropped at any await and called again: nothing is lost.
#[derive(Debug)]
pub(super) struct FrameReader<R> {
    io: R,
    buf: BytesMut,
    decoder: FrameDecoder,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// Starts with bytes that were read already, and the limit of a first frame.
    pub(super) fn new(io: R, unread: BytesMut) -> Self {
        Self {
            io,
            buf: unread,
            decoder: FrameDecoder::new(),
        }
    }

    /// The speaker is known: frames of full size are allowed.
    pub(super) fn raise_limit(&mut self) {
        self.decoder.raise_limit();
    }

    /// The next frame.
    pub(super) async fn next(&mut self) -> Result<PeerFrame, FrameError> {
        loop {
            if let Some(frame) = self.decoder.decode(&mut self.buf)? {
                return Ok(frame);
            }
            // Grows with what really arrives, never by what a header promises.
            self.buf.reserve(4096);
            if self.io.read_buf(&mut self.buf).await? == 0 {
                return Err(FrameError::Eof);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentinel_proto::peer::PeerBody;

    fn frame(id: u64, bytes: usize) -> PeerFrame {
        PeerFrame {
            id,
            body: PeerBody::Raft(vec![id as u8; bytes]),
        }
    }

    fn whole(frame: &PeerFrame) -> Bytes {
        match encode(frame).unwrap() {
            Encoded::Whole(bytes) => bytes,
            Encoded::Bulk(_) => panic!("{} is bulk", frame.id),
        }
    }

    async fn read_all(wire: &[u8], chunk: usize) -> Result<Vec<PeerFrame>, FrameError> {
        let (mut tx, rx) = tokio::io::duplex(64 * 1024);
        let wire = wire.to_vec();
        let writer = tokio::spawn(async move {
            for part in wire.chunks(chunk) {
                if tokio::io::AsyncWriteExt::write_all(&mut tx, part).await.is_err() {
                    return;
                }
            }
        });
        let mut reader = FrameReader::new(rx, BytesMut::new());
        reader.raise_limit();
        let mut frames = Vec::new();
        let end = loop {
            match reader.next().await {
                Ok(frame) => frames.push(frame),
                Err(FrameError::Eof) => break Ok(frames),
                Err(e) => break Err(e),
            }
        };
        writer.abort();
        end
    }

    #[tokio::test]
    async fn small_frames_pass_between_the_pieces_of_a_large_one() {
        let large = frame(1, 3 * PIECE_BYTES);
        let Encoded::Bulk(mut rest) = encode(&large).unwrap() else {
            panic!("not bulk")
        };
        let mut wire = BytesMut::new();
        let mut pieces = 0;
        while !rest.is_empty() {
            next_piece(&mut rest, &mut wire);
            pieces += 1;
            wire.extend_from_slice(&whole(&frame(10 + pieces, 5)));
        }
        assert_eq!(pieces, 4);
        for chunk in [7, 1000, 1 << 20] {
            let frames = read_all(&wire, chunk).await.unwrap();
            let ids: Vec<u64> = frames.iter().map(|f| f.id).collect();
            assert_eq!(ids, [11, 12, 13, 1, 14], "chunk {chunk}");
            assert_eq!(frames[3], large);
        }
    }

    #[tokio::test]
    async fn each_split_of_the_bytes_gives_the_same_frames() {
        let wire: Vec<u8> = [frame(1, 0), frame(2, 300)]
            .iter()
            .flat_map(|f| whole(f).to_vec())
            .collect();
        for chunk in 1..wire.len() {
            assert_eq!(read_all(&wire, chunk).await.unwrap().len(), 2, "chunk {chunk}");
        }
    }

    #[tokio::test]
    async fn a_header_over_the_limit_ends_the_stream_before_anything_is_reserved() {
        for header in [0x3fff_ffffu32, PIECE_BIT | 0x3fff_ffff, 64 * 1024 * 1024 + 1] {
            let wire = header.to_be_bytes();
            assert!(
                matches!(read_all(&wire, 4).await, Err(FrameError::TooLarge(_))),
                "{header:x}"
            );
        }
    }

    #[tokio::test]
    async fn many_pieces_cannot_exceed_the_limit_together() {
        let mut wire = Vec::new();
        for _ in 0..3 {
            wire.extend_from_slice(&(PIECE_BIT | 8000).to_be_bytes());
            wire.extend_from_slice(&[0; 8000]);
        }
        let mut reader = FrameReader::new(&wire[..], BytesMut::new());
        assert!(matches!(reader.next().await, Err(FrameError::TooLarge(24000))));
    }

    #[tokio::test]
    async fn garbage_is_an_error() {
        let mut wire = 5u32.to_be_bytes().to_vec();
        wire.extend_from_slice(b"hello");
        assert!(matches!(read_all(&wire, 100).await, Err(FrameError::Codec(_))));
    }

    /// Deterministic: a failure is reproduced by its seed.
    #[tokio::test]
    async fn damaged_streams_end_in_an_error_or_in_frames_and_never_in_a_panic() {
        let Encoded::Bulk(mut rest) = encode(&frame(1, 2 * PIECE_BYTES)).unwrap() else {
            panic!("not bulk")
        };
        let mut good = BytesMut::from(&whole(&frame(2, 40))[..]);
        while !rest.is_empty() {
            next_piece(&mut rest, &mut good);
        }
        for seed in 0..2_000u64 {
            let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let mut random = |below: usize| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                usize::try_from(state >> 33).unwrap_or(0) % below
            };
            let mut wire = good.to_vec();
            for _ in 0..1 + random(4) {
                // Mostly in the headers and the first bodies, where it hurts.
                let at = if random(3) == 0 {
                    random(wire.len())
                } else {
                    random(80)
                };
                wire[at] = u8::try_from(random(256)).unwrap_or(0);
            }
            wire.truncate(1 + random(wire.len()));
            let mut reader = FrameReader::new(&wire[..], BytesMut::new());
            reader.raise_limit();
            let mut frames = 0;
            while reader.next().await.is_ok() {
                frames += 1;
                assert!(frames <= 1_000, "seed {seed}");
            }
        }
    }
}
