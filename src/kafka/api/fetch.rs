//! Fetch, with long poll. It never enters an actor: views, tails, and the store's readers.
//!
//! ```text
//!   count what is there ─> enough, an error, or max wait over ─> read once ─> answer
//!            └ too little ─> one waiter on every partition, with the bytes still missing
//! ```
//!
//! Fetch sessions are declined (session id 0); a session that a client names is not found.

use super::{Call, Outcome, find, named};
use crate::kafka::wire::RecordBytes;
use crate::kafka::wire::messages::{
    EpochEndOffset, FetchPartition, FetchRequest, FetchResponse, FetchableTopicResponse, LeaderIdAndEpoch,
    PartitionData,
};
use callboard_actors::partition::{PartitionHandle, Waiter};
use callboard_actors::permit::Permit;
use callboard_actors::ports::ReadError;
use callboard_core::partition::{Role, View, end_offset_for};
use callboard_core::{ErrorCode, Offset, TopicId, limits};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Kafka's `fetch.max.bytes` of the broker.
const RESPONSE_MAX: usize = 55 * limits::MIB;
/// Longest wait, whatever is asked.
const WAIT_MAX: Duration = Duration::from_secs(300);

/// One partition of a request.
struct Part {
    wanted: FetchPartition,
    handle: Result<Arc<PartitionHandle>, ErrorCode>,
}

struct Topic {
    name: String,
    id: TopicId,
    parts: Vec<Part>,
}

/// What a view says to a request: up to where it may read, or why not.
fn limits_of(view: &View, wanted: &FetchPartition, committed: bool) -> Result<Offset, ErrorCode> {
    if let Role::Offline(_) = view.role {
        return Err(ErrorCode::KafkaStorageError);
    }
    match wanted.current_leader_epoch {
        -1 => {}
        epoch if epoch < view.leader_epoch => return Err(ErrorCode::FencedLeaderEpoch),
        epoch if epoch > view.leader_epoch => return Err(ErrorCode::UnknownLeaderEpoch),
        _ => {}
    }
    if wanted.fetch_offset < view.log_start || wanted.fetch_offset > view.end {
        return Err(ErrorCode::OffsetOutOfRange);
    }
    Ok(if committed { view.last_stable_offset } else { view.high_watermark })
}

/// Where the client's log parts from this one, if it does (KIP-595).
fn diverging(view: &View, wanted: &FetchPartition) -> Option<EpochEndOffset> {
    if wanted.last_fetched_epoch < 0 {
        return None;
    }
    let (epoch, end_offset) =
        end_offset_for(&view.epochs, wanted.last_fetched_epoch, view.end).unwrap_or((-1, -1));
    let parts = epoch < wanted.last_fetched_epoch || end_offset < wanted.fetch_offset;
    parts.then_some(EpochEndOffset { epoch, end_offset })
}

pub(super) async fn handle(call: Call, request: FetchRequest) -> Outcome {
    if request.session_id != 0 {
        call.refused(
            ErrorCode::FetchSessionIdNotFound,
            &request.session_id.to_string(),
            "fetch sessions are not kept",
        );
        let error_code = ErrorCode::FetchSessionIdNotFound.code();
        return call.reply(&FetchResponse { error_code, ..Default::default() }, Permit::free());
    }
    let image = call.context.images.current();
    let by_id = call.version() >= 13;
    let committed = request.isolation_level == 1;
    let topics: Vec<Topic> = request
        .topics
        .into_iter()
        .map(|t| Topic {
            parts: t
                .partitions
                .into_iter()
                .map(|wanted| Part {
                    handle: find(&call.context, &image, &t.topic, t.topic_id, by_id, wanted.partition),
                    wanted,
                })
                .collect(),
            name: t.topic,
            id: t.topic_id,
        })
        .collect();
    let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)).min(WAIT_MAX);
    let min_bytes = usize::try_from(request.min_bytes).unwrap_or(0);
    let began = Instant::now();
    wait_for(&topics, committed, min_bytes, began + wait).await;
    call.apart.add(began.elapsed());
    let max_bytes = usize::try_from(request.max_bytes).unwrap_or(0).min(RESPONSE_MAX);
    let mut reading =
        Reading { call: &call, committed, left: max_bytes, empty: true, charged: Permit::free() };
    let mut responses = Vec::with_capacity(topics.len());
    for topic in topics {
        let mut partitions = Vec::with_capacity(topic.parts.len());
        for part in topic.parts {
            let what = named(&topic.name, topic.id, part.wanted.partition);
            partitions.push(reading.part(&what, part).await);
        }
        responses.push(FetchableTopicResponse { topic: topic.name, topic_id: topic.id, partitions });
    }
    let charged = reading.charged;
    call.reply(&FetchResponse { responses, ..Default::default() }, charged)
}

/// Waits until there are `min_bytes`, something to be said at once, or the deadline.
async fn wait_for(topics: &[Topic], committed: bool, min_bytes: usize, deadline: Instant) {
    let parts = || topics.iter().flat_map(|t| &t.parts);
    loop {
        let waiter = Waiter::new(min_bytes.max(1));
        // Hung first, counted then: what arrives between is seen by one of the two.
        for part in parts() {
            if let Ok(handle) = &part.handle {
                handle.waiters.hang(&waiter, part.wanted.fetch_offset);
            }
        }
        let (mut there, mut at_once) = (0usize, min_bytes == 0 || parts().next().is_none());
        for part in parts() {
            match (available(part, committed), &part.handle) {
                (Some(bytes), Ok(handle)) => {
                    there = there.saturating_add(bytes);
                    handle.waiters.credit(&waiter, part.wanted.fetch_offset, bytes);
                }
                _ => at_once = true,
            }
        }
        let enough = at_once || there >= min_bytes;
        let woken = enough || timeout_at(deadline, waiter.woken()).await.is_ok();
        for part in parts() {
            if let Ok(handle) = &part.handle {
                handle.waiters.unhang(&waiter);
            }
        }
        if enough || !woken || Instant::now() >= deadline {
            return;
        }
    }
}

/// Bytes that a partition has for this request; none: an error, to be said at once.
fn available(part: &Part, committed: bool) -> Option<usize> {
    let handle = part.handle.as_ref().ok()?;
    let view = handle.view();
    let until = limits_of(&view, &part.wanted, committed).ok()?;
    if diverging(&view, &part.wanted).is_some() {
        return None;
    }
    let from = part.wanted.fetch_offset;
    if from >= until {
        return Some(0);
    }
    let most = usize::try_from(part.wanted.partition_max_bytes).unwrap_or(0).max(1);
    // Behind the tail nobody has counted: the store has more than a little.
    Some(handle.tail_bytes(from, until).unwrap_or(most).min(most))
}

struct Reading<'a> {
    call: &'a Call,
    committed: bool,
    left: usize,
    empty: bool,
    charged: Permit,
}

impl Reading<'_> {
    async fn part(&mut self, what: &str, part: Part) -> PartitionData {
        let mut out = PartitionData {
            partition_index: part.wanted.partition,
            high_watermark: -1,
            records: Some(RecordBytes::Parts(Vec::new())),
            ..Default::default()
        };
        let result = match &part.handle {
            Ok(handle) => self.read(handle, &part.wanted, &mut out).await,
            Err(code) => Err(*code),
        };
        if let Err(code) = result {
            out.error_code = code.code();
            let view = part.handle.as_ref().ok().map(|handle| handle.view());
            let offline = match view.as_deref() {
                Some(View { role: Role::Offline(why), .. }) => format!(": {why}"),
                _ => String::new(),
            };
            let why = format!("fetch at offset {}{offline}", part.wanted.fetch_offset);
            self.call.refused(code, what, &why);
            if let Some(view) = view {
                let leader_epoch = view.leader_epoch;
                if matches!(code, ErrorCode::FencedLeaderEpoch | ErrorCode::NotLeaderOrFollower) {
                    let leader_id = self.call.context.settings.broker_id;
                    out.current_leader = LeaderIdAndEpoch { leader_id, leader_epoch };
                }
            }
        }
        out
    }

    async fn read(
        &mut self,
        handle: &PartitionHandle,
        wanted: &FetchPartition,
        out: &mut PartitionData,
    ) -> Result<(), ErrorCode> {
        let view = handle.view();
        out.log_start_offset = view.log_start;
        let until = limits_of(&view, wanted, self.committed)?;
        out.high_watermark = view.high_watermark;
        out.last_stable_offset = view.last_stable_offset;
        if self.committed {
            out.aborted_transactions = Some(Vec::new());
        }
        if let Some(end) = diverging(&view, wanted) {
            out.diverging_epoch = end;
            return Ok(());
        }
        let most = usize::try_from(wanted.partition_max_bytes).unwrap_or(0);
        let max_bytes = most.min(self.left);
        if wanted.fetch_offset >= until || (max_bytes == 0 && !self.empty) || !self.charge(max_bytes).await {
            return Ok(());
        }
        match handle.read(wanted.fetch_offset, until, max_bytes.max(1)).await {
            // Truncation overtook the read: what it saw may not be the log any more.
            Ok(_) if handle.view().log_id != view.log_id => {}
            // KIP-74: the first batch of a response comes whole, the others only where they fit.
            Ok(slices) if self.empty || slices.bytes <= self.left => {
                self.empty &= slices.bytes == 0;
                self.left = self.left.saturating_sub(slices.bytes);
                out.records = Some(RecordBytes::Parts(slices.parts));
            }
            Ok(_) | Err(ReadError::Busy) => {}
            // The log start moved meanwhile.
            Err(ReadError::OutOfRange(_)) => return Err(ErrorCode::OffsetOutOfRange),
            Err(error) => {
                tracing::error!(partition = %handle.id, offset = wanted.fetch_offset, "a read failed: {error}");
                return Err(ErrorCode::KafkaStorageError);
            }
        }
        Ok(())
    }

    /// Takes room in the response pool before reading. Whoever holds some already does not wait for more.
    async fn charge(&mut self, bytes: usize) -> bool {
        let bytes = bytes.clamp(1, limits::READ_JOB_BYTES);
        let pool = &self.call.context.pools.responses;
        let permit = match pool.try_acquire(bytes) {
            Some(permit) => permit,
            None if self.charged.bytes() > 0 => return false,
            None => pool.acquire(bytes).await,
        };
        self.charged.merge(permit);
        true
    }
}
