//! SENTINEL subcommands.

use bytes::Bytes;

use super::{Request, rest, text, text_at};
use crate::literal::literal_ip;
use crate::reply::ErrorReply;
use crate::resp::parse_integer;
use crate::types::HostPort;

type Parsed = Result<Request, ErrorReply>;

/// SENTINEL and its subcommands. Valkey's spellings (PRIMARY, PRIMARIES, ...) are the same requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SentinelRequest {
    /// MASTERS.
    Masters,
    /// MASTER.
    Master(String),
    /// REPLICAS and SLAVES.
    Replicas(String),
    /// SENTINELS.
    Sentinels(String),
    /// GET-MASTER-ADDR-BY-NAME.
    GetMasterAddr(String),
    /// MYID.
    MyId,
    /// IS-MASTER-DOWN-BY-ADDR.
    IsMasterDown {
        /// Address of the master; a port outside 1..=65535 is unknown, and reads as 0.
        address: HostPort,
        /// The asker's epoch.
        current_epoch: i64,
        /// `*`, or the id of a sentinel that asks for a vote.
        run_id: String,
    },
    /// MONITOR.
    Monitor(MonitorArgs),
    /// REMOVE.
    Remove(String),
    /// SET. The pairs are looked at after the master was found, from left to right.
    Set {
        /// Name of the master.
        master: String,
        /// Options in their order, up to the first malformed one.
        pairs: Vec<SetPair>,
        /// The error of that one: the reply, unless the value of an option before it is wrong.
        malformed: Option<ErrorReply>,
    },
    /// RESET: a glob-style pattern, with case.
    Reset(Bytes),
    /// FAILOVER. The option is looked at after the master was found: an error in it is the second answer.
    Failover {
        /// Name of the master.
        master: String,
        /// Whether COORDINATED was given, or the error of another word.
        coordinated: Result<bool, ErrorReply>,
    },
    /// CKQUORUM.
    CkQuorum(String),
    /// FLUSHCONFIG.
    FlushConfig,
    /// INFO-CACHE: at least one name, each once.
    InfoCache(Vec<String>),
    /// PENDING-SCRIPTS.
    PendingScripts,
    /// CONFIG GET: glob-style patterns, without case.
    ConfigGet(Vec<Bytes>),
    /// CONFIG SET: parameters in lower case, each known and given once, and their values, unchecked. The error is that of
    /// the first pair for which this does not hold: the reply, unless a value before it is wrong.
    ConfigSet(Vec<(String, String)>, Option<ErrorReply>),
    /// DEBUG: names as given and values, unchecked; none = show them. The error is that of a last name without its value:
    /// the reply, when the pairs before it are set.
    Debug(Vec<(String, String)>, Option<ErrorReply>),
    /// SIMULATE-FAILURE: replaces what was armed before, whatever the reply is.
    SimulateFailure(Vec<SimulatedFailure>, SimulationReply),
    /// HELP.
    Help,
    /// RAFT STATUS (ours).
    RaftStatus,
    /// PEER (ours): turns the connection into one between sentinels.
    Peer {
        /// [`crate::peer::PEER_VERSION`] of the speaker.
        version: u32,
        /// Its group, in hexadecimal; `None` (`-`) before founding.
        cluster_id: Option<u64>,
        /// What else it gave (authentication).
        rest: Vec<Bytes>,
    },
}

/// Arguments of MONITOR. Sentinel checks in this order: quorum and port are numbers, quorum is positive (all
/// done here), host, duplicate name, range of the port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MonitorArgs {
    /// Name as given.
    pub name: String,
    /// Host as given.
    pub host: String,
    /// Port as given: any number.
    pub port: i64,
    /// At least 1.
    pub odown_quorum: u32,
}

impl MonitorArgs {
    /// The address when host names are off.
    ///
    /// # Errors
    /// Not a literal IP address; a port outside 0..=65535.
    pub fn literal_address(&self) -> Result<HostPort, ErrorReply> {
        if literal_ip(&self.host).is_none() {
            return Err(ErrorReply::invalid_host());
        }
        let port = u16::try_from(self.port).map_err(|_| ErrorReply::port_out_of_range())?;
        Ok(HostPort::new(self.host.as_str(), port))
    }
}

/// One option of SET and its value or values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetPair {
    /// As given: what errors and `+set` repeat.
    pub option: String,
    /// In lower case; one of [`SET_OPTIONS`].
    pub key: String,
    /// Its value.
    pub value: String,
    /// The second value of `rename-command`.
    pub second: Option<String>,
}

/// Options that SET knows; `rename-command` takes two values, all others one.
pub const SET_OPTIONS: &[&str] = &[
    "down-after-milliseconds",
    "failover-timeout",
    "parallel-syncs",
    "quorum",
    "notification-script",
    "client-reconfig-script",
    "auth-pass",
    "auth-user",
    "rename-command",
    "master-reboot-down-after-period",
    "primary-reboot-down-after-period",
    "crash-down-after-milliseconds",
    "replica-witness",
];

/// Parameters of CONFIG SET and GET, in the order of GET's reply.
pub const CONFIG_PARAMETERS: &[&str] = &[
    "resolve-hostnames",
    "announce-hostnames",
    "announce-ip",
    "announce-port",
    "sentinel-user",
    "sentinel-pass",
    "loglevel",
];

/// What SIMULATE-FAILURE answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SimulationReply {
    /// All modes are known.
    Armed,
    /// HELP came after those before it: the list of modes.
    Help,
    /// An unknown mode came after those before it.
    Unknown,
}

/// Where SIMULATE-FAILURE crashes the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SimulatedFailure {
    /// `crash-after-election`: this sentinel was made executor.
    AfterElection,
    /// `crash-after-promotion`: the replica was promoted.
    AfterPromotion,
    /// `crash-after-open` (ours): the plan is committed.
    AfterOpen,
    /// `crash-after-choose` (ours): the choice is committed.
    AfterChoose,
    /// `crash-after-switch` (ours): the switch is committed.
    AfterSwitch,
}

fn request(request: SentinelRequest) -> Parsed {
    Ok(Request::Sentinel(request))
}

macro_rules! without_arguments {
    ($($name:ident => $variant:ident,)*) => {
        $(pub(super) fn $name(_: &[Bytes]) -> Parsed {
            request(SentinelRequest::$variant)
        })*
    };
}

macro_rules! with_name {
    ($($name:ident => $variant:ident,)*) => {
        $(pub(super) fn $name(words: &[Bytes]) -> Parsed {
            request(SentinelRequest::$variant(text_at(words, 2)))
        })*
    };
}

without_arguments! {
    masters => Masters,
    myid => MyId,
    flushconfig => FlushConfig,
    pending_scripts => PendingScripts,
    help => Help,
}

with_name! {
    master => Master,
    replicas => Replicas,
    sentinels => Sentinels,
    get_master_addr => GetMasterAddr,
    remove => Remove,
    ckquorum => CkQuorum,
}

pub(super) fn is_master_down(words: &[Bytes]) -> Parsed {
    let number = |index: usize| {
        let word = words.get(index).map_or(&b""[..], |word| word);
        parse_integer(word).ok_or_else(ErrorReply::not_an_integer)
    };
    let port = u16::try_from(number(3)?).unwrap_or(0);
    request(SentinelRequest::IsMasterDown {
        address: HostPort::new(text_at(words, 2), port),
        current_epoch: number(4)?,
        run_id: text_at(words, 5),
    })
}

/// Later versions refuse what would break event lines and a rewritten file.
fn no_control_characters(words: &[Bytes], command: &str) -> Result<(), ErrorReply> {
    let has_one = |word: &Bytes| word.iter().any(u8::is_ascii_control);
    match words.iter().position(has_one) {
        Some(index) => Err(ErrorReply::control_characters(command, index)),
        None => Ok(()),
    }
}

pub(super) fn monitor(words: &[Bytes]) -> Parsed {
    no_control_characters(words, "MONITOR")?;
    if words
        .get(2)
        .is_some_and(|name| std::str::from_utf8(name).is_err())
    {
        return Err(ErrorReply::err("a master name must be UTF-8"));
    }
    let number = |index: usize| words.get(index).and_then(|word| parse_integer(word));
    let odown_quorum = number(5).ok_or_else(ErrorReply::invalid_quorum)?;
    let port = number(4).ok_or_else(ErrorReply::invalid_port)?;
    if odown_quorum <= 0 {
        return Err(ErrorReply::quorum_too_low());
    }
    request(SentinelRequest::Monitor(MonitorArgs {
        name: text_at(words, 2),
        host: text_at(words, 3),
        port,
        odown_quorum: u32::try_from(odown_quorum).map_err(|_| ErrorReply::invalid_quorum())?,
    }))
}

pub(super) fn set(words: &[Bytes]) -> Parsed {
    let mut pairs = Vec::new();
    let read = no_control_characters(words, "SET").and_then(|()| set_pairs(rest(words, 3), &mut pairs));
    request(SentinelRequest::Set {
        master: text_at(words, 2),
        pairs,
        malformed: read.err(),
    })
}

fn set_pairs(mut words: &[Bytes], pairs: &mut Vec<SetPair>) -> Result<(), ErrorReply> {
    while let [option, values @ ..] = words {
        let option = text(option);
        let key = option.to_ascii_lowercase();
        if !SET_OPTIONS.contains(&key.as_str()) {
            return Err(ErrorReply::set_unknown(&option));
        }
        let (value, second, more) = match (key.as_str(), values) {
            ("rename-command", [old, new, more @ ..]) => (old, Some(text(new)), more),
            ("rename-command", _) | (_, []) => return Err(ErrorReply::set_unknown(&option)),
            (_, [value, more @ ..]) => (value, None, more),
        };
        let is_text = std::str::from_utf8(value).is_ok();
        let value = text(value);
        if !is_text {
            return Err(ErrorReply::set_invalid(&option, &value));
        }
        pairs.push(SetPair {
            option,
            key,
            value,
            second,
        });
        words = more;
    }
    Ok(())
}

pub(super) fn reset(words: &[Bytes]) -> Parsed {
    let pattern = words.get(2).cloned().unwrap_or_default();
    request(SentinelRequest::Reset(pattern))
}

pub(super) fn failover(words: &[Bytes]) -> Parsed {
    let coordinated = match rest(words, 3) {
        [] => Ok(false),
        [word] if word.eq_ignore_ascii_case(b"coordinated") => Ok(true),
        [_] => Err(ErrorReply::failover_option()),
        _ => return Err(ErrorReply::wrong_arity("sentinel|failover")),
    };
    request(SentinelRequest::Failover {
        master: text_at(words, 2),
        coordinated,
    })
}

pub(super) fn info_cache(words: &[Bytes]) -> Parsed {
    let mut names: Vec<String> = Vec::new();
    for name in rest(words, 2).iter().map(|word| text(word)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    request(SentinelRequest::InfoCache(names))
}

pub(super) fn config(words: &[Bytes]) -> Parsed {
    match rest(words, 2) {
        [word, patterns @ ..] if word.eq_ignore_ascii_case(b"get") && !patterns.is_empty() => {
            request(SentinelRequest::ConfigGet(patterns.to_vec()))
        }
        [word, pairs @ ..] if word.eq_ignore_ascii_case(b"set") && pairs.len() >= 2 => {
            no_control_characters(words, "CONFIG SET")?;
            let mut read = Vec::new();
            let malformed = config_pairs(pairs, &mut read).err();
            request(SentinelRequest::ConfigSet(read, malformed))
        }
        _ => Err(ErrorReply::config_usage()),
    }
}

fn config_pairs(words: &[Bytes], pairs: &mut Vec<(String, String)>) -> Result<(), ErrorReply> {
    for pair in words.chunks(2) {
        let parameter = text_at(pair, 0);
        let key = parameter.to_ascii_lowercase();
        if !CONFIG_PARAMETERS.contains(&key.as_str()) {
            return Err(ErrorReply::config_unknown(&parameter));
        }
        if pairs.iter().any(|(known, _)| *known == key) {
            return Err(ErrorReply::config_duplicate(&parameter));
        }
        let [_, value] = pair else {
            return Err(ErrorReply::config_missing(&parameter));
        };
        if std::str::from_utf8(value).is_err() {
            return Err(ErrorReply::config_invalid(&parameter, &text(value)));
        }
        pairs.push((key, text(value)));
    }
    Ok(())
}

pub(super) fn debug(words: &[Bytes]) -> Parsed {
    let mut pairs = Vec::new();
    for pair in rest(words, 2).chunks(2) {
        let parameter = text_at(pair, 0);
        let [_, value] = pair else {
            let incomplete = Some(ErrorReply::debug_unknown(&parameter));
            return request(SentinelRequest::Debug(pairs, incomplete));
        };
        pairs.push((parameter, text(value)));
    }
    request(SentinelRequest::Debug(pairs, None))
}

pub(super) fn simulate_failure(words: &[Bytes]) -> Parsed {
    let mut failures = Vec::new();
    for word in rest(words, 2) {
        failures.push(match word.to_ascii_lowercase().as_slice() {
            b"crash-after-election" => SimulatedFailure::AfterElection,
            b"crash-after-promotion" => SimulatedFailure::AfterPromotion,
            b"crash-after-open" => SimulatedFailure::AfterOpen,
            b"crash-after-choose" => SimulatedFailure::AfterChoose,
            b"crash-after-switch" => SimulatedFailure::AfterSwitch,
            b"help" => return request(SentinelRequest::SimulateFailure(failures, SimulationReply::Help)),
            _ => {
                return request(SentinelRequest::SimulateFailure(
                    failures,
                    SimulationReply::Unknown,
                ));
            }
        });
    }
    request(SentinelRequest::SimulateFailure(failures, SimulationReply::Armed))
}

pub(super) fn raft(words: &[Bytes]) -> Parsed {
    match rest(words, 2) {
        [word] if word.eq_ignore_ascii_case(b"status") => request(SentinelRequest::RaftStatus),
        [word, ..] if word.eq_ignore_ascii_case(b"status") => Err(ErrorReply::wrong_arity("sentinel|raft")),
        words => {
            let word = words.first().cloned().unwrap_or_default();
            Err(ErrorReply::unknown_subcommand("sentinel", &word))
        }
    }
}

pub(super) fn peer(words: &[Bytes]) -> Parsed {
    let version = text_at(words, 2).parse();
    let cluster_id = match text_at(words, 3).as_str() {
        "-" => Ok(None),
        text => u64::from_str_radix(text, 16).map(Some),
    };
    match (version, cluster_id) {
        (Ok(version), Ok(cluster_id)) => request(SentinelRequest::Peer {
            version,
            cluster_id,
            rest: rest(words, 4).to_vec(),
        }),
        _ => Err(ErrorReply::not_an_integer()),
    }
}
