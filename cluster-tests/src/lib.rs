//! Tools that the suites share: the search of the bootstrap, the crash backend, the process harness, the kills and faults, the wire, odd batches.

pub mod bootstrap;
pub mod chaos;
pub mod crash;
pub mod odd;
pub mod process;
pub mod sim;
pub mod wire;
