//! From the client library's values to ours.

use bytes::Bytes;
use redis::Value;
use sentinel_core::monitor::RoleAnswer;
use sentinel_proto::HostPort;
use sentinel_proto::info::{InstanceReport, ReportedRole};
use sentinel_proto::resp::Frame;
use sentinel_proto::role::{ReplicaLink, RoleReport};

/// Text of an error reply, code first: `WRONGPASS invalid ...`.
pub(super) fn error_text(value: &Value) -> Option<String> {
    match value {
        Value::ServerError(error) => {
            let details = error.details().unwrap_or_default();
            Some(format!("{} {details}", error.code()).trim_end().to_owned())
        }
        _ => None,
    }
}

/// Text of a status or bulk reply.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::Okay => Some("OK".to_owned()),
        Value::SimpleString(text) => Some(text.clone()),
        Value::BulkString(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Value::VerbatimString { text, .. } => Some(text.clone()),
        _ => None,
    }
}

/// The parts of a value that a ROLE answer can consist of.
fn frame(value: &Value) -> Frame {
    match value {
        Value::Int(number) => Frame::Integer(*number),
        Value::BulkString(bytes) => Frame::Bulk(Bytes::copy_from_slice(bytes)),
        Value::SimpleString(text) => Frame::Bulk(Bytes::copy_from_slice(text.as_bytes())),
        Value::Array(items) => Frame::Array(items.iter().map(frame).collect()),
        Value::ServerError(_) => Frame::Error(error_text(value).unwrap_or_default().into()),
        _ => Frame::Array(Vec::new()),
    }
}

/// Reads an answer to ROLE.
pub(super) fn role(value: &Value) -> RoleAnswer {
    if let Some(error) = error_text(value) {
        let refused = error.starts_with("NOPERM") || error.contains("unknown command");
        return if refused {
            RoleAnswer::Refused
        } else {
            RoleAnswer::Unusable
        };
    }
    RoleReport::from_frame(&frame(value)).map_or(RoleAnswer::Unusable, RoleAnswer::Role)
}

/// What INFO replication says, in the form of ROLE: for users without the right to ROLE.
pub(super) fn role_from_info(info: &InstanceReport) -> Option<RoleReport> {
    match info.role? {
        ReportedRole::Master => Some(RoleReport::Master {
            offset: info.master_repl_offset.unwrap_or(0),
            replicas: info.replicas.iter().map(|r| (r.clone(), 0)).collect(),
        }),
        ReportedRole::Replica => Some(RoleReport::Replica {
            master: HostPort::new(info.master_host.clone()?, info.master_port?),
            link: match (info.master_sync_in_progress, info.master_link_up) {
                (Some(true), _) => ReplicaLink::Sync,
                (_, Some(true)) => ReplicaLink::Connected,
                _ => ReplicaLink::Connect,
            },
            offset: info.slave_repl_offset.unwrap_or(-1),
        }),
    }
}
