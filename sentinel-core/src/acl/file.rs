//! The file of `aclfile`: one `user NAME RULES` a line, no quotes, no comments (`acl.c: ACLLoadFromFile`).

use std::collections::BTreeSet;

use super::rules::{RuleError, merge};
use super::selector::has_spaces;
use super::user::{Policy, User};
use super::users::Users;

/// Reads a whole file into a new table; `path` is only shown. A `default` that the file does not name may everything.
///
/// # Errors
/// Every wrong line, as one text.
pub fn load(path: &str, text: &[u8], policy: &Policy) -> Result<Users, String> {
    let mut users = Users::default();
    let mut names = BTreeSet::new();
    let mut errors = String::new();
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let number = index.saturating_add(1);
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        match read_line(line, policy) {
            Ok(user) if names.contains(user.name()) => {
                let name = String::from_utf8_lossy(user.name()).into_owned();
                errors.push_str(&format!(
                    "WARNING: Duplicate user '{name}' found on line {number}. "
                ));
            }
            Ok(user) => {
                names.insert(user.name().to_vec());
                users.put(user);
            }
            Err(reasons) => {
                for reason in reasons {
                    errors.push_str(&format!("{path}:{number}{reason}. "));
                }
            }
        }
    }
    if errors.is_empty() {
        return Ok(users);
    }
    errors
        .push_str("WARNING: ACL errors detected, no change to the previously active ACL rules was performed");
    Err(errors)
}

/// The user of one line, or what is wrong, to be put behind the number of the line.
fn read_line(line: &[u8], policy: &Policy) -> Result<User, Vec<String>> {
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let [b"user", name, rules @ ..] = words.as_slice() else {
        return Err(vec![
            " should start with user keyword followed by the username".to_owned(),
        ]);
    };
    if has_spaces(name) {
        return Err(vec![": username contains invalid characters".to_owned()]);
    }
    let rules =
        merge(rules).map_err(|_| vec![": Unmatched parenthesis in selector definition".to_owned()])?;
    let mut user = User::new(name, policy);
    let mut reasons = Vec::new();
    let mut said = false;
    for rule in rules {
        let rule = rule.trim_ascii();
        match user.apply(rule, policy) {
            Ok(()) => {}
            // Only names of commands are repeated: other rules may be secrets.
            Err(error @ RuleError::Unknown) => {
                let rule = String::from_utf8_lossy(rule).into_owned();
                reasons.push(format!(": Error in applying operation '{rule}': {error}"));
            }
            Err(error) if !said => {
                reasons.push(format!(": {error}"));
                said = true;
            }
            Err(_) => {}
        }
    }
    if reasons.is_empty() {
        Ok(user)
    } else {
        Err(reasons)
    }
}
