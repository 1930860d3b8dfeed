//! Judges the replicas of a node that starts: which of them may lack bytes that they acknowledged (R19, R21, R46).
//!
//! The node names what its own recovery found. The controller knows more: in which directory each replica was opened, and
//! how far the node was once heard to have synced each journal. A directory that is another one, or ends before that, is
//! empty or an old copy, whatever it says of itself.
//!
//! A directory whose last process is not its node's last one is refused before this (`register.rs`, R47).

use crate::ids::{DirectoryId, TopicPartition};
use crate::metadata::broker::{Broker, Registration, SyncedPositions};
use crate::metadata::image::Image;
use crate::metadata::partition::{Opened, Partition};
use crate::mutant::{Mutant, planted};
use std::collections::BTreeSet;

/// The replicas of a starting node that may lack acknowledged bytes and are listed in an ISR or ELR. `known` has the
/// positions that the node was ever heard to have synced.
pub(super) fn unclean(image: &Image, node: &Registration, known: &SyncedPositions) -> Vec<TopicPartition> {
    let named: BTreeSet<_> = node.unclean.iter().copied().collect();
    let short = short(node, known);
    let other = image.brokers.get(&node.broker).is_some_and(|old| moved(old, node));
    let mut found = Vec::new();
    for topic in image.topics.values() {
        for (partition, p) in (0i32..).zip(&topic.partitions) {
            let id = TopicPartition { topic: topic.id, partition };
            let lost = || other || named.contains(&id) || elsewhere(p, node) || in_short(p, node, &short);
            if p.replicas.len() > 1 && p.is_eligible(node.broker) && lost() {
                found.push(id);
            }
        }
    }
    found
}

/// The shards whose journals end before what the node was heard to have synced; a lost shard is one of them.
fn short(node: &Registration, known: &SyncedPositions) -> BTreeSet<u16> {
    if planted(Mutant::RestoredCopyAccepted) || planted(Mutant::CopyWithinLifeAccepted) {
        return BTreeSet::new();
    }
    let mut short = BTreeSet::new();
    for directory in &node.directories {
        let says = |shard| node.synced.get(directory).and_then(|shards| shards.get(&shard)).copied();
        let known = known.get(directory).into_iter().flatten();
        // A journal that is gone is too short, though nobody heard it synced anything.
        let ends = |shard: u16, at: u64| says(shard).is_none_or(|end| end < at);
        short.extend(known.filter(|(shard, at)| ends(**shard, **at)).map(|(shard, _)| *shard));
    }
    short
}

/// Whether a node comes back with no directory that it had.
fn moved(old: &Broker, node: &Registration) -> bool {
    let had = |directory| old.directories.contains(directory);
    !old.directories.is_empty() && !node.directories.iter().any(had)
}

/// Whether the replica was opened, but in none of the directories that the node has now.
fn elsewhere(p: &Partition, node: &Registration) -> bool {
    let here = |directory: &DirectoryId| p.opened_in(node.broker, *directory);
    p.opened_by(node.broker) && !node.directories.is_empty() && !node.directories.iter().any(here)
}

/// Whether the replica lies in a journal that is too short, or that the node has no more. A place that is not known counts
/// as any.
///
/// A journal that is gone needs no known position. After a change of controllers nobody may have heard one.
fn in_short(p: &Partition, node: &Registration, short: &BTreeSet<u16>) -> bool {
    let has = |directory: DirectoryId, shard: u16| match node.synced.get(&directory) {
        Some(shards) => shards.contains_key(&shard),
        // A directory that the node does not have any more holds nothing for it.
        None => node.directories.is_empty() || node.directories.contains(&directory),
    };
    let lost = |at: &Opened| match (at.directory, at.shard) {
        (_, None) => !short.is_empty(),
        (directory, Some(shard)) => {
            short.contains(&shard) || directory.is_some_and(|directory| !has(directory, shard))
        }
    };
    let mut places = p.opened.iter().filter(|opened| opened.broker == node.broker).peekable();
    if places.peek().is_none() { !short.is_empty() } else { places.all(lost) }
}
