//! Between nodes and the controller: heartbeats, questions, answers, and the machines on both sides.
//!
//! ```text
//!   node ── Heartbeat, Ask ──> controller's node: Sessions ── Judge ──> ControllerMachine ── Propose ──> metadata log
//!        <── Reply ──────────                        ^                      │
//!                                                    └────── image ─────────┴──> NodeMachine
//! ```
//!
//! A node asks the node of the leadership that it knows from the log, which may be an old one. Each message is a stream of
//! its own: it may overtake others, be lost with its connection, and, while a fault says so, come twice or very late.
//! Heartbeats go twice, because two control connections join any two nodes (R45).

use std::collections::BTreeMap;
use std::sync::Arc;

use callboard_core::machine::Machine;
use callboard_core::metadata::controller::{Ask, Effect, Input, NewTopic, Reply};
use callboard_core::metadata::{
    Committed, ConfigOf, Image, IsrWish, LEVELS, Leadership, LevelRange, Listener, MetadataRecord, Opened,
    ProposalId, ProposeResult, Refusal, Registration, SyncedPositions,
};
use callboard_core::node::{Input as NodeInput, proposer};
use callboard_core::partition::Input as ReplicaInput;
use callboard_core::sessions;
use callboard_core::{BrokerEpoch, ErrorCode, LeaderEpoch, Peer, Ticket, TopicPartition};

use crate::sim::event::{AtNode, Event, Who};
use crate::sim::faults::{NodeIx, PartIx};
use crate::sim::inject::SEEN;
use crate::sim::messages::{About, Control, Word};
use crate::sim::options::{MS, PARTITIONS_MAX, SECOND, Time};
use crate::sim::step::Step;
use crate::sim::stored::{Stored, process_id};
use crate::sim::world::{Asked, Process, World};

/// A question without an answer counts as unknown after this.
const ANSWER: Time = 3 * SECOND;
/// Silence after which a control connection is gone, and what waits in it is lost.
const LOST: Time = 3 * SECOND;

impl World {
    /// The first leader of the metadata log founds the cluster. How a cluster forms has a search of its own.
    pub fn found(&mut self, leadership: Leadership) {
        let changes = [("min.insync.replicas".to_owned(), Some("2".to_owned()))].into();
        let records = vec![
            MetadataRecord::Cluster {
                cluster_id: "simulated".to_owned(),
                cluster_epoch: 0,
                seats: Vec::new(),
            },
            MetadataRecord::FeatureLevel { level: LEVELS.max },
            MetadataRecord::Configs { of: ConfigOf::Cluster, changes },
        ];
        self.meta.append(leadership, ProposalId { node: 0, number: 0 }, records);
    }

    /// A process begins: its controller hears the snapshot, and it starts to register.
    pub fn process_begins(&mut self, node: NodeIx, image: Arc<Image>, cursor: usize) {
        if cursor > 0 {
            let index = image.applied;
            self.controller_step(node, Input::Log(Committed::Snapshot { image, index }));
        }
        let wait = self.rng.skewed(MS, 300 * MS);
        self.at(node, wait, AtNode::Register);
        self.at(node, wait, AtNode::Heartbeat);
    }

    /// Asks to be registered, again and again.
    pub fn register(&mut self, node: NodeIx) {
        let (id, synced) = (self.nodes[node].id, self.synced_positions(node));
        let here = &self.nodes[node];
        let (identity, directory) = (here.stored.identity.clone(), here.stored.directory);
        let unclean = here.stored.verdicts.keys().filter_map(|replica| here.disk.live(*replica));
        let unclean: Vec<TopicPartition> = unclean.map(|live| live.id).collect();
        let Some(process) = self.process(node) else { return };
        if process.epoch.is_some() {
            return;
        }
        let registration = Registration {
            broker: id,
            uuid: Some(identity.uuid),
            process: Some(process_id(process.id)),
            incarnation: identity.incarnation,
            key_hash: None,
            directories: vec![directory],
            cluster_address: None,
            listeners: vec![Listener::plaintext("localhost", 9092)],
            rack: None,
            levels: LevelRange { min: 0, max: LEVELS.max },
            synced,
            processes: identity.processes,
            unclean,
        };
        let last = |(replica, recovered): (&_, &crate::sim::disk::Recovered)| {
            let _: &callboard_core::ReplicaId = replica;
            Some((recovered.fold.id, recovered.fold.outline.epoch()?))
        };
        let log_epochs = process.recovered.iter().filter_map(last).collect();
        let ask = Ask::Register { node: Box::new(registration), alone: None, log_epochs };
        self.ask(node, About::Registration, ask);
        let wait = self.rng.within(300 * MS, 900 * MS);
        self.at(node, wait, AtNode::Register);
    }

    fn synced_positions(&self, node: NodeIx) -> SyncedPositions {
        let Stored { directory, shard, .. } = self.nodes[node].stored;
        let position = self.nodes[node].disk.position();
        SyncedPositions::from([(directory, BTreeMap::from([(shard, position)]))])
    }

    /// Sends a heartbeat over both control connections.
    pub fn heartbeat(&mut self, node: NodeIx) {
        self.at(node, 500 * MS, AtNode::Heartbeat);
        let (id, now) = (self.nodes[node].id, self.now);
        let synced = self.synced_positions(node);
        let ids: Vec<TopicPartition> = self.parts.iter().map(|part| part.id).collect();
        let Some(process) = self.process(node) else { return };
        let Some(epoch) = process.epoch else { return };
        process.heartbeats += 1;
        let Process { unable, damaged, .. } = *process;
        let named = |which: [bool; PARTITIONS_MAX]| {
            ids.iter().zip(which).filter(|(_, is)| *is).map(|(id, _)| *id).collect()
        };
        let heartbeat = sessions::Heartbeat {
            from: Peer { broker: id, epoch },
            number: process.heartbeats,
            applied: process.image.applied,
            recovered: true,
            ending: process.ending,
            ended: false,
            sync_age_ms: if process.syncing { (now - process.sync_since) / MS } else { 0 },
            synced,
            full: false,
            damaged: ids.iter().zip(damaged).filter_map(|(id, until)| Some((*id, until?))).collect(),
            unable: named(unable),
        };
        for _ in 0..2 {
            self.tell_controller(node, Word::Heartbeat(heartbeat.clone()));
        }
    }

    /// Sends something to the node that leads the metadata log, as far as this node knows.
    fn tell_controller(&mut self, node: NodeIx, word: Word) {
        let Some(process) = self.process(node) else { return };
        let Some(leadership) = process.leadership else { return };
        let Some(to) = self.node_of(leadership.node) else { return };
        if self.repeat > self.now && self.rng.percent(50) {
            let again = self.rng.skewed(MS, 8 * SECOND);
            self.send_control(node, to, again, word.clone());
        }
        let late = self.repeat > self.now && self.rng.percent(30);
        let isr = matches!(word, Word::Ask(_, Ask::AlterIsr { .. }));
        let extra = match late {
            _ if isr && self.asks_late > self.now => self.rng.within(SECOND / 2, 10 * SECOND),
            true => self.rng.skewed(MS, 4 * SECOND),
            false => 0,
        };
        self.send_control(node, to, extra, word);
    }

    fn send_control(&mut self, from: NodeIx, to: NodeIx, extra: Time, word: Word) {
        let delay = extra + if from == to { 10 } else { self.draw(self.options.delay) };
        let held = if from == to { 0 } else { self.blocked[from][to] };
        if held > self.now + LOST {
            return;
        }
        let wait = held.saturating_sub(self.now) + delay;
        let life = self.nodes[from].life;
        self.at(to, wait, AtNode::Control(Box::new(Control { from, life, word })));
    }

    /// Asks the controller something.
    pub fn ask(&mut self, node: NodeIx, about: About, ask: Ask) {
        self.ask_numbers += 1;
        let number = self.ask_numbers;
        let Some(process) = self.process(node) else { return };
        if about == About::Opened {
            process.asked.retain(|asked| asked.about != About::Opened);
        }
        process.asked.push(Asked { number, about });
        self.tell_controller(node, Word::Ask(number, ask));
        self.at(node, ANSWER, AtNode::AskTimedOut(number));
    }

    /// A question was not answered in time.
    pub fn ask_timed_out(&mut self, node: NodeIx, number: u64) {
        let Some(about) = self.take_asked(node, number) else { return };
        if about == About::Opened {
            self.node_step(node, NodeInput::Recorded(false));
        }
    }

    fn take_asked(&mut self, node: NodeIx, number: u64) -> Option<About> {
        let asked = &mut self.process(node)?.asked;
        let at = asked.iter().position(|asked| asked.number == number)?;
        Some(asked.swap_remove(at).about)
    }

    /// A message comes over a control connection.
    pub fn control(&mut self, node: NodeIx, control: Control) {
        let Control { from, life, word } = control;
        match word {
            Word::Heartbeat(heartbeat) => self.sessions_step(node, sessions::Input::Heartbeat(heartbeat)),
            Word::Ask(number, ask) => {
                self.ask_numbers += 1;
                let ticket = self.ask_numbers;
                let Some(process) = self.process(node) else { return };
                process.tickets.insert(ticket, (from, life, number));
                self.controller_step(node, Input::Ask { ticket: Ticket(ticket), ask });
            }
            Word::Reply(number, reply) => self.replied(node, number, reply),
        }
    }

    fn replied(&mut self, node: NodeIx, number: u64, reply: Reply) {
        let Some(about) = self.take_asked(node, number) else { return };
        match about {
            About::Opened => self.node_step(node, NodeInput::Recorded(matches!(reply, Reply::Done(_)))),
            About::Isr(number) => self.proposer_step(node, proposer::Input::Answered { number, reply }),
            // The node reads its epoch from its own record in the image (R46).
            About::Registration => {
                if let Reply::Failed(Refusal { code: ErrorCode::InvalidRequest, message }) = reply {
                    self.over(node, &message);
                }
            }
            About::Other => {}
        }
    }

    fn reply(&mut self, node: NodeIx, ticket: Ticket, reply: Reply) {
        let lost = self.answers_lost > self.now && self.rng.percent(70);
        let Some(process) = self.process(node) else { return };
        let Some((to, life, number)) = process.tickets.remove(&ticket.0) else { return };
        if !lost && self.nodes[to].life == life {
            self.send_control(node, to, 0, Word::Reply(number, reply));
        }
    }

    /// An administrator's question goes to the controller through a node that runs.
    pub fn admin(&mut self, ask: Ask) {
        let running: Vec<NodeIx> =
            (0..self.nodes.len()).filter(|node| self.nodes[*node].process.is_some()).collect();
        if let Some(node) = running.get(self.rng.below(running.len() as u64) as usize).copied() {
            self.ask(node, About::Other, ask);
        }
    }

    /// Asks for the topics of the run until all are there.
    pub fn create_topics(&mut self) {
        if self.image.topics.len() == self.parts.len() {
            return;
        }
        if self.image.brokers.len() >= 3 {
            let topics = self.parts.iter().zip(&self.options.topics);
            let topics = topics.map(|(part, options)| {
                let durability = if options.os { "os" } else { "fsync" };
                let configs = vec![
                    ("min.insync.replicas".to_owned(), Some(options.min_isr.to_string())),
                    ("callboard.durability".to_owned(), Some(durability.to_owned())),
                ];
                let (partitions, replication_factor) = (1, 3);
                NewTopic {
                    partitions,
                    replication_factor,
                    configs,
                    ..NewTopic::new(&part.name, part.id.topic)
                }
            });
            let ask = Ask::CreateTopics { topics: topics.collect(), validate_only: false };
            self.admin(ask);
        }
        self.after(700 * MS, Event::CreateTopics);
    }

    /// A leader wants another ISR.
    pub fn propose_isr(
        &mut self,
        node: NodeIx,
        part: PartIx,
        (leader_epoch, partition_epoch): (LeaderEpoch, i32),
        isr: Vec<Peer>,
    ) {
        let id = self.parts[part].id;
        let wish = IsrWish { id, leader_epoch, partition_epoch, isr, recovering: false };
        self.proposer_step(node, proposer::Input::Wish { wish });
    }

    /// A leader that was rebuilt wants a new leader epoch (R7).
    pub fn ask_epoch(&mut self, node: NodeIx, part: PartIx, leader_epoch: LeaderEpoch) {
        if let Some(life) = self.replica(node, part).map(|replica| replica.life) {
            self.node_step(node, NodeInput::Spent { life, leader_epoch });
        }
    }

    /// A node asks to record that it has opened replicas.
    pub fn record_opened(&mut self, node: NodeIx, ids: &[TopicPartition]) {
        let broker = self.nodes[node].id;
        let Stored { directory, shard, .. } = self.nodes[node].stored;
        let place = Opened { broker, directory: Some(directory), shard: Some(shard) };
        let opened = ids.iter().map(|id| (*id, place)).collect();
        self.ask(node, About::Opened, Ask::Opened(opened));
    }

    /// A node hears the next event of the metadata log.
    pub fn hear_log(&mut self, node: NodeIx, event: Committed) {
        let lead = match &event {
            Committed::Lead(leadership) => Some(*leadership),
            Committed::Snapshot { .. } | Committed::Batch { .. } => None,
        };
        self.controller_step(node, Input::Log(event));
        let Some(leadership) = lead else { return };
        if let Some(process) = self.process(node) {
            process.leadership = Some(leadership);
        }
        self.sessions_step(node, sessions::Input::Lead(lead));
        self.proposer_step(node, proposer::Input::Leadership(lead));
    }

    /// The metadata log answers a proposal.
    pub fn proposed(&mut self, node: NodeIx, id: ProposalId, result: ProposeResult) {
        self.controller_step(node, Input::Proposed(id, result));
    }

    /// A deadline of one of these machines has come.
    pub fn tick_control(&mut self, node: NodeIx, who: Who) {
        let Some(process) = self.process(node) else { return };
        match who {
            Who::Controller => {
                process.armed[1] = 0;
                self.controller_step(node, Input::Tick);
            }
            Who::Sessions => {
                process.armed[2] = 0;
                self.sessions_step(node, sessions::Input::Tick);
            }
            Who::Proposer => {
                process.armed[3] = 0;
                self.proposer_step(node, proposer::Input::Tick);
            }
            Who::Node | Who::Replica(_) => {}
        }
    }

    fn controller_step(&mut self, node: NodeIx, input: Input) {
        let now = self.clock(node);
        let Some(process) = self.process(node) else { return };
        let mut out = Vec::new();
        process.machines.controller.step(now, input, &mut out);
        process.machines.controller.check();
        let deadline = process.machines.controller.next_deadline();
        self.arm(node, Who::Controller, deadline);
        for effect in out {
            match effect {
                Effect::Propose { leadership, id, records } => {
                    self.send_proposal(node, leadership, id, records)
                }
                Effect::Publish(image) => self.new_image(node, image),
                Effect::Dropped(_) => self.figures.dropped += 1,
                Effect::Answer(ticket, reply) => self.reply(node, ticket, reply),
            }
        }
    }

    fn send_proposal(
        &mut self,
        node: NodeIx,
        leadership: Leadership,
        id: ProposalId,
        records: Vec<MetadataRecord>,
    ) {
        let life = self.nodes[node].life;
        let delay = self.draw((10, 5 * MS));
        let at = self.now + delay;
        let Some(process) = self.process(node) else { return };
        // The writer of the log takes proposals in order.
        process.proposal_last = process.proposal_last.max(at);
        let at = process.proposal_last;
        self.queue.push(at, Event::Propose(node, life, leadership, id, records));
    }

    fn new_image(&mut self, node: NodeIx, image: Arc<Image>) {
        self.sessions_step(node, sessions::Input::Image(Arc::clone(&image)));
        let id = self.nodes[node].id;
        let Some(process) = &self.nodes[node].process else { return };
        let (number, epoch) = (process.id, process.epoch);
        let incarnation = self.nodes[node].stored.identity.incarnation;
        let registered = image.brokers.get(&id).map(|b| (b.process, b.incarnation, b.epoch));
        match registered {
            Some((process, _, granted)) if process == Some(process_id(number)) => {
                let goes_on = epoch.is_some() || self.granted(node, number, granted);
                if !goes_on {
                    return;
                }
            }
            // A later start of this node is registered, or another process in its place (R47, I13).
            Some((_, later, granted))
                if later > incarnation || epoch.is_some_and(|epoch| granted > epoch) =>
            {
                return self.over(node, "another process is registered");
            }
            _ => {}
        }
        self.image(node, image);
    }

    /// The image shows this process under a broker epoch, which is stored before anything is served. False: the process
    /// ended before that.
    fn granted(&mut self, node: NodeIx, number: u64, epoch: BrokerEpoch) -> bool {
        if let Some((_, power)) = self.nodes[node].crash.take_if(|(at, _)| *at == Step::Registered) {
            self.kill(node, power, SEEN);
            let wait = self.chance.within(200 * MS, 2 * SECOND);
            self.after(wait, Event::Restart(node));
            return false;
        }
        let here = &mut self.nodes[node];
        here.stored.identity.granted(process_id(number));
        here.stored.epoch = Some(epoch);
        (here.strange, here.lossy) = (false, false);
        let Some(process) = self.process(node) else { return false };
        process.epoch = Some(epoch);
        self.proposer_step(node, proposer::Input::Registered(epoch));
        self.node_step(node, NodeInput::Registered { epoch });
        true
    }

    fn sessions_step(&mut self, node: NodeIx, input: sessions::Input) {
        let now = self.clock(node);
        let Some(process) = self.process(node) else { return };
        let mut out = Vec::new();
        process.machines.sessions.step(now, input, &mut out);
        process.machines.sessions.check();
        let deadline = process.machines.sessions.next_deadline();
        self.arm(node, Who::Sessions, deadline);
        for sessions::Effect::Judge(judgement) in out {
            self.controller_step(node, Input::Judged(judgement));
        }
    }

    fn proposer_step(&mut self, node: NodeIx, input: proposer::Input) {
        let now = self.clock(node);
        let Some(process) = self.process(node) else { return };
        let mut out = Vec::new();
        process.machines.proposer.step(now, input, &mut out);
        process.machines.proposer.check();
        let deadline = process.machines.proposer.next_deadline();
        self.arm(node, Who::Proposer, deadline);
        for effect in out {
            match effect {
                proposer::Effect::Ask { number, ask } => self.ask(node, About::Isr(number), ask),
                proposer::Effect::Told { id, partition_epoch, outcome } => {
                    let Some(part) = self.part(id) else { continue };
                    self.replica_step(node, part, ReplicaInput::IsrSaid { partition_epoch, outcome });
                }
            }
        }
    }

    /// The node serves the image of its registration.
    pub fn node_ready(&mut self, node: NodeIx) {
        self.note(node as u64);
    }

    /// Why a node is not a full member yet.
    #[must_use]
    pub fn unregistered(&self, node: NodeIx) -> Option<String> {
        let epoch = self.nodes[node].process.as_ref().and_then(|process| process.epoch);
        let broker = self.image.brokers.get(&self.nodes[node].id);
        match broker {
            Some(broker) if epoch == Some(broker.epoch) && !broker.fenced => None,
            _ => Some(format!(
                "n{} has epoch {epoch:?}, and the image {:?}",
                node + 1,
                broker.map(|b| (b.epoch, b.fenced))
            )),
        }
    }
}
