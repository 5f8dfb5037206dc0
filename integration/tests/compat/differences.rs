//! Where our replies are not those of Redis 7.0.15, and why. An entry that no longer differs fails the test.

/// A reason, and the cases that it explains.
pub(crate) type Difference = (&'static str, &'static [&'static str]);

/// Of `locked.txt`.
pub(crate) const LOCKED_DIFFERENCES: &[Difference] = &[
    (
        "later versions: the text names the <proto> argument",
        &["HELLO", "HELLO 2", "HELLO 3", "HELLO 3 SETNAME me"],
    ),
    (
        "7.2 and later: all options of HELLO are read before AUTH is tried",
        &["HELLO 3 AUTH default hush foo | PING"],
    ),
];

/// Of `acl.txt`.
pub(crate) const ACL_DIFFERENCES: &[Difference] = &[];

/// Of `commands.txt`.
pub(crate) const DIFFERENCES: &[Difference] = &[
    (
        "7.2 and later: CONFIG GET and SET take several parameters, and know loglevel",
        &[
            "SENTINEL CONFIG foo",
            "SENTINEL CONFIG GET",
            "SENTINEL CONFIG SET",
            "SENTINEL CONFIG foo bar",
            "SENTINEL CONFIG GET *",
            "SENTINEL CONFIG GET loglevel",
            "SENTINEL CONFIG GET loglevel loglevel",
            "SENTINEL CONFIG GET announce-port resolve-hostnames",
            "SENTINEL CONFIG GET *-pass log*",
            "SENTINEL CONFIG GET announce-port announce-*",
            "SENTINEL CONFIG SET announce-ip",
            "SENTINEL CONFIG SET loglevel loud",
            "SENTINEL CONFIG SET loglevel verbose loglevel notice",
            "SENTINEL CONFIG SET LogLevel verbose",
            "SENTINEL CONFIG SET loglevel notice",
            "SENTINEL CONFIG SET announce-ip 127.0.0.1 foo bar",
            "SENTINEL CONFIG SET announce-ip 127.0.0.1 announce-port",
        ],
    ),
    (
        "later versions: sentinel_total_tilt",
        &["INFO sentinel", "INFO SENTINEL", "INFO sentinel sentinel"],
    ),
    (
        "7.2 and later: lib-name and lib-ver, CLIENT SETINFO and KILL MAXAGE",
        &[
            "CLIENT INFO",
            "CLIENT SETNAME me | CLIENT INFO",
            "SUBSCRIBE a | CLIENT INFO",
            "SUBSCRIBE a | CLIENT LIST TYPE pubsub",
            "CLIENT TRACKING ON | CLIENT NO-EVICT ON | CLIENT INFO",
            "CLIENT TRACKING ON BCAST | CLIENT LIST TYPE normal",
            "CLIENT HELP",
        ],
    ),
    (
        "7.2 and later: all options of HELLO are read before AUTH is tried",
        &[
            "HELLO 3 AUTH nobody x foo",
            "HELLO 3 AUTH nobody x SETNAME \"a b\"",
        ],
    ),
    ("later versions: wording", &["COMMAND HELP"]),
    (
        "later versions: GETKEYS and GETKEYSANDFLAGS take a command of one word",
        &["COMMAND GETKEYS ping", "COMMAND GETKEYSANDFLAGS ping"],
    ),
    (
        "additions of ours (RAFT STATUS, further SIMULATE-FAILURE modes), and the wording of later versions",
        &["SENTINEL HELP"],
    ),
    (
        "lines of later versions (pubsub_clients, eventloop_cycles and others); the others come in the same order, see inform.rs",
        &[
            "INFO",
            "INFO all",
            "INFO everything",
            "INFO server",
            "INFO clients",
            "INFO stats",
            "INFO default sentinel",
        ],
    ),
    ("Valkey's aliases are known too", &["SENTINEL PRIMARIES"]),
    (
        "masters are monitored by the whole group, so the other sentinels know it at once",
        &["SENTINEL MASTER compat-one"],
    ),
    (
        "the user is looked at after the syntax",
        &["CLIENT KILL USER nobody SKIPME maybe"],
    ),
    (
        "replies to earlier requests of the same packet are still sent",
        &["raw POST / HTTP/1.1\\r\\n", "raw Host: example\\r\\n"],
    ),
];
