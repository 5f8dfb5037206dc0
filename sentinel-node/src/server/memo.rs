//! The answer to a repeated address query, without parsing it again.
//!
//! Clients and their connection pools ask the same `SENTINEL get-master-addr-by-name` over and over. A
//! connection remembers the bytes of the last such request with the bytes of its reply, and answers an
//! identical request from there while the applied state and the host names are the same and this node has a majority (the
//! only other thing the answer depends on).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Buf as _, Bytes, BytesMut};
use sentinel_proto::resp::encode_command;

use crate::view::NodeView;

/// Longer requests are not remembered.
const MAX_REQUEST_BYTES: usize = 256;

/// Identity of an applied state (where it is and how far: an address alone could be re-used), and version of the names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Version(usize, u64, u64);

impl Version {
    /// To be taken before what is read.
    pub(super) fn of(view: &NodeView) -> Self {
        let names = view.names.version();
        let state = view.state.load();
        Self(Arc::as_ptr(&state).addr(), state.last_applied, names)
    }
}

/// The last request, if it was an address query. Its buffers are used again and again.
#[derive(Debug, Default)]
pub(super) struct Memo {
    request: BytesMut,
    reply: BytesMut,
    /// What the reply was made from; `None` = nothing is remembered.
    version: Option<Version>,
}

impl Memo {
    /// Another request came.
    pub(super) fn forget(&mut self) {
        self.version = None;
    }

    /// Remembers `words` with the bytes of their reply; `version` is what the reply was made from.
    pub(super) fn remember(&mut self, words: &[Bytes], reply: &[u8], version: Version) {
        if words.iter().map(Bytes::len).sum::<usize>() > MAX_REQUEST_BYTES {
            return self.forget();
        }
        self.request.clear();
        encode_command(words, &mut self.request);
        self.reply.clear();
        self.reply.extend_from_slice(reply);
        self.version = Some(version);
    }

    /// True while there is an answer that is still right.
    pub(super) fn is_valid(&self, view: &NodeView) -> bool {
        self.version
            .is_some_and(|version| view.has_majority.load(Ordering::Relaxed) && version == Version::of(view))
    }

    /// Answers identical requests at the start of `input`; returns how many.
    pub(super) fn answer(&self, input: &mut BytesMut, output: &mut BytesMut, limit: usize) -> u64 {
        let mut answered = 0u64;
        while input.starts_with(&self.request) && output.len() < limit {
            output.extend_from_slice(&self.reply);
            input.advance(self.request.len());
            answered = answered.saturating_add(1);
        }
        answered
    }
}

#[cfg(test)]
mod tests {
    use sentinel_core::replicated::State;
    use sentinel_proto::resp::{Frame, Protocol};
    use sentinel_proto::{NodeId, SentinelId};

    use super::*;

    #[test]
    fn repetitions_are_answered_until_the_state_or_the_majority_changes() {
        let state = Arc::new(State::default());
        let view = NodeView::new(NodeId(1), SentinelId::from_bytes([1; 20]), Arc::clone(&state));
        view.has_majority.store(true, Ordering::Relaxed);
        let words = ["SENTINEL", "get-master-addr-by-name", "m"].map(Bytes::from);
        let mut memo = Memo::default();
        assert!(!memo.is_valid(&view));
        memo.remember(&words, b"+OK\r\n", Version::of(&view));
        let request = Frame::command(&words).to_bytes(Protocol::Resp2);
        let mut input = BytesMut::from(&request.repeat(3)[..]);
        input.extend_from_slice(b"*1\r\n");
        let mut output = BytesMut::new();
        assert!(memo.is_valid(&view));
        assert_eq!(memo.answer(&mut input, &mut output, 1000), 3);
        assert_eq!(
            (&input[..], &output[..]),
            (&b"*1\r\n"[..], &b"+OK\r\n+OK\r\n+OK\r\n"[..])
        );
        view.has_majority.store(false, Ordering::Relaxed);
        assert!(!memo.is_valid(&view));
        view.has_majority.store(true, Ordering::Relaxed);
        view.names.set_policy(true, true);
        assert!(!memo.is_valid(&view));
        memo.remember(&words, b"+OK\r\n", Version::of(&view));
        assert!(memo.is_valid(&view));
        view.state.store(Arc::new(State::default()));
        assert!(!memo.is_valid(&view));
        memo.remember(&words, b"+OK\r\n", Version::of(&view));
        memo.forget();
        assert!(!memo.is_valid(&view));
        memo.remember(&[Bytes::from(vec![b'm'; 257])], b"", Version::of(&view));
        assert!(!memo.is_valid(&view));
    }
}
