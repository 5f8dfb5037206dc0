use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

type Requests = Vec<Vec<Bytes>>;

/// Feeds `input` cut at `cuts` and collects everything until the first error.
fn requests(limits: Limits, input: &[u8], cuts: &[usize]) -> (Requests, Option<ProtocolError>) {
    let mut decoder = RequestDecoder::new(limits, true);
    let mut buffer = BytesMut::new();
    let mut found = Vec::new();
    for piece in pieces(input, cuts) {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Some(request)) => found.push(request),
                Ok(None) => break,
                Err(error) => return (found, Some(error)),
            }
        }
    }
    (found, None)
}

fn frames(limits: Limits, input: &[u8], cuts: &[usize]) -> (Vec<Frame>, Option<ProtocolError>) {
    let mut decoder = FrameDecoder::new(limits);
    let mut buffer = BytesMut::new();
    let mut found = Vec::new();
    for piece in pieces(input, cuts) {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Some(frame)) => found.push(frame),
                Ok(None) => break,
                Err(error) => return (found, Some(error)),
            }
        }
    }
    (found, None)
}

/// `input` cut at each position of `cuts` (taken modulo its length).
fn pieces<'a>(input: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (input.len() + 1)).collect();
    cuts.push(input.len());
    cuts.sort_unstable();
    let mut start = 0;
    cuts.iter()
        .map(|&cut| {
            let piece = &input[start..cut];
            start = cut;
            piece
        })
        .collect()
}

fn request_error(input: &[u8]) -> String {
    let (found, error) = requests(Limits::CLIENT, input, &[]);
    assert_eq!(found, Requests::new(), "{}", input.escape_ascii());
    error.expect("an error").to_string()
}

#[test]
fn requests_of_both_kinds_are_decoded() {
    let input = b"*2\r\n$4\r\nPING\r\n$2\r\na\n\r\nPING \"x y\"\r\n\r\n*0\r\n*-1\r\nINFO\n";
    let (found, error) = requests(Limits::CLIENT, input, &[]);
    assert_eq!(error, None);
    let expected: Requests = [vec!["PING", "a\n"], vec!["PING", "x y"], vec!["INFO"]]
        .into_iter()
        .map(|words| words.into_iter().map(Bytes::from).collect())
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn request_errors_have_redis_texts() {
    let long = "x".repeat(70_000);
    let cases: Vec<(String, &str)> = vec![
        ("*x\r\n".into(), "invalid multibulk length"),
        ("*99999999\r\n".into(), "invalid multibulk length"),
        ("*01\r\n".into(), "invalid multibulk length"),
        ("*1\r\nfoo\r\n".into(), "expected '$', got 'f'"),
        ("*1\r\n*1\r\n".into(), "expected '$', got '*'"),
        ("*1\r\n$x\r\n".into(), "invalid bulk length"),
        ("*1\r\n$-1\r\n".into(), "invalid bulk length"),
        ("*1\r\n$1073741824\r\n".into(), "invalid bulk length"),
        (long.clone(), "too big inline request"),
        (format!("*{long}"), "too big mbulk count string"),
        (format!("*1\r\n${long}"), "too big bulk count string"),
        ("ping \"x\r\n".into(), "unbalanced quotes in request"),
    ];
    for (input, text) in cases {
        assert_eq!(request_error(input.as_bytes()), format!("Protocol error: {text}"));
    }
}

#[test]
fn clients_before_auth_have_less_room() {
    let mut decoder = RequestDecoder::new(Limits::CLIENT, false);
    let mut input = BytesMut::from("*11\r\n");
    assert_eq!(
        decoder.decode(&mut input).unwrap_err().to_string(),
        "Protocol error: unauthenticated multibulk length"
    );
    let mut decoder = RequestDecoder::new(Limits::CLIENT, false);
    let mut input = BytesMut::from("*1\r\n$16385\r\n");
    assert_eq!(
        decoder.decode(&mut input).unwrap_err().to_string(),
        "Protocol error: unauthenticated bulk length"
    );
    let mut decoder = RequestDecoder::new(Limits::CLIENT, false);
    decoder.set_authenticated(true);
    assert_eq!(decoder.decode(&mut BytesMut::from("*11\r\n$20000\r\n")), Ok(None));
}

#[test]
fn announced_lengths_allocate_nothing() {
    let mut decoder = RequestDecoder::new(Limits::CLIENT, true);
    let mut input = BytesMut::from("*60000\r\n$16000000\r\nabc");
    assert_eq!(decoder.decode(&mut input), Ok(None));
    assert!(input.capacity() < 100, "{}", input.capacity());
    assert!(!decoder.is_idle());
    let mut decoder = FrameDecoder::new(Limits::REPLY);
    let mut input = BytesMut::from("*1000000\r\n$60000000\r\nabc");
    assert_eq!(decoder.decode(&mut input), Ok(None));
    assert!(input.capacity() < 100, "{}", input.capacity());
}

#[test]
fn a_request_is_bounded_as_a_whole() {
    let limits = Limits {
        max_total: 1000,
        ..Limits::CLIENT
    };
    let empty_words = format!("*100\r\n{}", "$0\r\n\r\n".repeat(100));
    let (_, error) = requests(limits, empty_words.as_bytes(), &[]);
    assert_eq!(error, Some(ProtocolError::TotalTooBig));
    // Many small requests are not one big one.
    let (found, error) = requests(limits, "*1\r\n$4\r\nPING\r\n".repeat(100).as_bytes(), &[]);
    assert_eq!((found.len(), error), (100, None));
}

#[test]
fn an_error_is_final() {
    let mut decoder = RequestDecoder::new(Limits::CLIENT, true);
    assert!(decoder.decode(&mut BytesMut::from("*x\r\n")).is_err());
    assert!(decoder.decode(&mut BytesMut::from("PING\r\n")).is_err());
}

#[test]
fn deep_nesting_is_an_error() {
    let (found, error) = frames(Limits::REPLY, "*1\r\n".repeat(100_000).as_bytes(), &[]);
    assert_eq!((found, error), (vec![], Some(ProtocolError::TooDeep)));
}

#[test]
fn frames_are_written_for_each_protocol() {
    let bulk = Frame::bulk("v");
    let cases: Vec<(Frame, &str, &str)> = vec![
        (Frame::OK, "+OK\r\n", "+OK\r\n"),
        (Frame::error("ERR a\r\nb"), "-ERR a  b\r\n", "-ERR a  b\r\n"),
        (Frame::Integer(-7), ":-7\r\n", ":-7\r\n"),
        (bulk.clone(), "$1\r\nv\r\n", "$1\r\nv\r\n"),
        (Frame::NullBulk, "$-1\r\n", "_\r\n"),
        (Frame::NullArray, "*-1\r\n", "_\r\n"),
        (
            Frame::Map(vec![("k".into(), bulk.clone())]),
            "*2\r\n$1\r\nk\r\n$1\r\nv\r\n",
            "%1\r\n$1\r\nk\r\n$1\r\nv\r\n",
        ),
        (
            Frame::Push(vec![bulk.clone()]),
            "*1\r\n$1\r\nv\r\n",
            ">1\r\n$1\r\nv\r\n",
        ),
        (Frame::Set(vec![bulk]), "*1\r\n$1\r\nv\r\n", "~1\r\n$1\r\nv\r\n"),
        (Frame::Boolean(true), ":1\r\n", "#t\r\n"),
        (Frame::Double("1.5".into()), "$3\r\n1.5\r\n", ",1.5\r\n"),
        (
            Frame::Verbatim {
                format: *b"txt",
                text: "x".into(),
            },
            "$1\r\nx\r\n",
            "=5\r\ntxt:x\r\n",
        ),
    ];
    for (frame, resp2, resp3) in cases {
        assert_eq!(frame.to_bytes(Protocol::Resp2), resp2, "{frame:?}");
        assert_eq!(frame.to_bytes(Protocol::Resp3), resp3, "{frame:?}");
    }
}

#[test]
fn numbers_are_written_as_everywhere() {
    for number in [i64::MIN, -10, -1, 0, 9, 10, 4096, i64::MAX] {
        let bytes = Frame::Integer(number).to_bytes(Protocol::Resp2);
        assert_eq!(bytes, format!(":{number}\r\n"));
    }
}

#[test]
fn attributes_are_dropped_and_malformed_frames_refused() {
    let (found, error) = frames(
        Limits::REPLY,
        b"|1\r\n+a\r\n+b\r\n*2\r\n|0\r\n:1\r\n:2\r\n!3\r\nERR\r\n",
        &[],
    );
    let pair = Frame::Array(vec![Frame::Integer(1), Frame::Integer(2)]);
    assert_eq!((found, error), (vec![pair, Frame::error("ERR")], None));
    for input in [
        "x\r\n",
        ":a\r\n",
        "#x\r\n",
        "_1\r\n",
        "$?\r\n",
        "*-2\r\n",
        "=1\r\na\r\n",
        "$1\r\nabc",
        "+a\n",
    ] {
        let (found, error) = frames(Limits::REPLY, input.as_bytes(), &[]);
        assert!(found.is_empty() && error.is_some(), "{input:?} {found:?}");
    }
}

fn text() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..20).prop_map(Bytes::from)
}

fn line_text() -> impl Strategy<Value = Bytes> {
    "[ -~]{0,20}".prop_map(Bytes::from)
}

/// Frames that survive a round trip through RESP3 (a null array comes back as a null).
fn frame() -> impl Strategy<Value = Frame> {
    let leaf = prop_oneof![
        line_text().prop_map(Frame::Simple),
        line_text().prop_map(Frame::Error),
        any::<i64>().prop_map(Frame::Integer),
        text().prop_map(Frame::Bulk),
        Just(Frame::NullBulk),
        line_text().prop_map(Frame::Double),
        any::<bool>().prop_map(Frame::Boolean),
        "[0-9]{1,30}".prop_map(|digits| Frame::BigNumber(digits.into())),
        text().prop_map(|text| Frame::Verbatim {
            format: *b"txt",
            text
        }),
    ];
    leaf.prop_recursive(4, 64, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Frame::Array),
            vec(inner.clone(), 0..6).prop_map(Frame::Set),
            vec(inner.clone(), 0..6).prop_map(Frame::Push),
            vec((inner.clone(), inner), 0..4).prop_map(Frame::Map),
        ]
    })
}

/// Bytes that are nearly RESP: random bytes seldom get past the first one.
fn nearly_resp() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"*2\r\n".to_vec()),
        Just(b"*1\r\n".to_vec()),
        Just(b"%1\r\n".to_vec()),
        Just(b"|1\r\n".to_vec()),
        Just(b"$3\r\nabc\r\n".to_vec()),
        Just(b"$-1\r\n".to_vec()),
        Just(b"$5\r\n".to_vec()),
        Just(b"*-1\r\n".to_vec()),
        Just(b"PING \"a b\"\r\n".to_vec()),
        Just(b"+x\r\n".to_vec()),
        Just(b"\r\n".to_vec()),
        vec(any::<u8>(), 0..4),
    ];
    vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn frames_round_trip(frames_in in vec(frame(), 1..5), cuts in vec(any::<usize>(), 0..10)) {
        let mut out = BytesMut::new();
        for frame in &frames_in {
            encode(frame, Protocol::Resp3, &mut out);
        }
        let (found, error) = frames(Limits::REPLY, &out, &cuts);
        prop_assert_eq!(error, None);
        prop_assert_eq!(found, frames_in);
    }

    #[test]
    fn requests_round_trip(words in vec(vec(text(), 1..6), 1..5), cuts in vec(any::<usize>(), 0..10)) {
        let mut out = BytesMut::new();
        for request in &words {
            let start = out.len();
            encode_command(request, &mut out);
            prop_assert_eq!(&out[start..], &Frame::command(request).to_bytes(Protocol::Resp2));
        }
        let (found, error) = requests(Limits::CLIENT, &out, &cuts);
        prop_assert_eq!(error, None);
        prop_assert_eq!(found, words);
    }

    #[test]
    fn cuts_do_not_matter(input in nearly_resp(), cuts in vec(any::<usize>(), 0..40)) {
        let small = Limits { max_args: 4, max_bulk_bytes: 4, max_inline_bytes: 16, max_depth: 3, max_total: 400 };
        for limits in [Limits::CLIENT, small] {
            prop_assert_eq!(requests(limits, &input, &cuts), requests(limits, &input, &[]));
            prop_assert_eq!(frames(limits, &input, &cuts), frames(limits, &input, &[]));
        }
    }

    #[test]
    fn random_bytes_never_panic(input in vec(any::<u8>(), 0..500), cuts in vec(any::<usize>(), 0..10)) {
        requests(Limits::CLIENT, &input, &cuts);
        frames(Limits::REPLY, &input, &cuts);
    }
}
