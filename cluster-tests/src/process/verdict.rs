//! The judge of a load compares the records that were read back with the producers' ledgers. These rules must hold:
//!
//! - offsets of a partition run from 0 without a gap;
//! - every record is one that was sent, to this partition, with these bytes and this timestamp;
//! - every acknowledged record is there, at the offset that was named;
//! - no record is there twice (idempotent producers may send twice, and the log must not show it);
//! - a producer's records lie in the order in which it sent them;
//! - every record that a consumer saw while the broker was dying is still there, at the same offset.
//!
//! The judge knows nothing of the broker, so it can only see broken promises, not their cause.

use std::collections::HashMap;

use anyhow::{Context, Result, bail};
use bytes::{Buf, Bytes};
use kafka_protocol::records::RecordBatchDecoder;

use super::load::{Fate, Ledger, Script};
use super::wire::{Fetched, Wire, whole_batches};

/// A record as it was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Read {
    pub offset: i64,
    pub timestamp: i64,
    pub value: Bytes,
}

/// Numbers of records that the judge counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    pub read: u64,
    pub acked: u64,
    /// Records without an answer that are in the log.
    pub unknown_there: u64,
    /// Records without an answer that are not in the log.
    pub unknown_absent: u64,
}

/// Reads a partition from its beginning to its high watermark.
pub fn read_partition(wire: &mut Wire, topic: &str, partition: i32) -> Result<Vec<Read>> {
    let end = wire.list_offset(topic, partition, -1)?;
    let mut reads = Vec::new();
    let mut next = wire.list_offset(topic, partition, -2)?;
    while next < end {
        let got = read_at(wire, topic, partition, next, 0)?;
        next = got
            .last()
            .with_context(|| format!("nothing at {next} of {topic}-{partition}, which ends at {end}"))?
            .offset
            + 1;
        reads.extend(got);
    }
    Ok(reads)
}

/// Fetches once and decodes the records from `offset` on; empty at the end of the log.
pub fn read_at(
    wire: &mut Wire,
    topic: &str,
    partition: i32,
    offset: i64,
    max_wait_ms: i32,
) -> Result<Vec<Read>> {
    Ok(poll_at(wire, topic, partition, offset, max_wait_ms)?.0)
}

/// The same, with the ends of the log that the answer told.
pub fn poll_at(
    wire: &mut Wire,
    topic: &str,
    partition: i32,
    offset: i64,
    max_wait_ms: i32,
) -> Result<(Vec<Read>, Fetched)> {
    let fetched = wire.fetch(topic, partition, offset, max_wait_ms)?;
    let bytes = &fetched.records;
    let mut reads = Vec::new();
    for mut batch in whole_batches(bytes.clone()) {
        for record in RecordBatchDecoder::decode(&mut batch)?.records {
            // A batch may begin before the offset that was asked for.
            if record.offset >= offset {
                let value = record.value.unwrap_or_default();
                reads.push(Read { offset: record.offset, timestamp: record.timestamp, value });
            }
        }
    }
    if reads.is_empty() && !bytes.is_empty() {
        bail!("fetch at {offset} of {topic}-{partition}: no whole batch in {} bytes", bytes.len());
    }
    Ok((reads, fetched))
}

/// Compares all reads with the ledgers; an error lists the first broken promises.
pub fn judge(
    script: Script,
    ledgers: &[Ledger],
    partitions: &[Vec<Read>],
    seen: &[Vec<Read>],
) -> Result<Counts> {
    let mut judge =
        Judge { script, ledgers: HashMap::new(), places: HashMap::new(), broken: Vec::new(), count: 0 };
    for ledger in ledgers {
        judge.ledgers.insert(ledger.producer, ledger);
    }
    for (partition, reads) in partitions.iter().enumerate() {
        judge.partition(partition as i32, reads);
    }
    for (partition, seen) in seen.iter().enumerate() {
        judge.still_there(partition, seen, partitions.get(partition).map_or(&[][..], Vec::as_slice));
    }
    let mut counts = judge.fates(ledgers);
    counts.read = partitions.iter().map(|reads| reads.len() as u64).sum();
    if judge.count > 0 {
        bail!("{} broken promises ({counts:?}), the first:\n{}", judge.count, judge.broken.join("\n"));
    }
    Ok(counts)
}

struct Judge<'a> {
    script: Script,
    ledgers: HashMap<u32, &'a Ledger>,
    /// (producer, n) → partition and offset at which it was read.
    places: HashMap<(u32, u64), (i32, i64)>,
    broken: Vec<String>,
    count: u64,
}

impl Judge<'_> {
    fn broken(&mut self, what: String) {
        self.count += 1;
        if self.broken.len() < 20 {
            self.broken.push(what);
        }
    }

    fn partition(&mut self, partition: i32, reads: &[Read]) {
        let mut last: HashMap<u32, u64> = HashMap::new();
        for (index, read) in reads.iter().enumerate() {
            let place = format!("{partition}@{}", read.offset);
            if read.offset != index as i64 {
                self.broken(format!("{place}: a gap, offset {index} was due"));
            }
            let Some((producer, n)) = self.known(partition, &place, read) else { continue };
            if let Some(before) = last.insert(producer, n)
                && before >= n
            {
                self.broken(format!("{place}: record {n} of producer {producer} behind its record {before}"));
            }
            if let Some(first) = self.places.insert((producer, n), (partition, read.offset)) {
                self.broken(format!("{place}: record {n} of producer {producer} is also at {first:?}"));
            }
        }
    }

    /// Producer and number of a record that was sent; notes a wrong partition, wrong bytes or a wrong time.
    fn known(&mut self, partition: i32, place: &str, read: &Read) -> Option<(u32, u64)> {
        let mut value = read.value.clone();
        if value.len() < 16 {
            self.broken(format!("{place}: a record of {} bytes, which nobody sent", value.len()));
            return None;
        }
        let (producer, n) = (value.get_u32(), value.get_u64());
        let sent = self.ledgers.get(&producer).and_then(|l| l.sent.get(usize::try_from(n).ok()?));
        let Some(sent) = sent else {
            self.broken(format!("{place}: record {n} of producer {producer}, which nobody sent"));
            return None;
        };
        let to = sent.partition;
        if to != partition {
            self.broken(format!("{place}: record {n} of producer {producer} was sent to partition {to}"));
        }
        if read.value != self.script.payload(producer, n) {
            self.broken(format!("{place}: record {n} of producer {producer} has other bytes than were sent"));
        }
        if read.timestamp != self.script.timestamp(n) {
            self.broken(format!(
                "{place}: record {n} of producer {producer} has timestamp {}",
                read.timestamp
            ));
        }
        Some((producer, n))
    }

    fn still_there(&mut self, partition: usize, seen: &[Read], reads: &[Read]) {
        for read in seen {
            let now = usize::try_from(read.offset).ok().and_then(|offset| reads.get(offset));
            if now != Some(read) {
                self.broken(format!(
                    "{partition}@{}: a consumer saw a record that is not there now",
                    read.offset
                ));
            }
        }
    }

    fn fates(&mut self, ledgers: &[Ledger]) -> Counts {
        let mut counts = Counts::default();
        for ledger in ledgers {
            for sent in &ledger.sent {
                let there = self.places.get(&(ledger.producer, sent.n)).copied();
                let who = format!("record {} of producer {} to {}", sent.n, ledger.producer, sent.partition);
                match (sent.fate, there) {
                    (Fate::Unknown, _) if ledger.idempotent => {
                        self.broken(format!("{who}: sent and never settled"))
                    }
                    (Fate::Unknown, Some(_)) => counts.unknown_there += 1,
                    (Fate::Unknown, None) => counts.unknown_absent += 1,
                    (_, None) => self.broken(format!("{who}: acknowledged ({:?}) and lost", sent.fate)),
                    (Fate::Acked(offset), Some((_, at))) if offset != at => {
                        self.broken(format!("{who}: acknowledged at {offset}, found at {at}"));
                    }
                    _ => counts.acked += 1,
                }
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::super::load::Sent;
    use super::*;

    const SCRIPT: Script = Script { seed: 7, epoch: 1_000, small: false };

    fn read(offset: i64, n: u64) -> Read {
        Read { offset, timestamp: SCRIPT.timestamp(n), value: SCRIPT.payload(1, n) }
    }

    fn ledger(idempotent: bool, fates: &[Fate]) -> Ledger {
        let sent = fates
            .iter()
            .enumerate()
            .map(|(n, fate)| Sent { partition: 0, n: n as u64, fate: *fate })
            .collect();
        Ledger { producer: 1, idempotent, sent, resent: 0, refused: 0 }
    }

    fn verdict(ledger: Ledger, reads: Vec<Read>, seen: Vec<Read>) -> String {
        judge(SCRIPT, &[ledger], &[reads], &[seen]).err().map_or(String::new(), |e| e.to_string())
    }

    #[test]
    fn a_good_log_passes_and_is_counted() {
        let ledger = ledger(false, &[Fate::Acked(0), Fate::Unknown, Fate::AckedSomewhere, Fate::Unknown]);
        let reads = vec![read(0, 0), read(1, 1), read(2, 2)];
        let counts =
            judge(SCRIPT, &[ledger], std::slice::from_ref(&reads), std::slice::from_ref(&reads)).unwrap();
        assert_eq!(counts, Counts { read: 3, acked: 2, unknown_there: 1, unknown_absent: 1 });
    }

    #[test]
    fn each_broken_promise_is_seen() {
        use Fate::{Acked, Unknown};
        let both = || ledger(true, &[Acked(0), Acked(1)]);
        let good = || vec![read(0, 0), read(1, 1)];
        assert_eq!(verdict(both(), good(), good()), "");
        assert!(verdict(both(), vec![read(0, 0)], vec![]).contains("and lost"));
        assert!(verdict(both(), vec![read(0, 0), read(1, 1), read(2, 1)], vec![]).contains("is also at"));
        assert!(verdict(both(), vec![read(0, 0), read(2, 1)], vec![]).contains("a gap"));
        assert!(verdict(both(), vec![read(0, 1), read(1, 0)], vec![]).contains("behind its record"));
        assert!(
            verdict(both(), vec![read(0, 1), read(1, 0)], vec![]).contains("acknowledged at 0, found at 1")
        );
        assert!(verdict(ledger(true, &[Acked(0), Unknown]), good(), vec![]).contains("never settled"));
        assert!(verdict(both(), vec![read(0, 0), read(1, 5)], vec![]).contains("which nobody sent"));
        let mut bytes = good();
        bytes[1].value = [&bytes[1].value[..bytes[1].value.len() - 1], &[0][..]].concat().into();
        assert!(verdict(both(), bytes, vec![]).contains("other bytes"));
        let mut time = good();
        time[1].timestamp += 1;
        assert!(verdict(both(), time, vec![]).contains("has timestamp"));
        let mut stray = both();
        stray.sent[1].partition = 3;
        assert!(verdict(stray, good(), vec![]).contains("was sent to partition 3"));
        let unanswered = || ledger(false, &[Acked(0), Unknown]);
        assert_eq!(verdict(unanswered(), vec![read(0, 0)], vec![read(0, 0)]), "");
        assert!(verdict(unanswered(), vec![read(0, 0)], good()).contains("a consumer saw"));
    }
}
