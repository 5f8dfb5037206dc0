//! The state machine: `sentinel_core::replicated::apply`, and nothing else.
//!
//! The state lives in memory; on disk it is the last snapshot plus the log after it. What is applied goes to
//! the node in log order over a bounded channel; when that is full, applying waits.
//!
//! While the log is recovered at start nothing is sent: `RaftHandle::open` returns the recovered state.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::{Stream, StreamExt as _};
use openraft::EntryPayload;
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use sentinel_core::replicated::{Change, Outcome, State, apply};
use tokio::sync::{mpsc, watch};

use crate::codec;
use crate::handle::Applied;
use crate::snapshot::SnapshotStore;
use crate::types::{LogId, Snapshot, SnapshotBytes, SnapshotMeta, StoredMembership, TypeConfig};

/// The newest applied state; `index` is `None` before the first entry.
#[derive(Debug, Clone, Default)]
pub(crate) struct View {
    pub(crate) index: Option<u64>,
    pub(crate) state: Arc<State>,
}

/// The state machine of one node.
#[derive(Debug)]
pub(crate) struct Machine {
    state: Arc<State>,
    last_applied: Option<LogId>,
    membership: StoredMembership,
    snapshots: SnapshotStore,
    view: watch::Sender<View>,
    out: mpsc::Sender<Applied>,
    replay_until: Option<u64>,
    recovering: Arc<AtomicBool>,
}

impl Machine {
    /// A machine without state; openraft installs the stored snapshot and re-applies the log.
    pub(crate) fn new(
        snapshots: SnapshotStore,
        view: watch::Sender<View>,
        out: mpsc::Sender<Applied>,
        replay_until: Option<u64>,
        recovering: Arc<AtomicBool>,
    ) -> Self {
        Self {
            state: Arc::default(),
            last_applied: None,
            membership: StoredMembership::default(),
            snapshots,
            view,
            out,
            replay_until,
            recovering,
        }
    }

    async fn publish(&self, index: u64, changes: Vec<Change>, from_snapshot: bool) {
        if self.recovering.load(Ordering::Acquire) {
            return;
        }
        self.show();
        let replayed = from_snapshot || self.replay_until.is_some_and(|until| index <= until);
        let applied = Applied {
            index,
            state: Arc::clone(&self.state),
            changes,
            replayed,
        };
        // A receiver that is gone is a node that shuts down; the log goes on.
        let _ = self.out.send(applied).await;
    }

    /// Lets `RaftHandle` see the present state.
    fn show(&self) {
        let index = self.last_applied.map(|id| id.index);
        self.view.send_replace(View {
            index,
            state: Arc::clone(&self.state),
        });
    }

    fn meta(&self) -> SnapshotMeta {
        SnapshotMeta {
            last_log_id: self.last_applied,
            last_membership: self.membership.clone(),
        }
    }
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotData = SnapshotBytes;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok((self.last_applied, self.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + Send,
    {
        while let Some(item) = entries.next().await {
            let (entry, responder) = item?;
            let id = entry.log_id;
            let state = Arc::make_mut(&mut self.state);
            let (outcome, changes) = match entry.payload {
                EntryPayload::Normal(logged) => apply(state, id.index, &logged.0),
                EntryPayload::Blank => (Outcome::Done, Vec::new()),
                EntryPayload::Membership(membership) => {
                    self.membership = StoredMembership::new(Some(id), membership);
                    (Outcome::Done, Vec::new())
                }
            };
            state.last_applied = id.index;
            self.last_applied = Some(id);
            self.publish(id.index, changes, false).await;
            if let Some(responder) = responder {
                responder.send(outcome);
            }
        }
        // Once per batch while recovering: every copy that is shown costs a clone of the state later.
        self.show();
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder {
            meta: self.meta(),
            state: Arc::clone(&self.state),
            snapshots: self.snapshots.clone(),
        }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: SnapshotBytes,
    ) -> Result<(), io::Error> {
        let state: State = codec::decode(&snapshot).map_err(io::Error::other)?;
        self.snapshots.save(meta, &snapshot).await?;
        self.state = Arc::new(state);
        self.last_applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        if let Some(id) = meta.last_log_id {
            self.publish(id.index, Vec::new(), true).await;
        }
        self.show();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        self.snapshots.current().await
    }
}

/// Writes a snapshot of the state as it was when the builder was made.
pub(crate) struct Builder {
    meta: SnapshotMeta,
    state: Arc<State>,
    snapshots: SnapshotStore,
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = SnapshotBytes;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        let state = Arc::clone(&self.state);
        let bytes = tokio::task::spawn_blocking(move || codec::encode(&*state))
            .await
            .map_err(io::Error::other)?
            .map_err(io::Error::other)?;
        self.snapshots.save(&self.meta, &bytes).await?;
        Ok(Snapshot {
            meta: self.meta.clone(),
            snapshot: bytes,
        })
    }
}
