//! The start of a node of a cluster: it meets the others, takes part in Raft, registers, and serves when it is unfenced.
//!
//! ```text
//!   identity, key ─> FormingActor ─> start on disk ─> transport ─> probes, grants ─┐
//!     ┌────────────────────────────────────── RunRaft(node) ───────────────────────┘
//!     └─> RaftLog ─> NodeActor ─> registered ─> caught up, unfenced ─> OpenListeners ─> clients
//!
//!   gate.rs      own words, who is who         desk.rs    questions of other nodes
//!   outside.rs   the forming actor's outside   watch.rs   tasks that follow the image      quorum.rs  DescribeQuorum
//!   leaving.rs   a planned stop
//!   waits.rs     /ready and /metrics until clients are taken           spread.rs  who serves a change already
//! ```
//! `core/bootstrap` decides how the cluster forms. This directory connects the parts, in the order in which each needs the
//! one before, and ends them with the node.

mod desk;
mod gate;
mod leaving;
mod outside;
mod quorum;
mod spread;
mod waits;
mod watch;

use super::opened::{Opened, Running, new_cluster_id};
use super::shared::Shared;
use super::{Node, Others, Tasks};
use crate::config::Config;
use crate::controller::RaftLog;
use crate::storage::{Identity as StoreIdentity, Store};
use crate::transport::replication::{Dialling, Replicator};
use crate::transport::{NodeKey, Secret, Transport, TransportConfig};
use anyhow::{Context as _, bail};
use arc_swap::ArcSwap;
use callboard_actors::clock::SystemClock;
use callboard_actors::cluster::{
    ClusterArgs, Door, Ending, FormingActor, FormingArgs, FormingMsg, FormingView, OnGranted,
};
use callboard_actors::controller::ControllerHandle;
use callboard_actors::messages::NodeMsg;
use callboard_actors::node::{NodeActor, NodeIdentity};
use callboard_actors::ports::Calls;
use callboard_core::bootstrap::{
    BootstrapMachine, ClusterId, Fresh, Identity, Promises, Seat, SeedList, Settings, Standing,
};
use callboard_core::metadata::Registration;
use callboard_core::{BrokerId, NodeUuid, ProcessId};
use desk::Desk;
use gate::{NodeGate, PROTOCOL};
pub(super) use leaving::Leaving;
use outside::{Outside, Step};
use ractor::{Actor, ActorRef};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::sync::{mpsc, oneshot, watch as latest};
use tokio::task::JoinHandle;
use waits::Waits;

/// Refuses a configuration with which a node of a cluster would mislead clients.
pub(super) fn check(config: &Config) -> anyhow::Result<()> {
    if config.cluster.is_on() {
        config.kafka.check_for_cluster()?;
    }
    Ok(())
}

/// Starts a node of a cluster; returns when it serves.
pub(super) async fn start(opened: Opened) -> anyhow::Result<Node> {
    let mut forming = Forming::begin(opened).await?;
    loop {
        match forming.next().await? {
            Step::RunRaft { node } => forming.run_raft(node).await?,
            Step::Initialise { voters, learners } => forming.initialise(&voters, learners).await?,
            Step::OpenListeners => return forming.serve().await,
            Step::Stop(why) => bail!(why),
        }
    }
}

/// A node that meets the others. Its metadata log and actors come with the first `RunRaft`.
struct Forming {
    opened: Opened,
    identity: StoreIdentity,
    /// The words of this process; the id follows from the forming.
    node: Registration,
    process: ProcessId,
    view: Arc<ArcSwap<FormingView>>,
    gate: Arc<NodeGate>,
    door: Arc<Door>,
    ending: Arc<Ending>,
    transport: Arc<Transport>,
    actor: ActorRef<FormingMsg>,
    raft: Arc<OnceLock<Arc<RaftLog>>>,
    shared: Shared,
    seeds: SeedList,
    steps: mpsc::UnboundedReceiver<Step>,
    over: latest::Receiver<Option<String>>,
    overs: Arc<latest::Sender<Option<String>>>,
    running: Option<Actors>,
    replicator: Option<Arc<Replicator>>,
    tasks: Tasks,
}

/// The actors of the node, from `RunRaft` on.
struct Actors {
    node_id: BrokerId,
    actor: ActorRef<NodeMsg>,
    ended: JoinHandle<()>,
    serving: oneshot::Receiver<(ControllerHandle, u64)>,
}

impl Forming {
    async fn begin(opened: Opened) -> anyhow::Result<Forming> {
        let config = opened.fitted.config.cluster.clone();
        let data = opened.fitted.config.storage.data.clone();
        let identity = opened.store.identity();
        not_alone(&identity, &data)?;
        let secret = Secret::read(&config.cluster_secret_file)?;
        let key = NodeKey::open(&data)?;
        let seeds = SeedList::new(&config.seeds);
        let mut node = opened.registration(&identity)?;
        let process = node.process.context("a process has an id")?;
        node.key_hash = Some(key.hash().to_owned());
        let machine = machine(&opened, &identity, (seeds.clone(), key.hash()), (node.uuid, process))?;
        let view = Arc::new(ArcSwap::from_pointee(FormingView::of(machine.identity().clone())));
        // The actors share these from the first hello on, whatever the node's id will be.
        let shared = Shared::new(&opened.fitted, identity.node_id, &opened.ports());
        let epoch = cluster_epoch(&opened, &identity)?;
        let gate = gate(&identity, &shared, &view, (&seeds, epoch));
        let (step, steps) = mpsc::unbounded_channel();
        let (transports, transport) = latest::channel(None);
        let seats = Arc::clone(&gate.seats);
        let outside = Outside { store: Arc::clone(&opened.store), transport, seats, steps: step };
        let (begun, mut begins) = latest::channel(false);
        let clock = Arc::new(SystemClock::default());
        let args = FormingArgs { machine, outside: Arc::new(outside), clock, view: Arc::clone(&view), begun };
        let (actor, _) = Actor::spawn(None, FormingActor, args).await?;
        let _ = gate.forming.set(actor.clone());
        // No packet leaves before the start is on disk (R16).
        begins
            .wait_for(|begun| *begun)
            .await
            .context("this start could not be stored: see the lines above")?;
        let listen = config.address().to_owned();
        let transport =
            Transport::start(TransportConfig { listen, secret, dir: data }, Arc::clone(&gate) as Arc<_>)?;
        tracing::info!("listening for other nodes on {} (udp)", transport.local_addr()?);
        let (door, raft) = (Arc::new(Door::default()), Arc::new(OnceLock::new()));
        let desk = Desk {
            view: Arc::clone(&view),
            door: Arc::clone(&door),
            forming: actor.clone(),
            raft: Arc::clone(&raft),
            images: Arc::clone(&shared.images),
        };
        transport.serve(Arc::new(desk));
        transports.send_replace(Some(Arc::clone(&transport)));
        let waits = Waits { view: Arc::clone(&view), transport: Arc::clone(&transport) };
        opened.http.console.shows(Arc::new(waits));
        let (overs, over) = latest::channel(None);
        Ok(Forming {
            opened,
            identity,
            node,
            process,
            view,
            gate,
            door,
            ending: Arc::default(),
            transport,
            actor,
            raft,
            shared,
            seeds,
            steps,
            over,
            overs: Arc::new(overs),
            running: None,
            replicator: None,
            tasks: Tasks(vec![tokio::spawn(keep(transports))]),
        })
    }

    /// The next step of the forming; an error if the node cannot go on.
    async fn next(&mut self) -> anyhow::Result<Step> {
        let ended = async {
            match &mut self.running {
                Some(running) => drop((&mut running.ended).await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            step = self.steps.recv() => {
                step.context("the forming of the cluster ended by a fault of its own: see the lines above")
            }
            why = given_up(&mut self.over) => Err(why),
            () = ended => bail!("the node's actors ended while they started: see the lines above"),
        }
    }

    /// Opens the metadata log under this node's id, and starts the actors over it.
    async fn run_raft(&mut self, node_id: BrokerId) -> anyhow::Result<()> {
        if self.running.is_some() {
            return Ok(());
        }
        let data = self.opened.fitted.config.storage.data.clone();
        let calls: Arc<dyn Calls> = Arc::clone(&self.transport) as Arc<_>;
        let cluster = self.identity.cluster_id.as_deref();
        let (log, raft) =
            RaftLog::open(&self.opened.disk, &data, node_id, Arc::clone(&calls), cluster).await?;
        let _ = self.raft.set(Arc::clone(&raft));
        self.shared.of_node(&self.opened.fitted, node_id, &self.opened.ports());
        self.follow(node_id, &raft);
        let shards = self.opened.for_actors.len();
        let share = self.opened.fitted.budgets.replication_share(shards);
        let directory = Arc::clone(&self.shared.directory);
        let replicator = Replicator::new(Dialling::over(&self.transport), directory, shards, share);
        self.transport.accept_data(Arc::clone(&replicator) as Arc<_>);
        self.replicator = Some(Arc::clone(&replicator));
        let over = Arc::clone(&self.overs);
        let cluster = ClusterArgs {
            door: Arc::clone(&self.door),
            calls,
            replication: replicator,
            majority: Arc::clone(&raft) as Arc<_>,
            on_granted: granted(&self.opened.store, node_id, self.process, &self.gate),
            on_over: Box::new(move |why| drop(over.send_replace(Some(why)))),
            ending: Arc::clone(&self.ending),
        };
        let identity = NodeIdentity { node: self.registration(node_id), alone: None };
        let (ready, serving) = oneshot::channel();
        let shards = std::mem::take(&mut self.opened.for_actors);
        let args = self.shared.args(&self.opened.fitted.config, identity, shards, log, Some(cluster), ready);
        let (actor, ended) = Actor::spawn(None, NodeActor, args).await?;
        self.running = Some(Actors { node_id, actor, ended, serving });
        Ok(())
    }

    /// The words of this process, under its id.
    fn registration(&self, node_id: BrokerId) -> Registration {
        let view = self.view.load();
        let own = self.seeds.at(node_id).cloned();
        let listens = self.opened.fitted.config.cluster.address().to_owned();
        Registration {
            broker: node_id,
            uuid: Some(view.identity.uuid),
            incarnation: view.identity.incarnation,
            processes: view.identity.processes.clone(),
            cluster_address: Some(own.unwrap_or(listens)),
            ..self.node.clone()
        }
    }

    /// Starts the tasks that follow log and image.
    fn follow(&mut self, node_id: BrokerId, raft: &Arc<RaftLog>) {
        let images = Arc::clone(&self.shared.images);
        let images = || Arc::clone(&images);
        let view = self.view.load();
        if let Some(cluster) = view.identity.raft_cluster() {
            let (cluster, seats) = (cluster.clone(), Arc::clone(&self.gate.seats));
            let found = watch::found(node_id, cluster, seats, Arc::clone(&self.door), images());
            self.tasks.0.push(tokio::spawn(found));
        }
        let epoch = || Arc::clone(&self.gate.epoch);
        let tell = watch::tell(node_id, epoch(), self.actor.clone(), images());
        let unclean = self.opened.unclean.clone();
        let forgive = watch::forgive(node_id, epoch(), unclean, Arc::clone(&self.opened.store), images());
        self.tasks.0.push(tokio::spawn(tell));
        self.tasks.0.push(tokio::spawn(forgive));
        let seats: Vec<BrokerId> = self.gate.seats.load().iter().map(|seat| seat.place).collect();
        self.tasks.0.push(tokio::spawn(watch::learners(
            node_id,
            Arc::clone(raft),
            seats,
            (self.door.lead(), images()),
        )));
        self.tasks.0.push(tokio::spawn(watch::holds(raft.first_entry(), self.actor.clone())));
        self.tasks.0.push(tokio::spawn(watch::broken(raft.broken(), Arc::clone(&self.overs))));
    }

    async fn initialise(&self, voters: &[BrokerId], learners: Vec<BrokerId>) -> anyhow::Result<()> {
        let Some(raft) = self.raft.get() else { return Ok(()) };
        if raft.initialise(voters).await.map_err(anyhow::Error::msg)? {
            tracing::info!("this node founds the cluster with voters {voters:?}, learners {learners:?}");
        }
        Ok(())
    }

    /// Takes clients. From now on a `Stop` ends the running node.
    async fn serve(self) -> anyhow::Result<Node> {
        let Forming {
            opened,
            shared,
            running,
            raft,
            gate,
            door,
            ending,
            transport,
            replicator,
            over,
            overs,
            mut steps,
            mut tasks,
            ..
        } = self;
        let (Some(running), Some(raft)) = (running, raft.get().cloned()) else {
            bail!("clients were to be taken before the metadata log was open");
        };
        let Actors { node_id, actor, ended, serving } = running;
        let mut fails = over.clone();
        let (controller, epoch) = tokio::select! {
            served = serving => served.context("the node's actors ended while they started")?,
            why = given_up(&mut fails) => return Err(why),
        };
        let image = shared.images.current();
        let cluster = image.cluster_id.as_deref().unwrap_or("-");
        tracing::info!("cluster {cluster}, node {node_id}, broker epoch {epoch}");
        tasks.0.push(tokio::spawn(async move {
            while let Some(step) = steps.recv().await {
                if let Step::Stop(why) = step {
                    overs.send_replace(Some(why));
                }
            }
        }));
        let quorum = Arc::new(quorum::Voters {
            me: node_id,
            raft: Arc::clone(&raft),
            calls: Arc::clone(&transport) as Arc<_>,
            images: Arc::clone(&shared.images),
            clock: Arc::clone(&shared.clock),
        });
        let spread = Arc::new(spread::Everywhere {
            me: node_id,
            images: Arc::clone(&shared.images),
            calls: Arc::clone(&transport) as Arc<_>,
            known: Default::default(),
        });
        let leaving = Leaving {
            me: node_id,
            ending,
            door,
            epoch: Arc::clone(&gate.epoch),
            images: Arc::clone(&shared.images),
            spread: Arc::clone(&spread) as Arc<_>,
            calls: Arc::clone(&transport) as Arc<_>,
        };
        let links = replicator.map(|replicator| (transport, replicator));
        let others = Others { links, over: Some(over), leaving: Some(leaving), _tasks: tasks };
        opened.serve(Running { node_id, shared, actor, ended, controller, log: raft, quorum, spread, others })
    }
}

/// Waits until this node gives up, and says why.
async fn given_up(over: &mut latest::Receiver<Option<String>>) -> anyhow::Error {
    match over.wait_for(Option::is_some).await {
        Ok(why) => anyhow::Error::msg(why.clone().unwrap_or_default()),
        Err(_) => anyhow::Error::msg("the node ended while it started"),
    }
}

/// Refuses the directory of a node that was founded alone.
fn not_alone(identity: &StoreIdentity, data: &Path) -> anyhow::Result<()> {
    if identity.cluster_id.is_some() && identity.forming.is_none() {
        bail!(
            "{} was founded by a node alone; growing it into a cluster comes with a later release: start it without \
             --seeds, or choose another --data",
            data.display()
        );
    }
    Ok(())
}

fn gate(
    identity: &StoreIdentity,
    shared: &Shared,
    view: &Arc<ArcSwap<FormingView>>,
    (seeds, cluster_epoch): (&SeedList, u32),
) -> Arc<NodeGate> {
    let seats: Vec<Seat> = identity.forming.as_ref().map(|f| f.seats.clone()).unwrap_or_default();
    Arc::new(NodeGate {
        view: Arc::clone(view),
        images: Arc::clone(&shared.images),
        seats: Arc::new(ArcSwap::from_pointee(seats)),
        seeds: seeds.clone(),
        cluster_epoch,
        epoch: Arc::new(AtomicU64::new(0)),
        granted: Arc::new(AtomicU64::new(u64::try_from(identity.last_broker_epoch).unwrap_or(0))),
        forming: OnceLock::new(),
    })
}

/// Keeps a channel open until the task is ended.
async fn keep<T: Send>(_held: latest::Sender<T>) {
    std::future::pending().await
}

/// The machine of the forming, over what the directory has promised.
fn machine(
    opened: &Opened,
    identity: &StoreIdentity,
    (seeds, key_hash): (SeedList, &str),
    (uuid, process): (Option<NodeUuid>, ProcessId),
) -> anyhow::Result<BootstrapMachine> {
    let data: &PathBuf = &opened.fitted.config.storage.data;
    let loaded = identity.forming.clone().map(|forming| {
        let mut identity = forming.identity;
        forming.granted.into_iter().for_each(|process| identity.granted(process));
        identity
    });
    let holds = match loaded.as_ref().and_then(place) {
        Some(node) => RaftLog::holds(&opened.disk, Path::new(data), node)?,
        None => false,
    };
    let fresh = Fresh {
        uuid: uuid.with_context(|| format!("{}: its identity names no node", data.display()))?,
        process,
        cluster: ClusterId(new_cluster_id()),
        jitter: u64::from(process.0[0]) / 4,
    };
    let settings = Settings { seeds, key_hash: key_hash.to_owned(), version: PROTOCOL };
    Ok(BootstrapMachine::new(settings, loaded, fresh, holds))
}

/// The cluster epoch that this directory knows.
fn cluster_epoch(opened: &Opened, identity: &StoreIdentity) -> anyhow::Result<u32> {
    let data = &opened.fitted.config.storage.data;
    match identity.forming.as_ref().and_then(|forming| place(&forming.identity)) {
        Some(node) => Ok(RaftLog::cluster_epoch(&opened.disk, data, node)?),
        None => Ok(0),
    }
}

/// The id under which this directory takes part in Raft.
fn place(identity: &Identity) -> Option<BrokerId> {
    match &identity.standing {
        Standing::Virgin(Promises { grant: Some(grant), .. }) => Some(grant.seat(identity.uuid)?.place),
        Standing::Joining { node, .. } => *node,
        Standing::Member { node, .. } => Some(*node),
        Standing::Virgin(_) | Standing::Removed { .. } => None,
    }
}

/// Stores the broker epoch of this process, before anything is served under it (R17).
fn granted(store: &Arc<Store>, node_id: BrokerId, process: ProcessId, gate: &Arc<NodeGate>) -> OnGranted {
    let (store, gate) = (Arc::clone(store), Arc::clone(gate));
    Box::new(move |epoch| {
        let (store, gate) = (Arc::clone(&store), Arc::clone(&gate));
        Box::pin(async move {
            let stored = tokio::task::spawn_blocking(move || {
                store.update_identity(|identity| {
                    identity.node_id = node_id;
                    identity.last_broker_epoch = i64::try_from(epoch).unwrap_or(i64::MAX);
                    if let Some(forming) = &mut identity.forming {
                        forming.granted = Some(process);
                    }
                })
            });
            match stored.await {
                Ok(Ok(())) => {
                    gate.granted.store(epoch, Ordering::Release);
                    gate.epoch.store(epoch, Ordering::Release);
                    Ok(())
                }
                Ok(Err(error)) => Err(error.to_string()),
                Err(error) => Err(error.to_string()),
            }
        })
    })
}
