//! Fetch, with long poll. It never enters an actor: it reads views, tails, and the store through its readers.
//!
//! ```text
//!   count what is there ─> enough, an error, or max wait over ─> read once ─> answer
//!            └ too little ─> one waiter on every partition, with the bytes still missing
//! ```
//! A handle that loses its place in the directory wakes the fetch, which looks that partition up again.
//!
//! The session (`fetch_session` in core) decides which partitions are fetched and which the answer leaves out. Each
//! request looks them up again, so it sees topics that were deleted or created meanwhile.

use super::call::{Call, Outcome, throttle_ms};
use super::topic::{Hints, find, named};
use crate::kafka::metrics::WaitingFetch;
use crate::kafka::pools::Pools;
use crate::kafka::wire::RecordBytes;
use crate::kafka::wire::messages::{
    EpochEndOffset, FetchRequest, FetchResponse, FetchableTopicResponse, PartitionData,
};
use callboard_actors::partition::{PartitionHandle, Waiter};
use callboard_actors::permit::Permit;
use callboard_actors::ports::{Part as Piece, ReadError, Slices};
use callboard_core::fetch::{Readable, readable};
use callboard_core::fetch_session::{self, Key, Kind, Known, Said, TopicKey, Wanted};
use callboard_core::metadata::Image;
use callboard_core::partition::View;
use callboard_core::{ErrorCode, Offset, TopicId, limits};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Bytes of an answer at most (Kafka: the broker's `fetch.max.bytes`).
const RESPONSE_MAX: usize = 55 * limits::MIB;
/// First version whose answers name the leader of a partition that has moved (KIP-951).
const HINTS_FROM: i16 = 16;
/// Longest wait, whatever the client asks for.
const WAIT_MAX: Duration = Duration::from_secs(300);

/// One partition of a request, with its handle.
struct Part {
    asked: fetch_session::Part,
    handle: Result<Arc<PartitionHandle>, ErrorCode>,
}

impl Part {
    fn new(call: &Call, image: &Image, asked: fetch_session::Part) -> Part {
        let handle = look_up(call, image, &asked.key);
        Part { asked, handle }
    }

    /// Looks the partition up again if its handle lost its place in the directory; tells whether it had.
    fn look_again(&mut self, call: &Call) -> bool {
        let lost = self.handle.as_ref().is_ok_and(|handle| handle.waiters.is_closed());
        if lost {
            // The newest image knows of a deletion; the image of the request may not.
            self.handle = look_up(call, &call.context.images.current(), &self.asked.key);
        }
        lost
    }

    fn offset(&self) -> Offset {
        self.asked.wanted.fetch_offset
    }
}

fn look_up(call: &Call, image: &Image, key: &Key) -> Result<Arc<PartitionHandle>, ErrorCode> {
    let (name, id, by_id) = names(key);
    find(&call.context, image, name, id, by_id, key.partition)
}

/// The name and id of a topic as a request gives them, and whether the id counts.
fn names(key: &Key) -> (&str, TopicId, bool) {
    match &key.topic {
        TopicKey::Name(name) => (name, TopicId::ZERO, false),
        TopicKey::Id(id) => ("", *id, true),
    }
}

/// The part of a request that sessions look at.
fn session_request(request: FetchRequest, by_id: bool) -> fetch_session::Request {
    let topic_key = |name: &str, id| if by_id { TopicKey::Id(id) } else { TopicKey::Name(name.into()) };
    let mut out = fetch_session::Request {
        session_id: request.session_id,
        epoch: request.session_epoch,
        by_id,
        ..Default::default()
    };
    for asked in request.topics {
        let topic = topic_key(&asked.topic, asked.topic_id);
        out.parts.extend(asked.partitions.into_iter().map(|p| {
            let wanted = Wanted {
                current_leader_epoch: p.current_leader_epoch,
                fetch_offset: p.fetch_offset,
                last_fetched_epoch: p.last_fetched_epoch,
                max_bytes: p.partition_max_bytes,
            };
            (Key { topic: topic.clone(), partition: p.partition }, wanted)
        }));
    }
    for gone in request.forgotten_topics_data {
        let topic = topic_key(&gone.topic, gone.topic_id);
        let keys = gone.partitions.into_iter().map(|partition| Key { topic: topic.clone(), partition });
        out.forgotten.extend(keys);
    }
    out
}

/// What a request may read of a partition as its view shows it.
fn readable_of(view: &View, asked: &fetch_session::Part, committed: bool) -> Result<Readable, ErrorCode> {
    readable(view, &asked.wanted, committed, names(&asked.key).2)
}

pub(super) async fn handle(call: Call, request: FetchRequest) -> Outcome {
    let committed = request.isolation_level == 1;
    let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)).min(WAIT_MAX);
    let min_bytes = usize::try_from(request.min_bytes).unwrap_or(0);
    let asked_max = request.max_bytes;
    let max_bytes = usize::try_from(asked_max).unwrap_or(0).min(RESPONSE_MAX);
    let (id, epoch) = (request.session_id, request.session_epoch);
    if !(0..=1).contains(&request.isolation_level) {
        let why = "no such isolation level: 0 reads all that is written, 1 what is committed";
        return refuse_all(&call, request, ErrorCode::UnknownServerError, ("isolation", why));
    }
    // A replica that were taken for a follower would count as one that holds what it fetches.
    let replica = request.replica_id.max(request.replica_state.replica_id);
    if replica >= 0 {
        let why = "replicas of this cluster do not fetch here: a consumer asks with replica id -1";
        let what = (&*format!("replica {replica}"), why);
        return refuse_all(&call, request, ErrorCode::ClusterAuthorizationFailed, what);
    }
    let request = session_request(request, call.version() >= 13);
    let begun = call.context.fetch_sessions.lock().begin(call.context.clock.now().mono, request);
    let (kind, parts) = match begun {
        Ok(begun) => begun,
        Err(code) => return refuse(&call, code, (id, epoch), 0),
    };
    let image = call.context.images.current();
    let mut parts: Vec<Part> = parts.into_iter().map(|asked| Part::new(&call, &image, asked)).collect();
    let began = Instant::now();
    wait_for(&call, &mut parts, committed, min_bytes, began + wait).await;
    call.apart.add(began.elapsed());
    let mut reading = Reading {
        call: &call,
        committed,
        asked_max,
        left: max_bytes,
        empty: true,
        charge: Charge::new(&call),
        hints: Hints::default(),
    };
    let (mut answers, mut found) = (Vec::with_capacity(parts.len()), Vec::with_capacity(parts.len()));
    for part in parts {
        let data = reading.part(&part).await;
        answers.push((part.asked, said(&data)));
        found.push(data);
    }
    let Reading { charge: Charge { permit: charged, throttled, .. }, hints, .. } = reading;
    let now = call.context.clock.now().mono;
    let verdict = call.context.fetch_sessions.lock().finish(now, kind, number(kind), &answers);
    let told = match verdict.result {
        Ok(told) => told,
        Err(code) => return refuse(&call, code, (id, epoch), verdict.session_id),
    };
    let kept = answers.into_iter().zip(found).zip(told).filter(|(_, told)| *told);
    let responses = by_topic(kept.map(|(((part, _), data), _)| (part.key, data)));
    let (session_id, throttle_time_ms) = (verdict.session_id, throttle_ms(call.api, throttled));
    let node_endpoints = hints.endpoints();
    let body =
        FetchResponse { session_id, throttle_time_ms, responses, node_endpoints, ..Default::default() };
    call.reply(&body, charged)
}

/// Refuses a request whose session or epoch is not the one it names.
fn refuse(call: &Call, code: ErrorCode, (id, epoch): (i32, i32), session_id: i32) -> Outcome {
    call.refused(code, &format!("session {id}"), &format!("fetch session at epoch {epoch}"));
    call.reply(&FetchResponse { error_code: code.code(), session_id, ..Default::default() }, Permit::free())
}

/// Refuses a whole request. An unknown isolation level is refused, because a weaker one would show more than was asked
/// for. As in Kafka each partition carries the error before version 13.
fn refuse_all(call: &Call, request: FetchRequest, code: ErrorCode, (what, why): (&str, &str)) -> Outcome {
    let error_code = code.code();
    call.refused(code, what, why);
    let topics = if call.version() < 13 { request.topics } else { Vec::new() };
    let refused = topics.into_iter().map(|topic| FetchableTopicResponse {
        topic: topic.topic,
        topic_id: topic.topic_id,
        partitions: (topic.partitions.iter())
            .map(|p| PartitionData {
                error_code,
                aborted_transactions: Some(Vec::new()),
                ..nothing(p.partition)
            })
            .collect(),
    });
    call.reply(
        &FetchResponse { error_code, responses: refused.collect(), ..Default::default() },
        Permit::free(),
    )
}

/// A random start for the id of a new session, so that no client guesses another's.
fn number(kind: Kind) -> i32 {
    let Kind::Full { .. } = kind else { return 0 };
    let random = uuid::Uuid::new_v4();
    let [a, b, c, d, ..] = *random.as_bytes();
    i32::from_be_bytes([a, b, c, d])
}

/// The facts of an answer that its session keeps.
fn said(data: &PartitionData) -> Said {
    let bytes = match &data.records {
        Some(RecordBytes::Parts(parts)) => parts.iter().map(Piece::len).sum(),
        _ => 0,
    };
    Said {
        known: Known { high_watermark: data.high_watermark, log_start: data.log_start_offset },
        bytes,
        failed: data.error_code != 0,
        diverges: data.diverging_epoch != EpochEndOffset::default(),
    }
}

/// Groups neighbours of one topic.
fn by_topic(kept: impl Iterator<Item = (Key, PartitionData)>) -> Vec<FetchableTopicResponse> {
    let mut responses: Vec<FetchableTopicResponse> = Vec::new();
    for (key, data) in kept {
        let (name, topic_id, _) = names(&key);
        match responses.last_mut() {
            Some(last) if last.topic == name && last.topic_id == topic_id => last.partitions.push(data),
            _ => {
                let (topic, partitions) = (name.to_owned(), vec![data]);
                responses.push(FetchableTopicResponse { topic, topic_id, partitions });
            }
        }
    }
    responses
}

/// A waiter that hangs on its partitions until it is dropped, also when its client is gone.
struct Hung<'a>(&'a [Part], &'a Arc<Waiter>);

impl<'a> Hung<'a> {
    fn new(parts: &'a [Part], waiter: &'a Arc<Waiter>) -> Hung<'a> {
        for part in parts {
            if let Ok(handle) = &part.handle {
                handle.waiters.hang(waiter, part.offset());
            }
        }
        Hung(parts, waiter)
    }
}

impl Drop for Hung<'_> {
    fn drop(&mut self) {
        for part in self.0 {
            if let Ok(handle) = &part.handle {
                handle.waiters.unhang(self.1);
            }
        }
    }
}

/// Waits for `min_bytes`, for something that must be said at once, or for the deadline.
async fn wait_for(call: &Call, parts: &mut [Part], committed: bool, min_bytes: usize, deadline: Instant) {
    loop {
        let waiter = Waiter::new(min_bytes.max(1));
        // The waiter hangs before bytes are counted, so that bytes arriving between are seen.
        let hung = Hung::new(parts, &waiter);
        let (mut there, mut at_once) = (0usize, min_bytes == 0 || parts.is_empty());
        for part in &*parts {
            match (available(part, committed), &part.handle) {
                (Some(bytes), Ok(handle)) => {
                    there = there.saturating_add(bytes);
                    handle.waiters.credit(&waiter, part.offset(), bytes);
                }
                _ => at_once = true,
            }
        }
        let enough = at_once || there >= min_bytes;
        let woken = enough || {
            let _counted = WaitingFetch::new();
            timeout_at(deadline, waiter.woken()).await.is_ok()
        };
        drop(hung);
        let moved = parts.iter_mut().fold(false, |moved, part| part.look_again(call) | moved);
        if (enough && !moved) || !woken || Instant::now() >= deadline {
            return;
        }
    }
}

/// Bytes that a partition has for this request; none is an error that must be said at once.
fn available(part: &Part, committed: bool) -> Option<usize> {
    let handle = part.handle.as_ref().ok()?;
    let view = handle.view();
    let Readable { until, diverging: None } = readable_of(&view, &part.asked, committed).ok()? else {
        return None;
    };
    let from = part.offset();
    if from >= until {
        return Some(0);
    }
    let most = usize::try_from(part.asked.wanted.max_bytes).unwrap_or(0).max(1);
    // Bytes below the tail are not counted; the store has more than a little of them.
    Some(handle.tail_bytes(from, until).unwrap_or(most).min(most))
}

/// The answer of a partition without records.
fn nothing(partition: i32) -> PartitionData {
    PartitionData {
        partition_index: partition,
        high_watermark: -1,
        records: Some(RecordBytes::Parts(Vec::new())),
        ..Default::default()
    }
}

struct Reading<'a> {
    call: &'a Call,
    committed: bool,
    /// `max_bytes` of the request.
    asked_max: i32,
    left: usize,
    empty: bool,
    charge: Charge<'a>,
    hints: Hints,
}

/// The part of the responses' pool that an answer holds: taken before a read, and corrected after it.
struct Charge<'a> {
    pools: &'a Pools,
    permit: Permit,
    /// Time that it waited for room.
    throttled: Duration,
    read: usize,
}

impl<'a> Charge<'a> {
    fn new(call: &'a Call) -> Charge<'a> {
        Charge { pools: &call.context.pools, permit: Permit::free(), throttled: Duration::ZERO, read: 0 }
    }

    /// Takes room before a read. The first read may bring a whole batch, whatever was asked; an answer that holds
    /// room does not wait for more.
    async fn before(&mut self, bytes: usize) -> bool {
        if self.permit.is_free() {
            let (permit, waited) = self.pools.room(limits::READ_JOB_BYTES).await;
            self.permit = permit;
            self.throttled += waited;
            return true;
        }
        let more = self.pools.responses.try_acquire(bytes.clamp(1, limits::READ_JOB_BYTES));
        more.map(|more| self.permit.merge(more)).is_some()
    }

    /// Corrects the room after a read. A batch larger than a read job is charged what is free, because its bytes
    /// are here.
    fn after(&mut self, bytes: usize) {
        self.read += bytes;
        if self.permit.bytes() > 0 {
            self.permit.shrink(self.read);
            if let Some(more) = self.pools.responses.try_acquire(self.read - self.permit.bytes()) {
                self.permit.merge(more);
            }
        }
    }
}

impl Reading<'_> {
    async fn part(&mut self, part: &Part) -> PartitionData {
        let partition = part.asked.key.partition;
        let mut out = nothing(partition);
        let result = match &part.handle {
            Ok(handle) => self.read(handle, &part.asked, &mut out).await,
            Err(code) => Err(*code),
        };
        let Err(code) = result else { return out };
        // An error stands without boundaries.
        out = nothing(partition);
        out.error_code = code.code();
        if part.handle.is_err() {
            out.aborted_transactions = Some(Vec::new());
        }
        let view = part.handle.as_ref().ok().map(|handle| handle.view());
        let ended = view.as_ref().and_then(|view| view.role.serves().err());
        let ended = ended.map_or_else(String::new, |reject| format!(": {reject}"));
        let (name, id, _) = names(&part.asked.key);
        let why = format!("fetch at offset {}{ended}", part.offset());
        self.call.refused(code, &named(name, id, part.asked.key.partition), &why);
        let moved = matches!(code, ErrorCode::FencedLeaderEpoch | ErrorCode::NotLeaderOrFollower);
        if moved && self.call.version() >= HINTS_FROM {
            out.current_leader = self.hints.leader(self.call, name, id, partition);
        }
        out
    }

    async fn read(
        &mut self,
        handle: &PartitionHandle,
        asked: &fetch_session::Part,
        out: &mut PartitionData,
    ) -> Result<(), ErrorCode> {
        let (view, wanted) = (handle.view(), &asked.wanted);
        let Readable { until, diverging } = readable_of(&view, asked, self.committed)?;
        out.log_start_offset = view.log_start;
        out.high_watermark = view.high_watermark;
        out.last_stable_offset = view.last_stable_offset;
        if self.committed {
            out.aborted_transactions = Some(Vec::new());
        }
        if let Some((epoch, end_offset)) = diverging {
            out.diverging_epoch = EpochEndOffset { epoch, end_offset };
            return Ok(());
        }
        // Like Kafka, a limit below 0 is refused as a mistake of the client.
        let most = usize::try_from(wanted.max_bytes.min(self.asked_max))
            .map_err(|_| ErrorCode::UnknownServerError)?;
        let max_bytes = most.min(self.left);
        if wanted.fetch_offset >= until
            || (max_bytes == 0 && !self.empty)
            || !self.charge.before(max_bytes).await
        {
            return Ok(());
        }
        let found = handle.read_to_send(&view, wanted.fetch_offset, until, max_bytes.max(1)).await;
        // Bytes sent from files take no memory here.
        let in_memory = |slices: &Slices| slices.in_memory().map(bytes::Bytes::len).sum();
        self.charge.after(found.as_ref().map_or(0, in_memory));
        match found {
            // KIP-74: the first batch of a response comes whole, all others only if they fit.
            Ok(slices) if self.empty || slices.bytes <= self.left => {
                self.empty &= slices.bytes == 0;
                self.left = self.left.saturating_sub(slices.bytes);
                out.records = Some(RecordBytes::Parts(slices.parts));
            }
            Ok(_) | Err(ReadError::Busy) => {}
            // The log start moved during the read.
            Err(ReadError::OutOfRange(_)) => return Err(ErrorCode::OffsetOutOfRange),
            Err(ReadError::Refused(reject)) => return Err(reject.code_for(names(&asked.key).2)),
            Err(error) => {
                tracing::error!(partition = %handle.id, offset = wanted.fetch_offset, "a read failed: {error}");
                return Err(ErrorCode::KafkaStorageError);
            }
        }
        Ok(())
    }
}
