//! Ports: the outside as the actors need it, in traits. Adapters (`src/storage`, `src/controller`) implement them.
//!
//! An actor knows an adapter only through its port. Ports hold no decisions.

mod metadata;
mod peers;
mod quorum;
mod shard;
mod spread;

pub use metadata::{MetadataLog, OpenLog};
pub use peers::{CallError, Caller, Calls, NoPeers, Replication, Serves, Service};
pub use quorum::{Majority, Quorum, QuorumNode, QuorumState};
pub use shard::{
    Admission, FileRange, Hint, Journal, Part, Persisted, ReadError, ReadRequest, Reading, ReplicaSink,
    ReplicaState, SendFile, Shard, ShardError, ShardStats, Slices, Submission, TimeHit, Verdict,
};
pub use spread::Spread;
