//! The history of a load: every client writes down what it did, and when, as soon as it knows the outcome.
//!
//! ```text
//!   processes   0 …       lanes        10 000 …  members of the group      20 000 …  readers
//!               30 000    the driver           40 000 …  the final read, a process for each try
//! ```
//! A value is the lane and the number of its record. A record with other bytes than were sent becomes a value that was
//! never sent. Metadata is written down where it tells something new. Nothing here judges.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use bytes::Buf;
use parking_lot::Mutex;

use super::map::View;
use crate::history::{Ends, History, Kind, Op, Outcome, Part, Time};
use crate::process::load::Script;
use crate::process::verdict::Read;
use crate::process::wire::Fetched;
use crate::timeline::wall_ms;

pub(super) const MEMBERS: u32 = 10_000;
pub(super) const READERS: u32 = 20_000;
pub(super) const DRIVER: u32 = 30_000;
pub(super) const FINAL: u32 = 40_000;

/// Values from here on are bytes that nobody sent.
const STRANGE: u64 = 1 << 63;
/// Bits of a value for the number of the record.
const NUMBER: u32 = 40;

pub(super) struct Recorder {
    begun: Instant,
    script: Script,
    state: Mutex<State>,
}

struct State {
    history: History,
    parts: Vec<Part>,
    /// Partition, epoch and leader that were told.
    leaders: BTreeSet<(i32, i32, i32)>,
    clusters: BTreeSet<String>,
}

impl Recorder {
    pub fn new(topic: &str, partitions: i32, script: Script) -> Recorder {
        let mut history = History::default();
        history.wall_ms = wall_ms();
        let parts = (0..partitions).map(|partition| history.part(topic, partition)).collect();
        let state = State { history, parts, leaders: BTreeSet::new(), clusters: BTreeSet::new() };
        Recorder { begun: Instant::now(), script, state: Mutex::new(state) }
    }

    pub fn now(&self) -> Time {
        self.begun.elapsed().as_micros() as Time
    }

    pub fn name(&self, process: u32, name: String) {
        self.state.lock().history.processes.insert(process, name);
    }

    fn push(
        &self,
        process: u32,
        begin: Time,
        outcome: Outcome,
        kind: impl FnOnce(&mut State) -> Option<Kind>,
    ) {
        let mut state = self.state.lock();
        let end = self.now();
        if let Some(kind) = kind(&mut state) {
            state.history.push(Op { process, txn: 0, begin, end, outcome, kind });
        }
    }

    /// Acknowledged records of a lane. Without a base offset they are duplicates of records that are there.
    pub fn sent(&self, lane: u32, partition: i32, begin: Time, first: u64, count: u64, base: i64) {
        let mut state = self.state.lock();
        let end = self.now();
        let Some(part) = state.part(partition) else { return };
        for n in 0..count {
            let offset = if base < 0 { -1 } else { base + n as i64 };
            let kind = Kind::Send { part, value: value(lane, first + n), offset };
            state.history.push(Op { process: lane, txn: 0, begin, end, outcome: Outcome::Ok, kind });
        }
    }

    /// A poll that was answered.
    pub fn polled(
        &self,
        process: u32,
        partition: i32,
        begin: Time,
        from: i64,
        reads: &[Read],
        ends: &Fetched,
    ) {
        let records: Vec<(i64, u64)> = reads.iter().map(|read| (read.offset, self.value_of(read))).collect();
        let ends = Ends { start: ends.start, stable: ends.stable, high: ends.high_watermark };
        self.push(process, begin, Outcome::Ok, |state| {
            let part = state.part(partition)?;
            Some(state.history.poll(part, false, from, &records, ends))
        });
    }

    fn value_of(&self, read: &Read) -> u64 {
        let mut bytes = read.value.clone();
        if bytes.len() >= 12 {
            let (lane, n) = (bytes.get_u32(), bytes.get_u64());
            if n < 1 << NUMBER && lane < MEMBERS && self.script.payload(lane, n) == read.value {
                return value(lane, n);
            }
        }
        STRANGE | u64::from(crc32c::crc32c(&read.value))
    }

    pub fn assigned(&self, process: u32, partitions: impl Iterator<Item = i32>) {
        self.listed(process, partitions, |parts| Kind::Assign { parts });
    }

    pub fn rebalanced(&self, process: u32, partitions: impl Iterator<Item = i32>) {
        self.listed(process, partitions, |parts| Kind::Rebalance { parts });
    }

    fn listed(
        &self,
        process: u32,
        partitions: impl Iterator<Item = i32>,
        kind: fn(crate::history::Span) -> Kind,
    ) {
        self.push(process, self.now(), Outcome::Ok, |state| {
            let parts: Vec<Part> = partitions.filter_map(|partition| state.part(partition)).collect();
            Some(kind(state.history.list(&parts)))
        });
    }

    pub fn subscribed(&self, process: u32, group: &str) {
        self.name(process, format!("member {} of {group}", process - MEMBERS));
        self.push(process, self.now(), Outcome::Ok, |state| {
            Some(Kind::Subscribe { group: state.history.word(group) })
        });
    }

    pub fn commit(&self, process: u32, group: &str, begin: Time, place: (i32, i64), outcome: Outcome) {
        self.push(process, begin, outcome, |state| {
            let (group, part) = (state.history.word(group), state.part(place.0)?);
            Some(Kind::Commit { group, part, offset: place.1 })
        });
    }

    /// A client moved its own position.
    pub fn sought(&self, process: u32, partition: i32, to: i64) {
        self.push(process, self.now(), Outcome::Ok, |state| {
            Some(Kind::Seek { part: state.part(partition)?, to })
        });
    }

    /// Places of a group, as its coordinator told them.
    pub fn committed(&self, process: u32, group: &str, begin: Time, places: &BTreeMap<i32, i64>) {
        for (partition, offset) in places {
            self.push(process, begin, Outcome::Ok, |state| {
                let (group, part) = (state.history.word(group), state.part(*partition)?);
                Some(Kind::Committed { group, part, offset: *offset })
            });
        }
    }

    pub fn end(&self, process: u32, partition: i32, begin: Time, offset: i64) {
        self.push(process, begin, Outcome::Ok, |state| {
            Some(Kind::End { part: state.part(partition)?, offset })
        });
    }

    pub fn whole(&self, process: u32, partition: i32, start: i64, end: i64) {
        self.push(process, self.now(), Outcome::Ok, |state| {
            Some(Kind::Whole { part: state.part(partition)?, start, end })
        });
    }

    /// Leaders and cluster id that were not told before.
    pub fn viewed(&self, process: u32, begin: Time, view: &View) {
        for (partition, place) in &view.places {
            self.push(process, begin, Outcome::Ok, |state| {
                let new = state.leaders.insert((*partition, place.epoch, place.leader));
                let part = state.part(*partition).filter(|_| new)?;
                Some(Kind::Leader { part, epoch: place.epoch, leader: place.leader })
            });
        }
        if let Some(cluster) = &view.cluster {
            self.push(process, begin, Outcome::Ok, |state| {
                let new = state.clusters.insert(cluster.clone());
                new.then(|| Kind::Cluster { id: state.history.word(cluster) })
            });
        }
    }

    /// Takes the history; nothing that comes later is kept.
    pub fn take(&self) -> History {
        std::mem::take(&mut self.state.lock().history)
    }
}

impl State {
    fn part(&self, partition: i32) -> Option<Part> {
        self.parts.get(usize::try_from(partition).ok()?).copied()
    }
}

fn value(lane: u32, n: u64) -> u64 {
    (u64::from(lane) << NUMBER) | n
}
