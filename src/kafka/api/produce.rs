//! Produce. The frame is split into its batches, each still writable in place; each goes to its leader in one
//! message.
//!
//! ```text
//!   frame ─> parts ─> head proven ─> records proven (opening.rs) ─> leader, in the order of arrival ─ ─> answers, later
//! ```
//!
//! All steps up to the leader happen before the connection reads its next request, so that batches keep the order
//! of requests.

use super::call::{Call, Outcome, throttle_ms};
use super::topic::{Hints, find, named};
use crate::kafka::frame::Frame;
use crate::kafka::opening::{self, Opening};
use crate::kafka::wire::RecordBytes;
use crate::kafka::wire::messages::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceData,
    TopicProduceResponse,
};
use bytes::BytesMut;
use callboard_actors::partition::{Appending, PartitionHandle};
use callboard_actors::permit::Permit;
use callboard_actors::reply::Answer;
use callboard_core::metadata::{Image, OFFSETS_TOPIC};
use callboard_core::partition::{Acks, Appended};
use callboard_core::records::{BadRecord, Compression, head};
use callboard_core::{ErrorCode, Reject, TopicId, limits};
use futures_util::future::BoxFuture;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// First version whose clients know zstd (KIP-110).
const ZSTD_FROM: i16 = 7;
/// First version whose answers name the leader of a partition that has moved (KIP-951).
const HINTS_FROM: i16 = 10;
/// First version that names topics by id.
const IDS_FROM: i16 = 13;

/// Time for a request that gives none. In Kafka such a request is answered once the batch is written, because its
/// time covers only other replicas.
const NO_TIME_MS: u64 = 30_000;

enum Part {
    Proving(Box<Sending>),
    /// A batch on its way; its ticket is held until it is answered.
    Sent(Answer<Result<Appended, Reject>>, Permit),
    Refused(Refused),
}

/// A batch that goes to its leader once its records are proven.
struct Sending {
    handle: Arc<PartitionHandle>,
    batch: Opening,
    ticket: Permit,
}

/// The reason why a part is refused.
enum Refused {
    Code(ErrorCode, &'static str),
    Reject(Reject),
}

impl From<Reject> for Refused {
    fn from(reject: Reject) -> Refused {
        Refused::Reject(reject)
    }
}

impl Refused {
    /// The code, the message, and the records to blame, as the client gets them.
    fn told(self, by_id: bool) -> (ErrorCode, String, Vec<BadRecord>) {
        match self {
            Refused::Code(code, why) => (code, why.to_owned(), Vec::new()),
            Refused::Reject(reject) => {
                let (code, why) = (reject.code_for(by_id), reject.to_string());
                (code, why, if let Reject::InvalidTimestamp(records) = reject { records } else { Vec::new() })
            }
        }
    }
}

struct Topic {
    name: String,
    id: TopicId,
    parts: Vec<(i32, Part)>,
}

/// Splits batches off a frame, front to back.
struct Splitter {
    frame: BytesMut,
    /// Bytes at the front that are split off already.
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

pub(super) async fn handle(call: Call, request: ProduceRequest, frame: Frame) -> BoxFuture<'static, Outcome> {
    let image = call.context.images.current();
    let acks = Acks::of(request.acks).and_then(|acks| {
        if without_transactional_id(&request, &frame.bytes) {
            Err(Reject::NoTransactionalId)
        } else {
            Ok(acks)
        }
    });
    let silent = request.acks == 0;
    let (pinned, throttled) = (frame.bytes.len(), frame.throttled);
    let timeout_ms = u64::try_from(request.timeout_ms).ok().filter(|ms| *ms > 0).unwrap_or(NO_TIME_MS);
    let mut topics = split(&call, &image, request.topic_data, frame, &acks);
    let mut parts: Vec<&mut Part> =
        topics.iter_mut().flat_map(|t| t.parts.iter_mut().map(|p| &mut p.1)).collect();
    prove(&call, &mut parts).await;
    if let Ok(acks) = acks {
        parts.into_iter().for_each(|part| send(part, acks, timeout_ms, pinned));
    }
    Box::pin(answer(call, topics, silent, throttled))
}

/// Splits the frame into parts. The rest of the frame and of its permit is freed, because batches carry their own.
fn split(
    call: &Call,
    image: &Image,
    topic_data: Vec<TopicProduceData>,
    frame: Frame,
    acks: &Result<Acks, Reject>,
) -> Vec<Topic> {
    let mut splitter = Splitter { frame: frame.bytes, gone: 0, permit: frame.permit };
    let mut topics = Vec::with_capacity(topic_data.len());
    for topic in topic_data {
        let mut parts = Vec::with_capacity(topic.partition_data.len());
        for data in topic.partition_data {
            let Some(RecordBytes::Frame(range)) = data.records else {
                let none = Refused::Code(ErrorCode::InvalidRecord, "no records");
                parts.push((data.index, Part::Refused(none)));
                continue;
            };
            let taken = splitter.take(&range);
            let part = match part_of(call, image, (&topic.name, topic.topic_id, data.index), taken, acks) {
                Ok(sending) => Part::Proving(Box::new(sending)),
                Err(refused) => Part::Refused(refused),
            };
            parts.push((data.index, part));
        }
        topics.push(Topic { name: topic.name, id: topic.topic_id, parts });
    }
    topics
}

/// Whether a batch claims a transaction that the request does not name; then the whole request is refused.
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

/// Judges a part by the head of its batch.
fn part_of(
    call: &Call,
    image: &Image,
    (name, id, partition): (&str, TopicId, i32),
    (batch, permit): (BytesMut, Permit),
    acks: &Result<Acks, Reject>,
) -> Result<Sending, Refused> {
    let version = call.version();
    let handle = find(&call.context, image, name, id, version >= IDS_FROM, partition)
        .map_err(|code| Refused::Code(code, "no such partition here"))?;
    // Like Kafka, an unknown partition is told before wrong acks.
    acks.as_ref().map_err(Reject::clone)?;
    if image.topic(OFFSETS_TOPIC).is_some_and(|topic| topic.id == handle.id.topic) {
        // Only coordinators write to an internal topic, because a record that they cannot read would stop them.
        return Err(Refused::Code(ErrorCode::InvalidTopicException, "an internal topic takes no records"));
    }
    let view = handle.view();
    view.leads(None)?;
    if let Some(full) = handle.refuses() {
        return Err(full.into());
    }
    if version < ZSTD_FROM
        && head(&batch).is_ok_and(|head| Compression::of(head.codec()) == Ok(Compression::Zstd))
    {
        return Err(Reject::UnsupportedCompression.into());
    }
    let batch = Opening::new(batch, permit, view.rules).map_err(Reject::from)?;
    let ticket = call.context.pools.tickets.try_acquire(limits::TICKET_BYTES).ok_or(Reject::Busy)?;
    Ok(Sending { handle, batch, ticket })
}

/// Proves the records of all batches of a request.
async fn prove(call: &Call, parts: &mut [&mut Part]) {
    let batches = parts.iter_mut().filter_map(|part| match &mut **part {
        Part::Proving(sending) => Some(&mut sending.batch),
        _ => None,
    });
    opening::prove_all(&call.context, batches.collect()).await;
}

/// Sends a batch to its leader if its records are proven.
fn send(part: &mut Part, acks: Acks, timeout_ms: u64, pinned: usize) {
    let taken = std::mem::replace(part, Part::Refused(Reject::Unavailable.into()));
    *part = match taken {
        Part::Proving(sending) => {
            let Sending { handle, batch, ticket } = *sending;
            match batch.proven() {
                Ok((batch, permit, head)) => {
                    let appending = Appending { batch, pinned, head, acks, timeout_ms, permit };
                    Part::Sent(handle.append(appending), ticket)
                }
                Err(reject) => Part::Refused(reject.into()),
            }
        }
        other => other,
    };
}

async fn answer(call: Call, topics: Vec<Topic>, silent: bool, throttled: Duration) -> Outcome {
    let throttle_time_ms = throttle_ms(call.api, throttled);
    let mut response = ProduceResponse { throttle_time_ms, ..Default::default() };
    let mut failed = false;
    let mut hints = Hints::default();
    for topic in topics {
        let mut partition_responses = Vec::with_capacity(topic.parts.len());
        for (index, part) in topic.parts {
            let result = match part {
                Part::Sent(answer, ticket) => {
                    let began = Instant::now();
                    let result = answer.get().await;
                    drop(ticket);
                    call.apart.add(began.elapsed());
                    result.map_err(Refused::from)
                }
                Part::Refused(refused) => Err(refused),
                Part::Proving(_) => Err(Reject::Unavailable.into()),
            };
            let mut out = PartitionProduceResponse { index, ..Default::default() };
            match result {
                Ok(appended) => {
                    out.base_offset = appended.base_offset;
                    out.log_append_time_ms = appended.log_append_time.unwrap_or(-1);
                    out.log_start_offset = appended.log_start;
                }
                Err(refused) => {
                    let (code, why, records) = refused.told(call.version() >= IDS_FROM);
                    let closed = if silent { "; acks=0: the connection is closed" } else { "" };
                    call.refused(code, &named(&topic.name, topic.id, index), &format!("{why}{closed}"));
                    (out.error_code, out.base_offset) = (code.code(), -1);
                    if code == ErrorCode::NotLeaderOrFollower && call.version() >= HINTS_FROM {
                        out.current_leader = hints.leader(&call, &topic.name, topic.id, index);
                    }
                    failed = true;
                    out.error_message = Some(why);
                    out.record_errors = records.into_iter().map(record_error).collect();
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
        // With acks=0 the closed connection is the only answer, as in Kafka.
        return if failed { Outcome::HangUp } else { Outcome::Nothing };
    }
    response.node_endpoints = hints.endpoints();
    call.reply(&response, Permit::free())
}

fn record_error(bad: BadRecord) -> BatchIndexAndErrorMessage {
    BatchIndexAndErrorMessage { batch_index: bad.index, batch_index_error_message: Some(bad.why) }
}
