//! The Kafka front-end.
//!
//! ```text
//!   listener.rs ─> conn.rs   a task a connection: frames in as permits allow, answers out in order (answers.rs)
//!                    └> api/*.rs   one file an API: decode, decide by core or ask an actor, encode
//!   pools.rs     memory for frames and answers      pace.rs   when a socket is too slow      lines.rs   bounded log lines
//!   context.rs   what all of them reach        wire/   the codec        metrics.rs
//! ```

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
mod sample;
pub mod wire;

pub use context::{Bounds, Context, ProducerIds, Refusals, Settings};
pub use listener::Listener;
pub use pools::Pools;
pub use sample::sample;
