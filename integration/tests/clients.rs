//! Unmodified client libraries find the master by name, keep writing through failovers and the loss of any sentinel, read
//! from replicas, and authenticate. docs/CLIENTS.md has the results.
//!
//! All libraries work on one deployment at the same time. `SENTINEL_TEST_CLIENTS=fred,predis` runs some of them only,
//! `SENTINEL_TEST_DRIVERS` those of others, `SENTINEL_PROGRAM=stock` the same against the system's `redis-sentinel`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use integration::harness::driver::{Driver, Task};
use integration::harness::libraries::{self, DISCOVERY, Lack, Library};
use integration::harness::redis::Access;
use integration::harness::resp::Credentials;
use integration::harness::sentinel::GROUP;
use integration::harness::time::{ms_since, now, pause_ms};
use integration::harness::{Cluster, ClusterOptions, scenario};

/// How long a library may take for its next success; node-redis looks by itself every ten seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// A library at work.
struct Client {
    library: Library,
    driver: Driver,
    /// Milliseconds until it wrote to the new master, for each failover.
    back_ms: Vec<f64>,
}

/// Who the drivers say they are.
#[derive(Clone, Default)]
struct Identity {
    /// What all of them say at the sentinels; `own_users`: each its own name.
    sentinel: Option<Credentials>,
    own_users: bool,
    server: Option<Credentials>,
}

impl Identity {
    fn at_sentinels(&self, library: &Library) -> Option<Credentials> {
        let mut access = self.sentinel.clone();
        if self.own_users
            && let Some(access) = &mut access
        {
            access.user = Some(user_of(library));
        }
        access
    }
}

/// The library's user at the sentinels.
fn user_of(library: &Library) -> String {
    library.name.replace([' ', '(', ')'], "-")
}

/// A library with its program and the folder to run it in.
type Installed = (Library, Vec<PathBuf>, PathBuf);

fn install_all(lacks: &[Lack]) -> Result<Vec<Installed>> {
    let mut installed = Vec::new();
    for library in libraries::wanted()? {
        if library.lacks.iter().any(|lack| lacks.contains(lack)) {
            println!("LEFT OUT: {} cannot do this, see docs/CLIENTS.md", library.name);
        } else if let Some((program, folder)) = library.program()? {
            installed.push((library, program, folder));
        }
    }
    Ok(installed)
}

fn start_all(cluster: &Cluster, installed: &[Installed], identity: &Identity) -> Result<Vec<Client>> {
    let mut clients = Vec::new();
    for (library, program, folder) in installed {
        let task = Task {
            program: program.clone(),
            folder: folder.clone(),
            library: library.package().to_owned(),
            sentinels: cluster.sentinel_ports(),
            master: GROUP.to_owned(),
            key: format!("written:{}:{}", library.name, identity.own_users),
            sentinel_access: identity.at_sentinels(library),
            access: identity.server.clone(),
            ca: None,
        };
        let driver = Driver::start(&task).context(library.name)?;
        clients.push(Client {
            library: *library,
            driver,
            back_ms: Vec::new(),
        });
    }
    Ok(clients)
}

/// Waits until `done` holds for each client; says which ones it does not hold for.
fn wait_all(
    clients: &mut [Client],
    what: &str,
    mut done: impl FnMut(&mut Client, usize) -> Result<bool>,
) -> Result<()> {
    let start = now();
    let mut missing: Vec<usize> = (0..clients.len()).collect();
    loop {
        let mut still = Vec::new();
        for index in missing {
            let Some(client) = clients.get_mut(index) else {
                continue;
            };
            let ended = client.driver.listen();
            if let Err(reason) = ended {
                bail!("{}: {reason}\n    {}", client.library.name, client.driver.tail());
            }
            if !done(client, index)? {
                still.push(index);
            }
        }
        if still.is_empty() {
            return Ok(());
        }
        if now().saturating_duration_since(start) > PATIENCE {
            let reports: Vec<String> = still
                .iter()
                .filter_map(|index| clients.get(*index))
                .map(|client| format!("{}:\n    {}", client.library.name, client.driver.tail()))
                .collect();
            bail!("still not: {what}: {}", reports.join("\n"));
        }
        missing = still;
        pause_ms(5);
    }
}

fn all_reads(client: &Client) -> usize {
    client.driver.reads() + client.driver.stray_reads()
}

/// All write, and read: at the start from a replica. Later some may stay with one that became the master: a library that
/// asks again between promotion and switch gets the old answer, and keeps that connection.
fn wait_working(clients: &mut [Client]) -> Result<()> {
    let before: Vec<(usize, usize)> = clients
        .iter()
        .map(|client| (client.driver.written().len(), all_reads(client)))
        .collect();
    wait_all(clients, "it writes, and reads from a replica", |client, index| {
        let (written, reads) = before.get(index).copied().unwrap_or_default();
        let reads_replicas = !client.library.lacks.contains(&Lack::ReplicaReads);
        Ok(client.driver.written().len() >= written + 20
            && all_reads(client) > reads
            && (!reads_replicas || client.driver.reads() > 0))
    })
}

/// All write to the server at `port`, which became the master just now.
fn wait_moved(cluster: &Cluster, clients: &mut [Client], port: u16, since: Instant) -> Result<()> {
    for client in clients.iter_mut() {
        client.driver.listen().context(client.library.name)?;
    }
    let marks: Vec<u64> = clients
        .iter()
        .map(|client| client.driver.written().last().copied().unwrap_or(0))
        .collect();
    let mut server = cluster.server_at(port)?.client()?;
    wait_all(clients, "it writes to the new master", |client, index| {
        let mark = marks.get(index).copied().unwrap_or(0);
        let Some(last) = client.driver.written().last().copied() else {
            return Ok(false);
        };
        // The old master may still have taken one before it was demoted: only what the new one has counts.
        if last <= mark {
            return Ok(false);
        }
        let has = server.command(&["SISMEMBER", client.driver.key(), &last.to_string()])?;
        if has.text()? != "1" {
            return Ok(false);
        }
        client.back_ms.push(ms_since(since));
        Ok(true)
    })
}

/// The master crashes; its restart makes it a replica.
fn crash_master(cluster: &mut Cluster, clients: &mut [Client]) -> Result<()> {
    let old = cluster.master_port()?;
    cluster.server_at_mut(old)?.process()?.kill9()?;
    let since = now();
    let new = cluster.wait_new_master(old, PATIENCE)?;
    wait_moved(cluster, clients, new, since)?;
    cluster.server_at_mut(old)?.restart()?;
    cluster.wait_ready()?;
    wait_working(clients).with_context(|| replica_flags(cluster))
}

/// One sentinel dies, then the master is replaced by command while it lives on: whoever talked to that sentinel, or relied
/// on its messages, has to find out through another one.
fn lose_sentinel(cluster: &mut Cluster, clients: &mut [Client], index: usize) -> Result<()> {
    cluster.node_mut(index)?.process()?.kill9()?;
    let old = cluster.master_port()?;
    let other = *cluster.running().first().context("no sentinel is left")?;
    let reply = integration::harness::wait::wait_for("the failover is accepted", PATIENCE, || {
        let reply = cluster.node(other)?.command(&["SENTINEL", "FAILOVER", GROUP])?;
        ensure!(reply.is_ok(), "SENTINEL FAILOVER was answered {reply}");
        Ok(reply)
    });
    reply?;
    let since = now();
    let new = cluster.wait_new_master(old, PATIENCE)?;
    wait_moved(cluster, clients, new, since)?;
    cluster.node_mut(index)?.start()?;
    cluster.wait_ready()?;
    wait_working(clients).with_context(|| replica_flags(cluster))
}

/// What each sentinel says about the replicas: what libraries choose by.
fn replica_flags(cluster: &Cluster) -> String {
    let flags = |index: usize| -> Result<String> {
        let reply = cluster.node(index)?.command(&["SENTINEL", "REPLICAS", GROUP])?;
        let replicas = reply.array()?.iter().map(|replica| {
            let pairs = replica.pairs()?;
            let field = |name: &str| pairs.get(name).cloned().unwrap_or_default();
            Ok(format!("{} {}", field("name"), field("flags")))
        });
        Ok(replicas.collect::<Result<Vec<_>>>()?.join("; "))
    };
    let said = (0..cluster.nodes.len()).map(|index| match flags(index) {
        Ok(flags) => format!("sentinel {index}: {flags}"),
        Err(reason) => format!("sentinel {index}: {reason}"),
    });
    said.collect::<Vec<_>>().join("\n")
}

/// What users were refused at the sentinels.
fn refusals(cluster: &Cluster) -> String {
    let refused = |index: usize| -> Result<Vec<String>> {
        let log = cluster.node(index)?.command(&["ACL", "LOG"])?;
        let entries = log.array()?.iter().map(|entry| {
            let pairs = entry.pairs()?;
            let field = |name: &str| pairs.get(name).cloned().unwrap_or_default();
            Ok(format!("{}: {}", field("username"), field("object")))
        });
        entries.collect()
    };
    let mut all: Vec<String> = (0..cluster.nodes.len())
        .flat_map(|index| refused(index).unwrap_or_else(|reason| vec![format!("{reason:#}")]))
        .collect();
    all.sort();
    all.dedup();
    format!("refused at the sentinels: {}", all.join("; "))
}

/// Acknowledged writes that the master does not have.
fn lost(cluster: &Cluster, driver: &Driver) -> Result<usize> {
    let mut master = cluster.master_server()?.client()?;
    let members = master.command(&["SMEMBERS", driver.key()])?;
    let members = members.array()?.iter().map(|member| member.text());
    let members = members.collect::<Result<BTreeSet<_>>>()?;
    let written = driver.written().iter();
    Ok(written
        .filter(|number| !members.contains(&number.to_string()))
        .count())
}

/// Replication is asynchronous: a crash may lose the last writes, so they are counted, not forbidden.
fn report(cluster: &Cluster, clients: &[Client]) -> Result<()> {
    println!(
        "| Library | Version | Writing again after (ms) | Errors | Lost | Reads from a replica, a master |"
    );
    println!("|---|---|---|---|---|---|");
    for client in clients {
        let times: Vec<String> = client.back_ms.iter().map(|ms| format!("{ms:.0}")).collect();
        println!(
            "| {} | {} | {} | {} of {} | {} | {}, {} |",
            client.library.name,
            client.driver.version(),
            times.join(", "),
            client.driver.errors(),
            client.driver.written().len() + client.driver.errors(),
            lost(cluster, &client.driver)?,
            client.driver.reads(),
            client.driver.stray_reads()
        );
    }
    Ok(())
}

#[test]
fn clients_follow_failovers_and_survive_the_loss_of_any_sentinel() {
    scenario(
        "clients_follow_failovers_and_survive_the_loss_of_any_sentinel",
        ClusterOptions::default(),
        |cluster| {
            let mut clients = start_all(cluster, &install_all(&[])?, &Identity::default())?;
            wait_working(&mut clients)?;
            crash_master(cluster, &mut clients)?;
            for index in 0..cluster.nodes.len() {
                lose_sentinel(cluster, &mut clients, index)?;
            }
            report(cluster, &clients)
        },
    );
}

#[test]
fn clients_authenticate_at_sentinels_and_servers() {
    let mut options = ClusterOptions {
        access: Access::Acl,
        ..ClusterOptions::default()
    };
    let secret = "sentinel_password";
    options.settings.password = Some(String::from(secret));
    for library in libraries::wanted().unwrap() {
        let (name, needs) = (user_of(&library), library.needs);
        let user = format!("user {name} on >{secret} {DISCOVERY} {needs}");
        options.settings.extra.push(user.trim_end().to_owned());
    }
    let identity = |own_users| Identity {
        sentinel: Some(Credentials {
            user: None,
            password: String::from(secret),
        }),
        own_users,
        server: Access::Acl.credentials(),
    };
    scenario(
        "clients_authenticate_at_sentinels_and_servers",
        options,
        |cluster| {
            let installed = install_all(&[Lack::SentinelPassword, Lack::User])?;
            // With the password of the sentinels' default user; then as users that may do nothing but look.
            let mut clients = start_all(cluster, &installed, &identity(false))?;
            wait_all(&mut clients, "it writes", |client, _| {
                Ok(!client.driver.written().is_empty())
            })?;
            drop(clients);
            let mut clients = start_all(cluster, &installed, &identity(true))?;
            wait_working(&mut clients).with_context(|| refusals(cluster))?;
            crash_master(cluster, &mut clients)?;
            println!("{}", refusals(cluster));
            report(cluster, &clients)
        },
    );
}
