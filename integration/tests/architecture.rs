//! The rules of the architecture that a compiler does not check: direction of dependencies, what pure crates may
//! use, where openraft and actix may be named, sizes, and that nothing tracked names a machine.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Normal dependencies (with theirs) that `sentinel-proto` and `sentinel-core` may have. Procedural macros count,
/// what those are built from does not.
const PURE_MAY_USE: [&str; 9] = [
    "bytes",
    "itoa",
    "sentinel-proto",
    "serde",
    "serde_core",
    "serde_derive",
    "smallvec",
    "thiserror",
    "thiserror-impl",
];

/// Workspace crates that each crate may name.
const DIRECTION: [(&str, &[&str]); 5] = [
    ("sentinel-proto", &[]),
    ("sentinel-core", &["sentinel-proto"]),
    ("raft-store", &["sentinel-proto", "sentinel-core"]),
    (
        "sentinel-node",
        &["sentinel-proto", "sentinel-core", "raft-store"],
    ),
    (
        "integration",
        &["sentinel-proto", "sentinel-core", "raft-store", "sentinel-node"],
    ),
];

const PURE: [&str; 2] = ["sentinel-proto", "sentinel-core"];

const PURE_FILE_LINES: usize = 500;
const FILE_LINES: usize = 800;
const FUNCTION_LINES: usize = 70;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_path_buf()
}

fn metadata() -> Value {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| String::from("cargo"));
    let output = Command::new(cargo)
        .current_dir(root())
        .args(["metadata", "--format-version", "1", "--locked"])
        .output()
        .expect("cargo metadata");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Packages by id: name, and whether it is a procedural macro.
fn packages(metadata: &Value) -> BTreeMap<String, (String, bool)> {
    metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| {
            let is_macro = package["targets"].as_array().unwrap().iter().any(|target| {
                target["kind"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .any(|kind| text(kind) == "proc-macro")
            });
            (
                text(&package["id"]).to_owned(),
                (text(&package["name"]).to_owned(), is_macro),
            )
        })
        .collect()
}

/// Ids of the normal dependencies of a package, as resolved.
fn normal_dependencies<'m>(metadata: &'m Value, id: &str) -> Vec<&'m str> {
    let nodes = metadata["resolve"]["nodes"].as_array().unwrap();
    let node = nodes.iter().find(|node| text(&node["id"]) == id).unwrap();
    node["deps"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|dep| {
            dep["dep_kinds"]
                .as_array()
                .unwrap()
                .iter()
                .any(|kind| kind["kind"].is_null())
        })
        .map(|dep| text(&dep["pkg"]))
        .collect()
}

#[test]
fn pure_crates_depend_on_small_pure_crates_only() {
    let metadata = metadata();
    let packages = packages(&metadata);
    let mut wrong = Vec::new();
    for pure in PURE {
        let start = packages
            .iter()
            .find(|(_, (name, _))| name == pure)
            .unwrap()
            .0
            .clone();
        let mut queue = vec![start];
        let mut seen = BTreeSet::new();
        while let Some(id) = queue.pop() {
            if !seen.insert(id.clone()) {
                continue;
            }
            let (name, is_macro) = &packages[&id];
            if name != pure && !PURE_MAY_USE.contains(&name.as_str()) {
                wrong.push(format!("{pure} depends on {name}"));
            }
            if !is_macro {
                queue.extend(normal_dependencies(&metadata, &id).into_iter().map(str::to_owned));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn crates_depend_in_one_direction_and_on_openraft_and_actix_in_one_place() {
    let metadata = metadata();
    let mut wrong = Vec::new();
    for (name, allowed) in DIRECTION {
        let package = metadata["packages"]
            .as_array()
            .unwrap()
            .iter()
            .find(|package| text(&package["name"]) == name && package["source"].is_null())
            .unwrap_or_else(|| panic!("no crate {name}"));
        for dependency in package["dependencies"].as_array().unwrap() {
            let used = text(&dependency["name"]);
            let ours = DIRECTION.iter().any(|(other, _)| *other == used);
            if ours && !allowed.contains(&used) {
                wrong.push(format!("{name} depends on {used}: against the direction"));
            }
            if used.starts_with("openraft") && name != "raft-store" {
                wrong.push(format!("{name} depends on {used}: only raft-store may"));
            }
            if used.starts_with("actix") && name != "sentinel-node" {
                wrong.push(format!("{name} depends on {used}: only sentinel-node may"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Rust files of a crate with their text, paths relative to the repository.
fn sources(name: &str) -> Vec<(String, String)> {
    let mut files = Vec::new();
    collect(&root().join(name), &mut files);
    files
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| {
            let shown = path.strip_prefix(root()).unwrap().display().to_string();
            (shown, std::fs::read_to_string(&path).unwrap())
        })
        .collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && name != "node_modules" && !name.starts_with('.') {
                collect(&path, files);
            }
        } else {
            files.push(path);
        }
    }
}

/// A line without its comment and without string literals.
fn code_of(line: &str) -> String {
    let mut code = String::new();
    let mut in_string = false;
    let mut previous = ' ';
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        if in_string {
            if c == '\\' {
                chars.next();
            } else if c == '"' {
                in_string = false;
            }
        } else if c == '"' && previous != '\'' {
            in_string = true;
        } else if c == '/' && chars.peek() == Some(&'/') {
            break;
        } else {
            code.push(c);
        }
        previous = c;
    }
    code
}

/// Whether `word` stands in `code` by itself.
fn has_word(code: &str, word: &str) -> bool {
    code.split(|c: char| !c.is_alphanumeric() && c != '_')
        .any(|part| part == word)
}

fn complain(names: &[&str], mut wrong_in: impl FnMut(&str, &str) -> Option<String>) {
    let mut wrong = Vec::new();
    for name in names {
        for (path, text) in sources(name) {
            for (index, line) in text.lines().enumerate() {
                if let Some(reason) = wrong_in(&path, line) {
                    wrong.push(format!("{path}:{}: {reason}: {}", index + 1, line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} places:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn pure_crates_are_not_async() {
    complain(&PURE, |_, line| {
        let code = code_of(line);
        ["async", "await", "spawn"]
            .into_iter()
            .find(|word| has_word(&code, word))
            .map(|word| format!("`{word}` in a pure crate"))
    });
}

#[test]
fn openraft_and_actix_are_named_in_one_crate_each() {
    complain(
        &["sentinel-proto", "sentinel-core", "sentinel-node"],
        |path, line| {
            let code = code_of(line);
            let raft = code.contains("openraft::") || code.contains("use openraft");
            let actix = code.contains("actix::") || code.contains("use actix");
            if raft {
                return Some(String::from("openraft is named outside raft-store"));
            }
            (actix && !path.starts_with("sentinel-node"))
                .then(|| String::from("actix is named outside sentinel-node"))
        },
    );
    complain(&["raft-store"], |_, line| {
        let code = code_of(line);
        (code.contains("actix::") || code.contains("use actix")).then(|| String::from("actix in raft-store"))
    });
}

#[test]
fn actors_hold_recipients_not_addresses() {
    complain(&["sentinel-node"], |path, line| {
        let code = code_of(line);
        let holds = code.contains("Addr<") && !code.contains("SocketAddr<");
        let exempt = path.ends_with("supervisor.rs") || path.contains("supervisor/");
        (holds && !exempt).then(|| String::from("`Addr<` outside the supervisor"))
    });
}

#[test]
fn nothing_is_left_undone_in_code() {
    const MARKS: [&str; 5] = ["todo", "unimplemented", "dbg", "FIXME", "XXX"];
    let crates: Vec<&str> = DIRECTION.iter().map(|(name, _)| *name).collect();
    complain(&crates, |path, line| {
        if path.ends_with("architecture.rs") {
            return None;
        }
        let macros = MARKS
            .iter()
            .take(3)
            .any(|mark| code_of(line).contains(&format!("{mark}!(")));
        let notes = MARKS.iter().skip(3).any(|mark| has_word(line, mark));
        (macros || notes).then(|| String::from("a mark of unfinished work"))
    });
}

#[test]
fn exemptions_from_the_bans_have_a_reason() {
    let mut wrong = Vec::new();
    let mut count = 0_usize;
    for (name, _) in DIRECTION {
        for (path, text) in sources(name) {
            let mut rest = text.as_str();
            while let Some(at) = rest.find("(clippy::disallowed_") {
                count += 1;
                rest = &rest[at + 1..];
                let end = rest.find(")]").unwrap_or(rest.len());
                if !rest[..end].contains("reason") && !path.ends_with("architecture.rs") {
                    wrong.push(format!("{path}: an exemption without a reason"));
                }
            }
        }
    }
    println!("{count} exemptions");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_and_functions_keep_to_their_size() {
    let mut wrong = Vec::new();
    for (name, _) in DIRECTION {
        let limit = if PURE.contains(&name) {
            PURE_FILE_LINES
        } else {
            FILE_LINES
        };
        for (path, text) in sources(name) {
            let lines: Vec<&str> = text.lines().collect();
            let limit = if path.ends_with("tests.rs") {
                FILE_LINES
            } else {
                limit
            };
            if lines.len() > limit {
                wrong.push(format!("{path}: {} lines, more than {limit}", lines.len()));
            }
            for (start, length) in functions(&lines) {
                if length > FUNCTION_LINES {
                    wrong.push(format!("{path}:{}: a function of {length} lines", start + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} places:\n{}", wrong.len(), wrong.join("\n"));
}

/// First line and length of every function, by the indentation that rustfmt gives it.
fn functions(lines: &[&str]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let trimmed = line.trim_start();
        let indent = &line[..line.len() - trimmed.len()];
        let head = code_of(trimmed);
        let words: Vec<&str> = head.split_whitespace().take(5).collect();
        // Macro bodies are not indented by rustfmt.
        if !words.contains(&"fn") || !head.contains('(') || trimmed.starts_with("$(") {
            continue;
        }
        let closing = format!("{indent}}}");
        if let Some(length) = lines[start..].iter().position(|other| *other == closing) {
            let body = lines[start..start + length]
                .iter()
                .any(|other| other.ends_with('{'));
            if body {
                found.push((start, length + 1));
            }
        }
    }
    found
}

#[test]
fn no_tracked_file_names_a_machine() {
    let listed = Command::new("git")
        .current_dir(root())
        .args(["ls-files"])
        .output();
    let files: Vec<PathBuf> = match listed {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(|line| root().join(line))
            .collect(),
        _ => {
            let mut files = Vec::new();
            collect(&root(), &mut files);
            files
        }
    };
    assert!(files.len() > 10, "no files found");
    // Spelled in two parts, so that this file does not name them either.
    let marks = [
        ["/wo", "rk/"],
        ["/tmp", "/wt-"],
        ["/ro", "ot/"],
        ["/ho", "me/"],
        ["/Us", "ers/"],
    ]
    .map(|p| p.concat());
    let mut wrong = Vec::new();
    for path in files {
        let Ok(text) = std::fs::read_to_string(&path) else {
            continue;
        };
        for (index, line) in text.lines().enumerate() {
            if let Some(mark) = marks.iter().find(|mark| names_path(line, mark)) {
                wrong.push(format!("{}:{}: names {mark}", path.display(), index + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether `mark` begins an absolute path in `line` (and is not the middle of a relative one or of an address).
fn names_path(line: &str, mark: &str) -> bool {
    line.match_indices(mark).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '}' | '*' | '/'))
    })
}
