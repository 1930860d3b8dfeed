//! What travels between nodes.
//!
//! ```text
//!   core's words (Position, Ack, Part, Answer) <──> items of a frame <──> bytes of a stream
//!               core/partition/replication.rs          words.rs             frame.rs
//! ```
//!
//! `replication` runs on the data connections. Nothing here decides about offsets or epochs.

pub mod frame;
pub mod replication;
pub mod words;
