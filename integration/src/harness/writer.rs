//! A client that writes unique numbers to whatever the sentinels name as the master, and remembers which
//! writes were acknowledged: after a failover it tells which of them are gone.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use super::resp::{Client, Credentials};
use super::sentinel::master_port;
use super::time::{now, pause, pause_ms};

/// Key of the set that holds the numbers.
const KEY: &str = "acknowledged";

/// One acknowledged write.
#[derive(Debug, Clone, Copy)]
pub struct Write {
    /// Its number.
    pub number: u64,
    /// When the acknowledgement was read.
    pub at: Instant,
    /// Port of the server that acknowledged it.
    pub port: u16,
}

/// What the writer saw.
#[derive(Debug, Default)]
pub struct Written {
    /// Acknowledged writes, in order.
    pub acknowledged: Vec<Write>,
    /// Requests that failed or were refused.
    pub errors: u64,
}

impl Written {
    /// Acknowledged numbers that the server at `port` does not have.
    pub fn missing(&self, port: u16, credentials: Option<&Credentials>) -> Result<Vec<u64>> {
        let mut client = Client::connect_as(port, Duration::from_secs(10), credentials)?;
        let mut present = BTreeSet::new();
        for member in client.command(&["SMEMBERS", KEY])?.array()? {
            present.insert(
                member
                    .text()?
                    .parse::<u64>()
                    .context("a member that is not a number")?,
            );
        }
        Ok(self
            .acknowledged
            .iter()
            .map(|write| write.number)
            .filter(|n| !present.contains(n))
            .collect())
    }

    /// Longest time between two acknowledgements that follow each other.
    #[must_use]
    pub fn longest_gap(&self) -> Duration {
        self.acknowledged
            .windows(2)
            .filter_map(|pair| match pair {
                [first, second] => Some(second.at.saturating_duration_since(first.at)),
                _ => None,
            })
            .max()
            .unwrap_or_default()
    }
}

/// The running writer.
#[derive(Debug)]
pub struct Writer {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicU64>,
    thread: Option<JoinHandle<Written>>,
}

impl Writer {
    /// Starts writing every `every` to the master that the sentinels at `sentinels` name.
    #[must_use]
    pub fn start(sentinels: Vec<u16>, every: Duration, credentials: Option<Credentials>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let count = Arc::new(AtomicU64::new(0));
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&count));
        let thread = std::thread::spawn(move || {
            write_until(&stopped, &counted, &sentinels, every, credentials.as_ref())
        });
        Self {
            stop,
            count,
            thread: Some(thread),
        }
    }

    /// Acknowledged so far.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Waits until `more` further writes are acknowledged.
    pub fn wait_more(&self, more: u64, deadline: Duration) -> Result<()> {
        let target = self.acknowledged().saturating_add(more);
        super::wait::wait_for("further writes are acknowledged", deadline, || {
            let count = self.acknowledged();
            anyhow::ensure!(count >= target, "{count} of {target}");
            Ok(())
        })
    }

    /// Ends it and hands over what it saw.
    pub fn stop(mut self) -> Result<Written> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("the writer has ended")?;
        thread.join().map_err(|_| anyhow!("the writer panicked"))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn write_until(
    stop: &AtomicBool,
    count: &AtomicU64,
    sentinels: &[u16],
    every: Duration,
    credentials: Option<&Credentials>,
) -> Written {
    let mut written = Written::default();
    let mut connection: Option<(u16, Client)> = None;
    let mut number = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        if connection.is_none() {
            connection = find_master(sentinels, credentials);
        }
        let Some((port, client)) = &mut connection else {
            pause_ms(2);
            continue;
        };
        number += 1;
        match client.command(&["SADD", KEY, &number.to_string()]) {
            Ok(reply) if reply.error().is_none() => {
                written.acknowledged.push(Write {
                    number,
                    at: now(),
                    port: *port,
                });
                count.fetch_add(1, Ordering::Relaxed);
            }
            Ok(_) | Err(_) => {
                written.errors += 1;
                connection = None;
            }
        }
        pause(every);
    }
    written
}

fn find_master(sentinels: &[u16], credentials: Option<&Credentials>) -> Option<(u16, Client)> {
    let timeout = Duration::from_millis(1500);
    sentinels.iter().find_map(|sentinel| {
        let mut client = Client::connect(*sentinel, Duration::from_millis(300)).ok()?;
        let port = master_port(&mut client).ok()?;
        let mut master = Client::connect_as(port, timeout, credentials).ok()?;
        let role = super::redis::role_of(&mut master).ok()?;
        (role == "master").then_some((port, master))
    })
}
