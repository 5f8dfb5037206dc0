//! What the drivers share: their settings, and what they print. See `../README.md`.

use std::io::Read;

use serde_json::{Value, json};

/// The JSON document of the command line.
pub struct Settings {
    /// Addresses.
    pub sentinels: Vec<(String, u16)>,
    /// Name.
    pub master: String,
    /// The set to write to.
    pub key: String,
    /// User and password at the sentinels.
    pub sentinel: (Option<String>, Option<String>),
    /// User and password at the servers.
    pub server: (Option<String>, Option<String>),
    /// Certificate authority in PEM: TLS on all links.
    pub ca: Option<Vec<u8>>,
}

impl Settings {
    /// From the command line; also starts a thread that ends the process with its standard input.
    pub fn read() -> Self {
        let document = std::env::args().nth(1).expect("a JSON document");
        let document: Value = serde_json::from_str(&document).expect("JSON");
        std::thread::spawn(|| {
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            std::process::exit(0);
        });
        // Two libraries, one process-wide choice.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let text = |name: &str| document[name].as_str().map(str::to_owned);
        Self {
            sentinels: document["sentinels"]
                .as_array()
                .expect("sentinels")
                .iter()
                .map(|address| {
                    let port = address[1].as_u64().and_then(|port| u16::try_from(port).ok());
                    (address[0].as_str().expect("host").to_owned(), port.expect("port"))
                })
                .collect(),
            master: text("master").expect("master"),
            key: text("key").expect("key"),
            sentinel: (text("sentinel_user"), text("sentinel_password")),
            server: (text("user"), text("password")),
            ca: text("ca").map(|path| std::fs::read(path).expect("ca")),
        }
    }

}

/// The version of the library.
pub fn version(version: &str) {
    println!("{}", json!({"event": "version", "version": version}));
}

/// An acknowledged write.
pub fn write(n: u64) {
    println!("{}", json!({"event": "write", "n": n}));
}

/// What a replica said.
pub fn read(role: &str, count: u64) {
    println!("{}", json!({"event": "read", "role": role, "count": count}));
}

/// What went wrong.
pub fn error(doing: &str, error: impl std::fmt::Display) {
    println!("{}", json!({"event": "error", "while": doing, "error": error.to_string()}));
}
