//! The client libraries of docs/CLIENTS.md, and how their drivers are started.

use std::path::PathBuf;

use anyhow::Result;

use super::client_runtime::{self, Runtime};
use super::scenario::say_skipped;

/// Python packages, as pip writes them.
const PYTHON: [&str; 2] = ["redis==8.1.0", "valkey==6.2.0"];
/// Node packages, as npm writes them.
const NODE: [&str; 3] = ["ioredis@6.0.0", "iovalkey@0.4.0", "redis@6.3.1"];

/// Where a driver comes from.
#[derive(Debug, Clone, Copy)]
pub enum Language {
    /// The virtual environment with `PYTHON`.
    Python,
    /// The folder with `NODE`.
    Node,
    /// `integration/clients/rust`.
    Rust,
    /// An interpreter of the system and how to see that it has the library.
    System(&'static str, &'static [&'static str]),
}

/// One library.
#[derive(Debug)]
pub struct Library {
    /// As in docs/CLIENTS.md.
    pub name: &'static str,
    /// How to get it.
    pub language: Language,
    /// File in `integration/clients/`, or the program in `integration/clients/rust`.
    pub driver: &'static str,
    /// What it cannot do, with any Sentinel.
    pub lacks: &'static [Lack],
}

/// What a library cannot do by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// Password of a sentinel.
    SentinelPassword,
    /// User name at a data server.
    User,
    /// Reads from replicas while it talks to sentinels.
    ReplicaReads,
}

const PREDIS: &[&str] = &["-r", "require 'Predis/Autoloader.php';"];
const PHPREDIS: &[&str] = &["-r", "exit(class_exists('RedisSentinel') ? 0 : 1);"];

/// All of them.
#[rustfmt::skip]
pub const LIBRARIES: [Library; 12] = [
    Library { name: "redis-py", language: Language::Python, driver: "redis_py.py", lacks: &[] },
    Library { name: "redis-py asyncio", language: Language::Python, driver: "redis_py_asyncio.py", lacks: &[] },
    Library { name: "valkey-py", language: Language::Python, driver: "redis_py.py", lacks: &[] },
    Library { name: "ioredis", language: Language::Node, driver: "ioredis.js", lacks: &[] },
    Library { name: "iovalkey", language: Language::Node, driver: "ioredis.js", lacks: &[] },
    Library { name: "node-redis", language: Language::Node, driver: "node_redis.js", lacks: &[] },
    Library { name: "redis (crate)", language: Language::Rust, driver: "redis_rs", lacks: &[] },
    Library { name: "fred", language: Language::Rust, driver: "fred", lacks: &[Lack::ReplicaReads] },
    Library { name: "phpredis", language: Language::System("php", PHPREDIS), driver: "phpredis.php", lacks: &[] },
    Library { name: "predis", language: Language::System("php", PREDIS), driver: "predis.php", lacks: &[Lack::SentinelPassword, Lack::User] },
    Library { name: "redis-rb", language: Language::System("ruby", &["-e", "require 'redis'"]), driver: "redis_rb.rb", lacks: &[] },
    Library { name: "redis-cli", language: Language::System("bash", &["-c", "command -v redis-cli python3"]), driver: "redis_cli.sh", lacks: &[] },
];

impl Library {
    /// Name of the package to load, for drivers of several.
    #[must_use]
    pub fn package(&self) -> &'static str {
        match self.name {
            "valkey-py" => "valkey",
            "ioredis" => "ioredis",
            "iovalkey" => "iovalkey",
            _ => "redis",
        }
    }

    /// Whether `SENTINEL_TEST_CLIENTS` names it, or nothing.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        match std::env::var("SENTINEL_TEST_CLIENTS") {
            Ok(names) => names.split(',').any(|name| name == self.name),
            Err(_) => true,
        }
    }

    /// Program and folder; `None` after a line that says why not.
    pub fn program(&self) -> Result<Option<(Vec<PathBuf>, PathBuf)>> {
        let runtime = match self.language {
            Language::Python => client_runtime::python(&PYTHON),
            Language::Node => client_runtime::node(&NODE),
            Language::Rust => client_runtime::rust(),
            Language::System(program, check) => client_runtime::system(program, check),
        };
        Ok(match (runtime?, self.language) {
            (Runtime::Ready(programs, folder), Language::Rust) => {
                Some((vec![programs.join(self.driver)], folder))
            }
            (Runtime::Ready(program, folder), _) => {
                Some((vec![program, client_runtime::script(self.driver)], folder))
            }
            (Runtime::Absent(reason), _) => {
                say_skipped(&format!("{}: {reason}", self.name));
                None
            }
        })
    }
}
