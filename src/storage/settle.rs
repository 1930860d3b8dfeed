//! Settling: what is synced in the journal becomes rows in redb, off the acknowledgement path.
//!
//! ```text
//!   window X … synced:  replica by replica  ─> fold ─> blocks ─> transactions of ~8 MiB, each with the entry number
//!                                                                  it reached for every replica it touched
//!                       the last one        ─> X                ─> only then: index, recycling
//! ```
//!
//! A crash between two transactions is harmless: recovery folds from the old X and skips what each replica covers.

use super::db::{NewBlock, Tx};
use super::engine::{Engine, Settler, Sweep};
use super::error::ShardFault;
use super::index::{Pending, Run};
use super::rows::{self, BLOCK_HEADER, Home};
use super::writer::SyncedTo;
use bytes::Bytes;
use callboard_core::mutant::{Mutant, planted};
use callboard_core::partition::ProducerTable;
use callboard_core::records::{self, BatchHead};
use callboard_core::storage::{Entry, EntryHeader, Folded, ReplicaFold, blocks};
use callboard_core::{Offset, ReplicaId, Seq, UnixMillis};
use std::sync::atomic::Ordering;
use std::time::SystemTime;

/// Blocks that one transaction deletes at most.
const DELETE_SLICE: usize = 32;
/// Payload of one transaction.
const TRANSACTION_BYTES: usize = 8 << 20;

/// One replica's part in a transaction.
struct Touched {
    replica: ReplicaId,
    state: ReplicaFold,
    steps: usize,
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
    pub(super) fn reopen(&self) -> Result<(), ShardFault> {
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
            super::metrics::committed(self.shard);
            self.publish(settler, touched);
        }
        let next_replica = self.index.lock().next_replica;
        self.db.write(|tx| {
            tx.put_next_replica(next_replica)?;
            tx.put_x(target.lsn, target.crc)
        })?;
        super::metrics::committed(self.shard);
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
        let (state, steps, more) = self.steps(replica, target, TRANSACTION_BYTES.saturating_sub(*bytes));
        if steps.is_empty() {
            return Ok((None, false));
        }
        let expiry = (wall(), self.options.producer_expiration_ms);
        let mut part = Part { tx, replica, state, batches: Vec::new(), expiry };
        for step in &steps {
            match step {
                Pending::Run(run) => *bytes += self.settle_run(&mut part, run)?,
                Pending::Entry(entry, _) => part.entry(entry)?,
            }
        }
        let Some(state) = part.finish()? else { return Ok((None, more)) };
        Ok((Some(Touched { replica, state, steps: steps.len() }), more))
    }

    /// The replica as redb has it, and its next steps, up to so many bytes of payload (one at least). Third: whether
    /// more are due.
    fn steps(
        &self,
        replica: ReplicaId,
        target: SyncedTo,
        budget: usize,
    ) -> (Option<ReplicaFold>, Vec<Pending>, bool) {
        let index = self.index.lock();
        let Some(live) = index.replicas.get(&replica) else { return (None, Vec::new(), false) };
        let (mut out, mut bytes) = (Vec::new(), 0);
        for step in live.pending.iter().take_while(|p| p.below(target.lsn)) {
            if bytes >= budget && !out.is_empty() {
                return (live.settled.clone(), out, true);
            }
            if let Pending::Run(run) = step {
                bytes += run.length as usize;
            }
            out.push(*step);
        }
        (live.settled.clone(), out, false)
    }

    fn settle_run(&self, part: &mut Part<'_, '_>, run: &Run) -> Result<usize, ShardFault> {
        let bytes = self.read_run(run)?;
        let (mut seq, mut next) = (run.first_seq, run.base);
        let (at, replica) = (run.at.0, part.replica.0);
        let rotten = |why: String| {
            ShardFault(format!(
                "the journal at {at} does not hold what was written for replica {replica}: {why}"
            ))
        };
        let mut rest = bytes.clone();
        while !rest.is_empty() {
            let head = records::verify(&rest).map_err(|e| rotten(e.to_string()))?;
            // Kafka's checksum skips the base offset; the batches of a run follow each other.
            if head.base_offset != next {
                return Err(rotten(format!("a batch at offset {} in place of {next}", head.base_offset)));
            }
            next = head.next_offset();
            let batch = rest.split_to(head.size as usize);
            part.batch(seq, run, batch, &head)?;
            seq = seq.next();
        }
        Ok(bytes.len())
    }

    pub(super) fn read_run(&self, run: &Run) -> Result<Bytes, ShardFault> {
        let segment = self.index.lock().segment(run.at);
        let segment = segment.ok_or_else(|| ShardFault(format!("no journal segment holds {}", run.at.0)))?;
        Ok(segment.read(run.at, run.length as usize)?)
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

fn wall() -> UnixMillis {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// One replica, being folded into a transaction.
struct Part<'a, 't> {
    tx: &'a mut Tx<'t>,
    replica: ReplicaId,
    state: Option<ReplicaFold>,
    batches: Vec<(Bytes, BatchHead)>,
    /// The time, and after how many milliseconds a producer that is silent is forgotten.
    expiry: (UnixMillis, i64),
}

impl Part<'_, '_> {
    fn batch(&mut self, seq: Seq, run: &Run, batch: Bytes, head: &BatchHead) -> Result<(), ShardFault> {
        let entry = EntryHeader {
            replica: self.replica,
            seq,
            entry: Entry::Append { base: head.base_offset, epoch: head.leader_epoch },
            durability: run.durability,
            length: head.size,
        };
        if self.fold(&entry, Some(head))? == Folded::Appended {
            self.batches.push((batch, *head));
        }
        Ok(())
    }

    fn entry(&mut self, entry: &EntryHeader) -> Result<(), ShardFault> {
        match self.fold(entry, None)? {
            Folded::Truncated { to } => self.truncate(to),
            _ => Ok(()),
        }
    }

    fn fold(&mut self, entry: &EntryHeader, head: Option<&BatchHead>) -> Result<Folded, ShardFault> {
        let Some(state) = &mut self.state else {
            if let Entry::Open { id } = entry.entry {
                self.state = Some(ReplicaFold::opened(id, entry.seq));
            }
            return Ok(Folded::Marked);
        };
        match state.fold(entry, head) {
            Folded::Refused(why) => Err(ShardFault(format!(
                "entry {} of replica {} in the journal cannot follow what is settled: {why}",
                entry.seq.0, self.replica.0
            ))),
            // A corrupt replica: what lies behind the hole stays in its (pinned) segment.
            folded => Ok(folded),
        }
    }

    fn truncate(&mut self, to: Offset) -> Result<(), ShardFault> {
        self.batches.retain(|(_, head)| head.base_offset < to);
        if let Some(row) = self.tx.truncate(self.replica, to)? {
            let (_, Home::Inline(at)) = rows::decode_block(&row)? else {
                return Err(ShardFault("store.redb: a block in the journal cannot be clipped".into()));
            };
            let kept: Vec<(Bytes, BatchHead)> = batches_of(&Bytes::from(row).slice(at..))?
                .into_iter()
                .filter(|(_, head)| head.base_offset < to)
                .collect();
            put(self.tx, self.replica, &kept, self.expiry.0)?;
        }
        let producers = self.producers_at(to)?;
        if let Some(state) = &mut self.state
            && !planted(Mutant::ProducersNotTruncated)
        {
            state.producers = producers;
        }
        Ok(())
    }

    /// The producers at `to`: the newest snapshot left, and the heads behind it; all that are left, if there is none.
    fn producers_at(&self, to: Offset) -> Result<ProducerTable, ShardFault> {
        let (from, mut table) = self.tx.snapshot_below(self.replica, to)?.unwrap_or_default();
        let mut take = |head: &BatchHead| {
            if head.base_offset >= from && head.base_offset < to {
                table.apply(head);
            }
        };
        self.tx.rows_between(self.replica, from, to, |row| {
            if let (_, Home::Inline(at)) = rows::decode_block(row)? {
                for batch in records::batches(&row[at..]) {
                    take(&batch.map_err(stored)?.1);
                }
            }
            Ok(())
        })?;
        self.batches.iter().for_each(|(_, head)| take(head));
        Ok(table)
    }

    fn finish(self) -> Result<Option<ReplicaFold>, ShardFault> {
        let Some(mut state) = self.state else { return Ok(None) };
        state.producers.expire(self.expiry.0, self.expiry.1);
        // What the log start has passed already is never written.
        let kept: Vec<(Bytes, BatchHead)> = self
            .batches
            .into_iter()
            .filter(|(_, h)| h.next_offset() > state.log_start && !state.dropped)
            .collect();
        put(self.tx, self.replica, &kept, self.expiry.0)?;
        self.tx.put_replica(self.replica, &state)?;
        Ok(Some(state))
    }
}

/// Stores batches as blocks.
fn put(
    tx: &mut Tx<'_>,
    replica: ReplicaId,
    batches: &[(Bytes, BatchHead)],
    now: UnixMillis,
) -> Result<(), ShardFault> {
    let sizes: Vec<usize> = batches.iter().map(|(bytes, _)| bytes.len()).collect();
    let rows: Vec<NewBlock> = blocks(&sizes, BLOCK_HEADER)
        .into_iter()
        .map(|block| {
            let part = &batches[block.from..block.to];
            NewBlock {
                base: part[0].1.base_offset,
                next: part.last().map_or(0, |(_, head)| head.next_offset()),
                batches: part.iter().map(|(bytes, _)| bytes.clone()).collect(),
                max_timestamp: part.iter().map(|(_, head)| head.max_timestamp).max().unwrap_or(-1),
                stored: now,
            }
        })
        .collect();
    if rows.is_empty() { Ok(()) } else { tx.put_blocks(replica, &rows) }
}

fn stored(error: records::RecordsError) -> ShardFault {
    ShardFault(format!("store.redb: a stored batch: {error}"))
}

/// Splits contiguous batches.
pub(super) fn batches_of(bytes: &Bytes) -> Result<Vec<(Bytes, BatchHead)>, ShardFault> {
    let mut rest = bytes.clone();
    let mut out = Vec::new();
    while !rest.is_empty() {
        let head = records::head(&rest).map_err(stored)?;
        out.push((rest.split_to(head.size as usize), head));
    }
    Ok(out)
}
