//! The commands that rules speak of, as numbers, and sets of them.

use std::sync::LazyLock;

use sentinel_proto::command::{CommandSpec, TABLE};

/// Names of categories, in Redis's order, which decides between equally good ones.
pub const CATEGORIES: [&str; 21] = [
    "keyspace",
    "read",
    "write",
    "set",
    "sortedset",
    "list",
    "hash",
    "string",
    "bitmap",
    "hyperloglog",
    "geo",
    "stream",
    "pubsub",
    "admin",
    "fast",
    "slow",
    "blocking",
    "dangerous",
    "connection",
    "transaction",
    "scripting",
];

/// Commands that only this server has.
const OURS: [&str; 2] = ["sentinel|peer", "sentinel|raft"];

/// A command or subcommand: what one bit of a [`CommandSet`] stands for.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) spec: &'static CommandSpec,
    /// Of a container: where its subcommands end; they follow it. Of others: the next number.
    pub(super) end: usize,
    pub(super) is_subcommand: bool,
    /// Redis 7.0 has it.
    pub(super) is_classic: bool,
}

static UNITS: LazyLock<Vec<Unit>> = LazyLock::new(|| {
    let mut units = Vec::new();
    for spec in TABLE {
        let end = units
            .len()
            .saturating_add(1)
            .saturating_add(spec.subcommands.len());
        units.push(unit(spec, end, false));
        for subcommand in spec.subcommands {
            let end = units.len().saturating_add(1);
            units.push(unit(subcommand, end, true));
        }
    }
    units
});

fn unit(spec: &'static CommandSpec, end: usize, is_subcommand: bool) -> Unit {
    Unit {
        spec,
        end,
        is_subcommand,
        is_classic: !OURS.contains(&spec.name) && is_of_redis_7_0(spec.since),
    }
}

fn is_of_redis_7_0(since: &str) -> bool {
    let mut parts = since.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let major = parts.next().unwrap_or(0);
    major < 7 || (major == 7 && parts.next().unwrap_or(0) == 0)
}

/// All commands, each container followed by its subcommands.
pub(super) fn units() -> &'static [Unit] {
    &UNITS
}

/// The number of a command of the table.
pub(super) fn number_of(spec: &CommandSpec) -> Option<usize> {
    units().iter().position(|unit| unit.spec.name == spec.name)
}

/// Finds `ping` or `client|id`, without case.
pub(super) fn find(name: &[u8]) -> Option<usize> {
    let is = |unit: &Unit| unit.spec.name.as_bytes().eq_ignore_ascii_case(name);
    units().iter().position(is)
}

/// The spelling of a category, found without case.
pub(super) fn category(name: &[u8]) -> Option<&'static str> {
    let is = |known: &&&str| known.as_bytes().eq_ignore_ascii_case(name);
    CATEGORIES.iter().find(is).copied()
}

/// Commands of a category, as ACL CAT lists them; `None` = no such category.
#[must_use]
pub fn commands_in(name: &[u8]) -> Option<Vec<&'static str>> {
    let category = category(name)?;
    let of = units()
        .iter()
        .filter(|unit| unit.spec.categories.contains(&category));
    Some(of.map(|unit| unit.spec.name).collect())
}

const WORDS: usize = 4;

/// A set of commands. Numbers beyond its 256 are never in it, so such a command would be denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CommandSet([u64; WORDS]);

impl CommandSet {
    pub(super) const EMPTY: Self = Self([0; WORDS]);
    pub(super) const ALL: Self = Self([u64::MAX; WORDS]);

    fn bit(number: usize) -> (usize, u64) {
        (number / 64, 1u64 << (number % 64))
    }

    pub(super) fn contains(&self, number: usize) -> bool {
        let (word, bit) = Self::bit(number);
        self.0.get(word).is_some_and(|bits| bits & bit != 0)
    }

    /// Adds or removes a command, with its subcommands.
    pub(super) fn set(&mut self, number: usize, allowed: bool) {
        let end = units().get(number).map_or(number, |unit| unit.end);
        for number in number..end {
            let (word, bit) = Self::bit(number);
            if let Some(bits) = self.0.get_mut(word) {
                *bits = if allowed { *bits | bit } else { *bits & !bit };
            }
        }
    }
}
