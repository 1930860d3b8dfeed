//! The supervisor of a shard's replicas: it starts them, starts them again after an error, and lets them go.
//!
//! ```text
//!   Start ──> actor ──fails──> Shard::rebuild ──> actor        the handle stays the same all the while
//!               │                 └─ too often ──> offline, with the reason
//!               └─ Delete · Leave ──> its last entry, then it is drained
//! ```
//!
//! A replica whose actor ended by an error is rebuilt from the log. The store puts a fence behind everything of its
//! former life and then reads its state. A replica that has to end without an actor is rebuilt too, because its last
//! entry needs the next number.
//!
//! The supervisor looks at no role and no offset. `core/restarts.rs` decides when a failed actor is started again.

use crate::clock::Clock;
use crate::links::Links;
use crate::messages::{NodeMsg, ShardMsg, Starting};
use crate::metrics;
use crate::partition::{Mark, PartitionHandle, ReplicaActor, ReplicaArgs, ReplicaMsg, TailBudget};
use crate::permit::Permit;
use crate::ports::{ReplicaState, Shard, ShardError, Submission};
use crate::proposer::ProposerMsg;
use callboard_core::node::{Life, Origin};
use callboard_core::partition::{Assigned, Beginning, ReplicaConfig};
use callboard_core::restarts::{Policy, Restarts, Verdict};
use callboard_core::storage::{Durability, Entry};
use callboard_core::{BrokerId, ReplicaId, Seq, TopicPartition, UnixMillis};
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Everything that a shard's supervisor starts with.
pub struct ShardArgs {
    pub broker_id: BrokerId,
    pub shard: Arc<dyn Shard>,
    pub clock: Arc<dyn Clock>,
    pub tails: Arc<TailBudget>,
    pub node: ActorRef<NodeMsg>,
    pub links: Links,
}

/// The last entry of a replica that ends here.
#[derive(Clone, Copy, Debug)]
enum Ending {
    Drop,
    Stray,
}

/// The worker of a replica at the moment.
enum At {
    Actor(ActorRef<ReplicaMsg>),
    /// The replica's log is being read again.
    Rebuilding,
    /// The replica has no worker: its actor keeps failing, or could not be started.
    Down,
}

struct Local {
    life: Life,
    handle: Arc<PartitionHandle>,
    /// The replica whose log this life found in the shard; none if the life opens a new one.
    found: Option<ReplicaId>,
    assigned: Assigned,
    config: ReplicaConfig,
    at: At,
    /// The last actor failed, and may have led.
    failed: bool,
    restarts: Restarts,
    ending: Option<Ending>,
    /// The last entry that left for the journal. It may differ from `ending`, which can change meanwhile.
    journaled: Option<Ending>,
    /// The next life, which begins when this one is over.
    next: Option<Box<Starting>>,
}

/// The replicas of one shard, and their actors.
pub struct ShardState {
    args: ShardArgs,
    locals: HashMap<TopicPartition, Local>,
    by_actor: HashMap<ActorId, TopicPartition>,
    /// Replicas that have left this node and lie in the shard as strays.
    left: HashMap<TopicPartition, ReplicaId>,
    /// Replicas that were told something since the last mark.
    told: Vec<TopicPartition>,
    /// The first Position number of the last life.
    numbers: u64,
}

/// The supervisor of one shard's replicas.
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
        let (locals, by_actor, left) = (HashMap::new(), HashMap::new(), HashMap::new());
        Ok(ShardState { args, locals, by_actor, left, told: Vec::new(), numbers: 0 })
    }

    async fn handle(
        &self,
        me: ActorRef<ShardMsg>,
        message: ShardMsg,
        state: &mut ShardState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ShardMsg::Start(starting) => state.start(&me, starting).await,
            ShardMsg::Rebuilt(life, log) => state.rebuilt(&me, life, log).await,
            ShardMsg::Assign(id, assigned) => {
                if let Some(local) = state.locals.get_mut(&id) {
                    match &mut local.next {
                        Some(next) => next.assigned = assigned,
                        None => {
                            local.assigned = assigned.clone();
                            local.tell(ReplicaMsg::Assign(assigned));
                            state.told.push(id);
                        }
                    }
                }
            }
            ShardMsg::Configure(id, config) => {
                if let Some(local) = state.locals.get_mut(&id) {
                    match &mut local.next {
                        Some(next) => next.config = config,
                        None => {
                            local.config = config;
                            local.tell(ReplicaMsg::Configure(config));
                            state.told.push(id);
                        }
                    }
                }
            }
            ShardMsg::Mark(index) => state.mark(index),
            ShardMsg::Delete(id) => state.end(&me, id, Ending::Drop).await,
            ShardMsg::Leave(id) => state.end(&me, id, Ending::Stray).await,
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
                state.failed(&me, cell.get_id(), &error.to_string()).await;
            }
            SupervisionEvent::ActorTerminated(cell, _, _) => {
                if let Some(id) = state.by_actor.remove(&cell.get_id()) {
                    state.over(&me, id).await;
                }
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

impl Local {
    fn tell(&self, message: ReplicaMsg) {
        if let At::Actor(actor) = &self.at {
            let _ = actor.cast(message);
        }
    }

    /// The replica in the shard; none before a new one is open.
    fn replica(&self) -> Option<ReplicaId> {
        self.handle.replica().or(self.found)
    }
}

impl ShardState {
    /// Says `Told` when each replica that was told something has taken it in. A replica without an actor takes it in when
    /// it starts, and serves nothing before.
    fn mark(&mut self, index: u64) {
        let node = self.args.node.clone();
        let mark = Mark::new(move || {
            let _ = node.cast(NodeMsg::Told(index));
        });
        for id in self.told.drain(..) {
            if let Some(local) = self.locals.get(&id) {
                local.tell(ReplicaMsg::Mark(Arc::clone(&mark)));
            }
        }
    }

    async fn start(&mut self, me: &ActorRef<ShardMsg>, mut starting: Box<Starting>) {
        let id = starting.life.id;
        if let Some(former) = self.locals.get_mut(&id) {
            former.next = Some(starting);
            return;
        }
        let (origin, log) = (starting.origin, starting.log.take());
        let Starting { life, handle, assigned, config, .. } = *starting;
        let (at, restarts) = (At::Down, Restarts::new(Policy::REPLICA));
        let found = match origin {
            Origin::New => None,
            Origin::Recovered(replica) => Some(replica),
            Origin::Returned => self.left.remove(&id),
        };
        let marked = log.as_ref().is_some_and(|log| log.stray.is_some());
        let local = Local {
            life,
            handle,
            found,
            assigned,
            config,
            at,
            failed: false,
            restarts,
            ending: None,
            journaled: None,
            next: None,
        };
        self.locals.insert(id, local);
        match (origin, found) {
            (Origin::Returned, None) => self.leave_offline(id, "its former life left no log".to_owned()),
            (Origin::Returned, Some(replica)) => self.rebuild(me, id, replica, Duration::ZERO),
            // The fence before the rebuild takes the mark off, even if no record follows. A later start would count the
            // day from the old mark (R20).
            (Origin::Recovered(_), Some(replica)) if marked => self.rebuild(me, id, replica, Duration::ZERO),
            (Origin::New | Origin::Recovered(_), _) => self.spawn(me, id, log).await,
        }
    }

    async fn spawn(&mut self, me: &ActorRef<ShardMsg>, id: TopicPartition, log: Option<Box<ReplicaState>>) {
        let Some(local) = self.locals.get_mut(&id) else { return };
        let (node, life) = (self.args.node.clone(), local.life);
        // Between two numbers lies room for all Positions of one life.
        self.numbers += 1 << 32;
        let number = self.numbers;
        let beginning = Beginning { first_n: self.numbers, rebuilt: std::mem::take(&mut local.failed) };
        let (spent, damaged) = (self.args.node.clone(), self.args.node.clone());
        let (proposer, unable) = (self.args.links.proposer.clone(), Arc::clone(&self.args.links.unable));
        let args = ReplicaArgs {
            handle: Arc::clone(&local.handle),
            node: self.args.broker_id,
            assigned: local.assigned.clone(),
            beginning,
            config: local.config,
            log,
            shard: Arc::clone(&self.args.shard),
            clock: Arc::clone(&self.args.clock),
            tails: Arc::clone(&self.args.tails),
            on_opened: Box::new(move |open| {
                let _ = node.cast(if open { NodeMsg::Ready(life) } else { NodeMsg::Broken(life) });
            }),
            on_spent: Box::new(move |epoch| {
                let _ = spent.cast(NodeMsg::Spent(life, epoch));
            }),
            on_wish: Box::new(move |wish| {
                if let Some(proposer) = &proposer {
                    let _ = proposer.cast(ProposerMsg::Wish(wish));
                }
            }),
            on_unable: Box::new(move |is| unable.set(id, number, is)),
            on_damaged: Box::new(move |why, mendable| {
                let _ = damaged.cast(NodeMsg::Damaged(life, why, mendable));
            }),
            replication: Arc::clone(&self.args.links.replication),
            contact: Arc::clone(&self.args.links.contact),
        };
        match Actor::spawn_linked(None, ReplicaActor, args, me.get_cell()).await {
            Ok((actor, _)) => {
                self.by_actor.insert(actor.get_id(), id);
                self.args.links.unable.set(id, u64::MAX, false);
                local.at = At::Actor(actor);
            }
            Err(error) => self.leave_offline(id, error.to_string()),
        }
    }

    async fn failed(&mut self, me: &ActorRef<ShardMsg>, actor: ActorId, error: &str) {
        let Some(id) = self.by_actor.remove(&actor) else { return };
        // ractor may drop the actor's own state later than this, when its next life has begun.
        if let Some(local) = self.locals.get_mut(&id) {
            local.handle.ended(actor);
            local.failed = true;
        }
        metrics::restarted("replica");
        if self.locals.get(&id).is_some_and(|local| local.ending.is_some()) {
            tracing::error!(partition = %id, "its actor ended before it had let the replica go: {error}");
            return self.read_to_end(me, id).await;
        }
        tracing::error!(partition = %id, "its actor ended and is started again: {error}");
        self.again(me, id, error);
    }

    /// Reads a replica's log again, or leaves the replica offline.
    fn again(&mut self, me: &ActorRef<ShardMsg>, id: TopicPartition, error: &str) {
        let now = self.args.clock.now().mono;
        let Some(local) = self.locals.get_mut(&id) else { return };
        local.at = At::Down;
        match (local.restarts.failed(now), local.replica()) {
            (Verdict::Again { after_ms }, Some(replica)) => {
                self.rebuild(me, id, replica, Duration::from_millis(after_ms));
            }
            _ => self.leave_offline(id, format!("its actor keeps failing: {error}")),
        }
    }

    fn rebuild(&mut self, me: &ActorRef<ShardMsg>, id: TopicPartition, replica: ReplicaId, wait: Duration) {
        let Some(local) = self.locals.get_mut(&id) else { return };
        local.at = At::Rebuilding;
        let (shard, me, life) = (Arc::clone(&self.args.shard), me.clone(), local.life);
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            let _ = me.cast(ShardMsg::Rebuilt(life, shard.rebuild(replica).await.map(Box::new)));
        });
    }

    async fn rebuilt(
        &mut self,
        me: &ActorRef<ShardMsg>,
        life: Life,
        log: Result<Box<ReplicaState>, ShardError>,
    ) {
        let id = life.id;
        let Some(local) = self.locals.get_mut(&id).filter(|local| local.life == life) else { return };
        match (log, local.ending) {
            (Ok(log), None) => self.spawn(me, id, Some(log)).await,
            (Ok(log), Some(ending)) => {
                let at = matches!(ending, Ending::Stray).then(|| self.args.clock.now().wall);
                local.journaled = Some(ending);
                self.stray(log.replica, log.seq, at);
                self.over(me, id).await;
            }
            (Err(ShardError::Ending), _) => {}
            (Err(ShardError::Refused(why)), None) => self.again(me, id, &why),
            (Err(error), None) => self.leave_offline(id, error.to_string()),
            (Err(error), Some(_)) => {
                tracing::warn!(partition = %id, "it could not be ended, and will be stray at the next start: {error}");
                self.over(me, id).await;
            }
        }
    }

    /// Ends a replica. Its actor journals the last entry; without an actor, this supervisor does.
    async fn end(&mut self, me: &ActorRef<ShardMsg>, id: TopicPartition, ending: Ending) {
        let Some(local) = self.locals.get_mut(&id) else {
            if let (Ending::Drop, Some(replica)) = (ending, self.left.remove(&id)) {
                self.drop_left(me, replica);
            }
            return;
        };
        local.next = None;
        if local.ending.replace(ending).is_some() {
            return;
        }
        match &local.at {
            At::Actor(actor) => {
                local.tell(match ending {
                    Ending::Drop => ReplicaMsg::Delete,
                    Ending::Stray => ReplicaMsg::Leave,
                });
                let _ = actor.drain();
                local.journaled = Some(ending);
            }
            At::Rebuilding => {}
            At::Down => self.read_to_end(me, id).await,
        }
    }

    /// Reads the log of a replica without an actor, so that it can be ended. A replica that was never opened is over
    /// at once.
    async fn read_to_end(&mut self, me: &ActorRef<ShardMsg>, id: TopicPartition) {
        match self.locals.get(&id).and_then(Local::replica) {
            Some(replica) => self.rebuild(me, id, replica, Duration::ZERO),
            None => self.over(me, id).await,
        }
    }

    /// Ends a life. The next life begins at once, if one waits, so that no message for it comes too early.
    async fn over(&mut self, me: &ActorRef<ShardMsg>, id: TopicPartition) {
        let Some(mut local) = self.locals.remove(&id) else { return };
        match (local.ending, local.journaled, local.replica()) {
            (Some(Ending::Stray), _, Some(replica)) => drop(self.left.insert(id, replica)),
            // Its topic was deleted while it was leaving.
            (Some(Ending::Drop), Some(Ending::Stray), Some(replica)) => self.drop_left(me, replica),
            _ => {}
        }
        if let Some(next) = local.next.take() {
            self.start(me, next).await;
        }
    }

    /// Drops a replica that lies in the shard as a stray. Its log is read for the number of the last entry.
    fn drop_left(&self, me: &ActorRef<ShardMsg>, replica: ReplicaId) {
        let (shard, me) = (Arc::clone(&self.args.shard), me.clone());
        tokio::spawn(async move {
            match shard.rebuild(replica).await {
                Ok(log) => drop(me.cast(ShardMsg::Stray { replica, seq: log.seq, at: None })),
                Err(error) => {
                    tracing::warn!(replica = replica.0, "it is let go at a later start: {error}");
                }
            }
        });
    }

    fn leave_offline(&mut self, id: TopicPartition, why: String) {
        let Some(local) = self.locals.get_mut(&id) else { return };
        tracing::error!(partition = %id, "offline: {why}");
        local.at = At::Down;
        self.args.links.unable.set(id, u64::MAX, true);
        local.handle.offline(local.assigned.leader_epoch, why);
        let _ = self.args.node.cast(NodeMsg::Broken(local.life));
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
