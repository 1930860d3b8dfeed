//! DeleteRecords: moves log starts up. The answer comes when the journal holds that durably, so deleted records
//! stay deleted.

use super::call::{Call, Outcome};
use super::topic::find;
use crate::kafka::wire::messages::{
    DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsResponse, DeleteRecordsTopicResult,
};
use callboard_actors::permit::Permit;
use callboard_actors::reply::Answer;
use callboard_core::metadata::{Image, is_internal};
use callboard_core::partition::{Appended, TrimTo};
use callboard_core::{ErrorCode, Reject, TopicId};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Kafka's leader never waits for itself; ours waits for a sync, however little time the client gives.
const WAIT_AT_LEAST: Duration = Duration::from_secs(1);
/// The low watermark beside an error.
const NO_LOW_WATERMARK: i64 = -1;

/// The code for the client, and words for client and log.
type Refused = (ErrorCode, String);

pub(super) async fn handle(call: Call, request: DeleteRecordsRequest) -> Outcome {
    let image = call.context.images.current();
    let wait = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0)).max(WAIT_AT_LEAST);
    let deadline = Instant::now() + wait;
    // All leaders are asked before the first answer is awaited, so that one sync serves them.
    let asked: Vec<_> = request
        .topics
        .into_iter()
        .map(|topic| {
            let ask = |at| ask(&call, &image, &topic.name, at, wait);
            let wanted = topic.partitions.iter().map(|p| (p.partition_index, p.offset));
            let partitions: Vec<_> = wanted.map(|at| (at.0, ask(at))).collect();
            (topic.name, partitions)
        })
        .collect();
    let mut topics = Vec::with_capacity(asked.len());
    for (name, asked) in asked {
        let mut partitions = Vec::with_capacity(asked.len());
        for (partition_index, asked) in asked {
            let result = match asked {
                Ok(answer) => answered(answer, deadline).await,
                Err(refused) => Err(refused),
            };
            let mut out = DeleteRecordsPartitionResult { partition_index, ..Default::default() };
            match result {
                Ok(trimmed) => out.low_watermark = trimmed.log_start,
                Err((code, why)) => {
                    call.refused(code, &format!("{name}-{partition_index}"), &why);
                    (out.low_watermark, out.error_code) = (NO_LOW_WATERMARK, code.code());
                }
            }
            partitions.push(out);
        }
        topics.push(DeleteRecordsTopicResult { name, partitions });
    }
    call.reply(&DeleteRecordsResponse { throttle_time_ms: 0, topics }, Permit::free())
}

fn ask(
    call: &Call,
    image: &Image,
    name: &str,
    (partition, offset): (i32, i64),
    wait: Duration,
) -> Result<Answer<Result<Appended, Reject>>, Refused> {
    let handle = find(&call.context, image, name, TopicId::ZERO, false, partition)
        .map_err(|code| (code, "no such partition here".to_owned()))?;
    if is_internal(name) {
        let why = "records of an internal topic are not deleted by offset".to_owned();
        return Err((ErrorCode::InvalidTopicException, why));
    }
    handle.view().leads(None).map_err(|reject| (reject.code(), reject.to_string()))?;
    let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    Ok(handle.trim(TrimTo::of(offset), wait_ms))
}

async fn answered(answer: Answer<Result<Appended, Reject>>, deadline: Instant) -> Result<Appended, Refused> {
    match timeout_at(deadline, answer.get()).await {
        Ok(Ok(trimmed)) => Ok(trimmed),
        Ok(Err(reject)) => Err((reject.code(), reject.to_string())),
        Err(_) => {
            let why = "the deletion is not durable yet, and goes on: ask again".to_owned();
            Err((ErrorCode::RequestTimedOut, why))
        }
    }
}
