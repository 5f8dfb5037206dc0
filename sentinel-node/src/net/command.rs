//! The command task: INFO and operations, one after the other, over a connection made when first needed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use sentinel_core::failover::{Operation, OperationResult};
use sentinel_core::monitor::MonitorInput;
use sentinel_proto::info::InstanceReport;
use tokio::sync::mpsc;

use super::connect::{Connection, connect};
use super::link::{CommandRequest, Deliver, LinkSettings};
use super::{operate, reply};

const CONNECT_LIMIT: Duration = Duration::from_millis(500);
const INFO_LIMIT: Duration = Duration::from_millis(1_000);
/// CONFIG REWRITE writes a file: a slow disk may take its time.
const OPERATION_LIMIT: Duration = Duration::from_millis(2_000);

/// Runs until the handle is dropped.
pub(super) async fn run(
    settings: Arc<ArcSwap<LinkSettings>>,
    mut requests: mpsc::Receiver<CommandRequest>,
    info_pending: Arc<AtomicBool>,
    deliver: Deliver,
) {
    let mut link: Option<(Arc<LinkSettings>, Connection)> = None;
    while let Some(request) = requests.recv().await {
        let current = settings.load_full();
        link = link.filter(|(with, connection)| **with == *current && !connection.is_closed());
        if link.is_none() {
            match connect(&current, "cmd", CONNECT_LIMIT).await {
                Ok(connection) => link = Some((Arc::clone(&current), connection)),
                Err((_, why)) => {
                    refuse(request, why, &info_pending);
                    continue;
                }
            }
        }
        let Some((_, connection)) = &mut link else {
            continue;
        };
        let usable = match request {
            CommandRequest::Info { full } => {
                let done = info(&current, connection, full, &deliver).await;
                info_pending.store(false, Ordering::Release);
                done
            }
            CommandRequest::Operate { what, permit, answer } => {
                let result = match permit().await {
                    Ok(()) => operate_within(&current, connection, &what).await,
                    Err(why) => OperationResult::Denied(why),
                };
                if let OperationResult::Done { role, report } = &result {
                    if let Some(report) = report {
                        deliver(MonitorInput::Info(report.clone())).await;
                    }
                    if let Some(role) = role {
                        deliver(MonitorInput::RoleSeen(role.clone())).await;
                    }
                }
                let usable = !matches!(result, OperationResult::Unreachable(_));
                // Whoever asked may have given up.
                let _ = answer.send(result);
                usable
            }
        };
        if !usable {
            link = None;
        }
    }
}

async fn operate_within(
    settings: &LinkSettings,
    connection: &mut Connection,
    what: &Operation,
) -> OperationResult {
    let work = operate::operate(&mut connection.commands, settings, what);
    tokio::time::timeout(OPERATION_LIMIT, work)
        .await
        .unwrap_or_else(|_| OperationResult::Unreachable("no answer in time".to_owned()))
}

fn refuse(request: CommandRequest, why: String, info_pending: &AtomicBool) {
    match request {
        CommandRequest::Info { .. } => info_pending.store(false, Ordering::Release),
        CommandRequest::Operate { answer, .. } => {
            let _ = answer.send(OperationResult::Unreachable(why));
        }
    }
}

async fn info(settings: &LinkSettings, connection: &mut Connection, full: bool, deliver: &Deliver) -> bool {
    let mut command = redis::cmd(settings.name("INFO"));
    if !full {
        command.arg("replication");
    }
    let mut pipe = redis::pipe();
    pipe.add_command(command);
    let answer = operate::send(&mut connection.commands, &pipe);
    let Ok(Ok(replies)) = tokio::time::timeout(INFO_LIMIT, answer).await else {
        return false;
    };
    if let Some(text) = replies.first().and_then(reply::text) {
        let report = Box::new(InstanceReport::parse(&text));
        let input = if full {
            MonitorInput::FullInfo(report, text.into())
        } else {
            MonitorInput::Info(report)
        };
        deliver(input).await;
    }
    true
}
