//! Arguments of the commands, as COMMAND DOCS tells them: redis-cli makes its hints from these.
//!
//! ```text
//! argument := name ':' type ['=' TOKEN] ['@' since] { '?' optional | '*' multiple | '+' multiple with its token }
//!             [ '(' argument { ' ' argument } ')' ]
//! ```

use crate::resp::Frame;

/// By full name of the command, sorted.
#[rustfmt::skip]
const ARGUMENTS: &[(&str, &str)] = &[
    ("acl|cat", "categoryname:string?"),
    ("acl|deluser", "username:string*"),
    ("acl|dryrun", "username:string command:string arg:string?*"),
    ("acl|genpass", "bits:integer?"),
    ("acl|getuser", "username:string"),
    ("acl|log", "operation:oneof?(count:integer reset:pure-token=RESET)"),
    ("acl|setuser", "username:string rule:string?*"),
    ("auth", "username:string@6.0.0? password:string"),
    ("client|caching", "mode:oneof(yes:pure-token=YES no:pure-token=NO)"),
    ("client|kill", "filter:oneof(ip:port:string new-format:oneof*(client-id:integer=ID@2.8.12? normal_master_slave_pubsub:oneof=TYPE@2.8.12?(normal:pure-token=NORMAL master:pure-token=MASTER@3.2.0 slave:pure-token=SLAVE replica:pure-token=REPLICA@5.0.0 pubsub:pure-token=PUBSUB) username:string=USER? ip:port:string=ADDR? ip:port:string=LADDR@6.2.0? yes/no:string=SKIPME?))"),
    ("client|list", "normal_master_replica_pubsub:oneof=TYPE@5.0.0?(normal:pure-token=NORMAL master:pure-token=MASTER replica:pure-token=REPLICA pubsub:pure-token=PUBSUB) id:block=ID@6.2.0?(client-id:integer*)"),
    ("client|no-evict", "enabled:oneof(on:pure-token=ON off:pure-token=OFF)"),
    ("client|pause", "timeout:integer mode:oneof@6.2.0?(write:pure-token=WRITE all:pure-token=ALL)"),
    ("client|reply", "on_off_skip:oneof(on:pure-token=ON off:pure-token=OFF skip:pure-token=SKIP)"),
    ("client|setinfo", "attr:oneof(libname:string=LIB-NAME libver:string=LIB-VER)"),
    ("client|setname", "connection-name:string"),
    ("client|tracking", "status:oneof(on:pure-token=ON off:pure-token=OFF) client-id:integer=REDIRECT? prefix:string=PREFIX?*+ bcast:pure-token=BCAST? optin:pure-token=OPTIN? optout:pure-token=OPTOUT? noloop:pure-token=NOLOOP?"),
    ("client|unblock", "client-id:integer timeout_error:oneof?(timeout:pure-token=TIMEOUT error:pure-token=ERROR)"),
    ("command|docs", "command-name:string?*"),
    ("command|info", "command-name:string?*"),
    ("command|list", "filterby:oneof=FILTERBY?(module-name:string=MODULE category:string=ACLCAT pattern:pattern=PATTERN)"),
    ("hello", "arguments:block?(protover:integer username_password:block=AUTH?(username:string password:string) clientname:string=SETNAME?)"),
    ("info", "section:string?*"),
    ("ping", "message:string?"),
    ("psubscribe", "pattern:block*(pattern:pattern)"),
    ("publish", "channel:string message:string"),
    ("punsubscribe", "pattern:pattern?*"),
    ("sentinel|ckquorum", "master-name:string"),
    ("sentinel|config", "set_or_get:oneof(set_param_value:block=SET*(parameter:string value:string) parameter:string=GET*)"),
    ("sentinel|debug", "parameter_value:block*(parameter:string value:string)"),
    ("sentinel|failover", "master-name:string coordinated:pure-token=COORDINATED?"),
    ("sentinel|get-master-addr-by-name", "master-name:string"),
    ("sentinel|get-primary-addr-by-name", "primary-name:string"),
    ("sentinel|info-cache", "nodename:string*"),
    ("sentinel|is-master-down-by-addr", "ip:string port:integer current-epoch:integer runid:string"),
    ("sentinel|is-primary-down-by-addr", "ip:string port:integer current-epoch:integer runid:string"),
    ("sentinel|master", "master-name:string"),
    ("sentinel|monitor", "name:string ip:string port:integer quorum:integer"),
    ("sentinel|primary", "primary-name:string"),
    ("sentinel|remove", "master-name:string"),
    ("sentinel|replicas", "master-name:string"),
    ("sentinel|reset", "pattern:pattern"),
    ("sentinel|sentinels", "master-name:string"),
    ("sentinel|set", "master-name:string option_value:block*(option:string value:string)"),
    ("sentinel|simulate-failure", "mode:oneof?*(crash-after-election:pure-token crash-after-promotion:pure-token help:pure-token)"),
    ("sentinel|slaves", "master-name:string"),
    ("shutdown", "nosave_save:oneof?(nosave:pure-token=NOSAVE save:pure-token=SAVE) now:pure-token=NOW@7.0.0? force:pure-token=FORCE@7.0.0? abort:pure-token=ABORT@7.0.0?"),
    ("subscribe", "channel:string*"),
    ("unsubscribe", "channel:string?*"),
];

/// The value of `arguments`; `None` for a command that takes none.
pub(super) fn arguments(command: &str) -> Option<Frame> {
    let at = ARGUMENTS.binary_search_by_key(&command, |(name, _)| name).ok()?;
    let (_, text) = ARGUMENTS.get(at)?;
    Some(Frame::Array(list(text)))
}

/// Arguments separated by blanks outside of parentheses.
fn list(text: &str) -> Vec<Frame> {
    let mut depth = 0usize;
    let outside = |c: char| {
        match c {
            '(' => depth = depth.saturating_add(1),
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ' ' && depth == 0
    };
    text.split(outside).map(argument).collect()
}

fn argument(text: &str) -> Frame {
    let (text, inner) = match text.split_once('(') {
        Some((outer, inner)) => (outer, inner.strip_suffix(')')),
        None => (text, None),
    };
    let (text, flags) = text.split_at(text.find(['?', '*', '+']).unwrap_or(text.len()));
    let (text, since) = cut(text, '@');
    let (text, token) = cut(text, '=');
    let (name, kind) = text.rsplit_once(':').unwrap_or((text, "string"));
    let mut fields: Vec<(Frame, Frame)> = vec![
        ("name".into(), Frame::bulk(name)),
        ("type".into(), Frame::bulk(kind)),
    ];
    if let Some(token) = token {
        fields.push(("token".into(), Frame::bulk(token)));
    }
    if let Some(since) = since {
        fields.push(("since".into(), Frame::bulk(since)));
    }
    if !flags.is_empty() {
        let flag = |flag: char| {
            Frame::simple(match flag {
                '?' => "optional",
                '*' => "multiple",
                _ => "multiple_token",
            })
        };
        fields.push(("flags".into(), Frame::Set(flags.chars().map(flag).collect())));
    }
    if let Some(inner) = inner {
        fields.push(("arguments".into(), Frame::Array(list(inner))));
    }
    Frame::Map(fields)
}

fn cut(text: &str, at: char) -> (&str, Option<&str>) {
    match text.split_once(at) {
        Some((text, value)) => (text, Some(value)),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::find_by_full_name;
    use crate::resp::Protocol;

    #[test]
    fn every_row_is_of_a_command_and_in_order() {
        assert!(ARGUMENTS.windows(2).all(|pair| pair[0].0 < pair[1].0));
        for (name, _) in ARGUMENTS {
            assert!(find_by_full_name(name).is_some(), "{name}");
        }
    }

    #[test]
    fn arguments_are_told_as_redis_does() {
        let text = |frame: Frame| {
            let bytes = frame.to_bytes(Protocol::Resp2);
            String::from_utf8_lossy(&bytes).replace("\r\n", " ")
        };
        assert_eq!(
            text(argument("ip:port:string=LADDR@6.2.0?")),
            "*10 $4 name $7 ip:port $4 type $6 string $5 token $5 LADDR $5 since $5 6.2.0 $5 flags *1 +optional "
        );
        assert_eq!(
            text(argument("o:block*(a:string b:oneof(c:pure-token=C))")),
            "*8 $4 name $1 o $4 type $5 block $5 flags *1 +multiple $9 arguments *2 *4 $4 name $1 a $4 type $6 string \
             *6 $4 name $1 b $4 type $5 oneof $9 arguments *1 *6 $4 name $1 c $4 type $10 pure-token $5 token $1 C "
        );
        assert_eq!(
            arguments("ping").map(|a| a.elements().map_or(0, <[Frame]>::len)),
            Some(1)
        );
        assert_eq!(arguments("role"), None);
    }
}
