//! `data/identity`: who this directory is, and what the last recovery found. The file is JSON, then its checksum.
//!
//! The file is written aside and renamed, file and directory fsynced. Verdicts go in before recovery changes anything and
//! before the boot id is renewed. So a crash in the middle of a recovery does not make the next one look clean. The data of
//! shards is not described here.

use crate::storage::disk::port::Disk;
use crate::storage::store::error::StoreError;
use callboard_actors::ports::Verdict;
use callboard_core::bootstrap::{self, Seat};
use callboard_core::storage::Boot;
use callboard_core::{Lsn, ProcessId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The format this build writes.
const FORMAT: u32 = 1;

/// What is known of the directory besides its data.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Identity {
    /// Format of the whole directory.
    pub format: u32,
    /// Whether the first start came to its end. Until then nothing was ever served from here.
    pub ready: bool,
    /// None until the node has registered with its cluster.
    pub cluster_id: Option<String>,
    pub node_uuid: String,
    /// The node's number in the cluster.
    pub node_id: i32,
    /// Kafka calls it `directory.id`.
    pub directory_id: String,
    /// A uuid for each shard.
    pub shards: Vec<[u8; 16]>,
    /// How often the node has started.
    pub incarnation: u64,
    /// The kernel's boot at the last start.
    pub boot_id: Boot,
    /// The broker epoch granted last.
    pub last_broker_epoch: i64,
    /// Replicas that are not clean, by shard and replica id.
    pub verdicts: BTreeMap<u16, BTreeMap<u32, StoredVerdict>>,
    /// Journal segments that hold what a corrupt replica has left.
    pub pinned: BTreeMap<u16, BTreeSet<u64>>,
    /// A sync that failed in the life before.
    pub sync_failed: Option<String>,
    /// Shards that could not be opened at some start, and why: what they hold when they come back is not trusted.
    #[serde(default)]
    pub lost: BTreeMap<u16, String>,
    /// The part of a node that forms a cluster or belongs to one; none for a node that is alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forming: Option<Forming>,
}

/// The promises of a directory towards a cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Forming {
    pub identity: bootstrap::Identity,
    /// The founding nodes of the grant that this directory gave. They are kept when it has become a member, because Raft
    /// needs them before the first record is applied.
    pub seats: Vec<Seat>,
    /// The process that was granted a broker epoch last (R46).
    pub granted: Option<ProcessId>,
}

/// A verdict on record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StoredVerdict {
    /// A suffix may be missing.
    Unclean(String),
    /// Bytes are missing or wrong.
    Corrupt(String),
}

impl StoredVerdict {
    /// The verdict to be recorded; none for a clean replica.
    #[must_use]
    pub fn of(verdict: &Verdict) -> Option<StoredVerdict> {
        match verdict {
            Verdict::Clean => None,
            Verdict::Unclean(why) => Some(StoredVerdict::Unclean(why.clone())),
            Verdict::Corrupt(why) => Some(StoredVerdict::Corrupt(why.clone())),
        }
    }

    /// The verdict that was recorded.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self {
            StoredVerdict::Unclean(why) => Verdict::Unclean(why.clone()),
            StoredVerdict::Corrupt(why) => Verdict::Corrupt(why.clone()),
        }
    }
}

impl Identity {
    /// The identity of a new directory.
    #[must_use]
    pub fn new(uuids: impl Fn() -> [u8; 16], shards: usize, boot_id: &Boot) -> Identity {
        let text = |bytes: [u8; 16]| callboard_core::TopicId(bytes).to_string();
        Identity {
            format: FORMAT,
            ready: false,
            cluster_id: None,
            node_uuid: text(uuids()),
            node_id: 1,
            directory_id: text(uuids()),
            shards: (0..shards).map(|_| uuids()).collect(),
            incarnation: 0,
            boot_id: boot_id.clone(),
            last_broker_epoch: -1,
            verdicts: BTreeMap::new(),
            pinned: BTreeMap::new(),
            sync_failed: None,
            lost: BTreeMap::new(),
            forming: None,
        }
    }

    /// Pinned segments of a shard.
    #[must_use]
    pub fn pins(&self, shard: u16) -> BTreeSet<Lsn> {
        self.pinned.get(&shard).map(|p| p.iter().map(|at| Lsn(*at)).collect()).unwrap_or_default()
    }

    fn path(dir: &Path) -> PathBuf {
        dir.join("identity")
    }

    /// Reads the file; none if there is no such file.
    pub fn read(disk: &dyn Disk, dir: &Path) -> Result<Option<Identity>, StoreError> {
        let path = Identity::path(dir);
        if !disk.exists(&path).map_err(StoreError::io(&path))? {
            return Ok(None);
        }
        let foreign = |why: &str| StoreError::Foreign { path: path.clone(), why: why.into() };
        let file = disk.open(&path, false).map_err(StoreError::io(&path))?;
        let length = file.len().map_err(StoreError::io(&path))?;
        if length > 1 << 30 {
            return Err(foreign("the file is far too long to be one of ours"));
        }
        let mut bytes = vec![0; length as usize];
        file.read_exact_at(&mut bytes, 0).map_err(StoreError::io(&path))?;
        let text = String::from_utf8(bytes).map_err(|_| foreign("the file is not text"))?;
        let (body, crc) = text
            .trim_end()
            .rsplit_once('\n')
            .ok_or_else(|| foreign("the file is cut short: restore it from a backup"))?;
        let number: serde_json::Value =
            serde_json::from_str(body).map_err(|_| foreign("it does not parse: restore it from a backup"))?;
        let found = number.get("format").and_then(serde_json::Value::as_u64).unwrap_or(0) as u32;
        if found > FORMAT {
            return Err(StoreError::Format { path, found, reads: FORMAT });
        }
        if crc != format!("crc32c {:08x}", crc32c::crc32c(body.as_bytes())) {
            return Err(foreign("its checksum does not match: restore it from a backup"));
        }
        serde_json::from_str(body).map(Some).map_err(|e| foreign(&format!("it does not parse: {e}")))
    }

    /// Writes the file durably.
    pub fn write(&self, disk: &dyn Disk, dir: &Path) -> Result<(), StoreError> {
        let path = Identity::path(dir);
        let body = serde_json::to_string_pretty(self).map_err(|e| StoreError::io(&path)(e.into()))?;
        let text = format!("{body}\ncrc32c {:08x}\n", crc32c::crc32c(body.as_bytes()));
        let aside = dir.join("identity.tmp");
        let write = || {
            let file = disk.open(&aside, true)?;
            file.set_len(0)?;
            file.write_all_at(&[text.as_bytes()], 0)?;
            file.sync_data()?;
            disk.rename(&aside, &path)?;
            disk.sync_dir(dir)
        };
        write().map_err(StoreError::io(&path))
    }
}
