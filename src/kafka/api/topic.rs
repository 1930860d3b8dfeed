//! Topics and partitions in the words that several APIs share: how a request names one, and how an answer shows it.

use super::call::Call;
use crate::kafka::context::Context;
use crate::kafka::wire::messages::MetadataResponsePartition;
use callboard_actors::partition::PartitionHandle;
use callboard_core::metadata::{Image, Topic};
use callboard_core::partition::Role;
use callboard_core::{ErrorCode, TopicId, TopicPartition};
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

/// The name of a partition for messages; newer versions give only the id of its topic.
pub(super) fn named(name: &str, id: TopicId, partition: i32) -> String {
    if name.is_empty() { format!("{id}-{partition}") } else { format!("{name}-{partition}") }
}

/// Describes one partition as it is now, if it exists.
pub(super) fn describe_partition(
    call: &Call,
    topic: &Topic,
    index: i32,
) -> Option<MetadataResponsePartition> {
    let me = call.context.settings.broker_id;
    let p = topic.partition(index)?;
    let handle = call.context.directory.get(TopicPartition { topic: topic.id, partition: index });
    // A partition that is still being started keeps its leader, as in Kafka. KafkaJS fails a whole listing for one
    // partition in error, and what is offline stands in the directory as such.
    let offline =
        p.leader == me && handle.is_some_and(|handle| matches!(handle.view().role, Role::Offline(_)));
    Some(MetadataResponsePartition {
        error_code: if offline { ErrorCode::LeaderNotAvailable.code() } else { 0 },
        partition_index: index,
        leader_id: if offline { -1 } else { p.leader },
        leader_epoch: p.leader_epoch,
        replica_nodes: p.replicas.clone(),
        isr_nodes: p.isr.clone(),
        offline_replicas: if offline { vec![me] } else { Vec::new() },
    })
}
