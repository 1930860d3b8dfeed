//! The connections between nodes, and all that travels on them.
//!
//! ```text
//!   endpoint.rs  one UDP port       keys.rs tls.rs secret.rs settings.rs    identity and settings of its connections
//!   dial.rs accept.rs ──> hello.rs with proof.rs, judged by gate.rs, refused by refusal.rs
//!   control: links.rs ─> slot.rs ─> link.rs ═══ message.rs, question.rs ═══> serve.rs      (ports Calls and Serves)
//!   data:    start.rs (dial_data) ═════════════════════════════════════════> data.rs
//!
//!   core's words (Position, Ack, Part, Answer) <──> items of a frame <──> bytes of a stream
//!               core/partition/replication.rs          words.rs             frame.rs
//! ```
//!
//! Each node dials its peers and uses what it dialled; `replication` runs on the data connections. Nothing here decides about
//! offsets or epochs.

mod accept;
mod data;
mod dial;
mod endpoint;
pub mod frame;
mod gate;
mod hello;
mod hex;
mod keys;
mod link;
mod links;
mod message;
pub mod metrics;
mod proof;
mod question;
mod refusal;
mod registry;
pub mod replication;
mod sample;
mod secret;
mod serve;
mod settings;
mod shared;
mod slot;
mod start;
mod tls;
pub mod words;

#[cfg(test)]
mod tests;

pub use data::{DataAccepts, DataLink};
pub use endpoint::EndpointError;
pub use gate::{Gate, Member};
pub use keys::{KeyError, NodeKey, hash_of};
pub use secret::{Secret, SecretError};
pub use start::{Transport, TransportConfig, TransportError};
pub use tls::TlsError;
