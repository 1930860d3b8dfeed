//! The log as its readers see it, ahead of the disk.
//!
//! Positions and the vote are kept in memory, and so are the newest entries. Entries that are not durable yet must be
//! readable, and followers that keep up are served from here. Older entries are read from the file.

use super::super::types::{Entry, LogId, Vote, next};
use super::load::Loaded;
use std::collections::BTreeMap;
use std::ops::Range;

/// Durable entries kept in memory beyond the need.
const KEPT: usize = 1_024;
/// Bytes of durable entries kept in memory beyond the need.
const KEPT_BYTES: usize = 8 << 20;

/// An entry, and the length of its row.
pub type Measured = (Entry, usize);

/// Positions, vote and newest entries.
#[derive(Default)]
pub struct View {
    pub vote: Option<Vote>,
    pub committed: Option<LogId>,
    pub purged: Option<LogId>,
    pub last: Option<LogId>,
    recent: BTreeMap<u64, Measured>,
    recent_bytes: usize,
}

impl View {
    /// The view of a file that was just opened.
    pub fn new(loaded: &Loaded) -> View {
        let Loaded { vote, committed, purged, last, .. } = loaded;
        View { vote: *vote, committed: *committed, purged: *purged, last: *last, ..View::default() }
    }

    /// Makes the entries readable; the caller queues them for the disk.
    pub fn append(&mut self, entries: Vec<Measured>) {
        for (entry, bytes) in entries {
            let id = entry.log_id;
            self.recent_bytes += bytes;
            if let Some((_, older)) = self.recent.insert(id.index, (entry, bytes)) {
                self.recent_bytes = self.recent_bytes.saturating_sub(older);
            }
            self.last = Some(id);
        }
    }

    /// Every entry below `end` is on disk: the oldest ones need no place in memory.
    pub fn durable_to(&mut self, end: u64) {
        while self.recent.len() > KEPT || self.recent_bytes > KEPT_BYTES {
            match self.recent.first_entry() {
                Some(oldest) if *oldest.key() < end => {
                    let (_, bytes) = oldest.remove();
                    self.recent_bytes = self.recent_bytes.saturating_sub(bytes);
                }
                _ => return,
            }
        }
    }

    /// Forgets every entry behind this one.
    pub fn truncate_after(&mut self, keep: Option<LogId>) {
        let end = next(keep);
        let gone = self.recent.split_off(&end);
        self.forget(gone);
        if self.last.is_some_and(|last| last.index >= end) {
            self.last = keep;
        }
    }

    /// Forgets every entry up to this one.
    pub fn purge(&mut self, upto: LogId) {
        let kept = self.recent.split_off(&upto.index.saturating_add(1));
        let gone = std::mem::replace(&mut self.recent, kept);
        self.forget(gone);
        self.purged = self.purged.max(Some(upto));
        self.last = self.last.max(Some(upto));
    }

    fn forget(&mut self, gone: BTreeMap<u64, Measured>) {
        let bytes: usize = gone.values().map(|(_, bytes)| bytes).sum();
        self.recent_bytes = self.recent_bytes.saturating_sub(bytes);
    }

    /// Narrows a range to what exists. Returns the part to read from the file, and the entries behind it, as many as
    /// fit the limit and one more.
    pub fn read(&self, range: Range<u64>, limit: usize) -> (Range<u64>, Vec<Measured>) {
        let start = range.start.max(next(self.purged));
        let end = range.end.min(next(self.last)).max(start);
        let first = self.recent.keys().next().copied().unwrap_or(end).clamp(start, end);
        let mut bytes = 0usize;
        let within = self.recent.range(first..end).take_while(|(_, (_, size))| {
            let fits = bytes <= limit;
            bytes = bytes.saturating_add(*size);
            fits
        });
        (start..first, within.map(|(_, measured)| measured.clone()).collect())
    }
}
