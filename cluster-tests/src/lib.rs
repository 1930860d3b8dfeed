//! Tools that the suites share: the crash backend, the process harness, the checkers, odd batches.

pub mod crash;
pub mod odd;
pub mod process;
pub mod sim;
