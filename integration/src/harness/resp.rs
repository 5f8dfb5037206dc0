//! A blocking RESP2 client over one TCP connection, as small as tests need.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// A reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `+text`
    Simple(String),
    /// `-text`
    Error(String),
    /// `:number`
    Int(i64),
    /// `$`
    Bulk(Vec<u8>),
    /// `$-1` or `*-1`
    Null,
    /// `*`
    Array(Vec<Value>),
}

impl Value {
    /// Text of a simple string, bulk or integer; an error reply is an error here.
    pub fn text(&self) -> Result<String> {
        match self {
            Self::Simple(text) => Ok(text.clone()),
            Self::Bulk(bytes) => Ok(String::from_utf8_lossy(bytes).into_owned()),
            Self::Int(number) => Ok(number.to_string()),
            Self::Error(text) => bail!("-{text}"),
            other => bail!("not a text: {other}"),
        }
    }

    /// Elements of an array.
    pub fn array(&self) -> Result<&[Value]> {
        match self {
            Self::Array(items) => Ok(items),
            Self::Error(text) => bail!("-{text}"),
            other => bail!("not an array: {other}"),
        }
    }

    /// A flat array of names and values as a map.
    pub fn pairs(&self) -> Result<BTreeMap<String, String>> {
        let mut pairs = BTreeMap::new();
        for pair in self.array()?.chunks(2) {
            if let [name, value] = pair {
                pairs.insert(name.text()?, value.text()?);
            }
        }
        Ok(pairs)
    }

    /// Text of an error reply.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        match self {
            Self::Error(text) => Some(text),
            _ => None,
        }
    }

    /// Whether it is `+OK`.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        matches!(self, Self::Simple(text) if text == "OK")
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Simple(text) => write!(f, "+{text}"),
            Self::Error(text) => write!(f, "-{text}"),
            Self::Int(number) => write!(f, ":{number}"),
            Self::Bulk(bytes) => write!(f, "{:?}", String::from_utf8_lossy(bytes)),
            Self::Null => write!(f, "(nil)"),
            Self::Array(items) => {
                write!(f, "[")?;
                for (index, item) in items.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(f, "{comma}{item}")?;
                }
                write!(f, "]")
            }
        }
    }
}

/// User and password of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// ACL user; `None` = the password only.
    pub user: Option<String>,
    /// Password.
    pub password: String,
}

/// One connection.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Client {
    /// Connects to a port of 127.0.0.1; `timeout` holds for the connection and for every later read and write.
    pub fn connect(port: u16, timeout: Duration) -> Result<Self> {
        Self::connect_to("127.0.0.1", port, timeout)
    }

    /// The same for any literal IP.
    pub fn connect_to(ip: &str, port: u16, timeout: Duration) -> Result<Self> {
        let address = SocketAddr::new(ip.parse().with_context(|| format!("no IP: {ip}"))?, port);
        let stream = TcpStream::connect_timeout(&address, timeout)
            .with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true).context("nodelay")?;
        stream.set_read_timeout(Some(timeout)).context("read timeout")?;
        stream.set_write_timeout(Some(timeout)).context("write timeout")?;
        let reader = BufReader::new(stream.try_clone().context("cannot clone the stream")?);
        Ok(Self { stream, reader })
    }

    /// Connects and authenticates.
    pub fn connect_as(port: u16, timeout: Duration, credentials: Option<&Credentials>) -> Result<Self> {
        let mut client = Self::connect(port, timeout)?;
        if let Some(credentials) = credentials {
            let reply = match &credentials.user {
                Some(user) => client.command(&["AUTH", user, &credentials.password])?,
                None => client.command(&["AUTH", &credentials.password])?,
            };
            if !reply.is_ok() {
                bail!("AUTH was answered {reply}");
            }
        }
        Ok(client)
    }

    /// Sends a command and reads its reply (an error reply is a value, not an error).
    pub fn command(&mut self, words: &[&str]) -> Result<Value> {
        self.send(words)?;
        self.read()
    }

    /// Sends a command.
    pub fn send(&mut self, words: &[&str]) -> Result<()> {
        self.send_raw(&encode(words))
    }

    /// Sends bytes as they are.
    pub fn send_raw(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).context("cannot write")
    }

    /// Reads one reply.
    pub fn read(&mut self) -> Result<Value> {
        read_value(&mut self.reader)
    }

    /// A second handle of the socket, to close it from another thread.
    pub fn handle(&self) -> Result<TcpStream> {
        self.stream.try_clone().context("cannot clone the stream")
    }

    /// Changes the deadline of reads; `None` = wait for ever.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> Result<()> {
        self.stream.set_read_timeout(timeout).context("read timeout")
    }
}

/// A command as an array of bulk strings.
#[must_use]
pub fn encode(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

fn read_line(reader: &mut impl BufRead) -> Result<String> {
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line).context("cannot read")?;
    if line.pop() != Some(b'\n') {
        bail!("the connection was closed");
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

fn read_value(reader: &mut impl BufRead) -> Result<Value> {
    let line = read_line(reader)?;
    let Some(kind) = line.chars().next() else {
        bail!("an empty line instead of a reply")
    };
    let rest = line.get(kind.len_utf8()..).unwrap_or_default();
    match kind {
        '+' => Ok(Value::Simple(rest.to_owned())),
        '-' => Ok(Value::Error(rest.to_owned())),
        ':' => Ok(Value::Int(
            rest.parse().with_context(|| format!("bad integer {rest:?}"))?,
        )),
        '$' => {
            let length: i64 = rest.parse().with_context(|| format!("bad length {rest:?}"))?;
            let Ok(length) = usize::try_from(length) else {
                return Ok(Value::Null);
            };
            let mut bytes = vec![0; length.saturating_add(2)];
            reader.read_exact(&mut bytes).context("cannot read")?;
            bytes.truncate(length);
            Ok(Value::Bulk(bytes))
        }
        '*' => {
            let count: i64 = rest.parse().with_context(|| format!("bad count {rest:?}"))?;
            let Ok(count) = usize::try_from(count) else {
                return Ok(Value::Null);
            };
            let mut items = Vec::new();
            for _ in 0..count {
                items.push(read_value(reader)?);
            }
            Ok(Value::Array(items))
        }
        _ => bail!("not a reply: {line:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_of_all_kinds_are_read() {
        let mut bytes: &[u8] = b"*5\r\n+OK\r\n-ERR no\r\n:7\r\n$2\r\nhi\r\n*-1\r\n";
        let value = read_value(&mut bytes).unwrap();
        assert_eq!(value.to_string(), "[+OK, -ERR no, :7, \"hi\", (nil)]");
    }

    #[test]
    fn a_cut_reply_is_an_error() {
        let mut bytes: &[u8] = b"*2\r\n+OK\r\n";
        assert!(read_value(&mut bytes).is_err());
    }
}
