//! Decides the registration of a node: it becomes a broker, and its own partitions get a new epoch in the same batch.
//!
//! The first registration also founds the cluster. A partition is the node's own if it has no replica elsewhere. The node
//! reports in which leader epochs its logs end, because metadata restored from a backup may be older than a log. A
//! registered node asks for producer ids, a block at a time.

use super::basis::Basis;
use super::messages::PRODUCER_ID_BLOCK;
use crate::ids::{BrokerId, LeaderEpoch, TopicPartition};
use crate::metadata::record::{ConfigOf, MetadataRecord};
use std::collections::BTreeMap;

impl Basis<'_> {
    pub(super) fn register(
        &self,
        broker_id: BrokerId,
        cluster_id: String,
        (host, port, rack): (String, u16, Option<String>),
        log_epochs: &BTreeMap<TopicPartition, LeaderEpoch>,
    ) -> Vec<MetadataRecord> {
        let mut records = Vec::new();
        if self.image.cluster_id.is_none() {
            records.push(MetadataRecord::Cluster { cluster_id });
            // All brokers share one value of `min.insync.replicas` from the start, as in Kafka's new clusters
            // (KIP-966).
            let changes = [("min.insync.replicas".to_owned(), Some("1".to_owned()))].into();
            records.push(MetadataRecord::Configs { of: ConfigOf::Cluster, changes });
        }
        records.push(MetadataRecord::Broker { broker_id, host, port, rack });
        for topic in self.image.topics.values() {
            for (partition, p) in (0i32..).zip(&topic.partitions) {
                if p.replicas == [broker_id] {
                    let id = TopicPartition { topic: topic.id, partition };
                    let last = log_epochs.get(&id).copied().unwrap_or(p.leader_epoch);
                    records.push(MetadataRecord::PartitionChange {
                        topic: topic.id,
                        partition,
                        leader: broker_id,
                        leader_epoch: p.leader_epoch.max(last).saturating_add(1),
                        isr: vec![broker_id],
                        partition_epoch: p.partition_epoch + 1,
                    });
                }
            }
        }
        records
    }

    /// The first id of the next block of producer ids, and the record that gives the block out.
    pub(super) fn producer_ids(&self) -> (i64, MetadataRecord) {
        let first = self.image.next_producer_id;
        (first, MetadataRecord::ProducerIds { next: first.saturating_add(PRODUCER_ID_BLOCK) })
    }
}
