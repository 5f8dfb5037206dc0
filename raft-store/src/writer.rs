//! The thread that writes the log: one queue, one transaction per group of requests, one sync per transaction.
//!
//! ```text
//! RaftCore ─ append / vote / truncate / purge ─> queue ─> [ take all that wait ] ─> redb commit (fsync) ─> callbacks
//! ```
//!
//! Invariants:
//! * requests take effect in the order of the queue; a callback reports success only after the sync;
//! * after the first error nothing is written any more and every later request fails: a failed fsync says
//!   nothing about what is on the disk, so it is never retried (the page may be marked clean already).
//!
//! Records carry their own checksum over key and value: redb verifies its pages when it opens, not at each read.

use std::io;
use std::thread;

use openraft::storage::IOFlushed;
use redb::{Database, Durability, TableDefinition};
use tokio::sync::{mpsc, oneshot, watch};

use crate::types::TypeConfig;

/// Entries: index to record.
pub(crate) const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
/// Everything else: name to record.
pub(crate) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// Key of the vote in [`META`].
pub(crate) const VOTE: &str = "vote";
/// Key of the last purged log id in [`META`].
pub(crate) const PURGED: &str = "purged";
/// Key of the owner's node id in [`META`].
pub(crate) const OWNER: &str = "owner";

/// Requests that may wait; `RaftCore` waits beyond that.
const QUEUE: usize = 1024;
/// Requests that one transaction takes at most.
const GROUP: usize = 256;

type Done = oneshot::Sender<io::Result<()>>;

/// One request.
pub(crate) enum Op {
    /// Stores entries: index and record.
    Append(Vec<(u64, Vec<u8>)>, IOFlushed<TypeConfig>),
    /// Stores the vote.
    Vote(Vec<u8>, Done),
    /// Removes all entries from this index on.
    Truncate(u64, Done),
    /// Removes all entries up to this index and stores the record of the purged log id. Nobody waits for it:
    /// a purge that is lost leaves more entries than needed.
    Purge(u64, Vec<u8>),
    /// Closes the file and ends the thread.
    Stop(oneshot::Sender<()>),
}

/// The queue's end in the async world.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    queue: mpsc::Sender<Op>,
    failed: watch::Receiver<Option<String>>,
}

impl Writer {
    /// Starts the thread.
    pub(crate) fn start(db: Database) -> io::Result<Self> {
        let (queue, requests) = mpsc::channel(QUEUE);
        let (failure, failed) = watch::channel(None);
        thread::Builder::new()
            .name("raft-log".to_owned())
            .spawn(move || run(db, requests, &failure))?;
        Ok(Self { queue, failed })
    }

    /// The first error; nothing was written after it.
    pub(crate) fn failed(&self) -> watch::Receiver<Option<String>> {
        self.failed.clone()
    }

    /// Queues a request.
    pub(crate) async fn submit(&self, op: Op) -> io::Result<()> {
        self.queue.send(op).await.map_err(|_| closed())
    }

    /// Queues a request and waits until it is durable.
    pub(crate) async fn perform(&self, op: impl FnOnce(Done) -> Op) -> io::Result<()> {
        let (done, result) = oneshot::channel();
        self.submit(op(done)).await?;
        result.await.map_err(|_| closed())?
    }

    /// Waits for what is queued, closes the file and ends the thread.
    pub(crate) async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        if self.submit(Op::Stop(done)).await.is_ok() {
            // An error means that the thread has ended already.
            let _ = stopped.await;
        }
    }
}

fn closed() -> io::Error {
    io::Error::other("the log is closed")
}

fn run(db: Database, mut requests: mpsc::Receiver<Op>, failure: &watch::Sender<Option<String>>) {
    let mut stopped = None;
    while stopped.is_none() {
        let Some(first) = requests.blocking_recv() else {
            break;
        };
        let mut group = Vec::new();
        let mut next = Some(first);
        while let Some(op) = next {
            if let Op::Stop(done) = op {
                stopped = Some(done);
                break;
            }
            group.push(op);
            next = if group.len() < GROUP {
                requests.try_recv().ok()
            } else {
                None
            };
        }
        if failure.borrow().is_none() && !group.is_empty() {
            if let Err(e) = write(&db, &group) {
                tracing::error!(error = %e, "raft log: write failed, this node stops voting and storing");
                failure.send_replace(Some(e.to_string()));
            }
        }
        let failed = failure.borrow().clone();
        for op in group {
            complete(op, failed.as_deref());
        }
    }
    drop(db);
    if let Some(done) = stopped {
        // Nobody may be waiting any more.
        let _ = done.send(());
    }
}

fn write(db: &Database, group: &[Op]) -> Result<(), redb::Error> {
    let mut transaction = db.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    {
        let mut log = transaction.open_table(LOG)?;
        let mut meta = transaction.open_table(META)?;
        for op in group {
            match op {
                Op::Append(records, _) => {
                    for (index, record) in records {
                        log.insert(index, record.as_slice())?;
                    }
                }
                Op::Vote(record, _) => {
                    meta.insert(VOTE, record.as_slice())?;
                }
                Op::Truncate(from, _) => log.retain_in(*from.., |_, _| false)?,
                Op::Purge(upto, record) => {
                    log.retain_in(..=*upto, |_, _| false)?;
                    meta.insert(PURGED, record.as_slice())?;
                }
                Op::Stop(_) => {}
            }
        }
    }
    transaction.commit()?;
    Ok(())
}

fn complete(op: Op, failed: Option<&str>) {
    let result = || match failed {
        None => Ok(()),
        Some(reason) => Err(io::Error::other(format!("raft log: {reason}"))),
    };
    match op {
        Op::Append(_, flushed) => flushed.io_completed(result()),
        // The asker may have gone: shutting down.
        Op::Vote(_, done) | Op::Truncate(_, done) => drop(done.send(result())),
        Op::Purge(..) | Op::Stop(_) => {}
    }
}
