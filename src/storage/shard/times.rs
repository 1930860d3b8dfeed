//! What a replica's spans answer: the first record at a time, the newest record, what has expired, the bytes.
//!
//! ```text
//!   rows of the time index (redb) ─┬─ runs of the journal         one list, by offset, without overlap
//!                            settled end
//! ```
//!
//! Settled end and runs are taken first, together, so entries that are settled meanwhile stay in the list as runs. Only
//! batches of spans that may hold the answer are read. Which spans have expired is decided by
//! `callboard_core::storage::expired_to`.

use crate::storage::disk::fault::ShardFault;
use crate::storage::journal::index::Run;
use crate::storage::settled::spans::SpanTable;
use crate::storage::shard::engine::Engine;
use crate::storage::shard::read::corrupt;
use callboard_actors::ports::{ReadError, TimeHit};
use callboard_core::limits;
use callboard_core::records::{BatchHead, Compression, RecordsError, Times};
use callboard_core::storage::{Retention, Span, expired_to};
use callboard_core::{Offset, ReplicaId};
use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};

impl Engine {
    /// The first record in `from .. until` at or after a timestamp.
    pub fn find_time(
        &self,
        replica: ReplicaId,
        from: Offset,
        until: Offset,
        timestamp: i64,
    ) -> Result<Option<TimeHit>, ReadError> {
        let (mut at, mut left) = (from, limits::DECOMPRESSED_MAX);
        loop {
            let late = |span: &Result<Span, _>| span.as_ref().map_or(true, |s| s.max_timestamp >= timestamp);
            let first =
                self.spans(replica, at, until, |mut spans| Iterator::find(&mut spans, late).transpose())?;
            let Some(span) = first else { return Ok(None) };
            let found = self.scan(replica, span.base.max(at), span.next.min(until), |batch, head| {
                let seen =
                    |record: &(Offset, i64)| record.1 >= timestamp && (from..until).contains(&record.0);
                if head.max_timestamp < timestamp {
                    None
                } else {
                    hits(batch, head, &mut left).find(seen).map(at_head(head))
                }
            })?;
            match found {
                Some(hit) => return Ok(Some(hit)),
                // Its latest records lie below `from`, or were truncated.
                None => at = span.next,
            }
        }
    }

    /// The first of the records with the largest timestamp in `from .. until`.
    pub fn max_time(
        &self,
        replica: ReplicaId,
        from: Offset,
        until: Offset,
    ) -> Result<Option<TimeHit>, ReadError> {
        let (mut best, mut left): (Option<TimeHit>, _) = (None, limits::DECOMPRESSED_MAX);
        let mut above: Option<(i64, Reverse<Offset>)> = None;
        loop {
            // Span after span, the latest first: the record that made a span the latest may lie below `from`.
            let next = self.spans(replica, from, until, |spans| {
                let mut latest: Option<Span> = None;
                for span in spans {
                    let span = span?;
                    if above.is_none_or(|above| key(&span) < above)
                        && latest.is_none_or(|latest| key(&span) > key(&latest))
                    {
                        latest = Some(span);
                    }
                }
                Ok(latest)
            })?;
            let Some(span) =
                next.filter(|span| best.is_none_or(|best| may_beat(span.max_timestamp, span.base, &best)))
            else {
                return Ok(best);
            };
            above = Some(key(&span));
            self.scan(replica, span.base.max(from), span.next.min(until), |batch, head| {
                let beats = |best: &TimeHit| may_beat(head.max_timestamp, head.base_offset, best);
                if best.as_ref().is_none_or(beats) {
                    let seen =
                        hits(batch, head, &mut left).filter(|(offset, _)| (from..until).contains(offset));
                    let latest =
                        seen.max_by_key(|(offset, time)| (*time, Reverse(*offset))).map(at_head(head));
                    best =
                        best.into_iter().chain(latest).max_by_key(|hit| (hit.timestamp, Reverse(hit.offset)));
                }
                None
            })?;
        }
    }

    /// The offset up to which retention lets the log start go, if that is above `from`.
    pub fn expired(
        &self,
        replica: ReplicaId,
        from: Offset,
        until: Offset,
        rules: &Retention,
    ) -> Result<Option<Offset>, ReadError> {
        let journal = self.in_journal(replica)?;
        let looked = self.settled.db.spans(replica, |settled| {
            let size = if rules.bytes.is_some() { journal.size_with(settled, from)? } else { 0 };
            journal.with(settled, from, until, |spans| expired_to(spans, size, until, rules))
        });
        looked.map_err(corrupt)
    }

    /// Bytes of a replica, in redb and in the journal.
    pub fn size(&self, replica: ReplicaId) -> Result<u64, ReadError> {
        let journal = self.in_journal(replica)?;
        self.settled.db.spans(replica, |settled| journal.size_with(settled, Offset::MIN)).map_err(corrupt)
    }

    /// The bytes of every replica.
    pub fn sizes(&self) -> Result<BTreeMap<ReplicaId, u64>, ReadError> {
        let settled = self.settled.db.sizes().map_err(corrupt)?;
        let index = self.journal.index.lock();
        let size = |replica, runs: &VecDeque<Run>| {
            let unsettled: u64 = runs.iter().map(|run| u64::from(run.length)).sum();
            unsettled + settled.get(replica).copied().unwrap_or(0)
        };
        let live = index.replicas.iter().filter(|(_, live)| !live.dropped);
        Ok(live.map(|(replica, live)| (*replica, size(replica, &live.runs))).collect())
    }

    fn in_journal(&self, replica: ReplicaId) -> Result<InJournal, ReadError> {
        let index = self.journal.index.lock();
        let gone = || ReadError::Gone("the store does not know the replica".into());
        let live = index.replicas.get(&replica).ok_or_else(gone)?;
        let span = |run: &Run| Span {
            base: run.base,
            next: run.next,
            bytes: u64::from(run.length),
            max_timestamp: run.max_timestamp,
            stored: None,
        };
        Ok(InJournal { from: live.settled_end, runs: live.runs.iter().map(span).collect() })
    }

    /// All spans that reach into `from .. until`, in order.
    fn spans<T>(
        &self,
        replica: ReplicaId,
        from: Offset,
        until: Offset,
        look: impl FnOnce(&mut Spans<'_>) -> Result<T, ShardFault>,
    ) -> Result<T, ReadError> {
        let journal = self.in_journal(replica)?;
        self.settled.db.spans(replica, |settled| journal.with(settled, from, until, look)).map_err(corrupt)
    }
}

type Spans<'a> = dyn Iterator<Item = Result<Span, ShardFault>> + 'a;

/// A replica's part in the journal, as the run index had it.
struct InJournal {
    /// Rows count below this offset. Above it are rows settled since, which are listed here, and rows that an unsettled
    /// truncation took away.
    from: Offset,
    runs: Vec<Span>,
}

impl InJournal {
    /// Shows the spans of rows, then those of runs.
    fn with<T>(
        &self,
        settled: &SpanTable,
        from: Offset,
        until: Offset,
        look: impl FnOnce(&mut Spans<'_>) -> Result<T, ShardFault>,
    ) -> Result<T, ShardFault> {
        let rows = settled.between(from, until.min(self.from))?;
        let runs = self.runs.iter().filter(|run| run.next > from && run.base < until);
        look(&mut rows.chain(runs.copied().map(Ok)))
    }

    /// Bytes of all spans that reach beyond `from`.
    fn size_with(&self, settled: &SpanTable, from: Offset) -> Result<u64, ShardFault> {
        let runs = self.runs.iter().filter(|run| run.next > from);
        Ok(settled.size_between(from, self.from)? + runs.map(|run| run.bytes).sum::<u64>())
    }
}

/// Orders spans by time; of those of one time the first is the greatest.
fn key(span: &Span) -> (i64, Reverse<Offset>) {
    (span.max_timestamp, Reverse(span.base))
}

/// Whether a stretch with this largest timestamp may hold a later record than the best so far, or an earlier one of the
/// same time.
fn may_beat(max_timestamp: i64, base: Offset, best: &TimeHit) -> bool {
    max_timestamp > best.timestamp || (max_timestamp == best.timestamp && base < best.offset)
}

fn at_head(head: &BatchHead) -> impl Fn((Offset, i64)) -> TimeHit {
    let epoch = head.leader_epoch;
    move |(offset, timestamp)| TimeHit { offset, timestamp, epoch }
}

/// Offsets and timestamps of a batch's records. `left` bounds what one look-up unpacks, so that a batch that opens to
/// much costs no more than one large batch. A batch that does not unpack stands for its first record.
fn hits<'a>(batch: &'a [u8], head: &BatchHead, left: &'a mut usize) -> impl Iterator<Item = (Offset, i64)> {
    let compressed = Compression::of(head.codec()) != Ok(Compression::None);
    let cap = if compressed { *left } else { limits::DECOMPRESSED_MAX };
    let stand_in = (head.base_offset, head.max_timestamp);
    let mut times = Times::open(batch, cap).ok();
    let mut opened = times.is_some();
    std::iter::from_fn(move || {
        if !std::mem::replace(&mut opened, true) {
            return Some(stand_in);
        }
        let times = times.as_mut()?;
        let next = times.next();
        if compressed {
            *left = cap - times.unpacked();
        }
        match next? {
            Ok(hit) => Some(hit),
            Err(RecordsError::Bomb(_) | RecordsError::Decompress(_)) => Some(stand_in),
            Err(_) => None,
        }
    })
}
