//! One connection: TCP, TLS where configured, AUTH, name.

use std::io;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ErrorKind, RedisConnectionInfo, RedisError};
use sentinel_core::monitor::LinkFailure;
use tokio::task::JoinHandle;

use super::link::LinkSettings;
use super::stream::Stream;

/// An established connection and the task that drives it; the task ends when the connection does.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) commands: MultiplexedConnection,
    pub(super) driver: JoinHandle<()>,
}

impl Connection {
    pub(super) fn is_closed(&self) -> bool {
        self.driver.is_finished()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Connects, authenticates and names the connection within `limit`.
pub(super) async fn connect(
    settings: &LinkSettings,
    role: &str,
    limit: Duration,
) -> Result<Connection, (LinkFailure, String)> {
    let dial = settings
        .outgoing
        .tcp(&settings.address.host, settings.address.port);
    let stream = match tokio::time::timeout(limit, dial).await {
        Err(_) => return Err((LinkFailure::ConnectTimeout, "connect timed out".to_owned())),
        Ok(Err(error)) => return Err((classify_connect(&error), error.to_string())),
        Ok(Ok(stream)) => stream,
    };
    // Without it a probe could wait for the server's delayed acknowledgement; failing to set it is no reason to give up.
    let _ = stream.set_nodelay(true);
    let late = |_| (LinkFailure::HandshakeTimeout, "handshake timed out".to_owned());
    let handshake = async {
        let secured = settings.outgoing.secure(stream).await;
        let stream = secured.map_err(|error| (LinkFailure::Protocol, error.to_string()))?;
        let connection = handshake(settings, role, stream).await;
        connection.map_err(|error| (classify(&error), error.to_string()))
    };
    tokio::time::timeout(limit, handshake).await.map_err(late)?
}

async fn handshake(settings: &LinkSettings, role: &str, stream: Stream) -> Result<Connection, RedisError> {
    let mut info = RedisConnectionInfo::default().set_skip_set_lib_name();
    if let Some(password) = &settings.password {
        info = info.set_password(password);
        if let Some(user) = &settings.user {
            info = info.set_username(user);
        }
    }
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let (mut commands, driver) = MultiplexedConnection::new_with_config(&info, stream, config).await?;
    let driver = tokio::spawn(driver);
    let mut connection = Connection {
        commands: commands.clone(),
        driver,
    };
    // A user without the right to name connections still may probe: the answer is not examined (as in Sentinel).
    let name = format!("sentinel-{}-{role}", settings.short_id);
    let named = redis::cmd(settings.name("CLIENT"))
        .arg("SETNAME")
        .arg(name)
        .to_owned();
    let answer: Result<redis::Value, RedisError> = named.query_async(&mut commands).await;
    connection.commands = commands;
    match answer {
        Err(error) if error.is_io_error() || error.is_connection_dropped() => Err(error),
        Err(error) if classify(&error) == LinkFailure::Auth && error.code() != Some("NOPERM") => Err(error),
        // What answers is no Redis server, or one that takes no client now.
        Err(error) if error.code().is_none() || turned_away(&error) => Err(error),
        _ => Ok(connection),
    }
}

/// The server has no room for another client, or takes none from here: it says so and closes.
fn turned_away(error: &RedisError) -> bool {
    error.code() == Some("DENIED") || error.to_string().contains("max number of clients")
}

fn classify_connect(error: &io::Error) -> LinkFailure {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => LinkFailure::Refused,
        io::ErrorKind::TimedOut => LinkFailure::ConnectTimeout,
        _ => LinkFailure::Unreachable,
    }
}

/// Why an established connection failed.
pub(super) fn classify(error: &RedisError) -> LinkFailure {
    if matches!(error.kind(), ErrorKind::AuthenticationFailed)
        || matches!(error.code(), Some("NOAUTH" | "WRONGPASS" | "NOPERM"))
    {
        LinkFailure::Auth
    } else if error.is_io_error() || error.is_connection_dropped() {
        LinkFailure::Closed
    } else {
        LinkFailure::Protocol
    }
}
