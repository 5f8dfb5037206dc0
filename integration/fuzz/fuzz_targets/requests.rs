//! What a client sends: the request decoder, then the commands.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use sentinel_fuzz::{decode_all, split_seed, within};
use sentinel_proto::command::{Request, closes_connection, lookup};
use sentinel_proto::resp::{Frame, Limits, Protocol, RequestDecoder, encode};

/// So small that inputs of a fuzzer reach them.
const SMALL: Limits = Limits {
    max_args: 20,
    max_bulk_bytes: 200,
    max_inline_bytes: 100,
    max_depth: 2,
    max_total: 2_000,
};

fuzz_target!(|data: &[u8]| {
    let Some((seed, data)) = split_seed(data) else {
        return;
    };
    for limits in [Limits::CLIENT, SMALL] {
        for authenticated in [false, true] {
            let decode = |seed| {
                let mut decoder = RequestDecoder::new(limits, authenticated);
                decode_all(data, seed, |input| decoder.decode(input))
            };
            // Words, their list and the buffers; nothing by what a header promises.
            let whole = within(200 * data.len() + 4_096, || decode(0));
            assert_eq!(decode(seed), whole, "cut with {seed}");
            for words in &whole.0 {
                let bytes: usize = words.iter().map(|word| word.len() + 1).sum();
                assert!(!words.is_empty() && bytes <= data.len() + 1, "{words:?}");
                if limits == SMALL {
                    assert!(bytes <= SMALL.max_total);
                }
            }
        }
    }
    let mut decoder = RequestDecoder::new(Limits::CLIENT, true);
    let (requests, _) = decode_all(data, 0, |input| decoder.decode(input));
    for words in requests {
        let _ = closes_connection(&words);
        let known = lookup(&words);
        match Request::parse(&words) {
            Ok(_) => assert!(known.is_ok(), "parsed, but not known"),
            Err(reply) => drop(format!("{reply:?}")),
        }
        let mut wire = BytesMut::new();
        encode(&Frame::command(&words), Protocol::Resp2, &mut wire);
        let mut again = RequestDecoder::new(Limits::CLIENT, true);
        assert_eq!(again.decode(&mut wire), Ok(Some(words)));
        assert!(wire.is_empty() && again.is_idle());
    }
});
