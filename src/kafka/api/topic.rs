//! Topics and partitions in the words that several APIs share: how a request names one, and how an answer shows it.

use super::call::Call;
use crate::kafka::context::Context;
use crate::kafka::wire::messages::MetadataResponsePartition;
use callboard_actors::partition::PartitionHandle;
use callboard_core::metadata::{Image, Topic};
use callboard_core::partition::Role;
use callboard_core::{ErrorCode, TopicId, TopicPartition};
use std::sync::Arc;

/// What may be done to a topic where everybody may do everything: read, write, create, delete, alter, describe, describe
/// and alter configs, as bits.
pub(super) const ALL_OPERATIONS: i32 = 0b1101_1111_1000;

/// A partition by the name or id a request gave.
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
        // In the newest image and not here: on its way up, or led elsewhere.
        Some(_) => ErrorCode::NotLeaderOrFollower,
        // Deleted while this request was under way.
        None => unknown,
    })
}

/// A partition in the words of the request: newer versions name the topic by its id.
pub(super) fn named(name: &str, id: TopicId, partition: i32) -> String {
    if name.is_empty() { format!("{id}-{partition}") } else { format!("{name}-{partition}") }
}

/// One partition, as it is now.
pub(super) fn describe_partition(
    call: &Call,
    topic: &Topic,
    index: i32,
) -> Option<MetadataResponsePartition> {
    let me = call.context.settings.broker_id;
    let p = topic.partition(index)?;
    let handle = call.context.directory.get(TopicPartition { topic: topic.id, partition: index });
    // One that is led here and not up, or cannot be served: no leader.
    let offline = p.leader == me && handle.is_none_or(|handle| handle.view().role != Role::Leader);
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
