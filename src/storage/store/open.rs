//! The data directory: opened, proved to be ours, recovered, with all its shards.
//!
//! ```text
//!   lock ─> identity ─> inspect every shard ─> verdicts into identity ─> finish every shard ─> new boot id, incarnation
//! ```
//!
//! A shard that is missing or foreign is lost, not new. The node says which, serves the rest, and creates nothing in its
//! place. How one shard is recovered stands in `recovery.rs` and `finish.rs`.

use crate::storage::disk::fault::ShardFault;
use crate::storage::disk::port::{Disk, DiskFile};
use crate::storage::disk::reserve::RESERVE;
use crate::storage::journal::segment::Segments;
use crate::storage::settled::db::Db;
use crate::storage::shard::engine::{Engine, EngineOptions};
use crate::storage::store::error::StoreError;
use crate::storage::store::identity::{Identity, StoredVerdict};
use crate::storage::store::recovery::{Inspection, inspect};
use callboard_actors::ports::{ReplicaState, Verdict};
use callboard_core::Lsn;
use callboard_core::storage::{Boot, Fresh, Restart, journal_budget};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How to open a data directory.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Shards for the first start; none takes the stored number, or the default.
    pub shards: Option<usize>,
    /// Shards where none are stored and none are asked for.
    pub default_shards: usize,
    /// The kernel's boot, which tells whether the page cache survived.
    pub boot_id: Boot,
    /// Bytes that all journals together may hold before records in them move into redb; 0: no settled records stay in a
    /// journal. None: a quarter of the disk, at most 64 GiB.
    pub journal_bytes_max: Option<u64>,
    /// Sizes of each shard; `journal_bytes_max` is set from the field above.
    pub engine: EngineOptions,
}

/// A shard after recovery.
pub enum Opened {
    Shard {
        engine: Arc<Engine>,
        states: Vec<ReplicaState>,
    },
    /// It is missing, foreign or unreadable, and its replicas are offline.
    Lost {
        fault: ShardFault,
    },
}

/// An open data directory.
pub struct Store {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    identity: Mutex<Identity>,
    pub shards: Vec<Opened>,
    pub recovered: Recovered,
    _lock: Arc<dyn DiskFile>,
}

/// What recovery read and did, over all shards. Bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recovered {
    /// Whether the last end was a clean one.
    pub clean: bool,
    pub first_start: bool,
    /// Payload read behind X.
    pub replayed: u64,
    pub rejournaled: u64,
    /// Bytes of torn tails.
    pub cut: u64,
}

impl Store {
    /// Opens a data directory; makes it, if there is nothing.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path, options: &StoreOptions) -> Result<Store, StoreError> {
        disk.create_dir_all(dir).map_err(StoreError::io(dir))?;
        let lock = take_lock(&*disk, dir)?;
        give_back(&*disk, dir, options.engine.segment_bytes);
        let mut identity = match Identity::read(&*disk, dir)? {
            Some(identity) => identity,
            None => found(&*disk, dir, options)?,
        };
        if let Some(asked) = options.shards
            && asked != identity.shards.len()
        {
            return Err(StoreError::Shards { path: dir.into(), stored: identity.shards.len(), asked });
        }
        let first_start = !identity.ready;
        if first_start {
            create_shards(&disk, dir, &identity, options)?;
            identity.ready = true;
            identity.write(&*disk, dir)?;
        }
        let restart = Restart {
            clean_marker: take_clean_marker(&*disk, dir, &identity)? || first_start,
            same_boot: options.boot_id.is_same(&identity.boot_id),
            sync_failed: identity.sync_failed.is_some(),
        };
        let volume = disk.volume_bytes(dir).unwrap_or(0);
        let mut engine = EngineOptions { shards: identity.shards.len(), ..options.engine };
        engine.residence.journal_bytes_max =
            journal_budget(options.journal_bytes_max, volume, identity.shards.len());
        let inspected: Vec<Result<Inspection, ShardFault>> = (0..identity.shards.len())
            .map(|n| {
                tracing::info!("shard {n}: recovery started");
                let shard_dir = dir.join(format!("shard-{n}"));
                inspect(Arc::clone(&disk), &shard_dir, n as u16, identity.shards[n], engine)
            })
            .collect();
        let mut recovered = Recovered { clean: restart.clean_marker, first_start, ..Recovered::default() };
        let states = record_verdicts(&*disk, dir, &mut identity, restart, &inspected)?;
        let mut shards = Vec::new();
        for (n, (inspected, states)) in inspected.into_iter().zip(states).enumerate() {
            let opened = finish(n, inspected, states, &identity, &mut recovered);
            shards.push(unless_full(
                &*disk,
                &dir.join(format!("shard-{n}")),
                options.engine.segment_bytes,
                opened,
            )?);
            tracing::info!("shard {n}: recovery finished");
        }
        identity.boot_id.clone_from(&options.boot_id);
        identity.incarnation += 1;
        identity.sync_failed = None;
        identity.write(&*disk, dir)?;
        let dir = dir.to_owned();
        Ok(Store { disk, dir, identity: Mutex::new(identity), shards, recovered, _lock: lock })
    }

    /// The identity as it stands in the file.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity.lock().clone()
    }

    /// Changes the identity durably.
    pub fn update_identity(&self, change: impl FnOnce(&mut Identity)) -> Result<(), StoreError> {
        let mut identity = self.identity.lock();
        change(&mut identity);
        identity.write(&*self.disk, &self.dir)
    }

    /// Takes unclean verdicts off the record, once the controller has committed the replicas' return. Corrupt stays.
    pub fn forgive_unclean(&self) -> Result<(), StoreError> {
        self.update_identity(|identity| {
            for verdicts in identity.verdicts.values_mut() {
                verdicts.retain(|_, verdict| matches!(verdict, StoredVerdict::Corrupt(_)));
            }
        })
    }

    /// Takes the unclean verdict of one replica off the record, once its return to the ISR is committed.
    pub fn forgive(&self, shard: u16, replica: u32) -> Result<(), StoreError> {
        self.update_identity(|identity| {
            if let Some(verdicts) = identity.verdicts.get_mut(&shard)
                && matches!(verdicts.get(&replica), Some(StoredVerdict::Unclean(_)))
            {
                verdicts.remove(&replica);
            }
        })
    }

    /// Records a failed sync for the next start, as well as the disk lets it.
    pub fn record_failure(&self, why: &str) {
        if let Err(error) = self.update_identity(|identity| identity.sync_failed = Some(why.to_owned())) {
            tracing::error!("the failed sync could not be recorded: {error}");
        }
    }

    /// Marks the end as a clean one. Every shard has to be closed before.
    pub fn mark_clean(&self) -> Result<(), StoreError> {
        let path = self.dir.join("clean");
        let epoch = self.identity.lock().last_broker_epoch.to_string();
        let write = || {
            let file = self.disk.open(&path, true)?;
            file.set_len(0)?;
            file.write_all_at(&[epoch.as_bytes()], 0)?;
            file.sync_data()?;
            self.disk.sync_dir(&self.dir)
        };
        write().map_err(StoreError::io(&path))
    }
}

/// Gives the reserves back where there is too little for a start, which needs a segment and pages of redb.
fn give_back(disk: &dyn Disk, dir: &Path, segment_bytes: u64) {
    let needed = segment_bytes.saturating_mul(2);
    if disk.free_bytes(dir).is_ok_and(|free| free >= needed) {
        return;
    }
    let names = disk.list(dir).unwrap_or_default();
    let shards = names.iter().filter(|name| name.to_string_lossy().starts_with("shard-"));
    for held in shards.map(|name| dir.join(name).join(RESERVE)).chain([dir.join(RESERVE)]) {
        if disk.exists(&held).unwrap_or(false) && disk.remove(&held).is_ok() {
            tracing::warn!("the disk is full: {} is given back, so that a start is possible", held.display());
        }
    }
}

/// Keeps a lost shard as it is, unless all it needs is space: then the start fails.
fn unless_full(
    disk: &dyn Disk,
    dir: &Path,
    segment_bytes: u64,
    opened: Opened,
) -> Result<Opened, StoreError> {
    match opened {
        Opened::Lost { fault } if disk.free_bytes(dir).is_ok_and(|free| free < segment_bytes) => {
            Err(StoreError::Full { path: dir.to_owned(), why: fault.0 })
        }
        opened => Ok(opened),
    }
}

/// Holds a directory that has been served from, so that no node starts on it meanwhile.
pub fn hold(disk: &dyn Disk, dir: &Path) -> Result<Arc<dyn DiskFile>, StoreError> {
    take_lock(disk, dir)
}

fn take_lock(disk: &dyn Disk, dir: &Path) -> Result<Arc<dyn DiskFile>, StoreError> {
    let path = dir.join("lock");
    let file = disk.open(&path, true).map_err(StoreError::io(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => Err(StoreError::InUse(dir.to_owned())),
        Err(e) => Err(StoreError::io(&path)(e)),
    }
}

/// Makes an identity for a directory that has none. One that holds other files of ours is refused.
fn found(disk: &dyn Disk, dir: &Path, options: &StoreOptions) -> Result<Identity, StoreError> {
    let names = disk.list(dir).map_err(StoreError::io(dir))?;
    let ours = names.iter().find(|name| {
        let name = name.to_string_lossy();
        name.starts_with("shard-") || name == "meta.redb"
    });
    if let Some(name) = ours {
        return Err(StoreError::Foreign {
            path: dir.into(),
            why: format!(
                "it holds {} but no identity: restore that file, or start with an empty directory",
                name.display()
            ),
        });
    }
    let shards = options.shards.unwrap_or(options.default_shards).max(1);
    let identity = Identity::new(|| *uuid::Uuid::new_v4().as_bytes(), shards, &options.boot_id);
    identity.write(disk, dir)?;
    Ok(identity)
}

/// Makes the files of every shard. A first start that was not finished is made anew: it never served anything.
fn create_shards(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    identity: &Identity,
    options: &StoreOptions,
) -> Result<(), StoreError> {
    for (n, uuid) in identity.shards.iter().enumerate() {
        let shard = dir.join(format!("shard-{n}"));
        let journal = shard.join("journal");
        let make = || -> Result<(), ShardFault> {
            disk.create_dir_all(&journal)?;
            for name in disk.list(&journal)? {
                disk.remove(&journal.join(name))?;
            }
            let db = shard.join("store.redb");
            if disk.exists(&db)? {
                disk.remove(&db)?;
            }
            Db::create(Arc::clone(disk), db, *uuid, options.engine.cache_bytes)?;
            let segments = Segments::new(Arc::clone(disk), journal.clone(), *uuid);
            segments.make(None, Fresh::Zeros, Lsn(0), options.engine.segment_bytes, None, &[])?;
            disk.sync_dir(&shard)?;
            Ok(())
        };
        make().map_err(|fault| StoreError::io(&shard)(std::io::Error::other(fault.0)))?;
    }
    disk.sync_dir(dir).map_err(StoreError::io(dir))
}

/// Takes the clean marker away, durably, and returns whether it matched.
fn take_clean_marker(disk: &dyn Disk, dir: &Path, identity: &Identity) -> Result<bool, StoreError> {
    let path = dir.join("clean");
    let take = || -> std::io::Result<bool> {
        if !disk.exists(&path)? {
            return Ok(false);
        }
        let file = disk.open(&path, false)?;
        let mut text = vec![0; file.len()?.min(64) as usize];
        file.read_exact_at(&mut text, 0)?;
        disk.remove(&path)?;
        disk.sync_dir(dir)?;
        Ok(text == identity.last_broker_epoch.to_string().into_bytes())
    };
    take().map_err(StoreError::io(&path))
}

/// Writes the verdicts of all shards into the identity, before anything is changed.
fn record_verdicts(
    disk: &dyn Disk,
    dir: &Path,
    identity: &mut Identity,
    restart: Restart,
    inspected: &[Result<Inspection, ShardFault>],
) -> Result<Vec<Vec<ReplicaState>>, StoreError> {
    let mut all = Vec::new();
    let before = identity.clone();
    for (n, inspected) in inspected.iter().enumerate() {
        let shard = n as u16;
        let inspection = match inspected {
            Ok(inspection) => inspection,
            Err(fault) => {
                identity.lost.insert(shard, fault.0.clone());
                all.push(Vec::new());
                continue;
            }
        };
        let kept: BTreeMap<u32, Verdict> = before
            .verdicts
            .get(&shard)
            .map(|v| v.iter().map(|(replica, verdict)| (*replica, verdict.verdict())).collect())
            .unwrap_or_default();
        let mut states = inspection.states(restart, &kept);
        if let Some(why) = identity.lost.remove(&shard) {
            let back = format!("its shard was lost before ({why}): it may have come back from an older copy");
            let clean = states.iter_mut().filter(|s| s.verdict == Verdict::Clean);
            clean.for_each(|s| s.verdict = Verdict::Unclean(back.clone()));
        }
        let verdicts: BTreeMap<u32, StoredVerdict> =
            states.iter().filter_map(|s| Some((s.replica.0, StoredVerdict::of(&s.verdict)?))).collect();
        // Without a corrupt replica nobody needs the segments that one had pinned.
        if !states.iter().any(|s| matches!(s.verdict, Verdict::Corrupt(_))) {
            identity.pinned.remove(&shard);
        }
        identity.pinned.entry(shard).or_default().extend(inspection.pinned().iter().map(|at| at.0));
        identity.verdicts.insert(shard, verdicts);
        all.push(states);
    }
    if identity.verdicts != before.verdicts
        || identity.pinned != before.pinned
        || identity.lost != before.lost
    {
        identity.write(disk, dir)?;
    }
    Ok(all)
}

fn finish(
    n: usize,
    inspected: Result<Inspection, ShardFault>,
    states: Vec<ReplicaState>,
    identity: &Identity,
    recovered: &mut Recovered,
) -> Opened {
    let opened = inspected.and_then(|inspection| {
        recovered.replayed += inspection.replayed();
        recovered.rejournaled += inspection.beyond_proved();
        recovered.cut += inspection.cut_bytes();
        inspection.finish(&identity.pins(n as u16))
    });
    match opened {
        Ok(engine) => Opened::Shard { engine: Arc::new(engine), states },
        Err(fault) => {
            tracing::error!("shard {n} is lost: {fault}; its partitions are offline, the others are served");
            Opened::Lost { fault }
        }
    }
}
