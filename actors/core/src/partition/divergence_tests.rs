//! Two replicas whose logs part, as a leader and a follower find out (R13, KIP-101, KIP-279): the cases that broke other
//! systems by name, and then every pair of small logs.
//!
//! Both sides are the machines that run. The rig carries words between them, and truncates where the follower says so.

use super::*;
use crate::machine::Machine;
use crate::storage::{Durability, Entry};
use crate::time::{Millis, Now};
use crate::{Peer, Seq};

const LEADER: Peer = Peer { broker: 1, epoch: 11 };
const FOLLOWER: Peer = Peer { broker: 2, epoch: 12 };
/// The epoch of the leadership; every record is of an earlier one.
const EPOCH: i32 = 9;

/// A log as runs: a leader epoch, and how many records it has.
type Runs = [(i32, i64)];

fn epochs(runs: &Runs) -> Vec<(i32, i64)> {
    let mut at = 0;
    let starts = runs.iter().map(|(epoch, count)| {
        let start = (*epoch, at);
        at += count;
        start
    });
    starts.collect()
}

/// The epoch of each record.
fn records(runs: &Runs) -> Vec<i32> {
    runs.iter().flat_map(|(epoch, count)| vec![*epoch; *count as usize]).collect()
}

fn log(seq: u64, runs: &Runs, high_watermark: i64) -> LogStart {
    let next = runs.iter().map(|(_, count)| count).sum();
    LogStart { seq: Seq(seq), next, high_watermark, epochs: epochs(runs), ..LogStart::default() }
}

fn cut(runs: &Runs, to: i64) -> Vec<(i32, i64)> {
    let mut left = to;
    let kept = runs.iter().map(|(epoch, count)| {
        let kept = (*count).min(left);
        left -= kept;
        (*epoch, kept)
    });
    kept.filter(|(_, count)| *count > 0).collect()
}

fn replica(me: Peer, start: LogStart) -> ReplicaMachine {
    let config = ReplicaConfig::default();
    let log = LocalLog::recovered(start, Durability::Fsync);
    ReplicaMachine::new(me.broker, log, config, Beginning { first_n: 0, rebuilt: false })
}

fn step(machine: &mut ReplicaMachine, input: Input) -> Vec<Effect> {
    let mut out = Vec::new();
    machine.step(Now { mono: Millis(0), ..Now::default() }, input, &mut out);
    machine.check();
    out
}

fn assign(machine: &mut ReplicaMachine, role: AssignedRole) -> Vec<Effect> {
    step(machine, Input::Assign(Assigned { role, leader_epoch: EPOCH, unclean_epoch: None }))
}

/// The outcome: where the follower truncated, how many Positions it sent, where its log ended then, and whether it
/// raised the alarm.
#[derive(Debug, PartialEq, Eq, Default)]
struct Met {
    cuts: Vec<i64>,
    positions: usize,
    end: i64,
    alarm: bool,
}

/// Lets a follower meet its leader until it is accepted or stops.
fn meet(leader: &Runs, follower: &Runs, high_watermark: i64) -> Met {
    let mut ours = replica(LEADER, log(9, leader, 0));
    let member = |peer| Member { peer, live: true, in_sync: true };
    let members = [member(LEADER), member(FOLLOWER)].into();
    assign(&mut ours, AssignedRole::Leader(Group { partition_epoch: 7, min_isr: 1, members }));
    let mut theirs = replica(FOLLOWER, log(9, follower, high_watermark));
    assign(&mut theirs, AssignedRole::Follower { leader: LEADER.broker });
    let mut out = step(&mut theirs, Input::Linked(LEADER.broker));
    let (mut met, mut runs) = (Met::default(), follower.to_vec());
    for _ in 0..20 {
        let Some(position) = out.iter().find_map(|effect| match effect {
            Effect::Position { position, .. } => Some(*position),
            _ => None,
        }) else {
            break;
        };
        met.positions += 1;
        let answer = step(&mut ours, Input::Position { from: FOLLOWER, position });
        let Some(answer) = answer.iter().find_map(|effect| match effect {
            Effect::Reply { answer, .. } => Some(*answer),
            _ => None,
        }) else {
            assert!(answer.iter().any(|effect| matches!(effect, Effect::Feed(_))), "accepted: {answer:?}");
            break;
        };
        out = step(&mut theirs, Input::Told { from: LEADER.broker, answer });
        met.alarm |= out.iter().any(|effect| matches!(effect, Effect::Alarm(_)));
        let cuts = out.iter().filter_map(|effect| match effect {
            Effect::Journal { entry: Entry::Truncate { to }, seq, .. } => Some((*to, *seq)),
            _ => None,
        });
        for (to, seq) in cuts.collect::<Vec<_>>() {
            met.cuts.push(to);
            runs = cut(&runs, to);
            let start = log(seq.0 + 1, &runs, 0);
            out = step(&mut theirs, Input::Rebuilt(Box::new(start)));
            // The shell subscribes anew, and says when it is connected.
            if out.contains(&Effect::Follow(LEADER.broker)) {
                out.extend(step(&mut theirs, Input::Linked(LEADER.broker)));
            }
        }
    }
    met.end = theirs.view().end;
    met
}

#[test]
fn a_follower_cuts_where_the_logs_part() {
    // (the case, the leader's log, the follower's log) → where it truncates, Positions
    let rows: &[(&str, &Runs, &Runs, &[i64], usize)] = &[
        ("an empty follower", &[(1, 5)], &[], &[], 1),
        ("an empty leader", &[], &[(1, 5)], &[0], 2),
        ("equal logs", &[(1, 5), (2, 5)], &[(1, 5), (2, 5)], &[], 1),
        ("behind in the last epoch", &[(1, 5), (2, 5)], &[(1, 5), (2, 2)], &[], 1),
        ("behind by an epoch", &[(1, 5), (2, 5)], &[(1, 5)], &[], 1),
        ("ahead in the last epoch", &[(1, 5)], &[(1, 8)], &[5], 2),
        // KIP-101, scenario 1: the follower's high watermark lags, and a truncation to it would lose the last record.
        ("KIP-101: restart, then leader", &[(0, 2)], &[(0, 2)], &[], 1),
        // KIP-101, scenario 2: both lose power, the one that lost a record leads and writes another one in its place.
        ("KIP-101: another record at one offset", &[(0, 1), (1, 1)], &[(0, 2)], &[1], 2),
        // KIP-279: the follower led in an epoch that the leader never heard of.
        ("KIP-279: an epoch unknown to the leader", &[(0, 1), (2, 1)], &[(0, 1), (1, 1)], &[1], 2),
        ("KIP-279: two epochs unknown to it", &[(0, 10), (3, 5)], &[(0, 10), (1, 5), (2, 5)], &[10], 2),
        ("KIP-279: its own end of the shared epoch", &[(1, 10), (4, 9)], &[(1, 5), (2, 5), (3, 5)], &[5], 2),
        (
            "KIP-279: not by the leader's end alone",
            &[(1, 5), (2, 5), (4, 1)],
            &[(1, 5), (2, 2), (3, 6)],
            &[7],
            2,
        ),
        // 3_log_divergence: epochs that interleave take a round each.
        ("interleaved epochs", &[(1, 5), (3, 5)], &[(1, 8), (2, 2), (4, 4)], &[10, 5], 3),
        ("more of them", &[(1, 2), (3, 6), (5, 1)], &[(1, 4), (2, 2), (4, 2), (6, 2)], &[8, 6, 2], 4),
        ("nothing in common", &[(2, 4)], &[(1, 4)], &[0], 2),
        ("nothing in common, newer", &[(1, 4)], &[(2, 6)], &[0], 2),
    ];
    for (case, leader, follower, cuts, positions) in rows {
        let met = meet(leader, follower, 0);
        let end = cuts.last().copied().unwrap_or(records(follower).len() as i64);
        let wanted = Met { cuts: cuts.to_vec(), positions: *positions, end, alarm: false };
        assert_eq!(met, wanted, "{case}");
        // Its high watermark would have to fall: it stops, and cuts nothing from there on (I11).
        if let Some(least) = cuts.last() {
            let met = meet(leader, follower, least + 1);
            assert_eq!((met.alarm, met.cuts.contains(least)), (true, false), "{case}");
        }
    }
}

/// All logs of the epochs 1 to 4 with two records of each at most.
fn all_logs() -> Vec<Vec<(i32, i64)>> {
    let mut logs = vec![Vec::new()];
    for epoch in 1..=4 {
        let longer = |log: &Vec<(i32, i64)>| {
            [1, 2].map(|count| log.iter().copied().chain([(epoch, count)]).collect::<Vec<_>>())
        };
        let more: Vec<_> = logs.iter().flat_map(longer).collect();
        logs.extend(more);
    }
    logs
}

/// Whether two logs can be of one cluster: a record of one epoch at one offset has one history.
fn of_one_cluster(one: &Runs, other: &Runs) -> bool {
    let (at, others) = (epochs(one), epochs(other));
    let (records, other_records) = (records(one), records(other));
    at.iter().all(|(epoch, start)| {
        let there = others.iter().find(|(other, _)| other == epoch);
        let until = *start as usize;
        there.is_none_or(|(_, began)| began == start && records[..until] == other_records[..until])
    })
}

#[test]
fn whatever_their_logs_are_the_follower_keeps_what_they_share_and_no_more() {
    let logs = all_logs();
    let pairs = logs.iter().flat_map(|leader| logs.iter().map(move |follower| (leader, follower)));
    let mut met_pairs = 0;
    for (leader, follower) in pairs.filter(|(leader, follower)| of_one_cluster(leader, follower)) {
        let (ours, theirs) = (records(leader), records(follower));
        let shared = ours.iter().zip(&theirs).take_while(|(one, other)| one == other).count() as i64;
        let met = meet(leader, follower, 0);
        assert_eq!((met.end, met.alarm), (shared, false), "{leader:?} {follower:?}");
        assert!(met.cuts.is_sorted_by(|one, next| one > next), "{leader:?} {follower:?}: {:?}", met.cuts);
        assert_eq!(met.positions, met.cuts.len() + 1, "{leader:?} {follower:?}");
        met_pairs += 1;
    }
    assert!(met_pairs > 500, "{met_pairs} pairs");
}
