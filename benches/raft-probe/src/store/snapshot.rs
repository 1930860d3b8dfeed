//! The snapshot row: position, membership and the state, replaced in one transaction.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use redb::Database;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::{
    SNAPSHOT, encode, other, read_meta,
    writer::{Change, Writer},
};
use crate::types::{LogId, Snapshot, SnapshotMeta};

#[derive(Serialize, Deserialize)]
struct Row {
    meta: SnapshotMeta,
    data: String,
}

#[derive(Clone)]
pub struct SnapshotStore {
    db: Arc<Database>,
    writer: Arc<Writer>,
    /// The position of the newest row that was queued.
    newest: Arc<Mutex<Option<LogId>>>,
}

impl SnapshotStore {
    pub(super) fn load(db: Arc<Database>, writer: Arc<Writer>) -> io::Result<Self> {
        let row: Option<Row> = read_meta(&db, SNAPSHOT)?;
        let newest = row.and_then(|row| row.meta.last_log_id);
        Ok(Self { db, writer, newest: Arc::new(Mutex::new(newest)) })
    }

    pub fn read(&self) -> io::Result<Option<Snapshot>> {
        let row: Option<Row> = read_meta(&self.db, SNAPSHOT)?;
        Ok(row.map(|row| Snapshot { meta: row.meta, snapshot: row.data }))
    }

    /// Replaces the row unless it is as new already: at start openraft installs the row that it just read, and
    /// a builder that was overtaken by an installed snapshot must not take it back.
    pub async fn replace(&self, meta: &SnapshotMeta, data: &str) -> io::Result<()> {
        let row = encode(&Row { meta: meta.clone(), data: data.to_owned() })?;
        let (sender, receiver) = oneshot::channel();
        {
            let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
            if newest.is_some() && meta.last_log_id <= *newest {
                return Ok(());
            }
            *newest = meta.last_log_id;
            let done = move |result| drop(sender.send(result));
            self.writer.queue(Change::Snapshot(row), Box::new(done));
        }
        receiver.await.map_err(other)?
    }
}
