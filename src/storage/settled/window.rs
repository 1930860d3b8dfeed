//! A settle window: entries that are synced in the journal become rows in redb.
//!
//! ```text
//!   window X … synced:  replica by replica  ─> fold ─> blocks ─> transactions of ~8 MiB, each with the entry number
//!                                                                  it reached for every replica it touched
//!                       the last one        ─> X                ─> only then: index, recycling
//! ```
//!
//! With its entries a replica's high watermark is stored, as far as it speaks of the log at that point (R42). It gets a
//! transaction of its own where it moved without entries.
//!
//! A large run stays in the journal and gets a row that names its place (`callboard_core::storage::Residence`). A crash
//! between two transactions is harmless: recovery folds from the old X and skips what each replica covers. A fault goes to
//! the caller: `shard/settle.rs` knows which of them pass.

use crate::storage::disk::fault::ShardFault;
use crate::storage::journal::batches::walk_heads;
use crate::storage::journal::index::{Live, Pending, Run};
use crate::storage::journal::position::SyncedTo;
use crate::storage::journal::stream::Journal;
use crate::storage::metrics;
use crate::storage::settled::part::{Batch, Part};
use crate::storage::settled::state::{Settled, Settler, Sweep};
use crate::storage::settled::tx::Tx;
use callboard_core::mutant::{Mutant, planted};
use callboard_core::partition::Forgotten;
use callboard_core::records::{self, BatchHead};
use callboard_core::storage::ReplicaFold;
use callboard_core::{Offset, ReplicaId, UnixMillis};
use std::time::SystemTime;

/// Blocks that one transaction deletes at most.
const DELETE_SLICE: usize = 32;
/// Payload of one transaction. Bytes.
pub const TRANSACTION_BYTES: usize = 8 << 20;
/// A run that stays in the journal counts as so many bytes of that: it is one row.
const ROW_BYTES: usize = 1024;

/// One replica's part in a transaction.
struct Touched {
    replica: ReplicaId,
    state: ReplicaFold,
    steps: usize,
}

/// The next steps of one replica.
#[derive(Default)]
struct Due {
    /// The replica as redb has it.
    state: Option<ReplicaFold>,
    forgotten: Option<Forgotten>,
    told: Option<Offset>,
    steps: Vec<Pending>,
    /// Whether there are more steps below the target.
    more: bool,
}

impl Settled {
    /// Opens redb again. The outcome of its last transaction is not known, so the replicas are read from it.
    pub fn reopen(&self, journal: &Journal) -> Result<(), ShardFault> {
        self.db.reopen(false)?;
        let stored = self.db.load()?;
        let mut index = journal.index.lock();
        for (replica, state) in stored.replicas {
            if let Some(live) = index.replicas.get_mut(&replica) {
                live.set_settled(state);
            }
        }
        Ok(())
    }

    /// The replicas with entries below the target, and those of which only a higher high watermark is news.
    fn todo(&self, journal: &Journal, target: SyncedTo) -> Vec<ReplicaId> {
        let index = journal.index.lock();
        let due = |live: &Live| live.pending.front().is_some_and(|p| p.below(target.lsn)) || live.only_told();
        index.replicas.iter().filter(|(_, live)| due(live)).map(|(replica, _)| *replica).collect()
    }

    /// Settles everything below `target`. Returns whether there was anything.
    pub fn settle_to(
        &self,
        settler: &mut Settler,
        journal: &Journal,
        target: SyncedTo,
    ) -> Result<bool, ShardFault> {
        let mut todo = self.todo(journal, target).into_iter().peekable();
        let moves = target.lsn > settler.x;
        if !moves && todo.peek().is_none() {
            return Ok(false);
        }
        if moves && planted(Mutant::XBeforeData) {
            self.db.write(|tx| tx.put_x(target.lsn, target.crc))?;
        }
        while todo.peek().is_some() {
            let touched = self.db.write(|tx| {
                let (mut touched, mut bytes) = (Vec::new(), 0);
                while let Some(replica) = todo.peek().copied() {
                    let (part, more) = self.settle_part(tx, journal, replica, target, &mut bytes)?;
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
            metrics::committed(self.shard);
            publish(settler, journal, touched);
        }
        if !moves {
            return Ok(true);
        }
        let next_replica = journal.index.lock().next_replica;
        self.db.write(|tx| {
            tx.put_next_replica(next_replica)?;
            tx.put_x(target.lsn, target.crc)
        })?;
        metrics::committed(self.shard);
        self.moved(settler, target.lsn);
        Ok(true)
    }

    /// Folds one replica's next steps into the transaction. Second: whether the replica has more below the target.
    fn settle_part(
        &self,
        tx: &mut Tx<'_>,
        journal: &Journal,
        replica: ReplicaId,
        target: SyncedTo,
        bytes: &mut usize,
    ) -> Result<(Option<Touched>, bool), ShardFault> {
        let budget = TRANSACTION_BYTES.saturating_sub(*bytes);
        let Due { state, forgotten, told, steps, more } = self.due(journal, replica, target, budget);
        if steps.is_empty() && told.is_none() {
            return Ok((None, false));
        }
        let (batches, now, find) = (Vec::new(), wall(), |at| journal.segment(at));
        let mut part = Part { tx, replica, state, batches, forgotten, told, now, find: &find };
        for step in &steps {
            match step {
                Pending::Run(run) => *bytes += self.settle_run(journal, &mut part, run)?,
                Pending::Entry(entry, _) => part.entry(entry)?,
            }
        }
        let Some(state) = part.finish()? else { return Ok((None, more)) };
        Ok((Some(Touched { replica, state, steps: steps.len() }), more))
    }

    /// The next steps of a replica, up to so many bytes of payload; one step at least.
    fn due(&self, journal: &Journal, replica: ReplicaId, target: SyncedTo, budget: usize) -> Due {
        let index = journal.index.lock();
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
                bytes += if self.residence.stays(run.length) { ROW_BYTES } else { run.length as usize };
            }
            due.steps.push(*step);
        }
        let any = !due.steps.is_empty() || live.only_told();
        due.told = live.told(due.steps.len()).filter(|_| any);
        due
    }

    /// Folds a run. A large one stays where it is, and only its heads are read. Returns its weight in the transaction.
    fn settle_run(&self, journal: &Journal, part: &mut Part<'_, '_>, run: &Run) -> Result<usize, ShardFault> {
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
        let segment = journal.segment_of(run.at)?;
        if self.residence.stays(run.length) {
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

    /// Removes rows that no reader can see any more: one slice, one transaction. Returns the replicas that are done.
    pub fn sweep_slice(&self, settler: &Settler) -> Result<Vec<ReplicaId>, ShardFault> {
        self.db.write(|tx| {
            let mut done = Vec::new();
            let mut left = DELETE_SLICE;
            for (replica, what) in &settler.sweep {
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
        })
    }
}

/// Hands a committed transaction over: its steps leave the index, and the settler owns what is left to sweep.
fn publish(settler: &mut Settler, journal: &Journal, touched: Vec<Touched>) {
    let mut index = journal.index.lock();
    for Touched { replica, state, steps } in touched {
        if state.outline.dropped {
            index.replicas.remove(&replica);
            settler.sweep.insert(replica, Sweep::All);
            continue;
        }
        let Some(live) = index.replicas.get_mut(&replica) else { continue };
        live.take_settled(steps);
        let log_start = state.outline.log_start;
        // Also down again: after a truncation below it new records stand where old ones were to be swept.
        if live.settled.as_ref().is_some_and(|old| old.outline.log_start != log_start) {
            settler.sweep.insert(replica, Sweep::Below(log_start));
        }
        live.set_settled(state);
    }
}

/// The wall clock, for rows that say when they were stored.
#[must_use]
pub fn wall() -> UnixMillis {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
