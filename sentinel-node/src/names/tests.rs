use std::sync::atomic::AtomicUsize;

use super::*;
use crate::clock::SystemClock;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn at(text: &str) -> HostPort {
    text.parse().unwrap()
}

fn start(look_up: LookUp) -> Resolver {
    Resolver::start(Arc::new(SystemClock::start()), look_up, Names::default())
}

/// `db1` and `db2` exist, `hang` never answers, everything else does not exist.
fn model(count: Arc<AtomicUsize>) -> LookUp {
    Arc::new(move |host| {
        count.fetch_add(1, Ordering::Relaxed);
        match host {
            "db1" => Ok(vec![ip("10.0.0.1")]),
            "db2" => Ok(vec![ip("10.0.0.2"), ip("::1")]),
            host if host.starts_with("hang") => loop {
                std::thread::park();
            },
            _ => Err(io::Error::other("no such name")),
        }
    })
}

#[tokio::test]
async fn a_name_is_looked_up_once_for_all_who_ask() {
    let count = Arc::new(AtomicUsize::new(0));
    let look_up = model(Arc::clone(&count));
    let resolver = start(look_up);
    let answers = futures::future::join_all((0..20).map(|_| resolver.refreshed("DB1"))).await;
    assert!(
        answers.iter().all(|found| *found == [ip("10.0.0.1")]),
        "{answers:?}"
    );
    assert_eq!(resolver.refreshed("db1").await, [ip("10.0.0.1")]);
    assert_eq!(count.load(Ordering::Relaxed), 1);
    assert!(resolver.refreshed("nosuch").await.is_empty());
    assert!(
        resolver.refreshed("nosuch").await.is_empty(),
        "a failure is remembered, too"
    );
    assert_eq!(count.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_lookup_that_hangs_delays_nobody_else() {
    let look_up = model(Arc::default());
    let resolver = start(look_up);
    for n in 0..10 {
        resolver.want(&format!("hang{n}"));
    }
    assert_eq!(resolver.refreshed("db2").await.len(), 2);
    assert!(resolver.refreshed("hang1").await.is_empty(), "late");
    assert_eq!(
        resolver.names().same(&at("hang1:1"), &at("10.0.0.1:1")),
        Some(false),
        "text by now"
    );
    assert!(resolver.refreshed("hang1").await.is_empty());
}

#[tokio::test]
async fn what_is_shown_follows_the_policy_and_the_connection() {
    let look_up = model(Arc::default());
    let resolver = start(look_up);
    let address = at("db2:6379");
    assert_eq!(resolver.shown(&address), address, "nothing better is known");
    let _ = resolver.refreshed("db2").await;
    let version = resolver.version();
    assert_eq!(resolver.shown(&address), at("10.0.0.2:6379"));
    resolver.connected("db2", ip("::1"));
    let mut changes = resolver.shared.changes.subscribe();
    while resolver.shown(&address) != at("[::1]:6379") {
        changes.changed().await.unwrap();
    }
    assert!(resolver.version() > version);
    resolver.set_policy(true, true);
    assert_eq!(resolver.shown(&address), address);
}

#[tokio::test]
async fn a_reported_name_is_refused_without_a_lookup_where_names_are_not_accepted() {
    let count = Arc::new(AtomicUsize::new(0));
    let look_up = model(Arc::clone(&count));
    let resolver = start(look_up);
    let mut changes = resolver.shared.changes.subscribe();
    resolver.reported("db1");
    changes.changed().await.unwrap();
    assert_eq!(resolver.names().ips("db1"), Some(vec![]));
    assert_eq!(count.load(Ordering::Relaxed), 0);
    resolver.set_policy(true, false);
    resolver.reported("db1");
    changes.changed().await.unwrap();
    assert_eq!(resolver.names().ips("db1"), Some(vec![ip("10.0.0.1")]));
}
