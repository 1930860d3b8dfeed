//! openraft's log storage over the writer and the view.

use std::{
    fmt::Debug,
    io,
    ops::{Bound, RangeBounds},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use openraft::{
    LogState, OptionalSend, RaftLogReader,
    storage::{IOFlushed, RaftLogStorage},
};
use redb::{Database, ReadableDatabase};

use super::{
    LOG, decode, encode, other,
    view::View,
    writer::{Change, Writer},
};
use crate::types::{Entry, LogId, TypeConfig, Vote};

/// Cloned for every reader: all share one view and one writer.
#[derive(Clone)]
pub struct LogStore {
    db: Arc<Database>,
    writer: Arc<Writer>,
    view: Arc<Mutex<View>>,
}

impl LogStore {
    pub(super) fn new(db: Arc<Database>, writer: Arc<Writer>, view: View) -> Self {
        Self { db, writer, view: Arc::new(Mutex::new(view)) }
    }

    fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_rows(&self, range: std::ops::Range<u64>) -> io::Result<Vec<Entry>> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let tx = self.db.begin_read().map_err(other)?;
        let table = tx.open_table(LOG).map_err(other)?;
        let rows = redb::ReadableTable::range(&table, range).map_err(other)?;
        rows.map(|row| decode(row.map_err(other)?.1.value())).collect()
    }
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> Result<Vec<Entry>, io::Error>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (start, end) = limits(&range);
        // The view first: an entry leaves it only after its commit, so the file then has it.
        let (rows, recent) = self.view().read(start, end);
        let mut entries = self.read_rows(rows)?;
        entries.extend(recent);
        Ok(entries)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.view().vote)
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let view = self.view();
        Ok(LogState { last_purged_log_id: view.purged, last_log_id: view.last })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        self.writer.write(Change::Vote(encode(vote)?)).await?;
        self.view().vote = Some(*vote);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        self.view().committed = committed;
        self.writer.note_committed(encode(&committed)?);
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.view().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        let rows = entries
            .iter()
            .map(|entry| Ok((entry.log_id.index, encode(entry)?)))
            .collect::<io::Result<Vec<_>>>()?;
        let end = entries.last().map(|entry| entry.log_id.index + 1);
        self.view().append(entries);
        let view = self.view.clone();
        let done = move |result: io::Result<()>| {
            if let (Ok(()), Some(end)) = (&result, end) {
                view.lock().unwrap_or_else(PoisonError::into_inner).durable_to(end);
            }
            callback.io_completed(result);
        };
        self.writer.queue(Change::Append(rows), Box::new(done));
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        let from = last.map_or(0, |id| id.index + 1);
        self.view().truncate_after(last);
        self.writer.write(Change::TruncateFrom(from)).await?;
        self.view().durable_at_most(from);
        Ok(())
    }

    /// Returns before the rows are gone: behind a durable snapshot it does not matter when they go.
    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        self.view().purge(upto);
        let change = Change::PurgeTo(upto.index, encode(&upto)?);
        self.writer.queue(change, Box::new(|_| ()));
        Ok(())
    }
}

/// The range as `start..end`.
fn limits(range: &impl RangeBounds<u64>) -> (u64, u64) {
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
    (start, end)
}
