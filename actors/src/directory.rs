//! The partitions that this node serves: every request reads the directory without a lock.
//!
//! ```text
//!   NodeActor ── insert · remove, one swap for many ──> Directory ── get ──> PartitionHandle
//! ```
//!
//! A swap closes each handle that loses its place, to another handle or to none. The fetches that wait on it wake,
//! look the partition up anew, and find the handle in its place. The directory decides nothing; `NodeMachine` says
//! which partitions stand in it.

use crate::changes::Changes;
use crate::partition::PartitionHandle;
use arc_swap::ArcSwap;
use callboard_core::{TopicId, TopicPartition};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

type Partitions = Arc<Vec<Option<Arc<PartitionHandle>>>>;

/// Partition handles by topic id and number.
#[derive(Debug, Default)]
pub struct Directory {
    topics: ArcSwap<HashMap<TopicId, Partitions>>,
    changes: Arc<Changes>,
}

impl Directory {
    /// The handle of a partition; none if this node does not serve it.
    #[must_use]
    pub fn get(&self, id: TopicPartition) -> Option<Arc<PartitionHandle>> {
        let partition = usize::try_from(id.partition).ok()?;
        self.topics.load().get(&id.topic)?.get(partition)?.clone()
    }

    /// Adds handles, or replaces former ones, in one swap for all.
    pub fn insert(&self, handles: Vec<Arc<PartitionHandle>>) {
        let mut topics = HashMap::clone(&self.topics.load());
        let mut former = Vec::new();
        for handle in handles {
            let Ok(at) = usize::try_from(handle.id.partition) else { continue };
            let partitions = Arc::make_mut(topics.entry(handle.id.topic).or_default());
            if partitions.len() <= at {
                partitions.resize(at + 1, None);
            }
            let same = |before: &Arc<PartitionHandle>| Arc::ptr_eq(before, &handle);
            former.extend(partitions[at].take().filter(|before| !same(before)));
            partitions[at] = Some(handle);
        }
        self.topics.store(Arc::new(topics));
        former.iter().for_each(|handle| handle.waiters.close());
        self.changes.ring();
    }

    /// The bell of this directory and of the handles in it. It rings at each change of the directory or of a role.
    #[must_use]
    pub fn changes(&self) -> &Arc<Changes> {
        &self.changes
    }

    /// Takes partitions out, in one swap for all. A topic without partitions goes too.
    pub fn remove(&self, ids: &[TopicPartition]) {
        let mut topics = HashMap::clone(&self.topics.load());
        let mut gone = Vec::new();
        for id in ids {
            let Some(partitions) = topics.get_mut(&id.topic).map(Arc::make_mut) else { continue };
            let at = usize::try_from(id.partition).ok().and_then(|at| partitions.get_mut(at));
            gone.extend(at.and_then(Option::take));
        }
        let touched: HashSet<TopicId> = ids.iter().map(|id| id.topic).collect();
        topics.retain(|id, partitions| !touched.contains(id) || partitions.iter().any(Option::is_some));
        self.topics.store(Arc::new(topics));
        gone.iter().for_each(|handle| handle.waiters.close());
        self.changes.ring();
    }

    /// The handles of a topic's partitions on this node, by number.
    #[must_use]
    pub fn partitions(&self, topic: TopicId) -> Vec<Arc<PartitionHandle>> {
        let partitions = self.topics.load().get(&topic).cloned();
        partitions.map(|all| all.iter().flatten().cloned().collect()).unwrap_or_default()
    }

    /// The handles of all partitions on this node.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<PartitionHandle>> {
        self.topics.load().values().flat_map(|partitions| partitions.iter().flatten().cloned()).collect()
    }

    /// Number of partitions in the directory.
    #[must_use]
    pub fn len(&self) -> usize {
        self.topics.load().values().map(|p| p.iter().flatten().count()).sum()
    }

    /// Whether the directory has no partition.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partition::Waiter;

    fn handle(topic: u8, partition: i32) -> Arc<PartitionHandle> {
        let id = TopicPartition { topic: TopicId([topic; 16]), partition };
        Arc::new(PartitionHandle::new(id, None, Arc::default()))
    }

    #[tokio::test]
    async fn a_fetch_wakes_when_its_handle_loses_its_place_and_only_then() {
        let directory = Directory::default();
        let (replaced, removed, kept) = (handle(1, 0), handle(2, 3), handle(3, 0));
        directory.insert(vec![Arc::clone(&replaced), Arc::clone(&removed), Arc::clone(&kept)]);
        let waiters: Vec<_> = [&replaced, &removed, &kept]
            .map(|handle| {
                let waiter = Waiter::new(1);
                handle.waiters.hang(&waiter, 0);
                waiter
            })
            .into();
        // A handle that is inserted again keeps its place.
        directory.insert(vec![handle(1, 0), Arc::clone(&kept)]);
        directory.remove(&[removed.id]);
        waiters[0].woken().await;
        waiters[1].woken().await;
        let early = tokio::time::timeout(std::time::Duration::ZERO, waiters[2].woken()).await;
        assert!(early.is_err() && kept.waiters.len() == 1, "nothing happened to that one");
        let now = directory.get(replaced.id).expect("the handle that took the place");
        assert!(!now.waiters.is_closed() && !Arc::ptr_eq(&now, &replaced));
        assert!(directory.get(removed.id).is_none());
    }
}
