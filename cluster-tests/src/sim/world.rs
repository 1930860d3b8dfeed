//! The whole of a run: nodes with their disks and processes, connections, the metadata log, clients, and the truth.
//!
//! ```text
//!   node n:  disk · clock · process ─┬─ NodeMachine · ControllerMachine · IsrProposer
//!                                    ├─ a ReplicaMachine per local replica
//!                                    ├─ links:  one data connection to each node that something is followed at
//!                                    └─ subs:   the newest connection of each follower's node, with its feeds
//! ```
//!
//! This file holds the state and the few things that every part of it needs: time, the queue, and violations. The
//! steps stand beside it: `replica.rs` and `node.rs` perform effects, `links.rs`, `feed.rs` and `journal.rs` move bytes.
//! `control.rs` and `raft.rs` move metadata, `load.rs` is the clients, `inject.rs` the faults, `checks.rs` the
//! invariants.

use std::collections::BTreeMap;
use std::sync::Arc;

use callboard_core::metadata::{Image, Leadership};
use callboard_core::node::Life;
use callboard_core::partition::{Assigned, Cursor, ReplicaConfig, ReplicaMachine, View};
use callboard_core::{BrokerEpoch, BrokerId, LeaderEpoch, Now, Offset, ReplicaId, TopicId, TopicPartition};

use crate::sim::clients::Clients;
use crate::sim::clock::Clock;
use crate::sim::disk::{Disk, Recovered};
use crate::sim::event::{AtNode, Event, Queue, Who};
use crate::sim::faults::{Fate, Lost, NodeIx, PartIx, Planned, SyncFault};
use crate::sim::machines::Machines;
use crate::sim::messages::About;
use crate::sim::metalog::MetaLog;
use crate::sim::network::{Conn, ConnIx, ReadOf};
use crate::sim::options::{NODES_MAX, Options, PARTITIONS_MAX, Time};
use crate::sim::oracle::{Strictness, Truth, Violation};
use crate::sim::rng::{Rng, mix};
use crate::sim::step::Crash;
use crate::sim::stored::{Copy, Stored};
use crate::sim::voter::{FOUNDERS, Voter};

/// A timer and a mailbox take a moment, so a machine hardly ever sees the millisecond that it asked for.
const LATE: Time = 2_500;

/// A follower's words in its present epoch, seen from outside of its machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Heard {
    pub leader_epoch: LeaderEpoch,
    pub broker_epoch: BrokerEpoch,
    pub n: u64,
    pub written: Offset,
    pub synced: Offset,
}

/// One replica that runs.
pub struct Replica {
    pub machine: ReplicaMachine,
    pub replica: ReplicaId,
    pub life: Life,
    /// Rises with each machine of this replica; what was meant for a former one is dropped.
    pub number: u64,
    pub assigned: Assigned,
    pub config: ReplicaConfig,
    pub view: View,
    pub armed: Time,
    /// The Position that came last from each node, and what an accepted one and its acknowledgements amount to.
    pub offered: [Heard; NODES_MAX],
    pub heard: [Heard; NODES_MAX],
}

/// A place for a replica on a node.
#[derive(Default)]
pub enum Local {
    #[default]
    None,
    /// The actor failed, and the log is being read again behind its fence.
    Rebuilding {
        life: Life,
        replica: ReplicaId,
        assigned: Assigned,
        config: ReplicaConfig,
        number: u64,
    },
    Up(Box<Replica>),
}

/// A follower's connection to one other node.
#[derive(Debug, Default)]
pub struct Link {
    /// The replicas that want it.
    pub wanted: [bool; PARTITIONS_MAX],
    pub conn: Option<ConnIx>,
    pub dialling: bool,
    pub acks: BTreeMap<PartIx, callboard_core::partition::Ack>,
    pub flushing: bool,
}

/// One replica in a subscription's feed.
#[derive(Debug)]
pub struct Feeding {
    pub cursor: Cursor,
    pub read: Option<ReadOf>,
}

/// The leader's side of the newest data connection of another node's shard.
#[derive(Debug)]
pub struct Sub {
    pub conn: ConnIx,
    pub rank: (BrokerEpoch, u64),
    pub feeds: BTreeMap<PartIx, Feeding>,
    /// When the next turn is planned.
    pub turn: Time,
    /// Where the round of the replicas goes on.
    pub next: PartIx,
}

/// A question of this node that has no answer yet.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    pub number: u64,
    pub about: About,
}

/// One process of a node, from its start to its end.
pub struct Process {
    pub id: u64,
    pub epoch: Option<BrokerEpoch>,
    pub machines: Machines,
    /// The place in the metadata log up to which this node has applied.
    pub cursor: usize,
    pub image: Arc<Image>,
    pub locals: [Local; PARTITIONS_MAX],
    pub recovered: BTreeMap<ReplicaId, Recovered>,
    pub links: [Link; NODES_MAX],
    pub subs: [Option<Sub>; NODES_MAX],
    pub connections: u64,
    pub positions: u64,
    /// The last moment at which a notice is to arrive: notices stay in order.
    pub notice_last: Time,
    pub syncing: bool,
    /// An `Apply` waits for a leader in reach.
    pub applying: bool,
    pub background: bool,
    pub asked: Vec<Asked>,
    pub armed: [Time; 4],
    /// Questions of other nodes that the controller has not answered, by its ticket: asker, life and number.
    pub tickets: BTreeMap<u64, (NodeIx, u64, u64)>,
    pub heartbeats: u64,
    /// The leadership of the metadata log, as far as this process has heard.
    pub leadership: Option<Leadership>,
    /// When the last proposal comes to the log.
    pub proposal_last: Time,
    /// When the sync that runs was begun.
    pub sync_since: Time,
    /// Leaderships that a mutant told too early.
    pub told_early: Option<Leadership>,
    /// Replicas that cannot serve for some time (R38).
    pub unable: [bool; PARTITIONS_MAX],
    /// Replicas that cannot serve what they acknowledged (R41).
    pub damaged: [Option<LeaderEpoch>; PARTITIONS_MAX],
    /// Replicas that begin anew just now.
    pub mended: [bool; PARTITIONS_MAX],
    /// A sync has failed, and the shard does nothing any more (R22).
    pub stopped: bool,
    /// The process ends soon.
    pub ending: bool,
}

/// A machine with a disk, and perhaps a process on it.
pub struct Node {
    pub id: BrokerId,
    pub disk: Disk,
    pub clock: Clock,
    /// Rises with each process.
    pub life: u64,
    pub process: Option<Process>,
    pub paused: Time,
    /// Until when the disk is slow, and how long each of its works takes.
    pub slow: (Time, Time),
    /// Until when the image stands still.
    pub stopped: Time,
    /// An image on the disk, and the place in the metadata log that it stands for.
    pub snapshot: (Arc<Image>, usize),
    /// The files beside its journal.
    pub stored: Stored,
    /// Rises each time that the machine loses its power.
    pub boot: u64,
    /// Directories that this node has had.
    pub directories: u64,
    /// The next start ends early.
    pub crash: Option<Crash>,
    /// The operator takes this from the node before the next start.
    pub lose: Option<Lost>,
    /// An old copy of the directory, and whether it is put back before the next start.
    pub copy: Option<Copy>,
    pub put_back: bool,
    /// The next sync fails.
    pub sync_breaks: Option<SyncFault>,
    /// Of what is not synced, this many percent are there after the end of the process, because a sync had failed.
    pub pages_lost: Option<u64>,
    /// How long the node stays down after a planned end.
    pub down: Time,
    /// The directory is not the one that the cluster knows, until it is granted a broker epoch.
    pub strange: bool,
    /// The disk has lost something, until the process is registered that found it out.
    pub lossy: bool,
    /// The last term of the metadata log when its process began.
    pub began: u64,
    /// It stays dead after the heal.
    pub left_dead: bool,
}

/// One partition of the run.
#[derive(Clone, Debug)]
pub struct PartInfo {
    pub id: TopicPartition,
    pub name: String,
}

/// Figures of a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    pub steps: u64,
    pub produced: u64,
    pub acked: u64,
    pub sent_bytes: u64,
    pub taken_bytes: u64,
    /// Bytes that were on their way when a connection ended.
    pub lost_bytes: u64,
    pub truncations: u64,
    pub resets: u64,
    pub elections: u64,
    pub consumed: u64,
    /// Committed records that fitted no image.
    pub dropped: u64,
    /// Replicas that a start found unclean.
    pub unclean: u64,
    /// Old copies that were put back.
    pub copies: u64,
    /// Damaged replicas that were emptied, to be filled again.
    pub repaired: u64,
    /// Replicas whose log was gone, and that began empty.
    pub refilled: u64,
    /// Unclean elections, and the batches that they lost and reported.
    pub elected: u64,
    pub reported: u64,
}

/// The state of a run.
pub struct World {
    pub options: Options,
    pub plan: Vec<Planned>,
    pub strictness: Strictness,
    pub now: Time,
    pub queue: Queue,
    pub rng: Rng,
    /// Chance in all that has to do with lost disks, apart from the rest, so that runs without such faults stay the same.
    pub chance: Rng,
    pub nodes: Vec<Node>,
    pub conns: Vec<Conn>,
    pub meta: MetaLog,
    pub voters: [Voter; NODES_MAX],
    /// The leadership in which a proposal was never taken, and later ones were.
    pub skipped: Option<Leadership>,
    /// The image of everything committed.
    pub image: Arc<Image>,
    /// Until when the cluster is busy with a fault that may fence, elect or cut off.
    pub disturbed: Time,
    pub committing: bool,
    /// A campaign is planned.
    pub campaign: bool,
    /// Until when nothing moves from one node to another: everything, and data streams.
    pub blocked: [[Time; NODES_MAX]; NODES_MAX],
    pub stalled: [[Time; NODES_MAX]; NODES_MAX],
    pub fates: Option<(Fate, Time)>,
    pub repeat: Time,
    pub asks_late: Time,
    pub answers_lost: Time,
    /// Until when no client writes.
    pub quiet: Time,
    pub parts: Vec<PartInfo>,
    pub truths: Vec<Truth>,
    pub clients: Clients,
    pub healed: bool,
    pub done: bool,
    pub violation: Option<Violation>,
    pub hash: u64,
    pub figures: Figures,
    pub trace: bool,
    pub ask_numbers: u64,
}

impl World {
    /// The world before the first event.
    #[must_use]
    pub fn new(options: &Options, plan: &[Planned], strictness: Strictness, trace: bool) -> World {
        let node = |at: NodeIx| Node {
            id: at as BrokerId + 1,
            disk: Disk::default(),
            clock: Clock::new(options.rates[at], options.walls[at]),
            life: 0,
            process: None,
            paused: 0,
            slow: (0, 0),
            stopped: 0,
            snapshot: Default::default(),
            stored: Stored::empty(at, 0, 0),
            boot: 0,
            directories: 0,
            crash: None,
            lose: None,
            copy: None,
            put_back: false,
            sync_breaks: None,
            pages_lost: None,
            down: 0,
            strange: false,
            lossy: false,
            began: 0,
            left_dead: false,
        };
        let part = |at: PartIx| PartInfo {
            id: TopicPartition { topic: TopicId([at as u8 + 1; 16]), partition: 0 },
            name: format!("topic-{at}"),
        };
        World {
            options: options.clone(),
            plan: plan.to_vec(),
            strictness,
            now: 0,
            queue: Queue::default(),
            rng: Rng::new(options.seed, 3),
            chance: Rng::new(options.seed, 7),
            nodes: (0..usize::from(options.nodes)).map(node).collect(),
            conns: Vec::new(),
            meta: MetaLog::default(),
            voters: FOUNDERS,
            skipped: None,
            image: Arc::default(),
            disturbed: 0,
            committing: false,
            campaign: false,
            blocked: Default::default(),
            stalled: Default::default(),
            fates: None,
            repeat: 0,
            asks_late: 0,
            answers_lost: 0,
            quiet: 0,
            parts: (0..options.topics.len()).map(part).collect(),
            truths: options.topics.iter().map(|_| Truth::default()).collect(),
            clients: Clients::default(),
            healed: false,
            done: false,
            violation: None,
            hash: options.seed,
            figures: Figures::default(),
            trace,
            ask_numbers: 0,
        }
    }

    /// The reading of the node's clocks.
    #[must_use]
    pub fn clock(&self, node: NodeIx) -> Now {
        self.nodes[node].clock.read(self.now)
    }

    /// Plans an event this many microseconds from now.
    pub fn after(&mut self, delay: Time, event: Event) {
        self.queue.push(self.now + delay, event);
    }

    /// Plans an event of the node's present life.
    pub fn at(&mut self, node: NodeIx, delay: Time, at: AtNode) {
        let life = self.nodes[node].life;
        self.after(delay, Event::At(node, life, at));
    }

    /// The node's process, if one runs.
    pub fn process(&mut self, node: NodeIx) -> Option<&mut Process> {
        self.nodes[node].process.as_mut()
    }

    /// The replica that runs there.
    pub fn replica(&mut self, node: NodeIx, part: PartIx) -> Option<&mut Replica> {
        match self.nodes[node].process.as_mut()?.locals.get_mut(part)? {
            Local::Up(replica) => Some(replica),
            Local::None | Local::Rebuilding { .. } => None,
        }
    }

    /// The partition of this id.
    #[must_use]
    pub fn part(&self, id: TopicPartition) -> Option<PartIx> {
        self.parts.iter().position(|part| part.id == id)
    }

    /// The node of this broker id.
    #[must_use]
    pub fn node_of(&self, broker: BrokerId) -> Option<NodeIx> {
        usize::try_from(broker).ok()?.checked_sub(1).filter(|node| *node < self.nodes.len())
    }

    /// Records a broken rule; the first one ends the run.
    pub fn broken(&mut self, rule: &'static str, what: impl FnOnce() -> String) {
        if self.violation.is_none() && self.strictness.takes(rule) {
            self.violation = Some(Violation { rule, what: what(), at: self.now });
        }
    }

    /// Mixes a number into the run's hash.
    pub fn note(&mut self, number: u64) {
        self.hash = mix(self.hash ^ number).wrapping_add(self.hash.rotate_left(17));
    }

    /// Draws from a range of times.
    pub fn draw(&mut self, (low, high): (Time, Time)) -> Time {
        self.rng.skewed(low, high)
    }

    /// The moment at which a machine's timer is to fire, if it has to be planned anew.
    pub fn arm(&mut self, node: NodeIx, who: Who, deadline: Option<callboard_core::Millis>) {
        let Some(deadline) = deadline else { return };
        let due = self.nodes[node].clock.when(deadline).max(self.now + 1);
        let late = self.rng.within(200, LATE);
        let (life, now) = (self.nodes[node].life, self.now);
        let Some(process) = self.nodes[node].process.as_mut() else { return };
        let armed = match who {
            Who::Replica(part) => match &mut process.locals[part] {
                Local::Up(replica) => &mut replica.armed,
                Local::None | Local::Rebuilding { .. } => return,
            },
            Who::Node => &mut process.armed[0],
            Who::Controller => &mut process.armed[1],
            Who::Sessions => &mut process.armed[2],
            Who::Proposer => &mut process.armed[3],
        };
        // A timer that fires too early asks again, so only an earlier one is planned.
        if *armed > now && *armed <= due + LATE {
            return;
        }
        let at = due + late;
        *armed = at;
        self.queue.push(at, Event::At(node, life, AtNode::Tick(who)));
    }
}
