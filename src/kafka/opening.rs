//! Opening of producers' batches: each record of a compressed batch is looked at once, before the batch is stored.
//!
//! ```text
//!   records that lie open                                              ─> walked where the request is read
//!   compressed, up to 16 KiB a request, up to 256 KiB of each unpacked ─> the same
//!   more                                                               ─> a blocking thread, as many at once as there are cores
//! ```
//!
//! A small batch costs less than handing it over; a large one would keep a tokio worker from its other connections. The
//! connection waits for its batches, so that they arrive at their leaders in the order in which they came. Memory is a
//! window and a buffer for each opening that runs (`limits.rs`), whatever the batch unpacks to.

use super::context::Context;
use bytes::BytesMut;
use callboard_core::records::{BatchHead, Compression, RecordsError, Rules, prove_head, prove_records};
use callboard_core::time::UnixMillis;
use callboard_core::{Reject, limits};
use std::sync::Arc;

/// A batch whose head is proven, and then its records.
pub struct Opening {
    batch: BytesMut,
    head: BatchHead,
    rules: Rules,
    proven: Option<Result<BatchHead, RecordsError>>,
}

impl Opening {
    /// Proves the head.
    pub fn new(batch: BytesMut, rules: Rules) -> Result<Opening, RecordsError> {
        let head = prove_head(&batch, &rules)?;
        Ok(Opening { batch, head, rules, proven: None })
    }

    /// The batch as it is to be stored, and its head; or why it may not be.
    pub fn proven(self) -> Result<(BytesMut, BatchHead), Reject> {
        match self.proven {
            Some(Ok(head)) => Ok((self.batch, head)),
            Some(Err(error)) => Err(error.into()),
            None => Err(Reject::Unavailable),
        }
    }

    /// Bytes that are unpacked to prove it.
    fn packed(&self) -> usize {
        let lies_open = Compression::of(self.head.codec()) == Ok(Compression::None);
        if lies_open || !self.rules.opens(&self.head) { 0 } else { self.batch.len() }
    }

    fn prove(&mut self, now: UnixMillis, cap: usize) {
        self.proven = Some(prove_records(&mut self.batch, &self.head, &self.rules, now, cap));
    }

    /// Whether it was given up because it unpacks to more than is opened in passing.
    fn is_large(&self) -> bool {
        matches!(self.proven, Some(Err(RecordsError::Bomb(_))))
    }
}

/// Proves the records of these batches of one request, in passing or on a thread.
pub async fn prove_all(context: &Context, batches: Vec<&mut Opening>) {
    let now = context.clock.now().wall;
    let small = batches.iter().map(|batch| batch.packed()).sum::<usize>() <= limits::OPENED_AT_ONCE;
    let mut large = Vec::new();
    for batch in batches {
        if batch.packed() == 0 || small {
            batch.prove(now, limits::UNPACKED_AT_ONCE);
        }
        if batch.proven.is_none() || batch.is_large() {
            large.push(batch);
        }
    }
    if !large.is_empty() {
        on_a_thread(context, large, now).await;
    }
}

async fn on_a_thread(context: &Context, batches: Vec<&mut Opening>, now: UnixMillis) {
    let slot = Arc::clone(&context.look_ups).acquire_owned().await;
    let (mut places, mut moved) = (Vec::with_capacity(batches.len()), Vec::with_capacity(batches.len()));
    for place in batches {
        let (batch, head, rules) = (std::mem::take(&mut place.batch), place.head, place.rules);
        moved.push(Opening { batch, head, rules, proven: None });
        place.proven = None;
        places.push(place);
    }
    // The slot goes with the work, which runs on when its connection ends.
    let proving = tokio::task::spawn_blocking(move || {
        let _slot = slot;
        moved.iter_mut().for_each(|batch| batch.prove(now, limits::DECOMPRESSED_MAX));
        moved
    });
    match proving.await {
        Ok(proven) => places.into_iter().zip(proven).for_each(|(place, proven)| *place = proven),
        Err(error) => tracing::error!("batches could not be opened and are refused: {error}"),
    }
}
