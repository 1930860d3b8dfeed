//! A replica's state for an actor that starts again: the state in redb, folded on with the entries still in the journal.
//!
//! The run index has the position of each unsettled entry, so nothing but batch heads is read. A start of the process does
//! not come here: recovery folds all replicas at once (`store/recovery.rs`).

use crate::storage::disk::fault::ShardFault;
use crate::storage::journal::batches::walk_heads;
use crate::storage::journal::index::{Pending, Run};
use crate::storage::journal::segment::Segment;
use crate::storage::settled::heads::Heads;
use crate::storage::shard::engine::Engine;
use callboard_actors::ports::{ReplicaState, ShardError, Verdict};
use callboard_core::ReplicaId;
use callboard_core::storage::{EntryHeader, Folded, Outline, ReplicaFold};

/// A replica's state for its actor.
#[must_use]
pub fn report(replica: ReplicaId, state: &ReplicaFold, verdict: Verdict) -> ReplicaState {
    let Outline { seq, log_start, next, epochs, .. } = state.outline.clone();
    ReplicaState {
        replica,
        id: state.id,
        seq,
        log_start,
        next,
        high_watermark: state.committed(),
        epochs,
        producers: state.producers.clone(),
        fsync_since: state.fsync_since,
        stray: state.stray,
        verdict,
    }
}

impl Engine {
    /// The replica's state as of its last written entry.
    pub fn rebuild(&self, replica: ReplicaId) -> Result<ReplicaState, ShardError> {
        let stopped = |fault: ShardFault| ShardError::Stopped { shard: self.shard, reason: fault.0 };
        self.healthy().map_err(stopped)?;
        let (state, pending, told, failed) = {
            let mut index = self.journal.index.lock();
            let unknown = ShardError::UnknownReplica { shard: self.shard, replica: replica.0 };
            // The next life knows producers again that the former one forgot, unless a snapshot leaves them out.
            index.replicas.get_mut(&replica).ok_or(unknown.clone())?.forgotten = None;
            let live = index.replicas.get(&replica).ok_or(unknown)?;
            // The segments are held, so that none is overwritten before it is read.
            let pending: Vec<_> = live.pending.iter().map(|step| (*step, index.segment(step.at()))).collect();
            (live.settled.clone(), pending, live.told(live.pending.len()), live.failed.clone())
        };
        let heads = Heads::behind(state.as_ref().map_or(0, |state| state.outline.next));
        let mut replay = Replay { engine: self, replica, state, heads };
        for (step, segment) in &pending {
            replay.step(step, segment.as_deref()).map_err(|fault| ShardError::Refused(fault.0))?;
        }
        let unopened = || ShardError::Refused("the replica is not open yet".into());
        let mut state = replay.state.ok_or_else(unopened)?;
        if let Some(told) = told {
            state.commit(told);
        }
        Ok(report(replica, &state, failed.map_or(Verdict::Clean, Verdict::Corrupt)))
    }
}

struct Replay<'a> {
    engine: &'a Engine,
    replica: ReplicaId,
    state: Option<ReplicaFold>,
    heads: Heads,
}

impl Replay<'_> {
    fn step(&mut self, step: &Pending, segment: Option<&Segment>) -> Result<(), ShardFault> {
        match (step, segment) {
            (Pending::Run(run), Some(segment)) => self.run(run, segment),
            (Pending::Run(run), None) => Err(ShardFault::no_segment(run.at)),
            (Pending::Entry(entry, _), _) => self.entry(entry),
        }
    }

    fn run(&mut self, run: &Run, segment: &Segment) -> Result<(), ShardFault> {
        let mut seq = run.first_seq;
        for found in walk_heads(segment, run.at, run.length) {
            let head = found?.head;
            let entry = run.entry(self.replica, seq, &head);
            if let Some(state) = &mut self.state
                && state.fold(&entry, Some(&head)) == Folded::Appended
            {
                self.heads.extend([head]);
            }
            seq = seq.next();
        }
        Ok(())
    }

    fn entry(&mut self, entry: &EntryHeader) -> Result<(), ShardFault> {
        let Some(state) = &mut self.state else {
            self.state = ReplicaFold::begun_by(entry);
            return Ok(());
        };
        match state.fold(entry, None) {
            Folded::Emptied { .. } => self.heads.reset(),
            Folded::Truncated { .. } => {
                let (db, find) = (&self.engine.settled.db, |at| self.engine.journal.segment(at));
                state.producers = self.heads.truncate(db, &find, self.replica, &state.outline)?;
            }
            _ => {}
        }
        Ok(())
    }
}
