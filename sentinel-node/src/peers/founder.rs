//! The task that founds the group at first start, and afterwards keeps this node's member entry right.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use raft_store::{Proposal, RaftHandle};
use sentinel_core::replicated::Command;
use sentinel_core::time::MonoTime;
use sentinel_proto::NodeId;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{MissedTickBehavior, timeout};

use crate::clock::SharedClock;

use super::directory::Census;
use super::founding::{self, Own, Step};
use super::service::{FoundQuestion, Peers, RaftService};

/// How often the situation is looked at without news.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A wait shorter than this is not worth a line in the log.
const QUIET_MS: u64 = 1_500;
/// How often an unchanged wait is logged again.
const REPEAT_MS: u64 = 30_000;
/// How often a changing reason is logged: attempts to connect may fail in turns in different ways.
const CHANGED_MS: u64 = 5_000;
/// Deadline of one proposal about members.
const PROPOSE_WITHIN: Duration = Duration::from_secs(2);
/// Questions of other founders waiting for an answer.
const QUESTIONS: usize = 16;

impl RaftService for RaftHandle {
    fn serve(&self, request: Vec<u8>) -> BoxFuture<'static, Vec<u8>> {
        let handle = self.clone();
        Box::pin(async move { Self::serve(&handle, request).await })
    }
}

/// What founding needs from the configuration.
#[derive(Debug, Clone)]
pub struct FounderSettings {
    /// `quorum` arguments of all `sentinel monitor` lines.
    pub odown_quorums: Vec<u32>,
    /// First `bind` address, or loopback: our address when nobody ever reached us.
    pub fallback_host: String,
}

/// What both tasks share.
#[derive(Debug, Clone)]
struct Context {
    settings: FounderSettings,
    peers: Peers,
    raft: RaftHandle,
}

impl Context {
    fn own(&self) -> Own {
        let s = &self.peers.shared.settings;
        let live = self.peers.shared.live.load();
        Own {
            node: s.node,
            myid: s.myid.clone(),
            announce_host: live.announce_host.clone(),
            announce_port: live.announce_port,
            fallback_host: self.settings.fallback_host.clone(),
            initialised: self.raft.is_initialised(),
            cluster_id: self.raft.cluster_id(),
        }
    }

    fn census(&self) -> Arc<Census> {
        self.peers.census().borrow().clone()
    }

    fn tell_identity(&self) {
        self.peers
            .set_identity(self.raft.cluster_id(), self.raft.is_initialised());
    }

    /// Answers other founders; on its own, so that two founders that ask each other do not wait for each other.
    async fn answer_all(self, mut questions: mpsc::Receiver<FoundQuestion>) {
        while let Some(question) = questions.recv().await {
            let own = self.own();
            let mut verdict = founding::agree(&own, &self.census(), question.cluster_id, &question.members);
            if verdict.is_ok() && question.binding {
                verdict = self
                    .raft
                    .adopt_cluster(question.cluster_id)
                    .await
                    .map_err(|e| e.to_string());
                self.tell_identity();
            }
            let _ = question.answer.send(verdict.err());
        }
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Founder {
    context: Context,
    clock: SharedClock,
    started: MonoTime,
    /// Since when everybody is met.
    complete_since: Option<MonoTime>,
    /// Last line logged and when.
    said: Option<(String, MonoTime)>,
}

impl Founder {
    /// Starts the task on the present tokio runtime; it runs as long as the node. Also makes `raft` answer the
    /// Raft requests of peers.
    #[must_use]
    pub fn start(
        settings: FounderSettings,
        peers: Peers,
        raft: RaftHandle,
        clock: SharedClock,
    ) -> AbortHandle {
        peers.serve_raft(Arc::new(raft.clone()));
        let (tx, questions) = mpsc::channel(QUESTIONS);
        peers.answer_founding(tx);
        let context = Context {
            settings,
            peers,
            raft,
        };
        let founder = Self {
            context: context.clone(),
            started: clock.mono(),
            clock,
            complete_since: None,
            said: None,
        };
        tokio::spawn(context.answer_all(questions));
        tokio::spawn(founder.run()).abort_handle()
    }

    async fn run(mut self) {
        let mut census = self.context.peers.census();
        let mut status = self.context.raft.watch();
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                changed = census.changed() => if changed.is_err() { return },
                changed = status.changed() => if changed.is_err() { return },
                _ = look.tick() => {}
            }
            self.look().await;
        }
    }

    async fn look(&mut self) {
        self.context.tell_identity();
        let (own, census) = (self.context.own(), self.context.census());
        let now = self.clock.mono();
        let waited_ms = self.complete_since.map_or(0, |since| now.ms_since(since));
        match founding::step(&own, &census, &self.context.settings.odown_quorums, waited_ms) {
            Step::Initialised => self.keep_own_member(&own).await,
            Step::Propose { cluster_id, members } => {
                self.complete_since.get_or_insert(now);
                if let Err(reason) = self.found(&own, cluster_id, &members).await {
                    self.say(&reason);
                }
            }
            Step::Expect(text) => {
                self.complete_since.get_or_insert(now);
                self.say(&text);
            }
            Step::Wait(text) => {
                self.complete_since = None;
                self.say(&text);
            }
        }
    }

    /// Logs what is waited for: not in the first moments, then when it changes, then every half minute.
    fn say(&mut self, text: &str) {
        let now = self.clock.mono();
        if now.ms_since(self.started) < QUIET_MS {
            return;
        }
        let repeat = match &self.said {
            Some((said, at)) => now.ms_since(*at) >= if said == text { REPEAT_MS } else { CHANGED_MS },
            None => true,
        };
        if repeat {
            tracing::warn!(target: "sentinel::founding", "{text}");
            self.said = Some((text.to_owned(), now));
        }
    }

    async fn found(&self, own: &Own, cluster_id: u64, members: &[founding::Founder]) -> Result<(), String> {
        let Context { peers, raft, .. } = &self.context;
        for binding in [false, true] {
            let others = members.iter().filter(|(node, _, _)| *node != own.node);
            let asked = others.map(|(node, _, address)| async move {
                let answer = peers
                    .ask_founding(*node, cluster_id, members.to_vec(), binding)
                    .await;
                answer.map_err(|reason| format!("{address}: {reason}"))
            });
            let refusals: Vec<String> = join_all(asked)
                .await
                .into_iter()
                .filter_map(Result::err)
                .collect();
            if !refusals.is_empty() {
                return Err(format!(
                    "the group of sentinels is not founded yet: {}",
                    refusals.join("; ")
                ));
            }
        }
        let text = |e: raft_store::FoundError| format!("the group of sentinels is not founded yet: {e}");
        raft.adopt_cluster(cluster_id).await.map_err(text)?;
        // Peers answer Raft requests of members of their own group only: they have to know before the election.
        peers.set_identity(Some(cluster_id), false);
        let nodes: Vec<NodeId> = members.iter().map(|(node, _, _)| *node).collect();
        raft.found(&nodes, cluster_id).await.map_err(text)?;
        peers.set_identity(Some(cluster_id), true);
        tracing::info!(
            target: "sentinel::founding",
            "founded the group {cluster_id:016x} of {} sentinel(s): {}",
            members.len(),
            members.iter().map(|(_, _, address)| address.to_string()).collect::<Vec<_>>().join(", ")
        );
        for (node, myid, address) in members {
            let command = Command::SetMember {
                node: *node,
                myid: myid.clone(),
                address: address.clone(),
            };
            // Failing is no harm: each node proposes its own entry as well.
            if !matches!(self.propose(command).await, Proposal::Yes { .. }) {
                break;
            }
        }
        Ok(())
    }

    async fn propose(&self, command: Command) -> Proposal {
        let mut status = self.context.raft.watch();
        let led = async {
            status
                .wait_for(|s| s.raft_leader.is_some() && s.has_majority)
                .await
                .is_ok()
        };
        if !timeout(PROPOSE_WITHIN, led).await.unwrap_or(false) {
            return Proposal::NoMajority("no raft_leader".to_owned());
        }
        self.context.raft.propose(command, PROPOSE_WITHIN).await
    }

    /// Proposes our own entry when it is missing or not where we are.
    async fn keep_own_member(&self, own: &Own) {
        let raft = &self.context.raft;
        let status = raft.status();
        // While the log is still being read at start, the applied state is older than what was committed.
        if status.applied < status.committed || status.raft_leader.is_none() || !status.has_majority {
            return;
        }
        let (census, state) = (self.context.census(), raft.state());
        let Some(address) = founding::own_member_change(own, &census, &state) else {
            return;
        };
        if state.members.contains_key(&own.node) {
            tracing::info!(target: "sentinel::peers", "this sentinel moved to {address}: telling the group");
        }
        let command = Command::SetMember {
            node: own.node,
            myid: own.myid.clone(),
            address,
        };
        let _ = raft.propose(command, PROPOSE_WITHIN).await;
    }
}
