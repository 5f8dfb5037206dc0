//! From tracing events to lines.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU8, Ordering};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use crate::clock::Clock as _;
use crate::clock::SystemClock;
use crate::config::LogLevel;

use super::sink::{self, Message};

/// `loglevel`, changeable at run time; holds [`rank`] of the least level that passes.
static LEVEL: AtomicU8 = AtomicU8::new(2);

/// Changes the level from now on.
pub fn set_level(level: LogLevel) {
    let rank = match level {
        LogLevel::Debug => 0,
        LogLevel::Verbose => 1,
        LogLevel::Notice => 2,
        LogLevel::Warning => 3,
        LogLevel::Nothing => 4,
    };
    LEVEL.store(rank, Ordering::Relaxed);
    tracing::callsite::rebuild_interest_cache();
}

/// The level in effect.
#[must_use]
pub fn level() -> LogLevel {
    match LEVEL.load(Ordering::Relaxed) {
        0 => LogLevel::Debug,
        1 => LogLevel::Verbose,
        2 => LogLevel::Notice,
        3 => LogLevel::Warning,
        _ => LogLevel::Nothing,
    }
}

fn rank(level: Level) -> u8 {
    match level {
        Level::TRACE => 0,
        Level::DEBUG => 1,
        Level::INFO => 2,
        Level::WARN | Level::ERROR => 3,
    }
}

/// tracing's five levels as Redis's four.
fn level_of(level: Level) -> LogLevel {
    match level {
        Level::TRACE => LogLevel::Debug,
        Level::DEBUG => LogLevel::Verbose,
        Level::INFO => LogLevel::Notice,
        Level::WARN | Level::ERROR => LogLevel::Warning,
    }
}

/// Our own crates (and events) as opposed to libraries.
fn is_ours(target: &str) -> bool {
    ["sentinel", "raft_store", "event"]
        .iter()
        .any(|prefix| target.starts_with(prefix))
}

/// The layer that prints Redis's lines.
#[derive(Debug)]
pub struct RedisLayer {
    clock: SystemClock,
}

impl RedisLayer {
    /// A layer that writes to the sink opened by [`sink::init`].
    #[must_use]
    pub fn new(clock: SystemClock) -> Self {
        Self { clock }
    }

    fn passes(metadata: &Metadata<'_>) -> bool {
        let threshold = LEVEL.load(Ordering::Relaxed);
        if is_ours(metadata.target()) {
            return rank(*metadata.level()) >= threshold;
        }
        // `debug` also opens the libraries' own verbose lines; else only what they call an error.
        match threshold {
            0 => *metadata.level() <= Level::INFO,
            1 | 2 => *metadata.level() <= Level::ERROR,
            _ => false,
        }
    }
}

impl<S: Subscriber> Layer<S> for RedisLayer {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.is_event() && Self::passes(metadata)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let mut text = Text::default();
        if !is_ours(metadata.target()) {
            text.message.push_str(metadata.target());
            text.message.push_str(": ");
        }
        event.record(&mut text);
        text.message.push_str(&text.fields);
        sink::write(Message {
            at: self.clock.wall(),
            level: level_of(*metadata.level()),
            text: text.message,
        });
    }
}

/// The message, then ` key=value` for each other field.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message.push_str(value);
        } else {
            // Writing to a String cannot fail.
            let _ = write!(self.fields, " {}={value}", field.name());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(self.message, "{value:?}");
        } else {
            let _ = write!(self.fields, " {}={value:?}", field.name());
        }
    }
}
