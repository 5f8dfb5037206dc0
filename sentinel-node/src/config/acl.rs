//! `user`, `aclfile`, `acllog-max-len` and `acl-pubsub-default`.

use std::path::PathBuf;

use sentinel_core::acl::Users;

use super::lines::{ConfigError, Line};
use super::types::Config;
use crate::acl::policy;

/// Who may do what, as the file says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AclConfig {
    /// `user` lines; `default` as it is without any.
    pub users: Users,
    /// There is a `user` line.
    pub declares_users: bool,
    /// One of them is about `default`, so that `requirepass` does not count for clients.
    pub declares_default: bool,
    /// `aclfile`, relative to `dir`.
    pub file: Option<PathBuf>,
    /// `acllog-max-len`.
    pub log_max_len: usize,
    /// `acl-pubsub-default allchannels`.
    pub all_channels: bool,
}

impl Default for AclConfig {
    fn default() -> Self {
        Self {
            users: Users::default(),
            declares_users: false,
            declares_default: false,
            file: None,
            log_max_len: 128,
            all_channels: false,
        }
    }
}

/// Makes the users of all `user` lines, when everything that they depend on is known.
pub(super) fn declare(config: &mut Config, lines: &[Line]) -> Result<(), ConfigError> {
    use sentinel_core::acl::SetError;
    let acl = &mut config.acl;
    let policy = policy(acl.all_channels);
    let mut seen = Vec::new();
    for line in lines {
        let [name, rules @ ..] = line.args() else {
            return Err(line.error("Bad directive or wrong number of arguments"));
        };
        let wrong = |what: &str, why: &dyn std::fmt::Display| {
            line.error(format!("Error in user declaration '{what}': {why}"))
        };
        if seen.contains(&name) {
            let why = "Duplicate user found. A user can only be defined once in config files";
            return Err(wrong(name, &why));
        }
        seen.push(name);
        acl.declares_users = true;
        acl.declares_default |= name == "default";
        acl.users
            .declare(name.as_bytes(), rules, &policy)
            .map_err(|error| match &error {
                SetError::Name => wrong(name, &"Spaces not allowed in ACL usernames"),
                SetError::Unmatched(open) => wrong(&String::from_utf8_lossy(&open.0), &error),
                SetError::Rule { rule, error } => wrong(&String::from_utf8_lossy(rule), error),
            })?;
    }
    Ok(())
}
