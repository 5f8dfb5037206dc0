//! What a server answers: any RESP2 or RESP3 value, and the answer to ROLE.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use sentinel_fuzz::{decode_all, split_seed, within};
use sentinel_proto::resp::{Frame, FrameDecoder, Limits, Protocol, encode};
use sentinel_proto::role::RoleReport;

fn depth(frame: &Frame) -> usize {
    match frame {
        Frame::Map(pairs) => {
            1 + pairs
                .iter()
                .map(|(k, v)| depth(k).max(depth(v)))
                .max()
                .unwrap_or(0)
        }
        other => other
            .elements()
            .map_or(0, |items| 1 + items.iter().map(depth).max().unwrap_or(0)),
    }
}

fn again(frame: &Frame, protocol: Protocol) -> Frame {
    let mut wire = BytesMut::new();
    encode(frame, protocol, &mut wire);
    let read = FrameDecoder::new(Limits::REPLY).decode(&mut wire);
    assert!(wire.is_empty());
    read.expect("what was written can be read")
        .expect("all of it was written")
}

fuzz_target!(|data: &[u8]| {
    let Some((seed, data)) = split_seed(data) else {
        return;
    };
    let decode = |seed| {
        let mut decoder = FrameDecoder::new(Limits::REPLY);
        decode_all(data, seed, |input| decoder.decode(input))
    };
    // A value of two bytes on the wire costs a hundred and more as a `Frame`, and twice that while a list grows.
    let whole = within(500 * data.len() + 8_192, || decode(0));
    assert_eq!(decode(seed), whole, "cut with {seed}");
    for frame in &whole.0 {
        assert!(depth(frame) <= Limits::REPLY.max_depth + 1);
        // RESP3 writes both absences alike, and RESP2 has fewer types: the same from the second time on.
        for protocol in [Protocol::Resp2, Protocol::Resp3] {
            let once = again(frame, protocol);
            assert_eq!(again(&once, protocol), once);
        }
        if let Err(error) = RoleReport::from_frame(frame) {
            drop(error.to_string());
        }
    }
});
