//! The supervisor of a shard's leaders. It starts them, starts them again after an error, and lets them go.
//!
//! A leader that ended by an error is rebuilt from the log: a fence behind everything of its former life, then its
//! state. One that keeps failing is left offline with the reason, instead of for ever starting over.

use crate::clock::Clock;
use crate::metrics;
use crate::node::NodeMsg;
use crate::partition::{LeaderActor, LeaderArgs, LeaderMsg, LeaderOrigin, PartitionHandle, TailBudget};
use crate::permit::Permit;
use crate::ports::{ReplicaState, Shard, ShardError, Submission};
use callboard_core::partition::LeaderConfig;
use callboard_core::storage::{Durability, Entry};
use callboard_core::{LeaderEpoch, ReplicaId, Seq, TopicPartition, UnixMillis};
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// Restarts of one leader within [`RESTART_WINDOW`] before it is left offline.
const RESTARTS_MAX: usize = 5;
/// See [`RESTARTS_MAX`].
const RESTART_WINDOW: Duration = Duration::from_secs(60);
/// Before the second restart within that, twice as long before the third, and so on.
const RESTART_WAIT: Duration = Duration::from_millis(200);

/// What a shard's supervisor is told.
#[derive(Debug)]
pub enum ShardMsg {
    /// Lead this partition.
    Start {
        /// Which.
        id: TopicPartition,
        /// In which epoch.
        leader_epoch: LeaderEpoch,
        /// With which configuration.
        config: LeaderConfig,
        /// From this log; none: a new one.
        state: Option<Box<ReplicaState>>,
    },
    /// The topic's configuration changed.
    Configure(TopicPartition, LeaderConfig),
    /// Says to the node that everything before this has been told.
    Mark(u64),
    /// The topic was deleted.
    Delete(TopicPartition),
    /// Nobody knows this replica: mark it, or let it go.
    Stray {
        /// Which.
        replica: ReplicaId,
        /// Number of its last entry.
        seq: Seq,
        /// Marked at this time; none: let it go.
        at: Option<UnixMillis>,
    },
    /// A leader's log was read again.
    Rebuilt(TopicPartition, Result<Box<ReplicaState>, ShardError>),
}

/// What it starts with.
pub struct ShardArgs {
    /// Its shard.
    pub shard: Arc<dyn Shard>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The bound of all tails.
    pub tails: Arc<TailBudget>,
    /// Told of each leader that is up.
    pub node: ActorRef<NodeMsg>,
}

struct Leader {
    actor: Option<ActorRef<LeaderMsg>>,
    /// Known once it is open.
    replica: Arc<OnceLock<ReplicaId>>,
    leader_epoch: LeaderEpoch,
    config: LeaderConfig,
    failures: Vec<Instant>,
}

/// Its state.
pub struct ShardState {
    args: ShardArgs,
    leaders: HashMap<TopicPartition, Leader>,
    by_actor: HashMap<ActorId, TopicPartition>,
}

/// The actor.
pub struct ShardActor;

impl Actor for ShardActor {
    type Msg = ShardMsg;
    type State = ShardState;
    type Arguments = ShardArgs;

    async fn pre_start(
        &self,
        _me: ActorRef<ShardMsg>,
        args: ShardArgs,
    ) -> Result<ShardState, ActorProcessingErr> {
        Ok(ShardState { args, leaders: HashMap::new(), by_actor: HashMap::new() })
    }

    async fn handle(
        &self,
        me: ActorRef<ShardMsg>,
        message: ShardMsg,
        state: &mut ShardState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ShardMsg::Start { id, leader_epoch, config, state: log } => {
                let replica = Arc::default();
                let leader = Leader { actor: None, replica, leader_epoch, config, failures: Vec::new() };
                state.leaders.insert(id, leader);
                state.spawn(&me, id, log).await;
            }
            // Deleted while it was read: nobody is left to journal its end.
            ShardMsg::Rebuilt(id, Ok(log)) if !state.leaders.contains_key(&id) => {
                state.stray(log.replica, log.seq, None);
            }
            ShardMsg::Rebuilt(id, Ok(log)) => state.spawn(&me, id, Some(log)).await,
            ShardMsg::Rebuilt(_, Err(ShardError::Ending)) => {}
            ShardMsg::Rebuilt(id, Err(ShardError::Refused(why))) => state.rebuild(&me, id, &why),
            ShardMsg::Rebuilt(id, Err(error)) => state.leave_offline(id, error.to_string()),
            ShardMsg::Configure(id, config) => {
                if let Some(leader) = state.leaders.get_mut(&id) {
                    leader.config = config;
                    leader.tell(LeaderMsg::Configure(config));
                }
            }
            ShardMsg::Mark(index) => {
                let _ = state.args.node.cast(NodeMsg::Marked(index));
            }
            ShardMsg::Delete(id) => {
                if let Some(leader) = state.leaders.remove(&id) {
                    leader.tell(LeaderMsg::Delete);
                    if let Some(actor) = leader.actor {
                        state.by_actor.remove(&actor.get_id());
                        let _ = actor.drain();
                    }
                }
            }
            ShardMsg::Stray { replica, seq, at } => state.stray(replica, seq, at),
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        me: ActorRef<ShardMsg>,
        event: SupervisionEvent,
        state: &mut ShardState,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(cell, error) => {
                state.failed(&me, cell.get_id(), &error.to_string())
            }
            SupervisionEvent::ActorTerminated(cell, _, _) => {
                state.by_actor.remove(&cell.get_id());
            }
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {}
        }
        Ok(())
    }

    async fn post_stop(
        &self,
        me: ActorRef<ShardMsg>,
        _state: &mut ShardState,
    ) -> Result<(), ActorProcessingErr> {
        me.drain_children_and_wait(Some(Duration::from_secs(10))).await;
        Ok(())
    }
}

impl Leader {
    fn tell(&self, message: LeaderMsg) {
        if let Some(actor) = &self.actor {
            let _ = actor.cast(message);
        }
    }
}

impl ShardState {
    async fn spawn(&mut self, me: &ActorRef<ShardMsg>, id: TopicPartition, log: Option<Box<ReplicaState>>) {
        let Some(leader) = self.leaders.get_mut(&id) else { return };
        let (node, replica) = (self.args.node.clone(), Arc::clone(&leader.replica));
        let args = LeaderArgs {
            id,
            leader_epoch: leader.leader_epoch,
            config: leader.config,
            origin: log.map_or(LeaderOrigin::New, LeaderOrigin::State),
            shard: Arc::clone(&self.args.shard),
            clock: Arc::clone(&self.args.clock),
            tails: Arc::clone(&self.args.tails),
            on_ready: Box::new(move |handle| {
                if let Some(opened) = handle.replica() {
                    let _ = replica.set(opened);
                }
                let _ = node.cast(NodeMsg::Ready(handle));
            }),
        };
        match Actor::spawn_linked(None, LeaderActor, args, me.get_cell()).await {
            Ok((actor, _)) => {
                self.by_actor.insert(actor.get_id(), id);
                leader.actor = Some(actor);
            }
            Err(error) => self.leave_offline(id, error.to_string()),
        }
    }

    fn failed(&mut self, me: &ActorRef<ShardMsg>, actor: ActorId, error: &str) {
        let Some(id) = self.by_actor.remove(&actor) else { return };
        let Some(leader) = self.leaders.get_mut(&id) else { return };
        tracing::error!(partition = %id, "its leader ended and is started again: {error}");
        metrics::restarted("leader");
        leader.actor = None;
        self.rebuild(me, id, error);
    }

    /// Reads a leader's log again, at once the first time, then a little later each time.
    fn rebuild(&mut self, me: &ActorRef<ShardMsg>, id: TopicPartition, error: &str) {
        let Some(leader) = self.leaders.get_mut(&id) else { return };
        leader.failures.retain(|at| at.elapsed() < RESTART_WINDOW);
        let wait = RESTART_WAIT * u32::try_from(leader.failures.len()).unwrap_or(u32::MAX);
        leader.failures.push(Instant::now());
        match leader.replica.get().copied() {
            Some(replica) if leader.failures.len() <= RESTARTS_MAX => {
                let (shard, me) = (Arc::clone(&self.args.shard), me.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(wait).await;
                    let _ = me.cast(ShardMsg::Rebuilt(id, shard.rebuild(replica).await.map(Box::new)));
                });
            }
            _ => self.leave_offline(id, format!("its leader keeps failing: {error}")),
        }
    }

    fn leave_offline(&self, id: TopicPartition, why: String) {
        // Deleted meanwhile: that it could not be led any more is no fault.
        let Some(leader) = self.leaders.get(&id) else { return };
        tracing::error!(partition = %id, "offline: {why}");
        let handle = Arc::new(PartitionHandle::offline(id, leader.leader_epoch, why));
        let _ = self.args.node.cast(NodeMsg::Ready(handle));
    }

    fn stray(&self, replica: ReplicaId, seq: Seq, at: Option<UnixMillis>) {
        let entry = at.map_or(Entry::Drop, |at| Entry::Stray { at });
        let submission = Submission {
            replica,
            seq: seq.next(),
            entry,
            bytes: bytes::Bytes::new(),
            durability: Durability::Fsync,
            permit: Permit::free(),
        };
        if let Err(error) = self.args.shard.submit(submission) {
            tracing::warn!(replica = replica.0, "a stray replica could not be marked: {error}");
        }
    }
}
