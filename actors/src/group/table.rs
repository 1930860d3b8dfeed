//! Which coordinator a group has, for requests: by Kafka's hash of its id, without asking an actor.
//!
//! Every group call has to know whether this node coordinates the group, so the answer lies in one table behind an
//! atomic pointer. The supervisor puts a new table there when something changed; `callboard_core::coordinator::epoch`
//! says what the table means for a request. Nothing here starts a coordinator.

use super::messages::{CoordinatorMsg, GroupAnswer, MakeInput, Summaries};
use crate::partition::PartitionHandle;
use crate::reply::{Answer, Reply};
use arc_swap::ArcSwap;
use callboard_core::coordinator::epoch::may_ask;
use callboard_core::coordinator::partition_of;
use callboard_core::group::{Input, Summary};
use callboard_core::{ErrorCode, Ticket};
use ractor::ActorRef;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;

/// A coordinator that runs, from outside.
#[derive(Clone)]
pub(super) struct Running {
    pub actor: ActorRef<CoordinatorMsg>,
    pub summaries: Summaries,
    /// Set while it takes requests.
    pub loaded: Arc<AtomicBool>,
}

/// One partition of the topic on this node.
#[derive(Clone)]
pub(super) struct Entry {
    pub handle: Arc<PartitionHandle>,
    pub running: Option<Running>,
}

impl Entry {
    /// Whether its coordinator takes requests; none if there is no coordinator.
    fn serves(&self) -> Option<bool> {
        self.running.as_ref().map(|running| running.loaded.load(Ordering::Acquire))
    }

    fn check(&self) -> Result<(), ErrorCode> {
        may_ask(self.serves(), &self.handle.view().role)
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
            let all = table.entries.values().all(|entry| entry.serves() == Some(true));
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

    /// The partition that holds a group's state; none while the topic does not exist.
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

    /// Sends a group the input that `input` makes, and waits for its answer.
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
        let running = entry.and_then(|entry| entry.running.as_ref()).ok_or(ErrorCode::NotCoordinator)?;
        let (reply, answer) = Reply::new();
        let _ = running.actor.cast(CoordinatorMsg::Ask { group: group.to_owned(), make, reply });
        Ok(answer)
    }

    /// The node ends: members that wait for others to join are told to look elsewhere, and no group takes anything new.
    pub fn close(&self) {
        let table = self.table.swap(Arc::new(Table { partitions: i32::MAX, entries: BTreeMap::new() }));
        for running in table.entries.values().filter_map(|entry| entry.running.as_ref()) {
            let _ = running.actor.cast(CoordinatorMsg::Close);
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
            let Some(running) = &entry.running else { continue };
            groups.extend(running.summaries.lock().iter().map(|(group, s)| (group.clone(), s.clone())));
        }
        Ok(groups)
    }
}
