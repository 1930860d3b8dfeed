//! Tests of the replica machine: state and effects after one step, and random histories against an oracle.

use super::replica::EXPIRY_EVERY_MS;
use super::*;
use crate::machine::Machine;
use crate::records::BatchHead;
use crate::storage::{Durability, Entry, Retention};
use crate::time::{Millis, Now, UnixMillis};
use crate::{Peer, Reject, Seq, Ticket};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn start() -> LogStart {
    LogStart { seq: Seq(9), next: 100, high_watermark: 100, epochs: vec![(3, 0)], ..LogStart::default() }
}

const ME: i32 = 1;

fn assign(role: AssignedRole, leader_epoch: i32) -> Input {
    Input::Assign(Assigned { role, leader_epoch, unclean_epoch: None })
}

/// The role of the only replica.
fn alone() -> AssignedRole {
    AssignedRole::Leader(Group::alone(Peer { broker: ME, epoch: 1 }, 0))
}

fn machine(log: LocalLog, config: ReplicaConfig) -> ReplicaMachine {
    ReplicaMachine::new(ME, log, config, Beginning { first_n: 0, rebuilt: false })
}

/// A leader in epoch 4 since this moment.
fn leader_at(ms: u64, log: LogStart, config: ReplicaConfig) -> ReplicaMachine {
    let mut m = machine(LocalLog::recovered(log, config.durability), config);
    step(&mut m, ms, assign(alone(), 4));
    m
}

fn leader(config: ReplicaConfig) -> ReplicaMachine {
    leader_at(0, start(), config)
}

fn now(ms: u64) -> Now {
    Now { mono: Millis(ms), wall: UnixMillis(1_000_000 + ms as i64) }
}

fn plain(records: i32) -> BatchHead {
    BatchHead {
        size: 100,
        records,
        last_offset_delta: records - 1,
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
        max_timestamp: 1_000_000,
        base_timestamp: 1_000_000,
        ..BatchHead::default()
    }
}

fn from_producer(sequence: i32, records: i32) -> BatchHead {
    BatchHead { producer_id: 5, producer_epoch: 0, base_sequence: sequence, ..plain(records) }
}

fn append(ticket: u64, head: BatchHead, acks: Acks) -> Input {
    Input::Append { ticket: Ticket(ticket), leader_epoch: None, head, acks, deadline: Millis(1_000) }
}

fn step(machine: &mut ReplicaMachine, ms: u64, input: Input) -> Vec<Effect> {
    let mut out = Vec::new();
    machine.step(now(ms), input, &mut out);
    machine.check();
    out
}

fn trim(ticket: u64, to: i64) -> Input {
    Input::Trim { ticket: Ticket(ticket), to: TrimTo::of(to), own: false, deadline: Millis(1_000) }
}

fn persisted(written: u64, synced: u64) -> Input {
    Input::Persisted { written: Seq(written), synced: Seq(synced) }
}

fn answers(effects: &[Effect]) -> Vec<(u64, Result<i64, Reject>)> {
    effects
        .iter()
        .filter_map(|e| match e {
            Effect::Answer { ticket, result } => Some((ticket.0, result.clone().map(|a| a.base_offset))),
            _ => None,
        })
        .collect()
}

#[test]
fn an_append_is_answered_only_when_synced() {
    let mut m = leader(ReplicaConfig::default());
    let out = step(&mut m, 0, append(1, plain(3), Acks::All));
    assert_eq!(
        out,
        vec![Effect::Journal {
            seq: Seq(10),
            entry: Entry::Append { base: 100, epoch: 4 },
            durability: Durability::Fsync,
            ticket: Some(Ticket(1)),
            log_append_time: None
        }]
    );
    assert_eq!(m.view().high_watermark, 100);
    assert_eq!(answers(&step(&mut m, 1, persisted(10, 9))), vec![], "written is not synced");
    let out = step(&mut m, 2, persisted(10, 10));
    assert_eq!(answers(&out), vec![(1, Ok(100))]);
    assert!(matches!(&out[0], Effect::Publish(v) if v.high_watermark == 103), "shown before answered");
    assert_eq!(*m.view().epochs, vec![(3, 0), (4, 100)]);
}

#[test]
fn os_topics_are_answered_when_written_and_acks_0_at_once() {
    let config = ReplicaConfig { durability: Durability::Os, ..ReplicaConfig::default() };
    let mut m = leader(config);
    step(&mut m, 0, append(1, plain(1), Acks::Leader));
    assert_eq!(answers(&step(&mut m, 0, append(2, plain(1), Acks::None))), vec![(2, Ok(101))]);
    assert_eq!(answers(&step(&mut m, 1, persisted(10, 9))), vec![(1, Ok(100))]);
}

#[test]
fn from_os_to_fsync_the_durable_end_waits_for_the_sync_of_what_was_shown() {
    let config = ReplicaConfig { durability: Durability::Os, ..ReplicaConfig::default() };
    let mut m = leader(config);
    step(&mut m, 0, append(1, plain(1), Acks::All));
    step(&mut m, 0, persisted(10, 9));
    step(&mut m, 0, Input::Configure(ReplicaConfig::default()));
    step(&mut m, 0, append(2, plain(1), Acks::All));
    assert_eq!(answers(&step(&mut m, 0, persisted(11, 9))), vec![], "written no longer counts beyond 101");
    assert_eq!(answers(&step(&mut m, 0, persisted(11, 11))), vec![(2, Ok(101))]);
}

#[test]
fn a_retry_of_a_batch_in_flight_joins_it() {
    let mut m = leader(ReplicaConfig::default());
    step(&mut m, 0, append(1, from_producer(0, 2), Acks::All));
    let again = step(&mut m, 0, append(2, from_producer(0, 2), Acks::All));
    assert_eq!(again, vec![Effect::Note(Event::Duplicate)], "not journaled, not answered");
    assert_eq!(answers(&step(&mut m, 1, persisted(10, 10))), vec![(1, Ok(100)), (2, Ok(100))]);
    let late = step(&mut m, 2, append(3, from_producer(0, 2), Acks::All));
    assert_eq!(answers(&late), vec![(3, Ok(100))], "stored: at once");
}

#[test]
fn a_deadline_answers_timed_out_and_the_record_still_commits() {
    let mut m = leader(ReplicaConfig::default());
    step(&mut m, 0, append(1, plain(1), Acks::All));
    assert_eq!(m.next_deadline(), Some(Millis(1_000)));
    assert_eq!(answers(&step(&mut m, 1_000, Input::Tick)), vec![(1, Err(Reject::TimedOut))]);
    assert_eq!(m.next_deadline(), Some(Millis(30_000)), "nothing waits, but the look at retention");
    step(&mut m, 1_001, persisted(10, 10));
    assert_eq!(m.view().high_watermark, 101);
}

#[test]
fn refusals() {
    let mut m = leader(ReplicaConfig::default());
    let big = BatchHead { size: 2_000_000, ..plain(1) };
    let transactional = BatchHead { attributes: 0x10, ..from_producer(0, 1) };
    for (head, code) in [(big, 10), (transactional, 48)] {
        let out = step(&mut m, 0, append(1, head, Acks::All));
        let (_, result) = answers(&out).remove(0);
        assert_eq!(result.unwrap_err().code().code(), code);
    }
    assert_eq!(m.view().end, 100, "nothing changed");
}

#[test]
fn the_edge_is_told_what_to_ask_of_a_batch_and_when_that_changes() {
    let mut m = leader(ReplicaConfig::default());
    let rules = m.view().rules;
    assert_eq!(
        (rules.max_bytes, rules.open, rules.timestamps.unwrap().after_max_ms),
        (1_048_588, true, 3_600_000)
    );
    let trusting =
        ReplicaConfig { validate_records: false, log_append_time: true, ..ReplicaConfig::default() };
    let out = step(&mut m, 0, Input::Configure(trusting));
    let told =
        out.iter().find_map(|e| if let Effect::Publish(view) = e { Some(view.rules) } else { None }).unwrap();
    assert_eq!((told.open, told.timestamps), (false, None));
}

#[test]
fn a_failed_shard_answers_everyone_and_refuses_the_rest() {
    let mut m = leader(ReplicaConfig::default());
    step(&mut m, 0, append(1, plain(1), Acks::All));
    let out = step(&mut m, 1, Input::ShardFailed("fsync failed".into()));
    assert_eq!(answers(&out), vec![(1, Err(Reject::Storage("fsync failed".into())))]);
    let out = step(&mut m, 1, append(2, plain(1), Acks::All));
    assert_eq!(answers(&out)[0].1.clone().unwrap_err().code().code(), 56);
}

#[test]
fn trimming_moves_the_log_start_within_the_log() {
    let mut m = leader(ReplicaConfig::default());
    let out = step(&mut m, 0, trim(1, 40));
    assert!(matches!(out[0], Effect::Journal { entry: Entry::LogStart { to: 40 }, seq: Seq(10), .. }));
    assert_eq!((m.view().log_start, &*m.view().epochs), (40, &vec![(3, 40)]));
    for to in [101, -2] {
        assert_eq!(answers(&step(&mut m, 0, trim(2, to)))[0].1, Err(Reject::OffsetOutOfRange(to)));
    }
    step(&mut m, 0, trim(3, -1));
    assert_eq!(m.view().log_start, 100);
}

#[test]
fn a_trim_is_answered_when_its_entry_is_durable_and_so_is_one_that_finds_it_under_way() {
    let mut m = leader(ReplicaConfig::default());
    assert_eq!(answers(&step(&mut m, 0, trim(1, 0))), vec![(1, Ok(0))], "nothing to do, nothing to wait for");
    assert_eq!(answers(&step(&mut m, 0, trim(2, 40))), vec![]);
    assert_eq!(answers(&step(&mut m, 0, trim(3, 30))), vec![], "40 may still be lost, and 30 with it");
    assert_eq!(answers(&step(&mut m, 0, persisted(10, 9))), vec![], "written is not synced");
    let out = step(&mut m, 0, persisted(10, 10));
    assert_eq!(answers(&out), vec![(2, Ok(40)), (3, Ok(30))]);
    assert!(out.iter().all(|e| !matches!(e, Effect::Answer { result: Ok(a), .. } if a.log_start != 40)));
    let config = ReplicaConfig { durability: Durability::Os, ..ReplicaConfig::default() };
    let mut m = leader(config);
    step(&mut m, 0, trim(1, 40));
    assert_eq!(answers(&step(&mut m, 0, persisted(10, 9))), vec![(1, Ok(40))]);
}

#[test]
fn a_trim_that_waits_is_answered_when_shard_or_topic_go_and_refused_without_the_policy() {
    let mut m = leader(ReplicaConfig::default());
    step(&mut m, 0, trim(1, 40));
    assert_eq!(answers(&step(&mut m, 0, Input::Delete)), vec![(1, Err(Reject::TopicDeleted))]);
    let mut m = leader(ReplicaConfig::default());
    step(&mut m, 0, trim(1, 40));
    let out = step(&mut m, 0, Input::ShardFailed("gone".into()));
    assert_eq!(answers(&out), vec![(1, Err(Reject::Storage("gone".into())))]);
    let config = ReplicaConfig { delete: false, ..ReplicaConfig::default() };
    let mut m = leader(config);
    let out = step(&mut m, 0, trim(1, 999));
    assert_eq!(
        answers(&out)[0].1.clone().unwrap_err().code().code(),
        1,
        "a topic that keeps all may be cut by hand"
    );
    let config = ReplicaConfig { compact: true, ..config };
    let mut m = leader(config);
    let out = step(&mut m, 0, trim(1, 999));
    assert_eq!(answers(&out)[0].1.clone().unwrap_err().code().code(), 44, "before the offset is looked at");
}

#[test]
fn a_deleted_topic_and_a_broken_disk_are_told_apart_in_whatever_order_they_come() {
    let deleted = Err(Reject::TopicDeleted);
    let mut m = leader(ReplicaConfig::default());
    step(&mut m, 0, append(1, plain(1), Acks::All));
    step(&mut m, 0, trim(2, 40));
    let out = step(&mut m, 0, Input::Delete);
    assert_eq!(answers(&out), vec![(1, deleted.clone()), (2, deleted.clone())]);
    let shown = out.iter().position(|e| matches!(e, Effect::Publish(v) if v.role == Role::Deleted));
    let dropped = out.iter().position(|e| matches!(e, Effect::Journal { entry: Entry::Drop, .. }));
    assert!(shown.unwrap() < dropped.unwrap(), "a read that misses the replica finds the reason");
    // Requests under way when the topic went, and requests that come behind it.
    assert_eq!(answers(&step(&mut m, 0, persisted(12, 12))), vec![]);
    assert_eq!(answers(&step(&mut m, 0, append(3, plain(1), Acks::None))), vec![(3, deleted.clone())]);
    assert_eq!(answers(&step(&mut m, 0, trim(4, 40))), vec![(4, deleted.clone())]);
    assert_eq!(step(&mut m, 0, Input::Delete), vec![], "it ends once");
    assert_eq!(step(&mut m, 0, Input::ShardFailed("EIO".into())), vec![], "an orderly end stays one");
    assert_eq!((m.view().role, m.producers()), (Role::Deleted, Err(Reject::TopicDeleted)));
    let mut m = leader(ReplicaConfig::default());
    step(&mut m, 0, Input::ShardFailed("EIO".into()));
    let refused = Err(Reject::Storage("EIO".into()));
    assert_eq!(answers(&step(&mut m, 0, append(1, plain(1), Acks::All))), vec![(1, refused.clone())]);
    assert_eq!(answers(&step(&mut m, 0, trim(2, 40))), vec![(2, refused)]);
    step(&mut m, 0, Input::Delete);
    assert_eq!(m.view().role, Role::Deleted, "a topic can be deleted from a broken disk");
}

#[test]
fn under_log_append_time_the_broker_dates_the_batch_and_a_duplicate_is_told_the_first_time() {
    let config = ReplicaConfig {
        log_append_time: true,
        timestamp_after_max_ms: 0,
        timestamp_before_max_ms: 0,
        ..ReplicaConfig::default()
    };
    let mut m = leader(config);
    let head = BatchHead { max_timestamp: 5, base_timestamp: 9_000_000, ..from_producer(0, 2) };
    let out = step(&mut m, 7, append(1, head, Acks::All));
    assert!(matches!(out[0], Effect::Journal { log_append_time: Some(1_000_007), .. }), "{out:?}");
    step(&mut m, 8, append(2, head, Acks::All));
    let times = |out: &[Effect]| -> Vec<i64> {
        let time = |e: &Effect| match e {
            Effect::Answer { result: Ok(a), .. } => Some(a.log_append_time.unwrap_or(-1)),
            _ => None,
        };
        out.iter().filter_map(time).collect()
    };
    assert_eq!(times(&step(&mut m, 9, persisted(10, 10))), vec![1_000_007, 1_000_007]);
    step(&mut m, 10, Input::Configure(ReplicaConfig::default()));
    step(&mut m, 11, append(3, from_producer(2, 1), Acks::All));
    assert_eq!(times(&step(&mut m, 12, persisted(11, 11))), vec![-1]);
    let again = step(&mut m, 13, append(4, from_producer(2, 1), Acks::All));
    assert_eq!(times(&again), vec![1_000_000], "Kafka tells a duplicate's largest timestamp in any case");
}

fn asked(effects: &[Effect]) -> Option<(i64, i64, Retention)> {
    effects.iter().find_map(|e| match e {
        Effect::Retain { from, until, rules } => Some((*from, *until, *rules)),
        _ => None,
    })
}

#[test]
fn retention_is_asked_soon_then_once_an_interval_and_moves_the_log_start() {
    let config = ReplicaConfig { retention_ms: 500, retention_check_ms: 60_000, ..ReplicaConfig::default() };
    let mut m = leader_at(10, start(), config);
    assert_eq!(asked(&step(&mut m, 10, Input::Tick)), None);
    assert_eq!(m.next_deadline(), Some(Millis(30_010)), "soon after the start");
    let out = step(&mut m, 30_010, Input::Tick);
    let rules = Retention { expired_before: Some(1_030_010 - 500), bytes: None };
    assert_eq!(asked(&out), Some((0, 100, rules)));
    assert_eq!(m.next_deadline(), None, "one question at a time");
    let out = step(&mut m, 30_020, Input::Expired { to: Some(60) });
    assert!(matches!(out[0], Effect::Journal { entry: Entry::LogStart { to: 60 }, ticket: None, .. }));
    assert_eq!((m.view().log_start, m.next_deadline()), (60, Some(Millis(90_010))));
    assert_eq!(asked(&step(&mut m, 90_010, Input::Tick)).map(|a| (a.0, a.1)), Some((60, 100)));
    assert!(step(&mut m, 90_020, Input::Expired { to: None }).is_empty());
    assert!(step(&mut m, 90_030, Input::Expired { to: Some(50) }).is_empty(), "never down");
    step(&mut m, 90_040, Input::Expired { to: Some(1000) });
    assert_eq!(m.view().log_start, 100, "never above the high watermark");
    assert_eq!(asked(&step(&mut m, 150_010, Input::Tick)), None, "an empty log: nothing to ask");
    assert_eq!(m.next_deadline(), Some(Millis(210_010)));
}

#[test]
fn the_answer_to_older_rules_does_not_count_and_without_rules_nothing_is_asked() {
    let config = ReplicaConfig { retention_bytes: 7, retention_check_ms: 100, ..ReplicaConfig::default() };
    let mut m = leader(config);
    step(&mut m, 0, Input::Tick);
    assert!(asked(&step(&mut m, 100, Input::Tick)).is_some());
    step(&mut m, 110, Input::Configure(ReplicaConfig { retention_bytes: 1 << 30, ..config }));
    assert!(step(&mut m, 150, Input::Expired { to: Some(60) }).is_empty());
    assert_eq!((m.view().log_start, m.next_deadline()), (0, Some(Millis(250))));
    for config in [
        ReplicaConfig { retention_ms: -1, retention_bytes: -1, ..config },
        ReplicaConfig { delete: false, ..config },
    ] {
        step(&mut m, 260, Input::Configure(config));
        assert_eq!(m.next_deadline(), None);
        assert_eq!(asked(&step(&mut m, 10_000, Input::Tick)), None);
    }
}

fn forgotten(effects: &[Effect]) -> Option<Forgotten> {
    effects.iter().find_map(|e| match e {
        Effect::Forget(forgotten) => Some(*forgotten),
        _ => None,
    })
}

/// The moment before the first look after a day, and the moment of that look.
const DAY: (u64, u64) = (86_400_000 - 1, 86_400_000 + EXPIRY_EVERY_MS);

#[test]
fn producers_are_forgotten_by_monotonic_time_alone_and_the_store_is_told() {
    for (n, max_timestamp) in [-1, 1_000_000 - 2 * 86_400_000, 1_000_000].into_iter().enumerate() {
        let mut m = leader(ReplicaConfig::default());
        let head = BatchHead { max_timestamp, base_timestamp: max_timestamp, ..from_producer(0, 2) };
        step(&mut m, 7, append(1, head, Acks::All));
        step(&mut m, 7, persisted(10, 10));
        // The wall clock jumps a year ahead, then back.
        for wall in [1_000_000 + 365 * 86_400_000, -1] {
            let mut out = Vec::new();
            m.step(Now { mono: Millis(DAY.0), wall: UnixMillis(wall) }, Input::Tick, &mut out);
            assert_eq!((m.producers().unwrap().len(), forgotten(&out)), (1, None), "case {n}");
        }
        let again = step(&mut m, DAY.0, append(2, head, Acks::All));
        assert_eq!(answers(&again), vec![(2, Ok(100))], "a duplicate, and no sign of life");
        let out = step(&mut m, DAY.1, Input::Tick);
        assert_eq!(forgotten(&out), Some(Forgotten { below: 102, seq: Seq(10) }), "case {n}");
        assert!(m.producers().unwrap().is_empty());
        assert_eq!(forgotten(&step(&mut m, 2 * DAY.1, Input::Tick)), None, "told once");
    }
}

#[test]
fn a_new_life_and_a_new_role_begin_the_producers_time_anew() {
    let mut producers = ProducerTable::default();
    producers.apply_at(&from_producer(0, 1), Millis(3));
    let log = LogStart { producers, ..start() };
    let config = ReplicaConfig { retention_ms: -1, ..ReplicaConfig::default() };
    let mut m = machine(LocalLog::recovered(log, config.durability), config);
    assert_eq!(m.next_deadline(), None, "its time has not begun");
    let born = 100 * 86_400_000;
    step(&mut m, born, assign(alone(), 4));
    assert_eq!(m.next_deadline(), Some(Millis(born + EXPIRY_EVERY_MS)));
    step(&mut m, born + EXPIRY_EVERY_MS, Input::Tick);
    assert_eq!(m.producers().unwrap().len(), 1);
    assert_eq!(m.next_deadline(), Some(Millis(born + 2 * EXPIRY_EVERY_MS)));
    step(&mut m, born + 80_000_000, assign(alone(), 5));
    let (day, again) = (born + 86_400_000, born + 80_000_000 + 86_400_000);
    assert_eq!(forgotten(&step(&mut m, day, Input::Tick)), None, "the new role began its time anew");
    let out = step(&mut m, again, Input::Tick);
    assert_eq!(forgotten(&out), Some(Forgotten { below: 1, seq: Seq(9) }));
    assert_eq!(m.next_deadline(), None, "nobody is left to look for");
}

#[test]
fn a_role_that_ends_or_an_epoch_that_grows_ends_all_that_waits_first() {
    let rows = [(alone(), 5, Role::Leader), (AssignedRole::Idle, 5, Role::Idle)];
    for (role, epoch, shown) in rows {
        let mut m = leader(ReplicaConfig::default());
        step(&mut m, 0, append(1, plain(1), Acks::All));
        step(&mut m, 0, trim(2, 40));
        let out = step(&mut m, 0, assign(role, epoch));
        let unavailable = Err(Reject::Unavailable);
        assert_eq!(answers(&out), vec![(1, unavailable.clone()), (2, unavailable)], "{shown:?}");
        let at = out.iter().position(|e| matches!(e, Effect::Publish(v) if v.leader_epoch == epoch)).unwrap();
        assert_eq!((at, m.view().role), (out.len() - 1, shown.clone()), "R31: the new role comes last");
        // The record of the former epoch commits, and no request of that epoch is told so.
        let out = step(&mut m, 0, persisted(11, 11));
        assert_eq!(answers(&out), vec![], "{shown:?}");
        assert_eq!(m.view().high_watermark, if shown == Role::Leader { 101 } else { 100 });
    }
    let mut m = leader(ReplicaConfig::default());
    step(&mut m, 0, append(1, plain(1), Acks::All));
    assert_eq!(step(&mut m, 0, assign(alone(), 4)), vec![], "the same role, no change");
    assert_eq!(step(&mut m, 0, assign(AssignedRole::Idle, 3)), vec![], "an older image");
    assert_eq!(answers(&step(&mut m, 0, persisted(10, 10))), vec![(1, Ok(100))]);
}

#[test]
fn leadership_that_leaves_and_comes_back_finds_the_log_as_it_was() {
    let mut m = leader(ReplicaConfig::default());
    step(&mut m, 0, append(1, from_producer(0, 1), Acks::All));
    step(&mut m, 0, assign(AssignedRole::Idle, 5));
    assert_eq!(
        answers(&step(&mut m, 0, append(2, plain(1), Acks::All))),
        vec![(2, Err(Reject::Unavailable))]
    );
    assert_eq!(answers(&step(&mut m, 0, trim(3, 40))), vec![(3, Err(Reject::Unavailable))]);
    assert_eq!(m.producers(), Err(Reject::Unavailable));
    step(&mut m, 0, persisted(10, 10));
    assert_eq!(m.view().high_watermark, 100, "an idle replica commits nothing by itself");
    let out = step(&mut m, 0, assign(alone(), 7));
    assert!(matches!(&out[..], [Effect::Publish(v)] if v.high_watermark == 101 && v.leader_epoch == 7));
    let again = step(&mut m, 0, append(4, from_producer(0, 1), Acks::All));
    assert_eq!(answers(&again), vec![(4, Ok(100))], "the retry finds its batch");
    let out = step(&mut m, 0, append(5, plain(1), Acks::All));
    assert!(matches!(
        out[0],
        Effect::Journal { seq: Seq(11), entry: Entry::Append { base: 101, epoch: 7 }, .. }
    ));
    assert_eq!(*m.view().epochs, vec![(3, 0), (4, 100), (7, 101)]);
}

#[test]
fn a_cold_replica_starts_at_its_hint_and_a_sole_leader_at_its_end() {
    for (hint, log_start, idle) in [(60, 0, 60), (600, 0, 100), (10, 20, 20)] {
        let config = ReplicaConfig::default();
        let log = LogStart { high_watermark: hint, log_start, ..start() };
        let mut m = machine(LocalLog::recovered(log, config.durability), config);
        step(&mut m, 0, assign(AssignedRole::Idle, 4));
        assert_eq!(m.view().high_watermark, idle, "R32");
        step(&mut m, 0, assign(alone(), 5));
        assert_eq!(m.view().high_watermark, 100);
    }
}

#[test]
fn an_opened_replica_says_so_once_when_its_open_is_on_disk() {
    let config = ReplicaConfig::default();
    let mut m = machine(LocalLog::opening(config.durability), config);
    let out = step(&mut m, 0, assign(alone(), 0));
    assert!(!out.contains(&Effect::Opened));
    assert!(!step(&mut m, 0, persisted(1, 0)).contains(&Effect::Opened), "written is not on disk");
    assert!(step(&mut m, 0, persisted(1, 1)).contains(&Effect::Opened));
    assert!(!step(&mut m, 0, persisted(1, 1)).contains(&Effect::Opened));
    let out = step(&mut m, 0, append(1, plain(1), Acks::All));
    assert!(matches!(out[0], Effect::Journal { seq: Seq(2), entry: Entry::Append { base: 0, .. }, .. }));
    let mut m = machine(LocalLog::recovered(start(), config.durability), config);
    assert!(step(&mut m, 0, assign(AssignedRole::Idle, 4)).contains(&Effect::Opened), "it was opened before");
}

#[test]
fn a_replica_whose_open_never_becomes_durable_says_so_once() {
    let config = ReplicaConfig::default();
    let mut m = machine(LocalLog::opening(config.durability), config);
    step(&mut m, 0, assign(alone(), 0));
    assert!(step(&mut m, 0, Input::ShardFailed("EIO".into())).contains(&Effect::Unopened));
    assert_eq!(step(&mut m, 0, persisted(1, 1)), vec![], "it is offline, and was told");
    let mut m = leader(config);
    let out = step(&mut m, 0, Input::ShardFailed("EIO".into()));
    assert!(!out.contains(&Effect::Unopened), "this one was open");
}

#[test]
fn a_batch_of_another_leadership_is_refused() {
    let mut m = leader(ReplicaConfig::default());
    let of = |ticket, epoch| Input::Append {
        ticket: Ticket(ticket),
        leader_epoch: Some(epoch),
        head: plain(1),
        acks: Acks::All,
        deadline: Millis(1_000),
    };
    assert_eq!(answers(&step(&mut m, 0, of(1, 3))), vec![(1, Err(Reject::NotLeader))]);
    let out = step(&mut m, 0, of(2, 4));
    assert!(matches!(out[0], Effect::Journal { seq: Seq(10), .. }));
    step(&mut m, 0, assign(alone(), 5));
    assert_eq!(answers(&step(&mut m, 0, of(3, 4))), vec![(3, Err(Reject::NotLeader))]);
}

#[test]
fn metadata_that_are_older_than_the_log_take_it_offline_in_words() {
    for role in [alone(), AssignedRole::Idle] {
        let config = ReplicaConfig::default();
        let mut m = machine(LocalLog::recovered(start(), config.durability), config);
        step(&mut m, 0, assign(role, 2));
        assert!(matches!(m.view().role, Role::Offline(why) if why.contains("leader epoch 3")));
    }
}

#[test]
fn a_replica_that_leaves_is_marked_stray_and_says_not_leader() {
    let mut m = leader(ReplicaConfig::default());
    step(&mut m, 0, append(1, plain(1), Acks::All));
    let out = step(&mut m, 7, Input::Leave);
    assert_eq!(answers(&out), vec![(1, Err(Reject::Unavailable))]);
    let at = UnixMillis(1_000_007);
    assert!(
        matches!(out.last(), Some(Effect::Journal { seq: Seq(11), entry: Entry::Stray { at: a }, .. }) if *a == at)
    );
    assert_eq!(m.view().role, Role::Idle);
    assert_eq!(step(&mut m, 8, assign(alone(), 9)), vec![], "no role follows");
    assert_eq!(step(&mut m, 8, Input::Delete), vec![], "its last entry has left");
}

#[test]
fn an_offline_replica_takes_no_role_and_shows_the_newest_epoch() {
    let mut m = leader(ReplicaConfig::default());
    step(&mut m, 0, Input::ShardFailed("EIO".into()));
    let out = step(&mut m, 0, assign(alone(), 9));
    assert!(
        matches!(&out[..], [Effect::Publish(v)] if v.leader_epoch == 9 && v.role == Role::Offline("EIO".into()))
    );
}

proptest! {
    /// Random appends, retries, gaps, notices and ticks. Offsets are contiguous, each ticket is answered once and
    /// never before its batch is durable, and no sequence is journaled twice.
    #[test]
    fn histories(script in prop::collection::vec((0u8..6, 0i32..4, 1i32..4), 1..120), os in any::<bool>()) {
        let durability = if os { Durability::Os } else { Durability::Fsync };
        let config = ReplicaConfig { durability, ..ReplicaConfig::default() };
        let mut m = leader(config);
        let (mut ticket, mut ms, mut sequence) = (0u64, 0u64, 0i32);
        let mut last = from_producer(0, 1);
        let mut journaled: BTreeMap<u64, i64> = BTreeMap::new();
        let mut sequences = std::collections::BTreeSet::new();
        let (mut written, mut synced, mut end) = (9u64, 9u64, 100i64);
        let mut open = std::collections::BTreeSet::new();
        for (what, a, b) in script {
            ticket += 1;
            let input = match what {
                0 => append(ticket, plain(b), Acks::All),
                1 => { last = from_producer(sequence, b); append(ticket, last, Acks::Leader) }
                2 => append(ticket, last, Acks::All),
                3 => append(ticket, from_producer(sequence + a, b), Acks::All),
                4 => {
                    let top = 9 + journaled.len() as u64;
                    written = (written + a as u64).min(top);
                    synced = (synced + b as u64 - 1).min(written);
                    persisted(written, synced)
                }
                _ => { ms += a as u64 * 300; Input::Tick }
            };
            if let Input::Append { head, .. } = &input {
                open.insert(ticket);
                if what == 3 { last = *head; }
            }
            let head = if let Input::Append { head, .. } = &input { Some(*head) } else { None };
            let input = match input {
                Input::Append { ticket, leader_epoch, head, acks, .. } =>
                    Input::Append { ticket, leader_epoch, head, acks, deadline: Millis(ms + 1_000) },
                other => other,
            };
            let out = step(&mut m, ms, input);
            for effect in out {
                match effect {
                    Effect::Journal { seq, entry: Entry::Append { base, .. }, .. } => {
                        let head = head.unwrap();
                        prop_assert_eq!(base, end, "offsets are contiguous");
                        end += i64::from(head.records);
                        journaled.insert(seq.0, end);
                        prop_assert_eq!(seq.0, 9 + journaled.len() as u64);
                        if head.has_producer() {
                            for s in head.base_sequence..=head.last_sequence() {
                                prop_assert!(sequences.insert(s), "sequence {} journaled twice", s);
                            }
                            sequence = head.last_sequence() + 1;
                        }
                    }
                    Effect::Answer { ticket, result } => {
                        prop_assert!(open.remove(&ticket.0), "one answer a ticket");
                        if let Ok(a) = result {
                            let durable = if os { written } else { synced };
                            let durable_end = journaled.get(&durable).copied().unwrap_or(100);
                            prop_assert!(a.base_offset < durable_end, "answered before durable");
                        }
                    }
                    _ => {}
                }
            }
        }
        step(&mut m, ms + 2_000, Input::Tick);
    }
}
