//! Messages to the actor of a replica.
//!
//! A batch travels with its bytes and its permit, and every question with its reply.

use crate::permit::Permit;
use crate::ports::{Persisted, ReplicaState, ShardError};
use crate::reply::Reply;
use bytes::{Bytes, BytesMut};
use callboard_core::metadata::IsrOutcome;
use callboard_core::partition::{
    Ack, Acks, ActiveProducer, Answer, Appended, Assigned, Part, Position, ReplicaConfig, TrimTo,
};
use callboard_core::records::BatchHead;
use callboard_core::{BrokerId, LeaderEpoch, Offset, Peer, Reject};
use std::sync::Arc;

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

/// A wish to move the log start up (DeleteRecords).
#[derive(Clone, Copy, Debug)]
pub struct Trimming {
    pub to: TrimTo,
    /// The broker itself asks, after it has written the live records anew; the topic's policy does not count.
    pub own: bool,
    /// Milliseconds until the request stops waiting.
    pub timeout_ms: u64,
}

/// Calls back when the last replica that holds it has dropped it. A replica that ends drops it too, with its mailbox.
pub struct Mark {
    on_drop: Box<dyn Fn() + Send + Sync>,
}

impl Mark {
    /// A mark that calls this once.
    #[must_use]
    pub fn new(on_drop: impl Fn() + Send + Sync + 'static) -> Arc<Mark> {
        Arc::new(Mark { on_drop: Box::new(on_drop) })
    }
}

impl std::fmt::Debug for Mark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mark")
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        (self.on_drop)();
    }
}

/// A batch that a leader sent, proved by its checksum.
#[derive(Debug)]
pub struct Received {
    pub head: BatchHead,
    pub bytes: Bytes,
    /// Bytes of memory that the batch keeps alive. It may be a small part of a large frame.
    pub pinned: usize,
    /// Given back when the batch is written or refused.
    pub permit: Permit,
}

/// A word of replication from another node, or about the connection to it.
#[derive(Debug)]
pub enum Heard {
    /// A new data connection to this node is up.
    Linked(BrokerId),
    /// The data connection to this node is gone.
    Unlinked(BrokerId),
    Part {
        from: BrokerId,
        part: Part,
        batches: Vec<Received>,
    },
    Told {
        from: BrokerId,
        answer: Answer,
    },
    Position {
        from: Peer,
        position: Position,
    },
    Acked {
        from: Peer,
        ack: Ack,
    },
}

/// A message to a replica's actor.
#[derive(Debug)]
pub enum ReplicaMsg {
    /// Another node says something, or a connection to it has changed.
    Heard(Heard),
    /// The controller has judged the ISR that was proposed for this partition epoch.
    IsrSaid {
        partition_epoch: i32,
        outcome: IsrOutcome,
    },
    /// The image gives it this role.
    Assign(Assigned),
    /// With a leader epoch: only that leadership takes the batch.
    Append(Box<Appending>, Option<LeaderEpoch>, Reply<Result<Appended, Reject>>),
    /// A notice of the journal about this replica's entries.
    Persisted(Persisted),
    /// The shard, or the journal for this replica alone, takes no more entries.
    Failed(ShardError),
    /// Stored bytes do not prove themselves any more.
    Rotted(String),
    Configure(ReplicaConfig),
    Trim(Trimming, Reply<Result<Appended, Reject>>),
    /// The store's answer on retention; none if no record has expired or the store could not look.
    Expired(Option<Offset>),
    /// The store has read the log again, after a truncation.
    Reread(Result<Box<ReplicaState>, ShardError>),
    Producers(Reply<Result<Vec<ActiveProducer>, Reject>>),
    /// Asks for the log end and the high watermark, behind everything that was appended before (R34).
    Ends(Reply<Result<(Offset, Offset), Reject>>),
    /// The topic was deleted.
    Delete,
    /// The image no longer gives this node a replica of the partition.
    Leave,
    /// Shows that everything told before has been taken in, by being dropped.
    Mark(Arc<Mark>),
    /// A deadline may have passed.
    Tick,
}
