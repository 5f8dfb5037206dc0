//! Events of all sentinels of a cluster, stamped with the time they arrived here.

use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::resp::{Client, Value};
use super::time::{ms_between, now, pause_ms};

/// One published event.
#[derive(Debug, Clone)]
pub struct Event {
    /// When it was read.
    pub at: Instant,
    /// Index of the sentinel that published it.
    pub node: usize,
    /// Channel, which is the name of the event.
    pub name: String,
    /// Payload.
    pub payload: String,
}

/// Subscriptions to everything at some sentinels, merged in order of arrival.
#[derive(Debug)]
pub struct Events {
    sender: Sender<Event>,
    receiver: Receiver<Event>,
    seen: Vec<Event>,
    sockets: Vec<TcpStream>,
    threads: Vec<JoinHandle<()>>,
}

impl Events {
    /// Nothing subscribed yet.
    #[must_use]
    pub fn new() -> Self {
        let (sender, receiver) = channel();
        Self {
            sender,
            receiver,
            seen: Vec::new(),
            sockets: Vec::new(),
            threads: Vec::new(),
        }
    }

    /// Subscribes to all events of the sentinel `node` at `port`.
    pub fn subscribe(&mut self, node: usize, port: u16) -> Result<()> {
        let mut client = Client::connect(port, Duration::from_secs(2))?;
        client.send(&["PSUBSCRIBE", "*"])?;
        let confirmation = client.read()?;
        let kind = confirmation
            .array()?
            .first()
            .context("empty confirmation")?
            .text()?;
        ensure!(kind == "psubscribe", "PSUBSCRIBE was answered {confirmation}");
        client.set_read_timeout(None)?;
        self.sockets.push(client.handle()?);
        let sender = self.sender.clone();
        self.threads.push(std::thread::spawn(move || {
            while let Ok(value) = client.read() {
                let Some(event) = event_of(node, &value) else {
                    continue;
                };
                if sender.send(event).is_err() {
                    return;
                }
            }
        }));
        Ok(())
    }

    /// All events so far, in order of arrival.
    pub fn all(&mut self) -> &[Event] {
        self.seen.extend(self.receiver.try_iter());
        &self.seen
    }

    /// Forgets what was seen.
    pub fn clear(&mut self) {
        self.all();
        self.seen.clear();
    }

    /// First event for which `wanted` holds.
    pub fn first(&mut self, wanted: impl Fn(&Event) -> bool) -> Option<Event> {
        self.all().iter().find(|event| wanted(event)).cloned()
    }

    /// First event of that name at that node.
    pub fn first_at(&mut self, node: usize, name: &str) -> Option<Event> {
        self.first(|event| event.node == node && event.name == name)
    }

    /// How many events of that name that node published.
    pub fn count_at(&mut self, node: usize, name: &str) -> usize {
        self.all()
            .iter()
            .filter(|event| event.node == node && event.name == name)
            .count()
    }

    /// Waits for an event for which `wanted` holds.
    pub fn wait(&mut self, what: &str, deadline: Duration, wanted: impl Fn(&Event) -> bool) -> Result<Event> {
        let start = now();
        loop {
            if let Some(event) = self.first(&wanted) {
                return Ok(event);
            }
            ensure!(
                now().saturating_duration_since(start) < deadline,
                "after {deadline:?} no event: {what}; seen:\n{}",
                self.describe(start)
            );
            pause_ms(1);
        }
    }

    /// All events as lines with milliseconds since `zero`.
    pub fn describe(&mut self, zero: Instant) -> String {
        self.all()
            .iter()
            .map(|event| {
                format!(
                    "{:>9.1} ms  node {}  {} {}\n",
                    ms_between(zero, event.at),
                    event.node,
                    event.name,
                    event.payload
                )
            })
            .collect()
    }
}

impl Default for Events {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        for socket in &self.sockets {
            let _ = socket.shutdown(Shutdown::Both);
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn event_of(node: usize, value: &Value) -> Option<Event> {
    let at = now();
    let items = value.array().ok()?;
    let [kind, _pattern, name, payload] = items else {
        return None;
    };
    if kind.text().ok()? != "pmessage" {
        return None;
    }
    Some(Event {
        at,
        node,
        name: name.text().ok()?,
        payload: payload.text().ok()?,
    })
}
