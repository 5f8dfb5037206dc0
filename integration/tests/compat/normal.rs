//! What must differ between two deployments is replaced by a name for it; nothing else is.

use super::reply::Reply;

/// Fields whose value is an age, an identity of a process or a place in a stream: replaced where it is a number.
const MEASURED: &[&str] = &[
    "last-ping-sent",
    "last-ok-ping-reply",
    "last-ping-reply",
    "info-refresh",
    "role-reported-time",
    "last-hello-message",
    "s-down-time",
    "o-down-time",
    "slave-repl-offset",
    // A request may be on its way.
    "link-pending-commands",
    // HELLO's number of the connection.
    "id",
];

/// Fields of CLIENT LIST and CLIENT INFO that are measured.
const CLIENT_MEASURED: &[&str] = &[
    "id",
    "addr",
    "laddr",
    "fd",
    "age",
    "idle",
    "qbuf",
    "qbuf-free",
    "argv-mem",
    "multi-mem",
    "rbs",
    "rbp",
    "obl",
    "oll",
    "omem",
    "tot-mem",
];

/// Names for the ports of one deployment.
pub(crate) struct Names {
    ports: Vec<(u16, String)>,
}

impl Names {
    pub(crate) fn new(servers: &[u16], sentinels: &[u16]) -> Self {
        let named = |kind: &'static str| move |(at, port): (usize, &u16)| (*port, format!("<{kind}-{at}>"));
        let servers = servers.iter().enumerate().map(named("server"));
        let sentinels = sentinels.iter().enumerate().map(named("sentinel"));
        Self {
            ports: servers.chain(sentinels).collect(),
        }
    }

    /// A command of the list for this deployment.
    pub(crate) fn fill(&self, command: &str) -> String {
        self.ports.iter().fold(command.to_owned(), |text, (port, name)| {
            text.replace(name, &port.to_string())
        })
    }

    /// The reply with names for what differs.
    pub(crate) fn normal(&self, reply: &Reply) -> Reply {
        match reply {
            Reply::Line(kind, text) => Reply::Line(*kind, self.text(text)),
            Reply::Bulk(kind, text) => Reply::Bulk(*kind, self.bulk(text)),
            Reply::Many(kind, items) => Reply::Many(*kind, self.items(items)),
        }
    }

    fn items(&self, items: &[Reply]) -> Vec<Reply> {
        let mut normal: Vec<Reply> = Vec::new();
        for item in items {
            let key = match normal.last() {
                Some(Reply::Bulk(_, key)) => key.clone(),
                _ => String::new(),
            };
            normal.push(match item {
                Reply::Bulk(kind, text) if MEASURED.contains(&key.as_str()) && is_number(text) => {
                    Reply::Bulk(*kind, String::from("<n>"))
                }
                Reply::Line(b':', _) if MEASURED.contains(&key.as_str()) => {
                    Reply::Line(b':', String::from("<n>"))
                }
                Reply::Bulk(kind, _) if key == "version" => Reply::Bulk(*kind, String::from("<version>")),
                item => self.normal(item),
            });
        }
        // INFO-CACHE: an age before its text.
        if let [Reply::Line(b':', age), Reply::Bulk(_, text)] = normal.as_mut_slice() {
            if text.starts_with("# Server") {
                *age = String::from("<n>");
            }
        }
        // Lists of instances come in the order of a hash table.
        let described = |item: &Reply| {
            matches!(item, Reply::Many(_, fields)
                if matches!(fields.first(), Some(Reply::Bulk(_, key)) if key == "name"))
        };
        if normal.iter().all(described) {
            normal.sort_by_key(Reply::shown);
        }
        normal
    }

    fn bulk(&self, text: &str) -> String {
        if text.starts_with("# ") {
            self.info(text)
        } else if let Some(line) = text.strip_prefix("txt:id=") {
            format!("txt:{}", self.bulk(&format!("id={line}")))
        } else if text.starts_with("id=") {
            let lines = text.lines().map(client_line);
            lines.fold(String::new(), |all, line| all + &line + "\n")
        } else {
            self.text(text)
        }
    }

    /// INFO: every line; values only of the section that is about sentinels.
    fn info(&self, text: &str) -> String {
        let mut sentinel = false;
        let mut lines: Vec<String> = Vec::new();
        for line in text.split("\r\n") {
            if line.starts_with("# ") {
                sentinel = line == "# Sentinel";
            }
            lines.push(match line.split_once(':') {
                Some((key, _)) if !sentinel => format!("{key}:"),
                _ => self.text(line),
            });
        }
        lines.join("\n")
    }

    /// Ids and ports inside a text.
    fn text(&self, text: &str) -> String {
        let mut out = String::new();
        let mut word = String::new();
        for character in text.chars().chain(['\0']) {
            if character.is_ascii_alphanumeric() {
                word.push(character);
                continue;
            }
            out.push_str(&self.word(&word));
            word.clear();
            if character != '\0' {
                out.push(character);
            }
        }
        out
    }

    fn word(&self, word: &str) -> String {
        if word.len() == 40 && word.chars().all(|c| c.is_ascii_hexdigit()) {
            return String::from("<id>");
        }
        let port = word.parse::<u16>().ok();
        let named = port.and_then(|port| self.ports.iter().find(|(known, _)| *known == port));
        named.map_or_else(|| word.to_owned(), |(_, name)| name.clone())
    }
}

fn is_number(text: &str) -> bool {
    text.parse::<i64>().is_ok()
}

fn client_line(line: &str) -> String {
    let field = |field: &str| match field.split_once('=') {
        Some((key, _)) if CLIENT_MEASURED.contains(&key) => format!("{key}=<n>"),
        _ => field.to_owned(),
    };
    line.split(' ').map(field).collect::<Vec<_>>().join(" ")
}
