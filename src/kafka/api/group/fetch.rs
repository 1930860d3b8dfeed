//! OffsetFetch: the committed offsets of one group, or from v8 on of several. A missing offset is −1 without an
//! error.

use super::{Call, Outcome};
use crate::kafka::wire::messages::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponse,
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use callboard_actors::permit::Permit;
use callboard_core::group::messages::MemberRef;
use callboard_core::group::{Answer, Input, OffsetValue};
use callboard_core::metadata::Image;
use callboard_core::{ErrorCode, TopicId};

/// First version that names several groups.
const GROUPS_FROM: i16 = 8;
/// First version that names topics by id.
const IDS_FROM: i16 = 10;
/// First version with an error of the group; before, each partition carries it.
const GROUP_ERROR_FROM: i16 = 2;

pub(in super::super) async fn handle(call: Call, request: OffsetFetchRequest) -> Outcome {
    if call.version() < GROUPS_FROM {
        return one(call, request).await;
    }
    let mut groups = Vec::new();
    for group in request.groups {
        groups.push(of_group(&call, group).await);
    }
    call.reply(&OffsetFetchResponse { groups, ..OffsetFetchResponse::default() }, Permit::free())
}

async fn one(call: Call, request: OffsetFetchRequest) -> Outcome {
    let wanted: Option<Vec<(String, Vec<i32>)>> =
        request.topics.map(|topics| topics.into_iter().map(|t| (t.name, t.partition_indexes)).collect());
    let (code, offsets) = ask(&call, &request.group_id, None, wanted.clone()).await;
    let mut body = OffsetFetchResponse::default();
    let topic = |(name, partitions): (String, Vec<(i32, Option<OffsetValue>)>)| OffsetFetchResponseTopic {
        name,
        partitions: partitions
            .into_iter()
            .map(|(index, value)| {
                let value = committed(value);
                OffsetFetchResponsePartition {
                    partition_index: index,
                    committed_offset: value.offset,
                    committed_leader_epoch: value.leader_epoch,
                    metadata: Some(value.metadata),
                    error_code: code.code(),
                }
            })
            .collect(),
    };
    if code == ErrorCode::None {
        body.topics = offsets.into_iter().map(topic).collect();
    } else if call.version() >= GROUP_ERROR_FROM {
        body.error_code = code.code();
    } else {
        let none = |(name, partitions): (String, Vec<i32>)| {
            topic((name, partitions.into_iter().map(|p| (p, None)).collect()))
        };
        body.topics = wanted.unwrap_or_default().into_iter().map(none).collect();
    }
    call.reply(&body, Permit::free())
}

/// A missing offset is −1 with empty metadata.
fn committed(value: Option<OffsetValue>) -> OffsetValue {
    value.unwrap_or(OffsetValue { offset: -1, leader_epoch: -1, ..OffsetValue::default() })
}

type Offsets = Vec<(String, Vec<(i32, Option<OffsetValue>)>)>;

async fn ask(
    call: &Call,
    group: &str,
    member: Option<MemberRef>,
    wanted: Option<Vec<(String, Vec<i32>)>>,
) -> (ErrorCode, Offsets) {
    let answer = call.context.coordinators.ask(group, move |t| Input::FetchOffsets(t, member, wanted)).await;
    let (code, offsets) = match answer {
        Ok(Answer::Offsets(code, offsets)) => (code, offsets),
        other => (other.err().unwrap_or(ErrorCode::UnknownServerError), Vec::new()),
    };
    call.group_refused(code, group);
    (code, offsets)
}

async fn of_group(call: &Call, request: OffsetFetchRequestGroup) -> OffsetFetchResponseGroup {
    let image = call.context.images.current();
    let by_id = call.version() >= IDS_FROM;
    let member = request.member_id.filter(|id| !id.is_empty()).map(|member_id| MemberRef {
        member_id,
        instance_id: None,
        generation: request.member_epoch,
    });
    let mut unknown = Vec::new();
    let wanted = request.topics.map(|topics| {
        let named = |t: OffsetFetchRequestTopics| match (by_id, image.topics.get(&t.topic_id)) {
            (false, _) => Some((t.name, t.partition_indexes)),
            (true, Some(topic)) => Some((topic.name.clone(), t.partition_indexes)),
            (true, None) => {
                unknown.push(unknown_topic(&t));
                None
            }
        };
        topics.into_iter().filter_map(named).collect()
    });
    let (code, offsets) = ask(call, &request.group_id, member, wanted).await;
    let mut body = OffsetFetchResponseGroup {
        group_id: request.group_id,
        error_code: code.code(),
        ..OffsetFetchResponseGroup::default()
    };
    if code == ErrorCode::None {
        body.topics = offsets.into_iter().filter_map(|topic| topic_of(&image, by_id, topic)).collect();
        body.topics.extend(unknown);
    }
    body
}

fn unknown_topic(asked: &OffsetFetchRequestTopics) -> OffsetFetchResponseTopics {
    let none = |partition_index: &i32| OffsetFetchResponsePartitions {
        partition_index: *partition_index,
        committed_offset: -1,
        committed_leader_epoch: -1,
        metadata: Some(String::new()),
        error_code: ErrorCode::UnknownTopicId.code(),
    };
    OffsetFetchResponseTopics {
        topic_id: asked.topic_id,
        partitions: asked.partition_indexes.iter().map(none).collect(),
        ..OffsetFetchResponseTopics::default()
    }
}

fn topic_of(
    image: &Image,
    by_id: bool,
    (name, partitions): (String, Vec<(i32, Option<OffsetValue>)>),
) -> Option<OffsetFetchResponseTopics> {
    let topic_id = match by_id {
        // A deleted topic has no id, so the answer leaves it out.
        true => image.topic(&name)?.id,
        false => TopicId::ZERO,
    };
    let partitions = partitions
        .into_iter()
        .map(|(partition_index, value)| {
            let value = committed(value);
            OffsetFetchResponsePartitions {
                partition_index,
                committed_offset: value.offset,
                committed_leader_epoch: value.leader_epoch,
                metadata: Some(value.metadata),
                error_code: 0,
            }
        })
        .collect();
    Some(OffsetFetchResponseTopics { name, topic_id, partitions })
}
