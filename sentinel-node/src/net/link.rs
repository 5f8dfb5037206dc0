//! The handle of an instance's links, and what travels over it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use futures::future::BoxFuture;
use sentinel_core::failover::{Operation, OperationResult};
use sentinel_core::monitor::MonitorInput;
use sentinel_core::replicated::GroupOptions;
use sentinel_proto::{HostPort, SentinelId};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::outgoing::Outgoing;

/// Requests queued per connection; more than a healthy monitor ever has.
const QUEUE: usize = 64;

/// How to reach and address an instance.
#[derive(Clone, PartialEq, Eq)]
pub struct LinkSettings {
    /// Where.
    pub address: HostPort,
    /// `auth-user`; used only with a password.
    pub user: Option<String>,
    /// `auth-pass`.
    pub password: Option<String>,
    /// Upper-case command to the name used on this group's servers.
    pub renamed: BTreeMap<String, String>,
    /// First eight characters of `myid`, for connection names.
    pub short_id: String,
    /// Source address and TLS.
    pub outgoing: Outgoing,
}

impl std::fmt::Debug for LinkSettings {
    /// Passwords never reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LinkSettings")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl LinkSettings {
    /// Settings of an instance of a group.
    #[must_use]
    pub fn new(address: HostPort, options: &GroupOptions, myid: &SentinelId, outgoing: &Outgoing) -> Self {
        Self {
            address,
            user: options.auth_user.clone(),
            password: options.auth_pass.clone(),
            renamed: options.rename_commands.clone(),
            short_id: myid.short().to_owned(),
            outgoing: outgoing.clone(),
        }
    }

    /// The name under which the servers know an (upper-case) command.
    #[must_use]
    pub fn name<'a>(&'a self, command: &'a str) -> &'a str {
        self.renamed.get(command).map_or(command, String::as_str)
    }
}

/// What the probe task is asked for.
#[derive(Debug)]
pub(super) enum ProbeRequest {
    Connect { generation: u64, timeout_ms: u64 },
    Disconnect,
    Probe { generation: u64, with_role: bool },
}

/// What the command task is asked for.
pub(super) enum CommandRequest {
    Info {
        full: bool,
    },
    Operate {
        what: Operation,
        permit: Permit,
        answer: oneshot::Sender<OperationResult>,
    },
}

/// Asked when the connection is there and nothing else is waiting, right before the first byte is sent: an error is
/// why the operation must not be done any more.
pub type Permit = Box<dyn FnOnce() -> BoxFuture<'static, Result<(), String>> + Send>;

/// Delivers what a link learned to its monitor. Awaited: nothing is lost, a slow monitor slows its link down.
pub type Deliver = Arc<dyn Fn(MonitorInput) -> BoxFuture<'static, ()> + Send + Sync>;

/// The links of one instance. Cheap to clone; the tasks end when the last handle is dropped.
#[derive(Debug, Clone)]
pub struct LinkHandle {
    probe: mpsc::Sender<ProbeRequest>,
    command: mpsc::Sender<CommandRequest>,
    settings: Arc<ArcSwap<LinkSettings>>,
    info_pending: Arc<AtomicBool>,
}

impl LinkHandle {
    /// Starts the tasks on `runtime`.
    #[must_use]
    pub fn start(settings: LinkSettings, runtime: &Handle, deliver: Deliver) -> Self {
        let (probe, probe_requests) = mpsc::channel(QUEUE);
        let (command, command_requests) = mpsc::channel(QUEUE);
        let settings = Arc::new(ArcSwap::from_pointee(settings));
        let info_pending = Arc::new(AtomicBool::new(false));
        runtime.spawn(super::probe::run(
            Arc::clone(&settings),
            probe_requests,
            Arc::clone(&deliver),
        ));
        let pending = Arc::clone(&info_pending);
        runtime.spawn(super::command::run(
            Arc::clone(&settings),
            command_requests,
            pending,
            deliver,
        ));
        Self {
            probe,
            command,
            settings,
            info_pending,
        }
    }

    /// Where it leads.
    #[must_use]
    pub fn address(&self) -> HostPort {
        self.settings.load().address.clone()
    }

    /// Uses other settings from the next connection on. Returns whether they differ (then reconnect).
    #[must_use]
    pub fn change_settings(&self, settings: LinkSettings) -> bool {
        let differ = **self.settings.load() != settings;
        if differ {
            self.settings.store(Arc::new(settings));
        }
        differ
    }

    /// Asks for a probe connection. `false` = the queue is full; ask again later.
    #[must_use]
    pub fn connect(&self, generation: u64, timeout_ms: u64) -> bool {
        self.probe
            .try_send(ProbeRequest::Connect {
                generation,
                timeout_ms,
            })
            .is_ok()
    }

    /// Closes the probe connection.
    #[must_use]
    pub fn disconnect(&self) -> bool {
        self.probe.try_send(ProbeRequest::Disconnect).is_ok()
    }

    /// Sends PING, and ROLE when asked.
    #[must_use]
    pub fn probe(&self, generation: u64, with_role: bool) -> bool {
        self.probe
            .try_send(ProbeRequest::Probe {
                generation,
                with_role,
            })
            .is_ok()
    }

    /// Asks for INFO, unless one is on its way already.
    pub fn info(&self, full: bool) {
        if !self.info_pending.swap(true, Ordering::AcqRel)
            && self.command.try_send(CommandRequest::Info { full }).is_err()
        {
            self.info_pending.store(false, Ordering::Release);
        }
    }

    /// Does one operation. Always ends, within a few seconds at most.
    pub async fn operate(&self, what: Operation, permit: Permit) -> OperationResult {
        let (answer, result) = oneshot::channel();
        let request = CommandRequest::Operate { what, permit, answer };
        if self.command.try_send(request).is_err() {
            return OperationResult::Unreachable(
                "too many commands are waiting for this instance".to_owned(),
            );
        }
        result
            .await
            .unwrap_or_else(|_| OperationResult::Unreachable("the link was closed".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// The permit is asked for when the connection stands, and a refused operation sends nothing.
    #[tokio::test]
    async fn an_operation_that_is_no_longer_permitted_is_not_sent() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = HostPort::from(listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (mut received, mut buffer) = (String::new(), [0; 1024]);
            loop {
                match stream.read(&mut buffer).await.unwrap() {
                    0 => return received,
                    length => received.push_str(&String::from_utf8_lossy(&buffer[..length])),
                }
                stream.write_all(b"+OK\r\n").await.unwrap();
            }
        });
        let options = GroupOptions::with_quorum(1);
        let settings = LinkSettings::new(
            address,
            &options,
            &SentinelId::from_bytes([1; 20]),
            &Outgoing::default(),
        );
        let deliver: Deliver = Arc::new(|_| std::future::ready(()).boxed());
        let link = LinkHandle::start(settings, &Handle::current(), deliver);
        let permit: Permit = Box::new(|| std::future::ready(Err("revoked".to_owned())).boxed());
        let result = link.operate(Operation::Promote, permit).await;
        assert_eq!(result, OperationResult::Denied("revoked".to_owned()));
        drop(link);
        let received = server.await.unwrap();
        assert!(
            received.contains("SETNAME") && !received.contains("SLAVEOF"),
            "{received}"
        );
    }
}
