//! The whole text to a [`Config`].

use std::collections::BTreeSet;

use super::acl;
use super::kind::BAD_DIRECTIVE;
use super::known;
use super::lines::{ConfigError, Includes, read_lines};
use super::plain;
use super::sentinel;
use super::tls;
use super::types::Config;

/// Parses a configuration. `file` is only used in errors.
///
/// # Errors
/// The first line that Sentinel would refuse, with its text; plain directives are judged before any
/// `sentinel` line, as there.
pub fn parse(file: &str, text: &str, includes: &mut dyn Includes) -> Result<Config, ConfigError> {
    let mut config = Config::new();
    let mut queued = Vec::new();
    let mut users = Vec::new();
    let mut warned = BTreeSet::new();
    for mut line in read_lines(file, text, includes)? {
        line.split_only_value();
        let directive = line.words.first().map_or("", String::as_str);
        if directive == "sentinel" {
            // Alone it only says what kind of server this is.
            if !line.args().is_empty() {
                queued.push(line);
            }
            continue;
        }
        let kind = known::kind(directive);
        if let Some(kind) = kind {
            kind.check(line.args()).map_err(|reason| line.error(reason))?;
        }
        if directive == "user" {
            users.push(line);
        } else if !plain::apply(&mut config, &line)? {
            if kind.is_none() {
                return Err(line.error(BAD_DIRECTIVE));
            }
            let value = known::value_deserves_warning(directive, line.args());
            // One line for each, however often it is written.
            if (value || known::deserves_warning(directive)) && warned.insert(directive.to_owned()) {
                config.warnings.push(format!(
                    "{}, line {}: '{directive}' has no effect in this version",
                    line.file, line.number
                ));
            }
        }
    }
    tls::finish(&mut config)?;
    acl::declare(&mut config, &users)?;
    sentinel::apply_all(&mut config, &queued, includes)?;
    Ok(config)
}
