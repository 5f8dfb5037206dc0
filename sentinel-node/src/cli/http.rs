//! One GET to the admin server: plain HTTP/1.1, one request a connection.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::admin::model::Problem;
use crate::config::os_text;

const CONNECT_DEADLINE: Duration = Duration::from_secs(2);
const READ_DEADLINE: Duration = Duration::from_secs(5);
/// A group of thousands of masters stays far below.
const MAX_REPLY_BYTES: u64 = 64 * 1024 * 1024;

/// The JSON at `path`.
///
/// # Errors
/// Text for the user.
pub(super) fn get<T: DeserializeOwned>(admin: &str, path: &str) -> Result<T, String> {
    let (status, body) = fetch(admin, path)?;
    if status != 200 {
        return Err(match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => format!("{}: {} ({})", path, problem.error, problem.remedy),
            Err(_) => format!("{path}: HTTP status {status}"),
        });
    }
    serde_json::from_slice(&body).map_err(|error| format!("{path}: not the expected JSON: {error}"))
}

fn fetch(admin: &str, path: &str) -> Result<(u16, Vec<u8>), String> {
    let failed = |error: &std::io::Error| {
        format!(
            "cannot ask the sentinel at {admin}: {} (is it running? its admin-port is port + 20000 unless set; use \
             --admin host:port)",
            os_text(error)
        )
    };
    let address = admin
        .to_socket_addrs()
        .map_err(|error| failed(&error))?
        .next()
        .ok_or_else(|| format!("'{admin}' is not a host:port"))?;
    let mut stream =
        TcpStream::connect_timeout(&address, CONNECT_DEADLINE).map_err(|error| failed(&error))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
    let mut reply = Vec::new();
    stream
        .set_read_timeout(Some(READ_DEADLINE))
        .and_then(|()| stream.write_all(request.as_bytes()))
        .and_then(|()| stream.take(MAX_REPLY_BYTES).read_to_end(&mut reply))
        .map_err(|error| failed(&error))?;
    split(&reply).ok_or_else(|| format!("{admin} does not answer in HTTP: is it the admin port?"))
}

/// Status and body; bodies of the admin server are never chunked.
fn split(reply: &[u8]) -> Option<(u16, Vec<u8>)> {
    let end = reply.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(reply.get(..end)?).ok()?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    Some((status, reply.get(end.checked_add(4)?..)?.to_vec()))
}
