//! Tools that the suites share: the searches of the bootstrap and of restarts, the crash backend, the process harness, the kills
//! and faults, the histories and their checker, the wire between nodes, odd batches.

pub mod bootstrap;
pub mod chaos;
pub mod crash;
pub mod history;
pub mod odd;
pub mod process;
pub mod restart;
pub mod sim;
pub mod timeline;
pub mod wire;
