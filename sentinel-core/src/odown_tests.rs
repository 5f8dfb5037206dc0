use sentinel_proto::EvidenceClass;
use sentinel_proto::types::MasterName;

use super::*;
use crate::instance::Report;

const NOW: MonoTime = MonoTime(1_000_000);

fn master() -> HostPort {
    HostPort::new("127.0.0.1", 6379)
}

fn opinion() -> Opinion {
    Opinion {
        master: MasterName::new("m").unwrap(),
        address: master(),
        config_epoch: 3,
        down: true,
        class: EvidenceClass::Silent,
        class_age_ms: 0,
        refused_count: 0,
        silent_ms: Some(1_000),
        promotable_replicas: 2,
    }
}

/// The kinds of opinion that a sentinel can hold; only the first counts.
fn kinds() -> Vec<Option<(Opinion, MonoTime)>> {
    vec![
        Some((opinion(), NOW)),
        Some((
            Opinion {
                down: false,
                ..opinion()
            },
            NOW,
        )),
        Some((opinion(), MonoTime(NOW.0 - OPINION_TTL_MS - 1))),
        Some((
            Opinion {
                config_epoch: 2,
                ..opinion()
            },
            NOW,
        )),
        Some((
            Opinion {
                address: HostPort::new("127.0.0.1", 6380),
                ..opinion()
            },
            NOW,
        )),
        Some((
            Opinion {
                refused_count: 3,
                silent_ms: Some(300),
                ..opinion()
            },
            NOW,
        )),
        None,
    ]
}

fn count(opinions: &Opinions, odown_quorum: u32, crash: bool) -> Tally {
    let address = master();
    let subject = Subject {
        address: &address,
        config_epoch: 3,
        odown_quorum,
        down_after_ms: 1_000,
    };
    tally(opinions, subject, crash, NOW)
}

/// All groups of up to five sentinels, each with every kind of opinion or none, against every quorum argument.
#[test]
fn exhaustive_groups_of_up_to_five_sentinels() {
    let kinds = kinds();
    for size in 0..=5u32 {
        for code in 0..kinds.len().pow(size) {
            let chosen: Vec<usize> = (0..size)
                .map(|i| code / kinds.len().pow(i) % kinds.len())
                .collect();
            let opinions: Opinions = chosen
                .iter()
                .enumerate()
                .filter_map(|(i, k)| kinds[*k].clone().map(|o| (NodeId(i as u64), o)))
                .collect();
            let yes = chosen.iter().filter(|k| **k == 0).count() as u32;
            let early = chosen.iter().filter(|k| **k == 5).count() as u32;
            for odown_quorum in 1..=5 {
                let plain = count(&opinions, odown_quorum, false);
                assert_eq!(
                    plain,
                    Tally {
                        agreeing: yes,
                        reached: yes >= odown_quorum
                    },
                    "{chosen:?}"
                );
                let crash = count(&opinions, odown_quorum, true);
                assert_eq!(crash.agreeing, yes + early, "{chosen:?}");
            }
        }
    }
}

fn replica(link: ReplicationLink, last_io_s: Option<u64>, at: MonoTime) -> InstanceFacts {
    let mut facts = InstanceFacts::new(HostPort::new("127.0.0.1", 6380), NOW);
    facts.connected = true;
    facts.report = Some(Report {
        role: ReportedRole::Replica,
        role_since: MonoTime(0),
        follows: Some(master()),
        link,
        link_down_ms: 0,
        last_io_s,
        last_io_at: at,
        offset: 0,
        offset_at: at,
        at,
    });
    facts
}

#[test]
fn a_replica_with_a_working_link_contradicts_a_crash() {
    let (up, down) = (
        replica(ReplicationLink::Up, Some(0), NOW),
        replica(ReplicationLink::Down, None, NOW),
    );
    assert!(crash_is_plausible(&[&down], NOW));
    assert!(!crash_is_plausible(&[&down, &up], NOW));
    assert!(!crash_is_plausible(&[], NOW), "no witness");
    let stale = replica(ReplicationLink::Down, None, MonoTime(NOW.0 - 1));
    assert!(!crash_is_plausible(&[&stale], NOW));
}

#[test]
fn only_data_certainly_received_after_the_silence_holds_a_failover_back() {
    let silent_since = MonoTime(NOW.0 - 5_000);
    let held = |link, io| witness_against(&[&replica(link, io, NOW)], &master(), silent_since).is_some();
    assert!(held(ReplicationLink::Up, Some(0)));
    assert!(held(ReplicationLink::Up, Some(3)));
    assert!(!held(ReplicationLink::Up, Some(4)), "could be 4.999 s ago");
    assert!(!held(ReplicationLink::Up, None));
    assert!(!held(ReplicationLink::Down, Some(0)));
}
