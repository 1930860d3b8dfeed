//! Operations of a history, each with the client that did it, its begin, its end and what the client was told.
//!
//! ```text
//!   process 3   |--- send 77 to t-0 ---| ok at 12
//!   process 9        |-- poll t-0 from 10 ------| ok: 10, 11, 12; the log starts at 0, is stable and ends at 13
//!   time        0         1         2         3
//! ```
//! The effect lies somewhere between begin and end; so one operation is before another only if it ends before the other
//! begins. A process is one client, and its operations stand in the order in which it did them. A value is a number that
//! is sent once in a history. Records of polls and ends of logs lie in tables of their own, because a history may have
//! millions of them. Nothing here judges.

use std::collections::{BTreeMap, HashMap};

/// Microseconds since the history began.
pub type Time = u64;
/// An offset that was not told.
pub const UNTOLD: i64 = -1;

/// A partition of a topic, as its place in the history's list.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Part(pub u32);

/// A group or a cluster id, as its place in the history's list of words.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Word(pub u32);

/// What a client knows of an operation's effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    Ok,
    /// It has had no effect and never will.
    Fail,
    /// A timeout, a lost connection, a storage error: it has had its effect, or will, or never will.
    Info,
}

/// A range of one of the history's tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Span {
    pub first: usize,
    pub count: u32,
}

impl Span {
    /// The elements of this range; none if the table is shorter.
    #[must_use]
    pub fn of<T>(self, table: &[T]) -> &[T] {
        table.get(self.first..self.first + self.count as usize).unwrap_or_default()
    }
}

/// Ends of a log, as the answer to a poll tells them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ends {
    pub start: i64,
    /// The last stable offset, below which no transaction is open.
    pub stable: i64,
    pub high: i64,
}

impl Ends {
    /// Ends of an answer that tells none.
    pub const UNTOLD: Ends = Ends { start: UNTOLD, stable: UNTOLD, high: UNTOLD };
}

/// What a process did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Appends a value; the offset is [`UNTOLD`] where the answer names none.
    Send { part: Part, value: u64, offset: i64 },
    /// Reads one partition from a position on.
    Poll { part: Part, committed: bool, from: i64, records: Span, ends: u32 },
    /// Reads these partitions from now on. Positions in those that it had before stay.
    Assign { parts: Span },
    /// Becomes a member of a group, which gives it partitions.
    Subscribe { group: Word },
    /// The group has given it these partitions.
    Rebalance { parts: Span },
    /// Moves its own position.
    Seek { part: Part, to: i64 },
    /// Commits the place of a group.
    Commit { group: Word, part: Part, offset: i64 },
    /// Asks for the place of a group; −1 is no place.
    Committed { group: Word, part: Part, offset: i64 },
    /// Deletes the records below an offset.
    Trim { part: Part, to: i64 },
    /// Commits or aborts the process's transaction.
    EndTxn { commit: bool },
    /// Asks for the offset behind the last record.
    End { part: Part, offset: i64 },
    /// Metadata that named the leader of an epoch; −1 is none.
    Leader { part: Part, epoch: i32, leader: i32 },
    /// Metadata that named the cluster.
    Cluster { id: Word },
    /// The process has read the partition from its start to its end, after everything else.
    Whole { part: Part, start: i64, end: i64 },
}

impl Kind {
    /// The partition, if it is about one.
    #[must_use]
    pub fn part(&self) -> Option<Part> {
        match *self {
            Kind::Send { part, .. }
            | Kind::Poll { part, .. }
            | Kind::Seek { part, .. }
            | Kind::Commit { part, .. }
            | Kind::Committed { part, .. }
            | Kind::Trim { part, .. }
            | Kind::End { part, .. }
            | Kind::Leader { part, .. }
            | Kind::Whole { part, .. } => Some(part),
            _ => None,
        }
    }
}

/// What one process did between two moments, and what it was told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Op {
    pub process: u32,
    /// The process's transaction that it is part of; 0 is none.
    pub txn: u32,
    pub begin: Time,
    pub end: Time,
    pub outcome: Outcome,
    pub kind: Kind,
}

/// All operations of a run.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Milliseconds since 1970 at time 0.
    pub wall_ms: u64,
    pub ops: Vec<Op>,
    /// Offsets and values that polls returned.
    pub records: Vec<(i64, u64)>,
    /// Partitions of [`Kind::Assign`] and [`Kind::Rebalance`].
    pub lists: Vec<Part>,
    pub ends: Vec<Ends>,
    /// What each process is called.
    pub processes: BTreeMap<u32, String>,
    parts: Vec<(String, i32)>,
    words: Vec<String>,
    known_parts: HashMap<(String, i32), Part>,
    known_words: HashMap<String, Word>,
}

impl History {
    /// The partition of this topic and number.
    pub fn part(&mut self, topic: &str, partition: i32) -> Part {
        let key = (topic.to_owned(), partition);
        if let Some(part) = self.known_parts.get(&key) {
            return *part;
        }
        let part = Part(self.parts.len() as u32);
        self.parts.push(key.clone());
        self.known_parts.insert(key, part);
        part
    }

    /// The number of a group's or a cluster's name.
    pub fn word(&mut self, text: &str) -> Word {
        if let Some(word) = self.known_words.get(text) {
            return *word;
        }
        let word = Word(self.words.len() as u32);
        self.words.push(text.to_owned());
        self.known_words.insert(text.to_owned(), word);
        word
    }

    /// Topics and numbers of all partitions, by [`Part`].
    #[must_use]
    pub fn parts(&self) -> &[(String, i32)] {
        &self.parts
    }

    /// A partition as people write it: `topic-3`.
    #[must_use]
    pub fn part_name(&self, part: Part) -> String {
        match self.parts.get(part.0 as usize) {
            Some((topic, partition)) => format!("{topic}-{partition}"),
            None => format!("partition {}", part.0),
        }
    }

    /// The name behind a number.
    #[must_use]
    pub fn word_text(&self, word: Word) -> &str {
        self.words.get(word.0 as usize).map_or("?", String::as_str)
    }

    /// Adds a list of partitions.
    pub fn list(&mut self, parts: &[Part]) -> Span {
        let span = Span { first: self.lists.len(), count: parts.len() as u32 };
        self.lists.extend_from_slice(parts);
        span
    }

    /// Adds an operation; its place in the history is returned.
    pub fn push(&mut self, op: Op) -> u32 {
        self.ops.push(op);
        (self.ops.len() - 1) as u32
    }

    /// A poll's kind, with its records and ends added to their tables.
    pub fn poll(
        &mut self,
        part: Part,
        committed: bool,
        from: i64,
        records: &[(i64, u64)],
        ends: Ends,
    ) -> Kind {
        let span = Span { first: self.records.len(), count: records.len() as u32 };
        self.records.extend_from_slice(records);
        let place = self.ends.len() as u32;
        self.ends.push(ends);
        Kind::Poll { part, committed, from, records: span, ends: place }
    }

    /// Ends that the answer to a poll told.
    #[must_use]
    pub fn ends_of(&self, place: u32) -> Ends {
        self.ends.get(place as usize).copied().unwrap_or(Ends::UNTOLD)
    }

    /// An operation in words: who, what, the answer, when.
    #[must_use]
    pub fn say(&self, at: u32) -> String {
        let Some(op) = self.ops.get(at as usize) else { return format!("op {at}: not in this history") };
        let who = match self.processes.get(&op.process) {
            Some(name) => format!("process {} ({name})", op.process),
            None => format!("process {}", op.process),
        };
        let txn = if op.txn == 0 { String::new() } else { format!(", transaction {}", op.txn) };
        let outcome = match op.outcome {
            Outcome::Ok => "ok",
            Outcome::Fail => "fail",
            Outcome::Info => "info",
        };
        let (begin, end) = (op.begin as f64 / 1e6, op.end as f64 / 1e6);
        format!("op {at}: {who}{txn}: {}: {outcome} ({begin:.6}..{end:.6} s)", self.say_kind(&op.kind))
    }

    fn say_kind(&self, kind: &Kind) -> String {
        let named = |span: &Span| {
            let names: Vec<String> = span.of(&self.lists).iter().map(|part| self.part_name(*part)).collect();
            names.join(", ")
        };
        let part = kind.part().map(|part| self.part_name(part)).unwrap_or_default();
        match kind {
            Kind::Send { value, offset: UNTOLD, .. } => format!("send of {value} to {part}"),
            Kind::Send { value, offset, .. } => format!("send of {value} to {part} at {offset}"),
            Kind::Poll { from, records, committed, ends, .. } => {
                let read = records.of(&self.records);
                let read = match (read.first(), read.last()) {
                    (Some(first), Some(last)) => {
                        format!(
                            "{} records, {} at {} to {} at {}",
                            read.len(),
                            first.1,
                            first.0,
                            last.1,
                            last.0
                        )
                    }
                    _ => "no record".to_owned(),
                };
                let Ends { start, stable, high } = self.ends_of(*ends);
                let level = if *committed { ", committed only" } else { "" };
                format!(
                    "poll of {part} from {from}{level}: {read}; start {start}, stable {stable}, end {high}"
                )
            }
            Kind::Assign { parts } => format!("assign of {}", named(parts)),
            Kind::Subscribe { group } => format!("subscribe in group {}", self.word_text(*group)),
            Kind::Rebalance { parts } => format!("rebalance to {}", named(parts)),
            Kind::Seek { to, .. } => format!("seek in {part} to {to}"),
            Kind::Commit { group, offset, .. } => {
                format!("commit of group {} for {part} at {offset}", self.word_text(*group))
            }
            Kind::Committed { group, offset, .. } => {
                format!("place of group {} in {part}: {offset}", self.word_text(*group))
            }
            Kind::Trim { to, .. } => format!("delete of {part} below {to}"),
            Kind::EndTxn { commit: true } => "commit of the transaction".to_owned(),
            Kind::EndTxn { commit: false } => "abort of the transaction".to_owned(),
            Kind::End { offset, .. } => format!("end of {part}: {offset}"),
            Kind::Leader { epoch, leader, .. } => format!("leader of {part} in epoch {epoch}: node {leader}"),
            Kind::Cluster { id } => format!("cluster id {}", self.word_text(*id)),
            Kind::Whole { start, end, .. } => format!("whole read of {part}, {start} to {end}"),
        }
    }
}
