//! Conversations of two clients: what one does to the other, and sees of it.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result, ensure};
use integration::harness::resp::encode;
use sentinel_proto::resp::split_words;

use super::normal::Names;
use super::reply::{self, Reply};
use super::{PATIENCE, Side, cases, single};
use integration::harness::scenario::is_here;
use integration::harness::sentinel::Program;

const CONVERSATIONS: &str = include_str!("several.txt");

/// One of the two, and what of its replies was not read yet.
struct Talker {
    stream: TcpStream,
    input: Vec<u8>,
    id: String,
    addr: String,
}

impl Talker {
    fn connect(port: u16) -> Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let stream = TcpStream::connect_timeout(&address, PATIENCE).context("connect")?;
        stream.set_read_timeout(Some(PATIENCE)).context("timeout")?;
        let addr = stream.local_addr().context("address")?.to_string();
        let mut talker = Self {
            stream,
            input: Vec::new(),
            id: String::new(),
            addr,
        };
        talker.send(&["CLIENT", "ID"])?;
        if let Some(Reply::Line(b':', id)) = talker.replies(1)?.first() {
            talker.id.clone_from(id);
        }
        Ok(talker)
    }

    fn send(&mut self, words: &[&str]) -> Result<()> {
        // A closed connection is told by the reply.
        match self.stream.write_all(&encode(words)) {
            Ok(()) => Ok(()),
            Err(error) if is_closed(&error) => Ok(()),
            Err(error) => Err(error).context("write"),
        }
    }

    /// So many replies; fewer when the connection is closed.
    fn replies(&mut self, count: usize) -> Result<Vec<Reply>> {
        let mut buffer = [0; 4096];
        loop {
            if let Ok(replies) = reply::read_all(&self.input) {
                if replies.len() >= count {
                    self.input.clear();
                    return Ok(replies);
                }
            }
            let read = match self.stream.read(&mut buffer) {
                Ok(read) => read,
                Err(error) if is_closed(&error) => 0,
                Err(error) => return Err(error).context("read"),
            };
            if read == 0 {
                let mut replies = reply::read_all(&std::mem::take(&mut self.input))?;
                replies.push(Reply::Line(b'-', String::from("(closed)")));
                return Ok(replies);
            }
            self.input.extend_from_slice(&buffer[..read]);
        }
    }
}

fn is_closed(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset};
    matches!(error.kind(), BrokenPipe | ConnectionReset)
}

/// Everything that both were answered.
fn converse(port: u16, names: &Names, case: &str) -> Result<String> {
    let mut talkers = BTreeMap::from([("a", Talker::connect(port)?), ("b", Talker::connect(port)?)]);
    let marks: Vec<(String, String)> = talkers
        .iter()
        .flat_map(|(name, talker)| {
            [
                (format!("<{name}>"), talker.id.clone()),
                (format!("<addr-{name}>"), talker.addr.clone()),
            ]
        })
        .collect();
    let mut text = String::new();
    for step in case.split(" | ") {
        let (who, request) = step.split_once(": ").context("no name before the request")?;
        let filled = marks.iter().fold(request.to_owned(), |text, (mark, value)| {
            text.replace(mark, value)
        });
        let words = split_words(filled.as_bytes()).context("bad quotes")?;
        let words: Vec<String> = words
            .iter()
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let talker = talkers.get_mut(who).context("nobody of that name")?;
        talker.send(&words)?;
        let confirmations = words[0].ends_with("SUBSCRIBE").then(|| words.len() - 1);
        for reply in talker.replies(confirmations.unwrap_or(1).max(1))? {
            // 7.2 added fields.
            let shown = names.normal(&reply).shown().replace(" lib-name= lib-ver=", "");
            let shown = marks.iter().fold(shown, |shown, (mark, number)| {
                shown.replace(&format!(":{number}\n"), &format!(":{mark}\n"))
            });
            text.push_str(&format!("{who} {shown}"));
        }
    }
    Ok(text)
}

fn compare() -> Result<()> {
    if !is_here("redis-sentinel", "the comparison of replies") {
        return Ok(());
    }
    let stock = Side::start(Program::Stock, single(&[]), false).context("redis-sentinel")?;
    let ours = Side::start(Program::built_here()?, single(&[]), false).context("sentinel-node")?;
    let mut failures = Vec::new();
    for case in cases(CONVERSATIONS) {
        let theirs = converse(stock.port, &stock.names, case)?;
        let mine = converse(ours.port, &ours.names, case)?;
        if theirs != mine {
            failures.push(format!(
                "=== {case}\n--- redis-sentinel\n{theirs}--- sentinel-node\n{mine}"
            ));
        }
    }
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

#[test]
fn two_clients_see_the_same_of_each_other() {
    super::hold("several::two_clients_see_the_same_of_each_other", compare());
}
