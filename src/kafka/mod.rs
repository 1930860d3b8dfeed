//! The Kafka front-end.
//!
//! ```text
//!   listener.rs ─> conn.rs   a reader and a writer a connection: frames in as permits allow, answers out in order
//!                    └> api/*.rs   one file an API: decode, decide by core or ask an actor, encode
//!   context.rs   what all of them reach        wire/   the codec        metrics.rs
//! ```

pub mod api;
mod conn;
mod context;
mod frame;
mod listener;
pub mod metrics;
pub mod wire;

pub use context::{Context, Pools, ProducerIds, Refusals, Settings};
pub use listener::Listener;
