//! The controller: decides metadata where the metadata log leads.
//!
//! ```text
//!   ask ─> checked against the image and what is on its way ─> Propose(records) ─> committed ─> image ─> Answer
//! ```
//!
//! It owns the image: committed batches are its only source. An ask is answered when its records are in the image,
//! never before. What is proposed and not yet committed counts against later asks, so two creations of one name in
//! the same moment do not both pass.
//!
//! Topics come and go in `create.rs`, grow in `partitions.rs`; configs change in `alter.rs`.

use super::messages::{Effect, Input, PRODUCER_ID_BLOCK, Refusal, Reply, TopicOutcome};
use crate::error::ErrorCode;
use crate::ids::{BrokerId, Ticket};
use crate::machine::{Effects, Machine};
use crate::metadata::configs::Statics;
use crate::metadata::image::{Image, Topic};
use crate::metadata::record::{ConfigOf, MetadataRecord};
use crate::time::{Millis, Now};
use std::sync::Arc;

/// An ask whose records are on their way.
#[derive(Debug)]
pub(super) struct Pending {
    ticket: Ticket,
    pub(super) records: Vec<MetadataRecord>,
    reply: Reply,
}

/// Defaults of new topics.
#[derive(Clone, Debug)]
pub struct TopicDefaults {
    /// `num.partitions`.
    pub partitions: i32,
    /// What the configuration file says.
    pub statics: Arc<Statics>,
}

/// The controller.
#[derive(Debug)]
pub struct ControllerMachine {
    pub(super) image: Arc<Image>,
    term: Option<u64>,
    pub(super) defaults: TopicDefaults,
    /// Proposed, oldest first: the log commits in the order of proposals.
    pub(super) pending: Vec<Pending>,
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
                Reply::Altered(outcomes, _) => Reply::Altered(outcomes, index),
                other => other,
            };
            out.push(Effect::Answer(done.ticket, reply));
        }
    }

    /// The image with everything that is on its way.
    pub(super) fn ahead(&self) -> Arc<Image> {
        let mut image = Arc::clone(&self.image);
        if !self.pending.is_empty() {
            let image = Arc::make_mut(&mut image);
            self.pending.iter().flat_map(|p| &p.records).for_each(|record| image.apply(record));
        }
        image
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
            // Like Kafka's new clusters (KIP-966): what writes wait for is said for all brokers from the beginning.
            let changes = [("min.insync.replicas".to_owned(), Some("1".to_owned()))].into();
            records.push(MetadataRecord::Configs { of: ConfigOf::Cluster, changes });
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
            Input::CreatePartitions { ticket, topics, validate_only } => {
                let (outcomes, records) = self.more_partitions(&topics);
                let records = if validate_only { Vec::new() } else { records };
                self.propose(ticket, records, Reply::Altered(outcomes, applied), out);
            }
            Input::AlterConfigs { ticket, broker_id, alterations, validate_only } => {
                let (outcomes, records) = self.alter(broker_id, &alterations);
                let records = if validate_only { Vec::new() } else { records };
                self.propose(ticket, records, Reply::Altered(outcomes, applied), out);
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
