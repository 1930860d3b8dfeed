//! The root actor: it registers this node, hands each new image to the node's machine, and performs the machine's
//! effects.
//!
//! ```text
//!   image ──> NodeMachine (core/node) ──> ShardActor: start · assign · configure · end        directory: serve · withdraw
//!                    ^                         │
//!                    └──── Ready(life) ────────┘        controller: which replicas were opened
//! ```
//!
//! The actor keeps the things that the machine only names: handles by partition, recovered states until they are
//! started, shards by number. It decides nothing about replicas. A failure of one of its own children ends the
//! process.

use crate::clock::Clock;
use crate::cluster::{self, Beating, ClusterArgs, ContactMsg, Joining, JoiningIo, synced};
use crate::controller::{Ask, ControllerActor, ControllerArgs, ControllerHandle};
use crate::directory::Directory;
use crate::group::{CoordinatorsActor, CoordinatorsArgs};
use crate::images::Images;
use crate::links::{Damaged, Links};
use crate::messages::{NodeMsg, ShardMsg, Starting};
use crate::metrics;
use crate::partition::{PartitionHandle, TailBudget};
use crate::ports::{OpenLog, ReplicaState, Shard};
use crate::shard::{ShardActor, ShardArgs};
use crate::shell::{Perform, Shell};
use crate::words::words;
use callboard_core::metadata::controller::Reply as Said;
use callboard_core::metadata::{Opened, Registration, TopicDefaults};
use callboard_core::node::registration::{self, Registering};
use callboard_core::node::{Effect, Found, Input, Life, NodeMachine, Origin};
use callboard_core::{BrokerId, DirectoryId, LeaderEpoch, Peer, ReplicaId, TopicPartition, UnixMillis};
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// This node as it registers with the controller.
#[derive(Clone, Debug)]
pub struct NodeIdentity {
    pub node: Registration,
    /// The node is alone, and founds a cluster of this id if none exists yet.
    pub alone: Option<String>,
}

/// Everything that a node starts with.
pub struct NodeArgs {
    pub identity: NodeIdentity,
    /// The shards by number; a lost one with the reason.
    pub shards: Vec<Result<Arc<dyn Shard>, String>>,
    pub log: OpenLog,
    pub clock: Arc<dyn Clock>,
    /// The node puts its handles here.
    pub directory: Arc<Directory>,
    /// The controller puts its images here.
    pub images: Arc<Images>,
    /// The bound of all tails together.
    pub tails: Arc<TailBudget>,
    /// The defaults of new topics, and the settings of the configuration file.
    pub defaults: TopicDefaults,
    /// Starts the supervisor of the group coordinators.
    pub coordinators: CoordinatorsArgs,
    /// The ways to the other nodes of a cluster; none on a single node.
    pub cluster: Option<ClusterArgs>,
    /// Gets the controller's handle and the broker epoch, once the node serves the image of its registration.
    pub ready: oneshot::Sender<(ControllerHandle, u64)>,
}

/// The node's machine in its shell.
pub struct NodeState {
    identity: NodeIdentity,
    shell: Shell<NodeMachine, NodeIo>,
    /// The registration in a cluster; none on a single node.
    joining: Option<Joining>,
}

/// One shard that works, with its supervisor.
struct ShardAt {
    port: Arc<dyn Shard>,
    actor: ActorRef<ShardMsg>,
}

/// Performs the node's effects on shards, directory and controller.
struct NodeIo {
    me: ActorRef<NodeMsg>,
    broker_id: BrokerId,
    /// The identity of the data directory.
    directory_id: Option<DirectoryId>,
    /// Replicas that the heartbeats name as damaged.
    damaged: Arc<Damaged>,
    controller: ControllerHandle,
    /// The shards by number; none for a lost one.
    shards: Vec<Option<ShardAt>>,
    directory: Arc<Directory>,
    images: Arc<Images>,
    /// Recovered states of replicas that are not started yet, by shard and replica.
    recovered: HashMap<(usize, ReplicaId), ReplicaState>,
    handles: HashMap<TopicPartition, (Life, Arc<PartitionHandle>)>,
    ready: Option<oneshot::Sender<(ControllerHandle, u64)>>,
}

/// The root of this node's actors.
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
        let broker_id = args.identity.node.broker;
        let controller = ControllerArgs {
            log: args.log,
            images: Arc::clone(&args.images),
            clock: Arc::clone(&args.clock),
            defaults: args.defaults,
            door: args.cluster.as_ref().map(|cluster| Arc::clone(&cluster.door)),
        };
        let around = Around { me: &me, broker_id, clock: &args.clock };
        let cluster = args.cluster.as_ref().map(|cluster| (cluster, &args.directory));
        let (controller, links, contact) = around.controller(cluster, controller).await?;
        Actor::spawn_linked(None, CoordinatorsActor, args.coordinators, me.get_cell()).await?;
        let Started { shards, health, recovered } = around.shards(args.shards, &args.tails, &links).await?;
        let found = recovered.iter().map(|((shard, _), state)| found(*shard, state)).collect();
        let working = shards.iter().flatten().map(|at| Arc::clone(&at.port)).collect();
        let io = NodeIo {
            me: me.clone(),
            broker_id,
            directory_id: args.identity.node.directories.first().copied(),
            damaged: Arc::clone(&links.damaged),
            controller,
            shards,
            directory: args.directory,
            images: args.images,
            recovered,
            handles: HashMap::new(),
            ready: Some(args.ready),
        };
        let directory = args.identity.node.directories.first().copied();
        let machine = NodeMachine::new((broker_id, directory), statics, health, found);
        let shell = Shell::new(machine, io, Arc::clone(&args.clock));
        let mut state = NodeState { identity: args.identity, shell, joining: None };
        if let (Some(cluster), Some(proposer), Some(contact)) = (args.cluster, links.proposer, contact) {
            let beating = Beating {
                calls: cluster.calls,
                images: Arc::clone(&state.shell.io.images),
                shards: working,
                unable: links.unable,
                damaged: links.damaged,
                directory: state.shell.io.directory_id,
                ending: cluster.ending,
                proposer,
                contact,
                clock: Arc::clone(&args.clock),
            };
            let io = JoiningIo {
                node: me,
                controller: state.shell.io.controller.clone(),
                register: state.register(),
                door: cluster.door,
                on_granted: cluster.on_granted,
                on_over: cluster.on_over,
            };
            let node = &state.identity.node;
            let process = node.process.unwrap_or_default();
            let machine = Registering::new(broker_id, process, node.incarnation);
            state.joining = Some(Joining::new(machine, io, args.clock, beating));
        }
        Ok(state)
    }

    async fn post_start(
        &self,
        me: ActorRef<NodeMsg>,
        state: &mut NodeState,
    ) -> Result<(), ActorProcessingErr> {
        if let Some(joining) = &mut state.joining {
            joining.step(&me, registration::Input::Begin);
            state.follow_images(&me);
            return Ok(());
        }
        let answer = state.shell.io.controller.ask(state.register());
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
        let input = match message {
            NodeMsg::Registered(said) if state.joining.is_some() => {
                state.join(&me, registration::Input::Said(said));
                return Ok(());
            }
            NodeMsg::RegisterTick => {
                state.join(&me, registration::Input::Tick);
                return Ok(());
            }
            NodeMsg::Granted(epoch, stored) => {
                stored.map_err(|why| format!("the broker epoch could not be stored: {why}"))?;
                let from = Peer { broker: state.shell.io.broker_id, epoch };
                if let Some(joining) = &mut state.joining {
                    joining.granted(from);
                }
                state.shell.step(Input::Registered { epoch });
                Input::Image(state.shell.io.images.current())
            }
            NodeMsg::Registered(Said::Done(epoch)) => {
                state.follow_images(&me);
                Input::Registered { epoch }
            }
            NodeMsg::Registered(other) => {
                return Err(format!("this node could not register: {other:?}").into());
            }
            NodeMsg::Image => {
                let image = state.shell.io.images.current();
                state.join(&me, registration::Input::Image(Arc::clone(&image)));
                Input::Image(image)
            }
            NodeMsg::Ready(life) => Input::Ready(life),
            NodeMsg::Broken(life) => Input::Broken(life),
            NodeMsg::Damaged(life, why, mendable) => Input::Damaged { life, why, mendable },
            NodeMsg::Spent(life, leader_epoch) => Input::Spent { life, leader_epoch },
            NodeMsg::Told(index) => Input::Told { index },
            NodeMsg::Recorded(said) => {
                let committed = matches!(said, Said::Done(_));
                if !committed {
                    tracing::warn!("opened replicas could not be recorded yet: {said:?}");
                }
                Input::Recorded(committed)
            }
            NodeMsg::Gathered => Input::Gathered,
            NodeMsg::Tick => Input::Tick,
        };
        state.shell.step(input);
        state.shell.rearm(&me, || NodeMsg::Tick);
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _me: ActorRef<NodeMsg>,
        event: SupervisionEvent,
        _state: &mut NodeState,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            // The failure of a child ends this actor, and with it the process.
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
    /// The words of this process to the controller.
    fn register(&self) -> Ask {
        let io = &self.shell.io;
        let stats = |at: &ShardAt| (at.port.index(), at.port.stats());
        let shards: Vec<_> = io.shards.iter().flatten().map(stats).collect();
        let NodeIdentity { node, alone } = self.identity.clone();
        words(node, alone, io.recovered.values(), synced(io.directory_id, &shards))
    }

    fn join(&mut self, me: &ActorRef<NodeMsg>, input: registration::Input) {
        if let Some(joining) = &mut self.joining {
            joining.step(me, input);
        }
    }

    /// Tells the node of the present image, and of each that follows.
    fn follow_images(&self, me: &ActorRef<NodeMsg>) {
        let (mut images, me) = (self.shell.io.images.watch(), me.clone());
        tokio::spawn(
            async move { while me.cast(NodeMsg::Image).is_ok() && images.changed().await.is_ok() {} },
        );
    }
}

impl NodeIo {
    fn tell(&self, shard: usize, message: ShardMsg) {
        if let Some(Some(shard)) = self.shards.get(shard) {
            let _ = shard.actor.cast(message);
        }
    }

    fn handle(&mut self, life: Life, shard: Option<usize>) -> Arc<PartitionHandle> {
        if let Some((known, handle)) = self.handles.get(&life.id)
            && *known == life
        {
            return Arc::clone(handle);
        }
        let port = shard.and_then(|shard| self.shards.get(shard)?.as_ref()).map(|at| Arc::clone(&at.port));
        let handle = Arc::new(PartitionHandle::new(life.id, port, Arc::clone(self.directory.changes())));
        self.handles.insert(life.id, (life, Arc::clone(&handle)));
        handle
    }

    fn offline(&mut self, life: Life, leader_epoch: LeaderEpoch, why: String) {
        tracing::error!(partition = %life.id, "offline: {why}");
        self.handle(life, None).offline(leader_epoch, why);
    }

    fn stray(&self, found: &Found, at: Option<UnixMillis>) {
        let Found { id, shard, replica, seq, .. } = *found;
        tracing::warn!(
            partition = %id,
            replica = replica.0,
            "no topic knows this replica: {}",
            if at.is_some() { "its bytes are kept for 24 hours" } else { "its bytes are let go" }
        );
        self.tell(shard, ShardMsg::Stray { replica, seq, at });
    }

    fn record_opened(&self, ids: &[TopicPartition]) {
        let at = |id: &TopicPartition| {
            let home = self.handles.get(id).and_then(|(_, handle)| handle.home_shard());
            let (broker, directory) = (self.broker_id, self.directory_id);
            (*id, Opened { broker, directory, shard: home.map(|(shard, _)| shard) })
        };
        let answer = self.controller.ask(Ask::Opened(ids.iter().map(at).collect()));
        let me = self.me.clone();
        tokio::spawn(async move {
            let _ = me.cast(NodeMsg::Recorded(answer.get().await));
        });
    }

    /// Asks for a new leader epoch. The replica asks again until an image brings one, so the answer is not awaited.
    fn renew(&self, from: Peer, id: TopicPartition, epoch: LeaderEpoch) {
        tracing::warn!(partition = %id, epoch, "its former actor led: a new leader epoch is asked for");
        drop(self.controller.ask(Ask::RenewEpochs { from, partitions: vec![(id, epoch)] }));
    }

    fn serve(&self, lives: &[Life]) {
        let handle = |life: &Life| self.handles.get(&life.id).filter(|(known, _)| known == life);
        let handles = lives.iter().filter_map(handle).map(|(_, handle)| Arc::clone(handle));
        self.directory.insert(handles.collect());
    }
}

impl Perform<Effect> for NodeIo {
    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Start { life, shard, origin, assigned, config } => {
                let log = match origin {
                    Origin::Recovered(replica) => self.recovered.remove(&(shard, replica)).map(Box::new),
                    Origin::New | Origin::Returned => None,
                };
                let handle = self.handle(life, Some(shard));
                let starting = Starting { life, origin, handle, assigned, config, log };
                self.tell(shard, ShardMsg::Start(Box::new(starting)));
            }
            Effect::Unclean { id, why } => {
                tracing::warn!(partition = %id, "unclean: {why}; among others it catches up first, and alone it serves what it has");
            }
            Effect::Damaged { life, epoch } => self.damaged.set(life.id, epoch),
            Effect::Mended { id, leader, why } => {
                metrics::mended();
                tracing::warn!(partition = %id, leader, "{}: {why}", crate::links::anew(leader == self.broker_id));
            }
            Effect::Offline { life, leader_epoch, why } => self.offline(life, leader_epoch, why),
            Effect::Assign { id, shard, assigned } => self.tell(shard, ShardMsg::Assign(id, assigned)),
            Effect::Configure { id, shard, config } => self.tell(shard, ShardMsg::Configure(id, config)),
            Effect::Mark { shard, index } => self.tell(shard, ShardMsg::Mark(index)),
            Effect::Leave { id, shard } => self.tell(shard, ShardMsg::Leave(id)),
            Effect::Drop { id, shard } => self.tell(shard, ShardMsg::Delete(id)),
            Effect::Stray { found, at } => self.stray(&found, at),
            Effect::Claimed => self.recovered = HashMap::new(),
            Effect::RecordOpened(ids) => self.record_opened(&ids),
            Effect::Renew { from, id, leader_epoch } => self.renew(from, id, leader_epoch),
            Effect::Gather => {
                let _ = self.me.cast(NodeMsg::Gathered);
            }
            Effect::Serve(lives) => self.serve(&lives),
            Effect::Withdraw(ids) => {
                self.directory.remove(&ids);
                for id in &ids {
                    self.handles.remove(id);
                    self.damaged.clear(*id);
                }
            }
            Effect::Served(index) => self.images.set_served(index),
            Effect::Ready { epoch } => {
                if let Some(ready) = self.ready.take() {
                    let _ = ready.send((self.controller.clone(), epoch));
                }
            }
        }
    }
}

fn found(shard: usize, state: &ReplicaState) -> Found {
    let ReplicaState { id, replica, seq, stray, ref verdict, .. } = *state;
    Found { id, shard, replica, seq, stray, verdict: verdict.clone() }
}

/// The shards of a node, with the states that they recovered.
struct Started {
    shards: Vec<Option<ShardAt>>,
    health: Vec<Result<(), String>>,
    recovered: HashMap<(usize, ReplicaId), ReplicaState>,
}

/// The parts that the node's actors are spawned with.
struct Around<'a> {
    me: &'a ActorRef<NodeMsg>,
    broker_id: BrokerId,
    clock: &'a Arc<dyn Clock>,
}

impl Around<'_> {
    /// Spawns the controller, and what a node of a cluster has beside it.
    async fn controller(
        &self,
        cluster: Option<(&ClusterArgs, &Arc<Directory>)>,
        args: ControllerArgs,
    ) -> Result<(ControllerHandle, Links, Option<ActorRef<ContactMsg>>), ActorProcessingErr> {
        let me = self.me.get_cell();
        if let Some((cluster, directory)) = cluster {
            let started = cluster::start(me, self.broker_id, cluster, args, (directory, self.clock)).await?;
            return Ok((started.controller, started.links, Some(started.contact)));
        }
        let (actor, _) = Actor::spawn_linked(None, ControllerActor, args, me).await?;
        Ok((ControllerHandle::new(actor), Links::default(), None))
    }

    /// Spawns the supervisor of each shard that works.
    async fn shards(
        &self,
        all: Vec<Result<Arc<dyn Shard>, String>>,
        tails: &Arc<TailBudget>,
        links: &Links,
    ) -> Result<Started, ActorProcessingErr> {
        let (mut shards, mut health, mut recovered) = (Vec::new(), Vec::new(), HashMap::new());
        for (n, shard) in all.into_iter().enumerate() {
            let port = match shard {
                Ok(port) => port,
                Err(why) => {
                    shards.push(None);
                    health.push(Err(why));
                    continue;
                }
            };
            recovered.extend(port.recovered().into_iter().map(|state| ((n, state.replica), state)));
            let shard_args = ShardArgs {
                broker_id: self.broker_id,
                shard: Arc::clone(&port),
                clock: Arc::clone(self.clock),
                tails: Arc::clone(tails),
                node: self.me.clone(),
                links: links.clone(),
            };
            let (actor, _) = Actor::spawn_linked(None, ShardActor, shard_args, self.me.get_cell()).await?;
            shards.push(Some(ShardAt { port, actor }));
            health.push(Ok(()));
        }
        Ok(Started { shards, health, recovered })
    }
}
