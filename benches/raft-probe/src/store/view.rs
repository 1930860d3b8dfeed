//! The log as its readers see it, ahead of the disk.
//!
//! Positions and the vote are kept in memory, and so are the newest entries: those not yet durable must be
//! readable, and followers that keep up are served from here. Older entries are read from the file.

use std::{collections::VecDeque, io};

use redb::Database;

use super::{COMMITTED, PURGED, VOTE, decode, last_entry_row, read_meta};
use crate::types::{Entry, LogId, Vote};

/// Durable entries kept in memory beyond the need.
const KEPT: usize = 1_024;

#[derive(Default)]
pub struct View {
    pub vote: Option<Vote>,
    pub committed: Option<LogId>,
    pub purged: Option<LogId>,
    pub last: Option<LogId>,
    /// Without holes; ends at `last` unless empty.
    recent: VecDeque<Entry>,
    /// The first index that is not durable.
    durable_end: u64,
}

impl View {
    pub fn load(db: &Database) -> io::Result<Self> {
        let purged: Option<LogId> = read_meta(db, PURGED)?;
        let last = match last_entry_row(db)? {
            Some(row) => Some(decode::<Entry>(&row)?.log_id),
            None => purged,
        };
        Ok(Self {
            vote: read_meta(db, VOTE)?,
            committed: read_meta(db, COMMITTED)?,
            purged,
            last,
            recent: VecDeque::new(),
            durable_end: last.map_or(0, |id| id.index + 1),
        })
    }

    /// Makes the entries readable; the caller has queued them for the disk, or is about to.
    pub fn append(&mut self, entries: Vec<Entry>) {
        if let Some(entry) = entries.last() {
            self.last = Some(entry.log_id);
        }
        self.recent.extend(entries);
    }

    /// Every entry below `end` is on disk: the oldest ones need no place in memory.
    pub fn durable_to(&mut self, end: u64) {
        self.durable_end = end;
        while self.recent.len() > KEPT
            && self.recent.front().is_some_and(|entry| entry.log_id.index < self.durable_end)
        {
            self.recent.pop_front();
        }
    }

    /// Truncated rows have left the disk: nothing at or above `index` is durable.
    pub fn durable_at_most(&mut self, index: u64) {
        self.durable_end = self.durable_end.min(index);
    }

    pub fn truncate_after(&mut self, keep: Option<LogId>) {
        let end = keep.map_or(0, |id| id.index + 1);
        while self.recent.back().is_some_and(|entry| entry.log_id.index >= end) {
            self.recent.pop_back();
        }
        if self.last.is_some_and(|last| last.index >= end) {
            self.last = keep;
        }
    }

    pub fn purge(&mut self, upto: LogId) {
        while self.recent.front().is_some_and(|entry| entry.log_id.index <= upto.index) {
            self.recent.pop_front();
        }
        self.purged = self.purged.max(Some(upto));
        self.last = self.last.max(Some(upto));
    }

    /// Narrows `start..end` to what exists. Answers the part to read from the file, and the entries behind it.
    pub fn read(&self, start: u64, end: u64) -> (std::ops::Range<u64>, Vec<Entry>) {
        let start = start.max(self.purged.map_or(0, |id| id.index + 1));
        let end = end.min(self.last.map_or(0, |id| id.index + 1));
        let first = self.recent.front().map_or(end, |entry| entry.log_id.index);
        let recent = self
            .recent
            .iter()
            .skip(start.saturating_sub(first) as usize)
            .take_while(|entry| entry.log_id.index < end)
            .cloned()
            .collect();
        (start..first.min(end).max(start), recent)
    }
}
