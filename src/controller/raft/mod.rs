//! The metadata log of a node of a cluster: openraft behind the port `MetadataLog`.
//!
//! ```text
//!   controller ── propose ──> log.rs ──> openraft ──> store/      entries, vote and snapshot in `meta.redb`
//!                                           │ └─────> network.rs ── Calls ──> serve.rs of another node
//!   controller <── stream ── machine.rs <───┘ apply
//! ```
//! openraft decides who leads and what is committed. `machine.rs` turns what is committed into the ordered stream: a
//! snapshot, leaderships, batches. The image lives in memory, and a start builds it from the snapshot and the log.
//!
//! openraft runs on a thread and a runtime of its own (`open.rs`), so its timers do not wait behind requests of clients.
//! `guard.rs` keeps openraft off its known faults: it alone asks for snapshots and purges, and it sees a core that died.
//!
//! Membership holds ids of nodes and no addresses, because the transport finds a node by its id. This version starts
//! with the voters of the founding and changes none of them.

mod caught_up;
#[cfg(test)]
mod faulty;
mod guard;
mod log;
mod machine;
mod majority;
mod network;
pub mod offline;
mod open;
mod serve;
mod store;
#[cfg(test)]
mod tests;
mod types;
mod wire;

/// The store by itself, without openraft above it, as the crash suite drives it.
pub mod bare {
    pub use super::machine::Machine;
    pub use super::open::{Parts, open_store};
    pub use super::store::LogStore;
    pub use super::types::{Batch, Entry, Lead, LogId, SnapshotMeta, TypeConfig, Vote, next};
}

pub use guard::Limits;
pub use log::{RaftLog, RaftStatus};
