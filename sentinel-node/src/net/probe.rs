//! The probe task: one connection that carries nothing but PING and ROLE.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use redis::RedisError;
use redis::aio::MultiplexedConnection;
use sentinel_core::monitor::{LinkFailure, MonitorInput, PingAnswer, RoleAnswer};
use tokio::sync::mpsc;

use super::complaint::Complaint;
use super::connect::{Connection, classify, connect};
use super::link::{Deliver, LinkSettings, ProbeRequest};
use super::reply;

enum Happened {
    Connected(u64, Result<Connection, (LinkFailure, String)>),
    Probed(u64, Result<(PingAnswer, RoleAnswer), LinkFailure>),
}

/// Runs until the handle is dropped.
pub(super) async fn run(
    settings: Arc<ArcSwap<LinkSettings>>,
    mut requests: mpsc::Receiver<ProbeRequest>,
    deliver: Deliver,
) {
    let mut present: Option<(u64, Connection)> = None;
    let mut wanted = 0;
    let mut complaint = Complaint::default();
    let mut pending: FuturesUnordered<BoxFuture<'static, Happened>> = FuturesUnordered::new();
    loop {
        let closed = async {
            match &mut present {
                Some((_, connection)) => {
                    let _ = (&mut connection.driver).await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            request = requests.recv() => match request {
                None => return,
                Some(ProbeRequest::Connect { generation, timeout_ms }) => {
                    present = None;
                    wanted = generation;
                    let settings = settings.load_full();
                    let limit = Duration::from_millis(timeout_ms);
                    pending.push(Box::pin(async move {
                        let result = connect(&settings, "probe", limit).await;
                        Happened::Connected(generation, result)
                    }));
                }
                Some(ProbeRequest::Disconnect) => present = None,
                Some(ProbeRequest::Probe { generation, with_role }) => {
                    match present.as_ref().filter(|(g, _)| *g == generation) {
                        Some((_, connection)) => {
                            let (commands, settings) = (connection.commands.clone(), settings.load_full());
                            pending.push(Box::pin(async move {
                                Happened::Probed(generation, probe(commands, &settings, with_role).await)
                            }));
                        }
                        None => {
                            let failure = LinkFailure::Closed;
                            deliver(MonitorInput::LinkFailed { generation, failure }).await;
                        }
                    }
                }
            },
            Some(happened) = pending.next() => {
                let said = match &happened {
                    Happened::Connected(_, Err((failure, text))) => complaint.of_connect(*failure, text),
                    Happened::Probed(_, Ok((ping, _))) => complaint.of_ping(ping),
                    _ => None,
                };
                if let Some(said) = said {
                    tracing::warn!("{} {said}", settings.load().address);
                }
                if let Some(input) = input_of(happened, wanted, &mut present) {
                    deliver(input).await;
                }
            }
            () = closed => {
                let generation = present.take().map_or(0, |(generation, _)| generation);
                deliver(MonitorInput::LinkFailed { generation, failure: LinkFailure::Closed }).await;
            }
        }
    }
}

/// What the monitor is told; `None` for a connection that was given up meanwhile.
fn input_of(
    happened: Happened,
    wanted: u64,
    present: &mut Option<(u64, Connection)>,
) -> Option<MonitorInput> {
    match happened {
        Happened::Connected(generation, result) if generation == wanted => Some(match result {
            Ok(connection) => {
                *present = Some((generation, connection));
                MonitorInput::LinkUp { generation }
            }
            Err((failure, _)) => MonitorInput::LinkFailed { generation, failure },
        }),
        Happened::Probed(generation, result) if generation == wanted => Some(match result {
            Ok((ping, role)) => MonitorInput::Probed {
                generation,
                ping,
                role,
            },
            Err(failure) => {
                *present = None;
                MonitorInput::LinkFailed { generation, failure }
            }
        }),
        Happened::Connected(..) | Happened::Probed(..) => None,
    }
}

async fn probe(
    mut commands: MultiplexedConnection,
    settings: &LinkSettings,
    with_role: bool,
) -> Result<(PingAnswer, RoleAnswer), LinkFailure> {
    let mut pipe = redis::pipe();
    pipe.cmd(settings.name("PING"));
    if with_role {
        pipe.cmd(settings.name("ROLE"));
    }
    let replies = super::operate::send(&mut commands, &pipe)
        .await
        .map_err(|e| failure(&e))?;
    let ping = match replies.first() {
        None => return Err(LinkFailure::Protocol),
        Some(value) => match reply::error_text(value) {
            Some(error) => Err(error),
            None => Ok(reply::text(value).unwrap_or_default()),
        },
    };
    let role = replies.get(1).map_or(RoleAnswer::NotAsked, reply::role);
    Ok((ping, role))
}

fn failure(error: &RedisError) -> LinkFailure {
    classify(error)
}
