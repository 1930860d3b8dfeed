//! Replication as a port: the words of this node's replicas find their connection, and incoming connections their feed.
//!
//! ```text
//!   follow, position, ack ──> Subscription of (own shard, leader's node)      subscription.rs
//!   feed, unfeed, reply ────> Inbox of the connection that brought the Position      feeds.rs
//! ```
//!
//! The composition root gives the way to dial, and hands over each data connection whose hello was good. No call waits, and no
//! call promises delivery: a machine says again what was lost.

use super::feeds::Feeds;
use super::metrics;
use super::subscription::Subscription;
use callboard_actors::directory::Directory;
use callboard_actors::partition::PartitionHandle;
use callboard_actors::permit::Pool;
use callboard_actors::ports::Replication;
use callboard_actors::samples::Samples;
use callboard_core::partition::{Ack, Answer, Cursor, Position};
use callboard_core::{BrokerId, Peer, TopicPartition};
use futures_util::future::BoxFuture;
use parking_lot::RwLock;
use quinn::Connection;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The way to a data connection whose hellos are exchanged.
pub trait Dial: Send + Sync + 'static {
    /// Dials a node for this shard, under this connection number (R37). The hello names both.
    fn dial(&self, node: BrokerId, shard: u16, number: u64)
    -> BoxFuture<'static, Result<Connection, String>>;
}

type Subscriptions = RwLock<HashMap<(u16, BrokerId), Arc<Subscription>>>;

/// All data connections of this node, on both sides.
pub struct Replicator {
    dial: Arc<dyn Dial>,
    /// Of each shard by its number.
    pools: Vec<Pool>,
    subscriptions: Arc<Subscriptions>,
    /// The number of the last connection that this process dialled.
    numbers: Arc<AtomicU64>,
    feeds: Arc<Feeds>,
}

impl Replicator {
    /// Replication without connections yet. Frames of leaders take `share` bytes of each shard
    /// (`Budgets::replication_share`).
    #[must_use]
    pub fn new(
        dial: Arc<dyn Dial>,
        directory: Arc<Directory>,
        shards: usize,
        share: usize,
    ) -> Arc<Replicator> {
        Arc::new(Replicator {
            dial,
            pools: (0..shards).map(|_| Pool::new(share)).collect(),
            subscriptions: Arc::default(),
            numbers: Arc::default(),
            feeds: Feeds::new(directory),
        })
    }

    /// Takes a data connection that a follower's node dialled. Its hello named the node, its shard and its number.
    ///
    /// It has to be called within a runtime. The connection is closed if a later one of that shard is known.
    pub fn accepted(&self, from: Peer, shard: u16, number: u64, connection: Connection) {
        self.feeds.accepted(from, shard, number, connection);
    }

    /// Ends all data connections, and takes no other.
    pub fn close(&self) {
        let all: Vec<_> = self.subscriptions.write().drain().map(|(_, subscription)| subscription).collect();
        all.iter().for_each(|subscription| subscription.close());
        self.feeds.close();
    }

    /// Writes the gauges of this moment.
    pub fn sample(&self, out: &mut Samples) {
        let following = self.subscriptions.read().values().filter(|one| one.is_up()).count();
        metrics::sample(following, self.feeds.connected(), &self.pools, out);
    }

    fn subscription(&self, replica: &Arc<PartitionHandle>, leader: BrokerId) -> Option<Arc<Subscription>> {
        let shard = replica.shard_index()?;
        self.subscriptions.read().get(&(shard, leader)).cloned()
    }

    /// Begins a subscription, and dials.
    fn begin(&self, replica: &Arc<PartitionHandle>, leader: BrokerId) -> Option<Arc<Subscription>> {
        let admission = replica.admission()?;
        let shard = admission.index();
        let pool = self.pools.get(usize::from(shard))?.clone();
        let subscription = Subscription::new(shard, leader, admission, pool);
        let (dial, numbers) = (Arc::clone(&self.dial), Arc::clone(&self.numbers));
        let dialling =
            move || dial.dial(leader, shard, numbers.fetch_add(1, Ordering::Relaxed).saturating_add(1));
        let (all, key) = (Arc::downgrade(&self.subscriptions), (shard, leader));
        let mine = Arc::downgrade(&subscription);
        let retire = move || {
            let (Some(all), Some(mine)) = (all.upgrade(), mine.upgrade()) else { return true };
            let mut all = all.write();
            let unused = mine.is_unused();
            if unused && all.get(&key).is_some_and(|one| Arc::ptr_eq(one, &mine)) {
                all.remove(&key);
            }
            unused
        };
        tokio::spawn(Arc::clone(&subscription).run(dialling, retire));
        Some(subscription)
    }
}

impl Replication for Replicator {
    fn follow(&self, replica: &Arc<PartitionHandle>, leader: BrokerId) {
        let Some(shard) = replica.shard_index() else { return };
        // The lock is held until the replica is in, so that the subscription does not retire before.
        let mut all = self.subscriptions.write();
        let known = all.get(&(shard, leader)).cloned();
        let Some(subscription) = known.or_else(|| self.begin(replica, leader)) else {
            tracing::error!(partition = %replica.id, "it cannot follow: this node has no shard {shard}");
            return;
        };
        subscription.follow(replica);
        all.insert((shard, leader), subscription);
    }

    fn unfollow(&self, replica: &Arc<PartitionHandle>, leader: BrokerId) {
        if let Some(subscription) = self.subscription(replica, leader) {
            subscription.unfollow(replica);
        }
    }

    fn position(&self, replica: &Arc<PartitionHandle>, to: BrokerId, position: Position) {
        if let Some(subscription) = self.subscription(replica, to) {
            subscription.position(replica, position);
        }
    }

    fn ack(&self, replica: &Arc<PartitionHandle>, to: BrokerId, ack: Ack) {
        if let Some(subscription) = self.subscription(replica, to) {
            subscription.ack(replica, ack);
        }
    }

    fn reply(&self, id: TopicPartition, to: Peer, answer: Answer) {
        self.feeds.reply(id, to, answer);
    }

    fn feed(&self, replica: &Arc<PartitionHandle>, cursor: Cursor) {
        self.feeds.feed(replica, cursor);
    }

    fn unfeed(&self, id: TopicPartition, to: BrokerId) {
        self.feeds.unfeed(id, to);
    }
}
