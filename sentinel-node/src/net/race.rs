//! Connecting to a name that may have several addresses, and other ones than a moment ago.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};

/// The next address is tried after this long, beside those before it.
const STAGGER: Duration = Duration::from_millis(100);

/// Connects to the addresses known, one after the other, and to those that the lookup finds meanwhile; the first
/// connection wins. A lookup is only waited for while nothing else can be tried.
///
/// # Errors
/// Of the last attempt that failed.
pub(super) async fn race<'c, T>(
    known: Vec<IpAddr>,
    refreshed: impl Future<Output = Vec<IpAddr>>,
    connect: impl Fn(IpAddr) -> BoxFuture<'c, io::Result<T>>,
) -> io::Result<(IpAddr, T)> {
    let must_wait = known.is_empty();
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name does not resolve");
    let mut untried = VecDeque::from(known);
    let mut tried: Vec<IpAddr> = Vec::new();
    let mut attempts = FuturesUnordered::new();
    let (mut refreshed, mut refreshing) = (pin!(refreshed), true);
    let attempt = |ip: IpAddr| connect(ip).map(move |result| (ip, result));
    loop {
        if attempts.is_empty() {
            match untried.pop_front() {
                Some(ip) => {
                    tried.push(ip);
                    attempts.push(attempt(ip));
                }
                None if refreshing && must_wait => {}
                None => return Err(failed),
            }
        }
        tokio::select! {
            biased;
            Some((ip, result)) = attempts.next() => match result {
                Ok(connected) => return Ok((ip, connected)),
                Err(error) => failed = error,
            },
            found = &mut refreshed, if refreshing => {
                refreshing = false;
                let new = |ip: &IpAddr| !tried.contains(ip) && !untried.contains(ip);
                let mut new: VecDeque<IpAddr> = found.into_iter().filter(new).collect();
                // What the name resolves to now comes before what it resolved to last.
                new.append(&mut untried);
                untried = new;
            }
            () = tokio::time::sleep(STAGGER), if !untried.is_empty() => {
                if let Some(ip) = untried.pop_front() {
                    tried.push(ip);
                    attempts.push(attempt(ip));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// 10.* refuses, 192.* never answers, everything else connects.
    fn connect(ip: IpAddr) -> BoxFuture<'static, io::Result<()>> {
        match ip.to_string().split('.').next() {
            Some("10") => ready(Err(io::ErrorKind::ConnectionRefused.into())).boxed(),
            Some("192") => pending().boxed(),
            _ => ready(Ok(())).boxed(),
        }
    }

    async fn winner(known: &[&str], found: &[&str]) -> String {
        match race(ips(known), ready(ips(found)), connect).await {
            Ok((ip, ())) => ip.to_string(),
            Err(error) => error.kind().to_string(),
        }
    }

    #[tokio::test]
    async fn the_first_address_that_answers_wins() {
        assert_eq!(winner(&["127.0.0.1"], &[]).await, "127.0.0.1");
        assert_eq!(winner(&["10.0.0.1", "192.0.0.1", "::1"], &[]).await, "::1");
        assert_eq!(
            winner(&["192.0.0.1"], &["127.0.0.2"]).await,
            "127.0.0.2",
            "it moved"
        );
        assert_eq!(winner(&[], &["10.0.0.1", "127.0.0.2"]).await, "127.0.0.2");
        assert_eq!(
            winner(&["10.0.0.1", "10.0.0.2"], &["10.0.0.1"]).await,
            "connection refused"
        );
        assert_eq!(winner(&[], &[]).await, "entity not found");
    }

    #[tokio::test]
    async fn a_lookup_that_hangs_does_not_delay_a_refusal() {
        let result = race(ips(&["10.0.0.1"]), pending(), connect).await;
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}
