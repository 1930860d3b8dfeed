//! The threads of a shard: five loops, each of which waits, looks at the engine, and calls it.
//!
//! ```text
//!   journal   next group ─ room for it? ─> write ─> sync ─> announce         no: wait, and look again
//!   settle    due, or room is short ─> dead rows first, then a window ─> gate
//!   maker     twice a second, or woken: free space, the next segment
//!   scrub     every second: a little of what is sent unread
//!   watch     twice a second: the age of the running sync. It touches no file, so no disk holds it
//! ```
//!
//! Each thread ends with the shard's fault, or when it is told to. Threads wait for each other only through the engine's
//! locks. What a call does is not decided here.

use crate::storage::disk::fault::ShardFault;
use crate::storage::metrics;
use crate::storage::shard::inner::Inner;
use callboard_actors::ports::Submission;
use callboard_core::limits;
use callboard_core::storage::settle_due;
use std::time::{Duration, Instant};

/// Entries of `os` topics are synced within this time after they were written.
const OS_SYNC: Duration = Duration::from_millis(1000);
/// A sync with nothing behind it is proved by an empty group after this time.
const PROVE_AFTER: Duration = Duration::from_millis(100);
/// Settler, maker and watch look at least this often.
const SETTLE_LOOK: Duration = Duration::from_millis(500);
const SCRUB_EVERY: Duration = Duration::from_secs(1);
/// A group for which the journal has no room looks again after this time.
const ROOM_LOOK: Duration = Duration::from_millis(100);

/// Writes group after group, and syncs what is only written.
pub fn journal(inner: &Inner) {
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
        // Entries of topics that do not wait for a sync: the oldest waits a second for it at most.
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

/// Settles when that is due or room is short, and sweeps in between.
pub fn settle(inner: &Inner) {
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
            // Where room is short the settler goes segment by segment, and each that comes free is used at once.
            Ok(done) => again = done && engine.room().short() && engine.settleable() > 0,
            Err(fault) => return inner.faulted(&fault),
        }
        inner.open_gate();
    }
}

/// Looks at the file system and makes the next segment ahead.
pub fn maker(inner: &Inner) {
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
pub fn watch(inner: &Inner) {
    loop {
        inner.engine.look_at_sync();
        let mut stop = inner.work.lock();
        if *stop {
            return;
        }
        inner.woken.wait_for(&mut stop, SETTLE_LOOK);
    }
}

/// Proves a little every second of what is sent unread.
pub fn scrub(inner: &Inner) {
    loop {
        let pace = inner.engine.scrub_pace();
        if pace > 0
            && let Err(fault) = inner.engine.scrub(pace)
        {
            return inner.faulted(&fault);
        }
        inner.engine.tell_all_rot();
        let mut stop = inner.work.lock();
        let until = Instant::now() + SCRUB_EVERY;
        while !*stop && !inner.woken.wait_until(&mut stop, until).timed_out() {}
        if *stop {
            return;
        }
    }
}

/// Waits until the journal has room for a group. Returns false if the end came first; the group goes unanswered then.
fn wait_for_room(inner: &Inner, batch: &[Submission]) -> Result<bool, ShardFault> {
    // A sync alone needs no room.
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

/// Settles once. Returns whether anything came of it.
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
