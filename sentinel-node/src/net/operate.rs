//! Operations on a Redis server: the commands, and what each reply means.

use redis::aio::MultiplexedConnection;
use redis::{Pipeline, RedisError, Value};
use sentinel_core::failover::{Operation, OperationResult};
use sentinel_core::monitor::RoleAnswer;
use sentinel_proto::info::InstanceReport;
use sentinel_proto::role::RoleReport;

use super::link::LinkSettings;
use super::{handover, reply};

/// Sends a pipeline; error replies are values, not errors.
pub(super) async fn send(
    commands: &mut MultiplexedConnection,
    pipe: &Pipeline,
) -> Result<Vec<Value>, RedisError> {
    let count = pipe.cmd_iter().count();
    commands.send_packed_commands(pipe, 0, count).await
}

/// Does one operation.
pub(super) async fn operate(
    commands: &mut MultiplexedConnection,
    settings: &LinkSettings,
    what: &Operation,
) -> OperationResult {
    let result = match what {
        Operation::CutConnections { of } => cut(commands, settings, of.short()).await,
        Operation::PauseWrites { ms } => pause(commands, settings, *ms).await,
        Operation::ResumeWrites => one(commands, settings, "CLIENT", "UNPAUSE").await,
        Operation::KillScript => one(commands, settings, "SCRIPT", "KILL").await,
        Operation::ReadRole => read_role(commands, settings).await,
        Operation::ReadReplication => read_replication(commands, settings).await,
        Operation::HandOver { to, ms } => handover::hand_over(commands, settings, to, *ms).await,
        Operation::CallOff => handover::call_off(commands, settings).await,
        Operation::Release { demoted } => release(commands, settings, *demoted).await,
        Operation::Promote => {
            let order = ["SLAVEOF", "NO", "ONE"];
            reconfigure(commands, settings, Some(&order), &COURTESIES, false).await
        }
        Operation::Follow {
            master,
            resume_writes,
        } => {
            let port = master.port.to_string();
            let order = ["SLAVEOF", &master.host, &port];
            reconfigure(commands, settings, Some(&order), &COURTESIES, *resume_writes).await
        }
    };
    result.unwrap_or_else(|error| OperationResult::Unreachable(error.to_string()))
}

async fn one(
    commands: &mut MultiplexedConnection,
    settings: &LinkSettings,
    command: &str,
    argument: &str,
) -> Answer {
    let mut pipe = redis::pipe();
    pipe.cmd(settings.name(command)).arg(argument);
    let replies = send(commands, &pipe).await?;
    Ok(first_error(&replies).unwrap_or_else(done))
}

fn done() -> OperationResult {
    OperationResult::Done {
        role: None,
        report: None,
    }
}

pub(super) fn first_error(replies: &[Value]) -> Option<OperationResult> {
    replies
        .iter()
        .find_map(reply::error_text)
        .map(OperationResult::Refused)
}

pub(super) type Answer = Result<OperationResult, RedisError>;

/// Closes the command connections of a former executor.
async fn cut(commands: &mut MultiplexedConnection, settings: &LinkSettings, short_id: &str) -> Answer {
    let client = settings.name("CLIENT");
    let mut pipe = redis::pipe();
    pipe.cmd(client).arg("LIST").arg("TYPE").arg("normal");
    let replies = send(commands, &pipe).await?;
    let Some(list) = replies.first().and_then(reply::text) else {
        return Ok(first_error(&replies).unwrap_or_else(done));
    };
    let name = format!("name=sentinel-{short_id}-cmd");
    let mut pipe = redis::pipe();
    for line in list
        .lines()
        .filter(|line| line.split(' ').any(|word| word == name))
    {
        if let Some(id) = line.split(' ').find_map(|word| word.strip_prefix("id=")) {
            pipe.cmd(client).arg("KILL").arg("ID").arg(id);
        }
    }
    if pipe.cmd_iter().next().is_some() {
        send(commands, &pipe).await?;
    }
    Ok(done())
}

async fn pause(commands: &mut MultiplexedConnection, settings: &LinkSettings, ms: u64) -> Answer {
    let mut pipe = redis::pipe();
    pipe.cmd(settings.name("CLIENT"))
        .arg("PAUSE")
        .arg(ms)
        .arg("WRITE");
    pipe.cmd(settings.name("INFO")).arg("replication");
    let replies = send(commands, &pipe).await?;
    if let Some(refused) = first_error(&replies) {
        return Ok(refused);
    }
    let report = replies
        .get(1)
        .and_then(reply::text)
        .map(|text| Box::new(InstanceReport::parse(text)));
    Ok(OperationResult::Done { role: None, report })
}

async fn read_role(commands: &mut MultiplexedConnection, settings: &LinkSettings) -> Answer {
    let mut pipe = redis::pipe();
    pipe.cmd(settings.name("ROLE"));
    let replies = send(commands, &pipe).await?;
    match replies.first().map(reply::role) {
        Some(RoleAnswer::Role(role)) => Ok(OperationResult::Done {
            role: Some(role),
            report: None,
        }),
        _ => read_replication(commands, settings).await,
    }
}

/// The next best where ROLE is not allowed.
pub(super) async fn read_replication(
    commands: &mut MultiplexedConnection,
    settings: &LinkSettings,
) -> Answer {
    let mut pipe = redis::pipe();
    pipe.cmd(settings.name("INFO")).arg("replication");
    let replies = send(commands, &pipe).await?;
    if let Some(refused) = first_error(&replies) {
        return Ok(refused);
    }
    let report = replies.first().and_then(reply::text).map(InstanceReport::parse);
    let role = report.as_ref().and_then(reply::role_from_info);
    Ok(OperationResult::Done {
        role,
        report: report.map(Box::new),
    })
}

/// A transaction after a hand-over: the clients are sent away before their paused writes would be answered. On a server
/// that must be a replica by now (`demoted`) nothing is done if it says otherwise.
async fn release(commands: &mut MultiplexedConnection, settings: &LinkSettings, demoted: bool) -> Answer {
    if demoted {
        if let OperationResult::Done {
            role: Some(RoleReport::Master { .. }),
            ..
        } = read_role(commands, settings).await?
        {
            return Ok(OperationResult::Refused("it is still a master".to_owned()));
        }
    }
    let mut courtesies: Vec<&[&str]> = COURTESIES.to_vec();
    courtesies.push(&["CLIENT", "UNPAUSE"]);
    reconfigure(commands, settings, None, &courtesies, false).await
}

/// The commands of the transaction after SLAVEOF: what a restricted user may be refused without harm.
const COURTESIES: [&[&str]; 3] = [
    &["CONFIG", "REWRITE"],
    &["CLIENT", "KILL", "TYPE", "normal"],
    &["CLIENT", "KILL", "TYPE", "pubsub"],
];

/// Sentinel's transaction (sentinel.c `sentinelSendSlaveOf`) with every reply checked, then ROLE in the same round trip.
async fn reconfigure(
    commands: &mut MultiplexedConnection,
    settings: &LinkSettings,
    order: Option<&[&str]>,
    courtesies: &[&[&str]],
    resume_writes: bool,
) -> Answer {
    let mut courtesies: Vec<&[&str]> = courtesies.to_vec();
    // MULTI and the order come first.
    let before = usize::from(order.is_some()).saturating_add(1);
    // A refused courtesy aborts the transaction: it is sent once more without that one.
    for _ in 0..=courtesies.len() {
        let pipe = transaction(settings, order, &courtesies, resume_writes);
        let replies = send(commands, &pipe).await?;
        let exec = courtesies.len().saturating_add(before);
        match replies.get(exec) {
            Some(Value::Array(results)) => {
                let ordered = results.first().filter(|_| order.is_some());
                if let Some(error) = ordered.and_then(reply::error_text) {
                    return Ok(OperationResult::Refused(error));
                }
                return match replies.last().map(reply::role) {
                    Some(RoleAnswer::Role(role)) => Ok(OperationResult::Done {
                        role: Some(role),
                        report: None,
                    }),
                    _ => read_replication(commands, settings).await,
                };
            }
            _ => {
                if let Some(error) = replies.get(..before).and_then(first_error_text) {
                    return Ok(OperationResult::Refused(error));
                }
                let refused = |i: usize| {
                    replies
                        .get(i.saturating_add(before))
                        .and_then(reply::error_text)
                        .is_some()
                };
                let asked = courtesies.len();
                let mut index = 0;
                courtesies.retain(|_| {
                    let keep = !refused(index);
                    index = index.saturating_add(1);
                    keep
                });
                if courtesies.len() == asked {
                    let why = replies.get(exec).and_then(reply::error_text);
                    return Ok(OperationResult::Refused(
                        why.unwrap_or_else(|| "EXEC was not answered".to_owned()),
                    ));
                }
                tracing::warn!(
                    "{}: the user may not do all of CONFIG REWRITE and CLIENT KILL; going on without",
                    settings.address
                );
            }
        }
    }
    Ok(OperationResult::Refused("the transaction was refused".to_owned()))
}

pub(super) fn first_error_text(replies: &[Value]) -> Option<String> {
    replies.iter().find_map(reply::error_text)
}

fn transaction(
    settings: &LinkSettings,
    order: Option<&[&str]>,
    courtesies: &[&[&str]],
    resume_writes: bool,
) -> Pipeline {
    let mut pipe = redis::pipe();
    pipe.cmd(settings.name("MULTI"));
    for words in order.iter().chain(courtesies) {
        let Some((command, arguments)) = words.split_first() else {
            continue;
        };
        pipe.cmd(settings.name(command)).arg(arguments);
    }
    pipe.cmd(settings.name("EXEC"));
    if resume_writes {
        pipe.cmd(settings.name("CLIENT")).arg("UNPAUSE");
    }
    pipe.cmd(settings.name("ROLE"));
    pipe
}
