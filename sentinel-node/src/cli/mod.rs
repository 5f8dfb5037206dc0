//! The command line: the daemon's arguments as Redis reads them, and `status`.

mod args;
mod http;
mod render;
mod status;

pub use args::{Invocation, StatusArgs, USAGE, parse, version};
pub use status::run as run_status;
