//! Canonical rules: what ACL LIST, ACL GETUSER and files show (`acl.c: ACLDescribeUser`).

use super::commands::{CATEGORIES, Unit, units};
use super::selector::{KeyPattern, Selector};
use super::user::{Digest, User};

impl User {
    /// Its flags as ACL GETUSER lists them.
    #[must_use]
    pub fn flags(&self) -> Vec<&'static str> {
        let mut flags = vec![if self.enabled { "on" } else { "off" }];
        if self.nopass {
            flags.push("nopass");
        }
        match self.sanitize {
            Some(true) => flags.push("sanitize-payload"),
            Some(false) => flags.push("skip-sanitize-payload"),
            None => {}
        }
        flags
    }

    /// SHA-256 of its passwords as 64 hexadecimal digits each.
    #[must_use]
    pub fn password_hashes(&self) -> Vec<String> {
        self.passwords.iter().map(hexadecimal).collect()
    }

    /// The selector that a user always has.
    #[must_use]
    pub fn root(&self) -> &Selector {
        &self.root
    }

    /// The others.
    #[must_use]
    pub fn selectors(&self) -> &[Selector] {
        &self.selectors
    }

    /// All of it as one line: `user NAME RULES`. Reading it makes the same user.
    #[must_use]
    pub fn line(&self) -> Vec<u8> {
        let mut line = [b"user ", self.name()].concat();
        for flag in self.flags() {
            line.push(b' ');
            line.extend_from_slice(flag.as_bytes());
        }
        for hash in self.password_hashes() {
            line.extend_from_slice(b" #");
            line.extend_from_slice(hash.as_bytes());
        }
        line.push(b' ');
        line.extend_from_slice(&self.root.rules());
        for selector in &self.selectors {
            line.extend_from_slice(b" (");
            let rules = selector.rules();
            let words = rules.split(|byte| *byte == b' ').map(protected);
            line.extend_from_slice(&words.collect::<Vec<_>>().join(&b' '));
            line.push(b')');
        }
        line
    }
}

/// A rule inside parentheses, where quotes have a meaning and `)` ends the selector. Redis does not protect them, and
/// cannot read such users again.
fn protected(rule: &[u8]) -> Vec<u8> {
    if !rule.iter().any(|byte| b"()\"'".contains(byte)) {
        return rule.to_vec();
    }
    let mut quoted = vec![b'"'];
    for byte in rule {
        if b"()\"'\\".contains(byte) {
            quoted.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
        } else {
            quoted.push(*byte);
        }
    }
    quoted.push(b'"');
    quoted
}

fn hexadecimal(digest: &Digest) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Selector {
    /// Keys, as ACL GETUSER shows them.
    #[must_use]
    pub fn key_rules(&self) -> Vec<u8> {
        if self.all_keys {
            return b"~*".to_vec();
        }
        let rule = |key: &KeyPattern| {
            let prefix: &[u8] = match (key.read, key.write) {
                (true, false) => b"%R~",
                (false, true) => b"%W~",
                _ => b"~",
            };
            [prefix, &key.pattern].concat()
        };
        self.keys.iter().map(rule).collect::<Vec<_>>().join(&b' ')
    }

    /// Channels, as ACL GETUSER shows them.
    #[must_use]
    pub fn channel_rules(&self) -> Vec<u8> {
        if self.all_channels {
            return b"&*".to_vec();
        }
        let rule = |pattern: &Vec<u8>| [b"&", pattern.as_slice()].concat();
        self.channels.iter().map(rule).collect::<Vec<_>>().join(&b' ')
    }

    /// Commands, as ACL GETUSER shows them: from all or from none, the categories that come nearest, and then what is
    /// still different one by one. The rules are tried out on a copy on the way, so they are right by construction.
    #[must_use]
    pub fn command_rules(&self) -> Vec<u8> {
        let adds = !self.starts_from_all;
        let mut shown = Self::new(false);
        // Cannot fail: these rules always exist.
        let start = if adds { "-@all" } else { "+@all" };
        let _ = shown.apply(start.as_bytes());
        let mut rules = start.as_bytes().to_vec();
        let mut left = self.clone();
        let mut applied = Vec::new();
        while let Some(best) = best_category(&left, adds, &applied) {
            let _ = shown.set_category(best.as_bytes(), adds);
            let _ = left.set_category(best.as_bytes(), !adds);
            rules.extend_from_slice(if adds { b" +@" } else { b" -@" });
            rules.extend_from_slice(best.as_bytes());
            applied.push(best);
        }
        self.describe_differences(&mut shown, &mut rules);
        rules
    }

    fn describe_differences(&self, shown: &mut Self, rules: &mut Vec<u8>) {
        for (number, unit) in units().iter().enumerate() {
            let name = unit.spec.name.as_bytes();
            let allowed = self.commands.contains(number);
            if allowed != shown.commands.contains(number) {
                rules.extend_from_slice(if allowed { b" +" } else { b" -" });
                rules.extend_from_slice(name);
                shown.set_command(number, allowed);
            }
            for word in self.first_args.get(&number).into_iter().flatten() {
                if !allowed {
                    rules.extend_from_slice(&[b" +", name, b"|", word].concat());
                }
            }
        }
    }

    /// Everything as rules.
    #[must_use]
    pub fn rules(&self) -> Vec<u8> {
        let mut parts = vec![self.key_rules()];
        if !self.all_channels {
            parts.push(b"resetchannels".to_vec());
        }
        parts.push(self.channel_rules());
        parts.push(self.command_rules());
        // A single empty pattern has a rule, too; only absent ones are left out.
        parts.retain(|part| !part.is_empty());
        parts.join(&b' ')
    }
}

/// The category whose commands are mostly like the user's: fewest unlike ones first, then most like ones.
fn best_category(left: &Selector, adds: bool, applied: &[&str]) -> Option<&'static str> {
    let mut best: Option<(&'static str, usize, usize)> = None;
    for category in CATEGORIES.iter().copied().filter(|name| !applied.contains(name)) {
        let is_in = |unit: &Unit| unit.is_classic && unit.spec.categories.contains(&category);
        let (mut same, mut different) = (0usize, 0usize);
        for (number, _) in units().iter().enumerate().filter(|(_, unit)| is_in(unit)) {
            if left.commands.contains(number) == adds {
                same = same.saturating_add(1);
            } else {
                different = different.saturating_add(1);
            }
        }
        let better =
            best.is_none_or(|(_, least, most)| different < least || (different == least && same > most));
        if same > different && better {
            best = Some((category, different, same));
        }
    }
    best.map(|(category, _, _)| category)
}
