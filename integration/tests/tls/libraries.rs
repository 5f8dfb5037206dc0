//! Client libraries of docs/CLIENTS.md with TLS on all links, verifying the certificate.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use integration::harness::driver::{Driver, Task};
use integration::harness::libraries;
use integration::harness::sentinel::GROUP;
use integration::harness::time::{now, pause_ms};
use integration::harness::wait::wait_for;

use super::{deployment, knows_all};
use crate::world::{Node, PATIENCE, World};

/// node-redis looks every ten seconds.
const LIBRARY_PATIENCE: Duration = Duration::from_secs(60);

fn start(world: &World, nodes: &[Node]) -> Result<Vec<(&'static str, Driver)>> {
    let mut drivers = Vec::new();
    for library in libraries::wanted()? {
        let Some((program, folder)) = library.program()? else {
            continue;
        };
        let task = Task {
            program,
            folder,
            library: library.package().to_owned(),
            sentinels: nodes.iter().map(Node::port).collect(),
            master: GROUP.to_owned(),
            key: format!("written:{}", library.name),
            sentinel_access: None,
            access: None,
            ca: Some(world.ca.file.clone()),
        };
        drivers.push((library.name, Driver::start(&task)?));
    }
    Ok(drivers)
}

/// Each one writes 20 more, and reads.
fn wait_working(drivers: &mut [(&'static str, Driver)], what: &str) -> Result<()> {
    let reads = |driver: &Driver| driver.reads() + driver.stray_reads();
    let before: Vec<(usize, usize)> = drivers
        .iter()
        .map(|(_, driver)| (driver.written().len(), reads(driver)))
        .collect();
    let start = now();
    loop {
        let mut missing = Vec::new();
        for ((name, driver), (written, read)) in drivers.iter_mut().zip(&before) {
            driver
                .listen()
                .with_context(|| format!("{name}: {}", driver.tail()))?;
            if driver.written().len() < written + 20 || reads(driver) == *read {
                missing.push(format!("{name}:\n    {}", driver.tail()));
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        if now().saturating_duration_since(start) > LIBRARY_PATIENCE {
            bail!("{what}: still not working: {}", missing.join("\n"));
        }
        pause_ms(5);
    }
}

fn through_a_failover(world: &World, servers: &mut [Node], nodes: &[Node]) -> Result<()> {
    for node in nodes {
        wait_for("the whole deployment is seen", PATIENCE, || {
            knows_all(world, node)
        })?;
    }
    let mut drivers = start(world, nodes)?;
    wait_working(&mut drivers, "at the start")?;
    let old = servers.first_mut().context("no master")?;
    old.process.kill9()?;
    let old = old.port();
    wait_for("all name a new master", PATIENCE, || {
        for node in nodes {
            ensure!(world.master(node)? != old, "{} names the old one", node.name);
        }
        Ok(())
    })?;
    for (_, driver) in &mut drivers {
        driver.listen()?;
    }
    // The old master is dead: whatever is acknowledged now was written to the new one.
    wait_working(&mut drivers, "after the failover")?;
    for (name, driver) in &drivers {
        println!(
            "{name} {}: {} writes over TLS",
            driver.version(),
            driver.written().len()
        );
    }
    Ok(())
}

#[test]
fn client_libraries_speak_tls_with_sentinels_and_servers() {
    let world = World::for_libraries();
    let (mut servers, nodes) = deployment(&world).unwrap();
    if let Err(error) = through_a_failover(&world, &mut servers, &nodes) {
        let logs = nodes
            .iter()
            .map(|node| format!("--- {}\n{}", node.name, node.log()));
        panic!("{error:#}\n{}", logs.collect::<String>());
    }
}
