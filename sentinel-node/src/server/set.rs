//! `SENTINEL SET`: pairs to changes of the log, all or nothing (Sentinel applies pairs up to the first bad one).

use sentinel_core::replicated::OptionChange;
use sentinel_proto::command::SetPair;
use sentinel_proto::reply::ErrorReply;
use sentinel_proto::resp::parse_integer;

/// Reads all pairs. `scripts` says whether a script path may be set: `None` = denied by
/// `deny-scripts-reconfig`, else whether the file can be executed.
pub(super) fn changes(
    pairs: &[SetPair],
    scripts: Option<&dyn Fn(&str) -> bool>,
) -> Result<Vec<OptionChange>, ErrorReply> {
    pairs.iter().map(|pair| change(pair, scripts)).collect()
}

fn change(pair: &SetPair, scripts: Option<&dyn Fn(&str) -> bool>) -> Result<OptionChange, ErrorReply> {
    let invalid = || ErrorReply::set_invalid(&pair.option, &pair.value);
    let number = || parse_integer(pair.value.as_bytes());
    let positive = || {
        let number = number().and_then(|number| u64::try_from(number).ok());
        number.filter(|number| *number > 0).ok_or_else(invalid)
    };
    let unsigned = || {
        let number = number().and_then(|number| u64::try_from(number).ok());
        number.ok_or_else(invalid)
    };
    let small = || u32::try_from(positive()?).map_err(|_| invalid());
    let text = || (!pair.value.is_empty()).then(|| pair.value.clone());
    Ok(match pair.key.as_str() {
        "down-after-milliseconds" => OptionChange::DownAfterMs(positive()?),
        "failover-timeout" => OptionChange::FailoverTimeoutMs(positive()?),
        "parallel-syncs" => OptionChange::ParallelSyncs(small()?),
        "quorum" => OptionChange::OdownQuorum(small()?),
        "auth-pass" => OptionChange::AuthPass(text()),
        "auth-user" => OptionChange::AuthUser(text()),
        "crash-down-after-milliseconds" => OptionChange::CrashDownAfterMs(unsigned()?),
        "master-reboot-down-after-period" | "primary-reboot-down-after-period" => {
            OptionChange::MasterRebootDownAfterMs(unsigned()?)
        }
        "replica-witness" => OptionChange::ReplicaWitness(match pair.value.to_ascii_lowercase().as_str() {
            "yes" => true,
            "no" => false,
            _ => return Err(invalid()),
        }),
        "notification-script" => {
            script(&pair.value, scripts, ErrorReply::notification_script)?;
            OptionChange::NotificationScript(text())
        }
        "client-reconfig-script" => {
            script(&pair.value, scripts, ErrorReply::client_reconfig_script)?;
            OptionChange::ClientReconfigScript(text())
        }
        "rename-command" => rename(pair)?,
        _ => return Err(ErrorReply::set_unknown(&pair.option)),
    })
}

fn script(
    path: &str,
    scripts: Option<&dyn Fn(&str) -> bool>,
    not_executable: fn() -> ErrorReply,
) -> Result<(), ErrorReply> {
    let executable = scripts.ok_or_else(ErrorReply::scripts_denied)?;
    if path.is_empty() || executable(path) {
        Ok(())
    } else {
        Err(not_executable())
    }
}

fn rename(pair: &SetPair) -> Result<OptionChange, ErrorReply> {
    let new = pair.second.clone().unwrap_or_default();
    for name in [&pair.value, &new] {
        if name.is_empty() {
            return Err(ErrorReply::set_invalid(&pair.option, name));
        }
    }
    Ok(OptionChange::RenameCommand(pair.value.to_ascii_uppercase(), new))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use sentinel_proto::command::{Request, SentinelRequest};

    use super::*;

    fn run(words: &str, scripts: Option<&dyn Fn(&str) -> bool>) -> Result<Vec<OptionChange>, String> {
        let words: Vec<Bytes> = format!("sentinel set m {words}")
            .split(' ')
            .map(|word| Bytes::from(word.replace('_', "")))
            .collect();
        let request = Request::parse(&words).map_err(|error| error.to_string())?;
        let Request::Sentinel(SentinelRequest::Set { pairs, malformed, .. }) = request else {
            panic!("{request:?}");
        };
        changes(&pairs, scripts)
            .and_then(|changes| malformed.map_or(Ok(changes), Err))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn pairs_become_changes() {
        let all = run(
            "down-after-milliseconds 5 FAILOVER-TIMEOUT 6 parallel-syncs 7 quorum 8 auth-pass p auth-user _ \
             crash-down-after-milliseconds 0 rename-command info x master-reboot-down-after-period 0",
            None,
        );
        assert_eq!(
            all.unwrap(),
            [
                OptionChange::DownAfterMs(5),
                OptionChange::FailoverTimeoutMs(6),
                OptionChange::ParallelSyncs(7),
                OptionChange::OdownQuorum(8),
                OptionChange::AuthPass(Some("p".into())),
                OptionChange::AuthUser(None),
                OptionChange::CrashDownAfterMs(0),
                OptionChange::RenameCommand("INFO".into(), "x".into()),
                OptionChange::MasterRebootDownAfterMs(0),
            ]
        );
    }

    #[test]
    fn one_bad_pair_refuses_all_with_sentinels_texts() {
        let cases = [
            ("quorum 0", "ERR Invalid argument '0' for SENTINEL SET 'quorum'"),
            (
                "quorum 2 down-after-milliseconds -1",
                "ERR Invalid argument '-1' for SENTINEL SET 'down-after-milliseconds'",
            ),
            (
                "parallel-syncs 1x",
                "ERR Invalid argument '1x' for SENTINEL SET 'parallel-syncs'",
            ),
            (
                "quorum 4294967296",
                "ERR Invalid argument '4294967296' for SENTINEL SET 'quorum'",
            ),
            (
                "foo 1",
                "ERR Unknown option or number of arguments for SENTINEL SET 'foo'",
            ),
            (
                "quorum 1 auth-pass",
                "ERR Unknown option or number of arguments for SENTINEL SET 'auth-pass'",
            ),
            (
                "quorum x foo 1",
                "ERR Invalid argument 'x' for SENTINEL SET 'quorum'",
            ),
            (
                "foo 1 quorum x",
                "ERR Unknown option or number of arguments for SENTINEL SET 'foo'",
            ),
            (
                "rename-command a _",
                "ERR Invalid argument '' for SENTINEL SET 'rename-command'",
            ),
        ];
        for (words, text) in cases {
            assert_eq!(run(words, None).unwrap_err(), text, "{words}");
        }
        assert!(
            run("notification-script /x", None)
                .unwrap_err()
                .contains("denied for security")
        );
        assert_eq!(
            run("notification-script /x", Some(&|_| false)).unwrap_err(),
            "ERR Notification script seems non existing or non executable"
        );
        assert!(run("client-reconfig-script _", Some(&|_| false)).is_ok());
    }
}
