use super::info::*;
use super::pubsub::{Change, confirmation};
use super::*;
use crate::command::{CommandFilter, CommandRequest, InfoSections};
use crate::event::Event;
use crate::info::ReportedRole;
use crate::resp::{Frame, Protocol};
use crate::types::{HostPort, MasterName, SentinelId};

fn command(request: &CommandRequest) -> Frame {
    commands::command(request, &crate::command::Renames::none())
}

fn resp2(frame: &Frame) -> String {
    String::from_utf8(frame.to_bytes(Protocol::Resp2).to_vec()).unwrap()
}

fn resp3(frame: &Frame) -> String {
    String::from_utf8(frame.to_bytes(Protocol::Resp3).to_vec()).unwrap()
}

fn summary(name: &str, port: u16, run_id: &str, kind: InstanceKind, ping_ms: u64) -> InstanceSummary {
    InstanceSummary {
        name: name.to_owned(),
        address: HostPort::new("127.0.0.1", port),
        run_id: run_id.to_owned(),
        flags: Flags::of(kind),
        link_pending_commands: 0,
        link_refcount: 1,
        last_ping_sent_ms: 0,
        last_ok_ping_reply_ms: ping_ms,
        last_ping_reply_ms: ping_ms,
        s_down_ms: None,
        down_after_ms: 3000,
    }
}

fn master() -> MasterDescription {
    let run_id = "11d14f11a3b0bc624660ed12058bd638c6ce4727";
    MasterDescription {
        summary: summary("mymaster", 36605, run_id, InstanceKind::Master, 791),
        failover_state: None,
        o_down_ms: None,
        info_refresh_ms: 6987,
        role_reported: ReportedRole::Master,
        role_reported_ms: 6990,
        config_epoch: 0,
        num_replicas: 1,
        num_other_sentinels: 1,
        odown_quorum: 2,
        failover_timeout_ms: 180_000,
        parallel_syncs: 1,
        notification_script: None,
        client_reconfig_script: None,
    }
}

#[test]
fn descriptions_are_those_of_a_real_sentinel() {
    let masters = Frame::Array(vec![Frame::from(&master())]);
    assert_eq!(
        resp3(&masters),
        include_str!("../../testdata/masters-7.0.15.resp3")
    );

    let run_id = "7eeea9760106a7985d57d6a2246c291a531dd149";
    let replica = ReplicaDescription {
        summary: summary("127.0.0.1:44035", 44035, run_id, InstanceKind::Replica, 518),
        info_refresh_ms: 2610,
        role_reported: ReportedRole::Replica,
        role_reported_ms: 7889,
        master_link_down_ms: 0,
        master_link_up: true,
        master: Some(HostPort::new("127.0.0.1", 36605)),
        priority: 100,
        repl_offset: 559,
        announced: true,
    };
    let replicas = Frame::Array(vec![Frame::from(&replica)]);
    assert_eq!(
        resp3(&replicas),
        include_str!("../../testdata/replicas-7.0.15.resp3")
    );

    let id = "9e0ae7fcc22ab3aae4d90aa8df0d6c06e041f819";
    let sentinel = SentinelDescription {
        summary: summary(id, 40381, id, InstanceKind::Sentinel, 759),
        last_hello_ms: 807,
        voted_executor: None,
        voted_epoch: 0,
    };
    let sentinels = Frame::Array(vec![Frame::from(&sentinel)]);
    assert_eq!(
        resp2(&sentinels),
        include_str!("../../testdata/sentinels-7.0.15.resp2")
    );
}

/// One test of Redis's own suite reads this position.
#[test]
fn the_number_of_other_sentinels_is_element_33() {
    let Frame::Map(fields) = Frame::from(&master()) else {
        panic!("not a map");
    };
    let flat: Vec<Frame> = fields
        .into_iter()
        .flat_map(|(name, value)| [name, value])
        .collect();
    assert_eq!(flat[32].as_str(), Some("num-other-sentinels"));
    assert_eq!(flat[33].as_str(), Some("1"));
}

#[test]
fn conditional_fields_stand_in_their_places() {
    let mut master = master();
    master.summary.s_down_ms = Some(5);
    master.o_down_ms = Some(4);
    master.failover_state = Some("select_slave");
    master.notification_script = Some("/n".to_owned());
    master.client_reconfig_script = Some("/c".to_owned());
    let Frame::Map(fields) = Frame::from(&master) else {
        panic!("not a map");
    };
    let names: Vec<&str> = fields.iter().filter_map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[7], "failover-state");
    assert_eq!(
        names[11..14],
        ["s-down-time", "o-down-time", "down-after-milliseconds"]
    );
    assert_eq!(names[23..], ["notification-script", "client-reconfig-script"]);
    assert_eq!(
        fields[4].1.as_str(),
        Some("s_down,o_down,master,failover_in_progress")
    );
}

#[test]
fn flags_have_sentinels_order() {
    let all = Flags {
        kind: InstanceKind::Replica,
        s_down: true,
        o_down: true,
        disconnected: true,
        master_down: true,
        failover_in_progress: true,
        promoted: true,
        reconf_sent: true,
        reconf_inprog: true,
        reconf_done: true,
        force_failover: true,
        coordinated_failover: true,
        script_kill_sent: true,
        master_reboot: true,
    };
    assert_eq!(
        all.to_string(),
        "s_down,o_down,slave,disconnected,master_down,failover_in_progress,promoted,reconf_sent,\
         reconf_inprog,reconf_done,force_failover,coordinated_failover,script_kill_sent,master_reboot"
    );
    assert_eq!(Flags::default().to_string(), "master");
}

#[test]
fn addresses_and_sessions_are_byte_exact() {
    let address = HostPort::new("127.0.0.1", 59575);
    let known = sentinel::master_address(Some(&address));
    assert_eq!(resp2(&known), "*2\r\n$9\r\n127.0.0.1\r\n$5\r\n59575\r\n");
    let unknown = sentinel::master_address(None);
    assert_eq!(
        (resp2(&unknown).as_str(), resp3(&unknown).as_str()),
        ("*-1\r\n", "_\r\n")
    );
    assert_eq!(
        resp3(&session::hello("7.0.15", Protocol::Resp3, 5)),
        "%6\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n$5\r\nproto\r\n:3\r\n$2\r\nid\r\n:5\r\n\
         $4\r\nmode\r\n$8\r\nsentinel\r\n$7\r\nmodules\r\n*0\r\n"
    );
    assert_eq!(
        resp2(&session::role(["mymaster"])),
        "*2\r\n$8\r\nsentinel\r\n*1\r\n$8\r\nmymaster\r\n"
    );
    assert_eq!(
        resp2(&sentinel::is_master_down(false, None)),
        "*3\r\n:0\r\n$1\r\n*\r\n:0\r\n"
    );
    assert_eq!(resp2(&session::pong(None, Protocol::Resp2, false)), "+PONG\r\n");
    assert_eq!(
        resp2(&session::pong(None, Protocol::Resp2, true)),
        "*2\r\n$4\r\npong\r\n$0\r\n\r\n"
    );
    assert_eq!(
        resp3(&session::pong(Some("x".into()), Protocol::Resp3, true)),
        "$1\r\nx\r\n"
    );
    assert_eq!(
        resp3(&crate::command::Tracking::default().info()),
        "%3\r\n$5\r\nflags\r\n~1\r\n$3\r\noff\r\n$8\r\nredirect\r\n:-1\r\n$8\r\nprefixes\r\n*0\r\n"
    );
}

#[test]
fn ckquorum_says_what_is_missing() {
    let text = |usable, quorum, majority| match sentinel::ckquorum(usable, quorum, majority) {
        Frame::Simple(text) | Frame::Error(text) => String::from_utf8(text.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        text(2, 2, true),
        "OK 2 usable Sentinels. Quorum and failover authorization can be reached"
    );
    assert_eq!(
        text(1, 2, true),
        "NOQUORUM 1 usable Sentinels. Not enough available Sentinels to reach the specified quorum for this master"
    );
    assert_eq!(
        text(1, 1, false),
        "NOQUORUM 1 usable Sentinels. Not enough available Sentinels to reach the majority and authorize a failover"
    );
    assert_eq!(
        text(1, 2, false),
        "NOQUORUM 1 usable Sentinels. Not enough available Sentinels to reach the specified quorum for this \
         master. Not enough available Sentinels to reach the majority and authorize a failover"
    );
}

#[test]
fn subscriptions_are_pushes() {
    let frame = confirmation(Change::Subscribe, Some("a".into()), 1);
    assert_eq!(resp2(&frame), "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n");
    assert_eq!(resp3(&frame), ">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n");
    let nothing = confirmation(Change::Punsubscribe, None, 0);
    assert_eq!(resp2(&nothing), "*3\r\n$12\r\npunsubscribe\r\n$-1\r\n:0\r\n");
    assert_eq!(resp3(&nothing), ">3\r\n$12\r\npunsubscribe\r\n_\r\n:0\r\n");
    let event = Event::new_epoch(&MasterName::new("m").unwrap(), 7);
    assert_eq!(
        resp2(&event.message()),
        "*3\r\n$7\r\nmessage\r\n$10\r\n+new-epoch\r\n$1\r\n7\r\n"
    );
    assert_eq!(
        resp3(&event.pattern_message("*".into())),
        ">4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$10\r\n+new-epoch\r\n$1\r\n7\r\n"
    );
}

#[test]
fn the_sentinel_section_reads_as_documented() {
    let line = |status, port| MasterLine {
        name: MasterName::new("redis-master-node").unwrap(),
        status,
        address: HostPort::new("127.0.0.1", port),
        replicas: 2,
        sentinels: 2,
    };
    let info = Info {
        sentinel: SentinelInfo {
            masters: vec![line(MasterStatus::Odown, 6379), line(MasterStatus::Ok, 6380)],
            ..SentinelInfo::default()
        },
        ..Info::default()
    };
    let only = InfoSections {
        sentinel: true,
        ..InfoSections::default()
    };
    assert_eq!(
        info.text(only),
        "# Sentinel\r\nsentinel_masters:2\r\nsentinel_tilt:0\r\nsentinel_tilt_since_seconds:-1\r\nsentinel_total_tilt:0\r\n\
         sentinel_running_scripts:0\r\nsentinel_scripts_queue_length:0\r\nsentinel_simulate_failure_flags:0\r\n\
         master0:name=redis-master-node,status=odown,address=127.0.0.1:6379,slaves=2,sentinels=2\r\n\
         master1:name=redis-master-node,status=ok,address=127.0.0.1:6380,slaves=2,sentinels=2\r\n"
    );
    assert_eq!(info.text(InfoSections::default()), "");
    let all = info.text(InfoSections::ALL);
    let titles: Vec<&str> = all.lines().filter(|line| line.starts_with('#')).collect();
    assert_eq!(
        titles,
        ["# Server", "# Clients", "# Stats", "# CPU", "# Sentinel"]
    );
    assert!(all.contains("\r\n\r\n# Clients\r\n") && !all.contains("\r\n\r\n\r\n"));
    assert!(matches!(info.reply(InfoSections::ALL), Frame::Bulk(_)));
}

#[test]
fn command_describes_the_table() {
    let info = |name: &str| command(&CommandRequest::Info(vec![name.to_owned()]));
    assert_eq!(
        resp3(&info("PING")),
        "*1\r\n*10\r\n$4\r\nping\r\n:-1\r\n~1\r\n+fast\r\n:0\r\n:0\r\n:0\r\n~2\r\n+@fast\r\n+@connection\r\n~2\r\n\
         $25\r\nrequest_policy:all_shards\r\n$29\r\nresponse_policy:all_succeeded\r\n~0\r\n~0\r\n"
    );
    assert_eq!(resp2(&info("nope")), "*1\r\n$-1\r\n");
    assert_eq!(resp2(&command(&CommandRequest::Count)), ":15\r\n");
    let docs = |name: &str| command(&CommandRequest::Docs(vec![name.to_owned()]));
    assert_eq!(resp3(&docs("nope")), "%0\r\n");
    assert!(
        resp3(&docs("ping")).starts_with("%1\r\n$4\r\nping\r\n%4\r\n$7\r\nsummary\r\n$15\r\nPing the server")
    );
    let list = command(&CommandRequest::List(CommandFilter::Pattern("P*".into())));
    assert_eq!(
        list,
        Frame::bulks(["ping", "psubscribe", "publish", "punsubscribe"])
    );
    let all = command(&CommandRequest::All);
    assert_eq!(all.elements().map(<[Frame]>::len), Some(15));
}

#[test]
fn help_ends_as_clients_expect() {
    for help in [help::SENTINEL, help::CLIENT, help::COMMAND, help::ACL] {
        assert_eq!(help[help.len() - 2], "HELP");
        assert!(["    Print this help.", "    Prints this help."].contains(&help[help.len() - 1]));
        assert!(help[0].ends_with(". Subcommands are:"));
    }
    assert!(resp2(&help::lines(help::ACL)).starts_with("*29\r\n+ACL <subcommand>"));
}

#[test]
fn client_lines_can_be_split_at_blanks() {
    let line = session::ClientLine {
        id: 4,
        address: "127.0.0.1:57088".to_owned(),
        name: "abc".to_owned(),
        user: "default".to_owned(),
        ..session::ClientLine::default()
    };
    let text = line.to_string();
    assert!(
        text.starts_with("id=4 addr=127.0.0.1:57088 laddr= fd=-1 name=abc age=0 "),
        "{text}"
    );
    assert!(text.split(' ').all(|field| field.contains('=')), "{text}");
    assert!(text.contains(" cmd=NULL user=default redir=-1 resp=2 "), "{text}");
    let reply = session::client_lines([&line]);
    assert!(resp2(&reply).starts_with('$') && resp3(&reply).starts_with('='));
}

#[test]
fn texts_of_own_errors() {
    assert_eq!(
        ErrorReply::noquorum("1 of 3 voters reachable").to_string(),
        "NOQUORUM 1 of 3 voters reachable"
    );
    let id = SentinelId::from_bytes([1; 20]);
    let reply = sentinel::is_master_down(true, Some((&id, 7)));
    assert_eq!(reply.elements().unwrap()[2], Frame::Integer(7));
}

#[test]
fn pending_scripts_are_maps_of_bulk_strings() {
    use sentinel::{PendingScript, ScriptTiming, pending_scripts};
    let job = |pid, timing| PendingScript {
        argv: vec!["/s".to_owned(), "+sdown".to_owned()],
        pid,
        timing,
        runs: 1,
    };
    let jobs = [
        job(7, ScriptTiming::RunTime(12)),
        job(0, ScriptTiming::RunDelay(30_000)),
    ];
    assert_eq!(
        resp2(&pending_scripts(jobs)),
        "*2\r\n*10\r\n$4\r\nargv\r\n*2\r\n$2\r\n/s\r\n$6\r\n+sdown\r\n$5\r\nflags\r\n$7\r\nrunning\r\n$3\r\npid\r\n\
         $1\r\n7\r\n$8\r\nrun-time\r\n$2\r\n12\r\n$9\r\nretry-num\r\n$1\r\n1\r\n*10\r\n$4\r\nargv\r\n*2\r\n$2\r\n/s\r\n\
         $6\r\n+sdown\r\n$5\r\nflags\r\n$9\r\nscheduled\r\n$3\r\npid\r\n$1\r\n0\r\n$9\r\nrun-delay\r\n$5\r\n30000\r\n\
         $9\r\nretry-num\r\n$1\r\n1\r\n"
    );
}
