//! DescribeQuorum (KIP-595, KIP-836, KIP-853): who votes on metadata, who leads, and how far each node is.
//!
//! Kafka keeps its metadata in partition 0 of `__cluster_metadata`, and the request names it. A request for anything else
//! is refused as a whole, as in Kafka. The metadata log here has no batches that a client could fetch: its offsets are the
//! indexes of committed batches.

use super::call::{Call, Outcome};
use crate::kafka::wire::messages::{
    DescribeQuorumPartitionData, DescribeQuorumRequest, DescribeQuorumResponse, DescribeQuorumTopic,
    DescribeQuorumTopicData, QuorumListener, QuorumNode, QuorumReplicaState,
};
use callboard_actors::permit::Permit;
use callboard_actors::ports::{self, QuorumState};
use callboard_core::metadata::Image;
use callboard_core::{ErrorCode, TopicId};
use std::time::Duration;
use tokio::time::timeout;

const TOPIC: &str = "__cluster_metadata";
/// Longest wait for the leader of the quorum.
const WAIT: Duration = Duration::from_secs(5);

pub(super) async fn handle(call: Call, request: DescribeQuorumRequest) -> Outcome {
    if !names_the_log(&request.topics) {
        call.refused(
            ErrorCode::UnknownTopicOrPartition,
            "quorum",
            "ask for partition 0 of __cluster_metadata",
        );
        return call.reply(&unknown(request.topics), Permit::free());
    }
    let body = match timeout(WAIT, call.context.quorum.state()).await.ok().flatten() {
        Some(state) => told(&call.context.images.current(), &state),
        None => {
            let why = "the quorum of metadata has no leader that answers: try again";
            call.refused(ErrorCode::NotLeaderOrFollower, TOPIC, why);
            one(DescribeQuorumPartitionData {
                error_code: ErrorCode::NotLeaderOrFollower.code(),
                error_message: Some(why.to_owned()),
                leader_id: -1,
                ..Default::default()
            })
        }
    };
    call.reply(&body, Permit::free())
}

fn names_the_log(topics: &[DescribeQuorumTopic]) -> bool {
    match topics {
        [topic] => {
            topic.topic_name == TOPIC
                && topic.partitions.len() == 1
                && topic.partitions[0].partition_index == 0
        }
        _ => false,
    }
}

fn unknown(topics: Vec<DescribeQuorumTopic>) -> DescribeQuorumResponse {
    let topics = topics.into_iter().map(|topic| DescribeQuorumTopicData {
        topic_name: topic.topic_name,
        partitions: (topic.partitions.iter())
            .map(|partition| DescribeQuorumPartitionData {
                partition_index: partition.partition_index,
                error_code: ErrorCode::UnknownTopicOrPartition.code(),
                ..Default::default()
            })
            .collect(),
    });
    DescribeQuorumResponse { topics: topics.collect(), ..Default::default() }
}

fn one(partition: DescribeQuorumPartitionData) -> DescribeQuorumResponse {
    let topic = DescribeQuorumTopicData { topic_name: TOPIC.to_owned(), partitions: vec![partition] };
    DescribeQuorumResponse { topics: vec![topic], ..Default::default() }
}

fn told(image: &Image, state: &QuorumState) -> DescribeQuorumResponse {
    let replicas = |nodes: &[ports::QuorumNode]| nodes.iter().map(replica).collect();
    let nodes = state.voters.iter().map(|voter| QuorumNode {
        node_id: voter.id,
        listeners: image.brokers.get(&voter.id).map_or_else(Vec::new, |broker| {
            let listener = |l: &callboard_core::metadata::Listener| QuorumListener {
                name: l.name.clone(),
                host: l.host.clone(),
                port: l.port,
            };
            broker.listeners.iter().map(listener).collect()
        }),
    });
    DescribeQuorumResponse {
        nodes: nodes.collect(),
        ..one(DescribeQuorumPartitionData {
            leader_id: state.leader,
            leader_epoch: state.epoch,
            high_watermark: state.high_watermark,
            current_voters: replicas(&state.voters),
            observers: replicas(&state.observers),
            ..Default::default()
        })
    }
}

fn replica(node: &ports::QuorumNode) -> QuorumReplicaState {
    QuorumReplicaState {
        replica_id: node.id,
        // On the wire both are UUIDs.
        replica_directory_id: node.directory.map_or(TopicId::ZERO, |directory| TopicId(directory.0)),
        log_end_offset: node.log_end,
        last_fetch_timestamp: node.last_fetch_ms,
        last_caught_up_timestamp: node.last_caught_up_ms,
    }
}
