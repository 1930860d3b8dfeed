//! A controller of a cluster for tests: its log commits in order when the test says so.

use super::configs::Statics;
use super::controller::{Ask, ControllerMachine, Effect, Input, Reply, TopicDefaults};
use super::{
    Committed, Image, Judgement, LEVELS, Leadership, Listener, MetadataRecord, Partition, ProposalId,
    ProposeResult, Registration, SyncedPositions, Verdict,
};
use crate::ids::{BrokerId, Peer, ProcessId, Ticket, TopicId, TopicPartition};
use crate::machine::Machine;
use crate::time::{Millis, Now};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

pub(super) const TERM: u64 = 5;

pub(super) fn process(n: u8) -> ProcessId {
    ProcessId([n; 16])
}

pub(super) fn node(broker: BrokerId, process_n: u8) -> Registration {
    Registration {
        broker,
        process: Some(process(process_n)),
        listeners: vec![Listener::plaintext(format!("h{broker}"), 9)],
        levels: LEVELS,
        ..Registration::default()
    }
}

pub(super) fn id(topic: u8, partition: i32) -> TopicPartition {
    TopicPartition { topic: TopicId([topic; 16]), partition }
}

/// The controller on node 1, and the log behind it.
pub(super) struct Cluster {
    pub machine: ControllerMachine,
    pub leadership: Leadership,
    pub image: Arc<Image>,
    /// Proposals that the log has not ended, oldest first.
    pub proposed: VecDeque<(ProposalId, Vec<MetadataRecord>)>,
    pub answers: BTreeMap<u64, Reply>,
    /// Records that did not fit.
    pub dropped: usize,
    pub ms: u64,
    next: u64,
}

impl Cluster {
    /// A founded cluster without nodes, which waits for its judge.
    pub fn waiting() -> Cluster {
        Cluster::waiting_with(Statics::default())
    }

    /// The same with settings of the configuration file.
    pub fn waiting_with(statics: Statics) -> Cluster {
        let first = ProposalId { node: 1, number: 100 };
        let defaults = TopicDefaults { partitions: 1, statics: Arc::new(statics) };
        let leadership = Leadership { term: TERM, node: 1 };
        let mut cluster = Cluster {
            machine: ControllerMachine::new(first, defaults),
            leadership,
            image: Arc::default(),
            proposed: VecDeque::new(),
            answers: BTreeMap::new(),
            dropped: 0,
            ms: 0,
            next: 0,
        };
        let mut founded = Image::default();
        let founding = [
            MetadataRecord::Cluster { cluster_id: "c".into(), cluster_epoch: 0, seats: Vec::new() },
            MetadataRecord::FeatureLevel { level: LEVELS.max },
        ];
        founded.apply_batch(1, &founding);
        let image = Arc::new(founded);
        cluster.step(Input::Log(Committed::Snapshot { index: image.applied, image }));
        cluster.step(Input::Log(Committed::Lead(leadership)));
        cluster
    }

    /// A cluster of so many registered and unfenced nodes; node n runs as process n.
    pub fn of(nodes: u8) -> Cluster {
        Cluster::of_with(nodes, Statics::default())
    }

    pub fn of_with(nodes: u8, statics: Statics) -> Cluster {
        let mut cluster = Cluster::waiting_with(statics);
        cluster.judge(Vec::new());
        for n in 1..=nodes {
            cluster.join(node(i32::from(n), n));
        }
        cluster
    }

    /// Registers a node and unfences it.
    pub fn join(&mut self, node: Registration) {
        let broker = node.broker;
        assert!(matches!(self.done(register(node)), Reply::Done(_)));
        self.judge(vec![Verdict::Unfence(self.peer(broker))]);
        self.commit();
    }

    pub fn step(&mut self, input: Input) {
        let mut out = Vec::new();
        let now = Now { mono: Millis(self.ms), ..Now::default() };
        self.machine.step(now, input, &mut out);
        self.machine.check();
        for effect in out {
            match effect {
                Effect::Propose { leadership, id, records } => {
                    assert_eq!(leadership, self.leadership);
                    self.proposed.push_back((id, records));
                }
                Effect::Publish(image) => self.image = image,
                Effect::Dropped(records) => self.dropped += records,
                Effect::Answer(ticket, reply) => {
                    assert!(self.answers.insert(ticket.0, reply).is_none(), "one answer each");
                }
            }
        }
    }

    /// Asks, and gives the ticket under which the answer will stand.
    pub fn ask(&mut self, ask: Ask) -> u64 {
        self.next += 1;
        self.step(Input::Ask { ticket: Ticket(self.next), ask });
        self.next
    }

    /// Asks, commits everything, and gives the answer.
    pub fn done(&mut self, ask: Ask) -> Reply {
        let ticket = self.ask(ask);
        self.commit();
        self.answers[&ticket].clone()
    }

    pub fn judge(&mut self, verdicts: Vec<Verdict>) {
        self.judge_with(verdicts, BTreeSet::new());
    }

    pub fn judge_with(&mut self, verdicts: Vec<Verdict>, silent: BTreeSet<Peer>) {
        let leadership = self.leadership;
        let silent = silent.into_iter().map(|peer| (peer, SyncedPositions::new())).collect();
        self.step(Input::Judged(Judgement { leadership, verdicts, silent }));
    }

    /// Commits the oldest proposal; says whether there was one.
    pub fn commit_one(&mut self) -> bool {
        let Some((id, records)) = self.proposed.pop_front() else { return false };
        let index = self.image.applied + 1;
        let records = Arc::new(records);
        self.step(Input::Log(Committed::Batch { index, proposal: Some(id), records }));
        true
    }

    pub fn commit(&mut self) {
        while self.commit_one() {}
    }

    /// The log refuses the oldest proposal, as on a full disk.
    pub fn refuse_one(&mut self) {
        if let Some((id, _)) = self.proposed.pop_front() {
            self.step(Input::Proposed(id, ProposeResult::Refused("full".into())));
        }
    }

    /// Another leadership of this node begins, and what was on its way is gone.
    pub fn lead_anew(&mut self) {
        self.proposed.clear();
        self.leadership.term += 1;
        self.step(Input::Log(Committed::Lead(self.leadership)));
    }

    pub fn peer(&self, broker: BrokerId) -> Peer {
        self.image.brokers[&broker].peer()
    }

    pub fn fence(&self, broker: BrokerId) -> Verdict {
        let why = super::FencedFor::Silent;
        Verdict::Fence { peer: self.peer(broker), why, synced: SyncedPositions::new() }
    }

    pub fn partition(&self, id: TopicPartition) -> &Partition {
        self.image.partition(id).expect("the partition exists")
    }

    /// Creates a topic with one partition on these nodes.
    pub fn create(&mut self, n: u8, replicas: &[BrokerId]) -> TopicPartition {
        let assignments = vec![(0, replicas.to_vec())];
        let topic =
            super::NewTopic { assignments, ..super::NewTopic::new(&format!("t{n}"), TopicId([n; 16])) };
        let Reply::Created(outcomes, _) =
            self.done(Ask::CreateTopics { topics: vec![topic], validate_only: false })
        else {
            panic!("not created")
        };
        assert!(outcomes[0].is_ok(), "{outcomes:?}");
        id(n, 0)
    }

    /// Leader, leader epoch and ISR of a partition.
    pub fn led(&self, id: TopicPartition) -> (BrokerId, i32, Vec<BrokerId>) {
        let p = self.partition(id);
        (p.leader, p.leader_epoch, p.isr.clone())
    }
}

pub(super) fn register(node: Registration) -> Ask {
    Ask::Register { node: Box::new(node), alone: None, log_epochs: Vec::new() }
}
