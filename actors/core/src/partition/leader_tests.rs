//! Tests of the leader machine: state and effects after one step, and random histories against an oracle.

use super::*;
use crate::machine::Machine;
use crate::records::BatchHead;
use crate::storage::{Durability, Entry};
use crate::time::{Millis, Now, UnixMillis};
use crate::{Reject, Seq, Ticket};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn start() -> LeaderStart {
    LeaderStart {
        leader_epoch: 4,
        seq: Seq(9),
        log_start: 0,
        next: 100,
        epochs: vec![(3, 0)],
        producers: ProducerTable::default(),
        config: LeaderConfig::default(),
        offline: None,
    }
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
    Input::Append { ticket: Ticket(ticket), head, acks, deadline: Millis(1_000) }
}

fn step(machine: &mut LeaderMachine, ms: u64, input: Input) -> Vec<Effect> {
    let mut out = Vec::new();
    machine.step(now(ms), input, &mut out);
    machine.check();
    out
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
    let mut m = LeaderMachine::new(start());
    let out = step(&mut m, 0, append(1, plain(3), Acks::All));
    assert_eq!(
        out,
        vec![Effect::Journal {
            seq: Seq(10),
            entry: Entry::Append { base: 100, epoch: 4 },
            durability: Durability::Fsync,
            ticket: Some(Ticket(1))
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
    let config = LeaderConfig { durability: Durability::Os, ..LeaderConfig::default() };
    let mut m = LeaderMachine::new(LeaderStart { config, ..start() });
    step(&mut m, 0, append(1, plain(1), Acks::Leader));
    assert_eq!(answers(&step(&mut m, 0, append(2, plain(1), Acks::None))), vec![(2, Ok(101))]);
    assert_eq!(answers(&step(&mut m, 1, persisted(10, 9))), vec![(1, Ok(100))]);
}

#[test]
fn from_os_to_fsync_the_durable_end_waits_for_the_sync_of_what_was_shown() {
    let config = LeaderConfig { durability: Durability::Os, ..LeaderConfig::default() };
    let mut m = LeaderMachine::new(LeaderStart { config, ..start() });
    step(&mut m, 0, append(1, plain(1), Acks::All));
    step(&mut m, 0, persisted(10, 9));
    step(&mut m, 0, Input::Configure(LeaderConfig::default()));
    step(&mut m, 0, append(2, plain(1), Acks::All));
    assert_eq!(answers(&step(&mut m, 0, persisted(11, 9))), vec![], "written no longer counts beyond 101");
    assert_eq!(answers(&step(&mut m, 0, persisted(11, 11))), vec![(2, Ok(101))]);
}

#[test]
fn a_retry_of_a_batch_in_flight_joins_it() {
    let mut m = LeaderMachine::new(start());
    step(&mut m, 0, append(1, from_producer(0, 2), Acks::All));
    let again = step(&mut m, 0, append(2, from_producer(0, 2), Acks::All));
    assert_eq!(again, vec![Effect::Note(Event::Duplicate)], "not journaled, not answered");
    assert_eq!(answers(&step(&mut m, 1, persisted(10, 10))), vec![(1, Ok(100)), (2, Ok(100))]);
    let late = step(&mut m, 2, append(3, from_producer(0, 2), Acks::All));
    assert_eq!(answers(&late), vec![(3, Ok(100))], "stored: at once");
}

#[test]
fn a_deadline_answers_timed_out_and_the_record_still_commits() {
    let mut m = LeaderMachine::new(start());
    step(&mut m, 0, append(1, plain(1), Acks::All));
    assert_eq!(m.next_deadline(), Some(Millis(1_000)));
    assert_eq!(answers(&step(&mut m, 1_000, Input::Tick)), vec![(1, Err(Reject::TimedOut))]);
    assert_eq!(m.next_deadline(), None);
    step(&mut m, 1_001, persisted(10, 10));
    assert_eq!(m.view().high_watermark, 101);
}

#[test]
fn refusals() {
    let mut m = LeaderMachine::new(start());
    let big = BatchHead { size: 2_000_000, ..plain(1) };
    let future = BatchHead { max_timestamp: 1_000_000 + 3_600_001, ..plain(1) };
    let transactional = BatchHead { attributes: 0x10, ..from_producer(0, 1) };
    for (head, code) in [(big, 10), (future, 32), (transactional, 48)] {
        let out = step(&mut m, 0, append(1, head, Acks::All));
        let (_, result) = answers(&out).remove(0);
        assert_eq!(result.unwrap_err().code().code(), code);
    }
    assert_eq!(m.view().end, 100, "nothing changed");
}

#[test]
fn a_failed_shard_answers_everyone_and_refuses_the_rest() {
    let mut m = LeaderMachine::new(start());
    step(&mut m, 0, append(1, plain(1), Acks::All));
    let out = step(&mut m, 1, Input::ShardFailed("fsync failed".into()));
    assert_eq!(answers(&out), vec![(1, Err(Reject::Storage("fsync failed".into())))]);
    let out = step(&mut m, 1, append(2, plain(1), Acks::All));
    assert_eq!(answers(&out)[0].1.clone().unwrap_err().code().code(), 56);
}

#[test]
fn trimming_moves_the_log_start_within_the_log() {
    let mut m = LeaderMachine::new(start());
    let out = step(&mut m, 0, Input::Trim { ticket: Ticket(1), to: 40 });
    assert!(matches!(out[0], Effect::Journal { entry: Entry::LogStart { to: 40 }, seq: Seq(10), .. }));
    assert_eq!(m.view().log_start, 40);
    let out = step(&mut m, 0, Input::Trim { ticket: Ticket(2), to: 101 });
    assert_eq!(answers(&out)[0].1, Err(Reject::OffsetOutOfRange(101)));
    step(&mut m, 0, Input::Trim { ticket: Ticket(3), to: -1 });
    assert_eq!(m.view().log_start, 100);
}

proptest! {
    /// Random appends, retries, gaps, persistence in any steps, ticks: offsets are contiguous, nothing is answered
    /// before it is durable, every ticket once, no sequence is journaled twice.
    #[test]
    fn histories(script in prop::collection::vec((0u8..6, 0i32..4, 1i32..4), 1..120), os in any::<bool>()) {
        let durability = if os { Durability::Os } else { Durability::Fsync };
        let config = LeaderConfig { durability, ..LeaderConfig::default() };
        let mut m = LeaderMachine::new(LeaderStart { config, ..start() });
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
                Input::Append { ticket, head, acks, .. } =>
                    Input::Append { ticket, head, acks, deadline: Millis(ms + 1_000) },
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
