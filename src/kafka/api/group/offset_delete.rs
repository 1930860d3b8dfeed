//! OffsetDelete: deletes committed offsets of topics that no live member subscribes to. Unknown partitions are
//! refused.

use super::{Call, Outcome};
use crate::kafka::wire::messages::{
    OffsetDeleteRequest, OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use callboard_actors::permit::Permit;
use callboard_core::ErrorCode;
use callboard_core::group::{Answer, Input};
use std::collections::HashMap;

pub(in super::super) async fn handle(call: Call, request: OffsetDeleteRequest) -> Outcome {
    let group = request.group_id;
    let image = call.context.images.current();
    let mut known = Vec::new();
    let exists =
        |topic: &str, partition| image.topic(topic).is_some_and(|t| t.partition(partition).is_some());
    for topic in &request.topics {
        let partitions: Vec<i32> =
            topic.partitions.iter().map(|p| p.partition_index).filter(|p| exists(&topic.name, *p)).collect();
        if !partitions.is_empty() {
            known.push((topic.name.clone(), partitions));
        }
    }
    let answer = match group.is_empty() {
        true => Err(ErrorCode::InvalidGroupId),
        false => call.context.coordinators.ask(&group, move |t| Input::DeleteOffsets(t, known)).await,
    };
    let (code, deleted) = match answer {
        Ok(Answer::OffsetsDeleted(code, deleted)) => (code, deleted),
        other => (other.err().unwrap_or(ErrorCode::UnknownServerError), Vec::new()),
    };
    call.group_refused(code, &group);
    let mut body = OffsetDeleteResponse { error_code: code.code(), ..OffsetDeleteResponse::default() };
    if code == ErrorCode::None {
        let codes: HashMap<(String, i32), ErrorCode> =
            deleted.into_iter().map(|(topic, partition, code)| ((topic, partition), code)).collect();
        body.topics = request
            .topics
            .into_iter()
            .map(|topic| OffsetDeleteResponseTopic {
                partitions: topic
                    .partitions
                    .iter()
                    .map(|p| OffsetDeleteResponsePartition {
                        partition_index: p.partition_index,
                        error_code: codes
                            .get(&(topic.name.clone(), p.partition_index))
                            .unwrap_or(&ErrorCode::UnknownTopicOrPartition)
                            .code(),
                    })
                    .collect(),
                name: topic.name,
            })
            .collect();
    }
    call.reply(&body, Permit::free())
}
