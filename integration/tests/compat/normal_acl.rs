//! What must differ between two deployments in replies about users.

use super::reply::Reply;

/// Commands that Redis 7.0 does not have: left out of lists of commands.
const ADDITIONS: &[&str] = &[
    "client|setinfo",
    "sentinel|get-primary-addr-by-name",
    "sentinel|is-primary-down-by-addr",
    "sentinel|peer",
    "sentinel|primaries",
    "sentinel|primary",
    "sentinel|raft",
];

/// The reply to a case of `acl.txt`.
pub(crate) fn normal(case: &str, reply: Reply) -> Reply {
    match reply {
        // Lists of commands come in the order of a hash table.
        Reply::Many(kind, mut items) if case.starts_with("ACL CAT ") => {
            let is_addition =
                |item: &Reply| matches!(item, Reply::Bulk(_, name) if ADDITIONS.contains(&name.as_str()));
            items.retain(|item| !is_addition(item));
            items.sort_by_key(Reply::shown);
            Reply::Many(kind, items)
        }
        Reply::Bulk(kind, text) if case.starts_with("ACL GENPASS") && is_hexadecimal(&text) => {
            Reply::Bulk(kind, format!("<{} digits>", text.len()))
        }
        Reply::Many(kind, items) => Reply::Many(kind, fields(case, items)),
        Reply::Bulk(kind, text) => Reply::Bulk(kind, refusal(&commands(&text))),
        Reply::Line(kind, text) => Reply::Line(kind, refusal(&text)),
    }
}

fn is_hexadecimal(text: &str) -> bool {
    text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'))
}

/// Entries of ACL LOG have an age.
fn fields(case: &str, items: Vec<Reply>) -> Vec<Reply> {
    let mut all: Vec<Reply> = Vec::new();
    for item in items {
        let is_age = matches!(all.last(), Some(Reply::Bulk(_, key)) if key == "age-seconds");
        all.push(match item {
            Reply::Bulk(kind, _) if is_age => Reply::Bulk(kind, String::from("<age>")),
            Reply::Line(kind, _) if is_age => Reply::Line(kind, String::from("<age>")),
            item => normal(case, item),
        });
    }
    all
}

/// Single commands in canonical rules come in the order of a hash table; 7.2 added fields to lines about clients.
fn commands(text: &str) -> String {
    if text.starts_with("id=") || text.starts_with("txt:id=") {
        let line = text.trim_end();
        return line.split(" lib-name=").next().unwrap_or(line).to_owned();
    }
    if !text.contains("@all") {
        return text.to_owned();
    }
    let spread = text.replace('(', "( ").replace(')', " )");
    let mut words: Vec<&str> = spread.split(' ').collect();
    let single = |word: &&str| word.starts_with(['+', '-']) && !word[1..].starts_with('@');
    for run in words.chunk_by_mut(|a, b| single(a) && single(b)) {
        run.sort_unstable();
    }
    words.join(" ")
}

/// Later versions name the user, and word it in another way.
fn refusal(text: &str) -> String {
    const CHANNEL: &str = "this user has no permissions to access one of the channels used as arguments";
    let text = text.replace(CHANNEL, "No permissions to access a channel");
    let Some((_, rest)) = text.split_once(" has no permissions to ") else {
        return text;
    };
    let code = if text.starts_with("NOPERM ") {
        "NOPERM "
    } else {
        ""
    };
    format!("{code}User <user> has no permissions to {rest}")
}
