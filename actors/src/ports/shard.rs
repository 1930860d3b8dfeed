//! The store, one shard of it: three contracts, by who needs them.
//!
//! A replica's actor needs [`Journal`], a fetch [`Reading`], the front-end and the metrics [`Admission`]. One handle
//! implements all three and is known as [`Shard`]. How the bytes are kept is not said here: `src/storage` keeps them on
//! disks, and a test may keep them elsewhere.

use crate::permit::Permit;
use bytes::Bytes;
use callboard_core::partition::{Forgotten, ProducerTable};
pub use callboard_core::storage::Verdict;
use callboard_core::storage::{Durability, Entry, Retention, Room};
use callboard_core::{LeaderEpoch, Offset, Reject, ReplicaId, Seq, TopicPartition, UnixMillis};
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

/// The order of a shard: entries go in, notices of durability come out.
pub trait Journal: Send + Sync + 'static {
    /// Hands out what recovery found, once: every replica of this shard, stray ones too. A later call returns none, because
    /// the states would be out of date and take memory for ever.
    fn recovered(&self) -> Vec<ReplicaState>;

    /// Mints a replica and journals its `Open` (sequence number 1). Notices go to `sink` from then on.
    fn open(
        &self,
        id: TopicPartition,
        durability: Durability,
        sink: Arc<dyn ReplicaSink>,
    ) -> Result<ReplicaId, ShardError>;

    /// Directs a known replica's notices to `sink`, in place of any former one.
    fn attach(&self, replica: ReplicaId, sink: Arc<dyn ReplicaSink>);

    /// Queues one entry for the journal. It never blocks, because permits bound what is queued.
    fn submit(&self, submission: Submission) -> Result<(), ShardError>;

    /// Says which producers a replica has forgotten: its next snapshot leaves them out. If a crash loses this word, they are
    /// known for longer.
    fn forget(&self, replica: ReplicaId, forgotten: Forgotten);

    /// Rebuilds a replica after its actor's restart: journals a `Fence` behind its former life, and reads the state as of that
    /// fence.
    fn rebuild(&self, replica: ReplicaId) -> BoxFuture<'static, Result<ReplicaState, ShardError>>;
}

/// Questions about stored batches, answered on the reader threads.
pub trait Reading: Send + Sync + 'static {
    /// Reads whole batches, as many as fit.
    fn read(&self, request: ReadRequest) -> BoxFuture<'static, Result<Slices, ReadError>>;

    /// The first record in `from .. until` whose timestamp is ≥ `timestamp`. Compressed batches are opened for it.
    fn find_time(
        &self,
        replica: ReplicaId,
        from: Offset,
        until: Offset,
        timestamp: i64,
    ) -> BoxFuture<'static, Result<Option<TimeHit>, ReadError>>;

    /// The record with the largest timestamp in `from .. until`.
    fn max_time(
        &self,
        replica: ReplicaId,
        from: Offset,
        until: Offset,
    ) -> BoxFuture<'static, Result<Option<TimeHit>, ReadError>>;

    /// The offset up to which these rules let the log start go, if it is above `from`. Nothing at or above `until` goes, and
    /// questions are answered one at a time.
    fn expired(
        &self,
        replica: ReplicaId,
        from: Offset,
        until: Offset,
        rules: Retention,
    ) -> BoxFuture<'static, Result<Option<Offset>, ReadError>>;

    /// Bytes of a replica's batches, in the journal and in redb. Batches below the log start count until they are swept.
    fn size(&self, replica: ReplicaId) -> BoxFuture<'static, Result<u64, ReadError>>;

    /// The bytes of every replica of this shard.
    fn sizes(&self) -> BoxFuture<'static, Result<BTreeMap<ReplicaId, u64>, ReadError>>;
}

/// How much more a shard takes, and its counters.
pub trait Admission: Send + Sync + 'static {
    /// This shard's number on this node.
    fn index(&self) -> u16;

    /// Counters for admission, metrics and health.
    fn stats(&self) -> ShardStats;

    /// Resolves when producers may go on. At `unsettled_bytes_max` the gate closes until settling has made room.
    fn admitted(&self) -> BoxFuture<'static, ()>;

    /// How much room its disk has: whether batches are refused.
    fn room(&self) -> Room;
}

/// One journal and one redb database: the durable home of its replicas.
pub trait Shard: Journal + Reading + Admission {}

impl<S: Journal + Reading + Admission> Shard for S {}

/// The receiver of a replica's notices, one cast into its actor. It must not block.
pub trait ReplicaSink: Send + Sync + 'static {
    /// Entries up to these numbers are written and synced. Neither number ever goes back.
    fn persisted(&self, persisted: Persisted);
    /// The shard has stopped for good; nothing more will be persisted.
    fn failed(&self, error: ShardError);
}

/// How far a replica's entries have come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Persisted {
    /// Last entry in the page cache.
    pub written: Seq,
    /// Last entry on disk.
    pub synced: Seq,
}

/// One entry on its way to the journal.
#[derive(Debug)]
pub struct Submission {
    pub replica: ReplicaId,
    /// The replica's last number plus one; another number fails the replica (`ReplicaSink::failed`). A `Fence` may have
    /// zero, which stands for the next number.
    pub seq: Seq,
    pub entry: Entry,
    /// For `Append` the batch, with base offset and leader epoch written into it; else empty.
    pub bytes: Bytes,
    pub durability: Durability,
    /// Given back when the entry is written.
    pub permit: Permit,
}

/// The state of a replica, as recovery or `rebuild` found it.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplicaState {
    pub replica: ReplicaId,
    pub id: TopicPartition,
    /// Number of its last entry.
    pub seq: Seq,
    pub log_start: Offset,
    /// The next offset to write.
    pub next: Offset,
    /// The newest high watermark that was stored: a hint, never above `next`.
    pub high_watermark: Offset,
    /// Leader epochs and the offset each starts at, ascending.
    pub epochs: Vec<(LeaderEpoch, Offset)>,
    /// The producers at the log's end.
    pub producers: ProducerTable,
    /// From this offset on the replica's batches were written with `Durability::Fsync`.
    pub fsync_since: Offset,
    /// When it was marked stray.
    pub stray: Option<UnixMillis>,
    pub verdict: Verdict,
}

/// Which batches to read.
#[derive(Clone, Copy, Debug)]
pub struct ReadRequest {
    pub replica: ReplicaId,
    /// The batch that covers this offset comes first.
    pub from: Offset,
    /// No batch that starts at or above this offset.
    pub until: Offset,
    /// Stop before exceeding this; the first batch comes whole in any case.
    pub max_bytes: usize,
    /// Whether parts may be files, to be sent as they lie. Otherwise all is read, and proved where it comes from a disk.
    pub files: bool,
}

/// Whole, contiguous batches, from wherever the store has them.
#[derive(Clone, Debug, Default)]
pub struct Slices {
    /// In order; each part holds one or more whole batches.
    pub parts: Vec<Part>,
    /// Bytes of all parts together.
    pub bytes: usize,
    /// The offset after the last batch, `from` if there is none.
    pub next: Offset,
}

impl Slices {
    /// The parts that are in memory: all of them, where no files were asked for.
    pub fn in_memory(&self) -> impl Iterator<Item = &Bytes> {
        self.parts.iter().filter_map(|part| match part {
            Part::Bytes(bytes) => Some(bytes),
            Part::File(_) => None,
        })
    }
}

/// A part of an answer: bytes, or the file that holds them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Bytes(Bytes),
    /// To be sent from a file.
    File(FileRange),
}

impl Part {
    /// The number of bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Part::Bytes(bytes) => bytes.len(),
            Part::File(range) => range.len,
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A file that is sent from. Its bytes stay as they are, also after this is dropped.
pub trait SendFile: Send + Sync + 'static {
    /// Hands up to `len` bytes to a socket that does not block. Returns how many it took.
    fn send(&self, to: BorrowedFd<'_>, at: u64, len: usize) -> io::Result<usize>;
    /// Reads exactly `len` bytes from `at`.
    fn read(&self, at: u64, len: usize) -> io::Result<Bytes>;
}

/// A stretch of a file, to be sent.
#[derive(Clone)]
pub struct FileRange {
    file: Arc<dyn SendFile>,
    at: u64,
    /// Bytes that are left of it.
    pub len: usize,
}

impl FileRange {
    /// The `len` bytes from `at`.
    #[must_use]
    pub fn new(file: Arc<dyn SendFile>, at: u64, len: usize) -> FileRange {
        FileRange { file, at, len }
    }

    /// Sends what the socket takes now, takes that off the range, and returns how much it was.
    pub fn send(&mut self, to: BorrowedFd<'_>) -> io::Result<usize> {
        let sent = self.file.send(to, self.at, self.len)?;
        self.at += sent as u64;
        self.len -= sent.min(self.len);
        Ok(sent)
    }

    /// Reads the bytes that are left.
    pub fn read(&self) -> io::Result<Bytes> {
        self.file.read(self.at, self.len)
    }
}

impl PartialEq for FileRange {
    fn eq(&self, other: &FileRange) -> bool {
        Arc::ptr_eq(&self.file, &other.file) && (self.at, self.len) == (other.at, other.len)
    }
}

impl Eq for FileRange {}

impl std::fmt::Debug for FileRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FileRange({} + {})", self.at, self.len)
    }
}

/// A record found by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeHit {
    /// Of the record itself, not of its batch.
    pub offset: Offset,
    pub timestamp: i64,
    /// The leader epoch of its batch.
    pub epoch: LeaderEpoch,
}

/// The counters of one shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardStats {
    /// Bytes that the shard can use: free on the file system, and in segments that can be overwritten.
    pub free_bytes: u64,
    /// Bytes of the shard's file system; 0 if that is not known.
    pub volume_bytes: u64,
    /// Bytes free on the file system; 0 also if that is not known.
    pub usable_bytes: u64,
    /// Journaled and not yet settled.
    pub unsettled_bytes: u64,
    /// Age of the oldest sync that is still running, in milliseconds.
    pub sync_age_ms: u64,
    /// Bytes that the last start journaled again.
    pub rejournaled_bytes: u64,
    /// Bytes of torn tail that the last start cut.
    pub cut_bytes: u64,
}

/// Why a shard takes no entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShardError {
    /// The shard has stopped writing for good.
    #[error("shard {shard} has stopped: {reason}; restart the node after mending the disk")]
    Stopped { shard: u16, reason: String },
    /// The node ends in order and takes no more.
    #[error("the node is ending")]
    Ending,
    /// The entry does not follow the replica's last one.
    #[error("entry refused: {0}")]
    Refused(String),
    /// The shard does not know this replica.
    #[error("shard {shard} does not know replica {replica}")]
    UnknownReplica { shard: u16, replica: u32 },
}

/// Why a read failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The offset is below the log start or above the end.
    #[error("offset {0} is not stored")]
    OutOfRange(Offset),
    /// Stored bytes do not match their checksum.
    #[error("stored bytes are corrupt: {0}")]
    Corrupt(String),
    /// The readers' queue is full.
    #[error("too many reads wait: try again")]
    Busy,
    /// The store does not have what it should have: a failure.
    #[error("the replica's storage is not available: {0}")]
    Gone(String),
    /// The partition is not served here, or not any more; nothing failed.
    #[error("{0}")]
    Refused(#[from] Reject),
}
