//! The store: a journal in front of redb (DESIGN §4). Implements the port `Shard`.

pub mod disk;
