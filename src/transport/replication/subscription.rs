//! A subscription: the data connection of one shard's followers to one leader's node, for as long as any follows there.
//!
//! ```text
//!   follow ──> dial ── up: Linked to each follower ──> outbox out, frames in ── end: Unlinked to each ─┐
//!               ^                                                                                      │
//!               └────────────────────────── 100 ms, doubling to 1 s ────────────────────────────────────┘
//!   the last one leaves ── 10 s ──> the connection is closed, the subscription ends
//! ```
//!
//! Each connection has a higher number than all before it in this process, so the leader can tell the later one (R37). The
//! queue of a former connection is dropped before a follower hears of the next one. Followers repeat their words,
//! under a new number (R36).
//!
//! The subscription knows which replicas follow and what they want said. It looks at no offset.

use super::outbox::Outbox;
use super::receive::Receiver;
use super::streams::{Ended, STALL, write};
use crate::transport::frame::encode;
use callboard_actors::partition::{Heard, PartitionHandle};
use callboard_actors::permit::Pool;
use callboard_actors::ports::Admission;
use callboard_core::partition::{Ack, Position};
use callboard_core::{BrokerId, TopicPartition};
use parking_lot::Mutex;
use quinn::{Connection, SendStream};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::time::{Duration, Instant, sleep, sleep_until, timeout};

/// Pause before a connection is dialled again, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// Time for which an unused connection is kept, because a role often comes back.
const LINGER: Duration = Duration::from_secs(10);

/// The followers of one shard at one leader's node, and their connection.
pub struct Subscription {
    shard: u16,
    leader: BrokerId,
    admission: Arc<dyn Admission>,
    pool: Pool,
    state: Mutex<State>,
    /// Rings when the outbox has something.
    outgoing: Notify,
    /// Rings when the last follower leaves, or one comes back.
    wanted: Notify,
}

#[derive(Default)]
struct State {
    up: bool,
    followed: HashMap<TopicPartition, Arc<PartitionHandle>>,
    /// When the last follower left.
    left: Option<Instant>,
    /// Set when the node ends; the connection is closed even though replicas follow.
    closed: bool,
    outbox: Outbox,
}

impl Subscription {
    /// A subscription that nobody has dialled yet.
    pub fn new(shard: u16, leader: BrokerId, admission: Arc<dyn Admission>, pool: Pool) -> Arc<Subscription> {
        let (state, outgoing, wanted) = Default::default();
        Arc::new(Subscription { shard, leader, admission, pool, state, outgoing, wanted })
    }

    /// A replica follows here from now on.
    pub fn follow(&self, replica: &Arc<PartitionHandle>) {
        let mut state = self.state.lock();
        state.outbox.forget(replica.id);
        state.followed.insert(replica.id, Arc::clone(replica));
        state.left = None;
        if state.up {
            replica.hear(Heard::Linked(self.leader));
        }
        drop(state);
        self.wanted.notify_one();
    }

    /// A replica follows here no more. Another replica of the same partition stays.
    pub fn unfollow(&self, replica: &Arc<PartitionHandle>) {
        let mut state = self.state.lock();
        if !state.follows(replica) {
            return;
        }
        state.followed.remove(&replica.id);
        state.outbox.forget(replica.id);
        if state.followed.is_empty() {
            state.left = Some(Instant::now());
            drop(state);
            self.wanted.notify_one();
        }
    }

    /// Sends a Position, if the connection is up.
    pub fn position(&self, replica: &Arc<PartitionHandle>, position: Position) {
        let mut state = self.state.lock();
        if state.up && state.follows(replica) {
            state.outbox.position(replica.id, position);
            drop(state);
            self.outgoing.notify_one();
        }
    }

    /// Sends an acknowledgement, if it belongs to this connection.
    pub fn ack(&self, replica: &Arc<PartitionHandle>, ack: Ack) {
        let mut state = self.state.lock();
        if state.up && state.follows(replica) && state.outbox.ack(replica.id, ack) {
            drop(state);
            self.outgoing.notify_one();
        }
    }

    /// Whether the connection is up.
    pub fn is_up(&self) -> bool {
        self.state.lock().up
    }

    /// Whether no replica follows here.
    pub fn is_unused(&self) -> bool {
        let state = self.state.lock();
        state.closed || state.followed.is_empty()
    }

    /// Ends the connection for good.
    pub fn close(&self) {
        self.state.lock().closed = true;
        self.wanted.notify_one();
    }

    /// Dials and serves until nobody follows here. `dial` gives each connection its number. `retire` forgets the
    /// subscription, and says no if a follower came meanwhile.
    pub async fn run<D>(self: Arc<Self>, dial: impl Fn() -> D, retire: impl Fn() -> bool)
    where
        D: Future<Output = Result<Connection, String>>,
    {
        let mut pause = PAUSE.0;
        loop {
            let dialled = timeout(STALL, dial()).await.unwrap_or_else(|_| Err("no answer".into()));
            match dialled {
                Ok(connection) => {
                    let since = Instant::now();
                    let ended = self.serve(&connection, &retire).await;
                    ended.close(&connection, &format_args!("leader {}", self.leader));
                    self.down();
                    if matches!(ended, Ended::Unused) {
                        return;
                    }
                    if since.elapsed() > PAUSE.1 {
                        pause = PAUSE.0;
                    }
                }
                Err(why) => {
                    let Subscription { shard, leader, .. } = &*self;
                    tracing::debug!("shard {shard} has no data connection with leader {leader}: {why}");
                }
            }
            if self.is_unused() && retire() {
                return;
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    async fn serve(&self, connection: &Connection, retire: &impl Fn() -> bool) -> Ended {
        let (to, from) = match timeout(STALL, connection.open_bi()).await {
            Ok(Ok(both)) => both,
            Ok(Err(error)) => return Ended::Lost(error.to_string()),
            Err(_) => return Ended::Stalled,
        };
        let receiver = Receiver {
            leader: self.leader,
            admission: Arc::clone(&self.admission),
            pool: self.pool.clone(),
            followed: |id| self.state.lock().followed.get(&id).cloned(),
        };
        self.up();
        tokio::select! {
            ended = receiver.run(from) => ended,
            ended = self.send(to) => ended,
            error = connection.closed() => Ended::Lost(error.to_string()),
            () = self.unused(retire) => Ended::Unused,
        }
    }

    fn up(&self) {
        let mut state = self.state.lock();
        (state.up, state.outbox) = (true, Outbox::default());
        tracing::info!("shard {} has a data connection with leader {}", self.shard, self.leader);
        for replica in state.followed.values() {
            replica.hear(Heard::Linked(self.leader));
        }
    }

    fn down(&self) {
        let mut state = self.state.lock();
        if std::mem::take(&mut state.up) {
            state.outbox = Outbox::default();
            for replica in state.followed.values() {
                replica.hear(Heard::Unlinked(self.leader));
            }
        }
    }

    async fn send(&self, mut to: SendStream) -> Ended {
        loop {
            let frames = self.state.lock().outbox.drain();
            if frames.is_empty() {
                self.outgoing.notified().await;
            }
            for (count, items) in frames {
                let written = match encode(items) {
                    Ok(frame) => write(&mut to, &mut [frame], count).await,
                    Err(error) => Err(error.into()),
                };
                if let Err(ended) = written {
                    return ended;
                }
            }
        }
    }

    /// Resolves once nobody has followed here for a while, and the subscription is forgotten.
    async fn unused(&self, retire: &impl Fn() -> bool) {
        loop {
            let left = {
                let state = self.state.lock();
                if state.closed {
                    return;
                }
                state.left
            };
            match left {
                Some(left) if left.elapsed() >= LINGER && retire() => return,
                Some(left) => {
                    let changed = self.wanted.notified();
                    tokio::select! {
                        () = changed => {}
                        () = sleep_until(left + LINGER) => {}
                    }
                }
                None => self.wanted.notified().await,
            }
        }
    }
}

impl State {
    fn follows(&self, replica: &Arc<PartitionHandle>) -> bool {
        self.followed.get(&replica.id).is_some_and(|followed| Arc::ptr_eq(followed, replica))
    }
}
