//! Who leads what on this node: read by every request without a lock, written by the node's actor in batches.

use crate::partition::PartitionHandle;
use arc_swap::ArcSwap;
use callboard_core::{TopicId, TopicPartition};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::watch;

type Partitions = Arc<Vec<Option<Arc<PartitionHandle>>>>;

/// Partition handles by topic id and number.
#[derive(Debug)]
pub struct Directory {
    topics: ArcSwap<HashMap<TopicId, Partitions>>,
    changed: watch::Sender<u64>,
}

impl Default for Directory {
    fn default() -> Directory {
        Directory { topics: ArcSwap::default(), changed: watch::Sender::new(0) }
    }
}

impl Directory {
    /// The handle of a partition that this node has.
    #[must_use]
    pub fn get(&self, id: TopicPartition) -> Option<Arc<PartitionHandle>> {
        let partition = usize::try_from(id.partition).ok()?;
        self.topics.load().get(&id.topic)?.get(partition)?.clone()
    }

    /// Adds handles, or puts them in the place of former ones: one swap for all.
    pub fn insert(&self, handles: Vec<Arc<PartitionHandle>>) {
        let mut topics = HashMap::clone(&self.topics.load());
        for handle in handles {
            let Ok(at) = usize::try_from(handle.id.partition) else { continue };
            let partitions = Arc::make_mut(topics.entry(handle.id.topic).or_default());
            if partitions.len() <= at {
                partitions.resize(at + 1, None);
            }
            partitions[at] = Some(handle);
        }
        self.topics.store(Arc::new(topics));
        self.changed.send_modify(|n| *n += 1);
    }

    /// Wakes at each change.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Takes a topic out and returns its handles.
    pub fn remove(&self, topic: TopicId) -> Vec<Arc<PartitionHandle>> {
        let mut topics = HashMap::clone(&self.topics.load());
        let gone = topics.remove(&topic);
        self.topics.store(Arc::new(topics));
        self.changed.send_modify(|n| *n += 1);
        gone.map(|partitions| partitions.iter().flatten().cloned().collect()).unwrap_or_default()
    }

    /// The handles of a topic's partitions on this node, by number.
    #[must_use]
    pub fn partitions(&self, topic: TopicId) -> Vec<Arc<PartitionHandle>> {
        let partitions = self.topics.load().get(&topic).cloned();
        partitions.map(|all| all.iter().flatten().cloned().collect()).unwrap_or_default()
    }

    /// Partitions in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.topics.load().values().map(|p| p.iter().flatten().count()).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
