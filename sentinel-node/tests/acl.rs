//! Users over TCP: what a change of rules does to connections that exist, the ACL file, and a discovery client.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    unreachable_pub,
    dead_code
)]

mod server_support;

use sentinel_node::config::Config;
use sentinel_proto::MasterName;
use sentinel_proto::event::Event;
use sentinel_proto::resp::{Frame, Protocol};
use server_support::{Client, Server, at, eventually, start};

const ADDR: &str = "SENTINEL get-master-addr-by-name m";
const NO_ADDR: &str =
    "NOPERM User app has no permissions to run the 'sentinel|get-master-addr-by-name' command";

async fn as_user(server: &Server, credentials: &str) -> Client {
    let mut client = Client::connect(server).await;
    assert_eq!(client.text(&format!("AUTH {credentials}")).await, "OK");
    client
}

fn address() -> Frame {
    Frame::bulks(["127.0.0.1", "6379"])
}

#[tokio::test]
async fn a_change_acts_at_the_next_command_even_a_repeated_one() {
    let server = start(|_| {});
    let mut admin = Client::connect(&server).await;
    let set = "ACL SETUSER app on >p +sentinel|get-master-addr-by-name";
    assert_eq!(admin.text(set).await, "OK");
    let mut app = as_user(&server, "app p").await;
    for _ in 0..3 {
        // From the second time on the reply is remembered.
        assert_eq!(app.ask(ADDR).await, address());
    }
    assert_eq!(admin.text("ACL SETUSER app -sentinel").await, "OK");
    assert_eq!(app.text(ADDR).await, NO_ADDR);
    assert_eq!(admin.text(set).await, "OK");
    assert_eq!(app.ask(ADDR).await, address());
    // Switched off, it can no longer be authenticated as; who is, stays.
    assert_eq!(admin.text("ACL SETUSER app off").await, "OK");
    assert_eq!(app.ask(ADDR).await, address());
    assert!(app.text("AUTH app p").await.starts_with("WRONGPASS"));
}

#[tokio::test]
async fn connections_of_deleted_users_are_closed() {
    let server = start(|_| {});
    let mut admin = Client::connect(&server).await;
    for user in ["a", "b"] {
        let set = format!("ACL SETUSER {user} on >p +@all allchannels");
        assert_eq!(admin.text(&set).await, "OK");
    }
    let mut idle = as_user(&server, "a p").await;
    let mut listening = as_user(&server, "a p").await;
    listening.ask("SUBSCRIBE x").await;
    let mut other = as_user(&server, "b p").await;
    assert_eq!(admin.text("ACL DELUSER a nobody").await, "1");
    idle.closed().await;
    listening.closed().await;
    assert_eq!(other.text("ACL WHOAMI").await, "b");
    // Its own end is told first.
    assert_eq!(other.text("ACL DELUSER b").await, "1");
    other.closed().await;
    // A new user of the name is another one.
    assert_eq!(admin.text("ACL SETUSER c on nopass +@all").await, "OK");
    let mut before = as_user(&server, "c x").await;
    let both = "*3\r\n$3\r\nACL\r\n$7\r\nDELUSER\r\n$1\r\nc\r\n*6\r\n$3\r\nACL\r\n$7\r\nSETUSER\r\n$1\r\nc\r\n\
                $2\r\non\r\n$6\r\nnopass\r\n$5\r\n+@all\r\n";
    admin.send(both.as_bytes()).await;
    assert_eq!(admin.read().await.unwrap().as_i64(), Some(1));
    assert_eq!(admin.read().await, Some(Frame::OK));
    before.closed().await;
    let names = admin.ask("ACL USERS").await;
    assert_eq!(names, Frame::bulks(["c", "default"]));
}

#[tokio::test]
async fn subscribers_that_lose_a_channel_are_closed_and_others_go_on() {
    let server = start(|_| {});
    let mut admin = Client::connect(&server).await;
    let set = "ACL SETUSER app on >p +subscribe +psubscribe &+switch-master &other &pat*";
    assert_eq!(admin.text(set).await, "OK");
    let mut stays = as_user(&server, "app p").await;
    stays.ask("SUBSCRIBE +switch-master").await;
    let mut loses = as_user(&server, "app p").await;
    loses.ask("SUBSCRIBE +switch-master other").await;
    let mut pattern = as_user(&server, "app p").await;
    pattern.ask("PSUBSCRIBE pat*").await;
    let set = "ACL SETUSER app resetchannels &+switch-master &pat &pa*";
    assert_eq!(admin.text(set).await, "OK");
    loses.closed().await;
    pattern.closed().await;
    let master = MasterName::new("m").unwrap();
    server
        .hub
        .publish(Event::switch_master(&master, &at(6379), &at(6380)));
    let message = stays.read().await.expect("it is still connected");
    assert_eq!(message.elements().unwrap()[1].as_str(), Some("+switch-master"));
}

#[tokio::test]
async fn the_default_user_decides_about_clients_that_say_nothing() {
    let server = start(|config: &mut Config| config.requirepass = Some("x".to_owned()));
    let mut admin = as_user(&server, "x").await;
    let mut silent = Client::connect(&server).await;
    assert_eq!(silent.text("PING").await, "NOAUTH Authentication required.");
    assert_eq!(admin.text("ACL SETUSER default nopass").await, "OK");
    assert_eq!(silent.text("PING").await, "PONG");
    let answer = silent.text("AUTH y").await;
    assert!(
        answer.starts_with("ERR AUTH <password> called without"),
        "{answer}"
    );
    assert_eq!(admin.text("ACL SETUSER default >z").await, "OK");
    assert_eq!(silent.text("PING").await, "NOAUTH Authentication required.");
    assert!(silent.text("AUTH x").await.starts_with("WRONGPASS"));
    assert_eq!(silent.text("AUTH z").await, "OK");
    assert_eq!(admin.text("ACL SETUSER default off").await, "OK");
    assert_eq!(silent.text("PING").await, "PONG");
    assert!(silent.text("AUTH default z").await.starts_with("WRONGPASS"));
    let answer = admin.text("ACL DELUSER default").await;
    assert_eq!(answer, "ERR The 'default' user cannot be removed");
    assert_eq!(admin.text("PING").await, "PONG");
    let mut late = Client::connect(&server).await;
    assert_eq!(late.text("PING").await, "NOAUTH Authentication required.");
}

#[tokio::test]
async fn the_acl_file_is_saved_and_loaded_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("users.acl");
    let server = start(|config| config.acl.file = Some(path.clone()));
    let mut admin = Client::connect(&server).await;
    for user in ["gone", "stays"] {
        let set = format!("ACL SETUSER {user} on >p +@all");
        assert_eq!(admin.text(&set).await, "OK");
    }
    assert_eq!(admin.text("ACL SAVE").await, "OK");
    let saved = std::fs::read_to_string(&path).unwrap();
    let list = admin.ask("ACL LIST").await;
    let lines = list.elements().unwrap().iter().filter_map(Frame::as_str);
    assert_eq!(saved.lines().collect::<Vec<_>>(), lines.collect::<Vec<_>>());
    let mut gone = as_user(&server, "gone p").await;
    let mut stays = as_user(&server, "stays p").await;

    std::fs::write(&path, format!("{saved}user new +get\n")).unwrap();
    let answer = admin.text("ACL LOAD").await;
    let expected = format!(
        "ERR {}:4: Error in applying operation '+get': Unknown command or category name in ACL. WARNING: ACL errors \
         detected, no change to the previously active ACL rules was performed",
        path.display()
    );
    assert_eq!(answer, expected);
    assert_eq!(admin.ask("ACL LIST").await, list);

    std::fs::write(&path, "user stays on >q +ping\nuser new on\n").unwrap();
    assert_eq!(admin.text("ACL LOAD").await, "OK");
    gone.closed().await;
    assert_eq!(stays.text("PING").await, "PONG");
    assert!(stays.text("INFO").await.starts_with("NOPERM"));
    assert!(stays.text("AUTH stays p").await.starts_with("WRONGPASS"));
    assert_eq!(
        admin.ask("ACL USERS").await,
        Frame::bulks(["default", "new", "stays"])
    );
    drop(dir);
    let answer = admin.text("ACL SAVE").await;
    assert!(answer.contains("check the server logs"), "{answer}");
}

#[tokio::test]
async fn refusals_are_counted_and_users_shown() {
    let server = start(|_| {});
    let mut admin = Client::connect(&server).await;
    assert_eq!(
        admin.text("ACL SETUSER app on >p +subscribe +client|info").await,
        "OK"
    );
    let mut app = as_user(&server, "app p").await;
    app.text("PING").await;
    app.text("PING").await;
    app.text("SUBSCRIBE secret").await;
    app.text("AUTH app wrong").await;
    let stats = admin.text("INFO stats").await;
    for line in [
        "acl_access_denied_auth:1\r\n",
        "acl_access_denied_cmd:2\r\n",
        "acl_access_denied_key:0\r\n",
        "acl_access_denied_channel:1\r\n",
    ] {
        assert!(stats.contains(line), "no {line} in {stats}");
    }
    let line = app.text("CLIENT INFO").await;
    assert!(line.contains(" user=app "), "{line}");
    let log = admin.ask("ACL LOG").await;
    let shown: Vec<(i64, String)> = log
        .elements()
        .unwrap()
        .iter()
        .map(|entry| {
            let entry = entry.elements().unwrap();
            (entry[1].as_i64().unwrap(), entry[7].as_str().unwrap().to_owned())
        })
        .collect();
    let expected = [(1, "AUTH"), (1, "secret"), (2, "ping")];
    assert_eq!(shown, expected.map(|(count, object)| (count, object.to_owned())));
    assert_eq!(admin.text("CLIENT KILL USER app").await, "1");
    app.closed().await;
    assert_eq!(
        admin.text("CLIENT KILL USER nobody").await,
        "ERR No such user 'nobody'"
    );
    eventually("it is no longer listed", || {
        server
            .context
            .counters
            .connected
            .load(std::sync::atomic::Ordering::Relaxed)
            == 1
    })
    .await;
}

/// The rights that docs/CONFIGURATION.md gives to a client that only looks for masters.
fn documented_rules() -> String {
    let manual = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/CONFIGURATION.md");
    let manual = std::fs::read_to_string(manual).unwrap();
    let line = manual
        .lines()
        .find_map(|line| line.trim().strip_prefix("user discovery "));
    line.expect("the line of the manual").to_owned()
}

#[tokio::test]
async fn a_discovery_client_finds_the_master_and_is_refused_elsewhere() {
    let server = start(|_| {});
    let mut admin = Client::connect(&server).await;
    let set = format!("ACL SETUSER discovery {}", documented_rules());
    assert_eq!(admin.text(&set).await, "OK");
    let mut client = Client::connect(&server).await;
    assert!(matches!(
        client.ask("HELLO 3 AUTH discovery SECRET SETNAME app").await,
        Frame::Map(_)
    ));
    assert_eq!(client.ask(ADDR).await, address());
    for request in [
        "PING",
        "ROLE",
        "COMMAND",
        "COMMAND DOCS ping",
        "CLIENT SETNAME x",
        "CLIENT SETINFO LIB-NAME x",
        "CLIENT GETNAME",
        "CLIENT ID",
        "SENTINEL MASTERS",
        "SENTINEL MASTER m",
        "SENTINEL REPLICAS m",
        "SENTINEL SLAVES m",
        "SENTINEL SENTINELS m",
        "SENTINEL MYID",
        "AUTH discovery SECRET",
    ] {
        let reply = client.ask(request).await;
        assert!(reply.as_error().is_none(), "{request}: {reply:?}");
    }
    for request in [
        "SENTINEL REMOVE m",
        "SENTINEL FAILOVER m",
        "SENTINEL SET m quorum 1",
        "SENTINEL RESET *",
        "SENTINEL CONFIG GET *",
        "SENTINEL RAFT STATUS",
        "SENTINEL CKQUORUM m",
        "ACL LIST",
        "ACL WHOAMI",
        "ACL SETUSER x",
        "SHUTDOWN",
        "INFO",
        "CLIENT LIST",
        "CLIENT KILL TYPE normal",
        "PUBLISH +switch-master x",
        "PSUBSCRIBE *",
        "SUBSCRIBE +monitor",
        "SUBSCRIBE __sentinel__:hello",
    ] {
        let reply = client.text(request).await;
        assert!(reply.starts_with("NOPERM "), "{request}: {reply}");
    }
    // RESP3: a subscriber may go on asking.
    let confirmation = client.ask("SUBSCRIBE +switch-master").await;
    assert!(matches!(confirmation, Frame::Push(_)), "{confirmation:?}");
    let master = MasterName::new("m").unwrap();
    server
        .hub
        .publish(Event::switch_master(&master, &at(6379), &at(6380)));
    let message = client.read().await.unwrap();
    assert_eq!(message.to_bytes(Protocol::Resp3)[0], b'>');
    assert_eq!(client.ask(ADDR).await, address());
}
