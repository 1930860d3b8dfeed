//! Produce. The frame is split into its batches, each still writable in place; each goes to its leader in one message.
//!
//! Everything up to that happens when the request is read, in the order of arrival; only the answers are awaited later.

use super::{Call, Outcome, find, named, throttle_ms};
use crate::kafka::frame::Frame;
use crate::kafka::wire::RecordBytes;
use crate::kafka::wire::messages::{
    LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse, ProduceRequest, ProduceResponse,
    TopicProduceResponse,
};
use bytes::BytesMut;
use callboard_actors::partition::Appending;
use callboard_actors::permit::Permit;
use callboard_actors::reply::Answer;
use callboard_core::metadata::{Image, OFFSETS_TOPIC};
use callboard_core::partition::{Acks, Appended};
use callboard_core::records::{Compression, head, prove};
use callboard_core::{ErrorCode, Reject, TopicId, limits};
use futures_util::future::BoxFuture;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// First version whose clients know zstd (KIP-110).
const ZSTD_FROM: i16 = 7;
/// First version that names topics by id.
const IDS_FROM: i16 = 13;

/// Of a request that gives no time. In Kafka the time is for the replicas and not for the leader's own log: such a request
/// is answered as soon as the batch is written.
const NO_TIME_MS: u64 = 30_000;

/// One partition's part, on its way; its ticket is held until it is answered.
enum Part {
    Sent(Answer<Result<Appended, Reject>>, Permit),
    Refused(ErrorCode, String),
}

struct Topic {
    name: String,
    id: TopicId,
    parts: Vec<(i32, Part)>,
}

/// Splits batches off a frame, front to back.
struct Splitter {
    frame: BytesMut,
    /// Bytes of the frame that are split off already.
    gone: usize,
    permit: Permit,
}

impl Splitter {
    fn take(&mut self, range: &Range<usize>) -> (BytesMut, Permit) {
        let mut piece = self.frame.split_to(range.end - self.gone);
        let batch = piece.split_off(range.start - self.gone);
        self.gone = range.end;
        let permit = self.permit.split(batch.len());
        (batch, permit)
    }
}

pub(super) fn handle(call: Call, request: ProduceRequest, frame: Frame) -> BoxFuture<'static, Outcome> {
    let image = call.context.images.current();
    let acks =
        Acks::of(request.acks).and_then(|acks| match without_transactional_id(&request, &frame.bytes) {
            true => Err(Reject::NoTransactionalId),
            false => Ok(acks),
        });
    let silent = request.acks == 0;
    let (pinned, throttled) = (frame.bytes.len(), frame.throttled);
    let mut splitter = Splitter { frame: frame.bytes, gone: 0, permit: frame.permit };
    let timeout_ms = u64::try_from(request.timeout_ms).ok().filter(|ms| *ms > 0).unwrap_or(NO_TIME_MS);
    let mut topics = Vec::with_capacity(request.topic_data.len());
    for topic in request.topic_data {
        let mut parts = Vec::with_capacity(topic.partition_data.len());
        for data in topic.partition_data {
            let Some(RecordBytes::Frame(range)) = data.records else {
                parts.push((data.index, Part::Refused(ErrorCode::InvalidRecord, "no records".into())));
                continue;
            };
            let taken = splitter.take(&range);
            let part = match &acks {
                Ok(acks) => send(
                    &call,
                    &image,
                    (&topic.name, topic.topic_id, data.index),
                    taken,
                    *acks,
                    timeout_ms,
                    pinned,
                ),
                Err(reject) => {
                    let by_id = call.version() >= IDS_FROM;
                    // Like Kafka: what is not there is said first.
                    match find(&call.context, &image, &topic.name, topic.topic_id, by_id, data.index) {
                        Err(code) => Part::Refused(code, "no such partition here".into()),
                        Ok(_) => Part::Refused(reject.code(), reject.to_string()),
                    }
                }
            };
            parts.push((data.index, part));
        }
        topics.push(Topic { name: topic.name, id: topic.topic_id, parts });
    }
    // What is left of the frame, and its permit, is let go here: batches carry their own.
    drop(splitter);
    Box::pin(answer(call, image, topics, silent, throttled))
}

/// Whether some batch claims a transaction that the request does not name: all of the request is refused then.
fn without_transactional_id(request: &ProduceRequest, frame: &[u8]) -> bool {
    let all = || request.topic_data.iter().flat_map(|topic| &topic.partition_data);
    request.transactional_id.is_none()
        && all().any(|data| match &data.records {
            Some(RecordBytes::Frame(range)) => {
                frame.get(range.clone()).is_some_and(|b| head(b).is_ok_and(|h| h.is_transactional()))
            }
            _ => false,
        })
}

fn send(
    call: &Call,
    image: &Image,
    (name, id, partition): (&str, TopicId, i32),
    (batch, permit): (BytesMut, Permit),
    acks: Acks,
    timeout_ms: u64,
    pinned: usize,
) -> Part {
    let version = call.version();
    let handle = match find(&call.context, image, name, id, version >= IDS_FROM, partition) {
        Ok(handle) => handle,
        Err(code) => return Part::Refused(code, "no such partition here".into()),
    };
    if image.topic(OFFSETS_TOPIC).is_some_and(|topic| topic.id == handle.id.topic) {
        // Its records are the coordinators' own: one that they cannot read would stop them.
        return Part::Refused(ErrorCode::InvalidTopicException, "an internal topic takes no records".into());
    }
    if let Some(full) = handle.refuses() {
        return Part::Refused(full.code(), full.to_string());
    }
    let head = match prove(&batch) {
        Ok(head) => head,
        Err(error) => {
            let reject = Reject::from(error);
            return Part::Refused(reject.code(), reject.to_string());
        }
    };
    if head.base_offset != 0 {
        let reject = Reject::InvalidRecord("its base offset is not 0: the broker gives offsets".to_owned());
        return Part::Refused(reject.code(), reject.to_string());
    }
    if version < ZSTD_FROM && Compression::of(head.codec()) == Ok(Compression::Zstd) {
        let reject = Reject::UnsupportedCompression;
        return Part::Refused(reject.code(), reject.to_string());
    }
    let Some(ticket) = call.context.pools.tickets.try_acquire(limits::TICKET_BYTES) else {
        return Part::Refused(Reject::Busy.code(), Reject::Busy.to_string());
    };
    Part::Sent(handle.append(Appending { batch, pinned, head, acks, timeout_ms, permit }), ticket)
}

async fn answer(
    call: Call,
    image: Arc<Image>,
    topics: Vec<Topic>,
    silent: bool,
    throttled: Duration,
) -> Outcome {
    let throttle_time_ms = throttle_ms(call.api, throttled);
    let mut response = ProduceResponse { throttle_time_ms, ..Default::default() };
    let mut failed = false;
    let mut moved = false;
    for topic in topics {
        let mut partition_responses = Vec::with_capacity(topic.parts.len());
        for (index, part) in topic.parts {
            let result = match part {
                Part::Sent(answer, ticket) => {
                    let began = Instant::now();
                    let result = answer.get().await;
                    drop(ticket);
                    call.apart.add(began.elapsed());
                    let by_id = call.version() >= IDS_FROM;
                    result.map_err(|reject| (reject.code_for(by_id), reject.to_string()))
                }
                Part::Refused(code, why) => Err((code, why)),
            };
            let mut out = PartitionProduceResponse { index, ..Default::default() };
            match result {
                Ok(appended) => {
                    out.base_offset = appended.base_offset;
                    out.log_append_time_ms = appended.log_append_time;
                    out.log_start_offset = appended.log_start;
                }
                Err((code, why)) => {
                    let closed = if silent { "; acks=0: the connection is closed" } else { "" };
                    call.refused(code, &named(&topic.name, topic.id, index), &format!("{why}{closed}"));
                    (out.error_code, out.base_offset) = (code.code(), -1);
                    if code == ErrorCode::NotLeaderOrFollower {
                        moved = true;
                        out.current_leader = leader_of(&image, &topic.name, topic.id, index);
                    }
                    failed = true;
                    out.error_message = Some(why);
                }
            }
            partition_responses.push(out);
        }
        response.responses.push(TopicProduceResponse {
            name: topic.name,
            topic_id: topic.id,
            partition_responses,
        });
    }
    if silent {
        // Nobody listens for an error: the closed connection is the answer (as Kafka does).
        return if failed { Outcome::HangUp } else { Outcome::Nothing };
    }
    if moved {
        response.node_endpoints = image.brokers.values().map(endpoint).collect();
    }
    call.reply(&response, Permit::free())
}

fn endpoint(broker: &callboard_core::metadata::Broker) -> NodeEndpoint {
    let (node_id, port) = (broker.id, i32::from(broker.port));
    NodeEndpoint { node_id, host: broker.host.clone(), port, rack: broker.rack.clone() }
}

fn leader_of(image: &Image, name: &str, id: TopicId, partition: i32) -> LeaderIdAndEpoch {
    let topic = image.topics.get(&id).or_else(|| image.topic(name));
    let partition = topic.and_then(|t| t.partition(partition));
    partition.map_or_else(LeaderIdAndEpoch::default, |p| LeaderIdAndEpoch {
        leader_id: p.leader,
        leader_epoch: p.leader_epoch,
    })
}
