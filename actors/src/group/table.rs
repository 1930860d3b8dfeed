//! Which coordinator a group has, for requests: by Kafka's hash of its id, without asking an actor.

use super::coordinator::{CoordinatorMsg, MakeInput};
use crate::partition::PartitionHandle;
use crate::reply::{Answer, Reply, Unavailable};
use arc_swap::ArcSwap;
use callboard_core::group::{Answer as Said, Input, Summary};
use callboard_core::partition::Role;
use callboard_core::{ErrorCode, Ticket};
use parking_lot::Mutex;
use ractor::ActorRef;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;

/// What a group answers, or why nobody could.
pub type GroupAnswer = Result<Said, ErrorCode>;

impl Unavailable for GroupAnswer {
    fn unavailable() -> GroupAnswer {
        Err(ErrorCode::NotCoordinator)
    }
}

/// What lists show of the groups of one partition.
pub type Summaries = Arc<Mutex<BTreeMap<String, Summary>>>;

/// One coordinator, from outside.
#[derive(Clone)]
pub(super) struct Entry {
    pub actor: ActorRef<CoordinatorMsg>,
    pub summaries: Summaries,
    pub loaded: Arc<AtomicBool>,
    /// The partition that holds its log.
    pub handle: Arc<PartitionHandle>,
}

impl Entry {
    /// Whether it takes requests. A log that is not loaded is waited for only where it can be.
    fn check(&self) -> Result<(), ErrorCode> {
        match (self.loaded.load(Ordering::Acquire), &self.handle.view().role) {
            (true, _) => Ok(()),
            (false, Role::Leader | Role::Idle) => Err(ErrorCode::CoordinatorLoadInProgress),
            (false, Role::Offline(_) | Role::Deleted) => Err(ErrorCode::NotCoordinator),
        }
    }
}

#[derive(Default)]
struct Table {
    /// Partitions of the topic, led here or not.
    partitions: i32,
    entries: BTreeMap<i32, Entry>,
}

/// The coordinators of this node.
pub struct Coordinators {
    table: ArcSwap<Table>,
    changed: watch::Sender<()>,
}

impl Default for Coordinators {
    fn default() -> Coordinators {
        Coordinators { table: ArcSwap::default(), changed: watch::Sender::new(()) }
    }
}

/// Kafka's partition of a group: Java's `String.hashCode`, its amount (0 where it has none), modulo the partitions.
fn partition_of(group: &str, partitions: i32) -> i32 {
    let hash = group.encode_utf16().fold(0i32, |h, unit| h.wrapping_mul(31).wrapping_add(i32::from(unit)));
    hash.checked_abs().unwrap_or(0).checked_rem(partitions).unwrap_or(0)
}

impl Coordinators {
    pub(super) fn publish(&self, partitions: i32, entries: BTreeMap<i32, Entry>) {
        self.table.store(Arc::new(Table { partitions, entries }));
        self.changed();
    }

    /// A coordinator has loaded its log, or there is another one.
    pub(super) fn changed(&self) {
        self.changed.send_replace(());
    }

    /// Waits until every partition has a coordinator that has loaded its log.
    pub async fn all_loaded(&self) {
        self.until(|table| {
            let all = table.entries.values().all(|entry| entry.loaded.load(Ordering::Acquire));
            all && table.partitions > 0 && table.entries.len() as i32 == table.partitions
        })
        .await;
    }

    /// Waits until the group's coordinator has loaded its log, or there is none to wait for.
    pub async fn loaded(&self, group: &str) {
        self.until(|_| self.check(group) != Err(ErrorCode::CoordinatorLoadInProgress)).await;
    }

    async fn until(&self, ready: impl Fn(&Table) -> bool) {
        let mut changed = self.changed.subscribe();
        while !ready(&self.table.load()) {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// The partition a group's state is in; none while the topic does not exist.
    #[must_use]
    pub fn partition(&self, group: &str) -> Option<i32> {
        let table = self.table.load();
        (table.partitions > 0).then(|| partition_of(group, table.partitions))
    }

    /// Whether this node coordinates the group; `CoordinatorNotAvailable` while the topic does not exist.
    pub fn check(&self, group: &str) -> Result<(), ErrorCode> {
        let table = self.table.load();
        if table.partitions == 0 {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        let entry = table.entries.get(&partition_of(group, table.partitions));
        entry.ok_or(ErrorCode::NotCoordinator)?.check()
    }

    /// Asks a group.
    pub async fn ask(
        &self,
        group: &str,
        input: impl FnOnce(Ticket) -> Input + Send + 'static,
    ) -> GroupAnswer {
        match self.send(group, Box::new(input)) {
            Ok(answer) => answer.get().await,
            Err(code) => Err(code),
        }
    }

    fn send(&self, group: &str, make: MakeInput) -> Result<Answer<GroupAnswer>, ErrorCode> {
        self.check(group)?;
        let table = self.table.load();
        let entry = table.entries.get(&partition_of(group, table.partitions));
        let entry = entry.ok_or(ErrorCode::NotCoordinator)?;
        let (reply, answer) = Reply::new();
        let _ = entry.actor.cast(CoordinatorMsg::Ask { group: group.to_owned(), make, reply });
        Ok(answer)
    }

    /// The node ends: who waits for others to join is told to look elsewhere, and no group takes anything new.
    pub fn close(&self) {
        let table = self.table.swap(Arc::new(Table { partitions: i32::MAX, entries: BTreeMap::new() }));
        for entry in table.entries.values() {
            let _ = entry.actor.cast(CoordinatorMsg::Close);
        }
    }

    /// All groups of this node; an error while some of them are being loaded. Like Kafka it leaves those out whose log
    /// cannot be read at all.
    pub fn list(&self) -> Result<Vec<(String, Summary)>, ErrorCode> {
        let mut groups = Vec::new();
        for entry in self.table.load().entries.values() {
            match entry.check() {
                Ok(()) => {}
                Err(ErrorCode::NotCoordinator) => continue,
                Err(code) => return Err(code),
            }
            groups.extend(entry.summaries.lock().iter().map(|(group, s)| (group.clone(), s.clone())));
        }
        Ok(groups)
    }
}

#[cfg(test)]
mod tests {
    use super::partition_of;

    #[test]
    fn a_group_is_where_kafka_puts_it() {
        // Java: Utils.abs("my-group".hashCode()) % 50, and names whose hash is negative.
        assert_eq!(partition_of("my-group", 50), 12);
        assert_eq!(partition_of("payments", 50), 13);
        assert_eq!(partition_of("", 50), 0);
        assert_eq!(partition_of("polygenelubricants", 50), 0, "hashes to i32::MIN");
        assert_eq!(partition_of("any", 0), 0);
    }
}
