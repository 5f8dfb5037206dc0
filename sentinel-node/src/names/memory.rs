//! What names resolved to, kept across restarts: a node that starts while DNS is down finds its servers.

use std::net::IpAddr;
use std::time::Duration;

use raft_store::LocalFacts;
use sentinel_core::names::Names;

use super::Resolver;

/// Name of the fact.
const FACT: &str = "host-names";
/// Between two writes.
const PAUSE: Duration = Duration::from_secs(1);

/// Reads what an earlier run remembered. Blocks on the disk.
pub(super) fn recall(facts: &LocalFacts) -> Names {
    match facts.get(FACT) {
        Ok(bytes) => from_text(&String::from_utf8_lossy(&bytes.unwrap_or_default())),
        Err(error) => {
            tracing::warn!("the remembered addresses of host names cannot be read: {error}");
            Names::default()
        }
    }
}

/// Writes changes for as long as the node runs.
pub(super) async fn remember(resolver: Resolver, facts: LocalFacts) {
    let mut changes = resolver.shared.changes.subscribe();
    let mut written = None;
    loop {
        let text = to_text(resolver.shared.snapshot.load().in_use());
        if written.as_ref() != Some(&text) && !(text.is_empty() && written.is_none()) {
            let (facts, bytes) = (facts.clone(), text.clone().into_bytes());
            let result = tokio::task::spawn_blocking(move || facts.put(FACT, &bytes)).await;
            if let Ok(Err(error)) = result {
                tracing::debug!("the addresses of host names cannot be remembered: {error}");
            }
            written = Some(text);
        }
        tokio::time::sleep(PAUSE).await;
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// A line for each name: the name, then its IPs.
fn to_text<'a>(names: impl Iterator<Item = (&'a str, &'a [IpAddr])>) -> String {
    let line = |(host, ips): (&str, &[IpAddr])| {
        let words = ips.iter().map(ToString::to_string);
        let words: Vec<String> = std::iter::once(host.to_owned()).chain(words).collect();
        words.join(" ") + "\n"
    };
    // A name with a blank in it resolves to nothing, so there are none here.
    names.map(line).collect()
}

fn from_text(text: &str) -> Names {
    let mut names = Names::default();
    for line in text.lines() {
        let mut words = line.split(' ');
        let host = words.next().unwrap_or_default();
        let ips: Vec<IpAddr> = words.filter_map(|word| word.parse().ok()).collect();
        if !host.is_empty() && !ips.is_empty() {
            names.note(host, &ips);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_and_damage_is_skipped() {
        let mut names = Names::default();
        names.note("db1", &["10.0.0.1".parse().unwrap(), "::1".parse().unwrap()]);
        names.note("gone", &[]);
        let text = to_text(names.iter().filter(|(_, ips)| !ips.is_empty()));
        assert_eq!(text, "db1 10.0.0.1 ::1\n");
        assert_eq!(from_text(&text).ips("DB1"), names.ips("db1"));
        assert!(from_text("\n \nx\ny z\n").is_empty());
    }
}
