//! What another sentinel sends: frames in pieces, their content, and the Raft requests and answers inside.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use raft_store::codec;
use raft_store::recode_rpc;
use sentinel_fuzz::{decode_all, offer_seeds, split_seed, within};
use sentinel_node::peers::{FrameDecoder, FrameError};
use sentinel_proto::peer::{LAST_PIECE_BIT, Opinion, PIECE_BIT, PeerBody, PeerFrame, PeerHello};
use sentinel_proto::{EvidenceClass, HostPort, MasterName, NodeId, SentinelId};

/// One connection that says everything once, and each of its frames by itself.
fn seeds() -> Option<Vec<(&'static str, Vec<u8>)>> {
    let (node, myid) = (NodeId(7), SentinelId::from_bytes([7; 20]));
    let address = HostPort::new("10.0.0.1", 26379);
    let bodies = [
        (
            "hello",
            PeerBody::Hello(PeerHello {
                node,
                myid: myid.clone(),
                cluster_id: Some(5),
                announce_host: Some("::1".into()),
                announce_port: 26379,
                dialed: Some(address.clone()),
                initialised: true,
                boot: 9,
            }),
        ),
        ("ping", PeerBody::Ping),
        (
            "opinions",
            PeerBody::Opinions(vec![Opinion {
                master: MasterName::new("m").ok()?,
                address: address.clone(),
                config_epoch: 3,
                down: true,
                class: EvidenceClass::Silent,
                class_age_ms: 1_000,
                refused_count: 2,
                silent_ms: Some(900),
                reachable_replicas: 2,
            }]),
        ),
        // Version, group, sender, and a pre-vote, a forwarded question, and the answer to it.
        ("vote", PeerBody::Raft(vec![1, 5, 7, 2, 2, 7, 0, 0, 0])),
        ("read", PeerBody::Raft(vec![1, 5, 7, 6, 100])),
        ("reply", PeerBody::RaftReply(vec![1, 5, 0, 100])),
        (
            "found",
            PeerBody::Found {
                cluster_id: 5,
                members: vec![(node, myid, address)],
                binding: true,
            },
        ),
        ("goodbye", PeerBody::Goodbye("bye".into())),
    ];
    let mut all = vec![9];
    let mut seeds = Vec::new();
    for (name, body) in bodies {
        let encoded = codec::encode_frame(&PeerFrame { id: 1, body }).ok()?;
        all.extend_from_slice(&in_pieces(&encoded, 20));
        let mut seed = vec![3];
        seed.extend_from_slice(&encoded);
        seeds.push((name, seed));
    }
    seeds.push(("all", all));
    Some(seeds)
}

/// serde reserves up to a megabyte for a list, or a list in it, before its first element.
const RESERVE: usize = 4 * 1024 * 1024;

/// The frame in pieces of `size` bytes.
fn in_pieces(body: &[u8], size: usize) -> BytesMut {
    let mut wire = BytesMut::new();
    let count = body.chunks(size).count();
    for (index, piece) in body.chunks(size).enumerate() {
        let last = if index + 1 == count { LAST_PIECE_BIT } else { 0 };
        wire.extend_from_slice(&(piece.len() as u32 | PIECE_BIT | last).to_be_bytes());
        wire.extend_from_slice(piece);
    }
    wire
}

fn check(frame: &PeerFrame, seed: u8) {
    // As the log would show it.
    drop(format!("{frame:?}"));
    let body = codec::encode_frame(frame).expect("what was read can be written");
    let mut decoder = FrameDecoder::new();
    decoder.raise_limit();
    let mut wire = in_pieces(&body, 1 + usize::from(seed));
    assert_eq!(decoder.decode(&mut wire).expect("pieces").as_ref(), Some(frame));
    match &frame.body {
        PeerBody::Hello(hello) => assert_eq!(hello.myid.short().len(), 8),
        PeerBody::Raft(bytes) | PeerBody::RaftReply(bytes) => rpc(bytes),
        _ => {}
    }
}

fn rpc(bytes: &[u8]) {
    if let Some(once) = within(400 * bytes.len() + RESERVE, || recode_rpc(bytes)) {
        assert_eq!(recode_rpc(&once), Some(once), "not the same after it was written");
    }
}

fuzz_target!(init: offer_seeds(seeds().unwrap_or_default()), |data: &[u8]| {
    let Some((seed, data)) = split_seed(data) else {
        return;
    };
    let decode = |seed| {
        let mut decoder = FrameDecoder::new();
        decoder.raise_limit();
        decode_all(data, seed, |input| decoder.decode(input))
    };
    let (frames, error) = within(400 * data.len() + RESERVE, || decode(0));
    let (same, same_error) = decode(seed);
    assert_eq!(same, frames, "cut with {seed}");
    assert_eq!(same_error.map(|e| e.to_string()), error.as_ref().map(FrameError::to_string));
    for frame in &frames {
        check(frame, seed);
    }
    // Also without the frames around them: a fuzzer should not have to find a whole valid frame first.
    if let Ok(frame) = codec::decode_frame(data) {
        check(&frame, seed);
    }
    rpc(data);
});
