//! Messages to the actor of a replica.
//!
//! A batch travels with its bytes and its permit, and every question with its reply.

use crate::permit::Permit;
use crate::ports::{Persisted, ShardError};
use crate::reply::Reply;
use bytes::BytesMut;
use callboard_core::partition::{Acks, ActiveProducer, Appended, Assigned, ReplicaConfig, TrimTo};
use callboard_core::records::BatchHead;
use callboard_core::{Offset, Reject};

/// A produce request's batch, on its way to the log.
#[derive(Debug)]
pub struct Appending {
    /// The batch's bytes. The actor writes offset and epoch into them.
    pub batch: BytesMut,
    /// Bytes of memory that the batch keeps alive. It may be a small part of a large request.
    pub pinned: usize,
    pub head: BatchHead,
    pub acks: Acks,
    /// Milliseconds until the request stops waiting.
    pub timeout_ms: u64,
    /// Given back when the batch is written or refused.
    pub permit: Permit,
}

/// A message to a replica's actor.
#[derive(Debug)]
pub enum ReplicaMsg {
    /// The image gives it this role.
    Assign(Assigned),
    Append(Box<Appending>, Reply<Result<Appended, Reject>>),
    /// A notice of the journal about this replica's entries.
    Persisted(Persisted),
    /// The shard, or the journal for this replica alone, takes no more entries.
    Failed(ShardError),
    Configure(ReplicaConfig),
    /// DeleteRecords. With `true` the broker itself asks, after it has written the live records anew; the policy does
    /// not count.
    Trim(TrimTo, bool, Reply<Result<Appended, Reject>>),
    /// The store's answer on retention; none if no record has expired or the store could not look.
    Expired(Option<Offset>),
    Producers(Reply<Result<Vec<ActiveProducer>, Reject>>),
    /// The topic was deleted.
    Delete,
    /// The image no longer gives this node a replica of the partition.
    Leave,
    /// A deadline may have passed.
    Tick,
}
