//! The actors of Callboard: ractor shells round the machines of `callboard-core`, their handles, messages and ports.
//!
//! A shell moves bytes and performs effects; it decides nothing. What it needs of the outside is a port
//! (`ports/`, `clock.rs`), implemented by an adapter in the package `callboard` and by fakes in tests.

pub mod changes;
pub mod clock;
pub mod controller;
pub mod directory;
pub mod group;
pub mod images;
pub mod lag;
pub mod messages;
pub mod metrics;
pub mod node;
pub mod partition;
pub mod permit;
pub mod ports;
pub mod reply;
pub mod samples;
pub mod shard;
pub mod shell;
pub mod tickets;
