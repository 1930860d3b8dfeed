//! OffsetCommit. Unknown partitions are refused one by one; all others go to the group together.

use super::{Call, Outcome};
use crate::kafka::wire::messages::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use callboard_actors::permit::Permit;
use callboard_core::ErrorCode;
use callboard_core::group::messages::{CommitPartition, MemberRef};
use callboard_core::group::{Answer, Input};

/// First version that names topics by id.
const IDS_FROM: i16 = 10;

/// First version whose clients know the code for an unknown group; before, they get an illegal generation.
const NOT_FOUND_FROM: i16 = 9;

fn known_code(version: i16, code: ErrorCode) -> ErrorCode {
    match code {
        ErrorCode::GroupIdNotFound if version < NOT_FOUND_FROM => ErrorCode::IllegalGeneration,
        code => code,
    }
}

pub(in super::super) async fn handle(call: Call, request: OffsetCommitRequest) -> Outcome {
    let image = call.context.images.current();
    let by_id = call.version() >= IDS_FROM;
    let mut topics = Vec::new();
    let mut known = Vec::new();
    // The places of the known partitions in the answer.
    let mut places = Vec::new();
    for (t, topic) in request.topics.into_iter().enumerate() {
        let (found, unknown) = match by_id {
            true => (image.topics.get(&topic.topic_id), ErrorCode::UnknownTopicId),
            false => (image.topic(&topic.name), ErrorCode::UnknownTopicOrPartition),
        };
        let mut partitions = Vec::new();
        for (p, partition) in topic.partitions.into_iter().enumerate() {
            let index = partition.partition_index;
            let code = match found {
                None => unknown,
                Some(found) if found.partition(index).is_some() => {
                    places.push((t, p));
                    known.push(CommitPartition {
                        topic: found.name.clone(),
                        partition: index,
                        offset: partition.committed_offset,
                        leader_epoch: partition.committed_leader_epoch,
                        metadata: partition.committed_metadata.unwrap_or_default(),
                    });
                    ErrorCode::None
                }
                Some(_) => ErrorCode::UnknownTopicOrPartition,
            };
            partitions
                .push(OffsetCommitResponsePartition { partition_index: index, error_code: code.code() });
        }
        topics.push(OffsetCommitResponseTopic { name: topic.name, topic_id: topic.topic_id, partitions });
    }
    let member = MemberRef {
        member_id: request.member_id,
        instance_id: request.group_instance_id,
        generation: request.generation_id_or_member_epoch,
    };
    let (group, retention) = (request.group_id, request.retention_time_ms);
    if !known.is_empty() {
        let asked = known.len();
        let answer =
            call.context.coordinators.ask(&group, move |t| Input::Commit(t, member, retention, known)).await;
        let codes: Vec<ErrorCode> = match answer {
            Ok(Answer::Committed(each)) => each.into_iter().map(|(_, _, code)| code).collect(),
            other => vec![other.err().unwrap_or(ErrorCode::UnknownServerError); asked],
        };
        let codes: Vec<ErrorCode> = codes.into_iter().map(|code| known_code(call.version(), code)).collect();
        if let Some(code) = codes.iter().find(|code| **code != ErrorCode::None) {
            call.group_refused(*code, &group);
        }
        for ((t, p), code) in places.into_iter().zip(codes) {
            let topic: &mut OffsetCommitResponseTopic = &mut topics[t];
            topic.partitions[p].error_code = code.code();
        }
    }
    call.reply(&OffsetCommitResponse { throttle_time_ms: 0, topics }, Permit::free())
}
