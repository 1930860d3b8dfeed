//! The thread that commits to `meta.redb`, one batch after the other.
//!
//! A full disk does not end it: it gives back a small reserve, opens the file again, and tries the batch once more.
//! Without room the batch is refused, and the next one is tried. Any other fault of the disk ends the log until the
//! node is started again, because the fate of the batch in hand is not known.

use super::file::{Place, RESERVE_BYTES};
use super::rows::{append, load};
use crate::storage::Reserve;
use callboard_core::metadata::{Committed, Image, MetadataRecord, ProposalId, ProposeResult};
use redb::Database;
use std::sync::{Arc, mpsc as std_mpsc};
use tokio::sync::{mpsc, oneshot};

/// Batches between two snapshots.
pub(super) const SNAPSHOT_EVERY: u64 = 256;

/// A batch on its way to the thread.
pub(super) struct Proposal {
    pub id: ProposalId,
    pub records: Vec<MetadataRecord>,
    pub answer: oneshot::Sender<ProposeResult>,
}

/// The reason why a batch is not committed.
enum Failed {
    /// The disk is full, and the batch is not stored.
    Full(String),
    /// The batch may be stored or not, and the file takes no more.
    Broken(String),
}

/// The thread's state: the file, and the image of all that it holds.
pub(super) struct Worker {
    pub place: Place,
    pub reserve: Reserve,
    /// None while the file could not be opened again.
    pub db: Option<Database>,
    pub image: Image,
    pub since_snapshot: u64,
    pub stream: mpsc::UnboundedSender<Committed>,
}

impl Worker {
    pub fn run(mut self, incoming: &std_mpsc::Receiver<Proposal>) {
        let mut broken: Option<String> = None;
        while let Ok(Proposal { id, records, answer }) = incoming.recv() {
            let result = match &broken {
                Some(why) => ProposeResult::Refused(why.clone()),
                None => match self.commit(id, records) {
                    Ok(index) => ProposeResult::Committed(index),
                    Err(Failed::Full(why)) => {
                        tracing::warn!(
                            "the metadata log is not written: {why}; it is tried again with the next change"
                        );
                        ProposeResult::Refused(why)
                    }
                    Err(Failed::Broken(why)) => {
                        // redb refuses writes after an I/O error. The next start finds out which batches were
                        // committed.
                        tracing::error!(
                            "the metadata log takes no more: {why}; restart the node after mending the disk"
                        );
                        broken = Some(why.clone());
                        ProposeResult::Unknown(why)
                    }
                },
            };
            let _ = answer.send(result);
        }
    }

    /// Commits a batch. On a full disk it tries once more, with the room of the reserve.
    fn commit(&mut self, id: ProposalId, records: Vec<MetadataRecord>) -> Result<u64, Failed> {
        let index = self.image.applied + 1;
        let mut stored = self.append(index, &records);
        if let Err(Failed::Full(_)) = &stored {
            self.reserve.release();
            stored = match self.open_again() {
                // The file holds the batch, although the commit failed.
                Ok(true) => Ok(()),
                Ok(false) => self.append(index, &records),
                Err(failed) => Err(failed),
            };
        }
        match stored {
            Ok(()) => Ok(self.committed(index, id, records)),
            // The next batch needs an open file.
            Err(Failed::Full(why)) => match self.open_again() {
                Ok(true) => Ok(self.committed(index, id, records)),
                Ok(false) | Err(Failed::Full(_)) => Err(Failed::Full(why)),
                Err(broken) => Err(broken),
            },
            Err(broken) => Err(broken),
        }
    }

    fn committed(&mut self, index: u64, id: ProposalId, records: Vec<MetadataRecord>) -> u64 {
        let free = || self.place.disk.free_bytes(&self.place.path).unwrap_or(0);
        if !self.reserve.held() && free() >= 8 * RESERVE_BYTES {
            // A failure here does no harm, because the next change tries again.
            let _ = self.reserve.make();
        }
        self.since_snapshot += 1;
        if self.since_snapshot > SNAPSHOT_EVERY {
            self.since_snapshot = 1;
        }
        self.image.apply_batch(index, &records);
        let (proposal, records) = (Some(id), Arc::new(records));
        let _ = self.stream.send(Committed::Batch { index, proposal, records });
        index
    }

    fn append(&mut self, index: u64, records: &[MetadataRecord]) -> Result<(), Failed> {
        if self.db.is_none() {
            self.open_again()?;
        }
        let Some(db) = &self.db else { return Err(Failed::Full("meta.redb is closed".into())) };
        // The snapshot is the image before this batch. The rows that it covers go in the same transaction.
        let snapshot = (self.since_snapshot >= SNAPSHOT_EVERY).then_some(&self.image);
        let stored = append(db, index, records, snapshot);
        stored.map_err(|fault| self.failed(format!("meta.redb: {fault}")))
    }

    fn failed(&self, why: String) -> Failed {
        if self.place.ran_out() {
            Failed::Full(format!("the disk is full: {why}"))
        } else {
            Failed::Broken(why)
        }
    }

    /// Opens the file again, and says whether it holds one batch more than is known.
    fn open_again(&mut self) -> Result<bool, Failed> {
        self.db = None;
        let db = self.place.open().map_err(|why| self.failed(why))?;
        let found = load(&db).map_err(Failed::Broken)?.image.applied;
        self.db = Some(db);
        match found.checked_sub(self.image.applied) {
            Some(0) => Ok(false),
            Some(1) => Ok(true),
            _ => Err(Failed::Broken(format!("it holds {found} batches, {} are known", self.image.applied))),
        }
    }
}
