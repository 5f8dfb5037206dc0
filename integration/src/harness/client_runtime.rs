//! Runtimes of foreign client libraries: a Python environment, a Node folder and the Rust drivers under `target/`, PHP and
//! Ruby with the libraries that the system's packages bring.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use rustix::fs::{FlockOperation, flock};

use super::process::find_program;

/// A runtime, or why there is none on this machine.
#[derive(Debug, Clone)]
pub enum Runtime {
    /// Program to run scripts with (for Rust: the folder of the programs), and the folder to run it in.
    Ready(PathBuf, PathBuf),
    /// The language is not installed here and could not be; the test says so and is skipped.
    Absent(String),
}

/// `packages` (as pip writes them) in a virtual environment.
pub fn python(packages: &[&str]) -> Result<Runtime> {
    let Some(python) = find_program("python3") else {
        return Ok(Runtime::Absent(String::from("python3 is not installed")));
    };
    let folder = folder("python")?;
    let _lock = lock(&folder)?;
    let program = folder.join("venv/bin/python");
    if !program.is_file() {
        let made = Command::new(python)
            .args(["-m", "venv"])
            .arg(folder.join("venv"))
            .output()
            .context("venv")?;
        if !made.status.success() {
            // Half of one is left, which would be taken for a whole one the next time.
            let _ = std::fs::remove_dir_all(folder.join("venv"));
            let said = String::from_utf8_lossy(&made.stdout).into_owned();
            let first = said.lines().next().unwrap_or_default();
            return Ok(Runtime::Absent(format!("python3 -m venv failed: {first}")));
        }
    }
    let mut install = Command::new(&program);
    install
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--retries=1",
        ])
        .args(packages);
    Ok(fetched(install, "pip install")?.unwrap_or(Runtime::Ready(program, folder)))
}

/// `packages` (as npm writes them) in a folder of their own.
pub fn node(packages: &[&str]) -> Result<Runtime> {
    let (Some(node), Some(npm)) = (find_program("node"), find_program("npm")) else {
        return Ok(Runtime::Absent(String::from("node and npm are not installed")));
    };
    let folder = folder("node")?;
    let _lock = lock(&folder)?;
    if !folder.join("package.json").is_file() {
        std::fs::write(folder.join("package.json"), "{\"private\":true}\n").context("package.json")?;
    }
    let mut install = Command::new(npm);
    install
        .current_dir(&folder)
        .args([
            "install",
            "--no-audit",
            "--no-fund",
            "--loglevel=error",
            "--fetch-retries=1",
        ])
        .args(packages);
    Ok(fetched(install, "npm install")?.unwrap_or(Runtime::Ready(node, folder)))
}

/// An interpreter of the system, if `args` (a check that the library is there) ends well.
pub fn system(program: &str, args: &[&str]) -> Result<Runtime> {
    let Some(path) = find_program(program) else {
        return Ok(Runtime::Absent(format!("{program} is not installed")));
    };
    let check = Command::new(&path).args(args).output().context("check")?;
    if !check.status.success() {
        return Ok(Runtime::Absent(format!(
            "{program} has no such library: '{}' failed",
            args.join(" ")
        )));
    }
    Ok(Runtime::Ready(path, folder("system")?))
}

/// Any program, in its own folder.
pub fn given(program: &str) -> Result<Runtime> {
    let program = std::path::absolute(program).context("program")?;
    ensure!(program.is_file(), "{} is not a file", program.display());
    let folder = program.parent().context("no folder")?.to_owned();
    Ok(Runtime::Ready(program, folder))
}

/// The programs of `integration/clients/rust`, built.
pub fn rust() -> Result<Runtime> {
    let folder = folder("rust")?;
    let _lock = lock(&folder)?;
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| String::from("cargo"));
    let manifest = script("rust/Cargo.toml");
    let mut fetch = Command::new(&cargo);
    fetch
        .args(["fetch", "--quiet", "--locked", "--manifest-path"])
        .arg(&manifest);
    if let Some(absent) = fetched(fetch, "cargo fetch")? {
        return Ok(absent);
    }
    let mut build = Command::new(cargo);
    build
        .args(["build", "--quiet", "--locked", "--manifest-path"])
        .arg(&manifest)
        .arg("--target-dir")
        .arg(&folder);
    run(build, "cargo build")?;
    Ok(Runtime::Ready(folder.join("debug"), folder))
}

/// A script of `integration/clients/`.
#[must_use]
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(name)
}

fn folder(language: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().context("own path")?;
    let target = own.ancestors().nth(3).context("no target folder")?;
    let folder = target.join("clients").join(language);
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder)
}

fn lock(folder: &Path) -> Result<std::fs::File> {
    let file = std::fs::File::create(folder.join(".lock")).context("lock file")?;
    flock(&file, FlockOperation::LockExclusive).context("lock")?;
    Ok(file)
}

/// `None` when `command` got the packages. What a machine without a network does not get is absent, and not an error.
fn fetched(command: Command, what: &str) -> Result<Option<Runtime>> {
    let output = end(command, what)?;
    let printed = String::from_utf8_lossy(&output.stderr);
    let last = printed.trim_end().lines().next_back().unwrap_or_default();
    Ok((!output.status.success()).then(|| Runtime::Absent(format!("{what} failed: {last}"))))
}

fn run(command: Command, what: &str) -> Result<()> {
    let output = end(command, what)?;
    ensure!(output.status.success(), failure(what, &output));
    Ok(())
}

fn end(mut command: Command, what: &str) -> Result<Output> {
    command
        .output()
        .with_context(|| format!("{what} could not be started"))
}

fn failure(what: &str, output: &Output) -> String {
    format!(
        "{what}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
