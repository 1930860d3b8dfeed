//! Settling: what is synced in the journal becomes rows in redb, off the acknowledgement path.
//!
//! ```text
//!   window X … synced:  replica by replica  ─> fold ─> blocks ─> transactions of ~8 MiB, each with the entry number
//!                                                                  it reached for every replica it touched
//!                       the last one        ─> X                ─> only then: index, recycling
//! ```
//!
//! A large run stays in the journal and gets a row that says where (`core/storage/residence.rs`); `evacuate.rs` moves it
//! into redb when its segment has to go.
//!
//! A crash between two transactions is harmless: recovery folds from the old X and skips what each replica covers.

use crate::storage::disk::fault::ShardFault;
use crate::storage::journal::batches::walk_heads;
use crate::storage::journal::index::{Pending, Run};
use crate::storage::journal::segment::Segment;
use crate::storage::journal::writer::SyncedTo;
use crate::storage::settled::part::{Batch, Part};
use crate::storage::settled::tx::Tx;
use crate::storage::shard::engine::{Engine, Settler, Sweep};
use callboard_core::mutant::{Mutant, planted};
use callboard_core::partition::Forgotten;
use callboard_core::records::{self, BatchHead};
use callboard_core::storage::ReplicaFold;
use callboard_core::{Lsn, ReplicaId, UnixMillis};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

/// Blocks that one transaction deletes at most.
const DELETE_SLICE: usize = 32;
/// Payload of one transaction.
pub(in crate::storage) const TRANSACTION_BYTES: usize = 8 << 20;
/// What a run that stays in the journal weighs in it: a row.
const ROW_BYTES: usize = 1024;

/// One replica's part in a transaction.
struct Touched {
    replica: ReplicaId,
    state: ReplicaFold,
    steps: usize,
}

/// What is to be settled of one replica.
#[derive(Default)]
struct Due {
    /// As redb has it.
    state: Option<ReplicaFold>,
    forgotten: Option<Forgotten>,
    /// Its next steps.
    steps: Vec<Pending>,
    /// Whether there are more.
    more: bool,
}

impl Engine {
    /// Settles everything synced so far. Whether there was anything.
    pub fn settle(&self) -> Result<bool, ShardFault> {
        self.healthy()?;
        let mut settler = self.settler.lock();
        let target = self.settle_target(settler.x);
        let mut result = self.settle_to(&mut settler, target);
        if let Err(fault) = &result
            && self.fault.get().is_none()
        {
            if self.db.health.ran_out_now() {
                return self.settle_later(fault.clone()).map(|()| false);
            }
            // redb refuses every write after one I/O error until it is opened again: once.
            tracing::warn!(shard = self.shard, "settling failed, store.redb is opened again: {result:?}");
            result = self.reopen().and_then(|()| self.settle_to(&mut settler, target));
        }
        match result {
            Ok(done) => {
                if done || settler.sweep.is_empty() {
                    self.settle_found_room();
                }
                Ok(done)
            }
            Err(fault) => self.settle_later(fault).map(|()| false),
        }
    }

    /// Opens redb again. The outcome of its last transaction is not known: what it holds is asked.
    pub(in crate::storage) fn reopen(&self) -> Result<(), ShardFault> {
        self.db.reopen(false)?;
        let stored = self.db.load()?;
        let mut index = self.index.lock();
        for (replica, state) in stored.replicas {
            if let Some(live) = index.replicas.get_mut(&replica) {
                live.set_settled(state);
            }
        }
        Ok(())
    }

    fn settle_to(&self, settler: &mut Settler, target: SyncedTo) -> Result<bool, ShardFault> {
        if target.lsn <= settler.x {
            return Ok(false);
        }
        if planted(Mutant::XBeforeData) {
            self.db.write(|tx| tx.put_x(target.lsn, target.crc))?;
        }
        let todo: Vec<ReplicaId> = {
            let index = self.index.lock();
            let due = |p: &Pending| p.below(target.lsn);
            index
                .replicas
                .iter()
                .filter(|(_, l)| l.pending.front().is_some_and(due))
                .map(|(r, _)| *r)
                .collect()
        };
        let mut todo = todo.into_iter().peekable();
        while todo.peek().is_some() {
            let touched = self.db.write(|tx| {
                let (mut touched, mut bytes) = (Vec::new(), 0);
                while let Some(replica) = todo.peek().copied() {
                    let (part, more) = self.settle_part(tx, replica, target, &mut bytes)?;
                    touched.extend(part);
                    if !more {
                        todo.next();
                    }
                    if bytes >= TRANSACTION_BYTES {
                        break;
                    }
                }
                Ok(touched)
            })?;
            crate::storage::metrics::committed(self.shard);
            self.publish(settler, touched);
        }
        let next_replica = self.index.lock().next_replica;
        self.db.write(|tx| {
            tx.put_next_replica(next_replica)?;
            tx.put_x(target.lsn, target.crc)
        })?;
        crate::storage::metrics::committed(self.shard);
        settler.x = target.lsn;
        self.durable_x.store(target.lsn.0, Ordering::Release);
        Ok(true)
    }

    /// Folds one replica's next steps into the transaction. Second: whether the replica has more below the target.
    fn settle_part(
        &self,
        tx: &mut Tx<'_>,
        replica: ReplicaId,
        target: SyncedTo,
        bytes: &mut usize,
    ) -> Result<(Option<Touched>, bool), ShardFault> {
        let budget = TRANSACTION_BYTES.saturating_sub(*bytes);
        let Due { state, forgotten, steps, more } = self.due(replica, target, budget);
        if steps.is_empty() {
            return Ok((None, false));
        }
        let find = |at| self.index.lock().segment(at);
        let mut part = Part { tx, replica, state, batches: Vec::new(), forgotten, now: wall(), find: &find };
        for step in &steps {
            match step {
                Pending::Run(run) => *bytes += self.settle_run(&mut part, run)?,
                Pending::Entry(entry, _) => part.entry(entry)?,
            }
        }
        let Some(state) = part.finish()? else { return Ok((None, more)) };
        Ok((Some(Touched { replica, state, steps: steps.len() }), more))
    }

    /// What is due of a replica, up to so many bytes of payload; one step at least.
    fn due(&self, replica: ReplicaId, target: SyncedTo, budget: usize) -> Due {
        let index = self.index.lock();
        let Some(live) = index.replicas.get(&replica) else { return Due::default() };
        let (state, forgotten) = (live.settled.clone(), live.forgotten);
        let mut due = Due { state, forgotten, ..Due::default() };
        let mut bytes = 0;
        for step in live.pending.iter().take_while(|p| p.below(target.lsn)) {
            if bytes >= budget && !due.steps.is_empty() {
                due.more = true;
                break;
            }
            if let Pending::Run(run) = step {
                bytes +=
                    if self.options.residence.stays(run.length) { ROW_BYTES } else { run.length as usize };
            }
            due.steps.push(*step);
        }
        due
    }

    /// Folds a run. A large one stays where it is: its heads are all that is read of it. What it weighs in the transaction.
    fn settle_run(&self, part: &mut Part<'_, '_>, run: &Run) -> Result<usize, ShardFault> {
        let (mut seq, mut next) = (run.first_seq, run.base);
        let (at, replica) = (run.at.0, part.replica.0);
        let rotten = |why: String| {
            ShardFault(format!(
                "the journal at {at} does not hold what was written for replica {replica}: {why}"
            ))
        };
        let mut take = |head: &BatchHead, content: Batch| {
            // Kafka's checksum skips the base offset; the batches of a run follow each other.
            if head.base_offset != next {
                return Err(rotten(format!("a batch at offset {} in place of {next}", head.base_offset)));
            }
            next = head.next_offset();
            part.batch(seq, run, head, content)?;
            seq = seq.next();
            Ok(())
        };
        let segment = self.segment_of(run.at)?;
        if self.options.residence.stays(run.length) {
            for found in walk_heads(&segment, run.at, run.length) {
                let found = found.map_err(|e| rotten(e.0))?;
                let (at, skipped) = (found.at, found.skipped);
                take(&found.head, Batch::Journal { segment: segment.first, at, skipped })?;
            }
            return Ok(ROW_BYTES);
        }
        let mut rest = segment.read(run.at, run.length as usize)?;
        while !rest.is_empty() {
            let head = records::verify(&rest).map_err(|e| rotten(e.to_string()))?;
            let batch = rest.split_to(head.size as usize);
            take(&head, Batch::Here(batch))?;
        }
        Ok(run.length as usize)
    }

    pub(in crate::storage) fn segment_of(&self, at: Lsn) -> Result<Arc<Segment>, ShardFault> {
        let segment = self.index.lock().segment(at);
        segment.ok_or_else(|| ShardFault::no_segment(at))
    }

    /// What a committed transaction holds is the settler's from here on.
    fn publish(&self, settler: &mut Settler, touched: Vec<Touched>) {
        let mut index = self.index.lock();
        for Touched { replica, state, steps } in touched {
            if state.dropped {
                index.replicas.remove(&replica);
                settler.sweep.insert(replica, Sweep::All);
                continue;
            }
            let Some(live) = index.replicas.get_mut(&replica) else { continue };
            live.take_settled(steps);
            // Also down again: after a truncation below it new records stand where old ones were to be swept.
            if live.settled.as_ref().is_some_and(|old| old.log_start != state.log_start) {
                settler.sweep.insert(replica, Sweep::Below(state.log_start));
            }
            live.set_settled(state);
        }
    }

    /// Removes rows that nobody can see any more: one slice, one transaction. Whether there is more.
    ///
    /// Deleting reads what it deletes and holds redb's writer: a settle that is due goes first.
    pub fn sweep(&self) -> Result<bool, ShardFault> {
        self.healthy()?;
        let mut settler = self.settler.lock();
        if settler.sweep.is_empty() {
            return Ok(false);
        }
        let sweep = &settler.sweep;
        let swept = self.db.write(|tx| {
            let mut done = Vec::new();
            let mut left = DELETE_SLICE;
            for (replica, what) in sweep {
                let more = match what {
                    Sweep::Below(log_start) => tx.trim(*replica, *log_start, &mut left)?,
                    Sweep::All => tx.drop_replica(*replica, &mut left)?,
                };
                if more {
                    break;
                }
                done.push(*replica);
            }
            Ok(done)
        });
        let done = match swept {
            Ok(done) => done,
            Err(fault) => return self.settle_later(fault).map(|()| false),
        };
        self.settle_found_room();
        done.iter().for_each(|replica| {
            settler.sweep.remove(replica);
        });
        Ok(!settler.sweep.is_empty())
    }
}

pub(in crate::storage) fn wall() -> UnixMillis {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
