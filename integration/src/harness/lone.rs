//! One sentinel on a file of the test's own, without a cluster around it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::process::{Process, tail};
use super::resp::Client;
use super::sentinel::Program;
use super::wait::wait_for;

const PATIENCE: Duration = Duration::from_secs(30);

/// A running sentinel.
#[derive(Debug)]
pub struct Lone {
    /// The process.
    pub process: Process,
    /// Its file.
    pub file: PathBuf,
    port: u16,
}

impl Lone {
    /// Our node, built beside this test.
    pub fn program() -> Result<PathBuf> {
        match Program::built_here()? {
            Program::Ours(path) => Ok(path),
            Program::Stock => bail!("not ours"),
        }
    }

    /// Starts a program in `folder` and waits until it answers on `port`; what it prints is in `output.log`.
    pub fn start(program: &Path, args: &[String], folder: &Path, file: PathBuf, port: u16) -> Result<Self> {
        let output = folder.join("output.log");
        let process = Process::spawn("sentinel", program, args, folder, &output)?;
        let mut lone = Self { process, file, port };
        let mut ended = None;
        wait_for("it answers or ends", PATIENCE, || {
            ended = lone.process.exit_status();
            ensure!(ended.is_some() || lone.ask(&["PING"])? == "PONG");
            Ok(())
        })
        .and_then(|()| match ended {
            Some(status) => bail!("it ended: {status}"),
            None => Ok(()),
        })
        .with_context(|| tail(&output, 20))?;
        Ok(lone)
    }

    /// Our node on a file of this folder that is written here.
    pub fn on_text(folder: &Path, text: &str, port: u16) -> Result<Self> {
        let file = folder.join("sentinel.conf");
        std::fs::write(&file, text)?;
        Self::start(
            &Self::program()?,
            &[file.display().to_string()],
            folder,
            file,
            port,
        )
    }

    /// One command on a connection of its own; the reply as text, an error with its `-`.
    pub fn ask(&self, words: &[&str]) -> Result<String> {
        let reply = Client::connect(self.port, Duration::from_secs(5))?.command(words)?;
        Ok(reply.text().unwrap_or_else(|_| reply.to_string()))
    }

    /// The present text of its file.
    pub fn text(&self) -> Result<String> {
        Ok(std::fs::read_to_string(&self.file)?)
    }
}
