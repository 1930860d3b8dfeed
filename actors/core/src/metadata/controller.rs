//! The controller: decides metadata where the metadata log leads.
//!
//! ```text
//!   ask ─> checked against the image and what is on its way ─> Propose(records) ─> committed ─> image ─> Answer
//! ```
//!
//! It owns the image: committed batches are its only source. An ask is answered when its records are in the image,
//! never before. What is proposed and not yet committed counts against later asks, so two creations of one name in
//! the same moment do not both pass.

use super::configs;
use super::image::{Image, Topic};
use super::names::{check_name, collide};
use super::record::MetadataRecord;
use crate::error::ErrorCode;
use crate::ids::{BrokerId, Ticket, TopicId};
use crate::machine::{Effects, Machine};
use crate::time::{Millis, Now};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Producer ids that are given out at once.
pub const PRODUCER_ID_BLOCK: i64 = 1000;
/// Partitions of one topic at most.
pub const PARTITIONS_MAX: i32 = 10_000;

/// A topic that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// An id for it, drawn by the asker.
    pub id: TopicId,
    /// −1: the default.
    pub partitions: i32,
    /// −1: the default.
    pub replication_factor: i16,
    /// Explicit replicas by partition; empty: the controller places.
    pub assignments: BTreeMap<i32, Vec<BrokerId>>,
    /// Configs; a null value is the default.
    pub configs: Vec<(String, Option<String>)>,
}

/// A refusal with Kafka's code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Kafka's code.
    pub code: ErrorCode,
    /// In words.
    pub message: String,
}

fn refuse<T>(code: ErrorCode, message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { code, message: message.into() })
}

/// How a topic is named in a deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicRef {
    /// By name.
    Name(String),
    /// By id.
    Id(TopicId),
}

/// What can happen to the controller.
#[derive(Clone, Debug)]
pub enum Input {
    /// It may propose in this term, or may not.
    Role(Option<u64>),
    /// Everything up to an index.
    Snapshot(Arc<Image>),
    /// One more committed batch.
    Committed {
        /// Its index.
        index: u64,
        /// Its records.
        records: Arc<Vec<MetadataRecord>>,
    },
    /// This node's process starts: a new epoch for everything it leads.
    Register {
        /// Names the answer.
        ticket: Ticket,
        /// Its id.
        broker_id: BrokerId,
        /// A cluster id, if there is none yet.
        cluster_id: String,
        /// Host that clients are told.
        host: String,
        /// Port that clients are told.
        port: u16,
        /// Its rack.
        rack: Option<String>,
    },
    /// Topics are asked for.
    CreateTopics {
        /// Names the answer.
        ticket: Ticket,
        /// Which.
        topics: Vec<NewTopic>,
        /// Only check.
        validate_only: bool,
    },
    /// Topics are to go.
    DeleteTopics {
        /// Names the answer.
        ticket: Ticket,
        /// Which.
        topics: Vec<TopicRef>,
    },
    /// A block of producer ids is asked for.
    ProducerIds {
        /// Names the answer.
        ticket: Ticket,
    },
    /// Replicas were opened on a node.
    Opened {
        /// Names the answer.
        ticket: Ticket,
        /// Where.
        broker_id: BrokerId,
        /// Which: topic and partitions.
        replicas: Vec<(TopicId, i32)>,
    },
    /// A proposal was not committed, or nobody knows.
    ProposalFailed {
        /// Whose.
        ticket: Ticket,
        /// Why.
        why: String,
    },
}

/// What becomes of each topic that was asked for.
pub type TopicOutcome = Result<Arc<Topic>, Refusal>;

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// To `Register` and `Opened`: in the image as of this index.
    Done(u64),
    /// To `CreateTopics`, in the order asked; in the image as of this index.
    Created(Vec<TopicOutcome>, u64),
    /// To `DeleteTopics`, in the order asked.
    Deleted(Vec<(Option<String>, TopicId, Result<(), Refusal>)>, u64),
    /// To `ProducerIds`: the first of [`PRODUCER_ID_BLOCK`].
    ProducerIds(i64),
    /// Nothing was done, as far as is known.
    Failed(Refusal),
}

/// What the controller wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Propose these records, in this term.
    Propose {
        /// Whose.
        ticket: Ticket,
        /// The term.
        term: u64,
        /// The records.
        records: Vec<MetadataRecord>,
    },
    /// Show the image.
    Publish(Arc<Image>),
    /// Answer.
    Answer(Ticket, Reply),
}

/// An ask whose records are on their way.
#[derive(Debug)]
struct Pending {
    ticket: Ticket,
    records: Vec<MetadataRecord>,
    reply: Reply,
}

/// Defaults of new topics.
#[derive(Clone, Copy, Debug)]
pub struct TopicDefaults {
    /// `num.partitions`.
    pub partitions: i32,
}

/// The controller.
#[derive(Debug)]
pub struct ControllerMachine {
    image: Arc<Image>,
    term: Option<u64>,
    defaults: TopicDefaults,
    /// Proposed, oldest first: the log commits in the order of proposals.
    pending: Vec<Pending>,
    /// Whether the log has said anything yet: until then the image is not known, and nothing is decided on it.
    heard: bool,
    /// What was asked before that: the node's own registration.
    early: Vec<Input>,
}

impl ControllerMachine {
    /// A controller that knows nothing yet.
    #[must_use]
    pub fn new(defaults: TopicDefaults) -> ControllerMachine {
        ControllerMachine {
            image: Arc::default(),
            term: None,
            defaults,
            pending: Vec::new(),
            heard: false,
            early: Vec::new(),
        }
    }

    fn propose(
        &mut self,
        ticket: Ticket,
        records: Vec<MetadataRecord>,
        reply: Reply,
        out: &mut Effects<Effect>,
    ) {
        let Some(term) = self.term else {
            let message = "this node is not the controller: ask again".to_owned();
            let refusal = Refusal { code: ErrorCode::NotController, message };
            return out.push(Effect::Answer(ticket, Reply::Failed(refusal)));
        };
        if records.is_empty() {
            return out.push(Effect::Answer(ticket, reply));
        }
        out.push(Effect::Propose { ticket, term, records: records.clone() });
        self.pending.push(Pending { ticket, records, reply });
    }

    fn committed(&mut self, index: u64, records: &[MetadataRecord], out: &mut Effects<Effect>) {
        let image = Arc::make_mut(&mut self.image);
        records.iter().for_each(|record| image.apply(record));
        image.applied = index;
        out.push(Effect::Publish(Arc::clone(&self.image)));
        let mine = self.pending.iter().position(|p| p.records == records);
        if let Some(at) = mine {
            let done = self.pending.remove(at);
            let reply = match done.reply {
                Reply::Done(_) => Reply::Done(index),
                Reply::Created(outcomes, _) => Reply::Created(self.as_committed(outcomes), index),
                Reply::Deleted(outcomes, _) => Reply::Deleted(outcomes, index),
                other => other,
            };
            out.push(Effect::Answer(done.ticket, reply));
        }
    }

    fn as_committed(&self, outcomes: Vec<TopicOutcome>) -> Vec<TopicOutcome> {
        let of = |topic: Arc<Topic>| self.image.topics.get(&topic.id).cloned().unwrap_or(topic);
        outcomes.into_iter().map(|outcome| outcome.map(of)).collect()
    }

    fn register(
        &self,
        broker_id: BrokerId,
        cluster_id: String,
        broker: MetadataRecord,
    ) -> Vec<MetadataRecord> {
        let mut records = Vec::new();
        if self.image.cluster_id.is_none() {
            records.push(MetadataRecord::Cluster { cluster_id });
        }
        records.push(broker);
        // In the same batch as the registration, everything the node leads gets a new epoch.
        for topic in self.image.topics.values() {
            for (partition, p) in (0i32..).zip(&topic.partitions) {
                if p.replicas == [broker_id] {
                    records.push(MetadataRecord::PartitionChange {
                        topic: topic.id,
                        partition,
                        leader: broker_id,
                        leader_epoch: p.leader_epoch + 1,
                        isr: vec![broker_id],
                        partition_epoch: p.partition_epoch + 1,
                    });
                }
            }
        }
        records
    }

    fn create(&self, topics: &[NewTopic]) -> (Vec<TopicOutcome>, Vec<MetadataRecord>) {
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        for topic in topics {
            *names.entry(&topic.name).or_default() += 1;
        }
        let (mut outcomes, mut records) = (Vec::new(), Vec::new());
        for topic in topics {
            let record = if names[topic.name.as_str()] > 1 {
                refuse(ErrorCode::InvalidRequest, "the request names this topic more than once")
            } else {
                self.check(topic, &records)
            };
            outcomes.push(record.map(|record| {
                let mut image = Image::default();
                image.apply(&record);
                records.push(record);
                image.topics.into_values().next().unwrap_or_default()
            }));
        }
        (outcomes, records)
    }

    fn check(&self, topic: &NewTopic, with: &[MetadataRecord]) -> Result<MetadataRecord, Refusal> {
        if let Err(error) = check_name(&topic.name) {
            return refuse(ErrorCode::InvalidTopicException, error.to_string());
        }
        let on_the_way = self.pending.iter().flat_map(|p| &p.records).chain(with).filter_map(|r| match r {
            MetadataRecord::Topic { name, .. } => Some(name.as_str()),
            _ => None,
        });
        for other in self.image.by_name.keys().map(String::as_str).chain(on_the_way) {
            if other == topic.name {
                return refuse(ErrorCode::TopicAlreadyExists, format!("topic {other} already exists"));
            }
            if collide(other, &topic.name) {
                let message = format!(
                    "topic {} collides with {other}: '.' and '_' are the same in metrics",
                    topic.name
                );
                return refuse(ErrorCode::InvalidTopicException, message);
            }
        }
        let mut stored = BTreeMap::new();
        for (name, value) in &topic.configs {
            let Some(value) = value else {
                return refuse(ErrorCode::InvalidConfig, format!("{name} has no value"));
            };
            if let Err(error) = configs::check(name, value) {
                return refuse(ErrorCode::InvalidConfig, error.to_string());
            }
            stored.insert(name.clone(), value.clone());
        }
        let replicas = self.place(topic)?;
        Ok(MetadataRecord::Topic { id: topic.id, name: topic.name.clone(), replicas, configs: stored })
    }

    fn place(&self, topic: &NewTopic) -> Result<Vec<Vec<BrokerId>>, Refusal> {
        let brokers: BTreeSet<BrokerId> = self.image.brokers.keys().copied().collect();
        if !topic.assignments.is_empty() {
            return Self::assigned(topic, &brokers);
        }
        let partitions = if topic.partitions == -1 { self.defaults.partitions } else { topic.partitions };
        if partitions < 1 {
            return refuse(ErrorCode::InvalidPartitions, "the number of partitions must be at least 1");
        }
        if partitions > PARTITIONS_MAX {
            let message = format!("more than {PARTITIONS_MAX} partitions in one topic");
            return refuse(ErrorCode::InvalidPartitions, message);
        }
        // The default factor follows the cluster: 1 on one node.
        let factor = if topic.replication_factor == -1 { 1 } else { topic.replication_factor };
        if factor < 1 || factor as usize > brokers.len() {
            let message = format!("replication factor {factor}: there are {} brokers", brokers.len());
            return refuse(ErrorCode::InvalidReplicationFactor, message);
        }
        let order: Vec<BrokerId> = brokers.into_iter().collect();
        let at = |p: usize, r: usize| order[(p + r) % order.len()];
        Ok((0..partitions as usize).map(|p| (0..factor as usize).map(|r| at(p, r)).collect()).collect())
    }

    fn assigned(topic: &NewTopic, brokers: &BTreeSet<BrokerId>) -> Result<Vec<Vec<BrokerId>>, Refusal> {
        const CODE: ErrorCode = ErrorCode::InvalidReplicaAssignment;
        if topic.partitions != -1 || topic.replication_factor != -1 {
            return refuse(
                ErrorCode::InvalidRequest,
                "partitions and replication factor must be -1 beside assignments",
            );
        }
        let mut out = Vec::new();
        for (expected, (partition, replicas)) in (0i32..).zip(&topic.assignments) {
            if *partition != expected {
                return refuse(CODE, "the assigned partitions are not 0, 1, 2, …");
            }
            let distinct: BTreeSet<_> = replicas.iter().collect();
            if replicas.is_empty() || distinct.len() != replicas.len() {
                return refuse(CODE, format!("partition {partition} has no replicas, or one twice"));
            }
            if let Some(unknown) = replicas.iter().find(|id| !brokers.contains(id)) {
                return refuse(CODE, format!("broker {unknown} is not known"));
            }
            out.push(replicas.clone());
        }
        Ok(out)
    }

    fn delete(&self, topics: Vec<TopicRef>) -> (Reply, Vec<MetadataRecord>) {
        let (mut outcomes, mut records) = (Vec::new(), Vec::new());
        for topic in topics {
            let (found, name, id, code) = match topic {
                TopicRef::Name(name) => {
                    (self.image.topic(&name), Some(name), TopicId::ZERO, ErrorCode::UnknownTopicOrPartition)
                }
                TopicRef::Id(id) => (self.image.topics.get(&id), None, id, ErrorCode::UnknownTopicId),
            };
            match found {
                None => {
                    outcomes.push((name, id, refuse(code, "this server does not host the topic")));
                }
                Some(topic) => {
                    let record = MetadataRecord::TopicDeleted { id: topic.id };
                    if !records.contains(&record) {
                        records.push(record);
                    }
                    outcomes.push((Some(topic.name.clone()), topic.id, Ok(())));
                }
            }
        }
        (Reply::Deleted(outcomes, self.image.applied), records)
    }

    fn failed(&mut self, ticket: Ticket, why: String, out: &mut Effects<Effect>) {
        if let Some(at) = self.pending.iter().position(|p| p.ticket == ticket) {
            self.pending.remove(at);
            let refusal = Refusal { code: ErrorCode::UnknownServerError, message: why };
            out.push(Effect::Answer(ticket, Reply::Failed(refusal)));
        }
    }

    fn producer_ids(&mut self, ticket: Ticket, out: &mut Effects<Effect>) {
        let on_the_way = self.pending.iter().flat_map(|p| &p.records).filter_map(|r| match r {
            MetadataRecord::ProducerIds { next } => Some(*next),
            _ => None,
        });
        let first = on_the_way.chain([self.image.next_producer_id]).max().unwrap_or(0);
        let record = MetadataRecord::ProducerIds { next: first + PRODUCER_ID_BLOCK };
        self.propose(ticket, vec![record], Reply::ProducerIds(first), out);
    }

    fn take(&mut self, input: Input, out: &mut Effects<Effect>) {
        let applied = self.image.applied;
        match input {
            Input::Role(term) => self.term = term,
            Input::Snapshot(image) => {
                self.image = image;
                out.push(Effect::Publish(Arc::clone(&self.image)));
            }
            Input::Committed { index, records } => self.committed(index, &records, out),
            Input::Register { ticket, broker_id, cluster_id, host, port, rack } => {
                let broker = MetadataRecord::Broker { broker_id, host, port, rack };
                let records = self.register(broker_id, cluster_id, broker);
                self.propose(ticket, records, Reply::Done(applied), out);
            }
            Input::CreateTopics { ticket, topics, validate_only } => {
                let (outcomes, records) = self.create(&topics);
                let records = if validate_only { Vec::new() } else { records };
                self.propose(ticket, records, Reply::Created(outcomes, applied), out);
            }
            Input::DeleteTopics { ticket, topics } => {
                let (reply, records) = self.delete(topics);
                self.propose(ticket, records, reply, out);
            }
            Input::ProducerIds { ticket } => self.producer_ids(ticket, out),
            Input::Opened { ticket, broker_id, replicas } => {
                let opened =
                    |(topic, partition)| MetadataRecord::ReplicaOpened { topic, partition, broker_id };
                let records = replicas.into_iter().map(opened).collect();
                self.propose(ticket, records, Reply::Done(applied), out);
            }
            Input::ProposalFailed { ticket, why } => self.failed(ticket, why, out),
        }
    }
}

impl Machine for ControllerMachine {
    type Input = Input;
    type Effect = Effect;

    fn step(&mut self, _now: Now, input: Input, out: &mut Effects<Effect>) {
        match &input {
            Input::Snapshot(_) | Input::Committed { .. } => self.heard = true,
            Input::Role(_) | Input::ProposalFailed { .. } => {}
            // Decided on an empty image, a registration would found the cluster anew and leave the epochs as they were.
            _ if !self.heard => return self.early.push(input),
            _ => {}
        }
        self.take(input, out);
        if self.heard {
            for early in std::mem::take(&mut self.early) {
                self.take(early, out);
            }
        }
    }

    fn next_deadline(&self) -> Option<Millis> {
        None
    }

    fn check(&self) {
        for (name, id) in &self.image.by_name {
            assert_eq!(self.image.topics.get(id).map(|t| &t.name), Some(name), "names and topics agree");
        }
        assert_eq!(self.image.by_name.len(), self.image.topics.len());
    }
}
