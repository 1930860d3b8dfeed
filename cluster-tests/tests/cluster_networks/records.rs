//! Numbered records, each acknowledged by every replica, and the look at the end: each is there once, in order.
//!
//! One idempotent producer sends one record at a time to whichever node leads. It sends again what was refused or not
//! answered, with the same number. It goes only to addresses that Metadata tells.

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use callboard_cluster_tests::chaos::Map;
use callboard_cluster_tests::process::HANG;
use callboard_cluster_tests::process::load::{Script, batch};
use callboard_cluster_tests::process::wire::{RETRY, Wire, code};

/// One topic of three replicas, and what was acknowledged of it.
pub struct Records {
    topic: &'static str,
    identity: (i64, i16),
    script: Script,
    /// Acknowledged records of each partition.
    acked: Vec<u64>,
}

impl Records {
    /// Creates the topic, and waits until it is whole.
    pub fn new(map: &Map, topic: &'static str, partitions: u16) -> Result<Records> {
        map.create(topic, i32::from(partitions), 3, &[])?;
        let addr = *map.view(topic)?.nodes.values().next().context("a node")?;
        let identity = Wire::connect(addr)?.init_producer_id()?;
        Ok(Records { topic, identity, script: Script::small(7), acked: vec![0; usize::from(partitions)] })
    }

    fn partitions(&self) -> impl Iterator<Item = i32> + use<> {
        (0..).take(self.acked.len())
    }

    /// Ids of the nodes that lead a partition.
    pub fn leaders(&self, map: &Map) -> Result<BTreeSet<i32>> {
        let view = map.view(self.topic)?;
        Ok(view.places.values().map(|place| place.leader).collect())
    }

    /// Sends so many records to each partition, and returns when all are acknowledged.
    pub fn more(&mut self, map: &Map, each: u64) -> Result<()> {
        for partition in self.partitions() {
            for _ in 0..each {
                patiently(|| self.send(map, partition)).with_context(|| self.place(partition))?;
            }
        }
        Ok(())
    }

    fn send(&mut self, map: &Map, partition: i32) -> Result<()> {
        let acked = &mut self.acked[usize::try_from(partition)?];
        let sequence = i32::try_from(*acked)?;
        let bytes = batch(self.script, u32::try_from(partition)?, *acked, 1, self.identity, sequence)?;
        let (_, addr) = map.view(self.topic)?.leader(partition).context("it has no leader")?;
        let mut wire = Wire::connect(addr)?;
        wire.send_batch(self.topic, partition, -1, bytes)?;
        let (error, _) = wire.receive_batch()?;
        ensure!(matches!(error, code::NONE | code::DUPLICATE_SEQUENCE_NUMBER), "error {error} at {addr}");
        *acked += 1;
        Ok(())
    }

    /// Reads every partition at its leader; each record must stand there once, in order, and no other.
    pub fn are_there(&self, map: &Map) -> Result<()> {
        for partition in self.partitions() {
            let reads = map.read(self.topic, partition)?;
            let acked = self.acked[usize::try_from(partition)?];
            let sent = (0..acked).map(|n| self.script.payload(partition as u32, n));
            ensure!(
                reads.iter().map(|read| read.value.clone()).eq(sent),
                "{}: {} records where each of {acked} should stand once, in order",
                self.place(partition),
                reads.len()
            );
        }
        Ok(())
    }

    fn place(&self, partition: i32) -> String {
        format!("{}-{partition}", self.topic)
    }
}

/// Tries until it works; the last error if it never does.
pub fn patiently<T>(mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let until = Instant::now() + HANG;
    loop {
        match attempt() {
            Err(_) if Instant::now() < until => std::thread::sleep(RETRY),
            done => return done,
        }
    }
}
