//! The `redis` crate, its sentinel feature.

use std::time::Duration;

use client_drivers::{Settings, error, read, version, write};
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{Connection, ConnectionAddr, RedisResult, TlsCertificates, TlsMode, Value};

const LIMIT: Option<Duration> = Some(Duration::from_millis(500));

fn client(settings: &Settings, kind: SentinelServerType) -> RedisResult<SentinelClient> {
    let certificates = settings.ca.clone().map(|ca| TlsCertificates { client_tls: None, root_cert: Some(ca) });
    let sentinels = settings.sentinels.iter().map(|(host, port)| match &certificates {
        None => ConnectionAddr::Tcp(host.clone(), *port),
        Some(_) => ConnectionAddr::TcpTls { host: host.clone(), port: *port, insecure: false, tls_params: None },
    });
    let mut builder = SentinelClientBuilder::new(sentinels, settings.master.clone(), kind)?;
    if let Some(user) = &settings.sentinel.0 {
        builder = builder.set_client_to_sentinel_username(user);
    }
    if let Some(password) = &settings.sentinel.1 {
        builder = builder.set_client_to_sentinel_password(password);
    }
    if let Some(user) = &settings.server.0 {
        builder = builder.set_client_to_redis_username(user);
    }
    if let Some(password) = &settings.server.1 {
        builder = builder.set_client_to_redis_password(password);
    }
    if let Some(certificates) = certificates {
        builder = builder
            .set_client_to_sentinel_tls_mode(TlsMode::Secure)
            .set_client_to_sentinel_certificates(certificates.clone())
            .set_client_to_redis_tls_mode(TlsMode::Secure)
            .set_client_to_redis_certificates(certificates);
    }
    builder.build()
}

/// The open connection, or a new one to whom the sentinels name now.
fn connected<'c>(
    connection: &'c mut Option<Connection>,
    client: &mut SentinelClient,
) -> RedisResult<&'c mut Connection> {
    let open = match connection.take() {
        Some(open) => open,
        None => {
            let new = client.get_connection()?;
            new.set_read_timeout(LIMIT)?;
            new.set_write_timeout(LIMIT)?;
            new
        }
    };
    Ok(connection.insert(open))
}

fn main() -> RedisResult<()> {
    let settings = Settings::read();
    version("1.8.1");
    let mut masters = client(&settings, SentinelServerType::Master)?;
    let mut replicas = client(&settings, SentinelServerType::Replica)?;
    let (mut master, mut replica) = (None, None);
    for n in 1.. {
        let written = connected(&mut master, &mut masters)
            .and_then(|open| redis::cmd("SADD").arg(&settings.key).arg(n).query::<i64>(open));
        match written {
            Ok(_) => write(n),
            Err(reason) => {
                error("write", reason);
                master = None;
            }
        }
        if n % 10 == 0 {
            let count = connected(&mut replica, &mut replicas).and_then(|open| {
                let count: u64 = redis::cmd("SCARD").arg(&settings.key).query(open)?;
                let role: Vec<Value> = redis::cmd("ROLE").query(open)?;
                let role: String = redis::from_redis_value(role.into_iter().next().unwrap_or(Value::Nil))?;
                Ok((role, count))
            });
            match count {
                Ok((role, count)) => {
                    read(&role, count);
                    if role != "slave" {
                        replica = None;
                    }
                }
                Err(reason) => {
                    error("read", reason);
                    replica = None;
                }
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
