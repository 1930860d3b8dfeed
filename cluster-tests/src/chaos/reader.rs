//! One consumer with assigned partitions: it reads each from its start, never joins a group, and never jumps.
//!
//! ```text
//!   position ──Fetch──> leader: records, the position moves on     every second ──ListOffsets──> the end
//!                └─ a refusal, a broken connection: ask who leads, go on from the same position
//! ```
//! A position outside the log is what a lost record looks like; the reader notes it and stays. The final read uses the same
//! steps when all else has ended, from the start to the end that the leader tells.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::recorder::{FINAL, READERS};
use super::shared::Shared;
use crate::process::HANG;
use crate::process::verdict::{Read, poll_at};
use crate::process::wire::{RETRY, Wire};

const BACKOFF: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(40);
/// Time between two questions for the ends.
const ENDS: Duration = Duration::from_secs(1);

struct Reader {
    work: Arc<Shared>,
    process: u32,
    leaders: HashMap<i32, SocketAddr>,
    wires: HashMap<SocketAddr, Wire>,
}

/// A reader's whole life; it ends when the load stops.
pub(super) fn run(work: &Arc<Shared>, number: u32, partitions: &[i32]) -> Result<()> {
    let mut reader = Reader::new(work, READERS + number);
    work.record.name(reader.process, format!("reader {number}"));
    work.record.assigned(reader.process, partitions.iter().copied());
    let mut positions: BTreeMap<i32, i64> = partitions.iter().map(|partition| (*partition, 0)).collect();
    let mut asked = Instant::now();
    while !work.stopped() {
        for (partition, position) in &mut positions {
            match reader.poll(*partition, *position) {
                Ok(reads) => *position = reads.last().map_or(*position, |read| read.offset + 1),
                Err(error) => reader.failed(*partition, *position, &error),
            }
        }
        if asked.elapsed() > ENDS {
            asked = Instant::now();
            for partition in positions.keys() {
                // A leader that cannot tell yet says so; the next question comes soon.
                let _ = reader.end(*partition);
            }
        }
        std::thread::sleep(BACKOFF);
    }
    Ok(())
}

/// Reads a partition from its start to its end, for the checker and the judge.
pub(super) fn whole(work: &Arc<Shared>, partition: i32) -> Result<Vec<Read>> {
    let until = Instant::now() + HANG;
    let mut process = FINAL;
    loop {
        // The records of a failed try do not count, so each try is a process of its own.
        work.record.name(process, "the final read".to_owned());
        match Reader::new(work, process).read_to_end(partition) {
            Ok(reads) => return Ok(reads),
            Err(error) if Instant::now() > until => {
                let topic = &work.topic;
                return Err(error.context(format!("{topic}-{partition} cannot be read to its end")));
            }
            Err(_) => process += 1,
        }
        std::thread::sleep(RETRY);
    }
}

impl Reader {
    fn new(work: &Arc<Shared>, process: u32) -> Reader {
        Reader { work: Arc::clone(work), process, leaders: HashMap::new(), wires: HashMap::new() }
    }

    fn read_to_end(&mut self, partition: i32) -> Result<Vec<Read>> {
        self.work.record.assigned(self.process, std::iter::once(partition));
        let end = self.end(partition)?;
        let topic = self.work.topic.clone();
        let start = self.with_leader(partition, |wire| wire.list_offset(&topic, partition, -2))?;
        let (mut reads, mut next): (Vec<Read>, i64) = (Vec::new(), start);
        while next < end {
            let more = self.poll(partition, next)?;
            next =
                more.last().with_context(|| format!("nothing at {next}, and it ends at {end}"))?.offset + 1;
            reads.extend(more);
        }
        ensure!(next == end, "the last read ended at {next}, and the partition ends at {end}");
        self.work.record.whole(self.process, partition, start, end);
        Ok(reads)
    }

    fn end(&mut self, partition: i32) -> Result<i64> {
        let (begin, topic) = (self.work.record.now(), self.work.topic.clone());
        let end = self.with_leader(partition, |wire| wire.list_offset(&topic, partition, -1))?;
        self.work.record.end(self.process, partition, begin, end);
        Ok(end)
    }

    fn poll(&mut self, partition: i32, from: i64) -> Result<Vec<Read>> {
        let (begin, topic) = (self.work.record.now(), self.work.topic.clone());
        let (reads, ends) = self.with_leader(partition, |wire| poll_at(wire, &topic, partition, from, 0))?;
        self.work.record.polled(self.process, partition, begin, from, &reads, &ends);
        Ok(reads)
    }

    /// Asks the leader over the connection to its node; after a failure the leader is looked for again.
    fn with_leader<T>(&mut self, partition: i32, ask: impl FnOnce(&mut Wire) -> Result<T>) -> Result<T> {
        let addr = match self.leaders.get(&partition) {
            Some(addr) => *addr,
            None => self.work.view(self.process)?.leader(partition).context("it has no leader")?.1,
        };
        let mut wire = match self.wires.remove(&addr) {
            Some(wire) => wire,
            None => Wire::connect_within(addr, PATIENCE)?.patience(PATIENCE)?,
        };
        self.leaders.remove(&partition);
        let answer = ask(&mut wire)?;
        self.leaders.insert(partition, addr);
        self.wires.insert(addr, wire);
        Ok(answer)
    }

    fn failed(&self, partition: i32, at: i64, error: &anyhow::Error) {
        use std::io::ErrorKind::{TimedOut, WouldBlock};
        let topic = &self.work.topic;
        let io = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        if matches!(io, Some(TimedOut | WouldBlock)) {
            self.work.note(format!("hung: Fetch of {topic}-{partition} by a reader for {PATIENCE:?}"));
        }
        if error.to_string().ends_with("error 1") {
            self.work.note(format!("out of range: Fetch of {topic}-{partition} by a reader, offset {at}"));
        }
    }
}
