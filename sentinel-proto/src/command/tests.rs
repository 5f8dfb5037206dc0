use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::resp::{Protocol, split_words};

fn words(line: &str) -> Vec<Bytes> {
    let words = split_words(line.as_bytes()).expect("balanced quotes");
    words.into_iter().map(Bytes::from).collect()
}

fn parse(line: &str) -> Result<Request, ErrorReply> {
    Request::parse(&words(line))
}

/// The error that is the reply, when nothing else is wrong.
fn refusal(line: &str) -> Option<ErrorReply> {
    use SentinelRequest::{ConfigSet, Debug, Set, SimulateFailure};
    match parse(line) {
        Err(error) => Some(error),
        Ok(Request::Sentinel(Set { malformed, .. } | ConfigSet(_, malformed) | Debug(_, malformed))) => {
            malformed
        }
        Ok(Request::Sentinel(SimulateFailure(_, SimulationReply::Unknown))) => {
            Some(ErrorReply::unknown_simulation())
        }
        Ok(_) => None,
    }
}

fn sentinel(line: &str) -> SentinelRequest {
    match parse(line) {
        Ok(Request::Sentinel(request)) => request,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn errors_are_those_of_a_real_sentinel() {
    let transcript = include_str!("../../testdata/errors-7.0.15.txt");
    let lines: Vec<&str> = transcript.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(lines.len() > 80);
    for pair in lines.chunks(2) {
        let [request, reply] = pair else {
            panic!("odd number of lines");
        };
        let error = refusal(request).unwrap_or_else(|| panic!("{request}: no error instead of {reply}"));
        assert_eq!(format!("-{error}"), *reply, "{request}");
    }
}

#[test]
fn arguments_beyond_the_cut_are_left_out() {
    let long = "y".repeat(200);
    let error = parse(&format!("{long} {long} {long}")).unwrap_err().to_string();
    let name = "y".repeat(128);
    assert_eq!(
        error,
        format!("ERR unknown command '{name}', with args beginning with: '{name}' ")
    );
    let error = parse("nope 12345 x").unwrap_err().to_string();
    assert!(error.ends_with("'12345' 'x' "), "{error}");
}

#[test]
fn words_and_case_of_commands_do_not_matter() {
    assert_eq!(parse("ping"), Ok(Request::Ping(None)));
    assert_eq!(parse("PiNg \"a b\""), Ok(Request::Ping(Some("a b".into()))));
    for line in ["SENTINEL slaves m", "sentinel REPLICAS m"] {
        assert_eq!(sentinel(line), SentinelRequest::Replicas("m".to_owned()));
    }
    for line in [
        "SENTINEL get-master-addr-by-name m",
        "sentinel GET-PRIMARY-ADDR-BY-NAME m",
    ] {
        assert_eq!(sentinel(line), SentinelRequest::GetMasterAddr("m".to_owned()));
    }
}

#[test]
fn hello_takes_its_options_in_any_order() {
    let expected = HelloRequest {
        protocol: Some(Protocol::Resp3),
        auth: Some(("u".into(), "p".into())),
        set_name: Some("n".into()),
    };
    for line in ["HELLO 3 AUTH u p SETNAME n", "hello 3 setname n auth u p"] {
        assert_eq!(parse(line), Ok(Request::Hello(expected.clone())));
    }
    assert_eq!(parse("HELLO"), Ok(Request::Hello(HelloRequest::default())));
    let error = parse("HELLO 2 SETNAME \"a b\"").unwrap_err();
    assert_eq!(error, ErrorReply::client_name());
}

#[test]
fn info_sections_are_chosen_by_name() {
    let sections = |line: &str| match parse(line) {
        Ok(Request::Info(sections)) => sections,
        other => panic!("{line}: {other:?}"),
    };
    for line in ["INFO", "INFO all", "INFO DEFAULT", "info nope everything"] {
        assert_eq!(sections(line), InfoSections::ALL, "{line}");
    }
    assert_eq!(sections("INFO replication"), InfoSections::default());
    let two = InfoSections {
        server: true,
        sentinel: true,
        ..InfoSections::default()
    };
    assert_eq!(sections("INFO Sentinel memory SERVER"), two);
}

#[test]
fn client_subcommands_are_typed() {
    let client = |line: &str| match parse(line) {
        Ok(Request::Client(request)) => request,
        other => panic!("{line}: {other:?}"),
    };
    assert_eq!(
        client("CLIENT SETINFO lib-ver 1.2"),
        ClientRequest::SetLibVersion("1.2".into())
    );
    assert_eq!(
        client("client setname \"\""),
        ClientRequest::SetName(Bytes::new())
    );
    let filter = ClientFilter {
        ids: Some(vec![1, 2]),
        kind: None,
    };
    assert_eq!(client("CLIENT LIST ID 1 2"), ClientRequest::List(filter));
    let filter = KillFilter {
        id: Some(7),
        kind: Some(ClientKind::PubSub),
        ..KillFilter::default()
    };
    assert_eq!(
        client("CLIENT KILL ID 7 TYPE pubsub SKIPME no"),
        ClientRequest::Kill(filter)
    );
    assert_eq!(
        client("CLIENT KILL 127.0.0.1:5"),
        ClientRequest::KillAddress("127.0.0.1:5".to_owned())
    );
    for (line, text) in [
        ("CLIENT SETINFO nope 1", "ERR Unrecognized option 'nope'"),
        (
            "CLIENT SETINFO LIB-NAME \"a b\"",
            "ERR lib-name cannot contain spaces, newlines or special characters.",
        ),
        ("CLIENT KILL ID 0", "ERR client-id should be greater than 0"),
        ("CLIENT LIST ID x", "ERR Invalid client ID"),
        ("CLIENT KILL ID 1 TYPE", "ERR syntax error"),
        ("CLIENT KILL MAXAGE 0", "ERR maxage should be greater than 0"),
        (
            "CLIENT KILL MAXAGE x",
            "ERR maxage is not an integer or out of range",
        ),
    ] {
        assert_eq!(parse(line).unwrap_err().to_string(), text, "{line}");
    }
}

#[test]
fn set_pairs_are_read_in_order() {
    let SentinelRequest::Set {
        master,
        pairs,
        malformed: None,
    } = sentinel("SENTINEL SET m Quorum 3 rename-command A B auth-pass \"\"")
    else {
        panic!("not SET");
    };
    assert_eq!(master, "m");
    let seen: Vec<(&str, &str, Option<&str>)> = pairs
        .iter()
        .map(|pair| (pair.key.as_str(), pair.value.as_str(), pair.second.as_deref()))
        .collect();
    assert_eq!(
        seen,
        [
            ("quorum", "3", None),
            ("rename-command", "A", Some("B")),
            ("auth-pass", "", None)
        ]
    );
    assert_eq!(pairs[0].option, "Quorum");
    for (line, option) in [
        ("SENTINEL SET m foo 1", "foo"),
        ("SENTINEL SET m quorum 1 parallel-syncs", "parallel-syncs"),
        ("SENTINEL SET m rename-command x", "rename-command"),
    ] {
        let SentinelRequest::Set { malformed, .. } = sentinel(line) else {
            panic!("not SET");
        };
        assert_eq!(malformed, Some(ErrorReply::set_unknown(option)));
    }
}

#[test]
fn monitor_checks_host_and_port_last() {
    let args = |line: &str| match sentinel(line) {
        SentinelRequest::Monitor(args) => args.literal_address(),
        other => panic!("{line}: {other:?}"),
    };
    assert!(args("SENTINEL MONITOR m ::1 6379 2").is_ok());
    assert_eq!(
        args("SENTINEL MONITOR m host 6379 2"),
        Err(ErrorReply::invalid_host())
    );
    assert_eq!(
        args("SENTINEL MONITOR m 127.0.0.1 99999 2"),
        Err(ErrorReply::port_out_of_range())
    );
}

#[test]
fn config_and_debug_give_pairs() {
    assert_eq!(
        sentinel("SENTINEL CONFIG SET Announce-Port 1 loglevel debug"),
        SentinelRequest::ConfigSet(
            vec![
                ("announce-port".to_owned(), "1".to_owned()),
                ("loglevel".to_owned(), "debug".to_owned()),
            ],
            None
        )
    );
    assert_eq!(
        sentinel("SENTINEL DEBUG info-period 5"),
        SentinelRequest::Debug(vec![("info-period".to_owned(), "5".to_owned())], None)
    );
    for (line, text) in [
        (
            "SENTINEL CONFIG GET",
            "ERR Only SENTINEL CONFIG GET <param> [<param> <param> ...] / SET <param> <value> [<param> <value> ...] are supported.",
        ),
        (
            "SENTINEL CONFIG SET foo 1",
            "ERR Invalid argument 'foo' to SENTINEL CONFIG SET",
        ),
        (
            "SENTINEL CONFIG SET loglevel a loglevel b",
            "ERR Duplicate argument 'loglevel' to SENTINEL CONFIG SET",
        ),
        (
            "SENTINEL CONFIG SET loglevel a announce-ip",
            "ERR Missing argument 'announce-ip' value",
        ),
        (
            "SENTINEL DEBUG foo",
            "ERR Unknown option or number of arguments for SENTINEL DEBUG 'foo'",
        ),
        (
            "SENTINEL RAFT nope",
            "ERR unknown subcommand 'nope'. Try SENTINEL HELP.",
        ),
    ] {
        assert_eq!(refusal(line).unwrap().to_string(), text, "{line}");
    }
}

#[test]
fn an_unknown_option_of_a_failover_is_found_after_its_master() {
    for (line, coordinated) in [
        ("SENTINEL FAILOVER m", Ok(false)),
        ("SENTINEL failover m Coordinated", Ok(true)),
        ("SENTINEL FAILOVER m now", Err(ErrorReply::failover_option())),
    ] {
        let master = "m".to_owned();
        assert_eq!(sentinel(line), SentinelRequest::Failover { master, coordinated });
    }
}

#[test]
fn simulated_failures_are_collected() {
    assert_eq!(
        sentinel("SENTINEL simulate-failure crash-after-ELECTION crash-after-switch"),
        SentinelRequest::SimulateFailure(
            vec![SimulatedFailure::AfterElection, SimulatedFailure::AfterSwitch],
            SimulationReply::Armed
        )
    );
    assert_eq!(
        sentinel("SENTINEL simulate-failure crash-after-election nosuch"),
        SentinelRequest::SimulateFailure(vec![SimulatedFailure::AfterElection], SimulationReply::Unknown)
    );
    assert_eq!(
        sentinel("SENTINEL simulate-failure crash-after-open help"),
        SentinelRequest::SimulateFailure(vec![SimulatedFailure::AfterOpen], SimulationReply::Help)
    );
}

#[test]
fn own_subcommands_are_known() {
    assert_eq!(sentinel("SENTINEL raft STATUS"), SentinelRequest::RaftStatus);
    assert_eq!(
        sentinel("SENTINEL PEER 1 - secret"),
        SentinelRequest::Peer {
            version: 1,
            cluster_id: None,
            rest: vec!["secret".into()],
        }
    );
    assert!(parse("SENTINEL PEER x 7").is_err());
}

#[test]
fn only_some_commands_work_before_auth_or_while_subscribed() {
    let before: Vec<&str> = TABLE
        .iter()
        .filter(|spec| spec.before_auth())
        .map(|spec| spec.name)
        .collect();
    assert_eq!(before, ["auth", "hello"]);
    assert!(find_by_full_name("PING").unwrap().while_subscribed());
    assert!(!find_by_full_name("client|ID").unwrap().while_subscribed());
    assert!(closes_connection(&words("POST / HTTP/1.1")));
    assert!(closes_connection(&words("host: x")));
    assert!(!closes_connection(&words("PING")));
}

/// Every row can be reached by its name, and its parser takes the smallest count of words it allows.
#[test]
fn every_row_of_the_table_is_reachable() {
    let rows = TABLE
        .iter()
        .flat_map(|spec| std::iter::once(spec).chain(spec.subcommands));
    // A bare container is not a request; COMMAND is one too.
    for spec in rows.filter(|spec| spec.subcommands.is_empty() || spec.arity == -1) {
        let mut line: Vec<Bytes> = spec.name.split('|').map(Bytes::from).collect();
        while !spec.accepts(line.len()) {
            line.push(Bytes::from_static(b"1"));
        }
        assert_eq!(lookup(&line).map(|spec| spec.name), Ok(spec.name));
        let _ = Request::parse(&line);
        assert!(!spec.summary.is_empty(), "{}", spec.name);
    }
}

proptest! {
    #[test]
    fn arguments_never_panic(
        row in any::<proptest::sample::Index>(),
        arguments in vec(vec(any::<u8>(), 0..6), 0..7),
    ) {
        let rows: Vec<&CommandSpec> =
            TABLE.iter().flat_map(|spec| std::iter::once(spec).chain(spec.subcommands)).collect();
        let name = rows[row.index(rows.len())].name;
        let mut line: Vec<Bytes> = name.split('|').map(Bytes::from).collect();
        line.extend(arguments.into_iter().map(Bytes::from));
        let _ = Request::parse(&line);
    }
}

#[test]
fn control_characters_are_refused_with_their_place() {
    for (line, expected) in [
        (
            &["SENTINEL", "MONITOR", "a\nb", "127.0.0.1", "6379", "2"][..],
            Some((2, "MONITOR")),
        ),
        (
            &["SENTINEL", "MONITOR", "a", "127.0.0.1\r", "6379", "2"],
            Some((3, "MONITOR")),
        ),
        (&["SENTINEL", "MONITOR", "a", "127.0.0.1", "6379", "2"], None),
        (&["SENTINEL", "SET", "m", "auth-pass", "a\tb"], Some((4, "SET"))),
        (&["SENTINEL", "SET", "m", "auth-pass", "a b\u{e9}"], None),
        (
            &["SENTINEL", "CONFIG", "SET", "announce-ip", "x\x7f"],
            Some((4, "CONFIG SET")),
        ),
        (&["SENTINEL", "CONFIG", "GET", "x\x7f"], None),
    ] {
        let words: Vec<Bytes> = line.iter().map(|word| Bytes::from(*word)).collect();
        let error = match Request::parse(&words) {
            Ok(Request::Sentinel(SentinelRequest::Set { malformed, .. })) => malformed,
            Ok(_) => None,
            Err(error) => Some(error),
        };
        let expected =
            expected.map(|(index, command)| ErrorReply::control_characters(command, index).to_string());
        assert_eq!(error.map(|error| error.to_string()), expected, "{line:?}");
    }
}
