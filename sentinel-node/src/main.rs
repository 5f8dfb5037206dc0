//! The binary: arguments, configuration, log, then [`sentinel_node::run`].

use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

use sentinel_node::cli::{self, Invocation};
use sentinel_node::clock::SystemClock;
use sentinel_node::config::{self, Config};
use sentinel_node::server::{OpenFiles, raise_open_files};
use sentinel_node::{background, log, rewriting, run, title};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match cli::parse(&args) {
        Invocation::Version => {
            println!("{}", cli::version(std::env::args().next().as_deref()));
            ExitCode::SUCCESS
        }
        Invocation::Help => {
            print!("{}", cli::USAGE);
            ExitCode::SUCCESS
        }
        Invocation::Message(text, false) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Invocation::Message(text, true) => {
            eprint!("{text}");
            ExitCode::FAILURE
        }
        Invocation::Status(args) => cli::run_status(&args),
        Invocation::Daemon { file, extra, stdin } => daemon(file.as_deref(), extra, stdin),
    }
}

fn daemon(file: Option<&str>, extra: String, stdin: bool) -> ExitCode {
    let clock = SystemClock::start();
    let Some(file) = file else {
        return refuse(
            &Config::new(),
            clock,
            "Sentinel needs config file on disk to save state. Exiting...",
        );
    };
    let more = match read_stdin(stdin) {
        Ok(more) => more,
        Err(error) => {
            eprintln!("cannot read more configuration from stdin: {error}");
            return ExitCode::FAILURE;
        }
    };
    // Lines from stdin come before the options, which win.
    let mut config = match config::load(Path::new(file), &format!("{more}\n{extra}")) {
        Ok(config) => config,
        Err(report) => {
            eprintln!("{report}");
            return ExitCode::FAILURE;
        }
    };
    match background::enter(&mut config, &more) {
        Ok(background::Process::Runs) => {}
        Ok(background::Process::Ends) => return ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot start the process in the background: {error}");
            return ExitCode::FAILURE;
        }
    }
    if !stdin {
        title::take(&config);
    }
    if let Err(error) = log::init(&config, clock) {
        eprintln!("cannot start the log: {error}");
        return ExitCode::FAILURE;
    }
    abort_on_panic();
    if !starting(&mut config) {
        log::flush();
        return ExitCode::FAILURE;
    }
    if config.sentinel.rewrite_config {
        if let Err(reason) = rewriting::check_writable(&config.path) {
            let path = config.path.display();
            tracing::warn!("Sentinel config file {path} is not writable: {reason}. Exiting...");
            log::flush();
            return ExitCode::FAILURE;
        }
    }
    let status = match run::run(config) {
        Ok(status) => status,
        Err(error) => {
            tracing::warn!("{error:#}");
            ExitCode::FAILURE
        }
    };
    log::flush();
    status
}

/// More lines, if `-` asked for them.
fn read_stdin(wanted: bool) -> std::io::Result<String> {
    let mut text = String::new();
    if wanted {
        std::io::stdin().read_to_string(&mut text)?;
    }
    Ok(text)
}

fn refuse(config: &Config, clock: SystemClock, reason: &str) -> ExitCode {
    if log::init(config, clock).is_ok() {
        tracing::warn!("{reason}");
        log::flush();
    }
    ExitCode::FAILURE
}

/// Sentinel's first lines. False = the process cannot run, and has said why.
fn starting(config: &mut Config) -> bool {
    tracing::info!("oO0OoO0OoO0Oo Sentinel on Raft is starting oO0OoO0OoO0Oo");
    tracing::info!(
        "Sentinel on Raft version={}, bits={}, pid={}, just started",
        env!("CARGO_PKG_VERSION"),
        usize::BITS,
        std::process::id()
    );
    tracing::info!("Configuration loaded");
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    match raise_open_files(config.maxclients, config.masters.len()) {
        OpenFiles::Enough => {}
        OpenFiles::Raised(line) => tracing::info!("{line}"),
        OpenFiles::Fewer(maxclients, lines) => {
            config.maxclients = maxclients;
            lines.iter().for_each(|line| tracing::warn!("{line}"));
        }
        OpenFiles::TooFew(line) => {
            tracing::warn!("{line}");
            return false;
        }
    }
    tracing::info!("Running mode=sentinel, port={}.", config.main_port());
    true
}

/// A panic anywhere means that an invariant is broken: the service manager starts a fresh process, and safety comes
/// from the log. Release builds abort by themselves; debug builds do the same here.
fn abort_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        tracing::warn!("=== SENTINEL BUG REPORT: {panic}");
        log::flush();
        std::process::abort();
    }));
}
