//! The leader's side of all data connections: one per shard of each follower's node, and the way back to each follower.
//!
//! ```text
//!   accepted ──> slot of (broker, shard): (broker epoch, number), the highest wins      R37
//!                 │  the former connection is closed, and its reader has ended, before the new one is read
//!                 ├─ Positions ──> the replica's actor; the route (broker, partition) leads here from now on
//!                 ├─ Acks ───────> the replica's actor
//!                 └─ feeder (feed.rs) <── inbox <── feed, unfeed, reply: by the route
//! ```
//!
//! The reader takes no permit and never waits for anything but the stream, or two full nodes could wait for each other. Its frames
//! carry no batches, so a fixed bound holds their memory. Positions of partitions that are not here are refused at
//! once. Whether an acknowledgement counts is the machine's question.

use super::feed;
use super::inbox::{Inbox, Order};
use super::metrics;
use super::streams::{CODE_DONE, CODE_SUPERSEDED, Ended, read_body, read_lengths};
use crate::transport::frame::{Opened, open};
use crate::transport::words;
use callboard_actors::directory::Directory;
use callboard_actors::partition::{Heard, PartitionHandle};
use callboard_core::partition::{Answer, Cursor, Position, RefusedFor};
use callboard_core::{BrokerEpoch, BrokerId, Peer, TopicPartition};
use parking_lot::Mutex;
use quinn::{Connection, RecvStream};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::watch;

/// Routes from which on those of deleted partitions are looked for.
const ROUTES_LEAST: usize = 1024;

/// All connections of followers, and where each follower's Position came from.
pub struct Feeds {
    directory: Arc<Directory>,
    slots: Mutex<Slots>,
    routes: Mutex<Routes>,
    connected: AtomicUsize,
}

#[derive(Default)]
struct Slots {
    /// A slot outlives its connection, so that an earlier one that comes late is still refused.
    all: HashMap<(BrokerId, u16), Slot>,
    closed: bool,
}

struct Slot {
    rank: (BrokerEpoch, u64),
    connection: Connection,
    /// Closed once the connection's reader has ended.
    ended: watch::Receiver<()>,
}

#[derive(Default)]
struct Routes {
    all: HashMap<(BrokerId, TopicPartition), Arc<Inbox>>,
    /// Number of routes at which those of deleted partitions are taken out.
    prune_at: usize,
}

impl Feeds {
    /// Feeds of the replicas in this directory, without a connection yet.
    pub fn new(directory: Arc<Directory>) -> Arc<Feeds> {
        let (slots, routes, connected) = Default::default();
        Arc::new(Feeds { directory, slots, routes, connected })
    }

    /// Number of connections of followers that are up.
    pub fn connected(&self) -> usize {
        self.connected.load(Ordering::Relaxed)
    }

    /// Takes a connection, unless a later one of its shard is known.
    pub fn accepted(self: &Arc<Self>, from: Peer, shard: u16, number: u64, connection: Connection) {
        let rank = (from.epoch, number);
        let (alive, ended) = watch::channel(());
        let mut slots = self.slots.lock();
        if slots.closed {
            return connection.close(CODE_DONE, b"this node ends");
        }
        let key = (from.broker, shard);
        if let Some(slot) = slots.all.get(&key).filter(|slot| slot.rank >= rank) {
            let (epoch, later) = slot.rank;
            metrics::superseded();
            let why = format!("connection {later} of broker epoch {epoch} is later than this one, {number}");
            tracing::warn!("a data connection of {from}, shard {shard}, is refused: {why}");
            return connection.close(CODE_SUPERSEDED, why.as_bytes());
        }
        let former = slots.all.insert(key, Slot { rank, connection: connection.clone(), ended });
        drop(slots);
        if let Some(former) = &former
            && former.connection.close_reason().is_none()
        {
            metrics::superseded();
            former.connection.close(CODE_SUPERSEDED, b"a later connection of this shard came");
        }
        let feeds = Arc::clone(self);
        tokio::spawn(async move {
            if let Some(mut former) = former {
                // An error says that its reader has ended.
                while former.ended.changed().await.is_ok() {}
            }
            feeds.connected.fetch_add(1, Ordering::Relaxed);
            let ended = feeds.serve(from, &connection).await;
            feeds.connected.fetch_sub(1, Ordering::Relaxed);
            ended.close(&connection, &format_args!("follower {from}, shard {shard}"));
            drop(alive);
        });
    }

    async fn serve(&self, from: Peer, connection: &Connection) -> Ended {
        // Its first Position opens the stream, which may take as long as the followers take.
        let (to, stream) = match connection.accept_bi().await {
            Ok(both) => both,
            Err(error) => return Ended::Lost(error.to_string()),
        };
        let inbox = Inbox::new(from);
        let mut feeding = tokio::spawn(feed::run(Arc::clone(&inbox), to));
        let ended = tokio::select! {
            ended = self.hear(&inbox, stream) => ended,
            ended = &mut feeding => ended.unwrap_or_else(|error| Ended::Lost(error.to_string())),
        };
        // A write that waits for the stream would hold the feeder until the other side gives up.
        feeding.abort();
        self.routes.lock().all.retain(|_, route| !Arc::ptr_eq(route, &inbox));
        inbox.close();
        ended
    }

    /// Reads Positions and acknowledgements. It is not cancel-safe: who gives it up closes the connection.
    async fn hear(&self, inbox: &Arc<Inbox>, mut from: RecvStream) -> Ended {
        loop {
            if let Err(ended) = self.frame(inbox, &mut from).await {
                return ended;
            }
        }
    }

    async fn frame(&self, inbox: &Arc<Inbox>, from: &mut RecvStream) -> Result<(), Ended> {
        let lengths = read_lengths(from).await?;
        if lengths.payload() > 0 {
            return Err(Ended::Kind("batches for a leader"));
        }
        let body = read_body(from, lengths).await?;
        let items = match open(lengths, &body)? {
            Opened::Positions(all) => {
                for item in all {
                    let (id, position) = words::read_position(item)?;
                    self.position(inbox, id, position);
                }
                all.len()
            }
            Opened::Acks(all) => {
                for item in all {
                    let (id, ack) = words::read_ack(item)?;
                    if let Some(replica) = self.directory.get(id) {
                        replica.hear(Heard::Acked { from: inbox.peer, ack });
                    }
                }
                all.len()
            }
            Opened::Parts(_) => return Err(Ended::Kind("a part for a leader")),
            Opened::Diverge(_) | Opened::Refused(_) => return Err(Ended::Kind("an answer for a leader")),
        };
        metrics::received(items, lengths.body());
        Ok(())
    }

    fn position(&self, inbox: &Arc<Inbox>, id: TopicPartition, position: Position) {
        let Position { leader_epoch, n, .. } = position;
        let heard = self.directory.get(id).is_some_and(|replica| {
            self.routes.lock().lead(&self.directory, id, inbox);
            replica.hear(Heard::Position { from: inbox.peer, position })
        });
        if !heard {
            let why = RefusedFor::NotLeading;
            inbox.answer(id, Answer::Refused { leader_epoch, n, why });
        }
    }

    fn route(&self, id: TopicPartition, to: BrokerId) -> Option<Arc<Inbox>> {
        self.routes.lock().all.get(&(to, id)).cloned()
    }

    /// Answers a Position, if the connection that brought it is up and of that life.
    pub fn reply(&self, id: TopicPartition, to: Peer, answer: Answer) {
        if let Some(inbox) = self.route(id, to.broker).filter(|inbox| inbox.peer == to) {
            inbox.answer(id, answer);
        }
    }

    /// Begins a feed over the connection that brought the last Position, if it is of the cursor's life.
    pub fn feed(&self, replica: &Arc<PartitionHandle>, cursor: Cursor) {
        if let Some(inbox) = self.route(replica.id, cursor.to.broker).filter(|inbox| inbox.peer == cursor.to)
        {
            inbox.order(replica.id, Order::Feed(Arc::clone(replica), cursor));
        }
    }

    /// Ends the feed of a partition over whichever connection it runs.
    pub fn unfeed(&self, id: TopicPartition, to: BrokerId) {
        if let Some(inbox) = self.route(id, to) {
            inbox.order(id, Order::Unfeed);
        }
    }

    /// Closes all connections, and takes no other.
    pub fn close(&self) {
        let mut slots = self.slots.lock();
        slots.closed = true;
        slots.all.values().for_each(|slot| slot.connection.close(CODE_DONE, b"this node ends"));
    }
}

impl Routes {
    /// Notes that a follower's Position came over this connection. A feed over another one ends.
    fn lead(&mut self, directory: &Directory, id: TopicPartition, inbox: &Arc<Inbox>) {
        let former = self.all.insert((inbox.peer.broker, id), Arc::clone(inbox));
        if let Some(former) = former.filter(|former| !Arc::ptr_eq(former, inbox)) {
            former.order(id, Order::Unfeed);
        }
        if self.all.len() >= self.prune_at.max(ROUTES_LEAST) {
            self.all.retain(|(_, id), _| directory.get(*id).is_some());
            self.prune_at = self.all.len() * 2;
        }
    }
}
