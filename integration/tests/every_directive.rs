//! Every directive of the installed `redis-server`, with the value that it shows itself, loads unchanged.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use integration::harness::lone::Lone;
use integration::harness::ports::Port;
use integration::harness::{Cluster, ClusterOptions};

/// What the process would act on in a way that this test cannot have.
const LEFT_OUT: [&str; 8] = [
    "port",
    "dir",
    "daemonize",
    "pidfile",
    "logfile",
    "aclfile",
    "requirepass",
    "bind",
];

#[test]
fn every_directive_of_the_installed_server_loads() {
    let options = ClusterOptions {
        sentinels: 0,
        replicas: 0,
        ..ClusterOptions::default()
    };
    let cluster = Cluster::start_servers(options).unwrap();
    let mut client = cluster.servers[0].client().unwrap();
    let all = client.command(&["CONFIG", "GET", "*"]).unwrap().pairs().unwrap();
    assert!(all.len() > 100, "only {} directives", all.len());

    let folder = tempfile::tempdir().unwrap();
    let (port, admin) = (Port::reserve().unwrap(), Port::reserve().unwrap());
    let mut text = format!(
        "port {}\nadmin-port {}\ndir {}\n",
        port.number(),
        admin.number(),
        folder.path().display()
    );
    for (name, value) in all.iter().filter(|(name, _)| !LEFT_OUT.contains(&name.as_str())) {
        // An unset `replicaof` is shown as nothing, and is not a line then.
        if name.ends_with("of") && value.is_empty() {
            continue;
        }
        let several = [
            "client-output-buffer-limit",
            "oom-score-adj-values",
            "latency-tracking-info-percentiles",
            "save",
        ];
        let value = match several.contains(&name.as_str()) && !value.is_empty() {
            true => value.clone(),
            false => format!("\"{value}\""),
        };
        text.push_str(&format!("{name} {value}\n"));
    }
    let mut node = Lone::on_text(folder.path(), &text, port.number()).unwrap_or_else(|error| {
        panic!("{error:#}\n{text}\nREPRODUCE WITH: cargo test -p integration --test every_directive")
    });
    node.process.terminate().unwrap();
}
