//! `sentinel replay-switch yes`: who subscribes after a switch is told of it, and nobody else.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use anyhow::{Result, ensure};
use integration::harness::sentinel::{GROUP, Sentinel};
use integration::harness::wait::wait_for;
use integration::harness::{ClusterOptions, scenario};

const PATIENCE: Duration = Duration::from_secs(30);

/// What comes after the confirmations of a subscription, up to the answer of a PING.
fn after(node: &Sentinel, words: &[&str]) -> Result<Vec<Vec<String>>> {
    let mut client = node.client()?;
    client.send(words)?;
    client.send(&["PING", "end"])?;
    let mut messages = Vec::new();
    loop {
        let reply = client.read()?;
        let words: Vec<String> = reply
            .array()?
            .iter()
            .filter_map(|word| word.text().ok())
            .collect();
        if words.first().is_some_and(|word| word == "pong") {
            return Ok(messages);
        }
        messages.push(words);
    }
}

#[test]
fn a_late_subscriber_hears_of_the_last_switch() {
    let mut options = ClusterOptions::default();
    options.settings.extra = vec!["sentinel replay-switch yes".to_owned()];
    scenario("a_late_subscriber_hears_of_the_last_switch", options, |cluster| {
        let old = cluster.master_port()?;
        ensure!(after(cluster.node(0)?, &["SUBSCRIBE", "+switch-master"])?.len() == 1);
        cluster.server_at_mut(old)?.process()?.kill9()?;
        let new = cluster.wait_new_master(old, PATIENCE)?;
        let payload = format!("{GROUP} 127.0.0.1 {old} 127.0.0.1 {new}");
        cluster.node_mut(2)?.process()?.terminate()?;
        cluster.node_mut(2)?.start()?;
        for index in 0..3 {
            let node = cluster.node(index)?;
            wait_for("a late subscriber is told", PATIENCE, || {
                let got = after(node, &["SUBSCRIBE", "+sdown", "+switch-master", "-sdown"])?;
                let kinds: Vec<&str> = got.iter().map(|message| message[0].as_str()).collect();
                ensure!(
                    kinds == ["subscribe", "subscribe", "message", "subscribe"],
                    "{got:?}"
                );
                ensure!(
                    got[2][1..] == ["+switch-master".to_owned(), payload.clone()],
                    "{got:?}"
                );
                let got = after(node, &["PSUBSCRIBE", "+sw*"])?;
                ensure!(
                    got[1][1..] == ["+sw*".to_owned(), "+switch-master".to_owned(), payload.clone()],
                    "{got:?}"
                );
                ensure!(after(node, &["PSUBSCRIBE", "-*"])?.len() == 1);
                Ok(())
            })?;
        }
        Ok(())
    });
}
