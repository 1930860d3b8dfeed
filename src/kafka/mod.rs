//! The Kafka front-end: it turns frames of clients into calls of machines and actors, and their answers into
//! frames.
//!
//! ```text
//!   listener.rs ─> conn.rs   a task a connection: frames in as permits allow, answers out in order (answers.rs)
//!                    └> api/*.rs   one file an API: decode, decide by core or ask an actor, encode
//!   frame.rs     one frame, charged as it comes     opening.rs  opens producers' batches     wire/     the codec
//!   pools.rs     memory for frames and answers      pace.rs     ends slow sockets            lines.rs  bounded log lines
//!   context.rs   what all of them reach             metrics.rs  names and counters           sample.rs values at a scrape
//!   producer_ids.rs  ids for producers, from the controller
//! ```
//! It stores nothing and decides nothing about records; it owns sockets, frames, and the memory that they take.

mod answers;
pub mod api;
mod conn;
mod context;
mod frame;
mod lines;
mod listener;
pub mod metrics;
mod opening;
mod pace;
mod pools;
mod producer_ids;
mod sample;
pub mod wire;

pub use context::{Bounds, Context, Refusals, Settings};
pub use listener::{Listener, Listening};
pub use pools::Pools;
pub use producer_ids::ProducerIds;
pub use sample::sample;
