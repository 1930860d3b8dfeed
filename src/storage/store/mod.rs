//! The data directory: who it is, what the last life left in it, and how it is opened.
//!
//! Opening looks at every shard, records the verdicts, and only then changes anything. This wing runs at a start and at an
//! end; between them the shards work without it.

pub mod error;
pub mod finish;
pub mod identity;
pub mod open;
pub mod recovery;
