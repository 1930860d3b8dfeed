//! The controller that runs: each event goes through `ControllerMachine`, and its records through `Image::apply`.
//!
//! Each image is kept once by its number, and each event on it is judged once. A machine is made anew for each event
//! from the image alone, as after a change of controllers, so nothing that it remembers can help it. A batch with a
//! registration gets the next index; other batches keep the last one, because no rule reads it.

use super::disk::NODES;
use super::rule::{Ask, Broker, Event, Image, NOBODY, Said, Wish, bit};
use callboard_core::metadata::controller::{
    Ask as Question, Effect, Input, Reply, ResourceKind, TopicDefaults,
};
use callboard_core::metadata::{
    Alteration, Committed, ConfigOf, ConfigOp, ControllerMachine, FencedFor, Image as Metadata, IsrOutcome,
    IsrWish, Judgement, LEVELS, Leadership, Listener, MetadataRecord, Opened, ProposalId, Registration,
    SyncedPositions, Verdict,
};
use callboard_core::{
    BrokerId, DirectoryId, Machine, NodeUuid, Now, Peer, ProcessId, Ticket, TopicId, TopicPartition,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

const LEADERSHIP: Leadership = Leadership { term: 5, node: 1 };
const TOPIC: TopicId = TopicId([7; 16]);
const PARTITION: TopicPartition = TopicPartition { topic: TOPIC, partition: 0 };
const MIN_ISR: &str = "min.insync.replicas";

/// All images that turned up, and what became of each event on them.
pub struct Real {
    nodes: usize,
    images: Vec<Arc<Metadata>>,
    numbers: HashMap<String, u32>,
    known: HashMap<(u32, Event), (Image, Said)>,
}

impl Real {
    /// A cluster of so many nodes, all registered and in sync.
    pub fn new(nodes: usize, min: u8) -> Real {
        let mut real = Real { nodes, images: Vec::new(), numbers: HashMap::new(), known: HashMap::new() };
        let mut image = Metadata::default();
        let founded = [
            MetadataRecord::Cluster { cluster_id: "c".into(), cluster_epoch: 0, seats: Vec::new() },
            MetadataRecord::FeatureLevel { level: LEVELS.max },
            MetadataRecord::Configs {
                of: ConfigOf::Cluster,
                changes: [(MIN_ISR.into(), Some("2".into()))].into(),
            },
        ];
        image.apply_batch(1, &founded);
        let ids: Vec<BrokerId> = (1..=nodes as i32).collect();
        for (n, id) in (0u8..).zip(&ids) {
            let ask = Ask { start: 1, starts: 2, incarnation: 1, directory: 0, at: 0, unclean: false };
            let node = Box::new(registration(n, &ask));
            let index = image.applied + 1;
            image.apply_batch(index, &[MetadataRecord::Registered { node, fenced: true }]);
            let change = MetadataRecord::BrokerChange {
                broker_id: *id,
                epoch: index,
                fenced: Some(false),
                shutting_down: None,
                synced: SyncedPositions::new(),
            };
            image.apply_batch(index, &[change]);
        }
        let topic = MetadataRecord::Topic {
            id: TOPIC,
            name: "t".into(),
            replicas: vec![ids.clone()],
            isr: vec![ids.clone()],
            default_factor: false,
            configs: [(MIN_ISR.to_owned(), min.to_string())].into(),
        };
        let opened = ids.iter().map(|id| MetadataRecord::ReplicaOpened {
            topic: TOPIC,
            partition: 0,
            broker_id: *id,
            directory: Some(directory(*id as u8 - 1, 0)),
            shard: Some(0),
        });
        let index = image.applied;
        image.apply_batch(index, &std::iter::once(topic).chain(opened).collect::<Vec<_>>());
        real.number(image);
        real
    }

    fn number(&mut self, image: Metadata) -> Image {
        let text = serde_json::to_string(&image).unwrap_or_default();
        let next = self.images.len() as u32;
        let number = *self.numbers.entry(text).or_insert(next);
        let found = digest(self.nodes, &image, number);
        if number == next {
            self.images.push(Arc::new(image));
        }
        found
    }

    /// The image after an event, and what its asker hears.
    pub fn decide(&mut self, image: &Image, event: Event) -> (Image, Said) {
        if let Some(known) = self.known.get(&(image.real, event)) {
            return *known;
        }
        let mut controller = Controller::new(Arc::clone(&self.images[image.real as usize]));
        let said = controller.event(event);
        let found = (self.number(Metadata::clone(&controller.image)), said);
        self.known.insert((image.real, event), found);
        found
    }
}

struct Controller {
    machine: ControllerMachine,
    image: Arc<Metadata>,
    replies: Vec<Reply>,
}

impl Controller {
    fn new(image: Arc<Metadata>) -> Controller {
        let defaults = TopicDefaults { partitions: 1, statics: Arc::default() };
        let machine = ControllerMachine::new(ProposalId { node: 1, number: 1 }, defaults);
        let mut controller = Controller { machine, image: Arc::clone(&image), replies: Vec::new() };
        controller.step(Input::Log(Committed::Snapshot { index: image.applied, image }));
        controller.step(Input::Log(Committed::Lead(LEADERSHIP)));
        controller
    }

    /// Steps the machine, and commits all that it proposes.
    fn step(&mut self, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let mut out = Vec::new();
            self.machine.step(Now::default(), input, &mut out);
            for effect in out {
                match effect {
                    Effect::Publish(image) => self.image = image,
                    Effect::Answer(_, reply) => self.replies.push(reply),
                    Effect::Dropped(records) => {
                        panic!("{records} records did not fit what they were decided on")
                    }
                    Effect::Propose { id, records, .. } => {
                        let registers =
                            |record: &MetadataRecord| matches!(record, MetadataRecord::Registered { .. });
                        let index = self.image.applied + u64::from(records.iter().any(registers));
                        let (proposal, records) = (Some(id), Arc::new(records));
                        inputs.insert(0, Input::Log(Committed::Batch { index, proposal, records }));
                    }
                }
            }
        }
    }

    fn judged(&mut self, verdicts: Vec<Verdict>, silent: BTreeMap<Peer, SyncedPositions>) {
        self.step(Input::Judged(Judgement { leadership: LEADERSHIP, verdicts, silent }));
    }

    fn ask(&mut self, ask: Question) {
        self.step(Input::Ask { ticket: Ticket(1), ask });
    }

    fn event(&mut self, event: Event) -> Said {
        match event {
            Event::Fence(n, heard) => {
                let (peer, synced) = (self.peer(n), self.heard(n, heard));
                self.judged(vec![Verdict::Fence { peer, why: FencedFor::Silent, synced }], BTreeMap::new());
                Said::Done
            }
            Event::Unfence(n) => {
                let peer = self.peer(n);
                self.judged(vec![Verdict::Unfence(peer)], BTreeMap::new());
                Said::Done
            }
            Event::Register(n, ask, heard) => self.register(n, &ask, heard),
            Event::Alter(wish) => self.alter(&wish),
            Event::MinIsr(min) => {
                self.judged(Vec::new(), BTreeMap::new());
                let changes = vec![(MIN_ISR.to_owned(), ConfigOp::Set, Some(min.to_string()))];
                let alteration =
                    Alteration { kind: ResourceKind::Topic, name: "t".into(), replace: false, changes };
                self.ask(Question::AlterConfigs {
                    broker_id: 1,
                    alterations: vec![alteration],
                    validate_only: false,
                });
                assert!(matches!(&self.replies[..], [Reply::Altered(done, _)] if done == &[Ok(())]));
                Said::Done
            }
            Event::Leave(n) => {
                let until = self.image.partition(PARTITION).map_or(0, |p| p.leader_epoch);
                let (peer, replicas) = (self.peer(n), [(PARTITION, until)].into());
                self.judged(vec![Verdict::Damaged { peer, replicas }], BTreeMap::new());
                let listed = self.image.partition(PARTITION).is_some_and(|p| p.is_eligible(broker(n)));
                if listed { Said::Refused } else { Said::Done }
            }
            Event::Opened(n, at) => {
                let place = Opened { broker: broker(n), directory: Some(directory(n, at)), shard: Some(0) };
                self.ask(Question::Opened(vec![(PARTITION, place)]));
                Said::Done
            }
        }
    }

    fn register(&mut self, n: u8, ask: &Ask, heard: u8) -> Said {
        let old = self.image.brokers.get(&broker(n)).filter(|old| !old.fenced).map(|old| old.peer());
        let synced = self.heard(n, heard);
        self.judged(Vec::new(), old.map(|old| (old, synced)).into_iter().collect());
        let node = Box::new(registration(n, ask));
        self.ask(Question::Register { node, alone: None, log_epochs: Vec::new() });
        match self.replies.last() {
            Some(Reply::Done(_)) => Said::Done,
            _ => Said::Refused,
        }
    }

    fn alter(&mut self, wish: &Wish) -> Said {
        self.judged(Vec::new(), BTreeMap::new());
        let peer = |n: u8| {
            let (id, start) = (broker(n), wish.starts[usize::from(n)]);
            let now = self.image.brokers.get(&id);
            let same = now.is_some_and(|now| now.process == Some(process(start)));
            // Another life of the node has another epoch; no node has epoch 0.
            Peer { broker: id, epoch: now.filter(|_| same).map_or(0, |now| now.epoch) }
        };
        let isr = (0..NODES as u8).filter(|n| wish.isr & bit(*n) != 0).map(peer).collect();
        let from = peer(wish.from);
        let wish = IsrWish {
            id: PARTITION,
            leader_epoch: wish.leader_epoch.into(),
            partition_epoch: wish.partition_epoch.into(),
            isr,
            recovering: false,
        };
        self.ask(Question::AlterIsr { from, number: 1, leadership: LEADERSHIP, wishes: vec![wish] });
        match self.replies.last() {
            Some(Reply::IsrAltered(outcomes, _)) => match &outcomes[..] {
                [IsrOutcome::Committed] => Said::Done,
                [IsrOutcome::Ineligible(_)] => Said::Ineligible,
                _ => Said::Refused,
            },
            _ => Said::Refused,
        }
    }

    fn peer(&self, n: u8) -> Peer {
        self.image.brokers[&broker(n)].peer()
    }

    /// The position of the registered life, in its directory.
    fn heard(&self, n: u8, position: u8) -> SyncedPositions {
        let directories = self.image.brokers.get(&broker(n)).map(|broker| broker.directories.clone());
        let shard = |at: &DirectoryId| (*at, [(0u16, u64::from(position))].into());
        directories.unwrap_or_default().iter().map(shard).collect()
    }
}

fn broker(n: u8) -> BrokerId {
    BrokerId::from(n) + 1
}

fn process(start: u8) -> ProcessId {
    ProcessId([start; 16])
}

fn directory(n: u8, at: u8) -> DirectoryId {
    let mut id = [n + 1; 16];
    id[15] = at;
    DirectoryId(id)
}

fn registration(n: u8, ask: &Ask) -> Registration {
    let here = directory(n, ask.directory);
    Registration {
        broker: broker(n),
        uuid: Some(NodeUuid([n + 1; 16])),
        process: Some(process(ask.start)),
        incarnation: ask.incarnation.into(),
        directories: vec![here],
        cluster_address: Some(format!("h{n}:1")),
        listeners: vec![Listener::plaintext(format!("h{n}"), 9)],
        levels: LEVELS,
        synced: [(here, [(0, u64::from(ask.at))].into())].into(),
        processes: (0..16).filter(|start| ask.starts & (1 << start) != 0).map(process).collect(),
        unclean: if ask.unclean { vec![PARTITION] } else { Vec::new() },
        ..Registration::default()
    }
}

fn set(ids: &[BrokerId]) -> u8 {
    ids.iter().fold(0, |set, id| set | bit((*id - 1) as u8))
}

fn digest(nodes: usize, image: &Metadata, real: u32) -> Image {
    let mut brokers = [Broker::default(); NODES];
    let topic = &image.topics[&TOPIC];
    let p = &topic.partitions[0];
    for n in 0..nodes as u8 {
        let known = &image.brokers[&broker(n)];
        let found = &mut brokers[usize::from(n)];
        found.start = known.process.map_or(0, |process| process.0[0]);
        (found.incarnation, found.fenced) = (known.incarnation as u8, known.fenced);
        for at in 0..found.synced.len() as u8 {
            let here = directory(n, at);
            if known.directories.contains(&here) {
                found.directory = at;
            }
            let opened: BTreeSet<_> = p.opened.iter().filter_map(|opened| opened.directory).collect();
            found.opened |= if opened.contains(&here) { 1 << at } else { 0 };
            let position = known.synced.get(&here).and_then(|shards| shards.get(&0));
            found.synced[usize::from(at)] = position.copied().unwrap_or(0) as u8;
        }
    }
    Image {
        leader: if p.leader < 0 { NOBODY } else { (p.leader - 1) as u8 },
        leader_epoch: p.leader_epoch as u8,
        partition_epoch: p.partition_epoch as u16,
        isr: set(&p.isr),
        elr: set(&p.elr),
        marked: set(&p.unclean),
        min: topic.configs.get(MIN_ISR).and_then(|min| min.parse().ok()).unwrap_or(1),
        brokers,
        real,
    }
}
