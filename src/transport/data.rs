//! Data connections, ready for what runs on them (`replication/`).
//!
//! A follower dials one for each of its shards that follows something on a leader, after its registration (R37). The
//! hello names shard and number; nothing here orders connections of one (node, shard), or reads a frame.

use callboard_core::Peer;
use quinn::Connection;

/// A data connection that a follower dialled to this node.
#[derive(Clone, Debug)]
pub struct DataLink {
    /// The follower, with the broker epoch of its hello.
    pub from: Peer,
    pub shard: u16,
    /// It rises in the follower's process.
    pub number: u64,
    /// The last holder's drop closes it.
    pub connection: Connection,
}

/// Takes the data connections of followers.
pub trait DataAccepts: Send + Sync {
    /// Takes one whose hello is over. It returns at once.
    fn accepted(&self, link: DataLink);
}
