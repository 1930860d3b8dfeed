//! openraft's log storage over the writer and the view.
//!
//! An append is readable on return, and answered after its commit. A vote is answered after its commit too. A follower
//! that installs a snapshot may be given entries behind it first: they wait, so the file never has a gap.
//!
//! The storage also tells two things that pass through it: the leadership that this process won, and that the log holds
//! its first entry.

use super::super::types::{Entry, Lead, LogId, TypeConfig, Vote, next, node_id};
use super::file::File;
use super::rows::{LOG, RESTORE, decode, encode, other};
use super::view::{Measured, View};
use super::writer::{Change, Writer};
use callboard_core::BrokerId;
use callboard_core::mutant::{Mutant, planted};
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{LogState, OptionalSend, RaftLogReader};
use parking_lot::Mutex;
use redb::ReadableDatabase;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Bytes of entries in one call to a follower, beyond its last entry.
const CALL_BYTES: usize = 1 << 20;
/// Between two looks whether a snapshot has been installed.
const AGAIN: Duration = Duration::from_millis(10);

/// The leadership that this process won and still holds, as its own vote says. `machine.rs` says why.
#[derive(Clone, Default)]
pub struct Leading(Arc<Mutex<Option<Lead>>>);

impl Leading {
    /// Whether it is this one.
    pub fn is(&self, lead: Lead) -> bool {
        *self.0.lock() == Some(lead)
    }

    fn set(&self, lead: Option<Lead>) {
        *self.0.lock() = lead;
    }
}

/// Cloned for every reader: all share one view and one writer.
#[derive(Clone)]
pub struct LogStore {
    me: Option<u64>,
    file: Arc<File>,
    writer: Arc<Writer>,
    view: Arc<Mutex<View>>,
    leading: Leading,
    holds: watch::Sender<bool>,
    /// openraft's suite begins logs in the middle, as openraft itself never does.
    #[cfg(test)]
    pub(super) begins_anywhere: bool,
}

impl LogStore {
    /// The log of a node. `holds` says whether it has had an entry.
    pub fn new(
        me: BrokerId,
        file: Arc<File>,
        writer: Arc<Writer>,
        view: Arc<Mutex<View>>,
        holds: watch::Sender<bool>,
    ) -> LogStore {
        LogStore {
            me: node_id(me),
            file,
            writer,
            view,
            leading: Leading::default(),
            holds,
            #[cfg(test)]
            begins_anywhere: false,
        }
    }

    /// The leadership that this process won.
    pub fn leading(&self) -> Leading {
        self.leading.clone()
    }

    /// Reads a range, until the limit of bytes is passed.
    async fn entries(&self, range: Range<u64>, limit: usize) -> io::Result<Vec<Entry>> {
        // The view first: an entry leaves it only after its commit, so the file then has it.
        let (rows, recent) = self.view.lock().read(range, limit);
        let (mut entries, full) = self.rows(rows, limit).await?;
        if !full {
            let mut bytes: usize = entries.iter().map(|(_, bytes)| bytes).sum();
            entries.extend(recent.into_iter().take_while(|(_, size)| {
                let fits = bytes <= limit;
                bytes = bytes.saturating_add(*size);
                fits
            }));
        }
        Ok(entries.into_iter().map(|(entry, _)| entry).collect())
    }

    /// Reads rows of the file. Says whether the limit ended it.
    async fn rows(&self, rows: Range<u64>, limit: usize) -> io::Result<(Vec<Measured>, bool)> {
        if rows.is_empty() {
            return Ok((Vec::new(), false));
        }
        let read = move |db: &redb::Database| {
            let tx = db.begin_read().map_err(other)?;
            let table = tx.open_table(LOG).map_err(other)?;
            let (mut entries, mut bytes) = (Vec::new(), 0usize);
            let mut expected = None;
            for row in redb::ReadableTable::range(&table, rows.clone()).map_err(other)? {
                if bytes > limit {
                    return Ok((entries, true));
                }
                let (index, row) = row.map_err(other)?;
                let (index, row) = (index.value(), row.value());
                let entry: Entry = decode(row)?;
                if entry.log_id.index != index || expected.is_some_and(|expected| index != expected) {
                    return Err(io::Error::other(format!("entry {index} is not in its place: {RESTORE}")));
                }
                expected = index.checked_add(1);
                bytes = bytes.saturating_add(row.len());
                entries.push((entry, row.len()));
            }
            Ok((entries, false))
        };
        self.file.read(read).await
    }

    /// Waits until an entry of this index leaves no gap.
    async fn follows(&self, index: u64) -> io::Result<()> {
        #[cfg(test)]
        if self.begins_anywhere && self.view.lock().last.is_none() {
            return Ok(());
        }
        while index > next(self.view.lock().last) {
            if self.writer.is_broken() {
                return Err(io::Error::other(format!("entry {index} would leave a gap")));
            }
            tokio::time::sleep(AGAIN).await;
        }
        Ok(())
    }
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> Result<Vec<Entry>, io::Error>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        self.entries(limits(&range), usize::MAX).await
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, io::Error> {
        self.entries(start..end, CALL_BYTES).await
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.view.lock().vote)
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let view = self.view.lock();
        Ok(LogState { last_purged_log_id: view.purged, last_log_id: view.last })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let won = (vote.committed && Some(vote.leader_id.node_id) == self.me).then_some(vote.leader_id);
        if won.is_none() {
            self.leading.set(None);
        }
        let change = Change::Vote(encode(vote)?);
        if planted(Mutant::RaftVoteNotDurable) {
            self.writer.queue(change, Box::new(|_| ()));
        } else {
            self.writer.write(change).await?;
        }
        self.view.lock().vote = Some(*vote);
        self.leading.set(won);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        let row = encode(&committed)?;
        self.view.lock().committed = committed;
        self.writer.note_committed(row);
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.view.lock().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let (mut measured, mut rows) = (Vec::new(), Vec::new());
        for entry in entries {
            let row = encode(&entry)?;
            let index = entry.log_id.index;
            measured.push((entry, row.len()));
            rows.push((index, row));
        }
        let end = rows.last().map(|(index, _)| index.saturating_add(1));
        if let Some((first, _)) = rows.first() {
            self.follows(*first).await?;
        }
        self.view.lock().append(measured);
        let (view, holds) = (Arc::clone(&self.view), self.holds.clone());
        let callback = if planted(Mutant::RaftEntryAckedBeforeSync) {
            callback.io_completed(Ok(()));
            IOFlushed::noop()
        } else {
            callback
        };
        let done = move |result: io::Result<()>| {
            if let (Ok(()), Some(end)) = (&result, end) {
                view.lock().durable_to(end);
                holds.send_replace(true);
            }
            callback.io_completed(result);
        };
        self.writer.queue(Change::Append(rows), Box::new(done));
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        if planted(Mutant::RaftTruncatedInTwo) {
            let newest = self.view.lock().last.map_or(0, |id| id.index);
            self.writer.write(Change::TruncateFrom(newest)).await?;
        }
        self.view.lock().truncate_after(last);
        self.writer.write(Change::TruncateFrom(next(last))).await
    }

    /// Returns before the rows are gone: behind a durable snapshot it does not matter when they go.
    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        if planted(Mutant::RaftPurgeMarkerApart) {
            self.writer.write(Change::PurgeTo(0, encode(&upto)?)).await?;
        }
        let change = Change::PurgeTo(upto.index, encode(&upto)?);
        self.view.lock().purge(upto);
        self.writer.queue(change, Box::new(|_| ()));
        Ok(())
    }
}

fn limits(range: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(start) => start.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(end) => end.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}
