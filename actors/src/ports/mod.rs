//! Ports: the outside as the actors need it, in traits. Adapters (`src/storage`, `src/controller`) implement them.
//!
//! Adapters meet only here, so none imports another's types. A port moves bytes and holds no decision.

mod metadata;
mod shard;

pub use metadata::{MetadataLog, OpenLog};
pub use shard::{
    Admission, FileRange, Journal, Part, Persisted, ReadError, ReadRequest, Reading, ReplicaSink,
    ReplicaState, SendFile, Shard, ShardError, ShardStats, Slices, Submission, TimeHit, Verdict,
};
