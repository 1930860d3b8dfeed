//! ListOffsets: the ends of a log, and the first record at or after a timestamp. The answer is the record's own
//! offset, not that of its batch.

use super::call::{Call, Outcome};
use super::topic::find;
use crate::kafka::wire::messages::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse,
    ListOffsetsTopicResponse,
};
use callboard_actors::partition::PartitionHandle;
use callboard_actors::permit::Permit;
use callboard_actors::ports::ReadError;
use callboard_core::partition::epoch_at;
use callboard_core::{ErrorCode, Offset, TopicId};
use std::collections::BTreeMap;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const EARLIEST_PENDING_UPLOAD: i64 = -6;

/// The first version that knows a special timestamp.
fn known_from(timestamp: i64) -> Option<i16> {
    match timestamp {
        0.. | LATEST | EARLIEST => Some(1),
        MAX_TIMESTAMP => Some(7),
        EARLIEST_LOCAL => Some(8),
        LATEST_TIERED => Some(9),
        EARLIEST_PENDING_UPLOAD => Some(11),
        _ => None,
    }
}

pub(super) async fn handle(call: Call, request: ListOffsetsRequest) -> Outcome {
    let image = call.context.images.current();
    let committed = request.isolation_level == 1;
    let mut times = asked(&request);
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for wanted in topic.partitions {
            let key = (topic.name.clone(), wanted.partition_index);
            // Like Kafka, a partition that is named more than once is refused once.
            let Some(times) = times.remove(&key) else { continue };
            let found = match known_from(wanted.timestamp) {
                _ if !(0..=1).contains(&request.isolation_level) => Err(ErrorCode::UnknownServerError),
                _ if times > 1 => Err(ErrorCode::InvalidRequest),
                Some(from) if call.version() >= from => {
                    find(&call.context, &image, &topic.name, TopicId::ZERO, false, wanted.partition_index)
                }
                _ => Err(ErrorCode::UnsupportedVersion),
            };
            let result = match found {
                Ok(handle) => look(&call, &handle, &wanted, committed).await,
                Err(code) => Err(code),
            };
            let mut out = ListOffsetsPartitionResponse {
                partition_index: wanted.partition_index,
                ..Default::default()
            };
            match result {
                Ok((timestamp, offset, leader_epoch)) => {
                    (out.timestamp, out.offset, out.leader_epoch) = (timestamp, offset, leader_epoch);
                }
                Err(code) => {
                    let what = format!("{}-{}", topic.name, wanted.partition_index);
                    call.refused(code, &what, &format!("offset for timestamp {}", wanted.timestamp));
                    out.error_code = code.code();
                }
            }
            partitions.push(out);
        }
        topics.push(ListOffsetsTopicResponse { name: topic.name, partitions });
    }
    call.reply(&ListOffsetsResponse { throttle_time_ms: 0, topics }, Permit::free())
}

/// Counts how often each partition is named.
fn asked(request: &ListOffsetsRequest) -> BTreeMap<(String, i32), usize> {
    let mut times = BTreeMap::new();
    for topic in &request.topics {
        for wanted in &topic.partitions {
            *times.entry((topic.name.clone(), wanted.partition_index)).or_default() += 1;
        }
    }
    times
}

async fn look(
    call: &Call,
    handle: &PartitionHandle,
    wanted: &ListOffsetsPartition,
    committed: bool,
) -> Result<(i64, Offset, i32), ErrorCode> {
    let view = handle.view();
    view.role.serves().map_err(|reject| reject.code())?;
    match wanted.current_leader_epoch {
        -1 => {}
        epoch if epoch < view.leader_epoch => return Err(ErrorCode::FencedLeaderEpoch),
        epoch if epoch > view.leader_epoch => return Err(ErrorCode::UnknownLeaderEpoch),
        _ => {}
    }
    let end = if committed { view.last_stable_offset } else { view.high_watermark };
    let hit = match wanted.timestamp {
        LATEST => return Ok((-1, end, view.leader_epoch)),
        EARLIEST | EARLIEST_LOCAL => {
            let epoch = epoch_at(&view.epochs, view.log_start).unwrap_or(-1);
            return Ok((-1, view.log_start, epoch));
        }
        // No part of a log is in another tier.
        LATEST_TIERED | EARLIEST_PENDING_UPLOAD => return Ok((-1, -1, -1)),
        timestamp => {
            // At most half of the reader threads look into compressed batches, because a look may take long.
            let _turn = call.context.look_ups.acquire().await;
            match timestamp {
                MAX_TIMESTAMP => handle.max_time(end).await,
                timestamp => handle.find_time(timestamp, end).await,
            }
        }
    };
    match hit {
        Ok(Some(hit)) => Ok((hit.timestamp, hit.offset, hit.epoch)),
        Ok(None) => Ok((-1, -1, -1)),
        Err(ReadError::Busy | ReadError::OutOfRange(_)) => Err(ErrorCode::OffsetNotAvailable),
        Err(ReadError::Refused(reject)) => Err(reject.code()),
        Err(error) => {
            tracing::error!(partition = %handle.id, "offsets could not be looked up: {error}");
            Err(ErrorCode::KafkaStorageError)
        }
    }
}
