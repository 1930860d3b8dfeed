//! The root: registers this node, turns each new image into work for the shards, and tells when it is served.
//!
//! ```text
//!   image ─> assignments (core) ─> ShardActor: Start · Configure · Delete
//!   Ready(handle) ─> opened before? ─ yes ─> directory
//!                                   └ no  ─> controller: Opened ─> committed ─> directory
//! ```
//!
//! A partition is in the directory only when the image says that its replica was opened: from then on it may never be
//! created empty again. A replica that no image knows is marked stray and kept for a day; a deleted topic's is let go.

use crate::clock::Clock;
use crate::controller::{Ask, ControllerActor, ControllerArgs, ControllerHandle};
use crate::directory::Directory;
use crate::group::{CoordinatorsActor, CoordinatorsArgs};
use crate::images::Images;
use crate::partition::{PartitionHandle, TailBudget};
use crate::ports::{OpenLog, ReplicaState, Shard, Verdict};
use crate::shard::{ShardActor, ShardArgs, ShardMsg};
use callboard_core::metadata::configs::{Statics, leader_config};
use callboard_core::metadata::controller::Reply as Said;
use callboard_core::metadata::{Assignment, Image, TopicDefaults, assignments};
use callboard_core::partition::LeaderConfig;
use callboard_core::{BrokerId, TopicPartition};
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// A stray replica's bytes are kept this long.
const STRAY_KEPT_MS: i64 = 24 * 3600 * 1000;
/// What the controller could not record is asked again after this.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// Who this node is, for its registration.
#[derive(Clone, Debug)]
pub struct NodeIdentity {
    /// Its id.
    pub broker_id: BrokerId,
    /// A cluster id, if there is none yet.
    pub cluster_id: String,
    /// Host that clients are told.
    pub host: String,
    /// Port that clients are told.
    pub port: u16,
    /// Its rack.
    pub rack: Option<String>,
}

/// What a node starts with.
pub struct NodeArgs {
    /// Who it is.
    pub identity: NodeIdentity,
    /// Its shards, by number; those that are lost with the reason.
    pub shards: Vec<Result<Arc<dyn Shard>, String>>,
    /// The metadata log.
    pub log: OpenLog,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Where handles go.
    pub directory: Arc<Directory>,
    /// Where images go.
    pub images: Arc<Images>,
    /// The bound of all tails.
    pub tails: Arc<TailBudget>,
    /// Defaults of new topics, and what the configuration file says of all.
    pub defaults: TopicDefaults,
    /// The supervisor of group coordinators.
    pub coordinators: CoordinatorsArgs,
    /// Given the controller's handle and the epoch, once everything recovered is served.
    pub ready: oneshot::Sender<(ControllerHandle, u64)>,
}

/// What the node is told.
#[derive(Debug)]
pub enum NodeMsg {
    /// The registration was answered.
    Registered(Said),
    /// There is a newer image.
    Image,
    /// A leader is up (or its partition is offline, with the reason in its view).
    Ready(Arc<PartitionHandle>),
    /// A shard's leaders have been told everything up to this index.
    Marked(u64),
    /// The controller has answered an `Opened`.
    Opened(Said),
    /// Time to ask again for what could not be recorded.
    OpenNext,
    /// Handles that gathered go into the directory, in one swap.
    Flush,
}

/// Its state.
pub struct NodeState {
    args: Parts,
    controller: ControllerHandle,
    shards: Vec<Option<ActorRef<ShardMsg>>>,
    recovered: HashMap<TopicPartition, (usize, ReplicaState)>,
    image: Arc<Image>,
    epoch: u64,
    /// Started and not in the directory yet, with the image's index.
    starting: BTreeMap<TopicPartition, u64>,
    /// Shards whose leaders are being told new configs, by the image's index.
    configuring: BTreeMap<u64, usize>,
    /// Up, and not yet known to the image as opened.
    to_open: Vec<Arc<PartitionHandle>>,
    opening: Vec<Arc<PartitionHandle>>,
    /// Up and known, for the next swap of the directory.
    known: Vec<Arc<PartitionHandle>>,
    homes: HashMap<TopicPartition, usize>,
    ready: Option<oneshot::Sender<(ControllerHandle, u64)>>,
}

/// What is left of the arguments.
struct Parts {
    identity: NodeIdentity,
    lost: Vec<String>,
    clock: Arc<dyn Clock>,
    directory: Arc<Directory>,
    images: Arc<Images>,
    statics: Arc<Statics>,
}

/// The actor.
pub struct NodeActor;

impl Actor for NodeActor {
    type Msg = NodeMsg;
    type State = NodeState;
    type Arguments = NodeArgs;

    async fn pre_start(
        &self,
        me: ActorRef<NodeMsg>,
        args: NodeArgs,
    ) -> Result<NodeState, ActorProcessingErr> {
        let statics = Arc::clone(&args.defaults.statics);
        let controller = ControllerArgs {
            log: args.log,
            images: Arc::clone(&args.images),
            clock: Arc::clone(&args.clock),
            defaults: args.defaults,
        };
        let (controller, _) = Actor::spawn_linked(None, ControllerActor, controller, me.get_cell()).await?;
        Actor::spawn_linked(None, CoordinatorsActor, args.coordinators, me.get_cell()).await?;
        let (mut shards, mut recovered, mut lost) = (Vec::new(), HashMap::new(), Vec::new());
        for (n, shard) in args.shards.into_iter().enumerate() {
            let shard = match shard {
                Ok(shard) => shard,
                Err(why) => {
                    lost.push(format!("shard {n} is lost: {why}"));
                    shards.push(None);
                    continue;
                }
            };
            recovered.extend(shard.recovered().into_iter().map(|state| (state.id, (n, state))));
            let (clock, tails) = (Arc::clone(&args.clock), Arc::clone(&args.tails));
            let shard_args = ShardArgs { shard, clock, tails, node: me.clone() };
            let (actor, _) = Actor::spawn_linked(None, ShardActor, shard_args, me.get_cell()).await?;
            shards.push(Some(actor));
        }
        Ok(NodeState {
            args: Parts {
                identity: args.identity,
                lost,
                clock: args.clock,
                directory: args.directory,
                images: args.images,
                statics,
            },
            controller: ControllerHandle::new(controller),
            shards,
            recovered,
            image: Arc::default(),
            epoch: 0,
            starting: BTreeMap::new(),
            configuring: BTreeMap::new(),
            to_open: Vec::new(),
            opening: Vec::new(),
            known: Vec::new(),
            homes: HashMap::new(),
            ready: Some(args.ready),
        })
    }

    async fn post_start(
        &self,
        me: ActorRef<NodeMsg>,
        state: &mut NodeState,
    ) -> Result<(), ActorProcessingErr> {
        let NodeIdentity { broker_id, cluster_id, host, port, rack } = state.args.identity.clone();
        let answer = state.controller.ask(Ask::Register { broker_id, cluster_id, host, port, rack });
        tokio::spawn(async move {
            let _ = me.cast(NodeMsg::Registered(answer.get().await));
        });
        Ok(())
    }

    async fn handle(
        &self,
        me: ActorRef<NodeMsg>,
        message: NodeMsg,
        state: &mut NodeState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            NodeMsg::Registered(Said::Done(epoch)) => {
                state.epoch = epoch;
                state.look(&me);
                state.strays();
                let mut images = state.args.images.watch();
                tokio::spawn(async move {
                    while images.changed().await.is_ok() && me.cast(NodeMsg::Image).is_ok() {}
                });
            }
            NodeMsg::Registered(other) => {
                return Err(format!("this node could not register: {other:?}").into());
            }
            NodeMsg::Image => state.look(&me),
            NodeMsg::Ready(handle) => state.up(&me, handle),
            NodeMsg::Marked(index) => state.marked(index),
            NodeMsg::Opened(said) => state.opened(&me, &said),
            NodeMsg::OpenNext => state.open_next(&me),
            NodeMsg::Flush => state.flush(),
        }
        state.progress();
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _me: ActorRef<NodeMsg>,
        event: SupervisionEvent,
        _state: &mut NodeState,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            // Nothing below this actor may fail: escalation ends the process.
            SupervisionEvent::ActorFailed(_, error) => Err(format!("a supervisor ended: {error}").into()),
            SupervisionEvent::ActorStarted(_)
            | SupervisionEvent::ActorTerminated(..)
            | SupervisionEvent::ProcessGroupChanged(_) => Ok(()),
        }
    }

    async fn post_stop(
        &self,
        me: ActorRef<NodeMsg>,
        _state: &mut NodeState,
    ) -> Result<(), ActorProcessingErr> {
        me.drain_children_and_wait(Some(Duration::from_secs(10))).await;
        Ok(())
    }
}

impl NodeState {
    /// Compares the image with the last one and acts on the difference.
    fn look(&mut self, me: &ActorRef<NodeMsg>) {
        let image = self.args.images.current();
        let changes = assignments(&self.image, &image, self.args.identity.broker_id);
        let (mut gone, mut configured) = (BTreeSet::new(), BTreeSet::<usize>::new());
        for change in changes {
            match change {
                Assignment::Start { id, leader_epoch, opened, configs } => {
                    // Its record came somewhere behind the image looked at last.
                    self.starting.insert(id, self.image.applied + 1);
                    let config = self.leader_config(&image, &configs);
                    self.start(me, id, leader_epoch, opened, config);
                }
                Assignment::Configure { id, configs } => {
                    self.tell(id, ShardMsg::Configure(id, self.leader_config(&image, &configs)));
                    configured.extend(self.homes.get(&id));
                }
                Assignment::Delete { id } => {
                    gone.insert(id.topic);
                    self.starting.remove(&id);
                    self.tell(id, ShardMsg::Delete(id));
                    self.homes.remove(&id);
                }
            }
        }
        gone.into_iter().for_each(|topic| self.args.directory.remove(topic));
        for shard in configured.iter().filter_map(|n| self.shards[*n].as_ref()) {
            if shard.cast(ShardMsg::Mark(image.applied)).is_ok() {
                *self.configuring.entry(image.applied).or_default() += 1;
            }
        }
        self.image = image;
    }

    /// What a shard was told before its mark has reached its leaders.
    fn marked(&mut self, index: u64) {
        if let Some(left) = self.configuring.get_mut(&index) {
            *left -= 1;
            if *left == 0 {
                self.configuring.remove(&index);
            }
        }
    }

    fn leader_config(&self, image: &Image, configs: &BTreeMap<String, String>) -> LeaderConfig {
        leader_config(configs, &image.layers(self.args.identity.broker_id, &self.args.statics))
    }

    fn tell(&self, id: TopicPartition, message: ShardMsg) {
        if let Some(Some(shard)) = self.homes.get(&id).map(|n| &self.shards[*n]) {
            let _ = shard.cast(message);
        }
    }

    fn start(
        &mut self,
        me: &ActorRef<NodeMsg>,
        id: TopicPartition,
        leader_epoch: i32,
        opened: bool,
        config: LeaderConfig,
    ) {
        let found = self.recovered.remove(&id);
        let offline = match &found {
            Some((_, ReplicaState { verdict: Verdict::Corrupt(why), .. })) => Some(why.clone()),
            // The only replica of a partition serves what it has.
            Some((_, ReplicaState { verdict: Verdict::Unclean(why), .. })) => {
                tracing::warn!(partition = %id, "unclean: {why}; it is the only replica and serves what it has");
                None
            }
            Some(_) => None,
            None if opened => Some(match self.args.lost.first() {
                Some(lost) => lost.clone(),
                None => "it was opened here before, and the store does not know it any more".to_owned(),
            }),
            None => None,
        };
        let healthy: Vec<usize> = (0..self.shards.len()).filter(|n| self.shards[*n].is_some()).collect();
        let home = found.as_ref().map(|(n, _)| *n).or_else(|| {
            let spread = id
                .topic
                .0
                .iter()
                .fold(id.partition as usize, |sum, byte| sum.wrapping_mul(31) + *byte as usize);
            healthy.get(spread.checked_rem(healthy.len())?).copied()
        });
        match (offline, home) {
            (None, Some(home)) => {
                self.homes.insert(id, home);
                let state = found.map(|(_, state)| Box::new(state));
                self.tell(id, ShardMsg::Start { id, leader_epoch, config, state });
            }
            (why, _) => {
                let why = why.unwrap_or_else(|| "no shard of this node works".to_owned());
                tracing::error!(partition = %id, "offline: {why}");
                let handle = Arc::new(PartitionHandle::offline(id, leader_epoch, why));
                let _ = me.cast(NodeMsg::Ready(handle));
            }
        }
    }

    /// Replicas that the image does not know: marked, kept for a day, then let go.
    fn strays(&mut self) {
        let now = self.args.clock.now().wall;
        for (id, (shard, state)) in self.recovered.drain() {
            let Some(actor) = &self.shards[shard] else { continue };
            let at = match state.stray {
                None => Some(now),
                Some(since) if now.0.saturating_sub(since.0) > STRAY_KEPT_MS => None,
                Some(_) => continue,
            };
            tracing::warn!(
                partition = %id,
                replica = state.replica.0,
                "no topic knows this replica: {}",
                if at.is_some() { "its bytes are kept for 24 hours" } else { "its bytes are let go" }
            );
            let _ = actor.cast(ShardMsg::Stray { replica: state.replica, seq: state.seq, at });
        }
    }

    fn up(&mut self, me: &ActorRef<NodeMsg>, handle: Arc<PartitionHandle>) {
        let id = handle.id;
        let partition =
            self.image.topics.get(&id.topic).and_then(|t| t.partitions.get(id.partition as usize));
        let Some(partition) = partition else { return };
        let known = partition.opened.contains(&self.args.identity.broker_id);
        // One that is offline has nothing to be known.
        if known || handle.replica().is_none() {
            if self.known.is_empty() {
                let _ = me.cast(NodeMsg::Flush);
            }
            self.known.push(handle);
            return;
        }
        self.to_open.push(handle);
        self.open_next(me);
    }

    fn flush(&mut self) {
        let handles = std::mem::take(&mut self.known);
        for handle in &handles {
            self.starting.remove(&handle.id);
        }
        let topics = &self.image.topics;
        self.args
            .directory
            .insert(handles.into_iter().filter(|h| topics.contains_key(&h.id.topic)).collect());
    }

    fn open_next(&mut self, me: &ActorRef<NodeMsg>) {
        if !self.opening.is_empty() || self.to_open.is_empty() {
            return;
        }
        self.opening = std::mem::take(&mut self.to_open);
        let replicas = self.opening.iter().map(|h| (h.id.topic, h.id.partition)).collect();
        let answer = self.controller.ask(Ask::Opened(self.args.identity.broker_id, replicas));
        let me = me.clone();
        tokio::spawn(async move {
            let _ = me.cast(NodeMsg::Opened(answer.get().await));
        });
    }

    fn opened(&mut self, me: &ActorRef<NodeMsg>, said: &Said) {
        let handles = std::mem::take(&mut self.opening);
        match said {
            Said::Done(_) => {
                for handle in &handles {
                    self.starting.remove(&handle.id);
                }
                let current = &self.args.images.current().topics;
                self.args
                    .directory
                    .insert(handles.into_iter().filter(|h| current.contains_key(&h.id.topic)).collect());
            }
            // Not committed, as far as is known: asked again with what is next.
            _ => {
                tracing::warn!("opened replicas could not be recorded yet: {said:?}");
                self.to_open.extend(handles);
                let me = me.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(ASK_AGAIN).await;
                    let _ = me.cast(NodeMsg::OpenNext);
                });
                return;
            }
        }
        self.open_next(me);
    }

    /// Says up to where the image is served; the first time that all is, the node is ready.
    fn progress(&mut self) {
        let starting = self.starting.values().min();
        let waiting = starting.into_iter().chain(self.configuring.keys()).min();
        let served = waiting.map_or(self.image.applied, |index| index.saturating_sub(1));
        if self.epoch == 0 {
            return;
        }
        self.args.images.set_served(served);
        if served >= self.epoch
            && let Some(ready) = self.ready.take()
        {
            let _ = ready.send((self.controller.clone(), self.epoch));
        }
    }
}
