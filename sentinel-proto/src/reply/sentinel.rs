//! Replies of SENTINEL subcommands other than the instance descriptions.

use bytes::Bytes;

use super::error::ErrorReply;
use super::session::integer;
use crate::resp::Frame;
use crate::types::{HostPort, SentinelId};

/// GET-MASTER-ADDR-BY-NAME; `None` = unknown name (or an answer that may not be given): a null array.
#[must_use]
pub fn master_address(address: Option<&HostPort>) -> Frame {
    address.map_or(Frame::NullArray, |address| {
        Frame::Array(vec![
            Frame::bulk(address.host.as_str()),
            Frame::bulk_number(address.port),
        ])
    })
}

/// MYID.
#[must_use]
pub fn myid(id: &SentinelId) -> Frame {
    Frame::bulk(id.as_str())
}

/// IS-MASTER-DOWN-BY-ADDR: whether it is down here, and the executor and epoch of the open plan (`*` and 0 = none).
#[must_use]
pub fn is_master_down(down: bool, executor: Option<(&SentinelId, u64)>) -> Frame {
    let (id, failover_epoch) = executor.map_or(("*", 0), |(id, epoch)| (id.as_str(), epoch));
    Frame::Array(vec![
        Frame::Integer(i64::from(down)),
        Frame::bulk(id),
        integer(failover_epoch),
    ])
}

/// CKQUORUM: `usable` sentinels, this one included, of `known` in all.
///
/// Sentinel's majority is that of all known sentinels; here it is that of the Raft voters, so the caller
/// says whether it is reached.
#[must_use]
pub fn ckquorum(usable: usize, odown_quorum: u32, majority_reached: bool) -> Frame {
    let odown_quorum_reached = usize::try_from(odown_quorum).is_ok_and(|quorum| usable >= quorum);
    if odown_quorum_reached && majority_reached {
        return Frame::simple(format!(
            "OK {usable} usable Sentinels. Quorum and failover authorization can be reached"
        ));
    }
    let mut text = format!("{usable} usable Sentinels. ");
    if !odown_quorum_reached {
        text.push_str("Not enough available Sentinels to reach the specified quorum for this master");
    }
    if !majority_reached {
        if !odown_quorum_reached {
            text.push_str(". ");
        }
        text.push_str("Not enough available Sentinels to reach the majority and authorize a failover");
    }
    ErrorReply::noquorum(text).into()
}

/// A map of bulk strings: CONFIG GET, DEBUG, RAFT STATUS.
#[must_use]
pub fn text_map<K: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (K, V)>) -> Frame {
    let pairs = pairs.into_iter();
    Frame::Map(
        pairs
            .map(|(name, value)| (Frame::bulk(name), Frame::bulk(value)))
            .collect(),
    )
}

/// One instance in INFO-CACHE: age of its INFO in milliseconds, and the text; `None` = none yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedInfo {
    /// Age, 0 when there is none.
    pub age_ms: u64,
    /// The text.
    pub text: Option<Bytes>,
}

/// INFO-CACHE: for each known name its instances, the master first.
#[must_use]
pub fn info_cache(groups: impl IntoIterator<Item = (String, Vec<CachedInfo>)>) -> Frame {
    let entry = |cached: CachedInfo| {
        let text = cached.text.map_or(Frame::NullBulk, Frame::Bulk);
        Frame::Array(vec![integer(cached.age_ms), text])
    };
    let mut items = Vec::new();
    for (name, instances) in groups {
        items.push(Frame::bulk(name));
        items.push(Frame::Array(instances.into_iter().map(entry).collect()));
    }
    Frame::Array(items)
}

/// How long a script has been running, or has to wait, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScriptTiming {
    /// It runs: `run-time`.
    RunTime(u64),
    /// It waits: `run-delay`.
    RunDelay(u64),
}

/// One job in PENDING-SCRIPTS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingScript {
    /// Path and arguments.
    pub argv: Vec<String>,
    /// Its process, 0 = none.
    pub pid: u32,
    /// Running or waiting, and how long.
    pub timing: ScriptTiming,
    /// Times it was started: `retry-num`.
    pub runs: u32,
}

/// PENDING-SCRIPTS, oldest first. Numbers are bulk strings.
#[must_use]
pub fn pending_scripts(jobs: impl IntoIterator<Item = PendingScript>) -> Frame {
    let job = |job: PendingScript| {
        let (flags, label, ms) = match job.timing {
            ScriptTiming::RunTime(ms) => ("running", "run-time", ms),
            ScriptTiming::RunDelay(ms) => ("scheduled", "run-delay", ms),
        };
        Frame::Map(vec![
            (Frame::bulk("argv"), Frame::bulks(job.argv)),
            (Frame::bulk("flags"), Frame::bulk(flags)),
            (Frame::bulk("pid"), Frame::bulk(job.pid.to_string())),
            (Frame::bulk(label), Frame::bulk(ms.to_string())),
            (Frame::bulk("retry-num"), Frame::bulk(job.runs.to_string())),
        ])
    };
    Frame::Array(jobs.into_iter().map(job).collect())
}
