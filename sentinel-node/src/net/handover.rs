//! The server's own FAILOVER: the order to hand over, and its end.

use redis::aio::MultiplexedConnection;
use redis::{Pipeline, Value};
use sentinel_core::failover::OperationResult;
use sentinel_proto::HostPort;

use super::link::LinkSettings;
use super::operate::{Answer, first_error_text, read_replication, send};
use super::reply;

/// Pauses writes and orders the hand-over in one transaction, then reads how far it is.
///
/// FAILOVER holds writes back by itself, but lets them go to an error when the server becomes a replica; CLIENT PAUSE
/// holds them until their connections are closed. A user without the right to it gets the rest.
pub(super) async fn hand_over(
    commands: &mut MultiplexedConnection,
    settings: &LinkSettings,
    to: &HostPort,
    ms: u64,
) -> Answer {
    for with_pause in [true, false] {
        let replies = send(commands, &transaction(settings, to, ms, with_pause)).await?;
        let Some((exec, queued)) = replies.split_last() else {
            break;
        };
        match exec {
            Value::Array(results) => match first_error_text(results) {
                Some(error) => return Ok(OperationResult::Refused(error)),
                None => return read_replication(commands, settings).await,
            },
            _ => {
                let may_pause = queued.get(1).and_then(reply::error_text);
                if with_pause && may_pause.is_some_and(|error| error.starts_with("NOPERM")) {
                    tracing::warn!(
                        "{}: the user may not do CLIENT PAUSE; going on without",
                        settings.address
                    );
                    continue;
                }
                let error = first_error_text(queued).or_else(|| reply::error_text(exec));
                return Ok(OperationResult::Refused(
                    error.unwrap_or_else(|| "EXEC was not answered".to_owned()),
                ));
            }
        }
    }
    Ok(OperationResult::Refused("the transaction was refused".to_owned()))
}

fn transaction(settings: &LinkSettings, to: &HostPort, ms: u64, with_pause: bool) -> Pipeline {
    let mut pipe = redis::pipe();
    pipe.cmd(settings.name("MULTI"));
    if with_pause {
        pipe.cmd(settings.name("CLIENT"))
            .arg("PAUSE")
            .arg(ms)
            .arg("WRITE");
    }
    pipe.cmd(settings.name("FAILOVER"))
        .arg("TO")
        .arg(&to.host)
        .arg(to.port)
        .arg("TIMEOUT")
        .arg(ms);
    pipe.cmd(settings.name("EXEC"));
    pipe
}

/// Ends a hand-over that is not done yet, and reads what came of it.
pub(super) async fn call_off(commands: &mut MultiplexedConnection, settings: &LinkSettings) -> Answer {
    let mut pipe = redis::pipe();
    pipe.cmd(settings.name("FAILOVER")).arg("ABORT");
    if let Some(error) = first_error_text(&send(commands, &pipe).await?) {
        tracing::info!("{}: FAILOVER ABORT: {error}", settings.address);
    }
    read_replication(commands, settings).await
}
