//! The whole text to a [`Config`].

use super::known;
use super::lines::{ConfigError, Includes, Line, read_lines};
use super::plain;
use super::sentinel;
use super::types::Config;

/// Parses a configuration. `file` is only used in errors.
///
/// # Errors
/// The first line that Sentinel would refuse, with its text; plain directives are judged before any
/// `sentinel` line, as there.
pub fn parse(file: &str, text: &str, includes: &mut dyn Includes) -> Result<Config, ConfigError> {
    let mut config = Config::new();
    let mut queued = Vec::new();
    let mut daemonize: Option<Line> = None;
    for line in read_lines(file, text, includes)? {
        let directive = line.words.first().map_or("", String::as_str);
        if directive == "sentinel" {
            queued.push(line);
        } else if directive == "daemonize" {
            daemonize = plain::is_yes(&line)?.then_some(line);
        } else if !plain::apply(&mut config, &line)? {
            if !known::is_known(directive) || line.args().is_empty() {
                return Err(line.error("Bad directive or wrong number of arguments"));
            }
            if known::deserves_warning(directive) {
                config.warnings.push(format!(
                    "{}, line {}: '{directive}' has no effect in this version",
                    line.file, line.number
                ));
            }
        }
    }
    // Judged last, so that a service manager's `--daemonize no` overrides the stock file.
    if let Some(line) = daemonize {
        return Err(line.error(
            "daemonize yes is not supported: set it to no and let a service manager (systemd, a container) \
             run this process in the background",
        ));
    }
    sentinel::apply_all(&mut config, &queued, includes)?;
    Ok(config)
}
