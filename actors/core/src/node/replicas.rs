//! Where a replica's log comes from: a shard that recovered it, a shard that is to open it, or nowhere, with the reason.

use super::messages::{Found, Origin};
use crate::ids::TopicPartition;
use crate::storage::Verdict;
use crate::time::UnixMillis;
use std::collections::BTreeMap;

/// A stray replica's bytes are kept this long.
const STRAY_KEPT_MS: i64 = 24 * 3600 * 1000;

/// What the disks of this node hold and no image has claimed yet, and which shards work.
#[derive(Debug)]
pub struct Disks {
    /// By number; a shard that is lost with the reason.
    shards: Vec<Result<(), String>>,
    found: BTreeMap<TopicPartition, Vec<Found>>,
    /// Replicas that left earlier in this process, with their shards.
    left: BTreeMap<TopicPartition, usize>,
}

/// A replica that can be started.
#[derive(Debug, PartialEq, Eq)]
pub struct Startable {
    pub shard: usize,
    pub origin: Origin,
    /// Why it may lack its newest records.
    pub unclean: Option<String>,
}

impl Disks {
    /// These shards, and what recovery found in them.
    #[must_use]
    pub fn new(shards: Vec<Result<(), String>>, found: Vec<Found>) -> Disks {
        let mut by_id: BTreeMap<TopicPartition, Vec<Found>> = BTreeMap::new();
        for found in found {
            by_id.entry(found.id).or_default().push(found);
        }
        Disks { shards, found: by_id, left: BTreeMap::new() }
    }

    /// Claims the replica of a partition, or finds a place for a new one. `opened`: the image says that it was opened
    /// here, so it may not be created empty. The error says why the partition is offline.
    pub fn claim(&mut self, id: TopicPartition, opened: bool) -> Result<Startable, String> {
        if let Some(shard) = self.left.remove(&id) {
            return Ok(Startable { shard, origin: Origin::Returned, unclean: None });
        }
        if let Some(found) = self.take(id) {
            let unclean = match found.verdict {
                Verdict::Corrupt(why) => return Err(why),
                Verdict::Unclean(why) => Some(why),
                Verdict::Clean => None,
            };
            return Ok(Startable { shard: found.shard, origin: Origin::Recovered(found.replica), unclean });
        }
        if opened {
            let lost = (0..).zip(&self.shards).find_map(|(n, shard): (usize, _)| {
                shard.as_ref().err().map(|why| format!("shard {n} is lost: {why}"))
            });
            return Err(lost.unwrap_or_else(|| {
                "it was opened here before, and the store does not know it any more".to_owned()
            }));
        }
        match self.place(id) {
            Some(shard) => Ok(Startable { shard, origin: Origin::New, unclean: None }),
            None => Err("no shard of this node works".to_owned()),
        }
    }

    /// The replica found, rather one that is not stray.
    fn take(&mut self, id: TopicPartition) -> Option<Found> {
        let found = self.found.get_mut(&id)?;
        let at = found.iter().position(|found| found.stray.is_none()).unwrap_or(0);
        let taken = (at < found.len()).then(|| found.remove(at));
        if found.is_empty() {
            self.found.remove(&id);
        }
        taken
    }

    /// A shard for a new replica. It depends on the partition alone, so that partitions spread.
    fn place(&self, id: TopicPartition) -> Option<usize> {
        let working: Vec<usize> = (0..self.shards.len()).filter(|n| self.shards[*n].is_ok()).collect();
        let spread = |sum: usize, byte: &u8| sum.wrapping_mul(31) + usize::from(*byte);
        let number = id.topic.0.iter().fold(id.partition as usize, spread);
        working.get(number.checked_rem(working.len())?).copied()
    }

    /// Remembers a replica that leaves this node: its bytes stay in the shard.
    pub fn leaves(&mut self, id: TopicPartition, shard: usize) {
        self.left.insert(id, shard);
    }

    /// Forgets a replica that left: its topic is gone.
    pub fn forget(&mut self, id: TopicPartition) {
        self.left.remove(&id);
    }

    /// Takes out what no image claimed: each is marked stray now, or let go a day after that. One marked less than a
    /// day ago stays as it is.
    pub fn strays(&mut self, now: UnixMillis) -> Vec<(Found, Option<UnixMillis>)> {
        let unclaimed = std::mem::take(&mut self.found).into_values().flatten();
        unclaimed
            .filter_map(|found| match found.stray {
                None => Some((found, Some(now))),
                Some(since) if now.0.saturating_sub(since.0) > STRAY_KEPT_MS => Some((found, None)),
                Some(_) => None,
            })
            .collect()
    }
}
