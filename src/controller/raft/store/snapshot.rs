//! The snapshot row: position, membership and the image, replaced in one transaction.
//!
//! A snapshot that this node built replaces the row alone; the log stays until a purge. A leader's snapshot replaces
//! everything up to its position, in the same transaction.
//!
//! A builder may end after a newer snapshot was installed, and it must not put the older row back.

use super::super::types::{LogId, SnapshotMeta};
use super::file::File;
use super::load::{Loaded, Stored, single};
use super::rows::{SNAPSHOT, encode};
use super::view::View;
use super::writer::{Change, Writer};
use callboard_core::metadata::Image;
use callboard_core::mutant::{Mutant, planted};
use parking_lot::Mutex;
use std::io;
use std::sync::Arc;
use tokio::sync::{oneshot, watch};

/// The snapshot of a node. Clones share one row.
#[derive(Clone)]
pub struct SnapshotStore {
    file: Arc<File>,
    writer: Arc<Writer>,
    view: Arc<Mutex<View>>,
    /// The position of the newest row that was queued.
    newest: Arc<Mutex<Option<LogId>>>,
    holds: watch::Sender<bool>,
}

impl SnapshotStore {
    /// The snapshot of a file that was just opened. `holds` says whether the log has had an entry.
    pub fn new(
        loaded: &Loaded,
        file: Arc<File>,
        writer: Arc<Writer>,
        view: Arc<Mutex<View>>,
        holds: watch::Sender<bool>,
    ) -> SnapshotStore {
        let newest = loaded.snapshot.as_ref().and_then(|snapshot| snapshot.meta.last_log_id);
        SnapshotStore { file, writer, view, newest: Arc::new(Mutex::new(newest)), holds }
    }

    /// The row as it is on disk.
    pub async fn read(&self) -> io::Result<Option<Stored>> {
        self.file.read(|db| single(db, SNAPSHOT)).await
    }

    /// Stores a snapshot that this node built.
    pub async fn built(&self, meta: &SnapshotMeta, image: &Arc<Image>) -> io::Result<()> {
        let row = row(meta, image).await?;
        self.replace(meta.last_log_id, |_| Change::Snapshot(row)).await
    }

    /// Stores a leader's snapshot in place of everything up to its position.
    pub async fn install(&self, meta: &SnapshotMeta, image: &Arc<Image>) -> io::Result<()> {
        let row = row(meta, image).await?;
        let Some(upto) = meta.last_log_id else {
            return self.replace(None, |_| Change::Snapshot(row)).await;
        };
        let marker = encode(&upto)?;
        if planted(Mutant::RaftInstalledInTwo) {
            self.writer.write(Change::Snapshot(row.clone())).await?;
        }
        let install = |view: &mut View| {
            view.purge(upto);
            Change::Install { row, upto: upto.index, marker }
        };
        self.replace(Some(upto), install).await?;
        self.holds.send_replace(true);
        Ok(())
    }

    /// Replaces the row unless it is as new already. View and queue change together, so no append comes between.
    async fn replace(
        &self,
        position: Option<LogId>,
        change: impl FnOnce(&mut View) -> Change,
    ) -> io::Result<()> {
        let (sender, receiver) = oneshot::channel();
        {
            let mut newest = self.newest.lock();
            if newest.is_some() && position <= *newest {
                return Ok(());
            }
            *newest = position;
            let mut view = self.view.lock();
            let change = change(&mut view);
            self.writer.queue(change, Box::new(move |result| drop(sender.send(result))));
        }
        receiver.await.map_err(io::Error::other)?
    }
}

/// The bytes are made on another thread: an image of many partitions takes longer than a heartbeat may.
async fn row(meta: &SnapshotMeta, image: &Arc<Image>) -> io::Result<Vec<u8>> {
    let stored = Stored { meta: meta.clone(), image: Arc::clone(image) };
    tokio::task::spawn_blocking(move || encode(&stored)).await.map_err(io::Error::other)?
}
