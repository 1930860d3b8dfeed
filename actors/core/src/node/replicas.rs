//! The source of a replica's log: a shard that recovered it, a shard that is to open it, or none, with the reason.
//!
//! `Disks` remembers every recovered replica until an image claims it. Replicas that no image claims are strays: they
//! are kept for a day at least, and dropped at a later start. The file chooses and remembers; the node machine acts.

use super::messages::{Found, Origin};
use crate::ids::TopicPartition;
use crate::mutant::{Mutant, planted};
use crate::storage::Verdict;
use crate::time::UnixMillis;
use std::collections::BTreeMap;

/// Milliseconds for which the bytes of a stray replica are kept at least.
const STRAY_KEPT_MS: i64 = 24 * 3600 * 1000;

/// The shards of this node, and the recovered replicas that no image has claimed yet.
#[derive(Debug)]
pub struct Disks {
    /// The shards by number; a lost one with the reason.
    shards: Vec<Result<(), String>>,
    found: BTreeMap<TopicPartition, Vec<Found>>,
    /// The replicas that left earlier in this process, with their shards.
    left: BTreeMap<TopicPartition, usize>,
    /// Corrupt replicas that the image claimed: none is created anew while the partition may need its bytes.
    refused: BTreeMap<TopicPartition, (Found, String)>,
}

/// The place and the source of a replica that can be started.
#[derive(Debug, PartialEq, Eq)]
pub struct Startable {
    pub shard: usize,
    pub origin: Origin,
    /// The reason why the replica may lack its newest records.
    pub unclean: Option<String>,
}

impl Disks {
    /// All shards of the node, and the replicas that recovery found in them.
    #[must_use]
    pub fn new(shards: Vec<Result<(), String>>, found: Vec<Found>) -> Disks {
        let mut by_id: BTreeMap<TopicPartition, Vec<Found>> = BTreeMap::new();
        for found in found {
            by_id.entry(found.id).or_default().push(found);
        }
        Disks { shards, found: by_id, left: BTreeMap::new(), refused: BTreeMap::new() }
    }

    /// Claims the recovered replica of a partition, or finds a shard for a new one.
    ///
    /// `opened` says that the image knows the replica as opened here, so it may not be created empty. The error says
    /// why the partition is offline.
    pub fn claim(&mut self, id: TopicPartition, opened: bool) -> Result<Startable, String> {
        if let Some(shard) = self.left.remove(&id) {
            return Ok(Startable { shard, origin: Origin::Returned, unclean: None });
        }
        if let Some((_, why)) = self.refused.get(&id) {
            return Err(why.clone());
        }
        if let Some(found) = self.take(id) {
            let unclean = match &found.verdict {
                Verdict::Corrupt(why) => {
                    let why = why.clone();
                    self.refused.insert(id, (found, why.clone()));
                    return Err(why);
                }
                Verdict::Unclean(why) => Some(why.clone()),
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

    /// A shard for a replica that begins anew, and the corrupt one whose place it takes, if there is one.
    pub fn anew(&mut self, id: TopicPartition) -> Option<(usize, Option<Found>)> {
        let shard = self.place(id)?;
        Some((shard, self.refused.remove(&id).map(|(found, _)| found)))
    }

    /// A shard that takes no more: nothing new is placed there.
    pub fn stops(&mut self, shard: usize, why: &str) {
        if let Some(working) = self.shards.get_mut(shard).filter(|shard| shard.is_ok()) {
            *working = Err(why.to_owned());
        }
    }

    /// Takes a recovered replica out, preferably one that is not stray.
    fn take(&mut self, id: TopicPartition) -> Option<Found> {
        let found = self.found.get_mut(&id)?;
        let at = found.iter().position(|found| found.stray.is_none()).unwrap_or(0);
        let taken = (at < found.len()).then(|| found.remove(at));
        if found.is_empty() {
            self.found.remove(&id);
        }
        taken
    }

    /// Chooses a working shard for a new replica. The choice depends on the partition alone, so that partitions
    /// spread.
    fn place(&self, id: TopicPartition) -> Option<usize> {
        let working: Vec<usize> = (0..self.shards.len()).filter(|n| self.shards[*n].is_ok()).collect();
        let spread = |sum: usize, byte: &u8| sum.wrapping_mul(31) + usize::from(*byte);
        let number = id.topic.0.iter().fold(id.partition as usize, spread);
        working.get(number.checked_rem(working.len())?).copied()
    }

    /// Remembers a replica that leaves this node, because its bytes stay in the shard.
    pub fn leaves(&mut self, id: TopicPartition, shard: usize) {
        self.left.insert(id, shard);
    }

    /// Forgets the replica of a deleted topic. If it had left this node, its bytes still lie in the shard returned.
    pub fn forget(&mut self, id: TopicPartition) -> Option<usize> {
        self.refused.remove(&id);
        self.left.remove(&id)
    }

    /// Takes out the replicas that no image claimed, each with the time to mark it stray.
    ///
    /// A replica that was marked more than a day ago comes without a time, and is to be dropped. One marked later
    /// stays as it is and does not come at all.
    pub fn strays(&mut self, now: UnixMillis) -> Vec<(Found, Option<UnixMillis>)> {
        let unclaimed = std::mem::take(&mut self.found).into_values().flatten();
        unclaimed
            .filter_map(|found| match found.stray {
                None if planted(Mutant::OrphanDropped) => Some((found, None)),
                None => Some((found, Some(now))),
                Some(since) if now.0.saturating_sub(since.0) > STRAY_KEPT_MS => Some((found, None)),
                Some(_) => None,
            })
            .collect()
    }
}
