//! TLS on all three kinds of link, against real Redis servers and OpenSSL clients (`redis-cli --tls`).
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod certs;
mod libraries;
mod world;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration::harness::ports::Port;
use integration::harness::process::{Process, tail};
use integration::harness::resp;
use integration::harness::scenario::is_here;
use integration::harness::sentinel::{GROUP, Program};
use integration::harness::wait::wait_for;
use rustix::process::Signal;
use tokio_rustls::rustls;

use certs::{Ca, Pair};
use world::{Node, PATIENCE, World};

/// Three Redis servers and three sentinels without any plain port.
fn deployment(world: &World) -> Result<(Vec<Node>, Vec<Node>)> {
    let master = world.redis("redis-0", Port::reserve()?, None)?;
    let mut servers = vec![master];
    for index in 1..3 {
        let master = servers[0].port();
        servers.push(world.redis(&format!("redis-{index}"), Port::reserve()?, Some(master))?);
    }
    let program = Program::from_environment()?;
    let ports = [Port::reserve()?, Port::reserve()?, Port::reserve()?];
    let numbers: Vec<u16> = ports.iter().map(Port::number).collect();
    let mut nodes = Vec::new();
    for (index, port) in ports.into_iter().enumerate() {
        let mut lines = format!(
            "sentinel monitor {GROUP} 127.0.0.1 {} 2\nsentinel down-after-milliseconds {GROUP} 1000\n\
             sentinel failover-timeout {GROUP} 10000\n",
            servers[0].port()
        );
        for peer in numbers.iter().filter(|number| **number != port.number()) {
            lines.push_str(&format!("sentinel peer 127.0.0.1 {peer}\n"));
        }
        nodes.push(world.sentinel(&format!("sentinel-{index}"), port, &lines, &program)?);
    }
    Ok((servers, nodes))
}

fn knows_all(world: &World, node: &Node) -> Result<()> {
    let master = ["SENTINEL", "MASTER", GROUP];
    let field = |name: &str| world.field(node, &master, name);
    let seen = (
        field("flags")?,
        field("num-slaves")?,
        field("num-other-sentinels")?,
    );
    ensure!(
        (seen.0.as_str(), seen.1.as_str(), seen.2.as_str()) == ("master", "2", "2"),
        "{}: {seen:?}",
        node.name
    );
    Ok(())
}

#[test]
fn a_group_with_tls_everywhere_is_founded_and_fails_over() {
    let world = World::new();
    let (mut servers, nodes) = deployment(&world).unwrap();
    let outcome = (|| -> Result<()> {
        for node in &nodes {
            wait_for("the whole deployment is seen", PATIENCE, || {
                knows_all(&world, node)
            })?;
        }
        let told = world.tell(&nodes[0], &["SENTINEL", "SENTINELS", GROUP])?;
        for other in &nodes[1..] {
            let port = other.port().to_string();
            ensure!(
                told.lines().any(|line| line == port),
                "no tls-port {port} in:\n{told}"
            );
        }
        let info = world.tell(&nodes[0], &["INFO", "server"])?;
        let port = nodes[0].port();
        let line = format!("listener2:name=tls,bind=*,bind=-::*,port={port}");
        ensure!(
            info.contains(&line) && info.contains(&format!("tcp_port:{port}")),
            "{info}"
        );
        ensure!(!info.contains("listener0"), "{info}");
        ensure!(
            nodes[0].dir.join(format!("raft-{port}")).is_dir(),
            "no data directory"
        );

        servers[0].process.kill9()?;
        let old = servers[0].port();
        let new = wait_for("all name one new master", PATIENCE, || {
            let named: Vec<u16> = nodes
                .iter()
                .map(|node| world.master(node))
                .collect::<Result<_>>()?;
            ensure!(
                named[0] != old && named.iter().all(|port| *port == named[0]),
                "{named:?}"
            );
            Ok(named[0])
        })?;
        let survivors: Vec<&Node> = servers[1..].iter().collect();
        let master = survivors
            .iter()
            .find(|server| server.port() == new)
            .context("a survivor")?;
        wait_for("the other replica follows it", PATIENCE, || {
            let info = world.tell(master, &["INFO", "replication"])?;
            ensure!(
                info.contains("role:master") && info.contains("connected_slaves:1"),
                "{info}"
            );
            Ok(())
        })
    })();
    if let Err(error) = outcome {
        let logs: String = nodes
            .iter()
            .map(|n| format!("--- {}\n{}", n.name, n.log()))
            .collect();
        panic!("{error:#}\n{logs}");
    }
}

/// Whether a client with this certificate gets an answer.
fn is_served(world: &World, node: &Node, who: Option<&Pair>) -> bool {
    world
        .ask(node.port(), who, &["PING"])
        .is_ok_and(|answer| answer == "PONG")
}

#[test]
fn clients_are_let_in_as_redis_sentinel_lets_them_in() {
    let world = World::new();
    let strange = Ca::new(world.path(), "strange");
    let (right, wrong) = (
        world.ca.issue(world.path(), "right"),
        strange.issue(world.path(), "wrong"),
    );
    let ours = Program::from_environment().unwrap();
    let mut programs = vec![("ours", &ours)];
    if is_here(
        "redis-sentinel",
        "clients_are_let_in_as_redis_sentinel_lets_them_in, its side",
    ) {
        programs.push(("stock", &Program::Stock));
    }
    for (mode, none, other) in [
        ("yes", false, false),
        ("optional", true, false),
        ("no", true, true),
    ] {
        let lines = format!("tls-auth-clients {mode}\n");
        for &(name, program) in &programs {
            let name = format!("{name}-{mode}");
            let node = world
                .sentinel(&name, Port::reserve().unwrap(), &lines, program)
                .unwrap();
            assert!(
                is_served(&world, &node, Some(&right)),
                "{name}: the right certificate"
            );
            assert_eq!(is_served(&world, &node, None), none, "{name}: no certificate");
            assert_eq!(
                is_served(&world, &node, Some(&wrong)),
                other,
                "{name}: of another CA"
            );
        }
    }
}

#[test]
fn garbage_and_half_open_handshakes_keep_nobody_out_and_leave_nothing() {
    let world = World::new();
    let mut node = world.alone("node", "maxclients 200\n");
    let before = node.descriptors();
    let connect = || TcpStream::connect(("127.0.0.1", node.port())).unwrap();
    // Plain text in place of a handshake is refused at once.
    for bytes in [
        &b"PING\r\n"[..],
        b"*1\r\n$4\r\nPING\r\n",
        &[0; 600],
        &[0x16, 3, 1, 0xff, 0xff, 1],
    ] {
        let mut stream = connect();
        stream.write_all(bytes).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut answer = Vec::new();
        // Closed, with an alert at most; a reset is a close, too.
        let _ = stream.read_to_end(&mut answer);
        assert!(!answer.contains(&b'+') && answer.len() < 16, "{answer:?}");
    }
    // Half of a hello, and nothing at all.
    let mut held: Vec<TcpStream> = (0..100).map(|_| connect()).collect();
    for stream in held.iter_mut().step_by(2) {
        stream.write_all(&[0x16, 3, 1, 0, 200, 1, 0]).unwrap();
    }
    let served = integration::harness::time::now();
    assert!(
        is_served(&world, &node, Some(&world.shown)),
        "beside half-open handshakes"
    );
    assert!(
        served.elapsed() < Duration::from_secs(4),
        "it waited for them: {:?}",
        served.elapsed()
    );
    wait_for("half-open handshakes are closed", PATIENCE, || {
        for stream in &mut held {
            stream.set_nonblocking(true)?;
            let end = stream.read(&mut [0; 64]);
            let open = end
                .as_ref()
                .is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock);
            ensure!(!open, "one is open");
        }
        Ok(())
    })
    .unwrap();
    wait_for("nothing is left of them", PATIENCE, || {
        let info = world.tell(&node, &["INFO", "clients"])?;
        ensure!(
            info.contains("connected_clients:1\r") || info.contains("connected_clients:1\n"),
            "{info}"
        );
        ensure!(
            node.descriptors() <= before + 4,
            "{} descriptors, {before} before",
            node.descriptors()
        );
        Ok(())
    })
    .unwrap();
    assert!(node.process.exit_status().is_none(), "it ended:\n{}", node.log());
}

/// The certificate that a new handshake shows.
fn shown_certificate(port: u16, who: &Pair) -> Result<Vec<u8>> {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = vec![CertificateDer::from(who.der.clone())];
    let key = PrivateKeyDer::from_pem_file(&who.key)?;
    let config = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_client_auth_cert(chain, key)?;
    let mut connection = rustls::ClientConnection::new(Arc::new(config), ServerName::try_from("any")?)?;
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    let chain = connection.peer_certificates().context("no certificate")?;
    Ok(chain.first().context("an empty chain")?.to_vec())
}

/// Looks only.
#[derive(Debug)]
struct Anybody(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[test]
fn changed_certificates_are_used_without_a_restart() {
    let world = World::new();
    let client = world.ca.issue(world.path(), "client");
    let mut node = world.alone("node", "");
    let port = node.port();
    assert_eq!(shown_certificate(port, &client).unwrap(), world.shown.der);

    // A renewal, seen by the change of the files.
    let renewed = world.ca.issue(world.path(), "server");
    let wait_shown = |what: &str, pair: &Pair| {
        wait_for(what, PATIENCE, || {
            let seen = shown_certificate(port, &client)?;
            ensure!(seen == pair.der, "another certificate is shown");
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error:#}\n{}", node.log()));
    };
    wait_shown("the renewed certificate is shown", &renewed);

    // A broken file changes nothing and is told once.
    let good = std::fs::read_to_string(&renewed.cert).unwrap();
    certs::replace(&renewed.cert, "not a certificate");
    wait_for("the broken file is told", PATIENCE, || {
        ensure!(
            node.log().contains("TLS certificates not loaded again"),
            "{}",
            node.log()
        );
        Ok(())
    })
    .unwrap();
    assert_eq!(shown_certificate(port, &client).unwrap(), renewed.der);
    assert!(node.log().contains("server.crt"), "{}", node.log());
    certs::replace(&renewed.cert, &good);

    // SIGHUP asks for it at once; the node goes on.
    let again = world.ca.issue(world.path(), "server");
    node.process.signal(Signal::HUP).unwrap();
    let wait_shown = |what: &str, pair: &Pair| {
        wait_for(what, PATIENCE, || {
            ensure!(
                shown_certificate(port, &client)? == pair.der,
                "another certificate is shown"
            );
            Ok(())
        })
        .unwrap();
    };
    wait_shown("the certificate is shown after SIGHUP", &again);
    assert_eq!(
        node.log().matches("not loaded again").count(),
        1,
        "{}",
        node.log()
    );
    assert!(node.process.exit_status().is_none(), "{}", node.log());
}

/// Runs our program on a file that it must refuse; what it printed.
fn refused(world: &World, lines: &str) -> String {
    let Program::Ours(program) = Program::from_environment().unwrap() else {
        panic!("for our program only")
    };
    let dir = world.path().join("refused");
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    let port = Port::reserve().unwrap();
    let config = dir.join("sentinel.conf");
    let text = format!(
        "dir {}\nport 0\ntls-port {}\n{lines}",
        dir.display(),
        port.number()
    );
    std::fs::write(&config, text).unwrap();
    let out = dir.join("output.txt");
    let args = [config.display().to_string()];
    let mut process = Process::spawn("refused", &program, &args, &dir, &out).unwrap();
    let status = process.wait_exit(Duration::from_secs(20)).unwrap();
    assert_eq!(status.code(), Some(1), "{lines}");
    tail(&out, 20)
}

#[test]
fn wrong_lines_and_files_are_refused_with_a_remedy() {
    let world = World::new();
    let other = world.ca.issue(world.path(), "other");
    let (cert, key, ca) = (
        world.shown.cert.display(),
        world.shown.key.display(),
        world.ca.file.display(),
    );
    let cases = [
        (String::new(), "No tls-cert-file configured!"),
        (format!("tls-cert-file {cert}\n"), "No tls-key-file configured!"),
        (
            format!("tls-cert-file {cert}\ntls-key-file {key}\n"),
            "Either tls-ca-cert-file or tls-ca-cert-dir must be specified",
        ),
        (
            format!("tls-cert-file /no/such.crt\ntls-key-file {key}\ntls-ca-cert-file {ca}\n"),
            "cannot read '/no/such.crt': No such file or directory",
        ),
        (
            format!(
                "tls-cert-file {cert}\ntls-key-file {}\ntls-ca-cert-file {ca}\n",
                other.key.display()
            ),
            "does not belong to the certificate",
        ),
        (
            format!("tls-cert-file {key}\ntls-key-file {key}\ntls-ca-cert-file {ca}\n"),
            "holds no certificate in PEM form",
        ),
        (
            format!("tls-cert-file {cert}\ntls-key-file {cert}\ntls-ca-cert-file {ca}\n"),
            "holds no private key in PEM form",
        ),
        (
            format!(
                "tls-cert-file {cert}\ntls-key-file {key}\ntls-ca-cert-dir {}\n",
                world.path().join("refused").display()
            ),
            "holds no CA certificate in PEM form",
        ),
        (
            "tls-auth-clients maybe\n".to_owned(),
            "argument(s) must be one of the following: no, yes, optional",
        ),
        (
            "tls-protocols TLSv1.1\n".to_owned(),
            "Use 'TLSv1.2' and 'TLSv1.3'",
        ),
        (
            "unixsocketperm 999\n".to_owned(),
            "argument couldn't be parsed as an octal number",
        ),
        (
            "bind-source-addr localhost\n".to_owned(),
            "must be a literal IP address",
        ),
    ];
    for (lines, reason) in cases {
        let printed = refused(&world, &lines);
        assert!(printed.contains("FATAL CONFIG FILE ERROR"), "{lines}{printed}");
        assert!(printed.contains(reason), "{lines}no {reason:?} in:\n{printed}");
    }
}

/// As `openssl` writes them.
fn encrypt(pair: &Pair, form: &[&str]) -> std::path::PathBuf {
    let to = pair.key.with_extension("encrypted");
    let done = Command::new("openssl")
        .args(form)
        .args(["-passout", "pass:open sesame", "-in"])
        .arg(&pair.key)
        .arg("-out")
        .arg(&to)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    to
}

#[test]
fn an_encrypted_key_needs_its_password() {
    if !is_here("openssl", "an_encrypted_key_needs_its_password") {
        return;
    }
    let world = World::new();
    let lines = |key: &std::path::Path, pass: &str| {
        format!(
            "tls-cert-file {}\ntls-key-file {}\ntls-ca-cert-file {}\n{pass}",
            world.shown.cert.display(),
            key.display(),
            world.ca.file.display()
        )
    };
    let key = encrypt(&world.shown, &["pkcs8", "-topk8", "-v2", "aes-256-cbc"]);
    assert!(refused(&world, &lines(&key, "")).contains("set tls-key-file-pass"));
    let wrong = refused(&world, &lines(&key, "tls-key-file-pass wrong\n"));
    assert!(wrong.contains("the password is wrong"), "{wrong}");
    let right = lines(&key, "tls-key-file-pass \"open sesame\"\n");
    let node = world.alone("node", &right);
    assert!(is_served(&world, &node, Some(&world.shown)));
    let old = encrypt(&world.shown, &["ec", "-aes256"]);
    let told = refused(&world, &lines(&old, "tls-key-file-pass \"open sesame\"\n"));
    assert!(told.contains("openssl pkcs8 -topk8"), "{told}");
}

#[test]
fn a_unix_socket_is_served_and_removed() {
    let world = World::new();
    let path = world.path().join("node.sock");
    let mut node = world.alone(
        "node",
        &format!("unixsocket {}\nunixsocketperm 700\n", path.display()),
    );
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let ask = |words: &[&str]| {
        let output = Command::new("redis-cli")
            .arg("-s")
            .arg(&path)
            .args(words)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    };
    assert_eq!(ask(&["PING"]), "PONG");
    let info = ask(&["INFO", "server"]);
    assert!(
        info.contains(&format!("listener1:name=unix,bind={}", path.display())),
        "{info}"
    );
    let line = ask(&["CLIENT", "LIST"]);
    let shown = format!("addr={0}:0 laddr={0}:0", path.display());
    assert!(line.contains(&shown) && line.contains("flags=U"), "{line}");
    node.process.terminate().unwrap();
    assert!(!path.exists(), "the socket's file is left");
}

#[test]
fn links_to_redis_leave_from_the_source_address() {
    let world = World::new();
    let server = world.redis("redis", Port::reserve().unwrap(), None).unwrap();
    let lines = format!(
        "bind-source-addr 127.0.0.9\nsentinel monitor {GROUP} 127.0.0.1 {} 1\n",
        server.port()
    );
    let node = world.alone("node", &lines);
    wait_for("the sentinel's links are there", PATIENCE, || {
        let list = world.tell(&server, &["CLIENT", "LIST"])?;
        let links: Vec<&str> = list
            .lines()
            .filter(|line| line.contains("name=sentinel-"))
            .collect();
        ensure!(links.len() >= 2, "{list}");
        ensure!(
            links.iter().all(|line| line.contains("addr=127.0.0.9:")),
            "{list}"
        );
        Ok(())
    })
    .unwrap_or_else(|error| panic!("{error:#}\n{}", node.log()));
}

#[test]
fn certificates_as_openssl_makes_them_are_good_enough() {
    if !is_here("openssl", "certificates_as_openssl_makes_them_are_good_enough") {
        return;
    }
    let mut world = World::new();
    world.shown = world.ca.issue_by_openssl(world.path(), "openssl");
    let server = world.redis("redis", Port::reserve().unwrap(), None).unwrap();
    let lines = format!("sentinel monitor {GROUP} 127.0.0.1 {} 1\n", server.port());
    let node = world.alone("node", &lines);
    wait_for("the master is seen in TLS", PATIENCE, || {
        let list = world.tell(&server, &["CLIENT", "LIST"])?;
        ensure!(list.contains("name=sentinel-"), "{list}");
        let flags = world.field(&node, &["SENTINEL", "MASTER", GROUP], "flags")?;
        ensure!(flags == "master", "{flags}");
        Ok(())
    })
    .unwrap_or_else(|error| panic!("{error:#}\n{}", node.log()));
}

/// One dials plainly where the other speaks TLS, and the other way round.
#[test]
fn sentinels_that_miss_each_other_say_why() {
    let world = World::new();
    let [plain, other] = [Port::reserve().unwrap(), Port::reserve().unwrap()];
    let tls = Port::reserve().unwrap();
    let lines = format!(
        "port {}\ntls-replication no\nsentinel peer 127.0.0.1 {}\n",
        plain.number(),
        tls.number()
    );
    let program = Program::from_environment().unwrap();
    let one = world.alone("one", &lines);
    let lines = format!(
        "port {}\nsentinel peer 127.0.0.1 {}\n",
        other.number(),
        plain.number()
    );
    let two = world.sentinel("two", tls, &lines, &program).unwrap();
    for (node, text) in [
        (&one, "set 'tls-replication yes'"),
        (&two, "is that its tls-port?"),
    ] {
        wait_for(text, PATIENCE, || {
            ensure!(node.log().contains(text), "{}: {}", node.name, node.log());
            Ok(())
        })
        .unwrap();
    }
}

/// A listener of each kind in one node: a plain client beside those of TLS.
#[test]
fn a_plain_port_and_a_tls_port_side_by_side() {
    let world = World::new();
    let plain = Port::reserve().unwrap();
    let node = world.alone("node", &format!("port {}\n", plain.number()));
    let mut client = resp::Client::connect(plain.number(), Duration::from_secs(5)).unwrap();
    let info = client.command(&["INFO", "server"]).unwrap().text().unwrap();
    assert!(info.contains(&format!("tcp_port:{}", plain.number())), "{info}");
    assert!(
        info.contains("listener0:name=tcp") && info.contains("listener2:name=tls"),
        "{info}"
    );
    assert!(is_served(&world, &node, Some(&world.shown)));
    assert!(node.dir.join(format!("raft-{}", plain.number())).is_dir());
}
