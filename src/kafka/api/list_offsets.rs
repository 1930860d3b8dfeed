//! ListOffsets: the ends of a log, and the first record at or after a timestamp. The answer is the record's own
//! offset, not that of its batch.

use super::call::{Call, Outcome};
use super::topic::led;
use crate::kafka::wire::messages::{
    ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopicResponse,
};
use callboard_actors::partition::PartitionHandle;
use callboard_actors::permit::Permit;
use callboard_actors::ports::ReadError;
use callboard_core::partition::{View, epoch_at};
use callboard_core::{ErrorCode, Offset};
use std::collections::BTreeMap;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const EARLIEST_PENDING_UPLOAD: i64 = -6;
/// First version whose clients know OFFSET_NOT_AVAILABLE (KIP-207).
const NOT_AVAILABLE_FROM: i16 = 5;

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
                    let named = (topic.name.as_str(), wanted.partition_index);
                    led(&call, &image, named, wanted.current_leader_epoch).map_err(|unled| unled.code())
                }
                _ => Err(ErrorCode::UnsupportedVersion),
            };
            let result = match found {
                Ok((handle, view)) => look(&call, &handle, &view, wanted.timestamp, committed).await,
                Err(code) => Err(code),
            };
            let result = result.map_err(|code| as_of(call.version(), code));
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

/// Older clients do not know OFFSET_NOT_AVAILABLE, and repeat the question on both.
fn as_of(version: i16, code: ErrorCode) -> ErrorCode {
    match code {
        ErrorCode::OffsetNotAvailable if version < NOT_AVAILABLE_FROM => ErrorCode::LeaderNotAvailable,
        code => code,
    }
}

/// While a new leader does not know the newest committed offset, it answers no question for it. A look-up that finds
/// nothing below the high watermark might find something later (R4).
async fn look(
    call: &Call,
    handle: &PartitionHandle,
    view: &View,
    timestamp: i64,
    committed: bool,
) -> Result<(i64, Offset, i32), ErrorCode> {
    let end = if committed { view.last_stable_offset } else { view.high_watermark };
    let hit = match timestamp {
        LATEST if view.is_catching_up() => return Err(ErrorCode::OffsetNotAvailable),
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
        Ok(None) if view.is_catching_up() => Err(ErrorCode::OffsetNotAvailable),
        Ok(None) => Ok((-1, -1, -1)),
        Err(ReadError::Busy | ReadError::OutOfRange(_)) => Err(ErrorCode::OffsetNotAvailable),
        Err(ReadError::Refused(reject)) => Err(reject.code()),
        Err(error) => {
            tracing::error!(partition = %handle.id, "offsets could not be looked up: {error}");
            Err(ErrorCode::KafkaStorageError)
        }
    }
}
