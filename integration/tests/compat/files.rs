//! Files and options on the command line: what `redis-sentinel` refuses is refused with its words, what it takes runs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use integration::harness::ports::Port;
use integration::harness::process::{Process, find_program, tail};
use integration::harness::resp::Client;
use integration::harness::scenario::say_skipped;
use integration::harness::sentinel::Program;
use integration::harness::wait::wait_for;

const REFUSED: &str = include_str!("files.txt");
const PATIENCE: Duration = Duration::from_secs(30);

/// Options after the file, and whether they are refused.
const OPTIONS: &[(&[&str], bool)] = &[
    (&["--foo", "bar"], true),
    (&["--port", "x"], true),
    (&["---port", "1"], true),
    (&["bad"], true),
    (&["--sentinel", "foo", "bar"], true),
    (&["--port", "--loglevel"], true),
    (&["--requirepass", "--x", "--port", "x y"], true),
    (&["--loglevel verbose", "--save", "--sentinel"], false),
    (&["--sentinel", "--save", "--requirepass", "--x"], false),
];

/// Files that run: of what Redis takes, what one would not expect.
const TAKEN: &[&[u8]] = &[
    b"sentinel\nsave\nclient-output-buffer-limit\nreplicaof no one\nlua-enable-deprecated-api yes\r\n",
    b"# a comment in Latin-1: \xe9\n\t # \xff\nsentinel monitor m 127.1 1 99999999999",
    b"tls-protocols x\ntls-ciphers x\ntls-ciphersuites x\ntls-dh-params-file /missing\ntls-cert-file /missing\n",
    b"bind \"localhost 127.0.0.9\"\nsave \"900 1 300 10\"\nshutdown-on-sigterm \"now force\"\n",
    b"sentinel announce-port 70000\nSENTINEL down-after-milliseconds m 5\nsentinel monitor m 0x7f.1 0 1x\r\n",
];

/// A program, and a folder with a file for it.
struct Run {
    folder: tempfile::TempDir,
    port: Port,
    program: PathBuf,
    options: Vec<String>,
}

impl Run {
    fn new(program: &Path, text: &[u8], options: &[&str]) -> Result<Self> {
        let folder = tempfile::tempdir().context("folder")?;
        let port = Port::reserve()?;
        let first = format!("port {}\n", port.number());
        std::fs::write(folder.path().join("s.conf"), [first.as_bytes(), text].concat()).context("file")?;
        Ok(Self {
            folder,
            port,
            program: program.to_owned(),
            options: options.iter().map(|word| (*word).to_owned()).collect(),
        })
    }

    fn start(&self) -> Result<Process> {
        let file = self.folder.path().join("s.conf").display().to_string();
        let args: Vec<String> = std::iter::once(file).chain(self.options.clone()).collect();
        let (folder, out) = (self.folder.path(), self.folder.path().join("out"));
        Process::spawn("sentinel", &self.program, &args, folder, &out)
    }

    /// Number, text and reason of the line that it refused.
    fn refusal(&self) -> Result<String> {
        let status = self.start()?.wait_exit(PATIENCE)?;
        let printed = tail(&self.folder.path().join("out"), 50);
        ensure!(status.code() == Some(1), "it ended with {status}:\n{printed}");
        let (_, report) = printed
            .split_once("*** FATAL CONFIG FILE ERROR (Redis ")
            .with_context(|| format!("no report in:\n{printed}"))?;
        let lines: Vec<&str> = report.lines().skip(1).take(3).collect();
        Ok(lines.join("\n"))
    }

    fn runs(&self) -> Result<()> {
        let mut process = self.start()?;
        wait_for("it answers", PATIENCE, || {
            if let Some(status) = process.exit_status() {
                let printed = tail(&self.folder.path().join("out"), 10);
                bail!("it ended with {status}:\n{printed}");
            }
            Client::connect(self.port.number(), Duration::from_secs(1))?.command(&["PING"])
        })
        .map(drop)
    }
}

fn compare() -> Result<()> {
    let Some(stock) = find_program("redis-sentinel") else {
        say_skipped("there is no redis-sentinel to compare with");
        return Ok(());
    };
    let Program::Ours(ours) = Program::built_here()? else {
        bail!("not ours");
    };
    let text = |line: &str| line.replace("\\n", "\n").replace("\\r", "\r");
    let files = REFUSED.lines().skip(3).map(|line| (text(line), &[][..]));
    let options = OPTIONS.iter().filter(|(_, refused)| *refused);
    let all = files.chain(options.map(|(words, _)| (String::new(), *words)));
    let mut failures = Vec::new();
    for (text, options) in all {
        let (theirs, mine) = (
            Run::new(&stock, text.as_bytes(), options)?.refusal(),
            Run::new(&ours, text.as_bytes(), options)?.refusal(),
        );
        match (theirs, mine) {
            (Ok(theirs), Ok(mine)) if theirs == mine => {}
            (theirs, mine) => failures.push(format!(
                "{text:?} {options:?}\n--- redis-sentinel\n{theirs:?}\n--- sentinel-node\n{mine:?}"
            )),
        }
    }
    let taken = TAKEN.iter().map(|text| (*text, &[][..]));
    let options = OPTIONS.iter().filter(|(_, refused)| !refused);
    for (text, options) in taken.chain(options.map(|(words, _)| (&b""[..], *words))) {
        for program in [&stock, &ours] {
            if let Err(error) = Run::new(program, text, options)?.runs() {
                let text = String::from_utf8_lossy(text);
                failures.push(format!(
                    "{} on {text:?} {options:?}: {error:#}",
                    program.display()
                ));
            }
        }
    }
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

#[test]
fn files_are_refused_with_the_words_of_redis_sentinel() {
    super::hold(
        "files::files_are_refused_with_the_words_of_redis_sentinel",
        compare(),
    );
}
