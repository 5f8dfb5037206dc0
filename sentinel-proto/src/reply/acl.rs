//! Texts of access control: refusals, and the errors of ACL.

use super::ErrorReply;
use super::error::{QUOTED_BYTES, cut};

/// Why a user may not run a request, as ACL DRYRUN answers it (`acl.c: getAclErrorMessage`).
#[must_use]
pub fn no_command(user: &[u8], command: &str) -> String {
    let user = String::from_utf8_lossy(user);
    format!("User {user} has no permissions to run the '{command}' command")
}

/// The same for a channel or pattern.
#[must_use]
pub fn no_channel(user: &[u8], channel: &[u8]) -> String {
    let (user, channel) = (String::from_utf8_lossy(user), String::from_utf8_lossy(channel));
    format!("User {user} has no permissions to access the '{channel}' channel")
}

impl ErrorReply {
    /// The user may not run this command.
    #[must_use]
    pub fn noperm(user: &[u8], command: &str) -> Self {
        Self::raw(format!("NOPERM {}", no_command(user, command)))
    }

    /// The user may not use one of the channels.
    #[must_use]
    pub fn noperm_channel() -> Self {
        Self::raw("NOPERM No permissions to access a channel")
    }

    /// A subcommand with too many words.
    #[must_use]
    pub fn acl_usage(subcommand: &[u8]) -> Self {
        let subcommand = cut(subcommand, QUOTED_BYTES);
        Self::err(format!(
            "unknown subcommand or wrong number of arguments for '{subcommand}'. Try ACL HELP."
        ))
    }

    /// GENPASS.
    #[must_use]
    pub fn acl_genpass_bits() -> Self {
        Self::err(
            "ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096",
        )
    }

    /// CAT.
    #[must_use]
    pub fn acl_unknown_category(name: &[u8]) -> Self {
        Self::err(format!("Unknown category '{}'", cut(name, QUOTED_BYTES)))
    }

    /// DELUSER default.
    #[must_use]
    pub fn acl_default_stays() -> Self {
        Self::err("The 'default' user cannot be removed")
    }

    /// DRYRUN of an unknown user.
    #[must_use]
    pub fn acl_no_user(name: &[u8]) -> Self {
        Self::err(format!("User '{}' not found", String::from_utf8_lossy(name)))
    }

    /// DRYRUN of an unknown command or subcommand.
    #[must_use]
    pub fn acl_no_command(name: &[u8]) -> Self {
        Self::err(format!("Command '{}' not found", String::from_utf8_lossy(name)))
    }

    /// LOAD and SAVE without `aclfile`.
    #[must_use]
    pub fn acl_no_file() -> Self {
        Self::err(
            "This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL \
             SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in \
             order to store users in the Redis configuration.",
        )
    }

    /// SAVE failed; the log has the reason.
    #[must_use]
    pub fn acl_not_saved() -> Self {
        Self::err(
            "There was an error trying to save the ACLs. Please check the server logs for more information",
        )
    }
}
