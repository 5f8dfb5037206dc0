//! One HTTP GET, for the admin RPC.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};

/// Status and body of `GET path` from a port of 127.0.0.1.
pub fn get(port: u16, path: &str) -> Result<(u16, String)> {
    let timeout = Duration::from_secs(3);
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), timeout)
        .with_context(|| format!("cannot connect to the admin port {port}"))?;
    stream.set_read_timeout(Some(timeout)).context("timeout")?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).context("cannot write")?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).context("cannot read")?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").context("no end of the HTTP header")?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .context("no HTTP status")?;
    Ok((status, body.to_owned()))
}

/// The JSON document at `path`.
pub fn get_json(port: u16, path: &str) -> Result<serde_json::Value> {
    let (status, body) = get(port, path)?;
    anyhow::ensure!(status == 200, "GET {path} was answered {status}: {body}");
    serde_json::from_str(&body).with_context(|| format!("GET {path} is not JSON: {body}"))
}
