//! Replication between nodes: what runs on a data connection, on both sides.
//!
//! ```text
//!   follower's shard                                                  leader's node
//!   ReplicaActor ─ Replication ─> outbox ── Positions, Acks ──────> reader ──> PartitionHandle::hear
//!                                 (subscription.rs, outbox.rs)      (feeds.rs)
//!   PartitionHandle::hear <── receiver <── Parts, Diverge, Refused ── feeder <── inbox <── views, answers, cursors
//!                             (receive.rs)                            (feed.rs, cursors.rs, inbox.rs)
//! ```
//!
//! A follower's shard dials, and opens the connection's one stream. The follower says where its log ends, and from then on the
//! leader sends what it has. No queue holds payload: a feed reads bytes when the stream takes them, and the permits of
//! the shard's pool bound what a follower has not written.
//!
//! A stream that has unsent bytes and moved none for ten seconds ends with its connection, and so does one that carries
//! what no sound node sends. The other side's actors hear of the end, and say again what was lost.
//!
//! The transport decides no offset and no epoch: machines of core do, on both sides.

mod cold;
mod cursors;
mod feed;
mod feeding;
mod feeds;
mod inbox;
mod links;
pub mod metrics;
mod outbox;
mod receive;
mod replicator;
mod streams;
mod subscription;

#[cfg(test)]
mod tests;

pub use links::Dialling;
pub use replicator::{Dial, Replicator};
