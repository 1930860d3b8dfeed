//! The owner of what is settled: the database, X, and the work that a settle leaves behind.
//!
//! X is the position up to which redb holds the journal. Whoever settles a window, sweeps
//! rows or moves runs holds the settler's lock, so one of these writes at a time. Reads take no lock of this struct.

use crate::storage::journal::dead::Keeper;
use crate::storage::settled::db::Db;
use callboard_core::storage::Residence;
use callboard_core::{Lsn, Offset, ReplicaId};
use parking_lot::{Mutex, MutexGuard};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};

/// State that the settler alone touches.
#[derive(Default)]
pub struct Settler {
    /// Everything below is durably in redb.
    pub x: Lsn,
    /// Rows that no reader can see any more and that are still to be removed.
    pub sweep: BTreeMap<ReplicaId, Sweep>,
    /// Segments that can not be emptied, because bytes in them have rotted.
    pub stuck: BTreeSet<Lsn>,
}

/// The rows to remove of one replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sweep {
    /// Blocks wholly below this offset.
    Below(Offset),
    All,
}

/// Everything of a shard that is settled. `shard/engine.rs` says in which order its locks may be taken.
pub struct Settled {
    pub shard: u16,
    pub residence: Residence,
    pub db: Db,
    settler: Mutex<Settler>,
    /// `Settler::x`, for those who do not hold the settler's lock.
    durable_x: AtomicU64,
}

impl Settled {
    /// What is settled up to `x`, with the rows that the last life left to be swept.
    #[must_use]
    pub fn new(
        shard: u16,
        residence: Residence,
        db: Db,
        x: Lsn,
        sweep: BTreeMap<ReplicaId, Sweep>,
    ) -> Settled {
        let settler = Mutex::new(Settler { x, sweep, ..Settler::default() });
        Settled { shard, residence, db, settler, durable_x: AtomicU64::new(x.0) }
    }

    /// Takes the settler's lock.
    pub fn settler(&self) -> MutexGuard<'_, Settler> {
        self.settler.lock()
    }

    /// Moves X, once a transaction that says so is durable.
    pub fn moved(&self, settler: &mut Settler, x: Lsn) {
        settler.x = x;
        self.durable_x.store(x.0, Ordering::Release);
    }
}

impl Keeper for Settled {
    fn x(&self) -> Lsn {
        Lsn(self.durable_x.load(Ordering::Acquire))
    }

    fn refers_to(&self, first: Lsn) -> bool {
        self.db.used(first).rows > 0
    }

    fn referred(&self) -> u64 {
        self.db.used_segments()
    }
}
