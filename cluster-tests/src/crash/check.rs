//! Recovery from an image, and the rules that must hold after it.
//!
//! A first part of each replica's entries is there, whole and in order. No announced entry is missing; no entry is there
//! that was taken back or never written. An `os` topic may lose entries to a power cut, but only with a verdict that says
//! so. A topic that was `fsync` all its life is always clean. This module makes no cuts: `mod.rs` does.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use callboard::storage::{Engine, EngineOptions, Opened, Store, StoreOptions};
use callboard_actors::ports::{ReadError, ReadRequest, ReplicaState, Verdict};
use callboard_core::partition::Judgement;
use callboard_core::records::{self, Records};
use callboard_core::storage::{Durability, Entry, Residence};
use callboard_core::{Offset, ReplicaId};

use super::disk::CrashDisk;
use super::model::{Expected, Replica, Written};

/// The data directory on every crash disk.
pub const DATA: &str = "/data";
/// Bytes of a segment: small, so that a script rolls often.
pub const SEGMENT: u64 = 16 << 10;

/// Runs of so many bytes stay in the journal; a script makes larger and smaller ones.
const LARGE: u32 = 300;
/// Bytes that a shard's journal may hold; a script outgrows them.
const JOURNAL: u64 = 8 * SEGMENT;

/// Bound that writes about half of the segments with zeros; the disk only promises the others.
const ZEROS_BELOW: u64 = 700;

/// Options of a store that this backend opens.
#[must_use]
pub fn options(shards: usize, boot: &str) -> StoreOptions {
    StoreOptions {
        shards: Some(shards),
        default_shards: shards,
        boot_id: boot.into(),
        journal_bytes_max: Some(JOURNAL * shards as u64),
        engine: EngineOptions {
            segment_bytes: SEGMENT,
            unsettled_bytes_max: 4 * SEGMENT,
            cache_bytes: 1 << 20,
            residence: Residence { large_run: LARGE, journal_bytes_max: 0 },
            zeros_below: ZEROS_BELOW,
            ..EngineOptions::default()
        },
    }
}

/// A store that came up.
pub struct Up {
    pub disk: CrashDisk,
    pub store: Store,
    pub engines: Vec<Arc<Engine>>,
    /// Recovery's report, by shard and replica.
    pub states: BTreeMap<(usize, ReplicaId), ReplicaState>,
}

/// Opens the store on this disk; every shard has to work.
pub fn start(disk: &CrashDisk, shards: usize, boot: &str) -> Result<Up, String> {
    let store = Store::open(Arc::new(disk.clone()), Path::new(DATA), &options(shards, boot))
        .map_err(|e| format!("the store does not open: {e}"))?;
    let (mut engines, mut states) = (Vec::new(), BTreeMap::new());
    for (n, opened) in store.shards.iter().enumerate() {
        match opened {
            Opened::Lost { fault } => return Err(format!("shard {n} is lost: {fault}")),
            Opened::Shard { engine, states: found } => {
                engines.push(Arc::clone(engine));
                states.extend(found.iter().map(|s| ((n, s.replica), s.clone())));
            }
        }
    }
    Ok(Up { disk: disk.clone(), store, engines, states })
}

/// Losses that the circumstances allow.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allow {
    /// Entries that were only written may be gone, because the power was cut.
    pub unsynced_lost: bool,
    /// A sync had failed and the store said so: no replica has to be clean then.
    pub sync_failed: bool,
    /// Stored bytes have rotted: a replica may be corrupt, if it says so.
    pub rot: bool,
}

/// The journal position that each shard tells the outside now.
#[must_use]
pub fn positions(up: &Up) -> Vec<u64> {
    up.engines.iter().map(|engine| engine.stats().synced_position).collect()
}

/// A position that was told is found again (R46): a lower one would make a sound directory look like an old copy.
pub fn reach(up: &Up, told: &[u64]) -> Result<(), String> {
    let found = positions(up);
    let short = told.iter().zip(&found).position(|(told, found)| found < told);
    match short {
        Some(n) => Err(format!("shard {n} told position {} and comes back at {}", told[n], found[n])),
        None => Ok(()),
    }
}

/// Number of each replica's entries that are there.
pub type Lengths = BTreeMap<(usize, ReplicaId), usize>;

/// Compares a store that came up with the ledger. `floor` is the report of an earlier recovery.
pub fn compare(up: &Up, ledger: &[Replica], floor: &Lengths, allow: Allow) -> Result<Lengths, String> {
    let known: BTreeMap<(usize, ReplicaId), &Replica> =
        ledger.iter().map(|r| ((r.shard, r.replica), r)).collect();
    if let Some(stranger) = up.states.keys().find(|key| !known.contains_key(key)) {
        return Err(format!("replica {stranger:?} came back and was never opened, or was dropped long ago"));
    }
    for (n, engine) in up.engines.iter().enumerate().filter(|_| !allow.rot) {
        engine.audit().map_err(|fault| format!("shard {n}: {fault}"))?;
    }
    let mut lengths = Lengths::new();
    for (key, replica) in known {
        let result = match up.states.get(&key) {
            None => absent(replica, floor.get(&key).copied(), allow).map(|()| None),
            Some(state) if state.id != replica.id => Err("it is another partition's now".into()),
            Some(state) => present(&up.engines[key.0], replica, state, floor.get(&key).copied(), allow),
        };
        match result {
            Ok(length) => lengths.extend(length.map(|n| (key, n))),
            Err(why) => {
                let heard = replica.persisted;
                let submitted = replica.entries.len();
                return Err(format!(
                    "replica {key:?}, {submitted} entries submitted, written {}, synced {}: {why}; its \
                     last entries: {}",
                    heard.written.0,
                    heard.synced.0,
                    replica.tail(30)
                ));
            }
        }
    }
    Ok(lengths)
}

/// Checks a replica that is not there: it was dropped, or its opening was never announced.
fn absent(replica: &Replica, floor: Option<usize>, allow: Allow) -> Result<(), String> {
    let announced = if allow.unsynced_lost { replica.persisted.synced } else { replica.persisted.written };
    if replica.dropped() || allow.rot {
        return Ok(());
    }
    match floor {
        Some(_) => Err("it was reported by an earlier recovery and is gone".into()),
        None if announced.0 >= 1 => Err("its opening was announced, and it is gone".into()),
        None => Ok(()),
    }
}

fn present(
    engine: &Engine,
    replica: &Replica,
    state: &ReplicaState,
    floor: Option<usize>,
    allow: Allow,
) -> Result<Option<usize>, String> {
    if let (true, Verdict::Corrupt(_)) = (allow.rot, &state.verdict) {
        return Ok(None);
    }
    let length = state.seq.0 as usize;
    let (written, synced) = (replica.persisted.written.0 as usize, replica.persisted.synced.0 as usize);
    let least = if allow.unsynced_lost { synced } else { written };
    if length > replica.entries.len() {
        return Err(format!("{length} entries came back, more than were ever submitted"));
    }
    if length < least {
        return Err(format!("{length} entries came back, {least} were announced; {:?}", state.verdict));
    }
    if floor.is_some_and(|floor| length < floor) {
        return Err(format!("{length} entries came back, an earlier recovery had reported {floor:?}"));
    }
    verdict(replica, state, length, allow)?;
    let expected = replica.after(length);
    if !expected.open {
        return Err("it came back although its end was journaled before".into());
    }
    if (state.log_start, state.next) != (expected.log_start, expected.next) {
        return Err(format!(
            "after {length} entries it has offsets {}..{}, and should have {}..{}",
            state.log_start, state.next, expected.log_start, expected.next
        ));
    }
    epochs(state, &expected)?;
    committed(replica, state, &expected)?;
    producers(replica, state, length, &expected)?;
    if !content(engine, state, &expected, allow)? {
        return Ok(Some(length));
    }
    times(engine, state, &expected)?;
    size(engine, replica, state, length, &expected)?;
    Ok(Some(length))
}

fn verdict(replica: &Replica, state: &ReplicaState, length: usize, allow: Allow) -> Result<(), String> {
    let written = replica.persisted.written.0 as usize;
    let missing = replica.entries.get(length..written).unwrap_or_default();
    // Only records count: the node may set a log start of an `os` topic again.
    let record = |e: &Written| e.durability == Durability::Os && matches!(e.entry, Entry::Append { .. });
    let acknowledged = missing.iter().any(|e| record(e));
    let always_fsync = replica.entries.iter().all(|e| e.durability == Durability::Fsync);
    match &state.verdict {
        Verdict::Clean if acknowledged => {
            Err(format!("{} of {written} entries came back and it counts as clean", length))
        }
        Verdict::Clean => Ok(()),
        other if always_fsync && !allow.rot && !allow.sync_failed => {
            Err(format!("always fsync, and {other:?}"))
        }
        Verdict::Corrupt(why) => Err(format!("corrupt, and nothing has rotted: {why}")),
        Verdict::Unclean(_) => Ok(()),
    }
}

fn epochs(state: &ReplicaState, expected: &Expected) -> Result<(), String> {
    let (found, wanted) = (&state.epochs, expected.epochs.iter().map(|(e, s)| (*e, *s)).collect::<Vec<_>>());
    if *found == wanted { Ok(()) } else { Err(format!("leader epochs {found:?} in place of {wanted:?}")) }
}

/// R42: a high watermark that the store gives back was told before, or a higher one was. Below it stands what stood there
/// when it was told, unless the log start has passed that.
fn committed(replica: &Replica, state: &ReplicaState, expected: &Expected) -> Result<(), String> {
    let found = state.high_watermark;
    if !(expected.log_start..=expected.next).contains(&found) {
        return Err(format!("high watermark {found} outside {}..={}", expected.log_start, expected.next));
    }
    let counts = |head: &records::BatchHead| {
        head.next_offset() > expected.log_start && head.base_offset < found && found > expected.log_start
    };
    let wanted: Vec<_> = expected.batches.iter().filter(|b| counts(&b.head)).map(|b| &b.bytes).collect();
    let same = |(count, told): &(usize, Offset)| {
        let then = replica.after(*count);
        *told >= found
            && then.batches.iter().filter(|b| counts(&b.head)).map(|b| &b.bytes).eq(wanted.iter().copied())
    };
    if found == expected.log_start || replica.told.iter().rev().any(same) {
        return Ok(());
    }
    Err(format!(
        "high watermark {found} names records that never were below one; told were {:?}",
        replica.told
    ))
}

/// A retry of each producer's newest readable batch is a duplicate, unless the store was told to forget the producer. A
/// retry of a batch that is not there is no duplicate.
fn producers(
    replica: &Replica,
    state: &ReplicaState,
    length: usize,
    expected: &Expected,
) -> Result<(), String> {
    let newest: BTreeMap<i64, _> = expected.readable().map(|b| (b.head.producer_id, b.head)).collect();
    for head in newest.values() {
        match state.producers.judge(head) {
            Judgement::Duplicate(stored) if stored.base_offset == head.base_offset => {}
            Judgement::Fresh if replica.may_forget(head, length) => {}
            other => return Err(format!("a retry of the batch at {} is {other:?}", head.base_offset)),
        }
    }
    let never = replica.entries[length..].iter().filter_map(|e| records::head(&e.bytes).ok());
    let stored = |head: &records::BatchHead| {
        let same = |b: &super::model::Stored| {
            (b.head.producer_id, b.head.base_sequence) == (head.producer_id, head.base_sequence)
        };
        expected.batches.iter().any(same)
    };
    for head in never.chain(expected.truncated.iter().copied()).filter(|head| !stored(head)) {
        if let Judgement::Duplicate(_) = state.producers.judge(&head) {
            return Err(format!(
                "a retry of the batch at {}, which is not stored, counts as a duplicate",
                head.base_offset
            ));
        }
    }
    Ok(())
}

/// The newest record is the newest of the readable ones, whatever stands in blocks beside them.
fn times(engine: &Engine, state: &ReplicaState, expected: &Expected) -> Result<(), String> {
    let mut wanted: Option<(i64, Offset)> = None;
    for batch in expected.readable() {
        let opened = Records::open(&batch.bytes, 1 << 20).map_err(|e| format!("a batch written: {e}"))?;
        for record in opened.iter() {
            let record = record.map_err(|e| format!("a record written: {e}"))?;
            let newer = wanted.is_none_or(|(time, _)| record.timestamp > time);
            if record.offset >= expected.log_start && newer {
                wanted = Some((record.timestamp, record.offset));
            }
        }
    }
    let found = engine.max_time(state.replica, expected.log_start, expected.next);
    let found = found.map_err(|e| format!("the newest record: {e}"))?.map(|hit| (hit.timestamp, hit.offset));
    if found == wanted { Ok(()) } else { Err(format!("the newest record is {found:?}, not {wanted:?}")) }
}

/// The size counts readable batches, and no bytes that were never written. Batches that wait for the sweep may count.
fn size(
    engine: &Engine,
    replica: &Replica,
    state: &ReplicaState,
    length: usize,
    expected: &Expected,
) -> Result<(), String> {
    let size = engine.size(state.replica).map_err(|e| format!("its size: {e}"))?;
    let least: usize = expected.readable().map(|batch| batch.bytes.len()).sum();
    let most: usize = replica.entries[..length].iter().map(|entry| entry.bytes.len()).sum();
    if (least as u64..=most as u64).contains(&size) {
        return Ok(());
    }
    Err(format!("its size is {size}, of {least} bytes that can be read and {most} ever written"))
}

/// Reads every batch back, byte by byte. False: one has rotted where it stays in the journal, and both the read and the
/// scrubber say so.
fn content(engine: &Engine, state: &ReplicaState, expected: &Expected, allow: Allow) -> Result<bool, String> {
    let mut wanted = expected.readable();
    let mut from = expected.log_start;
    while from < expected.next {
        let request = ReadRequest {
            replica: state.replica,
            from,
            until: Offset::MAX,
            max_bytes: 64 << 10,
            files: false,
        };
        let slices = match engine.read(request) {
            Ok(slices) => slices,
            Err(ReadError::Corrupt(why)) if allow.rot => {
                let scrubbed = engine.scrub(u64::MAX).map_err(|fault| fault.to_string())?;
                let refused = engine.read(request).is_err();
                return match scrubbed.rotten > 0 && refused {
                    true => Ok(false),
                    false => Err(format!("reading at {from}: {why}; the scrubber saw nothing of it")),
                };
            }
            Err(e) => return Err(format!("reading at {from}: {e}")),
        };
        if slices.bytes == 0 {
            break;
        }
        from = slices.next;
        for part in slices.in_memory() {
            for batch in records::batches(part) {
                let (bytes, head) = batch.map_err(|e| format!("a batch read: {e}"))?;
                match wanted.next() {
                    Some(stored) if stored.bytes == bytes => {}
                    _ => {
                        return Err(format!("the batch read at {} is not the one written", head.base_offset));
                    }
                }
            }
        }
    }
    match wanted.next() {
        None => Ok(true),
        Some(stored) => Err(format!("the batch at {} is not read back", stored.head.base_offset)),
    }
}
