//! Replies of COMMAND, read from the command table.

use crate::command::{CommandFilter, CommandRequest, CommandSpec, Renames};
use crate::glob;
use crate::reply::arguments::arguments;
use crate::reply::{ErrorReply, help};
use crate::resp::Frame;

/// Commands that another one replaces: name, since when, by what. Valkey's names are additions, and replace none.
const DEPRECATED: &[(&str, &str, &str)] = &[("sentinel|slaves", "5.0.0", "`SENTINEL REPLICAS`")];

/// The reply to COMMAND or one of its subcommands.
#[must_use]
pub fn command(request: &CommandRequest, renames: &Renames) -> Frame {
    match request {
        CommandRequest::All => Frame::Array(renames.commands().map(details).collect()),
        CommandRequest::Count => {
            Frame::Integer(i64::try_from(renames.commands().count()).unwrap_or(i64::MAX))
        }
        CommandRequest::Info(names) if names.is_empty() => command(&CommandRequest::All, renames),
        CommandRequest::Info(names) => {
            let known = |name: &String| {
                let spec = renames.find_by_full_name(name);
                spec.map_or(Frame::NullBulk, details)
            };
            Frame::Array(names.iter().map(known).collect())
        }
        CommandRequest::Docs(names) => docs(names, renames),
        CommandRequest::List(filter) => list(filter, renames),
        // No command of a sentinel has keys; whether its count of words is right is not looked at before.
        CommandRequest::GetKeys(words) => Frame::from(ErrorReply::err(match renames.named(words) {
            Some(_) => "The command has no key arguments",
            None => "Invalid command specified",
        })),
        CommandRequest::Help => help::lines(help::COMMAND),
    }
}

fn words(words: &[&'static str], prefix: &str) -> Frame {
    let word = |word: &&'static str| Frame::simple(format!("{prefix}{word}"));
    Frame::Set(words.iter().map(word).collect())
}

/// The ten elements of COMMAND INFO; no command of a sentinel has keys.
fn details(spec: &'static CommandSpec) -> Frame {
    let tips = spec.tips.iter().map(|tip| Frame::bulk_static(tip));
    let subcommands: Vec<Frame> = spec.subcommands.iter().map(details).collect();
    Frame::Array(vec![
        spec.name.into(),
        Frame::Integer(i64::from(spec.arity)),
        words(spec.flags, ""),
        Frame::Integer(0),
        Frame::Integer(0),
        Frame::Integer(0),
        words(spec.categories, "@"),
        Frame::Set(tips.collect()),
        Frame::Set(Vec::new()),
        if subcommands.is_empty() {
            Frame::Set(subcommands)
        } else {
            Frame::Array(subcommands)
        },
    ])
}

fn docs(names: &[String], renames: &Renames) -> Frame {
    let entry = |spec: &'static CommandSpec| (Frame::from(spec.name), documentation(spec));
    Frame::Map(if names.is_empty() {
        renames.commands().map(entry).collect()
    } else {
        let known = names.iter().filter_map(|name| renames.find_by_full_name(name));
        known.map(entry).collect()
    })
}

fn documentation(spec: &'static CommandSpec) -> Frame {
    let mut fields: Vec<(Frame, Frame)> = vec![
        ("summary".into(), spec.summary.into()),
        ("since".into(), spec.since.into()),
        ("group".into(), spec.group.into()),
    ];
    if let Some((_, since, instead)) = DEPRECATED.iter().find(|(name, ..)| *name == spec.name) {
        fields.push(("doc_flags".into(), words(&["deprecated"], "")));
        fields.push(("deprecated_since".into(), (*since).into()));
        fields.push(("replaced_by".into(), (*instead).into()));
    }
    if let Some(arguments) = arguments(spec.name) {
        fields.push(("arguments".into(), arguments));
    }
    if !spec.subcommands.is_empty() {
        let subcommands = spec.subcommands.iter();
        let entry = |spec: &'static CommandSpec| (Frame::from(spec.name), documentation(spec));
        fields.push(("subcommands".into(), Frame::Map(subcommands.map(entry).collect())));
    }
    Frame::Map(fields)
}

fn list(filter: &CommandFilter, renames: &Renames) -> Frame {
    let passes = |spec: &&CommandSpec| match filter {
        CommandFilter::None => true,
        CommandFilter::Module => false,
        CommandFilter::Category(category) => spec.categories.contains(&category.as_str()),
        CommandFilter::Pattern(pattern) => glob::matches_ignoring_case(pattern, spec.name.as_bytes()),
    };
    let all = renames
        .commands()
        .flat_map(|spec| std::iter::once(spec).chain(spec.subcommands));
    Frame::Array(all.filter(passes).map(|spec| spec.name.into()).collect())
}
