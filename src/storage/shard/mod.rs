//! One shard at work: the engine, its threads, and the handle behind the port.

pub(in crate::storage) mod engine;
pub(in crate::storage) mod evacuate;
pub(in crate::storage) mod gate;
pub(in crate::storage) mod handle;
pub(in crate::storage) mod read;
pub(in crate::storage) mod rebuild;
pub(in crate::storage) mod room;
pub(in crate::storage) mod scrub;
pub(in crate::storage) mod threads;
pub(in crate::storage) mod times;
