//! The actors of Callboard: ractor shells round the machines of `callboard-core`, their handles, messages and ports.
//!
//! A shell moves bytes and performs effects; it decides nothing. It reaches the outside through ports (`ports/`,
//! `clock.rs`). Adapters in the package `callboard` implement the ports, and tests implement fakes.

pub mod changes;
pub mod clock;
pub mod cluster;
pub mod contact;
pub mod controller;
pub mod directory;
pub mod group;
pub mod images;
pub mod lag;
pub mod links;
pub mod messages;
pub mod metrics;
pub mod node;
pub mod partition;
pub mod permit;
pub mod ports;
pub mod proposer;
pub mod reply;
pub mod samples;
pub mod shard;
pub mod shell;
pub mod tickets;
mod words;
