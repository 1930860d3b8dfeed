//! The journal's writer: entries in, one group, one vectored write, one sync, notices out.
//!
//! ```text
//!   submissions ─> judged by the entry rules ─> sorted by replica ─> [header][entry headers][payloads]
//!                                                                     └ one pwritev ─> written ─> fdatasync ─> synced
//! ```
//!
//! One group is in flight; the next gathers while it syncs. Topics with durability `os` wait for the write, those with
//! `fsync` for the sync. A failed write or sync is final: the shard stops and nothing is retried. The writer decides nothing
//! about replicas: `callboard_core::storage::judge` says which entry may follow.

use crate::storage::disk::fault::{ShardFault, in_words};
use crate::storage::journal::dead::Keeper;
use crate::storage::journal::index::Live;
use crate::storage::journal::position::SyncedTo;
use crate::storage::journal::stream::{Journal, Writer};
use crate::storage::metrics;
use callboard_actors::ports::{Persisted, ShardError, Submission};
use callboard_core::mutant::{Mutant, planted};
use callboard_core::records::{self, BatchHead};
use callboard_core::storage::{
    Change, Durability, ENTRY_HEADER, Entry, EntryHeader, GROUP_HEADER, Refusal, Ruling, SEGMENT_HEADER,
    aligned, check_payload, encode_group, needs_sync,
};
use callboard_core::{Lsn, ReplicaId, Seq};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// An entry that follows its replica's last one.
struct Accepted {
    submission: Submission,
    change: Change,
    head: Option<BatchHead>,
}

impl Journal {
    /// Writes entries as one group and makes durable what asks for it. Then notices go out.
    ///
    /// An entry that does not follow its replica's last one fails that replica only.
    pub fn write(&self, batch: Vec<Submission>, keeper: &dyn Keeper) -> Result<(), ShardFault> {
        self.as_writer(|writer| self.write_group(writer, batch, keeper))
    }

    /// Makes everything written durable.
    pub fn sync(&self) -> Result<(), ShardFault> {
        self.as_writer(|writer| self.sync_written(writer))
    }

    /// Writes an empty group, which proves the last sync. `sync`: it is synced itself, for a clean end.
    pub fn prove(&self, sync: bool, keeper: &dyn Keeper) -> Result<(), ShardFault> {
        self.as_writer(|writer| {
            self.put(writer, &[], &[], keeper)?;
            if sync { self.sync_written(writer) } else { Ok(()) }
        })
    }

    /// Does a piece of the writer's work, unless an earlier one failed.
    fn as_writer(&self, work: impl FnOnce(&mut Writer) -> Result<(), ShardFault>) -> Result<(), ShardFault> {
        let mut writer = self.writer.lock();
        if let Some(fault) = &writer.failed {
            return Err(fault.clone());
        }
        // Set before, so that a panic on the way counts as a failure too. An empty text allocates nothing.
        writer.failed = Some(ShardFault(String::new()));
        let done = work(&mut writer);
        writer.failed = done.as_ref().err().cloned();
        done
    }

    fn write_group(
        &self,
        writer: &mut Writer,
        batch: Vec<Submission>,
        keeper: &dyn Keeper,
    ) -> Result<(), ShardFault> {
        let mut accepted = self.accept(batch);
        if accepted.is_empty() {
            return Ok(());
        }
        accepted.sort_by_key(|a| a.submission.replica);
        let headers: Vec<EntryHeader> = accepted.iter().map(|a| header_of(&a.submission)).collect();
        let payloads: Vec<&[u8]> = accepted.iter().map(|a| &a.submission.bytes[..]).collect();
        let at = self.put(writer, &headers, &payloads, keeper)?;
        let fsync = self.waits_for_sync(&accepted);
        self.indexed(at, &headers, &accepted);
        metrics::group(self.shard, headers.len(), payloads.iter().map(|p| p.len()).sum());
        let touched: BTreeSet<ReplicaId> = headers.iter().map(|header| header.replica).collect();
        writer.unsynced.extend(&touched);
        drop(accepted); // gives the permits back: from here on the bytes are the page cache's
        if planted(Mutant::AckBeforeSync) {
            self.announce(&writer.unsynced, true);
        }
        if fsync {
            return self.sync_written(writer);
        }
        self.announce(&touched, false);
        Ok(())
    }

    /// Whether any of these may not be announced before a sync. Asked before they are in the index.
    fn waits_for_sync(&self, accepted: &[Accepted]) -> bool {
        let index = self.index.lock();
        accepted.iter().any(|Accepted { submission: s, .. }| {
            let marked = index.replicas.get(&s.replica).map_or(Durability::Fsync, |live| live.marked);
            needs_sync(&s.entry, s.durability, marked)
        })
    }

    /// Leaves out what does not follow its replica's last entry, and fails those replicas.
    fn accept(&self, batch: Vec<Submission>) -> Vec<Accepted> {
        let mut index = self.index.lock();
        let mut accepted = Vec::with_capacity(batch.len());
        for mut submission in batch {
            let Some(live) = index.replicas.get_mut(&submission.replica) else { continue };
            if submission.seq == Seq(0) && submission.entry == Entry::Fence {
                // A new life of the replica's actor: it follows whatever was written, and mends a refusal.
                submission.seq = live.accepted.seq.next();
                live.begins();
                live.failed = live.failed.take().filter(|_| live.corrupt);
            }
            // A corrupt replica takes nothing but its end.
            let ending = live.corrupt && matches!(submission.entry, Entry::Stray { .. } | Entry::Drop);
            if live.failed.is_some() && !ending {
                continue;
            }
            let head = match submission.entry {
                Entry::Append { .. } => records::head(&submission.bytes).ok(),
                _ => None,
            };
            let end = head.as_ref().map(BatchHead::next_offset);
            match live.accepted.follow(submission.seq, &submission.entry, end) {
                Ruling::Follows(change) => accepted.push(Accepted { submission, change, head }),
                ruling if live.failed.is_none() => self.refuse(live, &submission, ruling),
                _ => {}
            }
        }
        accepted
    }

    fn refuse(&self, live: &mut Live, submission: &Submission, ruling: Ruling) {
        let (seq, replica) = (submission.seq.0, submission.replica.0);
        let (last, next) = (live.accepted.seq, live.accepted.next);
        let why = match ruling {
            Ruling::Refused(why) => why,
            // A replay changes nothing in a journal, but its sender has lost count.
            Ruling::Covered | Ruling::Follows(_) => Refusal::Gap { expected: last.next() },
        };
        let last = last.0;
        let why = format!(
            "entry {seq} of replica {replica} does not follow entry {last}, next offset {next}: {why}"
        );
        tracing::error!(shard = self.shard, replica, "{why}");
        live.failed = Some(why.clone());
        if let Some(sink) = &live.sink {
            sink.failed(ShardError::Refused(why));
        }
    }

    /// Writes one group and returns its position.
    fn put(
        &self,
        writer: &mut Writer,
        headers: &[EntryHeader],
        payloads: &[&[u8]],
        keeper: &dyn Keeper,
    ) -> Result<Lsn, ShardFault> {
        let payload: usize = payloads.iter().map(|p| p.len()).sum();
        let length = GROUP_HEADER + headers.len() * ENTRY_HEADER + payload;
        let room = aligned(length as u64);
        if writer.pos.0 + room > writer.segment.end().0 {
            self.roll(writer, room, keeper)?;
        }
        let at = writer.pos;
        let mut head = Vec::new();
        let journaled: Vec<EntryHeader>;
        let headers = if planted(Mutant::TruncationNotJournaled) {
            journaled = headers.iter().map(without_truncation).collect();
            &journaled
        } else {
            headers
        };
        let crc = encode_group(&self.uuid, at, writer.synced, writer.last_crc, headers, &mut head);
        let mut pieces: Vec<&[u8]> = Vec::with_capacity(payloads.len() + 1);
        pieces.push(&head);
        pieces.extend(payloads.iter().filter(|p| !p.is_empty()));
        // A hung disk holds the write already, long before a sync.
        self.sync.begin();
        let written = writer.segment.write(&pieces, at);
        self.sync.end();
        written?;
        writer.proved = writer.synced;
        writer.pos = Lsn(at.0 + room);
        writer.last_crc = crc;
        self.written.store(writer.pos.0, Ordering::Release);
        Ok(at)
    }

    /// Goes on in the next segment. The rest of this one is synced first, because a sync speaks for one file.
    fn roll(&self, writer: &mut Writer, room: u64, keeper: &dyn Keeper) -> Result<(), ShardFault> {
        if writer.pos > writer.synced {
            self.sync_written(writer)?;
        }
        let first = writer.segment.end();
        let needed = room + SEGMENT_HEADER as u64;
        let capacity = self.making.segment_bytes.max(needed);
        // A segment that is being made is the one that is needed: the lock waits for it.
        let mut spare = self.spare();
        let next = match spare.take().filter(|s| s.first == first && s.capacity >= needed) {
            Some(made) => made,
            None => self.make(self.take_recyclable(keeper), first, capacity)?,
        };
        let next = Arc::new(next);
        self.index.lock().segments.insert(first, Arc::clone(&next));
        drop(spare);
        let filled = writer.pos.0 - writer.segment.first.0;
        self.rolls.rolled(SyncedTo { lsn: next.start(), crc: writer.last_crc }, filled);
        writer.pos = next.start();
        writer.segment = next;
        Ok(())
    }

    fn sync_written(&self, writer: &mut Writer) -> Result<(), ShardFault> {
        if writer.pos > writer.synced {
            let began = self.sync.begin();
            writer.segment.sync().map_err(|e| {
                ShardFault(format!(
                    "the journal's sync failed: {}; a failed sync is final, the disk needs care",
                    in_words(&e)
                ))
            })?;
            self.sync.end();
            self.rolls.synced();
            metrics::sync(self.shard, began.elapsed());
            writer.synced = writer.pos;
            *self.synced.lock() = SyncedTo { lsn: writer.synced, crc: writer.last_crc };
        }
        self.announce(&writer.unsynced, true);
        writer.unsynced.clear();
        Ok(())
    }

    /// Adds what was just written to the index.
    fn indexed(&self, at: Lsn, headers: &[EntryHeader], accepted: &[Accepted]) {
        let mut index = self.index.lock();
        let mut byte = at.0 + (GROUP_HEADER + headers.len() * ENTRY_HEADER) as u64;
        for (header, Accepted { submission, change, head }) in headers.iter().zip(accepted) {
            debug_assert!(
                head.is_none() || check_payload(header, &submission.bytes).is_ok(),
                "a batch that does not match its entry"
            );
            if let Some(live) = index.replicas.get_mut(&header.replica) {
                match head {
                    Some(head) => live.appended(header, Lsn(byte), head),
                    None => live.changed(header, *change, Lsn(byte)),
                }
            }
            byte += u64::from(header.length);
        }
    }

    /// Sends one notice for each of these replicas.
    fn announce(&self, replicas: &BTreeSet<ReplicaId>, synced: bool) {
        let mut index = self.index.lock();
        for replica in replicas {
            let Some(live) = index.replicas.get_mut(replica) else { continue };
            live.announced.written = live.seq;
            if synced {
                live.announced.synced = live.seq;
            }
            let persisted: Persisted = live.announced;
            if let Some(sink) = &live.sink {
                sink.persisted(persisted);
            }
        }
    }
}

fn header_of(submission: &Submission) -> EntryHeader {
    EntryHeader {
        replica: submission.replica,
        seq: submission.seq,
        entry: submission.entry,
        durability: submission.durability,
        length: submission.bytes.len() as u32,
    }
}

fn without_truncation(header: &EntryHeader) -> EntryHeader {
    match header.entry {
        Entry::Truncate { .. } => EntryHeader { entry: Entry::Fence, ..*header },
        _ => *header,
    }
}
