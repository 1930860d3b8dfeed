//! Topics and partitions in the words that several APIs share: how a request names one, and how an answer shows it.

use super::call::Call;
use crate::kafka::context::Context;
use crate::kafka::wire::messages::{LeaderIdAndEpoch, MetadataResponsePartition, NodeEndpoint};
use callboard_actors::partition::PartitionHandle;
use callboard_core::metadata::{Image, Told, Topic};
use callboard_core::partition::{Role, View};
use callboard_core::{BrokerId, ErrorCode, LeaderEpoch, Reject, TopicId, TopicPartition};
use std::collections::BTreeMap;
use std::sync::Arc;

/// All operations on a topic as bits, because there is no authorizer: read, write, create, delete, alter, describe,
/// describe and alter configs.
pub(super) const ALL_OPERATIONS: i32 = 0b1101_1111_1000;

/// Finds a partition by the name or id that a request gives.
pub(super) fn find(
    context: &Context,
    image: &Image,
    name: &str,
    id: TopicId,
    by_id: bool,
    partition: i32,
) -> Result<Arc<PartitionHandle>, ErrorCode> {
    let topic = if by_id { image.topics.get(&id) } else { image.topic(name) };
    let unknown = if by_id { ErrorCode::UnknownTopicId } else { ErrorCode::UnknownTopicOrPartition };
    let topic = topic.ok_or(unknown)?;
    if topic.partition(partition).is_none() {
        return Err(ErrorCode::UnknownTopicOrPartition);
    }
    let id = TopicPartition { topic: topic.id, partition };
    context.directory.get(id).ok_or_else(|| match context.images.current().topics.get(&id.topic) {
        // The newest image has it, so it is being started here or led elsewhere.
        Some(_) => ErrorCode::NotLeaderOrFollower,
        // The topic was deleted while this request was under way.
        None => unknown,
    })
}

/// Why a request that needs a partition's leader is refused.
pub(super) enum Unled {
    /// This node has no such partition.
    NotHere(ErrorCode),
    /// Its replica does not lead, or not in the client's epoch.
    Refused(Reject),
}

impl Unled {
    /// The code for a request that names topics by name.
    pub(super) fn code(&self) -> ErrorCode {
        match self {
            Unled::NotHere(code) => *code,
            Unled::Refused(reject) => reject.code(),
        }
    }
}

/// Finds a partition that this node leads, for a request that gives the topic's name and the leader epoch that its
/// client knows; −1 is none. Every API that needs a leader asks here, or the same of a handle that it holds.
pub(super) fn led(
    call: &Call,
    image: &Image,
    (name, partition): (&str, i32),
    claimed: LeaderEpoch,
) -> Result<(Arc<PartitionHandle>, Arc<View>), Unled> {
    let handle = find(&call.context, image, name, TopicId::ZERO, false, partition).map_err(Unled::NotHere)?;
    let view = handle.view();
    view.leads(Some(claimed).filter(|epoch| *epoch != -1)).map_err(Unled::Refused)?;
    Ok((handle, view))
}

/// The name of a partition for messages; newer versions give only the id of its topic.
pub(super) fn named(name: &str, id: TopicId, partition: i32) -> String {
    if name.is_empty() { format!("{id}-{partition}") } else { format!("{name}-{partition}") }
}

/// Describes one partition as this client is told of it now, if it exists. A client that is told no leader hears why.
pub(super) fn describe_partition(
    call: &Call,
    told: &Told<'_>,
    topic: &Topic,
    index: i32,
) -> Option<MetadataResponsePartition> {
    let p = topic.partition(index)?;
    let mut offline_replicas = told.offline(p);
    let mut leader = told.leader(p).map(|broker| broker.id);
    // A partition that is still being started keeps its leader, as in Kafka. KafkaJS fails a whole listing for one
    // partition in error, and what is offline stands in the directory as such.
    let handle = call.context.directory.get(TopicPartition { topic: topic.id, partition: index });
    if handle.is_some_and(|handle| matches!(handle.view().role, Role::Offline(_))) {
        if p.replicas.contains(&told.me) && !offline_replicas.contains(&told.me) {
            offline_replicas.push(told.me);
        }
        leader =
            leader.and_then(|id| if id == told.me { Err(ErrorCode::LeaderNotAvailable) } else { Ok(id) });
    }
    Some(MetadataResponsePartition {
        error_code: leader.err().map_or(0, ErrorCode::code),
        partition_index: index,
        leader_id: leader.unwrap_or(-1),
        leader_epoch: p.leader_epoch,
        replica_nodes: p.replicas.clone(),
        isr_nodes: p.isr.clone(),
        offline_replicas,
    })
}

/// The leaders that an answer names where it refuses a partition (KIP-951), and their addresses, each once.
///
/// They are those of the newest image, because a client turns to them at once. A leader that the client cannot reach
/// is not named: it asks for metadata instead.
#[derive(Default)]
pub(super) struct Hints {
    image: Option<Arc<Image>>,
    nodes: BTreeMap<BrokerId, NodeEndpoint>,
}

impl Hints {
    /// The leader of a partition that a request gives by name or id.
    pub(super) fn leader(
        &mut self,
        call: &Call,
        name: &str,
        id: TopicId,
        partition: i32,
    ) -> LeaderIdAndEpoch {
        let image = self.image.get_or_insert_with(|| call.context.images.current());
        let topic = if name.is_empty() { image.topics.get(&id) } else { image.topic(name) };
        let found = topic.and_then(|topic| topic.partition(partition)).and_then(|p| {
            let broker = call.told(image).leader(p).ok()?;
            let (host, port) = call.address_of(broker)?;
            let (node_id, port, rack) = (broker.id, i32::from(port), broker.rack.clone());
            Some((NodeEndpoint { node_id, host, port, rack }, p.leader_epoch))
        });
        let Some((node, leader_epoch)) = found else { return LeaderIdAndEpoch::default() };
        let leader_id = node.node_id;
        self.nodes.insert(leader_id, node);
        LeaderIdAndEpoch { leader_id, leader_epoch }
    }

    /// The addresses of the leaders that were named.
    pub(super) fn endpoints(self) -> Vec<NodeEndpoint> {
        self.nodes.into_values().collect()
    }
}
