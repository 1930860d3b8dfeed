//! Hands each ask to the file that decides its kind, and gathers records and answer.
//!
//! A decision changes nothing. The answer counts once the records are committed; its number is replaced then.

use super::basis::Basis;
use super::messages::{Ask, Refusal, Reply};
use crate::ids::{LeaderEpoch, TopicPartition};
use crate::metadata::broker::Registration;
use crate::metadata::isr::IsrOutcome;
use crate::metadata::partition::Opened;
use crate::metadata::record::MetadataRecord;

/// The records to propose, and the answer once they are committed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Decision {
    pub records: Vec<MetadataRecord>,
    pub reply: Reply,
    /// The decision tells of what another one has made, or lets that one do its work. It counts once that is committed.
    pub on_commits: bool,
}

impl Decision {
    fn new(records: Vec<MetadataRecord>, reply: Reply) -> Decision {
        Decision { records, reply, on_commits: false }
    }

    /// Whether commits alone bear out this decision. Of the wishes of one ask only the word that a leadership is over needs
    /// that.
    pub fn stands_on(&self, committed: &Decision) -> bool {
        match (&self.reply, &committed.reply) {
            (Reply::IsrAltered(said, _), Reply::IsrAltered(committed, _)) => {
                said.iter().zip(committed).all(|(said, committed)| !is_over(said) || said == committed)
            }
            _ => self == committed,
        }
    }

    /// Word that a cluster is there already must rest on commits, because the founding that made it may be lost.
    fn founding(records: Vec<MetadataRecord>, index: u64) -> Decision {
        Decision { on_commits: records.is_empty(), ..Decision::new(records, Reply::Done(index)) }
    }

    /// Records that are answered by their index alone, or a refusal of the whole ask.
    fn all_or_nothing(records: Result<Vec<MetadataRecord>, Refusal>, index: u64) -> Decision {
        match records {
            Ok(records) => Decision::new(records, Reply::Done(index)),
            Err(refusal) => Decision::new(Vec::new(), Reply::Failed(refusal)),
        }
    }
}

fn is_over(outcome: &IsrOutcome) -> bool {
    matches!(outcome, IsrOutcome::Ended(_))
}

impl Basis<'_> {
    fn registers(
        &self,
        index: u64,
        node: &Registration,
        log_epochs: &[(TopicPartition, LeaderEpoch)],
    ) -> Decision {
        if let Some(epoch) = self.registered(node) {
            return Decision { on_commits: true, ..Decision::new(Vec::new(), Reply::Done(epoch)) };
        }
        let logs = [(node.broker, log_epochs.iter().copied().collect())];
        let records = self.register(node, log_epochs).map(|records| self.with_consequences(records, &logs));
        // Whatever ends the old life must be in this very batch, or committed before it (R12).
        Decision { on_commits: true, ..Decision::all_or_nothing(records, index) }
    }

    /// Decides an ask. `index` goes into an answer that needs no record.
    pub(super) fn decide(&self, index: u64, ask: &Ask) -> Decision {
        match ask {
            Ask::Found { cluster_id, seats } => Decision::founding(self.found(cluster_id, seats), index),
            Ask::Register { node, alone: Some(cluster), log_epochs } => {
                let log_epochs = log_epochs.iter().copied().collect();
                Decision::all_or_nothing(self.register_alone(node, cluster, &log_epochs), index)
            }
            Ask::Register { node, alone: None, log_epochs } => self.registers(index, node, log_epochs),
            Ask::CreateTopics { topics, validate_only } => {
                let (outcomes, records, on_commits) = match self.create(topics) {
                    Ok(created) => created,
                    Err(refusal) => return Decision::new(Vec::new(), Reply::Failed(refusal)),
                };
                let records = unless(*validate_only, records);
                Decision { on_commits, ..Decision::new(records, Reply::Created(outcomes, index)) }
            }
            Ask::DeleteTopics(topics) => {
                let (outcomes, records) = self.delete(topics);
                Decision::new(records, Reply::Deleted(outcomes, index))
            }
            Ask::CreatePartitions { topics, validate_only } => {
                let (outcomes, records) = match self.more_partitions(topics) {
                    Ok(decided) => decided,
                    Err(refusal) => return Decision::new(Vec::new(), Reply::Failed(refusal)),
                };
                Decision::new(unless(*validate_only, records), Reply::Altered(outcomes, index))
            }
            Ask::AlterConfigs { broker_id, alterations, validate_only } => {
                let (outcomes, records) = self.alter(*broker_id, alterations);
                let records = self.with_allowed(records);
                Decision::new(unless(*validate_only, records), Reply::Altered(outcomes, index))
            }
            Ask::ProducerIds => {
                let (first, record) = self.producer_ids();
                Decision::new(vec![record], Reply::ProducerIds(first))
            }
            Ask::Opened(replicas) => {
                let there = |(id, _): &&(TopicPartition, Opened)| self.image.partition(*id).is_some();
                let records: Vec<_> = replicas.iter().filter(there).map(opened).collect();
                // A replica of a deleted topic needs no record, once the deletion is committed.
                let on_commits = records.len() < replicas.len();
                Decision { on_commits, ..Decision::new(records, Reply::Done(index)) }
            }
            Ask::AlterIsr { from, wishes, .. } => match self.known(*from) {
                Ok(()) => {
                    let (outcomes, records) = self.alter_isr(*from, wishes);
                    // Word that a leadership is over must rest on commits alone: nothing takes it back.
                    let on_commits = outcomes.iter().any(is_over);
                    Decision { on_commits, ..Decision::new(records, Reply::IsrAltered(outcomes, index)) }
                }
                Err(refusal) => Decision::new(Vec::new(), Reply::Failed(refusal)),
            },
            Ask::ElectLeaders { election, partitions } => {
                let (outcomes, records) = self.elect_leaders(*election, partitions.as_deref());
                Decision::new(records, Reply::Elected(outcomes, index))
            }
            Ask::RenewEpochs { from, partitions } => {
                let records = self.known(*from).map(|()| self.renew(*from, partitions));
                Decision::all_or_nothing(records, index)
            }
        }
    }
}

fn opened((id, at): &(TopicPartition, Opened)) -> MetadataRecord {
    let Opened { broker, directory, shard } = *at;
    let TopicPartition { topic, partition } = *id;
    MetadataRecord::ReplicaOpened { topic, partition, broker_id: broker, directory, shard }
}

fn unless(validate_only: bool, records: Vec<MetadataRecord>) -> Vec<MetadataRecord> {
    if validate_only { Vec::new() } else { records }
}

/// The answer, with the index at which its change was committed.
pub(super) fn as_of(reply: Reply, index: u64) -> Reply {
    match reply {
        Reply::Done(_) => Reply::Done(index),
        Reply::Created(outcomes, _) => Reply::Created(outcomes, index),
        Reply::Deleted(outcomes, _) => Reply::Deleted(outcomes, index),
        Reply::Altered(outcomes, _) => Reply::Altered(outcomes, index),
        Reply::IsrAltered(outcomes, _) => Reply::IsrAltered(outcomes, index),
        Reply::Elected(outcomes, _) => Reply::Elected(outcomes, index),
        other @ (Reply::ProducerIds(_) | Reply::Failed(_) | Reply::Unknown(_)) => other,
    }
}
