use super::*;

fn at(text: &str) -> HostPort {
    text.parse().unwrap()
}

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn names(entries: &[(&str, &[&str])]) -> Names {
    let mut names = Names::default();
    for (host, found) in entries {
        names.note(host, &ips(found));
    }
    names
}

#[test]
fn spellings_of_one_address_are_the_same() {
    let names = names(&[
        ("db1", &["10.0.0.1", "::1"]),
        ("Master.local", &["10.0.0.1"]),
        ("db2", &["10.0.0.2"]),
    ]);
    for (a, b, expected) in [
        ("db1:1", "db1:1", true),
        ("db1:1", "DB1:1", true),
        ("db1:1", "db1:2", false),
        ("db1:1", "10.0.0.1:1", true),
        ("db1:1", "[::1]:1", true),
        ("db1:1", "[::ffff:10.0.0.1]:1", true),
        ("db1:1", "master.LOCAL:1", true),
        ("db1:1", "db2:1", false),
        ("10.0.0.1:1", "10.0.0.2:1", false),
    ] {
        assert_eq!(names.same(&at(a), &at(b)), Some(expected), "{a} and {b}");
        assert_eq!(names.same(&at(b), &at(a)), Some(expected), "{b} and {a}");
    }
}

#[test]
fn a_name_is_undecided_until_looked_up_and_text_when_it_never_resolved() {
    let mut names = names(&[("db1", &["10.0.0.1"])]);
    let known = [at("db1:1"), at("10.0.0.2:1")];
    assert_eq!(names.spelling(&at("gone:1"), &known), Spelling::Undecided);
    assert!(names.note("gone", &[]), "the end of the first lookup is news");
    assert_eq!(names.spelling(&at("gone:1"), &known), Spelling::New);
    assert_eq!(names.same(&at("gone:1"), &at("GONE:1")), Some(true));
    assert_eq!(
        names.spelling(&at("10.0.0.1:1"), &known),
        Spelling::Known(&known[0])
    );
    assert_eq!(
        names.spelling(&at("10.0.0.2:1"), &known),
        Spelling::Known(&known[1])
    );
}

#[test]
fn a_failed_lookup_keeps_the_last_good_address() {
    let mut names = names(&[("db1", &["10.0.0.1"])]);
    assert!(!names.note("db1", &[]));
    assert_eq!(names.with_ip(&at("db1:1")), at("10.0.0.1:1"));
    assert!(names.note("db1", &ips(&["10.0.0.9"])));
    assert_eq!(names.with_ip(&at("db1:1")), at("10.0.0.9:1"));
    assert_eq!(names.with_ip(&at("other:1")), at("other:1"));
    assert_eq!(names.with_ip(&at("[::1]:1")), at("[::1]:1"));
}

#[test]
fn the_address_in_use_stays_preferred_while_it_exists() {
    let mut names = names(&[("db1", &["::1", "127.0.0.1", "10.0.0.1"])]);
    assert!(names.prefer("DB1", "127.0.0.1".parse().unwrap()));
    assert!(!names.prefer("db1", "127.0.0.1".parse().unwrap()));
    assert!(!names.prefer("db1", "10.9.9.9".parse().unwrap()));
    assert_eq!(names.ips("db1"), Some(ips(&["127.0.0.1", "::1", "10.0.0.1"])));
    assert!(!names.note("db1", &ips(&["::1", "127.0.0.1", "10.0.0.1"])));
    names.note("db1", &ips(&["::1", "10.0.0.1"]));
    assert_eq!(names.ips("db1"), Some(ips(&["::1", "10.0.0.1"])));
}
