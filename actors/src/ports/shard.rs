//! One shard of the store, in three contracts for three kinds of callers.
//!
//! A replica's actor needs [`Journal`], a fetch [`Reading`], the front-end and the metrics [`Admission`]. One handle
//! implements all three and is known as [`Shard`]. No contract says how bytes lie on disk.

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
use std::sync::atomic::{AtomicI64, Ordering};

/// The one order of a shard's entries. Entries go in, and notices of durability come out.
pub trait Journal: Send + Sync + 'static {
    /// The replicas of this shard that recovery found, also those that are marked stray. They are handed out once.
    fn recovered(&self) -> Vec<ReplicaState>;

    /// Gives a new replica its id and journals its `Open` (number 1). Notices go to `sink` from then on.
    fn open(
        &self,
        id: TopicPartition,
        durability: Durability,
        sink: Arc<dyn ReplicaSink>,
    ) -> Result<ReplicaId, ShardError>;

    /// Directs a known replica's notices to `sink`, in place of any former one. The sink hears the present state at
    /// once.
    fn attach(&self, replica: ReplicaId, sink: Arc<dyn ReplicaSink>);

    /// Queues one entry for the journal. It never blocks, because the permits inside bound the queue.
    fn submit(&self, submission: Submission) -> Result<(), ShardError>;

    /// Says which producers a replica has forgotten, so that its next snapshot is without them. A crash may lose
    /// this, and then the producers are known for longer.
    fn forget(&self, replica: ReplicaId, forgotten: Forgotten);

    /// The place where a replica leaves its high watermark for the store. For an unknown replica nothing looks there.
    fn hint(&self, replica: ReplicaId) -> Arc<Hint>;

    /// Reads a replica's state for a restarted actor. First it journals a `Fence` behind every entry of the former
    /// life; the state is the one at that fence.
    fn rebuild(&self, replica: ReplicaId) -> BoxFuture<'static, Result<ReplicaState, ShardError>>;
}

/// A shard's stored batches, read on its reader threads.
pub trait Reading: Send + Sync + 'static {
    /// Reads whole batches, the first from the one that covers `request.from`.
    fn read(&self, request: ReadRequest) -> BoxFuture<'static, Result<Slices, ReadError>>;

    /// The first record in `from .. until` whose timestamp is at least `timestamp`. Compressed batches are opened for
    /// it.
    fn find_time(
        &self,
        replica: ReplicaId,
        from: Offset,
        until: Offset,
        timestamp: i64,
    ) -> BoxFuture<'static, Result<Option<TimeHit>, ReadError>>;

    /// The first record with the largest timestamp in `from .. until`.
    fn max_time(
        &self,
        replica: ReplicaId,
        from: Offset,
        until: Offset,
    ) -> BoxFuture<'static, Result<Option<TimeHit>, ReadError>>;

    /// The offset to which these rules let the log start go; none if that is not above `from`. It lies at or below
    /// `until`. A shard answers one such question at a time.
    fn expired(
        &self,
        replica: ReplicaId,
        from: Offset,
        until: Offset,
        rules: Retention,
    ) -> BoxFuture<'static, Result<Option<Offset>, ReadError>>;

    /// Bytes of a replica's batches, in the journal and in redb. Batches below the log start count until they are
    /// swept.
    fn size(&self, replica: ReplicaId) -> BoxFuture<'static, Result<u64, ReadError>>;

    /// The size of each replica of this shard, as [`Reading::size`] counts it.
    fn sizes(&self) -> BoxFuture<'static, Result<BTreeMap<ReplicaId, u64>, ReadError>>;
}

/// How much more a shard takes, and its counters.
pub trait Admission: Send + Sync + 'static {
    /// This shard's number on this node.
    fn index(&self) -> u16;

    /// The shard's counters, for admission, metrics and health.
    fn stats(&self) -> ShardStats;

    /// Resolves when producers may go on. They wait while too much is not settled, the journal is too large, or the
    /// disk has no room for a segment. Low room only slows them down.
    fn admitted(&self) -> BoxFuture<'static, ()>;

    /// The room on its disk, which says whether batches are refused.
    fn room(&self) -> Room;
}

/// One journal and one redb database: the durable home of its replicas.
pub trait Shard: Journal + Reading + Admission {}

impl<S: Journal + Reading + Admission> Shard for S {}

/// The receiver of a replica's notices; one cast into its actor. It must not block.
pub trait ReplicaSink: Send + Sync + 'static {
    /// Entries up to these numbers are written and synced. Neither number goes back.
    fn persisted(&self, persisted: Persisted);
    /// The shard has stopped for good, or it takes no more entries of this replica. The error says which.
    fn failed(&self, error: ShardError);
    /// Stored bytes of the replica do not prove themselves any more, or cannot be read. Told once.
    fn rotted(&self, why: String);
}

/// How far a replica's entries have come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Persisted {
    /// Last entry in the page cache.
    pub written: Seq,
    /// Last entry on disk.
    pub synced: Seq,
}

/// A replica's high watermark on its way to the store, which keeps it with the replica's state when it settles (R42).
///
/// A high watermark speaks of the log as of the entries submitted before it was told. So a replica submits a
/// truncation, a log start or a reset first, and then tells the high watermark that goes with it.
#[derive(Debug, Default)]
pub struct Hint(AtomicI64);

impl Hint {
    /// Notes the high watermark. It takes no lock and touches no disk.
    pub fn tell(&self, high_watermark: Offset) {
        self.0.store(high_watermark, Ordering::Release);
    }

    /// The high watermark told last; 0 if none was told.
    #[must_use]
    pub fn told(&self) -> Offset {
        self.0.load(Ordering::Acquire)
    }

    /// Lowers the high watermark to this offset, because the log is cut there.
    pub fn lower(&self, to: Offset) {
        self.0.fetch_min(to, Ordering::AcqRel);
    }
}

/// One entry on its way to the journal.
#[derive(Debug)]
pub struct Submission {
    pub replica: ReplicaId,
    /// The number behind the replica's last one. Any other number fails the replica (`ReplicaSink::failed`). A
    /// `Fence` has 0 and takes the next number, whichever it is.
    pub seq: Seq,
    pub entry: Entry,
    /// The batch of an `Append`, with base offset and leader epoch written in; empty for other entries.
    pub bytes: Bytes,
    /// Whether the entry waits for a sync.
    pub durability: Durability,
    /// Given back when the entry is written or refused.
    pub permit: Permit,
}

/// A replica's state, as recovery or `rebuild` read it.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplicaState {
    /// Its id within the shard.
    pub replica: ReplicaId,
    pub id: TopicPartition,
    /// Number of the replica's last entry.
    pub seq: Seq,
    /// The first offset that can be read.
    pub log_start: Offset,
    /// The next offset to write.
    pub next: Offset,
    /// The high watermark that was stored last, at least the log start and at most `next` (R32). It may be too low, and
    /// names only offsets that are committed.
    pub high_watermark: Offset,
    /// Leader epochs and the offset each starts at, ascending.
    pub epochs: Vec<(LeaderEpoch, Offset)>,
    /// The producers that the log knows at `next`.
    pub producers: ProducerTable,
    /// From this offset on, the batches were written with `Durability::Fsync`.
    pub fsync_since: Offset,
    /// The time at which it was marked stray, if it was.
    pub stray: Option<UnixMillis>,
    /// Whether its bytes may be trusted.
    pub verdict: Verdict,
}

/// A request for whole batches of one replica.
#[derive(Clone, Copy, Debug)]
pub struct ReadRequest {
    pub replica: ReplicaId,
    /// The batch that covers this offset comes first.
    pub from: Offset,
    /// No batch comes that begins at or above this offset.
    pub until: Offset,
    /// Bytes after which the read stops. The first batch comes whole in any case.
    pub max_bytes: usize,
    /// Whether parts may be files, to be sent as they lie. Without files all parts are read, and proved if they come
    /// from a disk.
    pub files: bool,
}

/// Whole, contiguous batches. The store chooses where they come from.
#[derive(Clone, Debug, Default)]
pub struct Slices {
    /// In the order of offsets. Each part holds one or more whole batches.
    pub parts: Vec<Part>,
    /// Bytes of all parts together.
    pub bytes: usize,
    /// The offset behind the last batch; `from` if there is none.
    pub next: Offset,
}

impl Slices {
    /// The parts that are in memory. These are all parts, if no files were asked for.
    pub fn in_memory(&self) -> impl Iterator<Item = &Bytes> {
        self.parts.iter().filter_map(|part| match part {
            Part::Bytes(bytes) => Some(bytes),
            Part::File(_) => None,
        })
    }
}

/// Bytes in memory, or their place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Bytes(Bytes),
    /// A stretch of a file, to be sent from there.
    File(FileRange),
}

impl Part {
    /// Number of bytes, wherever they are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Part::Bytes(bytes) => bytes.len(),
            Part::File(range) => range.len,
        }
    }

    /// Whether the part has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A file that bytes are sent from. Its content does not change while this is held.
pub trait SendFile: Send + Sync + 'static {
    /// Hands up to `len` bytes at `at` to a socket that does not block. Gives the number that it took.
    fn send(&self, to: BorrowedFd<'_>, at: u64, len: usize) -> io::Result<usize>;
    /// Reads exactly `len` bytes at `at`.
    fn read(&self, at: u64, len: usize) -> io::Result<Bytes>;
}

/// A stretch of a file, which shrinks as its bytes are sent.
#[derive(Clone)]
pub struct FileRange {
    file: Arc<dyn SendFile>,
    at: u64,
    /// Bytes that are not sent yet.
    pub len: usize,
}

impl FileRange {
    /// The `len` bytes of this file from `at` on.
    #[must_use]
    pub fn new(file: Arc<dyn SendFile>, at: u64, len: usize) -> FileRange {
        FileRange { file, at, len }
    }

    /// Sends as much as the socket takes now, and shortens the stretch by that. Gives the number of bytes sent.
    pub fn send(&mut self, to: BorrowedFd<'_>) -> io::Result<usize> {
        let sent = self.file.send(to, self.at, self.len)?;
        self.at += sent as u64;
        self.len -= sent.min(self.len);
        Ok(sent)
    }

    /// Reads the rest of the stretch into memory.
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

/// A record that was found by its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeHit {
    /// The record's own offset, not its batch's.
    pub offset: Offset,
    /// Unix milliseconds of the record.
    pub timestamp: i64,
    /// The leader epoch of its batch.
    pub epoch: LeaderEpoch,
}

/// A shard's counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardStats {
    /// Bytes that the shard can still write: free ones of the file system, and recyclable segments.
    pub free_bytes: u64,
    /// Bytes of the file system that the shard is on; 0 if unknown.
    pub volume_bytes: u64,
    /// Bytes free on that file system; 0 if none or unknown.
    pub usable_bytes: u64,
    /// Bytes journaled and not settled yet.
    pub unsettled_bytes: u64,
    /// Age of the oldest sync that is still running, in milliseconds.
    pub sync_age_ms: u64,
    /// The journal position up to which everything is on disk. A later start finds at least that, unless the disk has lost
    /// something (R46).
    pub synced_position: u64,
    /// Bytes of whole groups behind the proved part of the journal, which recovery journaled anew at the last start.
    pub rejournaled_bytes: u64,
    /// Bytes of the torn tail that recovery cut at the last start.
    pub cut_bytes: u64,
}

/// The reason why a shard refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShardError {
    /// The shard has stopped writing for good, because of a fault of the disk.
    #[error("shard {shard} has stopped: {reason}; restart the node after mending the disk")]
    Stopped {
        /// Number of the shard on this node.
        shard: u16,
        /// The fault, in words for the operator.
        reason: String,
    },
    /// The node is ending in good order, and takes no more.
    #[error("the node is ending")]
    Ending,
    /// An entry that does not follow the replica's last one, or a replica that could not be read again.
    #[error("entry refused: {0}")]
    Refused(String),
    /// The shard does not know this replica.
    #[error("shard {shard} does not know replica {replica}")]
    UnknownReplica {
        /// Number of the shard on this node.
        shard: u16,
        /// Number of the replica within its shard.
        replica: u32,
    },
}

/// The reason why a read failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The offset is below the log start or above the end.
    #[error("offset {0} is not stored")]
    OutOfRange(Offset),
    /// Stored bytes do not match their checksum.
    #[error("stored bytes are corrupt: {0}")]
    Corrupt(String),
    /// Too many reads wait already.
    #[error("too many reads wait: try again")]
    Busy,
    /// The store lacks something that it should have.
    #[error("the replica's storage is not available: {0}")]
    Gone(String),
    /// No storage failed: the partition is not served here, or no longer.
    #[error("{0}")]
    Refused(#[from] Reject),
}
