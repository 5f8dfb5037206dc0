//! ACL rules: what is printed of a user means the same when it is read again, from an ACL file and from sentinel.conf.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sentinel_core::acl::{Digest, Policy, User, Users, load, parse_rules};
use sentinel_fuzz::within;
use sentinel_proto::command::TABLE;
use sentinel_proto::conf::tokenize;

/// Not SHA-256: only different for most passwords.
fn hash(password: &[u8]) -> Digest {
    let mut digest = [0u8; 32];
    for (at, byte) in password.iter().enumerate() {
        let place = &mut digest[at % 32];
        *place = place.rotate_left(3) ^ byte;
    }
    digest
}

/// What a user may do.
fn decisions(user: &User) -> Vec<bool> {
    let mut all = vec![
        user.is_enabled(),
        user.takes_any_password(),
        user.accepts(b"a", hash),
    ];
    for spec in TABLE {
        for spec in [spec].into_iter().chain(spec.subcommands) {
            let mut words: Vec<&str> = spec.name.split('|').collect();
            all.push(user.check(spec, &words).is_ok());
            words.push("a");
            all.push(user.check(spec, &words).is_ok());
        }
    }
    all
}

fuzz_target!(|data: &[u8]| {
    let [first, line @ ..] = data else { return };
    let policy = Policy {
        hash,
        all_channels: first & 1 == 1,
    };
    let bound = 1_000 * line.len() + 65_536;
    let _ = within(bound, || load("file", line, &policy).map(|users| users.lines()));
    let Ok(user) = within(bound, || parse_rules(line, &policy)) else {
        return;
    };
    let printed = user.line();
    let users = load("file", &printed, &policy).expect("own lines can be read");
    let again = users.get(user.name()).expect("the same name");
    assert_eq!(again.line(), printed);
    assert_eq!(decisions(again), decisions(&user));
    // sentinel.conf is text.
    if std::str::from_utf8(&printed).is_err() || printed.contains(&0) {
        return;
    }
    let text = users.config_lines().join("\n");
    let mut declared = Users::default();
    for line in tokenize(&text).expect("own lines can be read") {
        let [_, name, rules @ ..] = &line.words[..] else {
            panic!("{line:?}")
        };
        declared
            .declare(name.as_bytes(), rules, &policy)
            .expect("own rules are right");
    }
    assert_eq!(declared.get(user.name()).map(|user| user.line()), Some(printed));
});
