//! The store, one shard of it: three contracts, by who needs them.
//!
//! A replica's actor needs [`Journal`], a fetch [`Reading`], the front-end and the metrics [`Admission`]. One handle
//! implements all three and is known as [`Shard`].

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
    /// What recovery found: every replica of this shard, those that are only `stray` too.
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

    /// Queues one entry for the journal. Never blocks: what is queued is bounded by the permits inside.
    fn submit(&self, submission: Submission) -> Result<(), ShardError>;

    /// Says which producers a replica has forgotten: its next snapshot is without them. Lost in a crash, they are known for
    /// longer.
    fn forget(&self, replica: ReplicaId, forgotten: Forgotten);

    /// After an actor's restart: journals a `Fence` behind everything of its former life, and reads the replica's state
    /// as of that fence.
    fn rebuild(&self, replica: ReplicaId) -> BoxFuture<'static, Result<ReplicaState, ShardError>>;
}

/// What a shard stores, read on its reader threads.
pub trait Reading: Send + Sync + 'static {
    /// Reads whole batches, on the reader threads.
    fn read(&self, request: ReadRequest) -> BoxFuture<'static, Result<Slices, ReadError>>;

    /// The first record in `from .. until` whose timestamp is ≥ `timestamp`, on the reader threads.
    /// Compressed batches are opened for it.
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

    /// How far up these rules let the log start go, if above `from` at all; nothing at or above `until` goes. On the
    /// reader threads, one question at a time.
    fn expired(
        &self,
        replica: ReplicaId,
        from: Offset,
        until: Offset,
        rules: Retention,
    ) -> BoxFuture<'static, Result<Option<Offset>, ReadError>>;

    /// Bytes of a replica's batches, in the journal and in redb; those below the log start until they are swept.
    fn size(&self, replica: ReplicaId) -> BoxFuture<'static, Result<u64, ReadError>>;

    /// The same of all replicas of this shard.
    fn sizes(&self) -> BoxFuture<'static, Result<BTreeMap<ReplicaId, u64>, ReadError>>;
}

/// How much more a shard takes, and what it counts.
pub trait Admission: Send + Sync + 'static {
    /// This shard's number on this node.
    fn index(&self) -> u16;

    /// Counters for admission, metrics and health.
    fn stats(&self) -> ShardStats;

    /// Resolves when producers may go on: at `unsettled_bytes_max` the gate closes until settling has made room.
    fn admitted(&self) -> BoxFuture<'static, ()>;

    /// How much room its disk has: whether batches are refused.
    fn room(&self) -> Room;
}

/// One journal and one redb database: the durable home of its replicas.
pub trait Shard: Journal + Reading + Admission {}

impl<S: Journal + Reading + Admission> Shard for S {}

/// Where a replica's notices go; one cast into its actor. Must not block.
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
    /// Whose entry it is.
    pub replica: ReplicaId,
    /// Its number: the replica's last one plus one. Anything else fails the replica (`ReplicaSink::failed`). Zero, for a
    /// `Fence` alone: whatever comes next.
    pub seq: Seq,
    /// What changes.
    pub entry: Entry,
    /// The batch, for `Append`: base offset and leader epoch already written into it. Else empty.
    pub bytes: Bytes,
    /// Whether this entry waits for a sync.
    pub durability: Durability,
    /// Given back when the entry is written.
    pub permit: Permit,
}

/// A replica, as recovery or `rebuild` knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplicaState {
    /// Its id in the shard.
    pub replica: ReplicaId,
    /// Which partition it is of.
    pub id: TopicPartition,
    /// Number of its last entry.
    pub seq: Seq,
    /// Log start offset.
    pub log_start: Offset,
    /// Log end offset: the next offset to write.
    pub next: Offset,
    /// The newest high watermark that was stored: a hint, never above `next`.
    pub high_watermark: Offset,
    /// Leader epochs and the offset each starts at, ascending.
    pub epochs: Vec<(LeaderEpoch, Offset)>,
    /// Producers at `next`.
    pub producers: ProducerTable,
    /// From this offset on the replica's batches were written with `Durability::Fsync`.
    pub fsync_since: Offset,
    /// Marked stray at this time.
    pub stray: Option<UnixMillis>,
    /// Whether it may be trusted.
    pub verdict: Verdict,
}

/// Which batches to read.
#[derive(Clone, Copy, Debug)]
pub struct ReadRequest {
    /// Of which replica.
    pub replica: ReplicaId,
    /// The batch that covers this offset comes first.
    pub from: Offset,
    /// No batch that starts at or above this offset.
    pub until: Offset,
    /// Stop before exceeding this; the first batch comes whole in any case.
    pub max_bytes: usize,
    /// Whether parts may be files, to be sent as they lie; else all of it is read, and proved where it comes from a disk.
    pub files: bool,
}

/// Whole, contiguous batches; where they came from is the store's business.
#[derive(Clone, Debug, Default)]
pub struct Slices {
    /// The bytes, in order; each part holds one or more whole batches.
    pub parts: Vec<Part>,
    /// Bytes in all.
    pub bytes: usize,
    /// The offset after the last batch, `from` if there is none.
    pub next: Offset,
}

impl Slices {
    /// Those of its parts that are in memory; all of them, where no files were asked for.
    pub fn in_memory(&self) -> impl Iterator<Item = &Bytes> {
        self.parts.iter().filter_map(|part| match part {
            Part::Bytes(bytes) => Some(bytes),
            Part::File(_) => None,
        })
    }
}

/// Bytes, or where they lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// In memory.
    Bytes(Bytes),
    /// In a file, to be sent from there.
    File(FileRange),
}

impl Part {
    /// Bytes.
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

/// A file that is sent from. It stays as it is for as long as this is held, and longer.
pub trait SendFile: Send + Sync + 'static {
    /// Hands up to `len` bytes to a socket that does not block; how many it took.
    fn send(&self, to: BorrowedFd<'_>, at: u64, len: usize) -> io::Result<usize>;
    /// Reads exactly `len` bytes.
    fn read(&self, at: u64, len: usize) -> io::Result<Bytes>;
}

/// A stretch of a file.
#[derive(Clone)]
pub struct FileRange {
    file: Arc<dyn SendFile>,
    at: u64,
    /// Bytes that are left of it.
    pub len: usize,
}

impl FileRange {
    /// So many bytes from there.
    #[must_use]
    pub fn new(file: Arc<dyn SendFile>, at: u64, len: usize) -> FileRange {
        FileRange { file, at, len }
    }

    /// Sends what the socket takes now and takes that off; how much it was.
    pub fn send(&mut self, to: BorrowedFd<'_>) -> io::Result<usize> {
        let sent = self.file.send(to, self.at, self.len)?;
        self.at += sent as u64;
        self.len -= sent.min(self.len);
        Ok(sent)
    }

    /// Reads all of it.
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
    /// The record's own offset.
    pub offset: Offset,
    /// Its timestamp.
    pub timestamp: i64,
    /// The leader epoch of its batch.
    pub epoch: LeaderEpoch,
}

/// What a shard counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardStats {
    /// Bytes free to it: file system, free redb pages, recyclable segments.
    pub free_bytes: u64,
    /// Bytes of the file system it is on; 0: nobody knows.
    pub volume_bytes: u64,
    /// Of those, free for it to write; 0: none, or nobody knows.
    pub usable_bytes: u64,
    /// Journaled and not yet settled.
    pub unsettled_bytes: u64,
    /// Age of the oldest sync that is still running, in milliseconds.
    pub sync_age_ms: u64,
    /// Records that recovery cut or re-journaled: bytes re-journaled at the last start.
    pub rejournaled_bytes: u64,
    /// Bytes of torn tail cut at the last start.
    pub cut_bytes: u64,
}

/// A shard's refusal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShardError {
    /// The shard has stopped writing for good.
    #[error("shard {shard} has stopped: {reason}; restart the node after mending the disk")]
    Stopped {
        /// Which.
        shard: u16,
        /// Why.
        reason: String,
    },
    /// An orderly end: the node takes no more.
    #[error("the node is ending")]
    Ending,
    /// An entry that does not follow the replica's last one.
    #[error("entry refused: {0}")]
    Refused(String),
    /// The shard does not know this replica.
    #[error("shard {shard} does not know replica {replica}")]
    UnknownReplica {
        /// Which shard.
        shard: u16,
        /// Which replica.
        replica: u32,
    },
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
    /// Too many reads wait.
    #[error("too many reads wait: try again")]
    Busy,
    /// A failure: the store does not have what it should have.
    #[error("the replica's storage is not available: {0}")]
    Gone(String),
    /// Nothing failed: the partition is not served here, or not any more.
    #[error("{0}")]
    Refused(#[from] Reject),
}
