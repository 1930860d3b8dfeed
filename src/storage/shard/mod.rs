//! One shard at work: the engine, its threads, and the handle behind the port.
//!
//! [`engine::Engine`] holds the owners of a shard's state: journal, settled, scrubber, room. It does the work that needs
//! several of them, and each file that imports it is one kind of that work. `inner.rs`, `threads.rs` and `handle.rs` give it
//! threads and queues. How a shard is opened is the business of `store/`.

pub mod ahead;
pub mod engine;
pub mod evacuate;
pub mod gate;
pub mod handle;
pub mod inner;
pub mod read;
pub mod rebuild;
pub mod room;
pub mod scrub;
pub mod settle;
pub mod threads;
pub mod times;
