//! The rows of ACL subcommands.

use super::acl;
use super::table::{CommandSpec, Parser};

const PLAIN: &[&str] = &["noscript", "loading", "stale"];

const fn row(
    name: &'static str,
    arity: i32,
    parse: Parser,
    since: &'static str,
    summary: &'static str,
) -> CommandSpec {
    CommandSpec::new(name, arity, PLAIN, &["slow"], parse).doc("server", since, summary)
}

const fn admin(
    name: &'static str,
    arity: i32,
    parse: Parser,
    since: &'static str,
    summary: &'static str,
) -> CommandSpec {
    const FLAGS: &[&str] = &["admin", "noscript", "loading", "stale"];
    const CATEGORIES: &[&str] = &["admin", "slow", "dangerous"];
    CommandSpec::new(name, arity, FLAGS, CATEGORIES, parse).doc("server", since, summary)
}

#[rustfmt::skip]
pub(super) const ACL: &[CommandSpec] = &[
    row("acl|cat", -2, acl::cat, "6.0.0", "List the ACL categories or the commands inside a category"),
    admin("acl|deluser", -3, acl::deluser, "6.0.0", "Remove the specified ACL users and the associated rules"),
    admin("acl|dryrun", -4, acl::dryrun, "7.0.0", "Returns whether the user can execute the given command without executing the command."),
    row("acl|genpass", -2, acl::genpass, "6.0.0", "Generate a pseudorandom secure password to use for ACL users"),
    admin("acl|getuser", 3, acl::getuser, "6.0.0", "Get the rules for a specific ACL user"),
    CommandSpec::new("acl|help", 2, &["loading", "stale"], &["slow"], acl::help)
        .doc("server", "6.0.0", "Show helpful text about the different subcommands"),
    admin("acl|list", 2, acl::list, "6.0.0", "List the current ACL rules in ACL config file format"),
    admin("acl|load", 2, acl::load, "6.0.0", "Reload the ACLs from the configured ACL file"),
    admin("acl|log", -2, acl::log, "6.0.0", "List latest events denied because of ACLs in place"),
    admin("acl|save", 2, acl::save, "6.0.0", "Save the current ACL rules in the configured ACL file"),
    admin("acl|setuser", -3, acl::setuser, "6.0.0", "Modify or create the rules for a specific ACL user"),
    admin("acl|users", 2, acl::users, "6.0.0", "List the username of all the configured ACL rules"),
    row("acl|whoami", 2, acl::whoami, "6.0.0", "Return the name of the user associated to the current connection"),
];
