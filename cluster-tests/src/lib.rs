//! Tools that the suites share: the search of the bootstrap, the crash backend, the process harness, the kills and faults, the wire, odd batches.
//! Tools that the suites share: the searches of the bootstrap and of restarts, the crash backend, the process harness, the kills, the checkers, odd batches.

pub mod bootstrap;
pub mod chaos;
pub mod crash;
pub mod odd;
pub mod process;
pub mod restart;
pub mod sim;
pub mod wire;
