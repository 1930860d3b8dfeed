//! The journal's writer: entries in, one group, one vectored write, one sync, notices out.
//!
//! ```text
//!   submissions ─> checked against each replica's last entry ─> sorted by replica ─> [header][entry headers][payloads]
//!                                                                                     └ one pwritev ─> written ─> fdatasync ─> synced
//! ```
//!
//! One group is in flight; the next gathers while it syncs. What is written counts for `os` topics, what is synced for
//! `fsync` topics. A failed write or sync is final: the shard stops, nothing is retried. The writer decides nothing
//! about replicas but that their entries follow each other.

use crate::storage::disk::fault::{ShardFault, in_words};
use crate::storage::journal::segment::Segment;
use crate::storage::shard::engine::Engine;
use callboard_actors::ports::{Persisted, ShardError, Submission};
use callboard_core::mutant::{Mutant, planted};
use callboard_core::storage::{
    Durability, ENTRY_HEADER, Entry, EntryHeader, GROUP_HEADER, aligned, check_payload, encode_group,
    needs_sync,
};
use callboard_core::{Lsn, ReplicaId, Seq, records};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Where the stream stands.
pub struct Writer {
    /// Where the next group goes.
    pub pos: Lsn,
    /// Checksum of the last group.
    pub last_crc: u32,
    /// The segment in use.
    pub segment: Arc<Segment>,
    /// Everything below is synced.
    pub synced: Lsn,
    /// What the last group on disk says was synced: behind `synced` until another group is written.
    pub proved: Lsn,
    /// Replicas with entries behind `synced`.
    pub unsynced: BTreeSet<ReplicaId>,
}

/// Up to where the journal is synced, and the checksum of the last group there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncedTo {
    /// The position.
    pub lsn: Lsn,
    /// The checksum.
    pub crc: u32,
}

impl Engine {
    /// Writes entries as one group and makes durable what asks for it. Then notices go out.
    ///
    /// An entry that does not follow its replica's last one fails that replica only.
    pub fn write(&self, batch: Vec<Submission>) -> Result<(), ShardFault> {
        self.healthy()?;
        let mut writer = self.writer.lock();
        self.write_group(&mut writer, batch).inspect_err(|fault| self.fail(fault))
    }

    /// Makes everything written durable.
    pub fn sync(&self) -> Result<(), ShardFault> {
        self.healthy()?;
        let mut writer = self.writer.lock();
        self.sync_written(&mut writer).inspect_err(|fault| self.fail(fault))
    }

    /// Whether somebody's entries are written and not synced yet.
    pub fn is_dirty(&self) -> bool {
        !self.writer.lock().unsynced.is_empty()
    }

    /// Whether the last sync is not proved by a later group yet.
    pub fn is_unproved(&self) -> bool {
        let writer = self.writer.lock();
        writer.proved < writer.synced
    }

    /// Writes an empty group: it proves the last sync. Not synced itself, unless the end is to be clean.
    pub fn prove(&self, sync: bool) -> Result<(), ShardFault> {
        self.healthy()?;
        let mut writer = self.writer.lock();
        let result = self
            .put(&mut writer, &[], &[])
            .and_then(|_| if sync { self.sync_written(&mut writer) } else { Ok(()) });
        result.inspect_err(|fault| self.fail(fault))
    }

    fn write_group(&self, writer: &mut Writer, batch: Vec<Submission>) -> Result<(), ShardFault> {
        let mut accepted = self.accept(batch);
        if accepted.is_empty() {
            return Ok(());
        }
        accepted.sort_by_key(|s| s.replica);
        let headers: Vec<EntryHeader> = accepted.iter().map(header_of).collect();
        let payloads: Vec<&[u8]> = accepted.iter().map(|s| &s.bytes[..]).collect();
        let at = self.put(writer, &headers, &payloads)?;
        let fsync = self.waits_for_sync(&accepted);
        self.indexed(at, &headers, &accepted);
        crate::storage::metrics::group(self.shard, headers.len(), payloads.iter().map(|p| p.len()).sum());
        let touched: BTreeSet<ReplicaId> = accepted.iter().map(|s| s.replica).collect();
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
    fn waits_for_sync(&self, accepted: &[Submission]) -> bool {
        let index = self.index.lock();
        accepted.iter().any(|s| {
            let marked = index.replicas.get(&s.replica).map_or(Durability::Fsync, |live| live.marked);
            needs_sync(&s.entry, s.durability, marked)
        })
    }

    /// Leaves out what does not follow its replica's last entry, and fails those replicas.
    fn accept(&self, batch: Vec<Submission>) -> Vec<Submission> {
        let mut index = self.index.lock();
        let mut accepted: Vec<Submission> = Vec::with_capacity(batch.len());
        // Several entries of a replica may be in one batch: the index only knows the last one written.
        let mut last = std::collections::BTreeMap::new();
        for mut submission in batch {
            let Some(live) = index.replicas.get_mut(&submission.replica) else { continue };
            let (seq, next, dropped) = last.entry(submission.replica).or_insert((live.seq, live.next, false));
            if submission.seq == Seq(0) && submission.entry == Entry::Fence {
                // A new life of the replica's actor: it follows whatever was written, and mends a refusal.
                submission.seq = seq.next();
                live.failed = live.failed.take().filter(|_| live.corrupt);
            }
            // A corrupt replica takes nothing but its end.
            let ending = live.corrupt && matches!(submission.entry, Entry::Stray { .. } | Entry::Drop);
            let open = !live.dropped && !*dropped && (live.failed.is_none() || ending);
            let follows = submission.seq == seq.next() && open;
            let end = match submission.entry {
                Entry::Append { base, .. } if base >= *next => {
                    records::head(&submission.bytes).ok().map(|head| head.next_offset())
                }
                Entry::Append { .. } => None,
                Entry::Truncate { to } => Some((*next).min(to)),
                Entry::LogStart { to } => Some((*next).max(to)),
                _ => Some(*next),
            };
            match end {
                Some(end) if follows => {
                    (*seq, *next) = (submission.seq, end);
                    *dropped = submission.entry == Entry::Drop;
                    accepted.push(submission);
                }
                _ if live.failed.is_none() => {
                    let why = format!(
                        "entry {} of replica {} does not follow entry {}, next offset {}",
                        submission.seq.0, submission.replica.0, seq.0, next
                    );
                    tracing::error!(shard = self.shard, replica = submission.replica.0, "{why}");
                    live.failed = Some(why.clone());
                    if let Some(sink) = &live.sink {
                        sink.failed(ShardError::Refused(why));
                    }
                }
                _ => {}
            }
        }
        accepted
    }

    /// Writes one group and returns its position.
    fn put(
        &self,
        writer: &mut Writer,
        headers: &[EntryHeader],
        payloads: &[&[u8]],
    ) -> Result<Lsn, ShardFault> {
        let payload: usize = payloads.iter().map(|p| p.len()).sum();
        let length = GROUP_HEADER + headers.len() * ENTRY_HEADER + payload;
        let room = aligned(length as u64);
        if writer.pos.0 + room > writer.segment.end().0 {
            self.roll(writer, room)?;
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
        writer.segment.write(&pieces, at)?;
        writer.proved = writer.synced;
        writer.pos = Lsn(at.0 + room);
        writer.last_crc = crc;
        self.written.store(writer.pos.0, std::sync::atomic::Ordering::Release);
        Ok(at)
    }

    /// Goes on in the next segment. What is left of this one is synced first: a sync speaks for one file.
    fn roll(&self, writer: &mut Writer, room: u64) -> Result<(), ShardFault> {
        if writer.pos > writer.synced {
            self.sync_written(writer)?;
        }
        let first = writer.segment.end();
        let needed = room + callboard_core::storage::SEGMENT_HEADER as u64;
        let capacity = self.options.segment_bytes.max(needed);
        // Waits for one that is being made: it is what is needed.
        let mut spare = self.spare.lock();
        let next = match spare.take().filter(|s| s.first == first && s.capacity >= needed) {
            Some(made) => made,
            None => self.segments.make(self.take_recyclable(), self.fresh(), first, capacity, None, &[])?,
        };
        let next = Arc::new(next);
        self.index.lock().segments.insert(first, Arc::clone(&next));
        drop(spare);
        let filled = writer.pos.0 - writer.segment.first.0;
        self.space.rolled(SyncedTo { lsn: next.start(), crc: writer.last_crc }, filled);
        writer.pos = next.start();
        writer.segment = next;
        Ok(())
    }

    fn sync_written(&self, writer: &mut Writer) -> Result<(), ShardFault> {
        if writer.pos > writer.synced {
            let began = self.sync_began();
            writer.segment.sync().map_err(|e| {
                ShardFault(format!(
                    "the journal's sync failed: {}; a failed sync is final, the disk needs care",
                    in_words(&e)
                ))
            })?;
            self.sync_ended(began);
            writer.synced = writer.pos;
            *self.synced.lock() = SyncedTo { lsn: writer.synced, crc: writer.last_crc };
        }
        self.announce(&writer.unsynced, true);
        writer.unsynced.clear();
        Ok(())
    }

    /// Adds what was just written to the index.
    fn indexed(&self, at: Lsn, headers: &[EntryHeader], submissions: &[Submission]) {
        let mut index = self.index.lock();
        let mut byte = at.0 + (GROUP_HEADER + headers.len() * ENTRY_HEADER) as u64;
        for (header, submission) in headers.iter().zip(submissions) {
            let head = check_head(header, &submission.bytes);
            if let Some(live) = index.replicas.get_mut(&header.replica) {
                match head {
                    Some(head) => live.appended(header, Lsn(byte), &head),
                    None => live.changed(header, Lsn(byte)),
                }
            }
            byte += u64::from(header.length);
        }
    }

    /// One notice for each of these replicas.
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

fn check_head(header: &EntryHeader, bytes: &[u8]) -> Option<records::BatchHead> {
    if !matches!(header.entry, Entry::Append { .. }) {
        return None;
    }
    debug_assert!(check_payload(header, bytes).is_ok(), "a batch that does not match its entry");
    records::head(bytes).ok()
}

fn without_truncation(header: &EntryHeader) -> EntryHeader {
    match header.entry {
        Entry::Truncate { .. } => EntryHeader { entry: Entry::Fence, ..*header },
        _ => *header,
    }
}
