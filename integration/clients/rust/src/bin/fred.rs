//! fred.

use std::time::Duration;

use client_drivers::{Settings, error, read, version, write};
use fred::prelude::*;
use fred::rustls::pki_types::{CertificateDer, pem::PemObject as _};
use fred::rustls::{ClientConfig, RootCertStore};
use fred::types::config::TlsConnector;
use fred::types::{ClusterHash, CustomCommand};

fn client(settings: &Settings) -> Result<Client, Error> {
    let tls = settings.ca.as_ref().map(|ca| {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(ca).flatten());
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        TlsConnector::from(config).into()
    });
    let config = Config {
        server: ServerConfig::Sentinel {
            hosts: settings.sentinels.iter().map(|(host, port)| Server::new(host, *port)).collect(),
            service_name: settings.master.clone(),
            username: settings.sentinel.0.clone(),
            password: settings.sentinel.1.clone(),
        },
        username: settings.server.0.clone(),
        password: settings.server.1.clone(),
        tls,
        ..Config::default()
    };
    Builder::from_config(config)
        .with_performance_config(|config| config.default_command_timeout = Duration::from_secs(1))
        .with_connection_config(|config| {
            config.connection_timeout = Duration::from_secs(1);
            config.internal_command_timeout = Duration::from_secs(1);
        })
        .set_policy(ReconnectPolicy::new_constant(0, 50))
        .build()
}

async fn ask_replica(client: &Client, key: &str) -> Result<(String, u64), Error> {
    let count: u64 = client.replicas().scard(key).await?;
    let command = CustomCommand::new_static("ROLE", ClusterHash::FirstKey, false);
    let role: Vec<Value> = client.replicas().custom(command, Vec::<String>::new()).await?;
    let role = role.first().and_then(Value::as_string).unwrap_or_default();
    Ok((role, count))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let settings = Settings::read();
    version("10.1.0");
    let client = client(&settings)?;
    client.init().await?;
    for n in 1.. {
        match client.sadd::<i64, _, _>(&settings.key, n).await {
            Ok(_) => write(n),
            Err(reason) => error("write", reason),
        }
        if n % 10 == 0 {
            match ask_replica(&client, &settings.key).await {
                Ok((role, count)) => read(&role, count),
                Err(reason) => error("read", reason),
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
