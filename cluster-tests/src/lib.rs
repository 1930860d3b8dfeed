//! What the suites share: the crash backend, the process harness, the checkers.

pub mod crash;
pub mod process;
