//! The threads of a shard: one writes the journal, one settles it, one makes segments and looks at the disk's room, one
//! reads what nobody reads, one only looks whether the disk answers.
//!
//! ```text
//!   journal   next group ─ room for it? ─> write ─> sync ─> announce         no: wait, and look again
//!   settle    due, or room is short ─> what is dead first, then a window ─> gate
//!   maker     twice a second, or woken: free space, the next segment
//!   scrub     every second: a little of what is sent unread
//!   watch     twice a second: the age of the running sync. It touches no file, so no disk holds it
//! ```
//!
//! Each ends with the shard's fault, or when it is told to. None waits for another but through the engine's locks.

use crate::storage::disk::fault::ShardFault;
use crate::storage::metrics;
use crate::storage::shard::handle::Inner;
use callboard_actors::ports::Submission;
use callboard_core::limits;
use callboard_core::storage::settle_due;
use std::time::{Duration, Instant};

/// `os` topics: written entries are synced within this.
const OS_SYNC: Duration = Duration::from_millis(1000);
/// After a sync with nothing behind it, an empty group proves it.
const PROVE_AFTER: Duration = Duration::from_millis(100);
/// The settler looks at least this often.
const SETTLE_LOOK: Duration = Duration::from_millis(500);
/// The scrubber reads so often.
const SCRUB_EVERY: Duration = Duration::from_secs(1);
/// A group that the journal has no room for looks again after this.
const ROOM_LOOK: Duration = Duration::from_millis(100);

pub(in crate::storage) fn journal(inner: &Inner) {
    let mut last_sync = Instant::now();
    let mut dirty_since: Option<Instant> = None;
    loop {
        let until = match dirty_since {
            Some(since) => Some(since + OS_SYNC),
            None => inner.engine.is_unproved().then(|| last_sync + PROVE_AFTER),
        };
        let Some(batch) = inner.next_batch(until) else { return };
        match wait_for_room(inner, &batch) {
            Ok(true) => {}
            Ok(false) => return,
            Err(fault) => return inner.faulted(&fault),
        }
        let now = Instant::now();
        let result = if !batch.is_empty() {
            *inner.last_append.lock() = now;
            inner.engine.write(batch)
        } else if dirty_since.is_some() {
            inner.engine.sync()
        } else {
            inner.engine.prove(false)
        };
        if let Err(fault) = result {
            return inner.faulted(&fault);
        }
        // Written only, by topics that do not wait: synced within a second of the oldest.
        if inner.engine.is_dirty() {
            let since = *dirty_since.get_or_insert(now);
            if since.elapsed() >= OS_SYNC
                && let Err(fault) = inner.engine.sync()
            {
                return inner.faulted(&fault);
            }
        }
        if !inner.engine.is_dirty() {
            dirty_since = None;
            last_sync = Instant::now();
        }
        if inner.engine.unsettled() >= inner.engine.options().unsettled_bytes_max / 2
            || inner.engine.wants_segment()
        {
            inner.woken.notify_all();
        }
    }
}

pub(in crate::storage) fn settle(inner: &Inner) {
    let mut again = false;
    loop {
        {
            let mut stop = inner.work.lock();
            if !*stop && !again {
                inner.woken.wait_for(&mut stop, SETTLE_LOOK);
            }
            if *stop {
                return;
            }
        }
        let engine = &inner.engine;
        let idle = inner.last_append.lock().elapsed().as_millis() as u64;
        let max = engine.options().unsettled_bytes_max;
        let due = settle_due(engine.settleable(), max, engine.runs(), limits::RUN_INDEX_MAX, idle);
        let done = match engine.settles_now(due) {
            true => settle_once(inner),
            false if engine.may_sweep() => inner.sweep(max).and_then(|()| inner.give_room()).map(|()| false),
            false => Ok(false),
        };
        match done {
            // Short of room, segment by segment: each that comes free is one to go on with.
            Ok(done) => again = done && engine.room().short() && engine.settleable() > 0,
            Err(fault) => return inner.faulted(&fault),
        }
        inner.open_gate();
    }
}

pub(in crate::storage) fn maker(inner: &Inner) {
    loop {
        inner.engine.look_at_space();
        if let Err(fault) = inner.engine.prepare() {
            return inner.faulted(&fault);
        }
        inner.open_gate();
        let mut stop = inner.work.lock();
        if *stop {
            return;
        }
        inner.woken.wait_for(&mut stop, SETTLE_LOOK);
        if *stop {
            return;
        }
    }
}

/// Says when the disk does not answer.
pub(in crate::storage) fn watch(inner: &Inner) {
    loop {
        inner.engine.look_at_sync();
        let mut stop = inner.work.lock();
        if *stop {
            return;
        }
        inner.woken.wait_for(&mut stop, SETTLE_LOOK);
    }
}

/// Reads what nobody reads, a little every second.
pub(in crate::storage) fn scrub(inner: &Inner) {
    loop {
        let pace = inner.engine.scrub_pace();
        if pace > 0
            && let Err(fault) = inner.engine.scrub(pace)
        {
            return inner.faulted(&fault);
        }
        let mut stop = inner.work.lock();
        let until = Instant::now() + SCRUB_EVERY;
        while !*stop && !inner.woken.wait_until(&mut stop, until).timed_out() {}
        if *stop {
            return;
        }
    }
}

/// Waits until the journal has room for a group. No: the end came first, and the group goes unanswered.
fn wait_for_room(inner: &Inner, batch: &[Submission]) -> Result<bool, ShardFault> {
    // Nothing but a sync: that needs no room.
    if batch.is_empty() && inner.engine.is_dirty() {
        return Ok(true);
    }
    while !inner.engine.room_for(batch)? {
        if inner.engine.is_dirty() {
            inner.engine.sync()?;
        }
        let mut stop = inner.work.lock();
        if *stop {
            return Ok(false);
        }
        inner.woken.notify_all();
        inner.woken.wait_for(&mut stop, ROOM_LOOK);
    }
    Ok(true)
}

/// One settle. Whether anything came of it.
fn settle_once(inner: &Inner) -> Result<bool, ShardFault> {
    let engine = &inner.engine;
    if engine.room().short() {
        engine.sweep()?;
    }
    if engine.settleable() == 0 {
        return engine.settle();
    }
    let (began, before, shard) = (Instant::now(), engine.settled(), engine.shard());
    tracing::info!("shard {shard}: settle started");
    let done = engine.settle()?;
    inner.give_room()?;
    metrics::settled(shard, began.elapsed(), engine.settled().saturating_sub(before));
    tracing::info!("shard {shard}: settle finished in {:?}", began.elapsed());
    Ok(done)
}
