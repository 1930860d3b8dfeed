//! The state that a replica must have, computed without any code of the store. The model keeps the replica's entries in
//! their order and the announcements. From a first part of the entries it computes the content that a reader must find.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use callboard_actors::ports::{Persisted, ReplicaSink, ShardError};
use callboard_core::partition::Forgotten;
use callboard_core::records::{self, BatchHead};
use callboard_core::storage::{Durability, Entry};
use callboard_core::{Offset, ReplicaId, TopicPartition};
use parking_lot::Mutex;

/// One entry as it was submitted. Its number is its place in the list, from 1.
#[derive(Clone)]
pub struct Written {
    pub entry: Entry,
    /// Whether it waits for a sync.
    pub durability: Durability,
    /// The batch of an `Append`; else empty.
    pub bytes: Bytes,
}

/// Announcements for a replica, as its actor would have heard them.
#[derive(Default)]
pub struct Heard {
    pub persisted: Mutex<Persisted>,
    /// Set when the replica goes no further.
    pub failed: Mutex<Option<ShardError>>,
}

impl ReplicaSink for Heard {
    fn persisted(&self, persisted: Persisted) {
        *self.persisted.lock() = persisted;
    }

    fn failed(&self, error: ShardError) {
        *self.failed.lock() = Some(error);
    }
    fn rotted(&self, _: String) {}
}

/// The history of one replica, from its opening on.
#[derive(Clone)]
pub struct Replica {
    pub id: TopicPartition,
    pub shard: usize,
    pub replica: ReplicaId,
    pub entries: Vec<Arc<Written>>,
    /// Producers that the store was told to forget.
    pub forgotten: Vec<Forgotten>,
    /// High watermarks that the store was told, each with the number of entries at that moment.
    pub told: Vec<(usize, Offset)>,
    /// Announcements up to the moment of this copy.
    pub persisted: Persisted,
    /// Announcements as they come.
    pub heard: Arc<Heard>,
}

/// A batch that a reader must find.
#[derive(Clone)]
pub struct Stored {
    pub head: BatchHead,
    pub bytes: Bytes,
}

/// The state of a replica after a first part of its entries.
#[derive(Clone, Default)]
pub struct Expected {
    /// Whether the replica exists.
    pub open: bool,
    /// First offset that can be read.
    pub log_start: Offset,
    pub next: Offset,
    /// All batches, those below the log start too.
    pub batches: Vec<Stored>,
    /// Batches that a truncation or a reset took away.
    pub truncated: Vec<BatchHead>,
    /// Leader epochs and where each starts, while no log start has passed them.
    pub epochs: BTreeMap<i32, Offset>,
}

impl Replica {
    /// A replica that was just opened.
    #[must_use]
    pub fn opened(id: TopicPartition, shard: usize, replica: ReplicaId, heard: Arc<Heard>) -> Replica {
        let open = Written { entry: Entry::Open { id }, durability: Durability::Fsync, bytes: Bytes::new() };
        let (entries, forgotten, told) = (vec![Arc::new(open)], Vec::new(), Vec::new());
        Replica { id, shard, replica, entries, forgotten, told, persisted: Persisted::default(), heard }
    }

    /// A copy of this moment, with the announcements so far.
    #[must_use]
    pub fn now(&self) -> Replica {
        Replica { persisted: *self.heard.persisted.lock(), ..self.clone() }
    }

    /// Whether the last entry is a drop.
    #[must_use]
    pub fn dropped(&self) -> bool {
        self.entries.last().is_some_and(|e| e.entry == Entry::Drop)
    }

    /// The state after the first `count` entries.
    #[must_use]
    pub fn after(&self, count: usize) -> Expected {
        let mut out = Expected::default();
        for written in &self.entries[..count] {
            match written.entry {
                Entry::Open { .. } => out.open = true,
                Entry::Append { base, epoch } => {
                    let Ok(head) = records::head(&written.bytes) else { continue };
                    out.epochs.entry(epoch).or_insert(base);
                    out.batches.push(Stored { head, bytes: written.bytes.clone() });
                    out.next = head.next_offset();
                }
                Entry::Truncate { to } => {
                    let gone = out.batches.iter().filter(|b| b.head.base_offset >= to).map(|b| b.head);
                    out.truncated.extend(gone);
                    out.batches.retain(|b| b.head.base_offset < to);
                    out.epochs.retain(|_, start| *start < to);
                    out.next = out.next.min(to);
                }
                Entry::Reset { at } => out.reset(at),
                Entry::LogStart { to } if to > out.next => out.reset(to),
                Entry::LogStart { to } if to > out.log_start => {
                    out.log_start = to;
                    // Kafka's rule: the epoch that covers the new start begins there.
                    let covering = out.epochs.iter().rev().find(|(_, start)| **start <= to).map(|(e, _)| *e);
                    if let Some(covering) = covering {
                        out.epochs.retain(|epoch, _| *epoch >= covering);
                        out.epochs.insert(covering, to);
                    }
                }
                Entry::Drop => out.open = false,
                Entry::LogStart { .. } | Entry::Stray { .. } | Entry::Fence => {}
            }
        }
        out
    }

    /// The high watermark of the replica's actor: the one told last, lowered by truncations and moved along by the others.
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        let mut told = self.told.iter().peekable();
        let (mut now, mut next) = (0, 0);
        for (n, written) in self.entries.iter().enumerate() {
            while let Some((_, offset)) = told.next_if(|(count, _)| *count <= n) {
                now = *offset;
            }
            match written.entry {
                Entry::Append { .. } => {
                    next = records::head(&written.bytes).map_or(next, |head| head.next_offset());
                }
                Entry::Truncate { to } => (now, next) = (now.min(to), next.min(to)),
                Entry::Reset { at } => (now, next) = (at, at),
                Entry::LogStart { to } if to > next => (now, next) = (to, to),
                Entry::LogStart { to } => now = now.max(to),
                _ => {}
            }
        }
        told.last().map_or(now, |(_, offset)| *offset)
    }

    /// Whether the store may have forgotten the producer whose newest batch among the first `count` entries is this one. It
    /// may if it was told to, and this batch, or one after it, was the newest at that moment too.
    #[must_use]
    pub fn may_forget(&self, head: &BatchHead, count: usize) -> bool {
        let told = self.forgotten.iter().filter(|told| told.seq.0 as usize <= count);
        told.into_iter().any(|told| {
            let then = self.after(told.seq.0 as usize);
            let newest = then.batches.iter().rfind(|b| b.head.producer_id == head.producer_id);
            newest.is_some_and(|newest| {
                newest.head.next_offset() <= told.below && newest.head.base_offset >= head.base_offset
            })
        })
    }

    /// The last entries in short: `+` an append, `<` a truncation, `>` a log start, `=` a reset, `~` an `os` one.
    #[must_use]
    pub fn tail(&self, count: usize) -> String {
        let skip = self.entries.len().saturating_sub(count);
        let one = |e: &Arc<Written>| {
            let os = if e.durability == Durability::Os { "~" } else { "" };
            match e.entry {
                Entry::Append { base, .. } => {
                    let head = records::head(&e.bytes).unwrap_or_default();
                    format!("{os}+{base}..{} by {}", head.next_offset(), head.producer_id)
                }
                Entry::Truncate { to } => format!("{os}<{to}"),
                Entry::LogStart { to } => format!("{os}>{to}"),
                Entry::Reset { at } => format!("{os}={at}"),
                other => format!("{other:?}"),
            }
        };
        self.entries[skip..].iter().map(one).collect::<Vec<_>>().join(", ")
    }

    /// The state after all entries.
    #[must_use]
    pub fn expected(&self) -> Expected {
        self.after(self.entries.len())
    }
}

impl Expected {
    /// Nothing is left, and the log goes on at this offset.
    fn reset(&mut self, at: Offset) {
        (self.log_start, self.next) = (at, at);
        self.truncated.extend(self.batches.drain(..).map(|b| b.head));
        self.epochs.clear();
    }

    /// Batches that a reader finds from the log start on.
    pub fn readable(&self) -> impl Iterator<Item = &Stored> {
        self.batches.iter().filter(|b| b.head.next_offset() > self.log_start)
    }
}
