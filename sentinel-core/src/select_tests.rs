use proptest::prelude::*;

use super::*;
use crate::fixture::{at, name, options, three_nodes};
use crate::instance::Report;
use crate::replicated::KnownReplica;
use crate::time::WallTime;

const NOW: MonoTime = MonoTime(1_000_000);

fn replica(port: u16) -> InstanceFacts {
    let mut facts = InstanceFacts::new(at(port), NOW);
    facts.connected = true;
    facts.run_id = format!("{port}");
    facts.report = Some(Report {
        role: ReportedRole::Replica,
        role_since: MonoTime(0),
        follows: Some(at(6379)),
        link: ReplicationLink::Down,
        link_down_ms: 0,
        last_io_s: Some(1),
        last_io_at: NOW,
        offset: 100,
        offset_at: NOW,
        at: NOW,
    });
    facts
}

fn pick(replicas: &[InstanceFacts]) -> Selection {
    pick_after(replicas, None)
}

fn pick_after(replicas: &[InstanceFacts], handed_to: Option<&HostPort>) -> Selection {
    let state = three_nodes(options());
    let mut group = Group::clone(&state.groups[&name()]);
    for port in 6382..6384 {
        group
            .replicas
            .insert(at(port), KnownReplica { since: WallTime(2) });
    }
    let context = SelectContext {
        group: &group,
        handed_to,
        reports_since: MonoTime(NOW.0 - 100),
        master_down_ms: 1_000,
        down_after_ms: 1_000,
        failed: &[],
    };
    let of_group = replicas.iter().collect::<Vec<_>>();
    let selection = select(&of_group, &context, NOW);
    let possible = of_group.iter().filter(|r| is_eligible(r, &context, NOW)).count();
    assert_eq!(possible > 0, selection.chosen.is_some());
    selection
}

fn edit(port: u16, change: impl FnOnce(&mut InstanceFacts)) -> InstanceFacts {
    let mut facts = replica(port);
    change(&mut facts);
    facts
}

fn report(facts: &mut InstanceFacts) -> &mut Report {
    facts.report.as_mut().unwrap()
}

#[test]
fn each_exclusion_has_its_reason() {
    use RefusalReason as R;
    let cases: Vec<(InstanceFacts, R)> = vec![
        (edit(6380, |f| f.sdown_since = Some(NOW)), R::Down),
        (edit(6380, |f| f.connected = false), R::Disconnected),
        (
            edit(6380, |f| {
                f.silent_since = Some(MonoTime(NOW.0 - STALE_PING_MS - 1))
            }),
            R::StalePing,
        ),
        (edit(6380, |f| f.priority = 0), R::PriorityZero),
        (edit(6380, |f| f.report = None), R::StaleReport),
        (
            edit(6380, |f| report(f).offset_at = MonoTime(NOW.0 - 101)),
            R::StaleReport,
        ),
        (
            edit(6380, |f| report(f).role = ReportedRole::Master),
            R::NotAReplica,
        ),
        (
            edit(6380, |f| {
                report(f).follows = Some(HostPort::new("10.9.9.9", 6379))
            }),
            R::ForeignMaster,
        ),
        (
            edit(6380, |f| report(f).link = ReplicationLink::Syncing),
            R::Syncing,
        ),
        (
            edit(6380, |f| report(f).link_down_ms = 11_001),
            R::LinkDownTooLong,
        ),
    ];
    for (facts, reason) in cases {
        let selection = pick(std::slice::from_ref(&facts));
        assert_eq!(selection.chosen, None, "{reason:?}");
        assert_eq!(
            selection.refused,
            vec![Refusal {
                replica: at(6380),
                reason
            }]
        );
    }
}

/// An operator's own `FAILOVER`: any other choice would lose what is written to the new master.
#[test]
fn a_master_that_the_groups_master_follows_is_chosen_before_all_others() {
    let successor = edit(6380, |f| {
        report(f).role = ReportedRole::Master;
        report(f).follows = None;
    });
    let better = edit(6381, |f| {
        f.priority = 1;
        report(f).offset = 900;
    });
    let both = [better.clone(), successor.clone()];
    assert_eq!(pick_after(&both, Some(&at(6380))).chosen, Some(at(6380)));
    assert_eq!(pick_after(&both, Some(&at(6381))).chosen, Some(at(6381)));
    assert_eq!(pick(&both).chosen, Some(at(6381)));
    let never = edit(6380, |f| {
        f.priority = 0;
        report(f).role = ReportedRole::Master;
    });
    assert_eq!(pick_after(&[never], Some(&at(6380))).chosen, None);
    let mut old = replica(6379);
    assert_eq!(handed_to(Some(&old)), Some(&at(6379)));
    old.connected = false;
    assert_eq!(handed_to(Some(&old)), None);
}

#[test]
fn priority_beats_offset_beats_run_id() {
    let a = edit(6380, |f| f.priority = 10);
    let b = edit(6381, |f| report(f).offset = 900);
    let c = edit(6382, |f| {
        report(f).offset = 900;
        f.run_id = "0".into();
    });
    let unknown = edit(6383, |f| {
        report(f).offset = 900;
        f.run_id = String::new();
    });
    assert_eq!(pick(&[b.clone(), a, c.clone()]).chosen, Some(at(6380)));
    assert_eq!(pick(&[b.clone(), c]).chosen, Some(at(6382)));
    assert_eq!(
        pick(&[unknown, b]).chosen,
        Some(at(6381)),
        "an unknown run id sorts last"
    );
}

/// Every group of up to four replicas in which each one is good, better, or refused for one of two reasons.
#[test]
fn exhaustive_small_groups_choose_the_best_eligible_one_or_none() {
    let variants = 4usize;
    for size in 0..=4u32 {
        for code in 0..variants.pow(size) {
            let kinds: Vec<usize> = (0..size).map(|i| code / variants.pow(i) % variants).collect();
            let replicas: Vec<InstanceFacts> = kinds
                .iter()
                .enumerate()
                .map(|(i, kind)| {
                    edit(6380 + i as u16, |f| match kind {
                        0 => {}
                        1 => report(f).offset = 200,
                        2 => f.priority = 0,
                        _ => f.connected = false,
                    })
                })
                .collect();
            let first = |k: usize| {
                kinds
                    .iter()
                    .position(|kind| *kind == k)
                    .map(|i| at(6380 + i as u16))
            };
            let selection = pick(&replicas);
            assert_eq!(selection.chosen, first(1).or(first(0)), "{kinds:?}");
            let named = selection.refused.len() + usize::from(selection.chosen.is_some());
            assert_eq!(named, replicas.len(), "every replica is accounted for: {kinds:?}");
        }
    }
}

proptest! {
    #[test]
    fn the_order_of_the_input_does_not_matter(
        offsets in prop::collection::vec((0..3u64, 0..3u32, any::<bool>()), 0..6),
        seed in any::<u64>(),
    ) {
        let replicas: Vec<InstanceFacts> = offsets.iter().enumerate().map(|(i, (offset, priority, up))| {
            edit(6380 + i as u16 % 4, |f| {
                f.address = at(6380 + i as u16);
                report(f).offset = *offset;
                f.priority = *priority;
                f.connected = *up;
            })
        }).collect();
        let mut shuffled = replicas.clone();
        let len = shuffled.len().max(1);
        for i in 0..shuffled.len() {
            shuffled.swap(i, (seed as usize).wrapping_mul(i + 1) % len);
        }
        prop_assert_eq!(pick(&replicas), pick(&shuffled));
    }
}
