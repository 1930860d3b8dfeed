//! Replication over real QUIC connections in one process, with recorders in place of the replicas' actors.
//!
//! ```text
//!   rig.rs        two endpoints, replicas whose actors record what they hear, and frames by hand
//!   shard.rs      a shard of batches in memory, whose gate and reads can be held
//!   following.rs  the follower's side, against a leader by hand
//!   leading.rs    the leader's side, against a follower by hand
//!   feeding.rs    frames of a feed: order, rings, cold reads
//!   both.rs       both sides together
//! ```
//! No test looks at the clock, except to give up.

mod both;
mod feeding;
mod following;
mod leading;
mod rig;
mod shard;
