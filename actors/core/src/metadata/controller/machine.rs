//! The controller's machine: it decides metadata on the node that leads the metadata log.
//!
//! ```text
//!   ask ─> decided on the image and what is on its way ─> Propose(records) ─> committed ─> image ─> Answer
//! ```
//!
//! The image comes only from the stream: its snapshots and its committed batches. A change is answered when its
//! records are in the image, never before.
//!
//! A proposal counts against later asks until the stream shows its end. So two creations of one name in the same
//! moment do not both pass (R43). An answer `Unknown` does not end a proposal, because the batch may still come.
//!
//! The machine decides nothing before the stream has named a leader. On an empty image, the registration of a node
//! would found the cluster anew. The files beside this one hold the decisions themselves (`basis.rs`).

use super::basis::{Basis, Standing, TopicDefaults};
use super::messages::{Ask, Effect, Input, Refusal, Reply, refuse};
use crate::error::ErrorCode;
use crate::ids::{Ticket, TopicPartition};
use crate::machine::{Effects, Machine};
use crate::metadata::image::Image;
use crate::metadata::log::{Committed, Leadership, ProposalId, ProposeResult};
use crate::metadata::partition::Opened;
use crate::metadata::record::MetadataRecord;
use crate::time::{Millis, Now};
use std::sync::Arc;

/// A proposal whose end the stream has not shown yet.
#[derive(Debug)]
struct Pending {
    id: ProposalId,
    records: Vec<MetadataRecord>,
    /// The asker and its answer; none once the asker was told that the end is unknown.
    asker: Option<(Ticket, Reply)>,
    /// Why the end is unknown, if the log said so.
    doubt: Option<String>,
}

/// The controller: the image, its leadership and its pending proposals.
#[derive(Debug)]
pub struct ControllerMachine {
    image: Arc<Image>,
    defaults: TopicDefaults,
    leadership: Option<Leadership>,
    /// Whether the stream has ever named a leader.
    leader_known: bool,
    next: ProposalId,
    /// Oldest first: the log commits in the order of proposals.
    pending: Vec<Pending>,
    standing: Standing,
    /// Asks from before the stream named a leader.
    early: Vec<(Ticket, Ask)>,
}

impl ControllerMachine {
    /// A controller without an image. `first` is the id of its first proposal, and names its node.
    #[must_use]
    pub fn new(first: ProposalId, defaults: TopicDefaults) -> ControllerMachine {
        ControllerMachine {
            image: Arc::default(),
            defaults,
            leadership: None,
            leader_known: false,
            next: first,
            pending: Vec::new(),
            standing: Standing::default(),
            early: Vec::new(),
        }
    }

    fn heard(&mut self, event: Committed, out: &mut Effects<Effect>) {
        match event {
            Committed::Snapshot { image, .. } => {
                // A log that skips ahead does not lead, and the snapshot may hold the pending batches.
                self.end_all("the metadata log skipped ahead", out);
                self.leadership = None;
                self.image = image;
                out.push(Effect::Publish(Arc::clone(&self.image)));
            }
            Committed::Lead(leadership) => {
                if self.leadership != Some(leadership) {
                    self.end_all("the metadata log has another leader", out);
                }
                self.leadership = Some(leadership);
                self.leader_known = true;
                for (ticket, ask) in std::mem::take(&mut self.early) {
                    self.ask(ticket, ask, out);
                }
            }
            Committed::Batch { index, proposal, records } => self.committed(index, proposal, &records, out),
        }
    }

    fn committed(
        &mut self,
        index: u64,
        proposal: Option<ProposalId>,
        records: &[MetadataRecord],
        out: &mut Effects<Effect>,
    ) {
        let dropped = Arc::make_mut(&mut self.image).apply_batch(index, records);
        out.push(Effect::Publish(Arc::clone(&self.image)));
        if !dropped.is_empty() {
            out.push(Effect::Dropped(dropped.len()));
        }
        if let Some((ticket, reply)) = proposal.and_then(|id| self.take(id)).and_then(|done| done.asker) {
            out.push(Effect::Answer(ticket, as_of(reply, index)));
        }
    }

    fn take(&mut self, id: ProposalId) -> Option<Pending> {
        let at = self.pending.iter().position(|p| p.id == id)?;
        Some(self.pending.remove(at))
    }

    /// Ends every proposal: each asker is told that the outcome is unknown (R44).
    fn end_all(&mut self, why: &str, out: &mut Effects<Effect>) {
        for (ticket, _) in self.pending.drain(..).filter_map(|p| p.asker) {
            out.push(Effect::Answer(ticket, Reply::Unknown(why.to_owned())));
        }
    }

    /// Takes the log's answer to a proposal. Commits are answered when the stream shows them.
    fn proposed(&mut self, id: ProposalId, result: ProposeResult, out: &mut Effects<Effect>) {
        let (code, message) = match result {
            ProposeResult::Committed(_) => return,
            ProposeResult::Unknown(why) => {
                let Some(pending) = self.pending.iter_mut().find(|p| p.id == id) else { return };
                pending.doubt = Some(why.clone());
                let asker = pending.asker.take();
                return out.extend(asker.map(|(ticket, _)| Effect::Answer(ticket, Reply::Unknown(why))));
            }
            ProposeResult::NotLeader => {
                (ErrorCode::NotController, "this node is not the controller any more".to_owned())
            }
            ProposeResult::Refused(why) => (ErrorCode::UnknownServerError, why),
        };
        if let Some((ticket, _)) = self.take(id).and_then(|p| p.asker) {
            out.push(Effect::Answer(ticket, Reply::Failed(Refusal { code, message })));
        }
    }

    /// The image with all pending proposals applied.
    fn ahead(&self) -> Arc<Image> {
        let mut image = Arc::clone(&self.image);
        if !self.pending.is_empty() {
            let ahead = Arc::make_mut(&mut image);
            for pending in &self.pending {
                ahead.apply_batch(ahead.applied + 1, &pending.records);
            }
        }
        image
    }

    /// Decides an ask on an image: the records to propose, and the answer once they are committed.
    fn decide(&self, image: &Image, ask: Ask) -> (Vec<MetadataRecord>, Reply) {
        let index = self.image.applied;
        let basis = Basis { image, defaults: &self.defaults, standing: &self.standing };
        match ask {
            Ask::Register { node, alone, log_epochs } => {
                let registered = match alone {
                    Some(cluster) => basis.register_alone(&node, &cluster, &log_epochs.into_iter().collect()),
                    None => refuse(ErrorCode::InvalidRequest, "a node registers alone"),
                };
                match registered {
                    Ok(records) => (records, Reply::Done(index)),
                    Err(refusal) => (Vec::new(), Reply::Failed(refusal)),
                }
            }
            Ask::CreateTopics { topics, validate_only } => {
                let (outcomes, records) = basis.create(&topics);
                (unless(validate_only, records), Reply::Created(outcomes, index))
            }
            Ask::DeleteTopics(topics) => {
                let (outcomes, records) = basis.delete(&topics);
                (records, Reply::Deleted(outcomes, index))
            }
            Ask::CreatePartitions { topics, validate_only } => {
                let (outcomes, records) = basis.more_partitions(&topics);
                (unless(validate_only, records), Reply::Altered(outcomes, index))
            }
            Ask::AlterConfigs { broker_id, alterations, validate_only } => {
                let (outcomes, records) = basis.alter(broker_id, &alterations);
                (unless(validate_only, records), Reply::Altered(outcomes, index))
            }
            Ask::ProducerIds => {
                let (first, record) = basis.producer_ids();
                (vec![record], Reply::ProducerIds(first))
            }
            Ask::Opened(replicas) => (replicas.into_iter().map(opened).collect(), Reply::Done(index)),
            Ask::AlterIsr { from, wishes, .. } => match basis.known(from) {
                Ok(()) => {
                    let (outcomes, records) = basis.alter_isr(from, &wishes);
                    (records, Reply::IsrAltered(outcomes, index))
                }
                Err(refusal) => (Vec::new(), Reply::Failed(refusal)),
            },
            Ask::RenewEpochs { from, partitions } => match basis.known(from) {
                Ok(()) => (basis.renew(from, &partitions), Reply::Done(index)),
                Err(refusal) => (Vec::new(), Reply::Failed(refusal)),
            },
        }
    }

    fn ask(&mut self, ticket: Ticket, ask: Ask, out: &mut Effects<Effect>) {
        let Some(leadership) = self.leadership.filter(|leadership| leadership.node == self.next.node) else {
            let message = "this node is not the controller: ask again".to_owned();
            let refusal = Refusal { code: ErrorCode::NotController, message };
            return out.push(Effect::Answer(ticket, Reply::Failed(refusal)));
        };
        let doubt = self.pending.iter().find_map(|p| p.doubt.as_ref());
        let again = doubt.map(|why| (ask.clone(), why.clone()));
        let (records, reply) = self.decide(&self.ahead(), ask);
        if let Some((ask, why)) = again
            && !matches!(reply, Reply::ProducerIds(_))
            && self.decide(&self.image, ask) != (records.clone(), reply.clone())
        {
            // The decision would rest on a proposal whose end is unknown until the leadership changes.
            let refusal = Refusal { code: ErrorCode::UnknownServerError, message: why };
            return out.push(Effect::Answer(ticket, Reply::Failed(refusal)));
        }
        if records.is_empty() {
            return out.push(Effect::Answer(ticket, reply));
        }
        let id = self.next;
        self.next = id.next();
        out.push(Effect::Propose { leadership, id, records: records.clone() });
        self.pending.push(Pending { id, records, asker: Some((ticket, reply)), doubt: None });
    }
}

fn opened((id, at): (TopicPartition, Opened)) -> MetadataRecord {
    let Opened { broker, directory, shard } = at;
    let TopicPartition { topic, partition } = id;
    MetadataRecord::ReplicaOpened { topic, partition, broker_id: broker, directory, shard }
}

fn unless(validate_only: bool, records: Vec<MetadataRecord>) -> Vec<MetadataRecord> {
    if validate_only { Vec::new() } else { records }
}

/// The answer, with the index at which its change was committed.
fn as_of(reply: Reply, index: u64) -> Reply {
    match reply {
        Reply::Done(_) => Reply::Done(index),
        Reply::Created(outcomes, _) => Reply::Created(outcomes, index),
        Reply::Deleted(outcomes, _) => Reply::Deleted(outcomes, index),
        Reply::Altered(outcomes, _) => Reply::Altered(outcomes, index),
        Reply::IsrAltered(outcomes, _) => Reply::IsrAltered(outcomes, index),
        other @ (Reply::ProducerIds(_) | Reply::Failed(_) | Reply::Unknown(_)) => other,
    }
}

impl Machine for ControllerMachine {
    type Input = Input;
    type Effect = Effect;

    fn step(&mut self, _now: Now, input: Input, out: &mut Effects<Effect>) {
        match input {
            Input::Log(event) => self.heard(event, out),
            Input::Ask { ticket, ask } if self.leader_known => self.ask(ticket, ask, out),
            Input::Ask { ticket, ask } => self.early.push((ticket, ask)),
            Input::Proposed(id, result) => self.proposed(id, result, out),
            Input::Judged(_) => {}
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
        assert!(self.pending.iter().all(|p| p.id.node == self.next.node), "each proposal is this node's");
    }
}
