//! A log service that keeps all its promises, and clients of all kinds, driven by a seed.
//!
//! Each operation has its effect at one moment between its begin and its end, so operations of different processes overlap.
//! Sends, commits and ends of transactions may lose their answers. Transactions leave control records and aborted values in
//! the logs. Members of the group change their shares now and then, and start from the committed place.

use std::collections::BTreeMap;

use super::super::op::{Ends, History, Kind, Op, Outcome, Part, Time, UNTOLD};
use crate::process::load::Rng;

const PARTS: usize = 3;
const PRODUCERS: u32 = 3;
const WRITERS: u32 = 2;
const READERS: u32 = 3;
const MEMBERS: u32 = 2;

#[derive(Clone, Copy)]
struct Entry {
    /// `None` is a control record.
    value: Option<u64>,
    /// Process and number of its transaction.
    txn: Option<(u32, u32)>,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Open,
    Committed,
    Aborted,
}

pub struct World {
    pub history: History,
    rng: Rng,
    now: Time,
    logs: Vec<Vec<Entry>>,
    txns: BTreeMap<(u32, u32), State>,
    /// The number of each writer's transaction, and whether one is open.
    open: BTreeMap<u32, (u32, bool)>,
    free: BTreeMap<u32, Time>,
    positions: BTreeMap<(u32, usize), usize>,
    shares: BTreeMap<u32, Vec<usize>>,
    places: Vec<i64>,
    next: u64,
}

/// The history of a service without a fault, with so many steps.
pub fn history(seed: u64, steps: u64) -> History {
    let mut world = World::new(seed);
    (0..steps).for_each(|_| world.step());
    world.finish();
    world.history
}

impl World {
    fn new(seed: u64) -> World {
        let mut history = History::default();
        for n in 0..PARTS {
            history.part("t", n as i32);
        }
        World {
            history,
            rng: Rng::new(seed),
            now: 1_000,
            logs: vec![Vec::new(); PARTS],
            txns: BTreeMap::new(),
            open: BTreeMap::new(),
            free: BTreeMap::new(),
            positions: BTreeMap::new(),
            shares: BTreeMap::new(),
            places: vec![-1; PARTS],
            next: 1,
        }
    }

    fn some_part(&mut self) -> usize {
        self.rng.below(PARTS as u64) as usize
    }

    fn push(&mut self, process: u32, txn: u32, outcome: Outcome, kind: Kind) {
        let free = self.free.get(&process).copied().unwrap_or_default();
        let begin = free.max(self.now - self.rng.below(40));
        let end = self.now + self.rng.below(60);
        self.free.insert(process, end);
        self.history.push(Op { process, txn, begin, end, outcome, kind });
    }

    fn step(&mut self) {
        self.now += 1 + self.rng.below(20);
        let all = PRODUCERS + WRITERS + READERS + MEMBERS;
        let process = self.rng.below(u64::from(all)) as u32;
        if self.free.get(&process).is_some_and(|free| *free >= self.now) {
            return;
        }
        match process {
            n if n < PRODUCERS => self.produce(n, 0),
            n if n < PRODUCERS + WRITERS => self.transact(n),
            n if n < PRODUCERS + WRITERS + READERS => self.read(n, 0),
            n => self.member(n),
        }
    }

    fn value(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn produce(&mut self, process: u32, txn: u32) {
        let (value, part) = (self.value(), self.some_part());
        let place = Part(part as u32);
        let offset = self.logs[part].len() as i64;
        let key = (txn != 0).then_some((process, txn));
        let (there, outcome, told) = match self.rng.below(20) {
            0 => (false, Outcome::Fail, UNTOLD),
            1 => (false, Outcome::Info, UNTOLD),
            2 => (true, Outcome::Info, UNTOLD),
            3 => (true, Outcome::Ok, UNTOLD),
            _ => (true, Outcome::Ok, offset),
        };
        if there {
            self.logs[part].push(Entry { value: Some(value), txn: key });
        }
        self.push(process, txn, outcome, Kind::Send { part: place, value, offset: told });
    }

    fn transact(&mut self, process: u32) {
        let (number, open) = self.open.get(&process).copied().unwrap_or((0, false));
        let number = if open { number } else { number + 1 };
        if !open {
            self.open.insert(process, (number, true));
            self.txns.insert((process, number), State::Open);
        }
        match self.rng.below(6) {
            0..=2 => self.produce(process, number),
            3 => self.read(process, number),
            _ => {
                let commit = self.rng.below(3) > 0;
                let lost = self.rng.below(8) == 0;
                let failed = commit && !lost && self.rng.below(8) == 0;
                let state = if commit && !failed { State::Committed } else { State::Aborted };
                self.txns.insert((process, number), state);
                self.open.insert(process, (number, false));
                for log in &mut self.logs {
                    if log.iter().any(|entry| entry.txn == Some((process, number))) {
                        log.push(Entry { value: None, txn: None });
                    }
                }
                let outcome = match (lost, failed) {
                    (true, _) => Outcome::Info,
                    (_, true) => Outcome::Fail,
                    _ => Outcome::Ok,
                };
                self.push(process, number, outcome, Kind::EndTxn { commit });
            }
        }
    }

    fn stable(&self, part: usize) -> usize {
        let open = |entry: &Entry| entry.txn.is_some_and(|txn| self.txns.get(&txn) == Some(&State::Open));
        self.logs[part].iter().position(open).unwrap_or(self.logs[part].len())
    }

    /// Reads some records from the process's position on, committed ones only.
    fn poll(&mut self, process: u32, txn: u32, part: usize, most: u64) {
        let from = self.positions.get(&(process, part)).copied().unwrap_or_default();
        let stable = self.stable(part);
        let to = stable.min(from + self.rng.below(most) as usize).max(from.min(stable));
        let shown =
            |entry: &Entry| entry.txn.is_none_or(|txn| self.txns.get(&txn) == Some(&State::Committed));
        let range = self.logs[part].get(from..to).unwrap_or_default().iter().enumerate();
        let records: Vec<(i64, u64)> = range
            .filter(|(_, entry)| shown(entry))
            .filter_map(|(n, entry)| Some(((from + n) as i64, entry.value?)))
            .collect();
        let ends = Ends { start: 0, stable: stable as i64, high: self.logs[part].len() as i64 };
        let kind = self.history.poll(Part(part as u32), true, from as i64, &records, ends);
        self.positions.insert((process, part), to.max(from));
        self.push(process, txn, Outcome::Ok, kind);
    }

    fn read(&mut self, process: u32, txn: u32) {
        let part = self.some_part();
        if txn == 0 && self.rng.below(12) == 0 {
            let offset = self.logs[part].len() as i64;
            return self.push(process, 0, Outcome::Ok, Kind::End { part: Part(part as u32), offset });
        }
        self.poll(process, txn, part, 9);
    }

    fn member(&mut self, process: u32) {
        let group = self.history.word("g");
        let fresh = !self.shares.contains_key(&process);
        if fresh || self.rng.below(25) == 0 {
            // The group deals all partitions anew; each member starts from the committed places.
            for n in 0..MEMBERS {
                let member = PRODUCERS + WRITERS + READERS + n;
                let share: Vec<usize> = (0..PARTS).filter(|p| *p as u32 % MEMBERS == n).collect();
                let parts: Vec<Part> = share.iter().map(|p| Part(*p as u32)).collect();
                let parts = self.history.list(&parts);
                self.now = self.now.max(self.free.get(&member).copied().unwrap_or_default() + 1);
                self.push(member, 0, Outcome::Ok, Kind::Rebalance { parts });
                for part in &share {
                    self.now = self.now.max(self.free.get(&member).copied().unwrap_or_default() + 1);
                    let offset = self.places[*part];
                    let kind = Kind::Committed { group, part: Part(*part as u32), offset };
                    self.positions.insert((member, *part), offset.max(0) as usize);
                    self.push(member, 0, Outcome::Ok, kind);
                }
                self.shares.insert(member, share);
            }
            return;
        }
        let share = self.shares.get(&process).cloned().unwrap_or_default();
        let Some(part) = share.get(self.rng.below(share.len() as u64) as usize).copied() else { return };
        if self.rng.below(2) == 0 {
            return self.poll(process, 0, part, 9);
        }
        let offset = self.positions.get(&(process, part)).copied().unwrap_or_default() as i64;
        let (there, outcome) = match self.rng.below(10) {
            0 => (false, Outcome::Fail),
            1 => (false, Outcome::Info),
            2 => (true, Outcome::Info),
            _ => (true, Outcome::Ok),
        };
        if there {
            self.places[part] = offset;
        }
        self.push(process, 0, outcome, Kind::Commit { group, part: Part(part as u32), offset });
    }

    fn finish(&mut self) {
        self.now += 1_000;
        let open: Vec<(u32, u32)> =
            self.txns.iter().filter(|(_, state)| **state == State::Open).map(|(txn, _)| *txn).collect();
        for txn in open {
            self.txns.insert(txn, State::Aborted);
        }
        for part in 0..PARTS {
            let end = self.logs[part].len();
            while self.positions.get(&(99, part)).copied().unwrap_or_default() < end {
                self.now += 100;
                self.poll(99, 0, part, 200);
            }
            self.now += 100;
            let whole = Kind::Whole { part: Part(part as u32), start: 0, end: end as i64 };
            self.push(99, 0, Outcome::Ok, whole);
        }
    }
}
