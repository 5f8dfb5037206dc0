//! Subjectively down of sentinels: nothing heard on any connection for `sdown_after`, in which this process ran. Pure.

use std::collections::BTreeMap;

use sentinel_core::time::MonoTime;
use sentinel_proto::NodeId;

/// What is known about one peer's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Life {
    /// Last sign of life; starts when the peer became known.
    pub(super) last_ok: MonoTime,
    /// Since when subjectively down.
    pub(super) sdown_since: Option<MonoTime>,
}

/// Lives of all known peers.
#[derive(Debug, Default)]
pub(super) struct Liveness {
    lives: BTreeMap<NodeId, Life>,
    last_step: Option<MonoTime>,
    /// End of the last time in which this process did not run: silence from before says nothing about others.
    awake_since: MonoTime,
}

impl Liveness {
    /// Keeps exactly the peers named, with the time each was last heard (`None` = no connection up), and returns the
    /// changes: `true` = down now.
    pub(super) fn step(
        &mut self,
        now: MonoTime,
        sdown_after_ms: u64,
        heard: &BTreeMap<NodeId, Option<MonoTime>>,
    ) -> Vec<(NodeId, bool)> {
        let stalled = |last: MonoTime| now.ms_since(last) >= sdown_after_ms / 2;
        if self.last_step.replace(now).is_some_and(stalled) {
            self.awake_since = now;
        }
        self.lives.retain(|node, _| heard.contains_key(node));
        let mut changes = Vec::new();
        for (node, heard) in heard {
            let life = self.lives.entry(*node).or_insert(Life {
                last_ok: now,
                sdown_since: None,
            });
            life.last_ok = life.last_ok.max(heard.unwrap_or(life.last_ok));
            let silent_since = match life.sdown_since {
                Some(_) => life.last_ok,
                None => life.last_ok.max(self.awake_since),
            };
            let down = now.ms_since(silent_since) >= sdown_after_ms;
            match (down, life.sdown_since) {
                (true, None) => {
                    life.sdown_since = Some(now);
                    changes.push((*node, true));
                }
                (false, Some(_)) => {
                    life.sdown_since = None;
                    changes.push((*node, false));
                }
                _ => {}
            }
        }
        changes
    }

    /// One peer's life.
    pub(super) fn get(&self, node: NodeId) -> Option<Life> {
        self.lives.get(&node).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const N: NodeId = NodeId(2);

    fn heard(at: Option<u64>) -> BTreeMap<NodeId, Option<MonoTime>> {
        BTreeMap::from([(N, at.map(MonoTime))])
    }

    #[test]
    fn down_at_the_deadline_and_up_with_the_next_sign_of_life() {
        let mut l = Liveness::default();
        assert!(
            l.step(MonoTime(1000), 2000, &heard(None)).is_empty(),
            "known since now"
        );
        for at in [1900, 2000, 2900, 3499] {
            assert!(l.step(MonoTime(at), 2000, &heard(Some(1500))).is_empty());
        }
        assert_eq!(l.step(MonoTime(3500), 2000, &heard(None)), [(N, true)]);
        assert!(l.step(MonoTime(9000), 2000, &heard(None)).is_empty(), "said once");
        assert_eq!(l.get(N).unwrap().sdown_since, Some(MonoTime(3500)));
        assert_eq!(l.step(MonoTime(9001), 2000, &heard(Some(9001))), [(N, false)]);
    }

    #[test]
    fn who_did_not_run_blames_nobody_and_takes_nothing_back() {
        let mut l = Liveness::default();
        l.step(MonoTime(1000), 2000, &heard(None));
        assert!(l.step(MonoTime(6000), 2000, &heard(None)).is_empty(), "stalled");
        assert!(l.step(MonoTime(6900), 2000, &heard(None)).is_empty());
        assert!(l.step(MonoTime(7800), 2000, &heard(None)).is_empty());
        assert_eq!(l.step(MonoTime(8000), 2000, &heard(None)), [(N, true)]);
        assert!(
            l.step(MonoTime(20_000), 2000, &heard(None)).is_empty(),
            "still down"
        );
    }

    #[test]
    fn a_forgotten_peer_leaves_nothing_behind() {
        let mut l = Liveness::default();
        l.step(MonoTime(0), 10, &heard(None));
        l.step(MonoTime(100), 10, &heard(None));
        assert!(l.step(MonoTime(200), 10, &BTreeMap::new()).is_empty());
        assert_eq!(l.get(N), None);
        assert!(l.step(MonoTime(300), 10, &heard(None)).is_empty(), "a new life");
    }
}
