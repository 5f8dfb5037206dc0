//! Rules, their canonical form, decisions, files and the log.

use proptest::prelude::*;
use sentinel_proto::command::{TABLE, find_by_full_name};
use sentinel_proto::conf::tokenize;

use super::commands::{CommandSet, units};
use super::*;
use crate::time::MonoTime;

/// Not SHA-256, but different for different short passwords.
fn hash(password: &[u8]) -> Digest {
    let mut digest = [7u8; 32];
    for (at, byte) in password.iter().enumerate() {
        digest[at % 32] = digest[at % 32].wrapping_mul(31).wrapping_add(*byte);
    }
    digest[31] = u8::try_from(password.len() % 251).unwrap();
    digest
}

const POLICY: Policy = Policy {
    hash,
    all_channels: false,
};

fn user(rules: &str) -> User {
    parse_rules(rules.as_bytes(), &POLICY).unwrap_or_else(|error| panic!("{rules}: {error}"))
}

fn line(user: &User) -> String {
    String::from_utf8(user.line()).unwrap()
}

fn check(user: &User, request: &str) -> Result<(), Denied> {
    let words: Vec<&str> = request.split(' ').collect();
    let full = words
        .iter()
        .take(2)
        .copied()
        .collect::<Vec<_>>()
        .join("|")
        .to_lowercase();
    let spec = find_by_full_name(&full)
        .filter(|_| words.len() > 1)
        .or_else(|| find_by_full_name(&words[0].to_lowercase()));
    user.check(spec.unwrap_or_else(|| panic!("no command {request}")), &words)
}

#[test]
fn every_command_has_a_bit() {
    let count: usize = TABLE.iter().map(|spec| spec.subcommands.len() + 1).sum();
    assert_eq!(units().len(), count);
    let mut all = CommandSet::EMPTY;
    for number in 0..units().len() {
        all.set(number, true);
        assert!(all.contains(number), "more commands than bits");
    }
}

/// Rules as given, and as Redis shows them.
const CANONICAL: &[(&str, &str)] = &[
    ("", "off resetchannels -@all"),
    ("reset", "off sanitize-payload resetchannels -@all"),
    ("on nopass ~* &* +@all", "on nopass ~* &* +@all"),
    (
        "ON NOPASS ALLKEYS ALLCHANNELS ALLCOMMANDS skip-sanitize-payload",
        "on nopass skip-sanitize-payload ~* &* +@all",
    ),
    (
        "+ping +auth +hello",
        "off resetchannels -@all +@fast -publish -role",
    ),
    ("+@all -@admin", "off resetchannels +@all -@admin"),
    (
        "+@all +sentinel|masters -sentinel|masters",
        "off resetchannels +@all -sentinel|masters",
    ),
    (
        "+@all -sentinel|masters -ping",
        "off resetchannels +@all -ping -sentinel|masters",
    ),
    (
        "+client|id +client",
        "off resetchannels -@all +@connection -auth +client -command -hello -ping",
    ),
    (
        "+@all -client +client|id",
        "off resetchannels +@all -@connection +auth -client +client|id +command +hello +ping",
    ),
    (
        "+ping|foo +ping|x +ping|X",
        "off resetchannels -@all +ping|foo +ping|x",
    ),
    ("+ping|foo +ping", "off resetchannels -@all +ping"),
    (
        "~k %R~x %W~y %RW~z &foo &bar*",
        "off ~k %R~x %W~y ~z resetchannels &foo &bar* -@all",
    ),
    ("%R", "off %R~ resetchannels -@all"),
    ("%rw~y ~y ~y", "off ~y resetchannels -@all"),
    ("%R~y %W~y", "off ~y resetchannels -@all"),
    ("~ &", "off ~ resetchannels & -@all"),
    ("~a %RW~*", "off ~* resetchannels -@all"),
    ("%R~* %W~*", "off ~* resetchannels -@all"),
    ("%R~* ~a", "off %R~* ~a resetchannels -@all"),
    ("~a ~b ~*", "off ~* resetchannels -@all"),
    ("allkeys resetkeys ~a", "off ~a resetchannels -@all"),
    (
        "(+ping ~a) ( +@all  ~* )",
        "off resetchannels -@all (~a resetchannels -@all +ping) (~* resetchannels +@all)",
    ),
    ("() (+ping) clearselectors", "off resetchannels -@all"),
    ("()", "off resetchannels -@all (resetchannels -@all)"),
    // Unbalanced quotes make it empty.
    ("(+ping \"~a)", "off resetchannels -@all (resetchannels -@all)"),
    (
        "+sentinel|masters +sentinel|get-master-addr-by-name +auth +subscribe",
        "off resetchannels -@all +auth +sentinel|get-master-addr-by-name +sentinel|masters +subscribe",
    ),
    ("+@PUBSUB -Publish", "off resetchannels -@all +@pubsub -publish"),
    ("+@read +@write -@keyspace", "off resetchannels -@all"),
    (
        "on >p >p <p #000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f nopass >p",
        "on #PASS resetchannels -@all",
    ),
];

#[test]
fn canonical_rules_are_those_of_redis_7_0() {
    for (rules, canonical) in CANONICAL {
        let hashed = user("on >p").password_hashes().concat();
        let expected = canonical.replace("PASS", &hashed);
        assert_eq!(line(&user(rules)), format!("user fuzz {expected}"), "{rules}");
    }
}

#[test]
fn whoever_got_back_what_was_taken_is_unrestricted_again() {
    assert!(user("+@all &*").is_unrestricted());
    assert!(!user("+@all -hello &*").is_unrestricted());
    // Found by `printed_rules_give_the_same_decisions`: it is printed as +@all, so it must be that.
    assert!(user("+@all -hello +@fast &*").is_unrestricted());
}

#[test]
fn wrong_rules_are_refused_with_redis_texts() {
    let after_keys = "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have \
                      any effect. Try 'resetkeys' to start with an empty list of patterns";
    let after_channels = "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not \
                          have any effect. Try 'resetchannels' to start with an empty list of channels";
    let unknown = "Unknown command or category name in ACL";
    let no_password = "The password you are trying to remove from the user does not exist";
    let bad_hash =
        "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters";
    let upper = format!("#{}", "A".repeat(64));
    let absent = format!("!{}", "a".repeat(64));
    for (rule, text) in [
        ("foo", "Syntax error"),
        ("|", "Syntax error"),
        (")", "Syntax error"),
        ("%", "Syntax error"),
        ("%~a", "Syntax error"),
        ("%X~a", "Syntax error"),
        ("%RR~a", "Syntax error"),
        ("~a\tb", "Syntax error"),
        ("&a\tb", "Syntax error"),
        ("(on)", "Syntax error"),
        ("(reset)", "Syntax error"),
        ("((+ping))", "Syntax error"),
        ("(+foo)", unknown),
        ("+client|", "Syntax error"),
        ("+ping|a\tb", "Syntax error"),
        ("+", unknown),
        ("-", unknown),
        ("+@", unknown),
        ("-@", unknown),
        ("+|", unknown),
        ("+get", unknown),
        ("+@foo", unknown),
        ("-@foo", unknown),
        ("+@|x", unknown),
        ("+client|foo", unknown),
        ("-client|foo", unknown),
        ("-ping|foo", unknown),
        ("-client|id|x", unknown),
        ("+ping|x|y", unknown),
        (
            "+client|id|x",
            "Allowing first-arg of a subcommand is not supported",
        ),
        ("<nopw", no_password),
        (&absent, no_password),
        ("!nopw", bad_hash),
        ("#abc", bad_hash),
        ("#", bad_hash),
        (&upper, bad_hash),
    ] {
        let error = User::new(b"u", &POLICY)
            .apply(rule.as_bytes(), &POLICY)
            .unwrap_err();
        assert_eq!(error.to_string(), text, "{rule}");
    }
    for (rules, text) in [
        ("~* ~a", after_keys),
        ("allkeys %R~a", after_keys),
        ("%RW~* %R~a", after_keys),
        ("&* &a", after_channels),
    ] {
        let error = parse_rules(rules.as_bytes(), &POLICY).unwrap_err();
        assert_eq!(error.to_string(), text, "{rules}");
    }
}

#[test]
fn memory_is_bounded() {
    for rule in ["~{}", "&{}", ">{}", "+ping|{}", "({})"] {
        let rules: Vec<String> = (0..=MAX_ENTRIES)
            .map(|n| {
                rule.replace(
                    "{}",
                    &if rule == "({})" {
                        String::new()
                    } else {
                        n.to_string()
                    },
                )
            })
            .collect();
        let error = parse_rules(rules.join(" ").as_bytes(), &POLICY).unwrap_err();
        assert_eq!(error, RuleError::TooMany, "{rule}");
    }
}

#[test]
fn requests_are_allowed_and_denied() {
    let channel = |at| Err(Denied::Channel(at));
    let command = Err(Denied::Command);
    let selectors = "(+ping) (+subscribe &a) (+psubscribe &b*) (+publish &c)";
    for (rules, request, expected) in [
        ("", "PING", command),
        ("", "AUTH x", Ok(())),
        ("", "HELLO 3", Ok(())),
        ("-@all", "auth x", Ok(())),
        ("+@all", "ping", Ok(())),
        ("+@all -ping", "PING", command),
        ("+ping|foo", "PING", command),
        ("+ping|foo", "PING FOO", Ok(())),
        ("+ping|foo", "PING bar", command),
        ("+sentinel|masters", "SENTINEL Masters", Ok(())),
        ("+sentinel|masters", "SENTINEL MASTER m", command),
        ("+sentinel -sentinel|masters", "SENTINEL MASTERS", command),
        ("+sentinel -sentinel|masters", "SENTINEL MASTER m", Ok(())),
        ("+@admin", "SENTINEL HELP", Ok(())),
        ("+@slow -@admin", "SENTINEL HELP", command),
        ("+@slow -@admin", "ACL WHOAMI", Ok(())),
        ("+@slow -@admin", "ACL LIST", command),
        ("+@connection", "CLIENT ID", Ok(())),
        ("+@connection", "PING", Ok(())),
        ("+@connection", "INFO", command),
        ("+@all", "SUBSCRIBE a", channel(1)),
        ("+@all &a", "SUBSCRIBE a", Ok(())),
        ("+@all &a", "SUBSCRIBE a b", channel(2)),
        ("+@all &+switch* &foo", "SUBSCRIBE foo +switch-master", Ok(())),
        ("+@all &+switch*", "PSUBSCRIBE +switch*", Ok(())),
        ("+@all &+switch*", "PSUBSCRIBE +switch-master", channel(1)),
        ("+@all &*", "PSUBSCRIBE x*", Ok(())),
        ("+@all &a", "PUBLISH a b", Ok(())),
        ("+@all &a", "PUBLISH b b", channel(1)),
        ("+@all", "UNSUBSCRIBE a", Ok(())),
        ("+@all", "PUNSUBSCRIBE", Ok(())),
        (selectors, "SUBSCRIBE a", Ok(())),
        (selectors, "SUBSCRIBE b", channel(1)),
        (selectors, "PSUBSCRIBE b*", Ok(())),
        (selectors, "PUBLISH c d", Ok(())),
        (selectors, "PUBLISH d d", channel(1)),
        (selectors, "PING", Ok(())),
        (selectors, "INFO", command),
        ("+subscribe (&a)", "SUBSCRIBE a", channel(1)),
        ("+subscribe &a (+subscribe &b)", "SUBSCRIBE a b", channel(2)),
    ] {
        assert_eq!(check(&user(rules), request), expected, "{rules}: {request}");
    }
}

#[test]
fn passwords_are_judged() {
    let two = user("on >a >b");
    assert!(two.accepts(b"a", hash) && two.accepts(b"b", hash) && two.is_proven_by(b"a", hash));
    assert!(!two.accepts(b"c", hash) && !two.accepts(b"", hash));
    let off = user("off >a");
    assert!(!off.accepts(b"a", hash) && !off.is_proven_by(b"a", hash));
    let any = user("on nopass");
    assert!(any.accepts(b"x", hash) && any.is_open());
    assert!(!any.is_proven_by(b"x", hash), "any password proves nothing");
    let none = user("on");
    assert!(!none.accepts(b"", hash) && !none.is_open());
}

#[test]
fn users_are_set_deleted_and_told_apart() {
    let mut users = Users::default();
    users.set(b"b", &["on", "(+ping", "~k)"], &POLICY).unwrap();
    users.set(b"a", &[] as &[&str], &POLICY).unwrap();
    let lines: Vec<String> = users.all().into_iter().map(|user| line(user)).collect();
    assert_eq!(
        lines,
        [
            "user a off resetchannels -@all",
            "user b on resetchannels -@all (~k resetchannels -@all +ping)",
            "user default on nopass ~* &* +@all"
        ]
    );
    let before = users.get(b"b").unwrap().clone();
    let error = users.set(b"b", &["off", "nope", "+foo"], &POLICY).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Error in ACL SETUSER modifier 'nope': Syntax error"
    );
    assert_eq!(users.get(b"b"), Some(&before), "all rules or none");
    let error = users.set(b"b", &["(+ping", "on"], &POLICY).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Unmatched parenthesis in acl selector starting at '(+ping'."
    );
    let error = users.set(b"a b", &["on"], &POLICY).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Usernames can't contain spaces or null characters"
    );
    users.set(b"b", &["off"], &POLICY).unwrap();
    assert!(users.get(b"b").unwrap().is_same(&before));
    assert_eq!(users.delete(&["x", "b", "default"]), None);
    assert_eq!(users.delete(&["x", "b", "b"]), Some(1));
    users.set(b"b", &["on"], &POLICY).unwrap();
    assert!(
        !users.get(b"b").unwrap().is_same(&before),
        "another user of the same name"
    );
}

#[test]
fn requirepass_and_declarations_make_the_default_user() {
    let mut users = Users::default();
    users.set_default_password(Some(b"x"), &POLICY);
    let default = users.default_user();
    assert!(default.accepts(b"x", hash) && !default.is_open() && default.is_unrestricted());
    users.set_default_password(None, &POLICY);
    assert!(users.default_user().is_open());
    users
        .declare(b"default", &["on", ">y", "+ping"], &POLICY)
        .unwrap();
    let hashed = user(">y").password_hashes().concat();
    assert_eq!(
        line(users.default_user()),
        format!("user default on sanitize-payload #{hashed} resetchannels -@all +ping")
    );
    users.declare(b"default", &["foo"], &POLICY).unwrap_err();
    assert!(users.default_user().accepts(b"y", hash), "nothing changed");
}

#[test]
fn new_users_and_selectors_may_be_given_all_channels() {
    let policy = Policy {
        all_channels: true,
        ..POLICY
    };
    let mut users = Users::default();
    users.declare(b"a", &["on", "(+ping)"], &policy).unwrap();
    assert_eq!(
        line(users.get(b"a").unwrap()),
        "user a on &* -@all (&* -@all +ping)"
    );
    users
        .set(b"a", &["resetchannels", "&x", "reset"], &policy)
        .unwrap();
    assert_eq!(
        line(users.get(b"a").unwrap()),
        "user a off sanitize-payload &* -@all"
    );
}

#[test]
fn files_are_read_whole_or_not_at_all() {
    let good = "user a on  +ping \r\n\n\tuser default on >x +@all\nuser \"b\" on (+ping ~a) (  +info  )";
    let users = load("f", good.as_bytes(), &POLICY).unwrap();
    let lines: Vec<String> = users.all().into_iter().map(|user| line(user)).collect();
    let hashed = user(">x").password_hashes().concat();
    assert_eq!(
        lines,
        [
            "user \"b\" on resetchannels -@all (~a resetchannels -@all +ping) (resetchannels -@all +info)"
                .to_owned(),
            "user a on resetchannels -@all +ping".to_owned(),
            format!("user default on #{hashed} resetchannels +@all"),
        ]
    );
    let end = "WARNING: ACL errors detected, no change to the previously active ACL rules was performed";
    for (text, errors) in [
        (
            "usr a on",
            "f:1 should start with user keyword followed by the username. ",
        ),
        (
            "\n# c",
            "f:2 should start with user keyword followed by the username. ",
        ),
        (
            "user",
            "f:1 should start with user keyword followed by the username. ",
        ),
        (
            "user a on\nuser a off",
            "WARNING: Duplicate user 'a' found on line 2. ",
        ),
        ("user a foo bar", "f:1: Syntax error. "),
        (
            "user a +foo (+bar) x",
            "f:1: Error in applying operation '+foo': Unknown command or category name in ACL. \
             f:1: Error in applying operation '(+bar)': Unknown command or category name in ACL. f:1: Syntax error. ",
        ),
        (
            "user a (+ping",
            "f:1: Unmatched parenthesis in selector definition. ",
        ),
        ("user a\tb on", "f:1: username contains invalid characters. "),
    ] {
        let error = load("f", text.as_bytes(), &POLICY).unwrap_err();
        assert_eq!(error, format!("{errors}{end}"), "{text:?}");
    }
}

#[test]
fn taking_over_a_file_keeps_those_who_stay() {
    let mut users = load("f", b"user a on\nuser b on\nuser default off", &POLICY).unwrap();
    let (a, b) = (users.get(b"a").unwrap().clone(), users.get(b"b").unwrap().clone());
    users.replace(&load("f", b"user c on\nuser a off", &POLICY).unwrap());
    assert!(users.get(b"a").unwrap().is_same(&a) && !users.get(b"a").unwrap().is_enabled());
    assert!(users.get(b"b").is_none() && users.get(b"c").is_some());
    assert!(users.default_user().is_open(), "a file that does not name it");
    users.replace(&load("f", b"user b on", &POLICY).unwrap());
    assert!(!users.get(b"b").unwrap().is_same(&b));
}

#[test]
fn similar_refusals_are_counted_together() {
    let denial = |object: &str| Denial::new(Reason::Command, object.as_bytes(), b"u");
    let mut log = AclLog::new(3);
    log.add(denial("ping"), "one".into(), MonoTime(0));
    log.add(denial("info"), "two".into(), MonoTime(1));
    log.add(denial("ping"), "three".into(), MonoTime(60_000));
    let shown = |log: &AclLog| -> Vec<(Vec<u8>, u64, String)> {
        let entries = log.newest(9).into_iter();
        entries.map(|e| (e.denial.object, e.count, e.client)).collect()
    };
    assert_eq!(
        shown(&log),
        [
            (b"ping".to_vec(), 2, "three".to_owned()),
            (b"info".to_vec(), 1, "two".to_owned())
        ]
    );
    log.add(denial("info"), "late".into(), MonoTime(60_002));
    log.add(denial("role"), "four".into(), MonoTime(60_003));
    let objects: Vec<Vec<u8>> = shown(&log).into_iter().map(|(object, ..)| object).collect();
    assert_eq!(objects, [b"role".to_vec(), b"info".to_vec(), b"ping".to_vec()]);
    assert_eq!(log.newest(1).len(), 1);
    log.add(
        Denial::new(Reason::Auth, &[b'x'; 5000], &[b'y'; 5000]),
        String::new(),
        MonoTime(60_004),
    );
    assert_eq!(log.newest(1)[0].denial.object.len(), 1024);
    log.reset();
    assert!(log.newest(9).is_empty());
    let mut none = AclLog::new(0);
    none.add(denial("ping"), String::new(), MonoTime(0));
    assert!(none.newest(9).is_empty());
}

/// One word of rules: often a good one.
fn any_rule() -> impl Strategy<Value = Vec<u8>> {
    let names: Vec<String> = units().iter().map(|unit| unit.spec.name.to_owned()).collect();
    let commands = (prop::bool::ANY, prop::sample::select(names))
        .prop_map(|(adds, name)| format!("{}{name}", if adds { "+" } else { "-" }).into_bytes());
    let categories = (prop::bool::ANY, prop::sample::select(CATEGORIES.to_vec()))
        .prop_map(|(adds, name)| format!("{}@{name}", if adds { "+" } else { "-" }).into_bytes());
    let patterns = ("[~&]|%R~|%W~|>|\\+ping\\|", "[a-c*+()\"'\\\\]{0,3}")
        .prop_map(|(kind, text)| format!("{kind}{text}").into_bytes());
    let words = prop::sample::select(vec![
        "on",
        "off",
        "nopass",
        "reset",
        "resetkeys",
        "resetchannels",
        "allchannels",
        "allkeys",
        "+@all",
        "-@all",
        "resetpass",
        "clearselectors",
        "sanitize-payload",
        "skip-sanitize-payload",
        "(",
        ")",
        "()",
    ])
    .prop_map(|word| word.as_bytes().to_vec());
    prop_oneof![3 => commands, 3 => categories, 3 => patterns, 2 => words, 1 => any::<Vec<u8>>()]
}

/// What a user may do, whatever the rules that say so.
fn decisions(user: &User) -> Vec<bool> {
    let mut all = vec![
        user.enabled,
        user.nopass,
        user.accepts(b"a", hash),
        user.is_unrestricted(),
    ];
    for unit in units() {
        let words: Vec<&str> = unit.spec.name.split('|').collect();
        all.push(user.check(unit.spec, &words).is_ok());
    }
    for name in ["subscribe", "psubscribe", "publish", "ping"] {
        for word in ["a", "b", "c*", "*", "a\"", "(", ")"] {
            all.push(
                user.check(find_by_full_name(name).unwrap(), &[name, word])
                    .is_ok(),
            );
        }
    }
    all
}

proptest! {
    #[test]
    fn printed_rules_give_the_same_decisions(
        root in prop::collection::vec(any_rule(), 0..12),
        inner in prop::collection::vec(any_rule(), 0..6),
    ) {
        let mut user = User::new(b"u", &POLICY);
        for rule in &root {
            let _ = user.apply(rule, &POLICY);
        }
        let selector = [b"(", inner.join(&b' ').as_slice(), b")"].concat();
        let _ = user.apply(&selector, &POLICY);
        let line = user.line();
        let read = load("f", &line, &POLICY).unwrap();
        let again = read.get(b"u").unwrap();
        prop_assert_eq!(decisions(&user), decisions(again), "{}", String::from_utf8_lossy(&line));
        prop_assert_eq!(&line, &again.line());
        // And as a line of sentinel.conf, where it is text.
        if line.is_ascii() && !line.contains(&0) {
            let words = tokenize(&read.config_lines()[1]).unwrap().remove(0).words;
            let mut users = Users::default();
            users.declare(words[1].as_bytes(), &words[2..], &POLICY).unwrap();
            prop_assert_eq!(&line, &users.get(b"u").unwrap().line());
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(line: Vec<u8>) {
        if let Ok(user) = parse_rules(&line, &POLICY) {
            let _ = (decisions(&user), user.line());
        }
        let _ = load("f", &line, &POLICY);
    }

    #[test]
    fn any_words_are_read_or_refused(words in prop::collection::vec(any_rule(), 0..20)) {
        let line = words.join(&b' ');
        let _ = parse_rules(&line, &POLICY).map(|user| user.line());
    }
}
