//! A request that waits for the end of a CLIENT PAUSE.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::{Connection, next, read};
use crate::server::dispatch::held;

impl Connection {
    /// Returns once `words` may be answered. `Err` = the connection is to be closed.
    pub(super) async fn wait_while_paused(
        &mut self,
        words: &[Bytes],
        close: &CancellationToken,
    ) -> Result<(), ()> {
        let now = self.context.clock.mono();
        if held(&self.context, &self.session, words, now).is_none() {
            return Ok(());
        }
        self.flush(close).await?;
        self.context.counters.blocked.fetch_add(1, Ordering::Relaxed);
        self.info.blocked.store(true, Ordering::Relaxed);
        let result = self.wait(words, close).await;
        self.info.blocked.store(false, Ordering::Relaxed);
        self.context.counters.blocked.fetch_sub(1, Ordering::Relaxed);
        result
    }

    /// Events are delivered meanwhile, what the client sends is kept up to the size of a request, and a client that
    /// leaves is noticed.
    async fn wait(&mut self, words: &[Bytes], close: &CancellationToken) -> Result<(), ()> {
        let mut changes = self.context.pause.watch();
        loop {
            changes.mark_unchanged();
            let now = self.context.clock.mono();
            let Some(until) = held(&self.context, &self.session, words, now) else {
                return Ok(());
            };
            self.info.query_bytes.store(self.input.len(), Ordering::Relaxed);
            let left = Duration::from_millis(until.ms_since(now));
            tokio::select! {
                biased;
                () = close.cancelled() => return Err(()),
                delivery = next(&mut self.deliveries) => {
                    self.deliver(delivery);
                    self.flush(close).await?;
                }
                count = read(&mut self.stream, &mut self.input) => {
                    let count = count.ok().filter(|count| *count > 0).ok_or(())?;
                    let count = u64::try_from(count).unwrap_or(0);
                    self.context.counters.input_bytes.fetch_add(count, Ordering::Relaxed);
                    if self.input.len() > self.query_limit() {
                        return self.too_much_input();
                    }
                }
                _ = changes.changed() => {}
                () = tokio::time::sleep(left) => {}
            }
        }
    }
}
