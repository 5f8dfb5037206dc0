//! Threads that look at a process without a pause and note when something changed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use super::resp::{Client, Credentials};
use super::sentinel::master_port;
use super::time::{now, pause_ms};

/// A thread that ends with a value, or when told.
#[derive(Debug)]
pub struct Watch<T> {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Option<T>>>,
}

impl<T: Send + 'static> Watch<T> {
    fn start(body: impl FnOnce(&AtomicBool) -> Option<T> + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        Self {
            stop,
            thread: Some(std::thread::spawn(move || body(&seen))),
        }
    }

    /// Its value, once it has one; an error after `deadline`.
    pub fn wait(mut self, what: &str, deadline: Duration) -> Result<T> {
        let start = now();
        while !self.finished() && now().saturating_duration_since(start) < deadline {
            pause_ms(1);
        }
        self.take()
            .ok_or_else(|| anyhow!("after {deadline:?} still not: {what}"))
    }

    /// Whether it has ended by itself.
    #[must_use]
    pub fn finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Ends it now; its value, if it has one.
    pub fn end(mut self) -> Option<T> {
        self.take()
    }

    fn take(&mut self) -> Option<T> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().and_then(|thread| thread.join().ok()).flatten()
    }
}

impl<T> Drop for Watch<T> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// How a returned master was treated.
#[derive(Debug, Clone, Copy)]
pub struct Demotion {
    /// First answer that the server gave us.
    pub first_answer: Instant,
    /// First time a sentinel's connection was seen on it.
    pub first_contact: Instant,
    /// First time it called itself a replica.
    pub role_slave: Instant,
}

/// Watches a server that comes back as a master until it is a replica.
#[must_use]
pub fn demotion(port: u16, credentials: Option<Credentials>) -> Watch<Demotion> {
    Watch::start(move |stop| {
        let mut first_answer = None;
        let mut first_contact = None;
        while !stop.load(Ordering::Relaxed) {
            let Ok(mut client) = Client::connect_as(port, Duration::from_millis(500), credentials.as_ref())
            else {
                pause_ms(1);
                continue;
            };
            while !stop.load(Ordering::Relaxed) {
                let Ok((role, contacted)) = role_and_contact(&mut client) else {
                    break;
                };
                let at = now();
                first_answer.get_or_insert(at);
                if contacted || role == "slave" {
                    first_contact.get_or_insert(at);
                }
                if role == "slave" {
                    return Some(Demotion {
                        first_answer: first_answer?,
                        first_contact: first_contact?,
                        role_slave: at,
                    });
                }
                pause_ms(1);
            }
        }
        None
    })
}

fn role_and_contact(client: &mut Client) -> Result<(String, bool)> {
    client.send(&["ROLE"])?;
    client.send(&["CLIENT", "LIST"])?;
    let role = client.read()?;
    let role = role
        .array()?
        .first()
        .ok_or_else(|| anyhow!("empty ROLE"))?
        .text()?;
    let clients = client.read()?.text()?;
    Ok((role, clients.contains("name=sentinel-")))
}

/// Asks a server as sentinels do, but every 10 ms, until it is ended: the longest time without an answer. Tells how slow
/// the machine was, whatever the sentinels thought.
#[must_use]
pub fn longest_silence(port: u16, credentials: Option<Credentials>) -> Watch<Duration> {
    Watch::start(move |stop| {
        let mut longest = Duration::ZERO;
        let mut answered = now();
        let mut slot: Option<Client> = None;
        while !stop.load(Ordering::Relaxed) {
            if slot.is_none() {
                slot = Client::connect_as(port, Duration::from_millis(500), credentials.as_ref()).ok();
            }
            match slot.as_mut().map(|client| client.command(&["PING"])) {
                Some(Ok(_)) => {
                    let at = now();
                    longest = longest.max(at.saturating_duration_since(answered));
                    answered = at;
                }
                _ => slot = None,
            }
            pause_ms(10);
        }
        Some(longest.max(now().saturating_duration_since(answered)))
    })
}

/// Notes when one of `ports` first calls itself a master: the instant and the port.
#[must_use]
pub fn promotion(ports: Vec<u16>, credentials: Option<Credentials>) -> Watch<(Instant, u16)> {
    Watch::start(move |stop| {
        let connect =
            |port: u16| Client::connect_as(port, Duration::from_millis(300), credentials.as_ref()).ok();
        let mut clients: Vec<(u16, Option<Client>)> =
            ports.iter().map(|port| (*port, connect(*port))).collect();
        while !stop.load(Ordering::Relaxed) {
            for (port, slot) in &mut clients {
                let Some(client) = slot else {
                    *slot = connect(*port);
                    continue;
                };
                match super::redis::role_of(client) {
                    Ok(role) if role == "master" => return Some((now(), *port)),
                    Ok(_) => {}
                    Err(_) => *slot = None,
                }
            }
            pause_ms(1);
        }
        None
    })
}

/// Notes when the sentinel at `sentinel` first answers another master than `old`: the instant and the port.
#[must_use]
pub fn new_address(sentinel: u16, old: u16) -> Watch<(Instant, u16)> {
    Watch::start(move |stop| {
        let mut slot: Option<Client> = None;
        while !stop.load(Ordering::Relaxed) {
            if slot.is_none() {
                slot = Client::connect(sentinel, Duration::from_millis(500)).ok();
            }
            if let Some(client) = &mut slot {
                match master_port(client) {
                    Ok(port) if port != old => return Some((now(), port)),
                    Ok(_) => {}
                    Err(_) => slot = None,
                }
            }
            pause_ms(1);
        }
        None
    })
}

/// Notes when a client that asks the sentinels in turn for the master has its first write accepted by another one
/// than `old`.
#[must_use]
pub fn first_write(sentinels: Vec<u16>, old: u16, credentials: Option<Credentials>) -> Watch<Instant> {
    Watch::start(move |stop| {
        let timeout = Duration::from_millis(300);
        let mut slots: Vec<(u16, Option<Client>)> = sentinels.into_iter().map(|port| (port, None)).collect();
        while !stop.load(Ordering::Relaxed) {
            for (sentinel, slot) in &mut slots {
                if slot.is_none() {
                    *slot = Client::connect(*sentinel, timeout).ok();
                }
                let Some(client) = slot else { continue };
                let Ok(port) = master_port(client) else {
                    *slot = None;
                    continue;
                };
                if port == old {
                    continue;
                }
                let written = Client::connect_as(port, timeout, credentials.as_ref())
                    .and_then(|mut master| master.command(&["SET", "first-write", "1"]));
                if written.is_ok_and(|reply| reply.is_ok()) {
                    return Some(now());
                }
            }
            pause_ms(1);
        }
        None
    })
}
