//! `sentinel-node status`.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use crate::admin::model::{Master, Status};

use super::args::StatusArgs;
use super::{http, render};

/// Masters shown in detail; of the others only the line of the overview.
const DETAILED_MASTERS: usize = 20;
const PERIOD: Duration = Duration::from_secs(1);
/// Cursor home, clear to the end of the screen.
const REDRAW: &str = "\x1b[H\x1b[J";
const CLEAR: &str = "\x1b[2J";

/// Prints once, or each second until interrupted. The exit status is 0 when the node is ready, 2 when it has
/// no majority, 1 when it cannot be asked.
#[must_use]
pub fn run(args: &StatusArgs) -> ExitCode {
    if !args.watch {
        return match page(args) {
            Ok((text, healthy)) => {
                print(&text);
                ExitCode::from(if healthy { 0 } else { 2 })
            }
            Err(text) => {
                eprintln!("{text}");
                ExitCode::FAILURE
            }
        };
    }
    print(CLEAR);
    loop {
        let text = page(args).map_or_else(|error| error, |(text, _)| text);
        if !print(&format!("{REDRAW}{text}\n(each second; Ctrl-C ends)\n")) {
            return ExitCode::SUCCESS;
        }
        pause();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a terminal that is redrawn each second waits for nothing else"
)]
fn pause() {
    std::thread::sleep(PERIOD);
}

/// False when nobody reads any more (a closed pipe).
fn print(text: &str) -> bool {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok()
}

/// The text, and whether the node has a majority.
fn page(args: &StatusArgs) -> Result<(String, bool), String> {
    if args.json {
        let value: serde_json::Value = http::get(&args.admin, "/v1/status")?;
        let healthy = value["node"]["has_majority"] == true;
        return Ok((format!("{value:#}\n"), healthy));
    }
    let status: Status = http::get(&args.admin, "/v1/status")?;
    let mut masters = Vec::new();
    // Of many masters those that need a look.
    let mut detailed: Vec<_> = status.masters.iter().collect();
    detailed.sort_by_key(|master| master.status == "ok" && master.plan_phase.is_none());
    for summary in detailed.into_iter().take(DETAILED_MASTERS) {
        let path = format!("/v1/masters/{}", encoded(&summary.name));
        // It may have been removed since.
        if let Ok(master) = http::get::<Master>(&args.admin, &path) {
            masters.push(master);
        }
    }
    let healthy = status.node.has_majority;
    Ok((render::page(&status, &masters), healthy))
}

/// Percent-encoding of a name in a path.
fn encoded(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
