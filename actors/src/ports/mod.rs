//! Ports: what actors need of the outside. Adapters (`src/storage`, `src/controller`) implement them and meet only here.

mod metadata;
mod shard;

pub use metadata::{MetadataLog, OpenLog};
pub use shard::{
    Admission, FileRange, Journal, Part, Persisted, ReadError, ReadRequest, Reading, ReplicaSink,
    ReplicaState, SendFile, Shard, ShardError, ShardStats, Slices, Submission, TimeHit, Verdict,
};
