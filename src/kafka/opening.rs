//! Opens the batches of producers: each record of a compressed batch is checked once, before the batch is stored.
//!
//! ```text
//!   records that lie open                                              ─> walked where the request is read
//!   compressed, up to 16 KiB a request, up to 256 KiB of each unpacked ─> the same
//!   more                                                               ─> a blocking thread, as many at once as there are cores
//! ```
//!
//! A small batch costs less than its hand-over to a thread; a large one would keep a tokio worker from its other
//! connections. The connection waits for its batches, so that they reach their leaders in order. An opening takes a
//! window and a buffer of memory (`limits.rs`), whatever the batch unpacks to. All batches of a request share a
//! budget of unpacked bytes and of refused records that are named.

use super::context::Context;
use bytes::BytesMut;
use callboard_actors::permit::Permit;
use callboard_core::records::{
    BatchHead, Budget, Compression, RecordsError, Rules, prove_head, prove_records,
};
use callboard_core::time::UnixMillis;
use callboard_core::{Reject, limits};
use std::sync::Arc;

/// A batch on its way to its leader: first its head is proven, then its records.
pub struct Opening {
    batch: BytesMut,
    /// Covers the bytes of the batch.
    permit: Permit,
    head: BatchHead,
    rules: Rules,
    proven: Option<Result<BatchHead, RecordsError>>,
}

impl Opening {
    /// Proves the head of a batch; its records come later.
    pub fn new(batch: BytesMut, permit: Permit, rules: Rules) -> Result<Opening, RecordsError> {
        let head = prove_head(&batch, &rules)?;
        Ok(Opening { batch, permit, head, rules, proven: None })
    }

    /// The batch to store, its permit and its head; or the reason of its refusal.
    pub fn proven(self) -> Result<(BytesMut, Permit, BatchHead), Reject> {
        match self.proven {
            Some(Ok(head)) => Ok((self.batch, self.permit, head)),
            Some(Err(error)) => Err(error.into()),
            None => Err(Reject::Unavailable),
        }
    }

    /// Compressed bytes that the proof has to unpack; 0 for plain records.
    fn packed(&self) -> usize {
        let lies_open = Compression::of(self.head.codec()) == Ok(Compression::None);
        if lies_open || !self.rules.opens(&self.head) { 0 } else { self.batch.len() }
    }

    fn prove(&mut self, now: UnixMillis, budget: &mut Budget) {
        self.proven = Some(prove_records(&mut self.batch, &self.head, &self.rules, now, budget));
    }

    /// Whether the proof stopped because the batch unpacks to too much for this thread.
    fn is_large(&self) -> bool {
        matches!(self.proven, Some(Err(RecordsError::Bomb(_))))
    }
}

/// Proves the records of all batches of one request, here or on a thread.
pub async fn prove_all(context: &Context, batches: Vec<&mut Opening>) {
    let now = context.clock.now().wall;
    let packed = batches.iter().map(|batch| batch.packed()).sum::<usize>();
    let small = packed <= limits::OPENED_AT_ONCE;
    let mut budget = Budget {
        batch: limits::UNPACKED_AT_ONCE,
        unpacked: limits::UNPACKED_AT_ONCE_SUM,
        named: limits::BAD_RECORDS_NAMED,
    };
    let mut large = Vec::new();
    for batch in batches {
        if batch.packed() == 0 || small {
            batch.prove(now, &mut budget);
        }
        if batch.proven.is_none() || batch.is_large() {
            large.push(batch);
        }
    }
    if !large.is_empty() {
        let times = packed.saturating_mul(limits::UNPACKED_TIMES_MAX);
        budget.batch = limits::DECOMPRESSED_MAX;
        budget.unpacked = limits::DECOMPRESSED_MAX.saturating_add(times);
        on_a_thread(context, large, now, budget).await;
    }
}

async fn on_a_thread(context: &Context, batches: Vec<&mut Opening>, now: UnixMillis, mut budget: Budget) {
    let slot = Arc::clone(&context.look_ups).acquire_owned().await;
    let (mut places, mut moved) = (Vec::with_capacity(batches.len()), Vec::with_capacity(batches.len()));
    for place in batches {
        let (batch, permit) = (std::mem::take(&mut place.batch), std::mem::take(&mut place.permit));
        moved.push(Opening { batch, permit, head: place.head, rules: place.rules, proven: None });
        place.proven = None;
        places.push(place);
    }
    // The slot goes with the work, which runs on when the connection ends.
    let proving = tokio::task::spawn_blocking(move || {
        let _slot = slot;
        moved.iter_mut().for_each(|batch| batch.prove(now, &mut budget));
        moved
    });
    match proving.await {
        Ok(proven) => places.into_iter().zip(proven).for_each(|(place, proven)| *place = proven),
        Err(error) => tracing::error!("batches could not be opened and are refused: {error}"),
    }
}
