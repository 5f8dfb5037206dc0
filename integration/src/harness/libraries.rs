//! The client libraries of docs/CLIENTS.md, and how their drivers are started.
//!
//! `SENTINEL_TEST_CLIENTS=fred,predis` chooses some of them. `SENTINEL_TEST_DRIVERS="go-redis 5=/path/program,..."` runs
//! drivers of other libraries or versions instead, or beside those that the first variable names.

use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::{Context, Result};

use super::client_runtime::{self, Runtime};
use super::scenario::say_skipped;

/// Python packages, as pip writes them.
const PYTHON: [&str; 2] = ["redis==8.1.0", "valkey==6.2.0"];
/// Node packages, as npm writes them.
const NODE: [&str; 3] = ["ioredis@6.0.0", "iovalkey@0.4.0", "redis@6.3.1"];

/// What this process found out: several libraries share a runtime, and without a network each attempt takes its time.
static PYTHON_HERE: OnceLock<Runtime> = OnceLock::new();
static NODE_HERE: OnceLock<Runtime> = OnceLock::new();
static RUST_HERE: OnceLock<Runtime> = OnceLock::new();

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
    /// Any: `driver` is the path of a program.
    Given,
}

/// One library.
#[derive(Debug, Clone, Copy)]
pub struct Library {
    /// As in docs/CLIENTS.md.
    pub name: &'static str,
    /// How to get it.
    pub language: Language,
    /// File in `integration/clients/`, or the program in `integration/clients/rust`.
    pub driver: &'static str,
    /// What it cannot do, with any Sentinel.
    pub lacks: &'static [Lack],
    /// Rules that its user at the sentinels needs besides `DISCOVERY`.
    pub needs: &'static str,
}

/// What the documentation of Redis recommends for the user of clients at sentinels.
pub const DISCOVERY: &str = "-@all +auth +client|getname +client|id +client|setname +command +hello +ping +role \
                             +sentinel|get-master-addr-by-name +sentinel|master +sentinel|myid +sentinel|replicas \
                             +sentinel|sentinels";

const SLAVES: &str = "+sentinel|slaves";
const MASTERS_AND_SLAVES: &str = "+sentinel|masters +sentinel|slaves";
/// For drivers of which nothing is known.
const NEEDS: &str = "+sentinel|masters +sentinel|slaves +subscribe +psubscribe &*";

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
    Library { name: "redis-py", language: Language::Python, driver: "redis_py.py", lacks: &[], needs: MASTERS_AND_SLAVES },
    Library { name: "redis-py asyncio", language: Language::Python, driver: "redis_py_asyncio.py", lacks: &[], needs: MASTERS_AND_SLAVES },
    Library { name: "valkey-py", language: Language::Python, driver: "redis_py.py", lacks: &[], needs: MASTERS_AND_SLAVES },
    Library { name: "ioredis", language: Language::Node, driver: "ioredis.js", lacks: &[], needs: SLAVES },
    Library { name: "iovalkey", language: Language::Node, driver: "ioredis.js", lacks: &[], needs: SLAVES },
    Library { name: "node-redis", language: Language::Node, driver: "node_redis.js", lacks: &[], needs: "+psubscribe &*" },
    Library { name: "redis (crate)", language: Language::Rust, driver: "redis_rs", lacks: &[], needs: MASTERS_AND_SLAVES },
    Library { name: "fred", language: Language::Rust, driver: "fred", lacks: &[Lack::ReplicaReads], needs: "" },
    Library { name: "phpredis", language: Language::System("php", PHPREDIS), driver: "phpredis.php", lacks: &[], needs: SLAVES },
    Library { name: "predis", language: Language::System("php", PREDIS), driver: "predis.php", lacks: &[Lack::SentinelPassword, Lack::User], needs: "" },
    Library { name: "redis-rb", language: Language::System("ruby", &["-e", "require 'redis'"]), driver: "redis_rb.rb", lacks: &[], needs: SLAVES },
    Library { name: "redis-cli", language: Language::System("bash", &["-c", "command -v redis-cli python3"]), driver: "redis_cli.sh", lacks: &[], needs: "" },
];

/// The libraries that the environment asks for.
pub fn wanted() -> Result<Vec<Library>> {
    let drivers = std::env::var("SENTINEL_TEST_DRIVERS").ok();
    let names = std::env::var("SENTINEL_TEST_CLIENTS").ok();
    let mut wanted: Vec<Library> = LIBRARIES
        .into_iter()
        .filter(|library| match &names {
            Some(names) => names.split(',').any(|name| name == library.name),
            None => drivers.is_none(),
        })
        .collect();
    for driver in drivers.iter().flat_map(|drivers| drivers.split(',')) {
        let (name, program) = driver.split_once('=').with_context(|| {
            format!("SENTINEL_TEST_DRIVERS={driver} is not NAME=PROGRAM[,NAME=PROGRAM...]")
        })?;
        wanted.push(Library::given(name, program));
    }
    Ok(wanted)
}

impl Library {
    /// Name of the package to load, for drivers of several.
    #[must_use]
    pub fn package(&self) -> &'static str {
        match self.name.split(' ').next() {
            Some("valkey-py") => "valkey",
            Some("ioredis") => "ioredis",
            Some("iovalkey") => "iovalkey",
            _ => "redis",
        }
    }

    /// A driver from outside. Nothing is known of it, so less is asked of it: it need not read from replicas.
    fn given(name: &str, program: &str) -> Self {
        // As long as the process, like the names of the table.
        Self {
            name: String::leak(name.to_owned()),
            language: Language::Given,
            driver: String::leak(program.to_owned()),
            lacks: &[Lack::ReplicaReads],
            needs: NEEDS,
        }
    }

    /// Program and folder; `None` after a line that says why not.
    pub fn program(&self) -> Result<Option<(Vec<PathBuf>, PathBuf)>> {
        let runtime = match self.language {
            Language::Python => once(&PYTHON_HERE, || client_runtime::python(&PYTHON)),
            Language::Node => once(&NODE_HERE, || client_runtime::node(&NODE)),
            Language::Rust => once(&RUST_HERE, client_runtime::rust),
            Language::System(program, check) => client_runtime::system(program, check),
            Language::Given => client_runtime::given(self.driver),
        };
        Ok(match (runtime?, self.language) {
            (Runtime::Ready(programs, folder), Language::Rust) => {
                Some((vec![programs.join(self.driver)], folder))
            }
            (Runtime::Ready(program, folder), Language::Given) => Some((vec![program], folder)),
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

fn once(known: &OnceLock<Runtime>, find: impl FnOnce() -> Result<Runtime>) -> Result<Runtime> {
    if let Some(runtime) = known.get() {
        return Ok(runtime.clone());
    }
    let found = find()?;
    Ok(known.get_or_init(|| found).clone())
}
