//! Where lines go: one thread that writes, fed by a bounded queue.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use sentinel_core::time::WallTime;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::clock::SystemClock;
use crate::config::{Config, LogLevel, LogStyle};

use super::format::format_line;
use super::layer::{RedisLayer, set_level};
use super::syslog::Syslog;

/// Lines that may wait for a slow disk. Overflow policy: drop and count.
const QUEUE_LINES: usize = 8192;
/// Lines written with one system call at most.
const BATCH_LINES: usize = 512;
/// How long an ending process waits for its last lines.
const FLUSH_DEADLINE: Duration = Duration::from_secs(1);

static QUEUE: OnceLock<SyncSender<Item>> = OnceLock::new();
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// A message on its way to the writer, which words the line.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) at: WallTime,
    pub(super) level: LogLevel,
    pub(super) text: String,
}

enum Item {
    Message(Message),
    Flush(SyncSender<()>),
}

/// Starts the log. Call once; a second call only changes the level.
///
/// # Errors
/// When the writer thread cannot be started.
pub fn init(config: &Config, clock: SystemClock) -> std::io::Result<()> {
    set_level(config.loglevel);
    if QUEUE.get().is_some() {
        return Ok(());
    }
    let (sender, receiver) = sync_channel(QUEUE_LINES);
    let writer = Writer {
        pid: std::process::id(),
        style: config.log_style,
        file: config.logfile.clone(),
        syslog: Syslog::open(&config.syslog),
    };
    std::thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || writer.run(&receiver))?;
    if QUEUE.set(sender).is_ok() {
        // Fails only when a test installed its own subscriber.
        let _ = tracing_subscriber::registry()
            .with(RedisLayer::new(clock))
            .try_init();
    }
    Ok(())
}

/// Queues a message; never blocks.
pub(super) fn write(message: Message) {
    let Some(queue) = QUEUE.get() else {
        return;
    };
    if let Err(TrySendError::Full(_)) = queue.try_send(Item::Message(message)) {
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

/// Lines dropped so far because the writer could not keep up.
#[must_use]
pub fn dropped_lines() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// Waits until all lines queued so far are written, at most a second.
pub fn flush() {
    let Some(queue) = QUEUE.get() else {
        return;
    };
    let (done, wait) = sync_channel(1);
    if queue.try_send(Item::Flush(done)).is_ok() {
        let _ = wait.recv_timeout(FLUSH_DEADLINE);
    }
}

/// Ends the process after the last lines are written.
pub fn exit(status: i32) -> ! {
    flush();
    std::process::exit(status)
}

/// What the writing thread knows.
struct Writer {
    pid: u32,
    style: LogStyle,
    /// `None` = stdout.
    file: Option<PathBuf>,
    syslog: Option<Syslog>,
}

impl Writer {
    fn run(&self, receiver: &Receiver<Item>) {
        let mut batch = String::new();
        let mut waiting = Vec::new();
        let mut reported = 0;
        while let Ok(first) = receiver.recv() {
            let items = std::iter::once(first)
                .chain(receiver.try_iter())
                .take(BATCH_LINES);
            for item in items {
                match item {
                    Item::Message(message) => self.take(&message, &mut batch),
                    Item::Flush(done) => waiting.push(done),
                }
            }
            let dropped = dropped_lines();
            if dropped > reported {
                batch.push_str(&format!(
                    "({} log lines were lost: the log is written too slowly)\n",
                    dropped.saturating_sub(reported)
                ));
                reported = dropped;
            }
            // Nobody is left to tell when the log itself cannot be written.
            let _ = write_batch(batch.as_bytes(), self.file.as_ref());
            batch.clear();
            for done in waiting.drain(..) {
                let _ = done.try_send(());
            }
        }
    }

    fn take(&self, message: &Message, batch: &mut String) {
        let line = format_line(self.style, self.pid, message.at, message.level, &message.text);
        batch.push_str(&line);
        batch.push('\n');
        if let Some(syslog) = &self.syslog {
            syslog.send(self.pid, message);
        }
    }
}

fn write_batch(text: &[u8], file: Option<&PathBuf>) -> std::io::Result<()> {
    match file {
        Some(path) => std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)?
            .write_all(text),
        None => {
            let mut out = std::io::stdout().lock();
            out.write_all(text)?;
            out.flush()
        }
    }
}
