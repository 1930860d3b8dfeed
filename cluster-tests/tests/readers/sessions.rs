//! Fetch sessions (KIP-227), as a client sees them.

use anyhow::{Context, Result, bail};
use callboard_cluster_tests::process::Options;
use callboard_cluster_tests::process::wire::{Wire, name};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use kafka_protocol::messages::{DeleteTopicsRequest, FetchRequest, FetchResponse};
use uuid::Uuid;

use crate::{batch, start, write};

const TOPIC: &str = "sessions";
const WAIT: i32 = 100_000;

/// A topic as Fetch names it in this version.
#[derive(Clone, Copy)]
struct Asker {
    version: i16,
    id: Uuid,
}

impl Asker {
    /// A request: partitions with their offsets, and partitions no longer wanted. It does not wait.
    fn request(self, session: i32, epoch: i32, parts: &[(i32, i64)], forget: &[i32]) -> FetchRequest {
        let by_id = self.version >= 13;
        let (topic, gone) = (FetchTopic::default(), ForgottenTopic::default());
        let topic = if by_id { topic.with_topic_id(self.id) } else { topic.with_topic(name(TOPIC)) };
        let gone = if by_id { gone.with_topic_id(self.id) } else { gone.with_topic(name(TOPIC)) };
        let part = |(partition, offset): &(i32, i64)| {
            FetchPartition::default()
                .with_partition(*partition)
                .with_current_leader_epoch(-1)
                .with_fetch_offset(*offset)
                .with_last_fetched_epoch(-1)
                .with_log_start_offset(-1)
                .with_partition_max_bytes(1 << 20)
        };
        let mut request = FetchRequest::default()
            .with_replica_id((-1).into())
            .with_max_bytes(1 << 20)
            .with_session_id(session)
            .with_session_epoch(epoch);
        if !parts.is_empty() {
            request.topics = vec![topic.with_partitions(parts.iter().map(part).collect())];
        }
        if !forget.is_empty() {
            request.forgotten_topics_data = vec![gone.with_partitions(forget.to_vec())];
        }
        request
    }

    fn ask(
        self,
        wire: &mut Wire,
        session: (i32, i32),
        parts: &[(i32, i64)],
        forget: &[i32],
    ) -> Result<FetchResponse> {
        wire.call(self.version, &self.request(session.0, session.1, parts, forget))
    }
}

/// Of each partition in the answer: its number, error, high watermark, log start, and whether there are records.
fn told(answer: &FetchResponse) -> Vec<(i32, i16, i64, i64, bool)> {
    let partitions = answer.responses.iter().flat_map(|topic| &topic.partitions);
    partitions
        .map(|p| {
            let records = p.records.as_ref().is_some_and(|bytes| !bytes.is_empty());
            (p.partition_index, p.error_code, p.high_watermark, p.log_start_offset, records)
        })
        .collect()
}

fn want<T: PartialEq + std::fmt::Debug>(what: &str, got: T, due: T) -> Result<()> {
    if got == due { Ok(()) } else { bail!("{what}: {got:?} instead of {due:?}") }
}

#[test]
fn a_session_says_what_kafkas_says_in_every_version() -> Result<()> {
    let (_broker, mut wire) = start(Options::default())?;
    let id = wire.create_topic(TOPIC, 3)?;
    write(&mut wire, TOPIC, 0)?;
    write(&mut wire, TOPIC, 0)?;
    for version in 7..=18 {
        script(&mut wire, Asker { version, id }).with_context(|| format!("Fetch v{version}"))?;
    }
    Ok(())
}

fn script(wire: &mut Wire, asker: Asker) -> Result<()> {
    let missing = (7, 3, -1, -1, false);
    let first = asker.ask(wire, (0, 0), &[(0, 0), (1, 0), (7, 0)], &[])?;
    let id = first.session_id;
    want("a session", (first.error_code, id > 0), (0, true))?;
    want("all of it", told(&first), vec![(0, 0, 2, 0, true), (1, 0, 0, 0, false), missing])?;
    // Epoch, partitions asked for, forgotten; error, session kept, partitions in the answer.
    type Row<'a> = (i32, &'a [(i32, i64)], &'a [i32], i16, bool, Vec<(i32, i16, i64, i64, bool)>);
    let outside = (1, 1, -1, -1, false);
    let rows: [Row<'_>; 12] = [
        (1, &[(0, 2)], &[], 0, true, vec![missing]),
        (2, &[], &[], 0, true, vec![missing]),
        (2, &[], &[], 71, false, vec![]),
        (9, &[], &[], 71, false, vec![]),
        (-2, &[], &[], 71, false, vec![]),
        (3, &[], &[7, 0], 0, true, vec![]),
        (4, &[(1, 99)], &[], 0, true, vec![outside]),
        (5, &[], &[], 0, true, vec![outside]),
        (6, &[(1, 0)], &[], 0, true, vec![(1, 0, 0, 0, false)]),
        (7, &[], &[], 0, true, vec![]),
        (8, &[], &[1], 0, false, vec![]),
        (9, &[], &[], 70, false, vec![]),
    ];
    for (n, (epoch, parts, forget, error, kept, due)) in rows.into_iter().enumerate() {
        let answer = asker.ask(wire, (id, epoch), parts, forget)?;
        let what = format!("row {n}, epoch {epoch}");
        want(&what, (answer.error_code, answer.session_id), (error, if kept { id } else { 0 }))?;
        want(&what, told(&answer), due)?;
    }
    // No session, or one that is ended: everything each time.
    let zero = vec![(0, 0, 2, 0, true)];
    for (session, epoch) in [(0, -1), (id, -1), (-5, -1), (i32::MAX, -1)] {
        let answer = asker.ask(wire, (session, epoch), &[(0, 0)], &[])?;
        want("without a session", (answer.error_code, answer.session_id), (0, 0))?;
        want("without a session", told(&answer), zero.clone())?;
    }
    for (session, epoch) in [(0, 1), (0, -2), (-5, 1), (i32::MIN, i32::MIN)] {
        let answer = asker.ask(wire, (session, epoch), &[(0, 0)], &[])?;
        want("nobody's session", (answer.error_code, told(&answer)), (70, vec![]))?;
    }
    Ok(())
}

#[test]
fn a_session_keeps_to_names_or_to_ids_and_ends_when_it_is_told_to() -> Result<()> {
    let (_broker, mut wire) = start(Options::default())?;
    let id = wire.create_topic(TOPIC, 1)?;
    for (version, other) in [(12, 13), (13, 12)] {
        let asker = Asker { version, id };
        let session = asker.ask(&mut wire, (0, 0), &[(0, 0)], &[])?.session_id;
        let switched = Asker { version: other, id }.ask(&mut wire, (session, 1), &[], &[])?;
        want("another way to name topics", (switched.error_code, switched.session_id), (106, 0))?;
        want("and back", asker.ask(&mut wire, (session, 1), &[], &[])?.error_code, 0)?;
        let anew = asker.ask(&mut wire, (session, 0), &[(0, 0)], &[])?.session_id;
        want("the one named at epoch 0", asker.ask(&mut wire, (session, 2), &[], &[])?.error_code, 70)?;
        want("the one made instead", asker.ask(&mut wire, (anew, 1), &[], &[])?.error_code, 0)?;
        want("its end", asker.ask(&mut wire, (anew, -1), &[(0, 0)], &[])?.session_id, 0)?;
        want("after it", asker.ask(&mut wire, (anew, 2), &[], &[])?.error_code, 70)?;
    }
    Ok(())
}

#[test]
fn partitions_take_turns_where_only_one_fits_an_answer() -> Result<()> {
    let (_broker, mut wire) = start(Options::default())?;
    let asker = Asker { version: 16, id: wire.create_topic(TOPIC, 3)? };
    for partition in 0..3 {
        write(&mut wire, TOPIC, partition)?;
    }
    let one =
        |session, epoch, parts: &[(i32, i64)]| asker.request(session, epoch, parts, &[]).with_max_bytes(1);
    let first = wire.call(asker.version, &one(0, 0, &[(0, 0), (1, 0), (2, 0)]))?;
    let mut turns = Vec::new();
    for epoch in 1..=6 {
        // Nobody moves on: each has the same record for ever.
        let answer = wire.call(asker.version, &one(first.session_id, epoch, &[]))?;
        turns.extend(told(&answer).into_iter().filter(|p| p.4).map(|p| p.0));
    }
    want("who had records", turns, vec![0, 1, 2, 0, 1, 2])
}

#[test]
fn a_fetch_of_a_session_waits_and_brings_only_what_came() -> Result<()> {
    let (broker, mut wire) = start(Options::default())?;
    let asker = Asker { version: 17, id: wire.create_topic(TOPIC, 2)? };
    let session = asker.ask(&mut wire, (0, 0), &[(0, 0), (1, 0)], &[])?.session_id;
    let mut beside = Wire::connect(broker.addr())?;
    for epoch in 1..=3 {
        let waits = asker.request(session, epoch, &[(1, i64::from(epoch) - 1)], &[]);
        wire.send(asker.version, &waits.with_max_wait_ms(WAIT).with_min_bytes(1))?;
        write(&mut beside, TOPIC, 1)?;
        let answer = wire.receive::<FetchRequest>(asker.version)?;
        want("what came", told(&answer), vec![(1, 0, i64::from(epoch), 0, true)])?;
    }
    Ok(())
}

#[test]
fn a_topic_that_is_made_again_is_unknown_by_its_old_id() -> Result<()> {
    let (_broker, mut wire) = start(Options::default())?;
    let asker = Asker { version: 18, id: wire.create_topic(TOPIC, 1)? };
    let names = Asker { version: 12, ..asker };
    let session = asker.ask(&mut wire, (0, 0), &[(0, 0)], &[])?.session_id;
    let by_name = names.ask(&mut wire, (0, 0), &[(0, 0)], &[])?.session_id;
    let delete = DeleteTopicsRequest::default().with_topic_names(vec![name(TOPIC)]).with_timeout_ms(30_000);
    want("deleted", wire.call(5, &delete)?.responses[0].error_code, 0)?;
    want("gone", told(&names.ask(&mut wire, (by_name, 1), &[], &[])?), vec![(0, 3, -1, -1, false)])?;
    wire.create_topic(TOPIC, 1)?;
    write(&mut wire, TOPIC, 0)?;
    want("by id", told(&asker.ask(&mut wire, (session, 1), &[], &[])?), vec![(0, 100, -1, -1, false)])?;
    want("by name", told(&names.ask(&mut wire, (by_name, 2), &[], &[])?), vec![(0, 0, 1, 0, true)])
}

#[test]
fn without_a_slot_a_client_is_served_without_a_session() -> Result<()> {
    let dir = callboard_cluster_tests::process::scratch()?;
    let file = dir.path().join("callboard.toml");
    std::fs::write(&file, "max_incremental_fetch_session_cache_slots = 1\n")?;
    let (_broker, mut wire) = start(Options::default().with_env("CALLBOARD_CONFIG", file.display()))?;
    let asker = Asker { version: 12, id: wire.create_topic(TOPIC, 2)? };
    wire.send_batch(TOPIC, 0, -1, batch(None))?;
    want("a record", wire.receive_batch()?, (0, 0))?;
    let first = asker.ask(&mut wire, (0, 0), &[(0, 0)], &[])?;
    let second = asker.ask(&mut wire, (0, 0), &[(0, 0), (1, 0)], &[])?;
    want("slots", (first.session_id > 0, second.session_id), (true, 0))?;
    want("served all the same", told(&second), vec![(0, 0, 1, 0, true), (1, 0, 0, 0, false)])?;
    want("the first one lives", asker.ask(&mut wire, (first.session_id, 1), &[], &[])?.error_code, 0)
}

#[test]
fn partitions_that_are_nowhere_do_not_fill_the_memory() -> Result<()> {
    let (broker, mut wire) = start(Options::default())?;
    let asker = Asker { version: 13, id: Uuid::from_u128(7) };
    let before = broker.resident()?;
    let parts: Vec<(i32, i64)> = (0..100_000).map(|n| (n, 0)).collect();
    let mut made = 0;
    for _ in 0..4 {
        let answer = asker.ask(&mut wire, (0, 0), &parts, &[])?;
        want("every one is unknown", told(&answer).iter().filter(|p| p.1 == 100).count(), parts.len())?;
        made += usize::from(answer.session_id > 0);
    }
    want("sessions of 100,000 partitions", made, 1)?;
    let grown = broker.resident()?.saturating_sub(before);
    if grown > 300 << 20 { bail!("{grown} bytes of memory for partitions that are nowhere") } else { Ok(()) }
}
