//! What the actor of a replica is told.

use crate::permit::Permit;
use crate::ports::{Persisted, ShardError};
use crate::reply::Reply;
use bytes::BytesMut;
use callboard_core::partition::{Acks, ActiveProducer, Appended, Assigned, ReplicaConfig, TrimTo};
use callboard_core::records::BatchHead;
use callboard_core::{Offset, Reject};

/// A batch on its way in.
#[derive(Debug)]
pub struct Appending {
    /// The batch, writable in place.
    pub batch: BytesMut,
    /// Bytes of memory that the batch holds on to: it may be a part of a large request.
    pub pinned: usize,
    pub head: BatchHead,
    pub acks: Acks,
    /// How long the answer may take.
    pub timeout_ms: u64,
    /// Given back when the batch is written or refused.
    pub permit: Permit,
}

/// What a replica is told.
#[derive(Debug)]
pub enum ReplicaMsg {
    /// The image gives it this role.
    Assign(Assigned),
    Append(Box<Appending>, Reply<Result<Appended, Reject>>),
    /// Entries have come this far.
    Persisted(Persisted),
    /// The shard, or this replica in it, takes no more.
    Failed(ShardError),
    Configure(ReplicaConfig),
    /// DeleteRecords; `true`: the broker's own, which has written anew what is live, whatever the topic's policy.
    Trim(TrimTo, bool, Reply<Result<Appended, Reject>>),
    /// The store has answered what has expired.
    Expired(Option<Offset>),
    Producers(Reply<Result<Vec<ActiveProducer>, Reject>>),
    /// The topic was deleted.
    Delete,
    /// The image gives this node no replica of the partition any more.
    Leave,
    /// A deadline may have passed.
    Tick,
}
